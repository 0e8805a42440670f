"""
A child's whole life: `python -m gateway.child NAME`. Boots over the lifeline, runs one part, leaves.

It outlives the supervisor only to finish what runs: when the lifeline ends it stops
accepting at once, drains, and exits. Notary and control stay until their floor ends,
which is when the last process that needs them has gone.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what starting up makes is kept: looking through it again and again would take a tenth of the start

import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger, globalLogBeginner
from twisted.python.failure import Failure

from gateway import reactor as lean
from gateway.boot import LIFELINE, Boot, Peers
from gateway.config import Config
from gateway.link import Link
from gateway.logs import ChildObserver
from gateway.parts import CannotSwitch, Part, named, shown, told
from gateway.revision import parse

GRACE = 5.0
"""Seconds beyond its patience after which an orphan that does not end is ended."""

DESCRIPTORS = 1 << 16
"""Most descriptors a child asks for: two per session, and a bound on what strangers can hold open."""


log = Logger("gateway.child")  # at this level, since the class finds itself in __main__


class Child(Link):
    """The child's end of the lifeline, and the part it runs."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._reactor = reactor
        self._part: Part | None = None
        self._peers = Peers({})
        self._config: Config | None = None
        self._reloads: dict[int, Deferred[int]] = {}
        self._reload_number = 0
        self._floor = False
        self._leaving = self._exiting = False
        self.code = 0

    # -- from the supervisor ---------------------------------------------------------------

    def frame_received(self, frame: list[Any]) -> None:
        match frame:
            case ["boot", dict(given)] if self._part is None:
                self._boot(Boot.from_frame(given))
            case ["peers", dict(tokens)]:
                self._peers.replace(tokens)
            case ["drain", float(patience)]:
                self.leave(patience)
            case ["ask", int(number), str(what), int(revision), bytes(text)]:
                self._answer(number, self._asked(what, revision, text))
            case ["reloaded", int(number), int(revision), str(why)] if number in self._reloads:
                asked = self._reloads.pop(number)
                asked.errback(CannotSwitch(why)) if why else asked.callback(revision)
            case _:
                log.error("the supervisor said something unknown; leaving")
                self.leave(0.0)

    def _boot(self, boot: Boot) -> None:
        starting = maybeDeferred(self._start, boot)
        starting.addCallbacks(self._started, self._failed)

    def _start(self, boot: Boot) -> Any:
        self._config = parse(boot.text, boot.path, vetted=True)
        self._peers.replace(boot.peers)
        if boot.floor >= 0:
            self._floor = True
            self._reactor.addReader(Floor(self._reactor, boot.floor, self.floor_ended))
        self._part = named(boot.part)(boot, self._config, self._peers, self._reload, self._reactor)
        return self._part.start()

    def _started(self, _: object) -> None:
        gc.freeze()  # what start-up made lives as long as the process: never look at it again
        gc.enable()
        self._say("ready")

    def _failed(self, failure: Failure) -> None:
        log.error("cannot start: {why}", why=shown(failure))
        self._exit(1)

    def _asked(self, what: str, revision: int, text: bytes) -> Deferred[Any]:
        part = self._part
        if part is None:
            return fail(CannotSwitch("not started yet"))
        match what:
            case "prepare":
                return maybeDeferred(lambda: part.prepare(revision, self._reread(text)))
            case "record" | "refuse":
                return maybeDeferred(getattr(part, what), revision, text.decode())
            case "switch" | "look":
                return maybeDeferred(getattr(part, what), revision)
        return fail(CannotSwitch(f"nobody here knows {what}"))

    def _reload(self, by: str) -> Deferred[int]:
        """As gateway.parts.Reloader: the supervisor does it, and everybody with it."""
        if not self.connected_now:
            return fail(CannotSwitch("the supervisor is gone; this gateway only drains"))
        number = self._reload_number = self._reload_number + 1
        self._reloads[number] = asked = Deferred()
        self.send("reload", number, by)
        return asked

    def _reread(self, text: bytes) -> Config:
        assert self._config is not None
        self._config = parse(text, self._config.file, vetted=True)
        return self._config

    def _answer(self, number: int, asked: Deferred[Any]) -> None:
        asked.addCallbacks(
            lambda _: self._say("answer", number, ""), lambda failure: self._say("answer", number, told(failure))
        )

    def _say(self, *frame: Any) -> None:
        if self.connected_now:
            self.send(*frame)

    # -- leaving ---------------------------------------------------------------------------

    def connectionLost(self, reason: Failure) -> None:
        """The supervisor is gone, by its own will or not."""
        super().connectionLost(reason)
        reloads, self._reloads = self._reloads, {}
        for one in reloads.values():
            one.errback(CannotSwitch("the supervisor went before it answered"))
        if not self._floor:
            self.leave(self._patience())

    def floor_ended(self) -> None:
        """Nobody is left whom this part serves."""
        self.leave(0.0)

    def leave(self, patience: float) -> None:
        """Drain, then exit. A second call with less patience hurries the first."""
        if self._part is None or self._exiting:
            self._exit(0)
            return
        drained = maybeDeferred(self._part.drain, patience)
        drained.addErrback(lambda failure: log.error("could not drain: {why}", why=shown(failure)))
        if not self._leaving:
            self._leaving = True
            drained.addCallback(lambda _: self._exit(0))
        self._reactor.callLater(patience + GRACE, os._exit, 1)

    def _patience(self) -> float:
        return self._config.drain if self._config else 0.0

    def terminated(self, *_: object) -> None:
        """SIGTERM, from an operator who means this process."""
        self._reactor.callFromThread(lambda: self.leave(0.0 if self._leaving else self._patience()))

    def _exit(self, code: int) -> None:
        if not self._exiting:
            self._exiting, self.code = True, code
            self._reactor.stop()


class Floor(FileDescriptor):
    """
    A pipe's reading end, which ends when the last process that needs this one has gone.

    Not a socket: closing an adopted one shuts it down for every process that shares it.
    """

    def __init__(self, reactor: Any, descriptor: int, ended: Callable[[], None]) -> None:
        super().__init__(reactor)
        os.set_blocking(descriptor, False)
        self._descriptor, self._ended = descriptor, ended

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        """Nobody writes; epoll tells a pipe's end as a hang-up."""

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        self._ended()


def _settle_in() -> None:
    """An own process group, so that a terminal's Ctrl-C reaches the supervisor alone; no core files; many sockets."""
    os.setpgid(0, 0)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main() -> int:
    """Run until the supervisor, or its absence, says to leave."""
    _settle_in()
    lean.install()
    from twisted.internet import reactor

    globalLogBeginner.beginLoggingTo([ChildObserver(sys.stderr)], redirectStandardIO=False)
    child = Child(reactor)

    def running() -> None:
        signal.signal(signal.SIGTERM, child.terminated)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        reactor.adoptStreamConnection(LIFELINE, socket.AF_UNIX, Factory.forProtocol(lambda: child))
        os.close(LIFELINE)

    reactor.callWhenRunning(running)
    reactor.run()
    return child.code


if __name__ == "__main__":
    sys.exit(main())
