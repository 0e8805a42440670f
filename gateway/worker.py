"""
One worker: accepts on the inherited sockets, and holds everything its sessions share.

It signs nothing and decrypts nothing: evidence goes to the notary, logins and approvals
to control. While either cannot be reached no new session begins.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger

from addons.sql.settings import Settings
from gateway import chain, upstream
from gateway.analyses import Lanes
from gateway.boot import Boot, Peers
from gateway.catalog import Catalogs
from gateway.config import Account, Config, Listen, TargetEntry
from gateway.control.client import ControlClient
from gateway.control.errors import NotFound
from gateway.estimates import Estimates
from gateway.hired import Hired
from gateway.ids import Ids
from gateway.journal import Journal
from gateway.listeners import adopt
from gateway.notary.client import NotaryClient
from gateway.parts import CannotSwitch, Reloader, named
from gateway.pipeline import Pipeline, UnknownHook
from gateway.powers import powers
from gateway.premises import Premises
from gateway.query import Querying
from gateway.spool import Spools
from gateway.upstream import Upstream
from protocols.session import Session, Target
from protocols.tally import Tally

GATES = {"postgres": "gateway.gate.factory_for", "ssh": "gateway.ssh.gate.factory_for"}
"""By protocol; loaded when something listens for it."""

FIRST_WORD = 3.0
"""Seconds a new worker waits for notary and control before it accepts; after that, refusing with a reason
is kinder than a connection that hangs."""

LAST_WORD = 2.0
"""Seconds that killed sessions and their records get at the end."""

_CONFIGURATION = ""  # in a database's place: what changed is the target's own configuration

LOOK = 0.02  # seconds between looks at what has still to end

RESERVE = 128
"""Descriptors kept for sockets to notary and control, catalog readings, and clients that log in."""


class Worker:
    """What a gate stands in; see `gateway.gate.Worker` for what it uses of it."""

    log = Logger()

    def __init__(self, boot: Boot, config: Config, reactor: Any) -> None:
        self.name, self.config, self.revision, self.reactor = boot.name, config, boot.revision, reactor
        self.sessions: dict[str, Any] = {}
        self.jumps: dict[str, Any] = {}
        self.cancels: set[Deferred[None]] = set()
        self.new_id: Callable[[], str] = Ids()
        self.notary = NotaryClient(reactor, boot.sockets["notary"], boot.token)
        self.journal = Journal(self.notary, reactor, config.audit.timeout)
        self._tally = tally = Tally()
        self.control = ControlClient(reactor, tally)
        self.control.on_kill = self._kill
        self.control.on_observed = self._observed
        self.control.on_cancel = self._cancel
        self.catalogs = Catalogs(self._read_catalog, reactor, tally=tally)
        self.catalogs.on_doubt = self.control.catalog_changed
        self.catalogs.on_commit, self.catalogs.on_committed = self.control.commit_begins, self.control.commit_ended
        self.control.on_catalog, self.control.on_back = self._catalog_changed, self.catalogs.back
        self.control.on_commit, self.control.on_committed = self.catalogs.begun, self.catalogs.ended
        self.settings = Settings(tally=tally)
        self.settings.on_reload = lambda target: self.control.catalog_changed(target, _CONFIGURATION)
        self.spools = Spools(config.spool, config.spool_bytes)
        self._estimates = Estimates(self._as_session, self.settings)
        self.analyses = Lanes(reactor, lambda asking: Hired(reactor, asking))
        self._boot = boot
        self._ports: list[IListeningPort] = []
        self._next: tuple[int, Config, Pipeline] | None = None
        self._draining = self._over = False
        self._until = 0.0
        self._empty: list[Deferred[None]] = []
        self.pipeline = self._chain(config)

    # -- as a gateway.parts.Part -----------------------------------------------------------

    def start(self) -> Deferred[None]:
        """Reach notary and control, then accept. Fires once it accepts."""
        accepting: Deferred[None] = Deferred()
        self.notary.start().addErrback(lambda _: accepting.called or accepting.errback(CannotSwitch(_DENIED)))
        self.control.connect(Path(self._boot.sockets["control"]), self._boot.token)
        self.catalogs.start()
        self._accept(accepting, self.reactor.seconds() + FIRST_WORD)
        return accepting

    def prepare(self, revision: int, config: Config) -> None:
        """Build the next chain; a chain that cannot be built keeps this one."""
        self._next = (revision, config, self._chain(config))

    def record(self, revision: int, by: str) -> None:
        raise CannotSwitch("control records a reload")

    def refuse(self, revision: int, told: str) -> None:
        raise CannotSwitch("control records a reload")

    def look(self, revision: int) -> None:
        raise CannotSwitch("control looks at the configuration")

    def switch(self, revision: int) -> None:
        """Sessions meet the new chain at their next command, and with what waits for an answer. Whose target is gone is ended."""
        if self._next is None or self._next[0] != revision:
            raise CannotSwitch(f"revision {revision} was not prepared")
        self.pipeline.retire()
        self._tally.moved()
        (self.revision, self.config, self.pipeline), self._next = self._next, None
        self.spools.directory, self.spools.limit = self.config.spool, self.config.spool_bytes
        for live in list(self.sessions.values()):
            entry = self.config.targets.get(live.session.target.name)
            if entry is None or entry.account(live.session.account) is None:
                live.kill("this target or account is no longer configured [OST-651]")
            else:
                live.reconsider()

    def drain(self, patience: float) -> Deferred[None]:
        """Accept nothing; fires when every session has ended and its end is recorded."""
        empty: Deferred[None] = Deferred()
        if self._over:
            return succeed(None)
        self._empty.append(empty)
        until = self.reactor.seconds() + patience
        self._until = min(self._until, until) if self._draining else until
        if not self._draining:
            self._draining = True
            stopped = DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
            stopped.addCallback(lambda _: self._wait_for_sessions())
        return empty

    # -- for gates -------------------------------------------------------------------------

    @property
    def refusing(self) -> str:
        """Why no new session may begin; "" when one may."""
        if self._draining:
            return "the gateway is shutting down"
        if self.notary.worker is None:
            return f"nothing can be recorded: {self.notary.why_down}"
        if not self.control.leased:
            return "control cannot be reached"
        if len(self.sessions) >= most_sessions():
            return "this gateway serves as many sessions as it can"
        return ""

    # -- what control says -----------------------------------------------------------------

    def _catalog_changed(self, target: str, database: str) -> None:
        """Another worker saw it pass."""
        if database == _CONFIGURATION:
            self.settings.reloaded(target)
        else:
            self.catalogs.heard(target, database)

    def _kill(self, session: str, why: str) -> None:
        live = self.sessions.get(session) or self.jumps.get(session)
        if live is not None:
            live.kill(why)

    def _observed(self, session: str, by: str, groups: frozenset[str]) -> None:
        observed = getattr(self.sessions.get(session), "observed", None)  # only what is seen on a screen can be observed
        if observed is not None:
            observed(by, groups)

    def _cancel(self, session: str) -> Deferred[None] | None:
        return self.sessions[session].cancel() if session in self.sessions else None

    # -- inside ----------------------------------------------------------------------------

    def _accept(self, accepting: Deferred[None], until: float) -> None:
        if accepting.called:
            return
        if self.refusing and not self._draining and self.reactor.seconds() < until:
            self.reactor.callLater(LOOK, self._accept, accepting, until)
            return
        if not self._draining:
            for listen, inherited in zip(self.config.listens, self._boot.listens, strict=True):
                gate: Callable[[Listen, Worker], IProtocolFactory] = named(self._boot.options.get("gate", GATES[listen.protocol]))
                self._ports.append(adopt(self.reactor, inherited, gate(listen, self)))
        if self.refusing:
            self.log.warn("every new session is refused: {why}", why=self.refusing)
        accepting.callback(None)

    def _chain(self, config: Config) -> Pipeline:
        """
        :raises CannotSwitch: an addon cannot be built from its options.
        """
        registry = tuple(Target(e.name, e.protocol, e.host, e.port, e.labels) for e in config.targets.values())
        needs = powers(
            self.catalogs, self.settings, self.reactor, self.journal, self.sessions, self.control, registry, self._estimates, self.analyses
        )
        try:
            premises = Premises(self.catalogs, self.settings)
            return Pipeline(chain.build(config.addons, needs), self.control, self.reactor, self.control.lists, premises)
        except (chain.WrongAddon, UnknownHook) as error:
            raise CannotSwitch(f"{config.file}: {error}") from None

    def _read_catalog(self, session: Session) -> Deferred[Querying]:
        """A connection for the catalog reader. The session says where, never who."""
        entry = self.config.targets[session.target.name]
        return self._log_in(entry, entry.catalog_account, session.database, _CATALOG_READER)

    def _as_session(self, session: Session) -> Deferred[Querying]:
        """A connection with the login that a session has."""
        entry = self.config.targets[session.target.name]
        account = entry.account(session.account)
        if account is not None and session.floor:
            account = entry.account(account.floor)
        if account is None:
            raise NotFound(f"target {entry.name} has no such account any more")
        return self._log_in(entry, account, session.database, _ESTIMATOR)

    def _log_in(self, entry: TargetEntry, account: Account, database: str, settings: Mapping[str, str]) -> Deferred[Querying]:
        secret = self.control.secret(entry.name, account.name) if account.auth == "password" else succeed(None)

        def dial(found: Any) -> Deferred[Upstream]:
            password = found["password"] if found else None
            return upstream.dial(self.reactor, entry, account, password, database, settings)

        return secret.addCallback(dial).addCallback(Querying)

    def _wait_for_sessions(self) -> None:
        """Until all have ended or their time is up."""
        if self.sessions and self.reactor.seconds() < self._until:
            self.reactor.callLater(LOOK, self._wait_for_sessions)
            return
        for live in [*self.sessions.values(), *self.jumps.values()]:
            live.kill("the gateway is shutting down [OST-652]")
        self._wait_for_records(self.reactor.seconds() + LAST_WORD)

    def _wait_for_records(self, until: float) -> None:
        """Until the last end is durable; when the notary is gone there is nothing to wait for."""
        self.journal.flush()
        waits = self.sessions or self.cancels or (self.notary.worker is not None and not self.journal.settled)
        if waits and self.reactor.seconds() < until:
            self.reactor.callLater(LOOK, self._wait_for_records, until)
            return
        self._over = True
        self.analyses.stop()
        self.catalogs.stop()
        self.control.stop()
        self.notary.close()
        empty, self._empty = self._empty, []
        for one in empty:
            one.callback(None)


_DENIED = "the notary does not know this worker's token; the next one gets another"
_CATALOG_READER = MappingProxyType({"application_name": "ostiary catalog"})
_ESTIMATOR = MappingProxyType({"application_name": "ostiary estimate"})


def most_sessions() -> int:
    """Two descriptors each, from what the operating system gives this process."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (soft - RESERVE) // 2 if soft != resource.RLIM_INFINITY else 1 << 15


def worker(boot: Boot, config: Config, peers: Peers, reload: Reloader, reactor: Any) -> Worker:
    """As gateway.parts.Build."""
    return Worker(boot, config, reactor)
