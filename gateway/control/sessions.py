"""
Which sessions live, on which worker, and which cancel key belongs to whom.

Not stored: workers announce what they have when they join, so what control knows after
a restart is what is true then. Past sessions are in the evidence.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList

from gateway.control.errors import BadCall, Conflict, NotFound
from gateway.control.when import iso
from gateway.ids import LEAST, meant, several

Value = dict[str, Any]

FIELDS = ("id", "subject", "kind", "groups", "on_behalf_of", "token", "target", "protocol", "account", "database", "peer", "application", "opened")

CHANGED = "a reload changed who you are here; log in again"
"""Why a session ends whose identity is another one now, of the same name."""


def by_operator(why: str) -> str:
    """
    What its client and its record are told of a session that an operator ended.

    :param why: the operator's own words; "" for none.
    """
    return f"an operator ended this session{': ' if why else ''}{why} [OST-650]"


class Worker(Protocol):
    """The link to one."""

    def push(self, name: str, value: Any) -> None: ...

    def ask(self, method: str, **arguments: Any) -> Deferred[Any]: ...


class Sessions:
    """Live sessions of all workers."""

    def __init__(self) -> None:
        self._sessions: dict[str, tuple[Worker, Value]] = {}
        self._keys: dict[int, dict[bytes, tuple[Worker, str]]] = {}

    def opened(self, worker: Worker, session: Value) -> None:
        """Also when a worker joins again: the newest word counts."""
        if not isinstance(session.get("id"), str) or not isinstance(session.get("subject"), str):
            raise BadCall("a session needs its id and its subject")
        self._sessions[session["id"]] = (worker, {name: session.get(name) for name in FIELDS})

    def closed(self, worker: Worker, session: str) -> None:
        """The session ended; so does its cancel key. Only its own worker may say so."""
        known = self._sessions.get(session)
        if known is not None and known[0] is worker:
            del self._sessions[session]
            self._forget_keys(lambda owner, whose: owner is worker and whose == session)

    def lost(self, worker: Worker) -> list[str]:
        """A worker is gone, and its sessions with it."""
        gone = [name for name, (owner, _) in self._sessions.items() if owner is worker]
        for name in gone:
            del self._sessions[name]
        self._forget_keys(lambda owner, _: owner is worker)
        return gone

    def key(self, worker: Worker, session: str, pid: int, secret: bytes) -> None:
        """The key that the session's client was given; its worker is asked to `cancel` when somebody shows it."""
        self._keys.setdefault(pid, {})[secret] = (worker, session)

    def cancel(self, pid: int, secret: bytes) -> Deferred[bool]:
        """
        Route a cancel to whoever owns the session; fires when that has been done, or cannot. Whoever asks learns nothing
        (PostgreSQL 18 manual, 54.2.8).
        """
        found = [owner for known, owner in self._keys.get(pid, {}).items() if hmac.compare_digest(known, secret)]
        told = DeferredList([worker.ask("cancel", session=session) for worker, session in found], consumeErrors=True)
        return told.addCallback(lambda _: bool(found))

    def end(self, session: str, why: str) -> None:
        """As `kill`, since what let it in is over."""
        self.kill(session, f"this session was ended: {why} [OST-651]")

    def named(self, given: str) -> str:
        """
        The id of a live session, of which the beginning may be given.

        :raises NotFound: none lives. :raises Conflict: several begin so.
        """
        if given in self._sessions:
            return given
        found = meant(given, self._sessions)
        if len(found) > 1:
            raise Conflict(several(given, found, {one: _about(self._sessions[one][1]) for one in found}))
        if not found and len(given) < LEAST:
            raise NotFound(f"there is no session {given}; of an id at least {LEAST} characters are given: `ostiary session list` has those of now")
        if not found:
            raise NotFound(f"there is no live session {given}: `ostiary session list` has those of now, `ostiary audit search` those of before")
        return found[0]

    def kill(self, session: str, why: str) -> Value:
        """
        Ask its worker to end it.

        :raises NotFound: it does not live. :raises Conflict: as `named`.
        """
        worker, told = self._sessions[self.named(session)]
        worker.push("kill", {"session": told["id"], "why": why})
        return told

    def observe(self, session: str, by: str, groups: Iterable[str]) -> Value:
        """
        Tell its worker that somebody watches it now.

        :raises NotFound: it does not live.
        """
        worker, told = self._sessions[self.named(session)]
        worker.push("observed", {"session": told["id"], "by": by, "groups": sorted(groups)})
        return told

    def end_all(self, wanted: Callable[[Value], bool], why: str) -> list[str]:
        """End every session that fits, since what let it in is over; their ids."""
        chosen = [name for name, (_, session) in self._sessions.items() if wanted(session)]
        for name in chosen:
            self.end(name, why)
        return chosen

    def get(self, session: str) -> Value:
        """
        :raises NotFound: it does not live. :raises Conflict: as `named`.
        """
        return self._sessions[self.named(session)][1]

    def listed(self) -> list[Value]:
        """Oldest first."""
        return sorted((session for _, session in self._sessions.values()), key=lambda s: (s["opened"] or 0, s["id"]))

    def _forget_keys(self, gone: Callable[[Worker, str], bool]) -> None:
        self._keys = {pid: left for pid, owners in self._keys.items() if (left := _without(owners.items(), gone))}


def _about(session: Value) -> str:
    """When it began, whose it is and where."""
    return " ".join([*([iso(session["opened"])] if session.get("opened") else []), session["subject"], *(["on", session["target"]] if session.get("target") else [])])


def _without(
    owners: Iterable[tuple[bytes, tuple[Worker, str]]], gone: Callable[[Worker, str], bool]
) -> dict[bytes, tuple[Worker, str]]:
    return {secret: owner for secret, owner in owners if not gone(*owner)}
