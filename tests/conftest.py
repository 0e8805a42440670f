"""Shared by all tests: the import path is the checkout, not what is installed."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent.parent))

# A shell that runs us in the background has SIGINT ignored, and what we start would inherit that: Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts a time: an example may take as long as a busy machine needs. All else is as Hypothesis has it here, or on CI.
settings.register_profile("timeless", settings(), deadline=None)
settings.load_profile("timeless")

pytest_plugins = ["tests.limit", "tests.order"]

LONG = os.environ.get("OSTIARY_PROFILE") == "soak"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where another server takes 15's place, what runs on the wheel's 18 is left out: every other run has it."""
    if "OSTIARY_POSTGRES" not in os.environ:
        return
    out = [each for each in items if _on_the_wheel(each)]
    config.hook.pytest_deselected(items=out)
    items[:] = [each for each in items if each not in out]


def _on_the_wheel(item: pytest.Item) -> bool:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return any(str(value) in ("18", "postgres18") for value in parameters) or bool({"postgres18", "house18"} & set(getattr(item, "fixturenames", ())))


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> Callable[[str], None]:
    """A seed, or how far a long test is: in the long profile at once on the terminal, else with the test's own output."""

    def line(text: str) -> None:
        if LONG:
            with capsys.disabled():
                print(f"\n{time.strftime('%H:%M:%S')} {request.node.name}: {text}", flush=True)
        else:
            print(text)

    return line
