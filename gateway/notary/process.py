"""
The notary as a service: workers append, control grants, readers read. In its own process or inline.

Frames (`gateway.frame`), first from the other side:

    ["hello", token, [worker numbers that it had]] -> ["up", worker, last, sessions] | ["down", why] | ["denied", why]
    ["append", worker, first, [[event, body|nil, terms|nil], …]]   -> ["ack", last, [[sequence, why], …]]
    ["grant", id, name, binding, expires_ns, uses, request, facts] -> ["done", id] | ["failed", id, why]     (control)
    ["admin", id, what, facts]                    -> ["done", id] | ["failed", id, why]
    ["status", id] ["health", id] ["ledger", id, start] ["events", id, start]
    ["read", id, segment, start] ["follow", id]                                                             (readers)

"down" takes back everything not acknowledged; "up" follows by itself with a new worker
number, whose sequence starts at 1, and says up to which sequence the records are here
that came under the number before (0 where nobody knows), and which sessions that came under any
of its numbers have not ended here: those that it has beside them were taken for lost with it, and go on. A reader shows no token: the kernel says that
it is our own user, or root.

    python -m gateway.notary.process < one JSON line, then open until the notary is to stop
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet import reactor as default_reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from gateway.config import Audit
from gateway.frame import STARTING
from gateway.notary import keys
from gateway.notary.anchor import FileAnchor
from gateway.notary.desk import Desk, Lost
from gateway.notary.layout import Layout
from gateway.notary.record import Kind, event
from gateway.notary.remark import Remark
from gateway.notary.rounds import Rounds
from gateway.notary.store import Store, create
from gateway.notary.writer import Writer, describe

Tokens = Mapping[str, str] | Callable[[str], str | None]
"""A token's role: "control", or anything else for a worker; None for a token that is not ours."""


def init_store(audit: Audit, origin: str, state: Path) -> None:
    """Make keys and an empty store; what exists is left as it is."""
    create(audit, keys.create(state, origin))


class Notary(Service):
    """
    :param origin: the log's name, e.g. "clinic-gw".
    :param state: the gateway's state directory; the keys are in it.
    :param tokens: who may connect as what.
    :param first: no worker can have lived before it: what the store holds open is over.
    """

    def __init__(
        self, audit: Audit, origin: str, state: Path, tokens: Tokens, reactor: Any = default_reactor, *, first: bool = False
    ) -> None:
        self._audit, self._origin, self._state, self._reactor = audit, origin, state, reactor
        self.tokens, self._first = tokens, first
        self._log = Logger()
        self._desks: set[Desk] = set()
        self._followers: set[Desk] = set()
        self.owners: dict[bytes, Desk] = {}  #: of sessions; see `claim`
        self._ports: list[Any] = []
        self._where = ""  # the path it listens on; a port that is closed no longer knows it
        self.why_down: str | None = STARTING
        self._anchor: FileAnchor | None = None
        unsealable = partial(reactor.callFromThread, self._sealing)
        self.writer = Writer(self._open_store, reactor, reactor.callFromThread, self._up, self._down, self._news, unsealable)
        self._unsealable: dict[int, tuple[str, int]] = {}  # closed segments that are damaged, how, and when that was noticed
        self._unsaid: list[tuple[str, str]] = []
        self._burial: Any = None  # when the sessions of workers that did not come back are over
        self.rounds = Rounds(lambda what, why: reactor.callFromThread(self._remark, what, why))
        self._factory = _Desks(self)

    # Service

    def startService(self) -> None:
        super().startService()
        if self._audit.anchor_file is not None:
            lost = partial(self._reactor.callFromThread, self._remark, "anchor")
            self._anchor = FileAnchor(self._audit.anchor_file, self._anchor_failed, lost, self._anchor_written)
        self.writer.start()

    def stopService(self) -> Deferred[None]:
        """Stop listening, commit what is queued, close the store."""
        super().stopService()
        if self._burial is not None and self._burial.active():
            self._burial.cancel()
        closing = [maybeDeferred(port.stopListening) for port in self._ports]
        for desk in list(self._desks):
            desk.leave()
        self.writer.stop()
        ended = deferToThread(self._stop_threads).addCallback(self._stopped)
        return gatherResults([ended, *closing]).addCallback(lambda _: None)

    def _stop_threads(self) -> None:
        self.rounds.stop()
        self.writer.join()
        if self._anchor is not None:
            self._anchor.close()

    def _stopped(self, _: None) -> None:
        for desk in list(self._desks):
            desk.transport.loseConnection()

    def listen(self, where: Path | str | int, mode: int = 0o600) -> None:
        """On a UNIX path, or on an inherited listening socket."""
        if isinstance(where, int):
            self._ports.append(self._reactor.adoptStreamPort(where, socket.AF_UNIX, self._factory))
        else:
            _remove_dead_socket(Path(where))
            self._ports.append(self._reactor.listenUNIX(str(where), self._factory, mode=mode))
        self._where = os.fsdecode(self._ports[0].getHost().name)
        with suppress(OSError):  # no store yet; said again when it is opened
            self._say_where()

    def adopt(self, connection: socket.socket) -> None:
        """Serve the other end of a socketpair. Takes the socket over."""
        connection.setblocking(False)
        self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, self._factory)
        connection.close()

    # What desks need

    def role(self, token: str, uid: int) -> str | None:
        """Who shows this token; None for nobody. Another user's process is nobody, whatever it shows."""
        if uid not in (os.getuid(), 0):
            return None
        if not token:
            return "reader"
        return self.tokens(token) if callable(self.tokens) else self.tokens.get(token)

    def seated(self, desk: Desk) -> None:
        self._desks.add(desk)

    def left(self, desk: Desk) -> None:
        self._desks.discard(desk)
        self._followers.discard(desk)
        for session in [session for session, owner in self.owners.items() if owner is desk]:
            del self.owners[session]

    def follow(self, desk: Desk) -> None:
        """It hears of what is recorded from now on."""
        self._followers.add(desk)

    def claim(self, session: bytes, desk: Desk, *, ending: bool) -> bool:
        """Whether this desk may speak of a session; the first to do so owns it until it ends."""
        if self.owners.setdefault(session, desk) is not desk:
            return False
        if ending:
            del self.owners[session]
        return True

    # Word from the writer

    def _open_store(self) -> Store:
        store = Store(self._audit, keys.load(self._state, self._origin), anchor=self._anchor, alone=self._first)
        self._first = False  # workers join from here on
        self._say_where()
        return store

    def _say_where(self) -> None:
        """For readers, who know the store."""
        if self._where:
            Layout(self._audit.directory).socket_name.write_text(self._where)

    def _up(self) -> None:
        self.why_down = None
        self._log.info("evidence is recorded in {directory}", directory=str(self._audit.directory))
        for desk in list(self._desks):
            desk.up()
        unsaid, self._unsaid = self._unsaid, []
        for what, why in unsaid:
            self._record(what, why)
        store = self.writer.store
        if store is not None:
            self.rounds.watch(store)
            self._say("anchor", store.begun)  # the store has recorded it
            if store.state.sessions:
                self._burial = self._reactor.callLater(BURIAL, self._bury, store)

    def _bury(self, store: Store) -> None:
        """A worker that died while there was no notary says nothing of its sessions any more."""
        here = {number for desk in self._desks for number in desk.numbers}
        lost = [session for session, (worker, _) in store.state.sessions.items() if worker not in here]
        if lost and store is self.writer.store:
            self.writer.submit(Lost(lost))

    def _down(self, why: str) -> None:
        if why != self.why_down and self.running:
            self._log.error("nothing can be recorded: {why}", why=why)
        self.why_down = why
        for desk in list(self._desks):
            desk.down(why)

    def _remark(self, what: str, why: str) -> None:
        """What the notary noticed of its own store: said in the log at once, and recorded as soon as that can be."""
        if self.running:
            self._say(what, why)
            self._record(what, why)

    def _sealing(self, number: int, why: str) -> None:
        """A closed segment cannot be sealed, or could be. It is tried every few seconds; what changes is told."""
        what, noticed = self._unsealable.pop(number, ("", time.time_ns()))
        if why:
            now = f"segment {number} is closed and cannot be sealed: {why}"
            self._unsealable[number] = now, noticed
            if now != what:
                self._remark("damaged", now)
        elif what:
            self._remark("mended", f"segment {number} could be sealed")

    def _say(self, what: str, why: str) -> None:
        tell = self._log.error if what in _BAD else self._log.info
        if why:
            tell("evidence, {what}: {why}{mend}", what=what, why=why, mend=_BAD.get(what, ""))

    def _record(self, what: str, why: str) -> None:
        self.writer.submit(Remark(event(Kind.NOTARY, what, why), lambda: self._unsaid.append((what, why))))

    def health(self) -> dict[str, Any]:
        """For operators: what works, and what a person should look after. Empty texts say that nothing is wrong."""
        store = self.writer.store if self.why_down is None else None
        told = {"segment": store.segment.number, "records": store.segment.size, "ledger_entries": store.ledger.size} if store is not None else {}
        trouble = self._anchor.trouble if self._anchor is not None else None
        sealed = self.rounds.health()
        closed = [{"segment": number, "what": what, "noticed_ns": noticed} for number, (what, noticed) in self._unsealable.items()]
        return {
            **told, **sealed, "damaged": [*sealed["damaged"], *closed], "why": self.why_down or ("" if store is not None else "starting"),
            "last_ns": store.state.last_ns if store is not None else 0, "anchor": describe(trouble) if trouble else "",
        }

    def _news(self) -> None:
        for desk in self._followers:
            desk.news()

    def _anchor_failed(self, error: OSError) -> None:
        self._log.error("the anchor file cannot be written: {why}", why=describe(error))

    def _anchor_written(self) -> None:
        self._log.info("the anchor file is written again, with the newest checkpoint, which covers those that it missed")


BURIAL = 60.0
"""Seconds from a notary's start for workers that live to have come to it; they try every second."""

_BAD = {
    "damaged": "; what is recorded now is not touched by that: `ostiary audit verify` says what is wrong, and a backup may have the file",
    "anchor": "; it proves nothing of what was recorded before: put it back from a backup, or keep ledger/checkpoint elsewhere today",
}
"""Remarks that somebody must act on, and what to do."""


class _Desks(Factory):
    noisy = False

    def __init__(self, notary: Notary) -> None:
        self._notary = notary

    def buildProtocol(self, addr: IAddress | None) -> Desk:
        return Desk(self._notary)


def _remove_dead_socket(path: Path) -> None:
    """A socket file that a killed notary left behind; one that answers is left alone."""
    if not path.exists():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
