"""
From a proven identity to a session: admission, the account's secret, dialling, the record.

An unknown target, an unknown account and a forbidden one get the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from addons.masking.floor import Floor
from gateway import upstream as targets
from gateway.floor import complaint, question
from gateway.house import Worker
from gateway.query import Querying, QueryError, Row
from gateway.sitting import Sitting
from gateway.upstream import Upstream
from protocols.errors import Unrecordable
from protocols.postgres.greeting import LoggedIn
from protocols.postgres.startup import meaning_changed
from protocols.session import Identity, Session, Target
from protocols.verdict import Deny, Verdict

SEARCH_PATH = "SHOW /* ostiary */ search_path"
"""Asked of a target at the beginning of a session; its log shows it."""

ANSWER_TIMEOUT = 10.0
"""Seconds that its answer may take."""


class Refused(Exception):
    """No session. `why` and `hint` are for the client, `record` for the evidence."""

    def __init__(self, code: str, sqlstate: str, why: str, hint: str = "", record: str = "") -> None:
        super().__init__(why)
        self.code, self.sqlstate, self.why, self.hint, self.record = code, sqlstate, why, hint, record


class Opening:
    """One attempt to begin a session."""

    def __init__(self, worker: Worker, client: Any, peer: str, protocol: str, done: LoggedIn) -> None:
        self._worker, self._client, self._peer, self._protocol, self._done = worker, client, peer, protocol, done
        self._needed: Floor | None = None
        self._floor = "none"

    def begin(self, identity: Identity, token: str) -> Deferred[Sitting]:
        """
        Fails with Refused, DialError, ControlError or Unrecordable; their texts are for the client.
        Cancelling it hangs up on the target.
        """
        self._token = token
        admitted = maybeDeferred(self._admit, identity)
        admitted.addCallback(self._allowed)
        admitted.addCallback(self._secret)
        admitted.addCallback(self._dial)
        admitted.addCallback(self._ask_floor)
        admitted.addCallback(self._ask_search_path)
        return admitted.addCallback(self._connected)

    def _admit(self, identity: Identity) -> Any:
        if self._worker.refusing:
            raise Refused("OST-632", "57P03", self._worker.refusing)
        chosen = self._done.selection
        entry = self._worker.config.targets.get(chosen.target)
        account = entry.account(chosen.account) if entry else None
        if entry is None or account is None or entry.protocol != self._protocol or entry.is_floor(account.name):
            raise not_yours("there is none such")
        database = self._done.database or entry.database
        if database not in entry.databases:
            raise not_yours("its database is not listed")
        target = Target(entry.name, entry.protocol, entry.host, entry.port, MappingProxyType(dict(entry.labels)))
        self._entry, self._account = entry, account
        self._session = Session(
            self._worker.new_id(), identity, target, account.name, database, self._peer,
            self._done.application[:128], self._worker.revision,
        )
        return self._worker.pipeline.admit(self._session)

    def _allowed(self, verdict: Verdict) -> Any:
        """Where the account has a floor, what that needs for this session: it must be known before anything is dialled."""
        if isinstance(verdict, Deny):
            raise not_yours(verdict.reason)
        if not self._account.floor:
            return None
        return maybeDeferred(self._worker.pipeline.floor, self._session).addErrback(_floorless)

    def _secret(self, needed: Floor | Deny | None) -> Any:
        if isinstance(needed, Deny):
            raise Refused(needed.code, "42501", needed.reason, needed.hint, needed.reason)
        self._needed = needed
        if needed is not None:
            self._account = self._entry.account(self._account.floor)
            self._session = replace(self._session, floor=self._account.user)
        if self._account.auth != "password":
            return None
        return self._worker.control.secret(self._entry.name, self._account.name)

    def _dial(self, secret: Mapping[str, str] | None) -> Deferred[Upstream]:
        return targets.dial(
            self._worker.reactor, self._entry, self._account, secret["password"] if secret else None,
            self._session.database, self._done.parameters,
        )

    def _ask_floor(self, upstream: Upstream) -> Upstream | Deferred[Upstream]:
        """The role itself is asked what it may do, as long as nobody else speaks on its connection."""
        if self._needed is None:
            return upstream
        return self._ask(upstream, question(self._needed), self._floor_told, "whether its floor holds")

    def _floor_told(self, rows: list[Row]) -> None:
        wrong, lacks = complaint(rows)
        missing = f"; {lacks}" if lacks else ""
        self._floor = f"{self._session.floor}, {f'not verified: {wrong}' if wrong else 'verified'}{missing}"
        if wrong and self._entry.floor == "require":
            raise Refused("OST-660", "08004", "the floor of this target does not hold", _PROVISION, record=self._floor)

    def _ask(self, upstream: Upstream, sql: str, told: Callable[[list[Row]], None], what: str) -> Deferred[Upstream]:
        """One question before the client speaks. Without its answer there is no session."""
        querying = Querying(upstream)

        def answered(rows: list[Row]) -> Upstream:
            try:
                told(rows)
            except Refused:
                querying.close()
                raise
            return querying.give_back()

        def failed(failure: Failure) -> None:
            failure.trap(QueryError)
            querying.close()
            raise Refused("OST-645", "08006", f"the target did not say {what}", record=failure.value.sqlstate)

        asked = querying.query(sql).addTimeout(ANSWER_TIMEOUT, self._worker.reactor)
        return asked.addCallbacks(answered, failed)

    def _ask_search_path(self, upstream: Upstream) -> Upstream | Deferred[Upstream]:
        """
        Where names are looked up is what every judgement rests on. Servers before 18 do not report it, and it may come
        from the connection's options, the role, the database or the server's file: so it is asked for.
        """
        if "search_path" in upstream.parameters:
            self._search_path = upstream.parameters["search_path"]
            return upstream
        return self._ask(upstream, SEARCH_PATH, self._search_path_told, "its search_path")

    def _search_path_told(self, rows: list[Row]) -> None:
        self._search_path = (rows[0][0] if rows and rows[0] else None) or ""

    def _connected(self, upstream: Upstream) -> Sitting:
        self._worker.settings.start(self._session, self._search_path)
        try:
            if self._session.policy_revision != self._worker.revision:  # a reload asks who has a session, and this was none yet
                raise Refused("OST-632", "57P03", RELOADED, "log in again")
            for name, value in upstream.parameters.items():
                changed = meaning_changed(name, value)
                if changed:
                    raise Refused("OST-705", "0A000", changed)
            return Sitting(
                self._worker, self._client, self._session, self._entry, self._account, upstream, self._done, self._token,
                self._floor,
            )
        except (Refused, Unrecordable):
            self._worker.settings.closed(self._session)
            upstream.transport.abortConnection()
            raise


RELOADED = "the configuration was changed while you logged in"

_PROVISION = "the gateway's operator runs `ostiary target provision`; the evidence says what is wrong"


def _floorless(failure: Failure) -> None:
    """Its text may name what a stranger should not know; the record has its kind."""
    why = "what this target's floor needs cannot be known now"
    raise Refused("OST-660", "08004", why, "try again; the gateway's operator looks at masking's columns", failure.type.__name__)


def not_yours(record: str) -> Refused:
    """The same words for all causes; only the record tells them apart."""
    why = "there is no such target, account or database for you"
    return Refused("OST-101", "28000", why, "ask the gateway's operator for access", record)
