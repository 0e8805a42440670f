"""Control as a process of its own, killed with SIGKILL at bad moments: no answer is lost, none is given twice."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gateway.cli.door import _asked
from gateway.control.admin import Admin
from gateway.control.client import ControlClient
from gateway.control.office import Office
from tests_people import ADA, GRACE, PEOPLE

Asked = Callable[..., dict[str, Any]]
PATIENCE = 30.0
HERE = Path(__file__).parent

CHILD = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import succeed
from test_process import config_of
from gateway.control.process import Control

class Notary:
    def grant(self, request, grant, *rest):
        with open(sys.argv[3] + "/grants", "a") as file:
            file.write(f"{request} {grant}\\n")
        if Path(sys.argv[3] + "/die").exists():
            Path(sys.argv[3] + "/die").unlink()
            __import__("os").kill(__import__("os").getpid(), 9)
        return succeed(None)
    def note(self, kind, facts):
        return succeed(None)

control = Control(config_of(Path(sys.argv[3])), Notary(), reactor, api=False)
control.startService()
control.listen(Path(sys.argv[3]) / "run" / "workers.sock", {"right": "worker-1"}.get)
reactor.run()
"""


class Child(ProcessProtocol):
    """One control."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.said = b""

    def errReceived(self, data: bytes) -> None:
        self.said += data

    def processEnded(self, reason: Failure) -> None:
        reason.trap(ProcessDone, ProcessTerminated)
        self.ended.callback(None)


class Killed:
    """A control that can be killed and started, and a worker that stays."""

    def __init__(self, state: Path) -> None:
        self.state, self.worker = state, ControlClient(reactor)
        self.start()

    def start(self) -> None:
        self.child = Child()
        root = HERE.parent.parent
        arguments = [sys.executable, "-c", CHILD, str(root), str(HERE), str(self.state)]
        self.process = reactor.spawnProcess(self.child, sys.executable, arguments, env={"PATH": "/usr/bin:/bin"})

    async def joined(self) -> None:
        joined: Deferred[None] = Deferred()
        self.worker.on_joined = lambda: joined.called or joined.callback(None)
        await joined.addTimeout(PATIENCE, reactor)

    async def kill(self) -> None:
        if not self.child.ended.called:
            self.process.signalProcess(signal.SIGKILL)
        await self.child.ended.addTimeout(PATIENCE, reactor)

    def grants(self) -> list[list[str]]:
        return [line.split() for line in (self.state / "grants").read_text().splitlines()]


@pytest_twisted.async_yield_fixture
async def killed(state: Path) -> AsyncIterator[Killed]:
    killed = Killed(state)
    killed.worker.connect(state / "run" / "workers.sock", "right")
    await killed.joined()
    yield killed
    killed.worker.stop()
    await killed.kill()


def office_of(state: Path) -> Office:
    return Office(state, PEOPLE, reactor)


async def answer(state: Path, request: str, verb: str, subject: str = GRACE) -> Any:
    """As the CLI does it: over control's socket, with the approver's own token."""
    def call(method: str, **arguments: Any) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(state / "run" / "control.sock"))
            return _asked(connection, method, arguments)

    token = (await deferToThread(call, "token_issue", subject=subject, ttl=60.0))["token"]
    return await deferToThread(call, f"request_{verb}", request=request, subject=subject, token=token)


@pytest_twisted.ensureDeferred
async def test_killed_while_people_think(killed: Killed, asked: Asked) -> None:
    """The question is still there afterwards, the session still waits, and the answer reaches it."""
    pending = await killed.worker.submit(asked())
    waiting = killed.worker.answer(pending["request"])
    for _ in range(2):
        await killed.kill()
        killed.start()
        await killed.joined()
        assert not waiting.called
    await answer(killed.state, pending["request"], "approve")
    told = await waiting.addTimeout(PATIENCE, reactor)
    assert (told["state"], [pending["request"], told["grant"]]) == ("granted", killed.grants()[-1])


@pytest_twisted.ensureDeferred
async def test_killed_between_the_yes_and_the_notarys_word(killed: Killed, asked: Asked) -> None:
    """The yes was stored first: the next run grants, under a name of its own, and only that one is told."""
    (killed.state / "die").touch()
    pending = await killed.worker.submit(asked())
    waiting = killed.worker.answer(pending["request"])
    approving = Deferred.fromCoroutine(answer(killed.state, pending["request"], "approve"))
    approving.addErrback(lambda failure: failure.trap(OSError))
    await killed.child.ended.addTimeout(PATIENCE, reactor)
    await approving
    killed.start()
    told = await waiting.addTimeout(PATIENCE, reactor)
    assert told["state"] == "granted" and len(killed.grants()) == 2 and told["grant"] == killed.grants()[1][1]


@pytest_twisted.ensureDeferred
async def test_killed_after_a_retry_was_released(killed: Killed, asked: Asked) -> None:
    """It passed once; the next run knows."""
    pending = await killed.worker.submit(asked(mode="retry"))
    await answer(killed.state, pending["request"], "approve")
    assert (await killed.worker.submit(asked(mode="retry")))["state"] == "granted"
    await killed.kill()
    killed.start()
    await killed.joined()
    assert (await killed.worker.submit(asked(mode="retry")))["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_what_was_stored_is_there_after_a_kill(killed: Killed, asked: Asked) -> None:
    """Tokens, denials and withdrawals; read by another process from the files that the dead one left."""
    denied, withdrawn = await killed.worker.submit(asked()), await killed.worker.submit(asked(text="x"))
    await answer(killed.state, denied["request"], "deny")
    killed.worker.withdraw(withdrawn["request"], "the client is gone")
    await killed.worker.count(ADA, 0)
    await killed.kill()
    office = office_of(killed.state)
    try:
        states = [office.requests.get(one["request"])["state"] for one in (denied, withdrawn)]
        assert states == ["denied", "withdrawn"] and len(Admin(office, None).token_list()) == 1
    finally:
        office.close()
