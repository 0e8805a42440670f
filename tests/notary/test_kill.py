"""kill -9 of a real notary at random moments: nothing that was acknowledged is lost, and the store verifies."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pytest_twisted
from recorded import ORIGIN, Told, allowed, audit, checked, new_store, session
from twisted.internet import reactor
from twisted.internet.task import deferLater

from gateway.evidence.view import open_view, rows
from gateway.journal import Journal
from gateway.notary.client import connect
from gateway.notary.process import init_store
from gateway.notary.record import Kind, parse_leaf
from protocols.errors import Unrecordable

Tell = Callable[[str], None]

HERE = Path(__file__).parent
PATIENCE = 60.0  # seconds for each life: a test that waits longer fails


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a UNIX socket's name is."""
    made = Path(f"/tmp/ost-kill-{os.getpid()}-{time.monotonic_ns() % 10**6}")
    made.mkdir()
    yield made
    shutil.rmtree(made)


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "notary_child.py"), str(folder), str(folder / "n.sock")], stderr=subprocess.DEVNULL
    )


async def flood(folder: Path, rounds: int, tell: Tell) -> dict[str, int]:
    """Intents without pause through one client while its notary is killed and started; command: times acknowledged."""
    children = [spawn(folder)]
    try:
        return await _flood(folder, rounds, children, tell)
    finally:
        children[-1].kill()
        children[-1].wait()


async def _flood(folder: Path, rounds: int, children: list[subprocess.Popen[bytes]], tell: Tell) -> dict[str, int]:
    client = await connect(reactor, folder / "n.sock", "w")
    book, who, told = Journal(client, reactor, 30.0), session(), Told()
    sent: dict[int, str] = {}
    acknowledged: dict[str, int] = {}
    number = killed = 0
    lives = random.Random(7)
    until_kill = lives.randrange(200, 900)
    end = time.monotonic() + PATIENCE
    while killed < rounds or client.worker is None:
        assert time.monotonic() < end, f"after {killed} kills, {len(acknowledged)} records: the notary is not back, or takes none"
        try:
            for _ in range(lives.randrange(1, 40)):
                number += 1
                sent[book.intend(who, number, allowed(f"SELECT {number}"), told)] = str(number)
        except Unrecordable:
            pass
        await deferLater(reactor, 0.002)
        for what in told.told:
            if what[0] == "durable":
                for sequence in [s for s in sent if s <= what[1]]:
                    acknowledged[sent.pop(sequence)] = killed
            elif what[0] == "unrecordable":
                sent.clear()
        told.told.clear()
        if killed < rounds and client.worker is not None and len(acknowledged) >= until_kill * (killed + 1):  # many may be acknowledged at once
            children[-1].send_signal(signal.SIGKILL)
            children[-1].wait()
            killed, end = killed + 1, time.monotonic() + PATIENCE
            children.append(spawn(folder))
            if killed % 20 == 0:
                tell(f"{killed} kills, {len(acknowledged)} records")
    client.close()
    return acknowledged


def commands(folder: Path) -> tuple[set[str], int]:
    """Numbers of all recorded intents, and how many outcomes are unknown."""
    view = open_view(folder / "audit")
    found = [parse_leaf(leaf) for n in sorted(view.present()) for _, leaf, _ in rows(view, n)]
    view.close()
    unknown = sum(r.kind == Kind.OUTCOME and r.get("ending") == "unknown" for r in found)
    return {str(r.get("command")) for r in found if r.kind == Kind.INTENT}, unknown


async def check(folder: Path, rounds: int, tell: Tell) -> None:
    init_store(audit(folder), ORIGIN, folder)
    acknowledged = await flood(folder, rounds, tell)
    new_store(folder).close()  # the start after the last kill
    recorded, unknown = commands(folder)
    assert len(acknowledged) > 200 * rounds
    assert set(acknowledged) - recorded == set()
    assert unknown == len(recorded)  # every recorded intent got its outcome at the next start
    report = checked(folder)
    assert report.problems == [] and report.segments > rounds


@pytest_twisted.ensureDeferred
async def test_no_acknowledged_record_is_lost_to_a_kill(folder: Path, tell: Tell) -> None:
    await check(folder, 4, tell)


@pytest.mark.soak
@pytest_twisted.ensureDeferred
async def test_no_acknowledged_record_is_lost_to_two_hundred_kills(folder: Path, tell: Tell) -> None:
    await check(folder, 200, tell)
