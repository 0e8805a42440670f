"""
What one worker may ask of control, and what becomes of its questions when it is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail

from gateway.control.badges import Badge, hashed
from gateway.control.commits import Commits
from gateway.control.errors import BadCall, ControlUnavailable, NotFound
from gateway.control.identity.second import BY_RULES
from gateway.control.office import Office
from gateway.control.rpc import Methods, Rpc
from gateway.control.sessions import CHANGED
from gateway.control.store import Value
from gateway.ssh.doors import PROTOCOL, names
from gateway.ssh.lines import fingerprint

LEASE = 5.0
"""Seconds that a worker may go on opening sessions after control's last sign of life."""

METHODS = (
    "join", "ping", "authenticate", "scram", "scram_result", "ssh_token", "ssh_key", "ssh_key_result", "ssh_authority", "ssh_code",
    "ssh_device", "ssh_device_result", "ssh_device_end",
    "ssh_certificate_result", "ssh_certificate", "ssh_host_certificate", "ssh_jumps", "identity", "secret", "submit", "withdraw",
    "session_opened", "session_closed", "cancel_key", "cancel", "count", "catalog_changed", "commit_begins", "commit_ended",
    "reveals", "revealed", "passed",
)


class Desk:
    """One worker's side of the counter. Its requests are its own: no other worker may withdraw them."""

    def __init__(self, office: Office, waiting: dict[str, Desk], others: Callable[[Desk, str, Any], None], commits: Commits) -> None:
        """
        :param others: pushes something to the workers at all other desks.
        """
        self._office, self._waiting, self._others, self._commits = office, waiting, others, commits
        self.link: Rpc | None = None

    @property
    def methods(self) -> Methods:
        return {name: getattr(self, name) for name in METHODS}

    def push(self, name: str, value: Any) -> None:
        """To the worker."""
        if self.link is not None:
            self.link.push(name, value)

    def ask(self, method: str, **arguments: Any) -> Deferred[Any]:
        """The worker, for an answer."""
        return self.link.call(method, **arguments) if self.link is not None else fail(ControlUnavailable("its worker is not there"))

    def join(
        self, sessions: Sequence[Value], keys: Sequence[tuple[str, int, bytes]], waiting: Sequence[str],
        withdrawn: Sequence[tuple[str, str]], commits: Sequence[tuple[str, str, str]] = (),
    ) -> Value:
        """
        A worker came, maybe back: what it has is what there is. Told: answers it missed, and what others are committing.
        """
        for session in sessions:
            self.session_opened(session)
        for session, pid, secret in keys:
            self.cancel_key(session, pid, secret)
        for request, why in withdrawn:
            self._waiting.setdefault(request, self)
            self.withdraw(request, why)
        answers = {request: self._rejoin(request) for request in waiting}
        elsewhere = self._commits.joined(self, [(_text(key), _text(target), _text(database)) for key, target, database in commits])
        requests = self._office.requests
        return {"lease": LEASE, "answers": answers, "reveals": requests.reveals.live(), "lists": requests.lists.live(), "commits": elsewhere}

    def _rejoin(self, request: str) -> Value | None:
        try:
            answer = self._office.requests.settled(request)
        except NotFound:
            return {"request": request, "state": "withdrawn", "grant": "", "by": "", "reason": "control lost it"}
        if answer is None:
            self._waiting[request] = self
        return answer

    def ping(self) -> Value:
        """A sign of life; renews the lease."""
        return {"lease": LEASE}

    # -- logins ------------------------------------------------------------------------

    def authenticate(self, subject: str, secret: str, peer: str) -> Value:
        return self._office.login.authenticate(_text(subject), _text(secret), _text(peer))

    def scram(self, subject: str, peer: str = "") -> Value:
        return self._office.login.scram(_text(subject), _text(peer))

    def scram_result(self, subject: str, ok: bool, peer: str, token: str = "") -> Value:
        return self._office.login.scram_result(_text(subject), ok is True, _text(peer), _text(token))

    def ssh_key(self, subject: str, blob: bytes, peer: str) -> bool:
        return self._office.login.ssh_key(_text(subject), bytes(blob), _text(peer))

    def ssh_token(self, subject: str, secret: str, peer: str, second: str = BY_RULES) -> Value:
        return self._office.login.ssh_token(_text(subject), _text(secret), _text(peer), _text(second))

    def ssh_key_result(self, subject: str, blob: bytes, ok: bool, peer: str, second: str = BY_RULES) -> Value:
        return self._office.login.ssh_key_result(_text(subject), bytes(blob), ok is True, _text(peer), _text(second))

    def ssh_authority(self, subject: str, badge: Value, peer: str) -> bool:
        return self._office.login.ssh_authority(_text(subject), _badge(badge), _text(peer))

    def ssh_certificate_result(self, subject: str, badge: Value, ok: bool, peer: str, second: str = BY_RULES) -> Value:
        return self._office.login.ssh_certificate_result(_text(subject), _badge(badge), ok is True, _text(peer), _text(second))

    def ssh_code(self, subject: str, code: str, peer: str) -> bool:
        return self._office.login.ssh_code(_text(subject), _text(code), _text(peer))

    def ssh_device(self, flow: str, subject: str, peer: str) -> Deferred[Value]:
        self._office.login.ssh_device(_text(subject), _text(peer))
        return self._office.flows.start(self, _text(flow), subject, peer)

    def ssh_device_result(self, flow: str, subject: str, peer: str, second: str = BY_RULES) -> Deferred[Value]:
        looked = self._office.flows.look(self, _text(flow), _text(subject), _text(peer))
        judge = self._office.login.ssh_device_result
        return looked.addCallback(lambda proof: {} if proof is None else judge(subject, proof, peer, _text(second)))

    def ssh_device_end(self, flow: str) -> None:
        self._office.flows.end(self, _text(flow))

    def ssh_certificate(self, target: str, account: str, subject: str, session: str, key: bytes) -> Value:
        """For one session of an identity that may come in now, at a target of the file."""
        entry = self._office.targets.get(_text(target))
        if entry is None or self._office.identities.live(_text(subject)) is None:
            raise NotFound("there is no such target or identity")
        return self._office.authorities.session(entry, _text(account), subject, _text(session), bytes(key))

    def ssh_host_certificate(self, name: str, key: bytes) -> Value:
        """For a name of an SSH target of the file, and for no other."""
        if not any(name in names(entry) for entry in self._office.targets.values() if entry.protocol == PROTOCOL):
            raise NotFound("there is no such target")
        return self._office.authorities.host(_text(name), bytes(key))

    def ssh_jumps(self, user: str, peer: str) -> bool:
        """By the domain alone, so that it says of nobody whether they are known."""
        return self._office.login.jumps(_text(user), _text(peer))

    def identity(self, subject: str) -> Value:
        return self._office.login.identity(_text(subject))

    def secret(self, target: str, account: str) -> Value:
        return self._office.vault.secret(_text(target), _text(account))

    def count(self, subject: str, statements: int) -> int:
        return self._office.limits.count(_text(subject), int(statements))

    # -- requests ----------------------------------------------------------------------

    def submit(self, request: Mapping[str, Any]) -> Deferred[Value]:
        return self._office.requests.submit(request).addCallback(self._submitted, request["mode"])

    def _submitted(self, answer: Value, mode: str) -> Value:
        if answer["state"] == "pending" and mode == "hold":
            self._waiting[answer["request"]] = self
        if self.link is not None and not self.link.connected_now:
            self._office.requests.withdraw(answer["request"], "its worker is gone")
        return answer

    def withdraw(self, request: str, why: str) -> None:
        if self._waiting.get(request, self) is not self:
            raise NotFound("that request waits in another worker")
        self._waiting.pop(request, None)
        self._office.requests.withdraw(_text(request), _text(why)[:200])

    # -- sessions ----------------------------------------------------------------------

    def session_opened(self, session: Value) -> None:
        self._office.sessions.opened(self, session)
        known = self._office.sessions.get(session["id"])
        if not self._office.may_go_on(known):
            self._office.sessions.end(session["id"], "the identity or its token was revoked")
        elif not self._office.is_same(known):  # it came in while a reload was on its way
            self._office.sessions.end(session["id"], CHANGED)

    def session_closed(self, session: str) -> None:
        self._office.sessions.closed(self, _text(session))

    def cancel_key(self, session: str, pid: int, secret: bytes) -> None:
        if not isinstance(secret, bytes) or not secret:
            raise BadCall("a cancel key is bytes")
        self._office.sessions.key(self, _text(session), int(pid), secret)

    def cancel(self, pid: int, secret: bytes) -> Deferred[bool]:
        return self._office.sessions.cancel(int(pid), bytes(secret))

    def reveals(self, subject: str, target: str, account: str, database: str, rule: Value) -> list[Value]:
        """What an identity may see there now, by what the rule wants."""
        return self._office.requests.reveals.found(_text(subject), _text(target), _text(account), _text(database), rule)

    def revealed(self, request: str, shown: bool) -> None:
        """A statement under it is over, and may have shown something."""
        self._office.requests.reveals.used(_text(request), shown is True)

    def passed(self, subject: str, target: str, account: str, database: str, session: str, text: str) -> None:
        """A statement is about to run that is allowed as it is: lists whose next one it is go on."""
        ran = {"subject": subject, "target": target, "account": account, "database": database, "session": session, "text": text}
        self._office.requests.lists.passed({name: _text(value) for name, value in ran.items()})

    def catalog_changed(self, target: str, database: str) -> None:
        """DDL passed in this worker: the others read that catalog again before they decide."""
        self._others(self, "catalog", [_text(target), _text(database)])

    def commit_begins(self, key: str, target: str, database: str) -> Deferred[None]:
        """
        A session in this worker is about to commit what may change what names mean. Answered when all others know, and not at
        all well where one of them does not say so.
        """
        return self._commits.begins(self, _text(key), _text(target), _text(database))

    def commit_ended(self, key: str) -> None:
        """Committed or not; the others have heard of the change before."""
        self._commits.ended(self, _text(key))

    def lost(self) -> None:
        """The worker is gone: its sessions are, and nobody waits for its requests."""
        self._commits.left(self)
        self._office.flows.left(self)
        self._office.sessions.lost(self)
        mine = [request for request, desk in self._waiting.items() if desk is self]
        for request in mine:
            self.withdraw(request, "the session ended")


def _badge(told: Value) -> Badge:
    return Badge(fingerprint(bytes(told["authority"])), int(told["serial"]), int(told["after"]), hashed(_text(told["key_id"])))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadCall("a text was expected")
    return value
