"""The lean reactor carries bytes as Twisted's own does: all of them, in order, and an end that is heard."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import unix
from twisted.internet.epollreactor import EPollReactor

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def talk() -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(HERE / "lean_talk.py")], cwd=HERE.parent.parent, capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(HERE.parent.parent), "PATH": "/usr/bin:/bin"}, check=False,
    )
    assert run.returncode == 0 and not run.stderr, run.stderr
    return json.loads(run.stdout)


def test_every_byte_arrives_in_order_past_a_slow_reader(talk: dict[str, Any]) -> None:
    """What the kernel does not take at once waits its turn behind nothing that came later."""
    assert talk["reactor"] == "LeanReactor"
    assert talk["unix"] == {"bytes": 12 << 20, "sha256": talk["unix sent"]}


def test_a_reset_connection_is_heard_and_nothing_raises(talk: dict[str, Any]) -> None:
    assert talk["reset"] == "heard"


def test_what_the_reactor_relies_on_is_there() -> None:
    """Twisted's inside may change; this says where to look."""
    assert unix.Port.transport is unix.Server and hasattr(unix.Connector, "_makeTransport")
    assert EPollReactor.doPoll and hasattr(EPollReactor, "_doReadOrWrite")
