"""
A seat is a place in the house that is kept filled: by a child process, or in inline mode by an object.

Spawns (never forks a running reactor's memory into use), notices death, replaces the
dead within a second, and waits longer each time when they die at once.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol as Shape

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.boot import LIFELINE, Boot, Peers, environment
from gateway.child import GRACE
from gateway.config import Config
from gateway.link import Link
from gateway.logs import ChildLines
from gateway.parts import CannotSwitch, Part, Reloader, named, told
from gateway.revision import parse

SETTLED = 5.0
"""Seconds after which a process counts as one that works: its death is not held against its successor."""

LONGEST_WAIT = 10.0
"""Seconds between two tries at most."""

FIRST_DESCRIPTOR = LIFELINE + 1

Furnish = Callable[[str], tuple[Boot, list[int]]]
"""(token's owner) to the boot of a new occupant and the descriptors it inherits, numbered from FIRST_DESCRIPTOR."""


def wait_before_retry(lived: float, quick: int) -> tuple[float, int]:
    """Seconds to wait before a successor starts, and how many have now died at once in a row."""
    if lived >= SETTLED:
        return 0.0, 0
    return (0.0 if quick == 0 else min(0.1 * 2 ** (quick - 1), LONGEST_WAIT)), quick + 1


class Seat(Shape):
    """What the supervisor needs of one."""

    name: str

    def start(self) -> None:
        """Fill it."""

    def ready(self) -> Deferred[None]:
        """Fires when its occupant serves."""

    def ask(self, what: str, revision: int, text: bytes = b"") -> Deferred[None]:
        """prepare (text: the file's), record (text: who asked), refuse (text: who asked, newline, why not), switch or look. Fails with CannotSwitch."""

    def peers(self, tokens: Mapping[str, str]) -> None:
        """Who may connect to its occupant from now on."""

    def replace(self) -> None:
        """Its occupant cannot go on: seat another."""

    def stop(self, patience: float) -> Deferred[None]:
        """Drain and leave it empty; fires when it is. Called again with less patience, it hurries."""


class ProcessSeat:
    """A seat filled by `python -m gateway.child NAME`."""

    log = Logger()

    def __init__(self, reactor: Any, name: str, furnish: Furnish, reload: Reloader) -> None:
        self.name, self.reload = name, reload
        self._reactor, self._furnish = reactor, furnish
        self._life: _Life | None = None
        self._quick = 0
        self._again: Any = None
        self._stopping: list[Deferred[None]] = []
        self._stopped = False
        self._awaiting_ready: list[Deferred[None]] = []

    @property
    def pid(self) -> int | None:
        """The occupant's."""
        return self._life.pid if self._life else None

    def start(self) -> None:
        self._again = None
        boot, descriptors = self._furnish(self.name)
        self._life = _Life(self, self._reactor, boot, descriptors)
        self.log.info("{name} is process {pid}", name=self.name, pid=self._life.pid)

    def ready(self) -> Deferred[None]:
        if self._life and self._life.ready:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._awaiting_ready.append(waiting)
        return waiting

    def ask(self, what: str, revision: int, text: bytes = b"") -> Deferred[None]:
        if self._life is None:
            return fail(CannotSwitch(f"{self.name} is not there"))
        return self._life.ask(what, revision, text)

    def peers(self, tokens: Mapping[str, str]) -> None:
        if self._life is not None:
            self._life.send("peers", dict(tokens))

    def stop(self, patience: float) -> Deferred[None]:
        self._stopped = True
        if self._again is not None and self._again.active():
            self._again.cancel()
        if self._life is None:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._stopping.append(gone)
        self._life.drain(patience)
        return gone

    def replace(self) -> None:
        if self._life is not None:
            self._life.drain(0.0)

    # -- told by the life in it ------------------------------------------------------------

    def serves(self) -> None:
        """The occupant is ready."""
        waiting, self._awaiting_ready = self._awaiting_ready, []
        for one in waiting:
            one.callback(None)

    def ended(self, how: str, lived: float) -> None:
        """The occupant is gone."""
        self._life = None
        if self._stopped:
            stopping, self._stopping = self._stopping, []
            for one in stopping:
                one.callback(None)
            return
        wait, self._quick = wait_before_retry(lived, self._quick)
        self.log.error("{name} ended ({how}); another in {wait:.1f} s", name=self.name, how=how, wait=wait)
        self._again = self._reactor.callLater(wait, self.start)


class _Life(ProcessProtocol):
    """One process, from spawn to reaping."""

    log = Logger()

    def __init__(self, seat: ProcessSeat, reactor: Any, boot: Boot, descriptors: list[int]) -> None:
        self._seat, self._reactor = seat, reactor
        self._lines = ChildLines(boot.name, self.log)
        self._born = reactor.seconds()
        self._asked: dict[int, Deferred[None]] = {}
        self._kill: Any = None
        self._number = 0
        self.ready = False
        ours, theirs = socket.socketpair()
        with ours, theirs, open(os.devnull, "rb") as nothing:
            wanted = {0: nothing.fileno(), 1: "r", 2: "r", LIFELINE: theirs.fileno()}
            wanted.update(enumerate(descriptors, FIRST_DESCRIPTOR))
            command = [sys.executable, "-m", "gateway.child", boot.name]
            process = reactor.spawnProcess(self, sys.executable, command, env=environment(os.environ), childFDs=wanted)
            self.pid = process.pid
            self._line = _Lifeline(self)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: self._line))
        self._line.send("boot", boot.frame())

    def send(self, *frame: Any) -> None:
        """To the child, if it still listens."""
        if self._line.connected_now:
            self._line.send(*frame)

    def ask(self, what: str, revision: int, text: bytes) -> Deferred[None]:
        self._number += 1
        self._asked[self._number] = asked = Deferred()
        self.send("ask", self._number, what, revision, text)
        return asked

    def drain(self, patience: float) -> None:
        """Ask it to leave, and make sure that it does."""
        self.send("drain", float(patience))
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        self._kill = self._reactor.callLater(patience + 2 * GRACE, self._make_sure)

    def _make_sure(self) -> None:
        self.log.error("{name} did not leave and is killed", name=self._seat.name)
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def heard(self, frame: list[Any]) -> None:
        """The child said something."""
        match frame:
            case ["ready"]:
                self.ready = True
                self._seat.serves()
            case ["answer", int(number), str(why)] if number in self._asked:
                asked = self._asked.pop(number)
                asked.callback(None) if not why else asked.errback(CannotSwitch(f"{self._seat.name}: {why}"))
            case ["reload", int(number), str(by)]:
                self._seat.reload(by).addCallbacks(
                    lambda revision: self.send("reloaded", number, revision, ""),
                    lambda failure: self.send("reloaded", number, 0, told(failure)),
                )
            case _:
                self.log.error("{name} said something unknown", name=self._seat.name)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self._lines.feed(data)

    def processExited(self, reason: Failure) -> None:
        self.ready = False
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        asked, self._asked = self._asked, {}
        for one in asked.values():
            one.errback(CannotSwitch(f"{self._seat.name} ended before it answered"))
        how = reason.value
        words = f"signal {how.signal}" if how.signal else f"exit code {how.exitCode}"
        self._seat.ended(words, self._reactor.seconds() - self._born)

    def processEnded(self, reason: Failure) -> None:
        self._lines.finish()


class _Lifeline(Link):
    """The supervisor's end. The other end's process notices when this one is gone."""

    def __init__(self, life: _Life) -> None:
        super().__init__()
        self._life = life

    def frame_received(self, frame: list[Any]) -> None:
        self._life.heard(frame)


class InlineSeat:
    """A seat filled by an object of this process: the same part, built and asked the same way."""

    log = Logger()

    def __init__(self, reactor: Any, name: str, furnish: Furnish, reload: Reloader, config: Config) -> None:
        self.name = name
        self._reactor, self._furnish, self._reload, self._config = reactor, furnish, reload, config
        self._peers = Peers({})
        self._part: Part | None = None
        self._ready: Deferred[None] = Deferred()

    def start(self) -> None:
        boot, _ = self._furnish(self.name)
        self._peers.replace(boot.peers)
        self._part = named(boot.part)(boot, self._config, self._peers, self._reload, self._reactor)
        maybeDeferred(self._part.start).addCallbacks(self._ready.callback, self._ready.errback)

    def ready(self) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._ready.addBoth(lambda result: (waiting.callback(result), None)[1])
        return waiting

    def ask(self, what: str, revision: int, text: bytes = b"") -> Deferred[None]:
        part = self._part
        if part is None:
            return fail(CannotSwitch(f"{self.name} is not there"))
        if what == "prepare":
            return maybeDeferred(lambda: part.prepare(revision, parse(text, self._config.file, vetted=True)))
        if what in ("record", "refuse"):
            return maybeDeferred(getattr(part, what), revision, text.decode())
        return maybeDeferred(getattr(part, what), revision)

    def peers(self, tokens: Mapping[str, str]) -> None:
        self._peers.replace(tokens)

    def replace(self) -> None:
        self.log.critical("{name} could not follow a reload; restart the gateway", name=self.name)

    def stop(self, patience: float) -> Deferred[None]:
        return maybeDeferred(self._part.drain, patience) if self._part else succeed(None)
