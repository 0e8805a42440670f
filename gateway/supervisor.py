"""
Binds every listener once; starts, restarts and stops the rest; holds no session.

SIGTERM drains, a second one does not wait; SIGHUP reads the configuration again. If this
process dies, its children's lifelines end, and they stop accepting, drain and exit.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NoReturn

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.boot import Boot, new_token
from gateway.listeners import CannotListen, Inherited, bind
from gateway.parts import CannotSwitch, shown, told
from gateway.reload import Reload
from gateway.revision import Revision
from gateway.rundir import Rundir
from gateway.seats import FIRST_DESCRIPTOR, InlineSeat, ProcessSeat, Seat
from gateway.whereabouts import place

PARTS: Mapping[str, str] = MappingProxyType({
    "notary": "gateway.notary.part.notary",
    "control": "gateway.control.part.control",
    "worker": "gateway.worker.worker",
})
"""What sits where, by dotted path: each is called with (boot, config, peers, reactor)."""

SIGNAL = "the system, by SIGHUP"
"""Who asked for a reload that a signal asked for: it does not say whose process sent it."""

_MOST_UNTOLD = 64  # reloads that were refused while there was no control
SERVERS = ("notary", "control")
"""In the order they start, and the reverse of the order they stop: control records with the notary."""


class Supervisor(Service):
    """
    The root of the house.

    :param revision: the configuration to begin with.
    :param parts: what sits where; tests seat their own worker.
    :param options: words for every part; tests name their gate here.
    """

    log = Logger()

    def __init__(
        self, revision: Revision, reactor: Any, parts: Mapping[str, str] = PARTS,
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.revision = revision
        self.reactor = reactor
        self._parts, self._options = parts, options
        self._rundir = Rundir(revision.config.state)
        self._listening: list[socket.socket] = []
        self._floors: dict[str, tuple[int, int]] = {}
        self._tokens: dict[str, str] = {}
        self.seats: dict[str, Seat] = {}
        self._stopping: Deferred[Any] | None = None
        self._reload: Reload | None = None
        self._untold = 0  # refused reloads that wait for a control to be told of them

    # -- service ---------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Lock the state directory and bind everything, before privileges are shed.

        :raises SystemExit: something cannot be bound; the text names the key and the mend.
        """
        super().privilegedStartService()
        config = self.revision.config
        self._rundir.take(patience=config.drain)
        try:
            for index, listen in enumerate(config.listens):
                self._listening.append(_bound(self.revision, f"listen[{index}].endpoint", listen.endpoint))
        except SystemExit:
            self._give_back()
            raise
        self._floors = {name: os.pipe() for name in SERVERS}

    def startService(self) -> None:
        """Fill the seats: notary, control, then workers, which find both sockets listening already."""
        super().startService()
        self.revision.remember()
        workers = self.revision.config.workers
        crew = ["worker-1"] if workers == "inline" else [f"worker-{n}" for n in range(1, int(workers) + 1)]
        for name in (*SERVERS, *crew):
            self.seats[name] = self._seat(name)
        for seat in list(self.seats.values()):
            seat.start()
        ready = gatherResults([seat.ready() for seat in self.seats.values()], consumeErrors=True)
        ready.addCallbacks(self._all_ready, self._not_ready)
        self.reactor.callWhenRunning(self._hear_signals)

    def stopService(self) -> Deferred[Any]:
        """Drain, unless that has been done already. Fires when nothing runs."""
        super().stopService()
        return self.drain(self.revision.config.drain)

    # -- seats -----------------------------------------------------------------------------

    def _seat(self, name: str) -> Seat:
        if self.revision.config.workers == "inline":
            return InlineSeat(self.reactor, name, self._furnish_inline, self.reload, self.revision.config)
        return ProcessSeat(self.reactor, name, self._furnish, self.reload)

    def _furnish(self, name: str) -> tuple[Boot, list[int]]:
        """A new occupant's boot, with a token of its own that replaces its predecessor's."""
        kind = name.partition("-")[0]
        listens = tuple(
            Inherited(FIRST_DESCRIPTOR + index, one.family) for index, one in enumerate(self._served_by(kind))
        )
        floor = FIRST_DESCRIPTOR + len(listens) if kind in SERVERS else -1
        return self._boot(name, kind, listens, floor), self._inherited(kind)

    def _furnish_inline(self, name: str) -> tuple[Boot, list[int]]:
        """The same for an object of this process, which gets duplicates that it may close."""
        kind = name.partition("-")[0]
        listens = tuple(Inherited(one.dup().detach(), one.family) for one in self._served_by(kind))
        return self._boot(name, kind, listens, -1), []

    def _boot(self, name: str, kind: str, listens: tuple[Inherited, ...], floor: int) -> Boot:
        first, token = name not in self._tokens, new_token()
        self._tokens[name] = token
        boot = Boot(
            first=first, name=name, part=self._parts[kind], token=token, file=str(self.revision.config.file),
            text=self.revision.text, revision=self.revision.number, listens=listens, floor=floor,
            sockets={server: str(self._rundir.socket(server)) for server in SERVERS},
            peers=self._peers_of(kind), options=dict(self._options),
        )
        for server in SERVERS:
            if server in self.seats and server != name:
                self.seats[server].peers(self._peers_of(server))
        return boot

    def _served_by(self, kind: str) -> list[socket.socket]:
        """Only workers hold the listening sockets of clients; servers bind a UNIX socket of their own."""
        return self._listening if kind not in SERVERS else []

    def _inherited(self, kind: str) -> list[int]:
        """In order: what it serves; its own floor; a hold on every floor it stands on."""
        match kind:
            case "notary":
                return [self._floors["notary"][0], self._rundir.fileno()]
            case "control":
                return [self._floors["control"][0], self._floors["notary"][1]]
        served = [one.fileno() for one in self._listening]
        return [*served, self._floors["notary"][1], self._floors["control"][1]]

    def _peers_of(self, kind: str) -> dict[str, str]:
        """Tokens that this server accepts, and whose they are."""
        if kind not in SERVERS:
            return {}
        return {token: name for name, token in self._tokens.items() if name != kind and name != "notary"}

    # -- what happens ----------------------------------------------------------------------

    def _all_ready(self, _: object) -> None:
        where = ", ".join(listen.endpoint for listen in self.revision.config.listens)
        self.log.info("serving revision {number} on {where}", number=self.revision.number, where=where)

    def _not_ready(self, failure: Failure) -> None:
        """Inline only: a process that cannot start is tried again, an object is not. Whoever supervises us sees exit 1."""
        self.log.critical("cannot start: {why}", why=shown(failure.value.subFailure))
        atexit.register(_leave, 1)
        self.reactor.callWhenRunning(self.reactor.stop)  # objects may refuse before it runs

    def _hear_signals(self) -> None:
        meanings = {signal.SIGTERM: self.terminate, signal.SIGINT: self.terminate, signal.SIGHUP: self._hang_up}
        for number, heard in meanings.items():
            signal.signal(number, lambda *_, heard=heard: self.reactor.callFromThread(heard))

    def terminate(self) -> None:
        """SIGTERM or Ctrl-C: drain, then leave; the second one waits for nothing."""
        if self._stopping is not None:
            self.log.info("not waiting any longer")
            self.drain(0.0)
            return
        self.log.info("draining: no new session; those that run have {seconds:g} s", seconds=self.revision.config.drain)
        self.drain(self.revision.config.drain).addCallback(lambda _: self._leave())

    def _leave(self) -> None:
        self.log.info("everything has ended")
        self.reactor.stop()

    def drain(self, patience: float) -> Deferred[Any]:
        """Workers first, then control, then the notary, so that every end is recorded."""
        ended: Deferred[Any] = Deferred()
        if self._stopping is not None:
            if patience == 0.0:
                self._stop_workers(patience)
            self._stopping.addBoth(lambda result: ended.callback(None))
            return ended
        self._close_listening()
        self._stopping = self._stop_workers(patience)
        for server in reversed(SERVERS):
            self._stopping.addBoth(lambda _, server=server: self._stop_one(server))
        self._stopping.addBoth(lambda _: self._give_back())
        self._stopping.addBoth(lambda result: ended.callback(None))
        return ended

    def _stop_workers(self, patience: float) -> Deferred[Any]:
        crew = [seat.stop(patience) for name, seat in self.seats.items() if name not in SERVERS]
        return gatherResults(crew, consumeErrors=True)

    def _stop_one(self, name: str) -> Any:
        return self.seats[name].stop(0.0) if name in self.seats else None

    def _close_listening(self) -> None:
        for one in self._listening:
            one.close()
        self._listening = []

    def _give_back(self) -> None:
        self._close_listening()
        for pair in self._floors.values():
            for end in pair:
                os.close(end)
        self._floors = {}
        self._rundir.release()

    # -- reload ----------------------------------------------------------------------------

    def _hang_up(self) -> None:
        self.reload(SIGNAL).addErrback(lambda _: None)  # it was logged

    def reload(self, by: str) -> Deferred[int]:
        """
        Read the file again. Fires with the revision in force; fails with CannotSwitch, and then nothing has changed.

        :param by: who asked, for the evidence.
        """
        if self._stopping is not None or self._reload is not None:
            self.log.warn("a reload or the end is under way; another changes nothing")
            why = "a reload or the end is under way; try again when it is over"
            self._tell_refused(by, why)
            return fail(CannotSwitch(why))
        self._reload = Reload(self.revision, self.seats, by, self.reactor)
        number = self.revision.number
        done: Deferred[int] = self._reload.run(self._adopt)
        done.addBoth(lambda result: (setattr(self, "_reload", None), result)[1])
        return done.addCallbacks(lambda _: self._reloaded(number), lambda failure: self._kept(failure, by))

    def _adopt(self, revision: Revision) -> None:
        self.revision = revision
        revision.remember()

    def _reloaded(self, before: int) -> int:
        word = "has not changed" if before == self.revision.number else "is in force"
        self.log.info("the configuration, revision {number}, {word}", number=self.revision.number, word=word)
        return self.revision.number

    def _kept(self, failure: Failure, by: str) -> NoReturn:
        number = self.revision.number
        self.log.error("reload refused, revision {number} stays: {why}", number=number, why=shown(failure))
        self._tell_refused(by, told(failure))
        raise CannotSwitch(told(failure))

    def _tell_refused(self, by: str, why: str) -> None:
        """Nothing waits for it. Where control is not there, it is told when one is again."""
        if "control" not in self.seats:
            return
        seat, said = self.seats["control"], (self.revision.number, f"{by}\n{why}".encode())
        seat.ask("refuse", *said).addErrback(self._tell_later, seat, said).addErrback(self._lost)

    def _tell_later(self, failure: Failure, seat: Seat, said: tuple[int, bytes]) -> Failure | Deferred[None]:
        """Once; of very many, while there is none for long, the log alone has the last ones."""
        if self._untold >= _MOST_UNTOLD:
            return failure
        self._untold += 1
        self.log.warn("that a reload was refused is not in the evidence yet: {why}", why=shown(failure))
        telling = seat.ready().addCallback(lambda _: seat.ask("refuse", *said))
        return telling.addBoth(lambda result: (setattr(self, "_untold", self._untold - 1), result)[1])

    def _lost(self, failure: Failure) -> None:
        self.log.error("that a reload was refused is not in the evidence: {why}", why=shown(failure))


def _leave(code: int) -> None:
    """The last thing this process does: twistd has tidied up, and knows no way to say that it failed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _bound(revision: Revision, key: str, endpoint: str) -> socket.socket:
    try:
        return bind(endpoint)
    except CannotListen as error:
        raise SystemExit(f"ostiary: {place(revision.config.file, revision.text, key)}: {error}") from None
