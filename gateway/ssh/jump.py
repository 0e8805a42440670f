"""
A client that proved who it is and named no target: `ssh -J gateway root@web1`. It may open ways to targets.

In each way the gateway answers as the target, with a host certificate for the name that the client asked for, and what comes
in there is a stranger's connection like any other: it has to prove the same identity again, and becomes a session of its own.
Nothing is dialled for a way, so what a client writes for a host leads to a registered target's door or nowhere.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.config import Account
from gateway.control.errors import ControlError
from gateway.control.rpc import place
from gateway.house import Worker
from gateway.seated import told_of
from gateway.ssh.doors import Door, door
from gateway.ssh.leg import BY_APPLICATION, PROTOCOL_ERROR
from gateway.ssh.passage import Passage
from gateway.ssh.sides import ServerLeg
from protocols.session import Identity, Session, Target
from protocols.ssh.certificate import Certificate
from protocols.ssh.messages import Unreadable
from protocols.ssh.ways import Asked, Ended, Heard, Misled, Prove, Room, Say, WayEffect, Ways
from protocols.verdict import Allow, Verdict

IDLE = 120.0
"""Seconds that a client may stand there without a way."""
JUMPS = 1024
"""Connections of one worker that jump."""
JUMPS_OF_ONE = 64
"""Of them of one identity."""

_NOWHERE = "there is no such target for you (OST-101); ask the gateway's operator for access"

Inside = Callable[[Door, Mapping[bytes, bytes]], Protocol]
"""Makes what answers in a way, of where it leads and the certificates (by kind of key) to show there."""
Certificates = Callable[[str], Deferred[Mapping[bytes, bytes]]]
"""The gateway's host certificates for a name of a registered target."""


class Jumps:
    """Who jumps in one worker, so that they do not become too many."""

    def __init__(self) -> None:
        self._of: Counter[str] = Counter()

    def enter(self, subject: str) -> bool:
        """Whether one more may."""
        if self._of.total() >= JUMPS or self._of[subject] >= JUMPS_OF_ONE:
            return False
        self._of[subject] += 1
        return True

    def leave(self, subject: str) -> None:
        """One of them is gone."""
        self._of[subject] -= 1
        if not self._of[subject]:
            del self._of[subject]


class Jump:
    """One such connection, logged in."""

    log = Logger()

    def __init__(
        self, worker: Worker, client: ServerLeg, peer: str, identity: Identity, certificate: Certificate | None, *, id: str, token: str,
        inside: Inside, certificates: Certificates, broken: Callable[[str], None], over: Callable[[str], None],
    ) -> None:
        """
        :param certificate: what the client showed, if it did; one that does not permit forwarding leads nowhere.
        :param id: by which it is listed and killed. :param token: what proved the identity, as a session's; revoking it ends this.
        :param broken: told why the client's bytes ended it, for the record. :param over: told that it is, and why.
        """
        self._worker, self._client, self._peer, self._identity, self._id, self._token = worker, client, peer, identity, id, token
        self._certificate = certificate
        self._inside, self._certificates, self._record, self._told = inside, certificates, broken, over
        self._ways = Ways()
        self._passages: dict[int, Passage] = {}
        self._waiting: dict[int, Deferred[Any]] = {}
        self._full = self._closed = False
        self._idle = worker.reactor.callLater(IDLE, self._unused)

    def begin(self) -> None:
        """The client knows that it is in."""
        client = self._client
        client.on_payload, client.on_broken = self._heard, self._broken
        client.on_lost = lambda why: self._over("client gone")
        client.watch(self._filled)
        self._list()

    def _list(self) -> None:
        """Control knows of it from here on, and ends it with what proved the identity, as it does with sessions."""
        self._worker.jumps[self._id] = self
        self._worker.control.session_opened({
            "id": self._id, **told_of(self._identity), "target": "", "protocol": "ssh", "account": "", "database": "", "peer": self._peer, "application": "jump", "token": self._token, "opened": time.time(),
        })

    # -- what the client says ------------------------------------------------------------

    def _heard(self, payload: bytes) -> None:
        if self._closed:
            return
        try:
            effects = self._ways.from_client(payload, full=self._full)
        except Unreadable as error:
            self._client.disconnect(PROTOCOL_ERROR, str(error))
            self._broken(str(error))
            return
        self._perform(effects)
        self._rest()

    def _perform(self, effects: list[WayEffect]) -> None:
        for effect in effects:
            match effect:
                case Say(payload):
                    self._client.send(payload)
                case Asked():
                    self._ask(effect)
                case Heard(number, data):
                    if number in self._passages:
                        self._passages[number].heard(data)
                case Room(number):
                    if number in self._passages:
                        self._passages[number].room()
                case Ended(number):
                    self._ended(number)
                case Misled(why):
                    self.close(why)
                case Prove(details):
                    self._client.send(self._client.prove_host_keys(details))

    def _ended(self, number: int) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting.cancel()
        passage = self._passages.pop(number, None)
        if passage is not None:
            passage.left()

    def _filled(self, full: bool) -> None:
        """Too much waits for the client, or not any more."""
        self._full = full
        if not full:
            self._ways.taken()
            for passage in list(self._passages.values()):
                passage.room()

    # -- ways ----------------------------------------------------------------------------

    def _ask(self, asked: Asked) -> None:
        where = door(self._identity.subject, self._worker.config.targets.values(), asked.host, asked.port)
        if self._worker.refusing:
            self._refuse(asked.number, f"{self._worker.refusing} (OST-632)")
        elif self._certificate is not None and "permit-port-forwarding" not in self._certificate.extensions:
            self._refuse(asked.number, "your certificate does not permit it (OST-633); ask for one with permit-port-forwarding")
        elif where is None:
            self._refuse(asked.number, _NOWHERE)
        else:
            opening = self._admitted(where).addCallback(lambda may: self._certificates(where.host) if may else None)
            self._waiting[asked.number] = opening
            opening.addCallback(self._open, asked.number, where)
            opening.addErrback(self._not_open, asked.number)
            opening.addErrback(self._crashed)

    def _admitted(self, where: Door) -> Deferred[bool]:
        """Whether there is an account for this identity at all: else the target is as unknown as one that is not there."""
        accounts = list(where.entry.accounts)

        def next_one(verdict: Verdict | None) -> Any:
            if isinstance(verdict, Allow):
                return True
            if not accounts:
                return False
            asked = maybeDeferred(self._worker.pipeline.admit, self._session(where, accounts.pop(0)))
            return asked.addCallback(next_one)

        return succeed(None).addCallback(next_one)

    def _session(self, where: Door, account: Account) -> Session:
        """One that this identity could begin."""
        entry = where.entry
        target = Target(entry.name, entry.protocol, entry.host, entry.port, MappingProxyType(dict(entry.labels)))
        return Session(self._worker.new_id(), self._identity, target, account.name, "", self._peer, "", self._worker.revision)

    def _open(self, certificates: Mapping[bytes, bytes] | None, number: int, where: Door) -> None:
        self._waiting.pop(number, None)
        if self._closed:
            return
        if certificates is None:
            self._refuse(number, _NOWHERE)
            return
        passage = self._passages[number] = Passage(
            self._worker.reactor, send=lambda data: self._send(number, data), took=lambda count: self._perform(self._ways.took(number, count)),
            end=lambda: self._end(number),
        )
        self._perform(self._ways.admit(number))
        passage.begin(self._inside(where, certificates))

    def _not_open(self, failure: Failure, number: int) -> None:
        """Withdrawn, or control cannot be asked."""
        self._waiting.pop(number, None)
        if failure.check(CancelledError) is None:
            failure.trap(ControlError)
            self._refuse(number, failure.value.why)

    def _crashed(self, failure: Failure) -> None:
        self.log.error("a jump ended by a bug: {what}", what=place(failure))
        self.close("internal error of the gateway (OST-900)")

    def _refuse(self, number: int, why: str) -> None:
        if not self._closed:
            self._perform(self._ways.refuse(number, why))
            self._rest()

    def _send(self, number: int, data: memoryview) -> int:
        """As much of it as the client has room for; once it is gone, anything."""
        sent = 0
        while sent < len(data) and not self._full and not self._closed and (room := self._ways.room(number)):
            piece = data[sent:sent + room]
            self._perform([self._ways.send(number, bytes(piece))])
            sent += len(piece)
        return len(data) if self._closed else sent

    def _end(self, number: int) -> None:
        """What answered there is done."""
        self._passages.pop(number, None)
        if not self._closed:
            self._perform(self._ways.end(number))

    # -- the end -------------------------------------------------------------------------

    def close(self, why: str) -> None:
        """The client is told."""
        self._client.disconnect(BY_APPLICATION, why)
        self._over(why)

    def kill(self, why: str) -> None:
        """End it, with every session that is reached through it."""
        self.close(why)

    def _rest(self) -> None:
        """Its time runs while it has no way."""
        if self._closed or bool(len(self._ways)) != self._idle.active():
            return
        if self._idle.active():
            self._idle.cancel()
        else:
            self._idle = self._worker.reactor.callLater(IDLE, self._unused)

    def _unused(self) -> None:
        self.close(f"no way was opened for {IDLE:g} seconds")

    def _broken(self, why: str) -> None:
        if not self._closed:
            self._record(why)
            self._over(why)

    def _over(self, why: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._worker.jumps.pop(self._id, None)
        self._worker.control.session_closed(self._id)
        if self._idle.active():
            self._idle.cancel()
        for waiting in list(self._waiting.values()):
            waiting.cancel()
        for passage in list(self._passages.values()):
            passage.left()
        self._passages.clear()
        self._told(why)
