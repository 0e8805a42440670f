"""
A worker's view of control: questions as Deferreds, and what control has to say, across restarts of control.

What control must know of this worker (sessions, cancel keys, requests that wait) is kept
here and said again at each joining, so control may be killed at any moment. While it is
away questions wait a little for it, then fail with `ControlUnavailable`; requests that wait go on waiting.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.control.errors import ControlUnavailable
from gateway.control.rpc import Rpc, place
from gateway.control.store import Value
from gateway.lists import Lists
from gateway.request import GIVEN_UP
from protocols.tally import Tally

PING = 1.0  # seconds between signs of life
BACKOFF = 0.2  # seconds before joining again; control is back within a second
PATIENCE = 10.0  # seconds until control that is connected and says nothing is taken for gone; a lease is over by then
ABSENCE = 3.0  # seconds that a question waits for control to be back; it is started again within one
ABSENT = 256  # questions that may wait so
OVERTIME = 5.0  # seconds past a request's own timeout before we stop believing in an answer


class ControlClient:
    """
    :ivar on_kill: called with (session, why): end it.
    :ivar on_observed: called with (session, who, groups): somebody watches it at this moment.
    :ivar on_cancel: called with the session whose running command a client wants cancelled; what it gives fires when the target knows.
    :ivar on_catalog: called with (target, database) when another worker saw DDL pass.
    :ivar on_commit: called with (key, target, database) when another worker is about to commit what may change what names mean.
    :ivar on_committed: called with that key when it has ended.
    :ivar on_back: called with all that others are committing, when control is (again) reached: what was said meanwhile is lost.
    :ivar on_joined: called whenever control is (again) reached.
    """

    _log = Logger()

    def __init__(self, reactor: Any, tally: Tally | None = None) -> None:
        """
        :param tally: where changes of what may be revealed are counted; one of its own when not given.
        """
        self.tally = Tally() if tally is None else tally
        self._reactor = reactor
        self._link: Rpc | None = None
        self._joined = self._stopped = False
        self._lease_ends = 0.0
        self._path: Path | None = None
        self._token = ""
        self._sessions: dict[str, Value] = {}
        self._keys: dict[str, tuple[int, bytes]] = {}
        self._waiting: dict[str, _Wait] = {}
        self._withdrawn: dict[str, str] = {}
        self._timers: dict[str, Any] = {}
        self._early: list[Deferred[None]] = []  # questions for control, once it is back
        self._reveals: dict[str, tuple[str, ...]] = {}
        self._commits: dict[str, tuple[str, str]] = {}
        self.lists = Lists(lambda **ran: self._call("passed", **ran))
        self.on_kill: Callable[[str, str], None] = lambda session, why: None
        self.on_observed: Callable[[str, str, frozenset[str]], None] = lambda session, by, groups: None
        self.on_cancel: Callable[[str], Deferred[None] | None] = lambda session: None
        self.on_catalog: Callable[[str, str], None] = lambda target, database: None
        self.on_commit: Callable[[str, str, str], None] = lambda key, target, database: None
        self.on_committed: Callable[[str], None] = lambda key: None
        self.on_back: Callable[[list[list[str]]], None] = lambda commits: None
        self.on_joined: Callable[[], None] = lambda: None

    # -- the link ----------------------------------------------------------------------

    def connect(self, path: Path, token: str) -> None:
        """Reach control at a socket, now and whenever it is back."""
        self._path, self._token = path, token
        self._dial()

    def adopt(self, connection: socket.socket) -> None:
        """Reach control at the other end of a connected socket; inline, it never comes back."""
        connection.setblocking(False)
        self._reactor.adoptStreamConnection(connection.fileno(), socket.AF_UNIX, self._factory(greet=False))
        connection.close()

    def stop(self) -> None:
        """Leave. Waiting requests are cancelled: control withdraws them when the link is gone."""
        self._stopped = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        if self._link is not None and self._link.transport is not None:
            self._link.transport.loseConnection()
        self._wake_early(_away())
        for request in list(self._waiting):
            self._end_wait(request)

    @property
    def leased(self) -> bool:
        """Whether control was heard of lately; without it nothing new may begin."""
        return self._joined and self._reactor.seconds() < self._lease_ends

    # -- logins ------------------------------------------------------------------------

    def authenticate(self, subject: str, secret: str, peer: str) -> Deferred[Value]:
        """The identity that a token proves, as a map. Fails with LoginRefused or Throttled."""
        return self._call("authenticate", subject=subject, secret=secret, peer=peer)

    def scram(self, subject: str, peer: str = "") -> Deferred[Value]:
        """{"salt", "iterations", "keys": [{"token", "stored_key", "server_key"}], …}, for unknown subjects too."""
        return self._call("scram", subject=subject, peer=peer)

    def scram_result(self, subject: str, ok: bool, peer: str, token: str = "") -> Deferred[Value]:
        """The identity, when the proof fitted the keys of that token."""
        return self._call("scram_result", subject=subject, ok=ok, peer=peer, token=token)

    def ssh_key(self, subject: str, blob: bytes, peer: str) -> Deferred[bool]:
        """Whether a public key is the identity's."""
        return self._call("ssh_key", subject=subject, blob=blob, peer=peer)

    def ssh_token(self, subject: str, secret: str, peer: str, second: str) -> Deferred[Value]:
        """
        As `authenticate`, and "second": whether a one-time code has to follow. Fails with NoApp or CodesShut where that cannot be.

        :param second: what this connection says of that, of `gateway.control.identity.second`.
        """
        return self._call("ssh_token", subject=subject, secret=secret, peer=peer, second=second)

    def ssh_key_result(self, subject: str, blob: bytes, ok: bool, peer: str, second: str) -> Deferred[Value]:
        """The identity, when its key signed this login, as `ssh_token` has it. Fails with LoginRefused or Throttled."""
        return self._call("ssh_key_result", subject=subject, blob=blob, ok=ok, peer=peer, second=second)

    def ssh_authority(self, subject: str, badge: Value, peer: str) -> Deferred[bool]:
        """
        Whether a certificate lets the identity in, as far as it is about who signed it and what was revoked.

        :param badge: {"authority", "serial", "after", "key_id"} of it.
        """
        return self._call("ssh_authority", subject=subject, badge=badge, peer=peer)

    def ssh_certificate_result(self, subject: str, badge: Value, ok: bool, peer: str, second: str) -> Deferred[Value]:
        """The identity, when its certificate is right and its key signed this login, as above."""
        return self._call("ssh_certificate_result", subject=subject, badge=badge, ok=ok, peer=peer, second=second)

    def ssh_code(self, subject: str, code: str, peer: str) -> Deferred[bool]:
        """True when a one-time code is right; it is spent then. Fails with LoginRefused (CodeUsed: spent before), Throttled or CodesShut."""
        return self._call("ssh_code", subject=subject, code=code, peer=peer)

    def ssh_device(self, flow: str, subject: str, peer: str) -> Deferred[Value]:
        """
        Begin a login by a browser: {"url", "code", "complete", "seconds"}. Fails with DeviceRefused or Throttled.

        :param flow: the caller's name for it, which nobody else has.
        """
        return self._call("ssh_device", flow=flow, subject=subject, peer=peer)

    def ssh_device_result(self, flow: str, subject: str, peer: str, second: str) -> Deferred[Value]:
        """{} while the person is not done; else the identity, as `ssh_token` has it, with "issuer" and "issuer_subject"."""
        return self._call("ssh_device_result", flow=flow, subject=subject, peer=peer, second=second)

    def ssh_device_end(self, flow: str) -> None:
        """Nobody waits for it any more. Where control is away it has ended with the link."""
        self._tell("ssh_device_end", flow=flow)

    def ssh_certificate(self, target: str, account: str, subject: str, session: str, key: bytes) -> Deferred[Value]:
        """{"certificate", "serial", …} for one session's key. Fails with NotFound or NotAllowed."""
        return self._call("ssh_certificate", target=target, account=account, subject=subject, session=session, key=key)

    def ssh_host_certificate(self, name: str, key: bytes) -> Deferred[Value]:
        """{"certificate", "expires", …} with which this host key is shown for a target's name. Fails with NotFound."""
        return self._call("ssh_host_certificate", name=name, key=key)

    def ssh_jumps(self, user: str, peer: str) -> Deferred[bool]:
        """Whether a user name whose end is no target is rather an identity's name as a whole."""
        return self._call("ssh_jumps", user=user, peer=peer)

    def identity(self, subject: str) -> Deferred[Value]:
        """What is known of somebody who proved itself elsewhere."""
        return self._call("identity", subject=subject)

    def secret(self, target: str, account: str) -> Deferred[Value]:
        """{"password"}; fails with NotFound, which says how to enter it."""
        return self._call("secret", target=target, account=account)

    def count(self, subject: str, statements: int) -> Deferred[int]:
        """Add to the identity's statements; how many in the last minute, over all workers."""
        return self._call("count", subject=subject, statements=statements)

    # -- approvals ---------------------------------------------------------------------

    def submit(self, request: Mapping[str, Any]) -> Deferred[Value]:
        """
        {"state": "granted" | "pending" | "denied", "request", "grant", "by", "reason"}.

        Cancelled, or no longer waited for, before the answer came: what it asked for is withdrawn once its id is known.
        """
        outcome: Deferred[Value] = Deferred(lambda _: None)
        asked = self._ask("submit", request=dict(request))

        def arrived(answer: Value) -> None:
            if outcome.called:
                self.withdraw(answer["request"], GIVEN_UP)
                return
            if answer["state"] == "pending" and request["mode"] == "hold":
                self._wait(answer["request"], float(request["timeout"]))
            outcome.callback(answer)

        asked.addCallbacks(arrived, lambda failure: None if outcome.called else outcome.errback(failure))
        return outcome.addTimeout(PATIENCE, self._reactor, _silent)

    def answer(self, request: str) -> Deferred[Value]:
        """
        Fires when people answered a `hold` request, or nobody did in time.
        Cancelling it does not withdraw the request; `withdraw` does.
        """
        wait = self._waiting.get(request)
        if wait is None:
            failed: Deferred[Value] = Deferred()
            failed.errback(ControlUnavailable("nobody waits for that request here"))
            return failed
        return wait.deferred

    wait = answer

    def withdraw(self, request: str, why: str) -> None:
        """Nobody waits any more; said again at the next joining if control is away."""
        self._end_wait(request)
        self._withdrawn[request] = why
        if self._joined:
            told = self._call("withdraw", request=request, why=why)
            told.addCallbacks(lambda _: self._withdrawn.pop(request, None), lambda failure: None)

    # -- reveals -----------------------------------------------------------------------

    def may_reveal(self, subject: str, target: str, account: str, database: str) -> bool:
        """Whether it is worth asking for reveals, since one there has uses left; as control said last."""
        return (subject, target, account, database) in self._reveals.values()

    def revealing(self, request: str) -> bool:
        """Whether a reveal is in force; as control said last."""
        return request in self._reveals

    def reveals(self, subject: str, target: str, account: str, database: str, rule: Value) -> Deferred[list[Value]]:
        """[{"request", "grant", "columns", "left"}] of the reveals in force there by the rule's terms."""
        return self._call("reveals", subject=subject, target=target, account=account, database=database, rule=rule)

    def revealed(self, request: str, shown: bool) -> None:
        """A statement ran that may have shown something of it, and the notary has counted it; or it was refused, and that may be why."""
        self._tell("revealed", request=request, shown=shown)

    def _reveals_are(self, live: list[list[str]]) -> None:
        self._reveals = {request: tuple(where) for request, *where in live}
        self.tally.moved()

    def _lists_are(self, live: list[list[Any]]) -> None:
        self.lists.are(live)
        self.tally.moved()

    # -- sessions ----------------------------------------------------------------------

    def session_opened(self, session: Mapping[str, Any]) -> None:
        """Make it known: id, subject, on_behalf_of, token, target, account, database, peer, application, opened."""
        self._sessions[session["id"]] = dict(session)
        self._tell("session_opened", session=dict(session))

    def session_closed(self, session: str) -> None:
        """It is over, with its cancel key."""
        self._sessions.pop(session, None)
        self._keys.pop(session, None)
        self._tell("session_closed", session=session)

    def cancel_key(self, session: str, pid: int, secret: bytes) -> None:
        """The key that the session's client was given."""
        self._keys[session] = (pid, secret)
        self._tell("cancel_key", session=session, pid=pid, secret=secret)

    def cancel(self, pid: int, secret: bytes) -> Deferred[bool]:
        """A cancel request came to this worker; whoever owns the key gets `on_cancel`. Fires when that is done."""
        return self._call("cancel", pid=pid, secret=secret)

    def catalog_changed(self, target: str, database: str) -> None:
        """DDL passed here; the other workers are told."""
        self._tell("catalog_changed", target=target, database=database)

    def commit_begins(self, key: str, target: str, database: str) -> Deferred[None]:
        """Fires when all other workers know that this is about to be committed; fails where control or one of them does not say so."""
        self._commits[key] = target, database
        return self._call("commit_begins", key=key, target=target, database=database)

    def commit_ended(self, key: str) -> None:
        """Whatever came of it, and of whether others knew."""
        if self._commits.pop(key, None) is not None:
            self._tell("commit_ended", key=key)

    # -- inside ------------------------------------------------------------------------

    def _call(self, method: str, **arguments: Any) -> Deferred[Any]:
        """One question, whose answer is not waited for longer than control can be frozen unnoticed."""
        return self._ask(method, **arguments).addTimeout(PATIENCE, self._reactor, _silent)

    def _ask(self, method: str, **arguments: Any) -> Deferred[Any]:
        if self._link is not None and self._joined:
            return self._link.call(method, **arguments)
        self._early = [one for one in self._early if not one.called]  # the others have waited long enough
        if self._path is None or self._stopped or len(self._early) >= ABSENT:
            return fail(_away())
        early: Deferred[None] = Deferred()
        self._early.append(early)
        return early.addTimeout(ABSENCE, self._reactor, _absent).addCallback(lambda _: self._ask(method, **arguments))

    def _wake_early(self, failure: ControlUnavailable | None = None) -> None:
        early, self._early = self._early, []
        for one in early:
            if not one.called:
                one.callback(None) if failure is None else one.errback(failure)

    def _tell(self, method: str, **arguments: Any) -> None:
        """What the next joining repeats anyway, so its failure is no loss, and it is not asked early."""
        if self._joined:
            self._call(method, **arguments).addErrback(self._unheard, method)

    def _unheard(self, failure: Failure, method: str) -> None:
        if failure.check(ControlUnavailable) is None:
            self._log.warn("control did not take {method}: {what}", method=method, what=place(failure))

    def _dial(self) -> None:
        if not self._stopped and self._path is not None:
            self._reactor.connectUNIX(str(self._path), self._factory(greet=True))

    def _factory(self, greet: bool) -> Factory:
        return _Dialled(lambda: self._made(greet), self._dial_later)

    def _dial_later(self) -> None:
        if not self._stopped and self._path is not None:
            self._later("dial", BACKOFF, self._dial)

    def _made(self, greet: bool) -> Rpc:
        begins = {"commit_begins": lambda key, target, database: self.on_commit(key, target, database)}
        link = _Joining({**begins, "lists": self._lists_are, "cancel": lambda session: self.on_cancel(session)}, {
            "answered": self._settle, "kill": self._kill,
            "observed": lambda told: self.on_observed(told["session"], told["by"], frozenset(told["groups"])),
            "catalog": lambda place: self.on_catalog(*place), "reveals": self._reveals_are,
            "commit_ended": lambda key: self.on_committed(key),
        })
        link.begin = lambda: self._begin(link, greet)
        link.on_lost = lambda: self._lost(link)
        return link

    def _begin(self, link: Rpc, greet: bool) -> None:
        self._link = link
        if greet:
            link.call("hello", token=self._token).addCallbacks(lambda _: self._join(link), self._refused)
        else:
            self._join(link)

    def _join(self, link: Rpc) -> None:
        keys = [[session, pid, secret] for session, (pid, secret) in self._keys.items()]
        withdrawn = [[request, why] for request, why in self._withdrawn.items()]
        commits = [[key, *place] for key, place in self._commits.items()]
        joined = link.call(
            "join", sessions=list(self._sessions.values()), keys=keys, waiting=list(self._waiting), withdrawn=withdrawn, commits=commits,
        )
        joined.addCallbacks(self._welcome, self._refused, callbackArgs=(dict(self._withdrawn),))
        # On one link order is kept, so what is asked from now on is answered after the joining.
        self._joined = True
        self._wake_early()  # answered behind the joining

    def _welcome(self, told: Value, withdrawn: Mapping[str, str]) -> None:
        for request in withdrawn:
            self._withdrawn.pop(request, None)
        self._renew(told)
        self._reveals_are(told["reveals"])
        self._lists_are(told["lists"])
        self.on_back(told["commits"])
        for answer in told["answers"].values():
            if answer is not None:
                self._settle(answer)
        self._later("ping", PING, self._ping)
        self.on_joined()

    def _refused(self, failure: Failure) -> None:
        self._log.warn("control did not let this worker join: {what}", what=place(failure))
        if self._link is not None and self._link.transport is not None:
            self._link.transport.loseConnection()

    def _ping(self) -> None:
        if self._joined:
            self._call("ping").addCallbacks(self._renew, lambda failure: None)
            self._later("ping", PING, self._ping)

    def _renew(self, told: Value) -> None:
        self._lease_ends = self._reactor.seconds() + told["lease"]

    def _lost(self, link: Rpc) -> None:
        if self._link is link:
            self._link, self._joined = None, False
            self._dial_later()

    def _kill(self, told: Value) -> None:
        self.on_kill(told["session"], told["why"])

    def _wait(self, request: str, timeout: float) -> None:
        wait = self._waiting[request] = _Wait(Deferred(lambda d: d.errback(CancelledError())))
        gone = {"request": request, "state": "expired", "grant": "", "by": "", "reason": "control did not answer in time"}
        wait.timer = self._reactor.callLater(timeout + OVERTIME, self._overdue, request, gone)
        wait.deferred.addBoth(self._passed, request)

    def _overdue(self, request: str, gone: Value) -> None:
        self._settle(gone)
        self.withdraw(request, "no answer came in time")

    def _settle(self, answer: Value) -> None:
        wait = self._waiting.get(answer["request"])
        if wait is not None and not wait.deferred.called:
            wait.deferred.callback(answer)

    def _passed(self, result: Any, request: str) -> Any:
        wait = self._waiting.pop(request, None)
        if wait is not None and wait.timer is not None and wait.timer.active():
            wait.timer.cancel()
        return result

    def _end_wait(self, request: str) -> None:
        wait = self._waiting.get(request)
        if wait is not None:
            wait.deferred.addErrback(lambda failure: failure.trap(CancelledError))
            wait.deferred.cancel()

    def _later(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        old = self._timers.get(name)
        if old is not None and old.active():
            old.cancel()
        self._timers[name] = self._reactor.callLater(seconds, call)


def _away() -> ControlUnavailable:
    return ControlUnavailable("control cannot be reached (OST-603); try again shortly")


def _absent(result: Any, seconds: float) -> NoReturn:
    """As `Deferred.addTimeout` wants it."""
    raise _away()


def _silent(result: Any, seconds: float) -> NoReturn:
    """As `Deferred.addTimeout` wants it."""
    raise ControlUnavailable("control does not answer (OST-603); try again shortly")


class _Wait:
    """One session at a prompt."""

    def __init__(self, deferred: Deferred[Value]) -> None:
        self.deferred = deferred
        self.timer: Any = None


class _Joining(Rpc):
    """An Rpc that says when it is connected."""

    begin: Callable[[], None]

    def connectionMade(self) -> None:
        super().connectionMade()
        self.begin()


class _Dialled(Factory):
    """One connection; says when none could be made."""

    noisy = False

    def __init__(self, protocol: Callable[[], Rpc], failed: Callable[[], None]) -> None:
        self._protocol, self._failed = protocol, failed

    def buildProtocol(self, address: Any) -> Rpc:
        return self._protocol()

    def startedConnecting(self, connector: Any) -> None:
        """IConnector's word for: dialling began."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self._failed()

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The protocol tells it."""
