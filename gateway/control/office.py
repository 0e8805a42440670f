"""
Everything that control owns, without a socket: opened from the state directory, closed again.

Control serves it to workers and people; the CLI opens it by itself when control does not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from addons.needs import Clock
from gateway.config import AddonEntry, Config, Device, IdentityEntry, SecondStep, TargetEntry
from gateway.control.authorities import Authorities
from gateway.control.badges import Badge
from gateway.control.device.answers import opened_by, refused
from gateway.control.device.flows import Flows
from gateway.control.errors import Conflict, StoreRefused
from gateway.control.identity.codes import Codes
from gateway.control.identity.local import Identities
from gateway.control.identity.login import Login
from gateway.control.identity.second import Second
from gateway.control.identity.throttle import Throttle
from gateway.control.identity.token import Tokens
from gateway.control.limits import Limits
from gateway.control.outbox import Notary, Outbox
from gateway.control.requests import Requests
from gateway.control.seal import Seal, read_key
from gateway.control.sessions import CHANGED, Sessions
from gateway.control.store import Store, Value
from gateway.control.tries import Tries
from gateway.control.vault import Vault
from gateway.ssh.lines import fingerprint

FLUSH = 1.0  # seconds that "last used" and counts of failures may be lost for


def key_file(state: Path) -> Path:
    """Where the key lies: apart from the store, so that a copy of one is not a copy of both."""
    return state / "keys" / "control.key"


class Office:
    """
    :raises StoreRefused: the key or the store cannot be used; says what to do.
    """

    _log = Logger()

    def __init__(
        self, state: Path, identities: Mapping[str, IdentityEntry], clock: Clock,
        targets: Mapping[str, TargetEntry] = MappingProxyType({}), user_ca: frozenset[bytes] = frozenset(),
        addons: Sequence[AddonEntry] = (), second: SecondStep = SecondStep(), name: str = "", device: Device | None = None,
    ) -> None:
        """
        :param name: the gateway's, as people's authenticator apps show it.
        """
        self.name = name
        self.targets, self._user_ca = targets, user_ca
        self.store = Store(state / "control", Seal(read_key(key_file(state))))
        self.outbox = Outbox(self.store, clock)
        self.identities = Identities(identities, self.store, clock)
        self.tokens, self.throttle = Tokens(self.store, clock), Throttle(clock)
        self.authorities = Authorities(self.store, clock, self.outbox)
        self.badges = self.authorities.badges
        self.codes = Codes(self.store, clock)
        self.second = Second(second, self.codes, self.throttle, self.store, self.outbox)
        self.login = Login(self.identities, self.tokens, self.throttle, self.store.seal, self.outbox, self.believes, self.second)
        self.tries = Tries(self.outbox, clock)
        self.flows = Flows(device, clock, lambda entry: _provider(entry, clock))
        self.vault, self.limits, self.sessions = Vault(self.store, clock), Limits(clock), Sessions()
        self.requests = Requests(self.store, self.identities, self.outbox, clock, self._answered)
        self.requests.reveals.addons = addons
        self.on_answered: Callable[[Value], None] = lambda answer: None
        self.on_reload: Callable[[str], Deferred[int]] = _nobody_reloads
        self.on_look: Callable[[], Deferred[Value]] = lambda: succeed({})
        self.on_foresee: Callable[[Config], Deferred[Value]] = lambda config: succeed({})
        self._flushing = LoopingCall(self.flush)
        self._flushing.clock = clock

    @classmethod
    def of(cls, config: Config, clock: Clock) -> Office:
        """The one that a configuration names."""
        return cls(config.state, config.identities, clock, config.targets, config.user_ca, config.addons, config.second_step, config.name, config.device)

    @property
    def addons(self) -> Sequence[AddonEntry]:
        """The configuration's."""
        return self.requests.reveals.addons

    def start(self, notary: Notary | None) -> None:
        """Begin to work: clocks run, notes leave."""
        self.take_up()
        if notary is not None:
            self.outbox.connect(notary)
        self.requests.start(notary)
        self._flushing.start(FLUSH, now=False)

    def take_up(self) -> None:
        """What a former run counted."""
        with self.store.read() as txn:
            self.throttle.load(self.store["counters"].get(txn, "throttle") or {})
            self.tries.load((self.store["counters"].get(txn, "tries") or {}).get("told", []))

    def close(self) -> None:
        """Everything is on disk after this."""
        if self._flushing.running:
            self._flushing.stop()
        self.flows.close()
        self.tries.flush(over=True)
        self.outbox.disconnect()
        self.requests.stop()
        self.flush()
        self.store.close()

    def flush(self) -> None:
        """Store what no login waits for, and tell of what was refused often."""
        self.tries.flush()
        if not (self.tokens.unflushed or self.throttle.changed or self.tries.changed):
            return
        try:
            with self.store.write() as txn:
                self.tokens.flush(txn)
                self.store["counters"].put(txn, "throttle", self.throttle.dump())
                self.store["counters"].put(txn, "tries", {"told": self.tries.dump()})
        except StoreRefused as error:  # counts go on in memory, and the next flush tries again
            self.throttle.changed = self.tries.changed = True
            self._log.warn("{why}", why=error.why)

    def reload(self, config: Config) -> list[str]:
        """The file was read again: sessions of those it no longer lets in end. Their ids."""
        self.targets, self._user_ca, self.requests.reveals.addons = config.targets, config.user_ca, config.addons
        self.identities.reload(config.identities)
        self.requests.recount()
        self.second.rule = config.second_step
        self.flows.reload(config.device)
        why = "a reload of the configuration ended it"
        gone = self.sessions.end_all(lambda session: not self.may_go_on(session), why)
        gone += self.sessions.end_all(lambda session: session["id"] not in gone and not self.is_same(session), CHANGED)
        if gone:
            self.outbox.tell("session.ended", {"sessions": " ".join(gone)[:1000], "why": why})
        return gone

    def reload_file(self, by: str) -> Deferred[Value]:
        """
        Have the gateway read its file again. Fires with the revision in force, and with what `Looks.look` finds of it.

        :param by: who asks, for the evidence.
        :raises Conflict: the file is wrong, or takes a restart; says the key and the mend. Nothing has changed.
        """
        asked: Deferred[Any] = self.on_reload(by)
        return asked.addCallbacks(self._in_force, _not_reloaded)

    def _in_force(self, revision: int) -> Deferred[Value]:
        return self.on_look().addCallback(lambda found: {"revision": revision} | found)

    def end_sessions_of(self, subject: str, why: str) -> list[str]:
        """Of an identity, and of those who act for it."""
        return self.sessions.end_all(lambda s: subject in (s["subject"], s["on_behalf_of"]), why)

    def believes(self, subject: str, badge: Badge) -> bool:
        """Whether a certificate lets this identity in now, as far as it is about who signed it and what was revoked."""
        own = badge.authority in map(fingerprint, self.authorities.people())
        if not own and badge.authority not in map(fingerprint, self._user_ca):
            return False
        return not self.badges.refuses(badge, subject, own=own)

    def end_certified(self, why: str) -> list[str]:
        """Sessions whose certificate would not let them in now; their ids."""
        return self.sessions.end_all(lambda s: Badge.of(s["token"] or "") is not None and not self.may_go_on(s), why)

    def is_same(self, session: Value) -> bool:
        """Whether whoever opened a session would come in as the same today: in the same groups, for the same person."""
        entry = self.identities.live(session["subject"])
        return entry is not None and (entry.kind, sorted(entry.groups), entry.on_behalf_of) == tuple(session[name] for name in ("kind", "groups", "on_behalf_of"))

    def may_go_on(self, session: Value) -> bool:
        """Whether the identity and the token that opened a session would be let in now."""
        entry = self.identities.live(session["subject"])
        if entry is None:
            return False
        if (session["token"] or "").startswith("SHA256:"):
            return any(fingerprint(blob) == session["token"] for blob in entry.ssh_keys)
        if (session["token"] or "").startswith(opened_by("")):
            return self.flows.entry is not None and session["token"] == opened_by(self.flows.entry.issuer) and entry.kind == "human"
        badge = Badge.of(session["token"] or "")
        if badge is not None:
            return self.believes(session["subject"], badge)
        return not session["token"] or not self.tokens.revoked(session["token"])

    def _answered(self, answer: Value) -> None:
        self.on_answered(answer)


def _provider(entry: Device, clock: Clock) -> Any:
    """
    :raises DeviceRefused: its authorities cannot be read.
    """
    from gateway.control.device.provider import Provider  # with an HTTP client and JOSE, which most gateways need not load
    from gateway.control.device.web import Web

    try:
        return Provider(entry, Web(clock, entry.ca_file), clock)
    except (OSError, ValueError):
        raise refused("the gateway cannot read its ca_file") from None


def _nobody_reloads(by: str) -> Deferred[int]:
    raise Conflict("no gateway runs on this configuration; it reads the file when it starts")


def _not_reloaded(failure: Failure) -> NoReturn:
    raise Conflict(f"nothing has changed:\n{failure.getErrorMessage()}")
