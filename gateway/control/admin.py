"""
What the operator at the machine may do, by name: over control's socket, or on the office itself.

Same words as the CLI. An answer to a request needs the approver's own token here too: whoever
may start programs as this user is not thereby a person who approves.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from gateway import upstream
from gateway.config import Account, IdentityEntry, TargetEntry
from gateway.control import request as shape
from gateway.control.accounts import READER, Accounts
from gateway.control.authorities import NAMES
from gateway.control.badges import IDENTITY, KEY_ID, SERIAL, SERIAL_LIMIT
from gateway.control.caller import CLI, Caller, os_user
from gateway.control.discovery import SAMPLE_LIMIT, Discovery
from gateway.control.errors import BadCall, Conflict, NotAllowed, NotFound
from gateway.control.identity.enrolment import Enrolment
from gateway.control.office import Office
from gateway.control.rpc import Methods
from gateway.control.sessions import by_operator
from gateway.control.store import Transaction, Value
from gateway.control.unusable import unusable
from gateway.control.vault import PASSWORD_LIMIT
from gateway.control.watched import watched
from gateway.control.when import iso
from gateway.query import Querying
from gateway.ssh.lines import NoLine, fingerprint, line, read
from protocols.selection import WrongForm, select

if TYPE_CHECKING:
    from gateway.control.fitting import Fit
    from gateway.control.provision import Plan
    from gateway.control.standing import Standing

METHODS = (
    "identity_list", "identity_show", "identity_add", "identity_revoke", "identity_restore",
    "token_issue", "token_list", "token_revoke", "account_list", "account_secret", "account_forget",
    "request_list", "request_expired", "request_show", "request_approve", "request_deny", "request_submit", "request_reveal", "request_revoke",
    "session_list", "session_show", "session_kill", "session_observe", "identity_check", "target_check",
    "ssh_ca", "ssh_sign", "ssh_revoke", "ssh_revoked", "ssh_rotate", "target_host_key",
    "target_relations", "target_sample", "target_floor", "config_reload", "config_look",
)

TTL_LIMIT = 366 * 86400.0  # seconds; a token for longer is a password nobody changes
SUBJECT_LIMIT = 255  # bytes; with a token's id behind it, it is a key in the store

HERE = "local"  # the peer that throttling counts for people at this machine


class Admin:
    """Checks what it is given; the office does the rest."""

    def __init__(self, office: Office, reactor: Any, uid: Callable[[], int] = os.getuid) -> None:
        """
        :param uid: whose process asks, for the evidence.
        """
        self._office, self._reactor, self._uid = office, reactor, uid
        self._accounts = Accounts(office, reactor)
        self._enrolment = Enrolment(office, self._put)

    @property
    def methods(self) -> Methods:
        return {**watched({name: getattr(self, name) for name in METHODS}, self._office, self._here), **self._enrolment.methods}

    def config_reload(self) -> Deferred[Value]:
        """As `Office.reload_file`."""
        return self._office.reload_file(os_user(self._uid()))

    def config_look(self, file: str) -> Deferred[Value]:
        """What a reload would say of a file that is right, were it read now; nothing changes."""
        from gateway.toml import WrongConfig, load

        try:
            config = load(Path(file), vetted=True)
        except WrongConfig as error:
            raise Conflict(str(error)) from None
        return self._office.on_foresee(config)

    # -- identities --------------------------------------------------------------------

    def identity_list(self) -> list[Value]:
        with self._office.store.read() as txn:
            return self._office.identities.listed(txn)

    def identity_show(self, subject: str) -> Value:
        with self._office.store.read() as txn:
            shown = self._office.identities.shown(txn, subject)
            tokens = [token for token in self._office.tokens.listed(txn) if token["subject"] == subject]
        return shown | {"tokens": tokens}

    def identity_add(self, subject: str, kind: str, groups: Sequence[str], on_behalf_of: str | None = None) -> Value:
        check_subject(subject)
        entry = IdentityEntry(subject, kind, frozenset(groups), on_behalf_of)
        with self._office.store.write() as txn:
            self._office.identities.add(txn, entry)
            facts = {"subject": subject, "identity_kind": kind, "groups": " ".join(sorted(groups)), "on_behalf_of": on_behalf_of or ""}
            self._put(txn, "identity.added", facts)
        self._office.outbox.deliver()
        return self.identity_show(subject)

    def identity_revoke(self, subject: str, why: str = "") -> Value:
        """No new session, no live one."""
        with self._office.store.write() as txn:
            self._office.identities.revoke(txn, subject, HERE, why)
            self._put(txn, "identity.revoked", {"subject": subject, "why": why})
        self._office.outbox.deliver()
        self._office.requests.recount()
        ended = self._office.end_sessions_of(subject, "the identity was revoked")
        return self.identity_show(subject) | {"ended": ended}

    def identity_restore(self, subject: str) -> Value:
        with self._office.store.write() as txn:
            self._office.identities.restore(txn, subject)
            self._put(txn, "identity.restored", {"subject": subject})
        self._office.outbox.deliver()
        return self.identity_show(subject)

    def identity_check(self, subject: str, token: str, session: str = "") -> Value:
        """Who a token would be let in as; the same refusal as at a login. `session`: which one that person is about to watch."""
        return self._prove(subject, token)

    # -- tokens ------------------------------------------------------------------------

    def token_issue(self, subject: str, ttl: float, note: str = "") -> Value:
        """The only answer that ever holds the token."""
        self._office.identities.need(subject)
        if self._office.identities.live(subject) is None:
            raise Conflict(f"{subject} may not come in, so a token would be for nothing: `ostiary identity show {subject}` says whether it was revoked, `identity restore` undoes that")
        if not 0 < ttl <= TTL_LIMIT:
            raise BadCall("a token lives for at most 366 days, and more than nothing")
        with self._office.store.write() as txn:
            token, shown = self._office.tokens.issue(txn, subject, float(ttl), note[:200])
            facts = {"token": shown["id"], "subject": subject, "expires": iso(shown["expires"])}
            self._put(txn, "token.issued", facts)
        self._office.outbox.deliver()
        return shown | {"token": token}

    def token_list(self) -> list[Value]:
        with self._office.store.read() as txn:
            return self._office.tokens.listed(txn)

    def token_revoke(self, token: str) -> Value:
        """By id. Sessions that it opened end."""
        with self._office.store.write() as txn:
            shown = self._office.tokens.revoke(txn, token)
            self._put(txn, "token.revoked", {"token": token, "subject": shown["subject"]})
        self._office.outbox.deliver()
        ended = self._office.sessions.end_all(lambda s: s["token"] == token, "the token was revoked")
        return shown | {"ended": ended}

    # -- SSH's authorities -------------------------------------------------------------

    def ssh_ca(self, name: str) -> bytes:
        """The public key of one of our own authorities; made now if nobody has asked before."""
        if name not in NAMES:
            raise BadCall(f"there is no such authority; there are {', '.join(NAMES)}")
        return self._office.authorities.public(name)

    def ssh_sign(self, subject: str, public: str, ttl: float, addresses: str = "") -> Value:
        """A certificate for the public key on a line, with which the identity logs in at this gateway."""
        entry = self._office.identities.need(subject)
        if addresses:
            check_addresses(addresses)
        try:
            return self._office.authorities.person(entry, read(public), ttl, addresses, self._office.badges.first(subject), self._here())
        except NoLine as error:
            raise BadCall(f"the file {error}; it takes the .pub file that ssh-keygen made") from None

    def ssh_revoke(self, kind: str, which: str, why: str = "") -> Value:
        """
        Certificates that let nobody in any more, by serial, key id or identity. Sessions that they opened end: {"ended"}.

        "known" is False for a serial that no certificate has which we signed and which is still good: another one may have been meant.
        """
        self._check_revoked(kind, which)
        known = kind != SERIAL or self._office.badges.knows(which)
        with self._office.store.write() as txn:
            self._office.badges.revoke(txn, kind, which, why[:500])
            self._put(txn, "certificate.revoked", {"subject" if kind == IDENTITY else kind: which[:512], "why": why[:500]})
        self._office.outbox.deliver()
        return {"kind": kind, "which": which, "known": known, "ended": self._office.end_certified("its certificate was revoked")}

    def _check_revoked(self, kind: str, which: str) -> None:
        if kind == IDENTITY:
            self._office.identities.need(which)
        elif kind == SERIAL:
            if not re.fullmatch(r"[1-9][0-9]{0,19}", which) or int(which) >= SERIAL_LIMIT:
                raise BadCall("a serial is a number, as `ostiary ssh sign` said it and the record has it")
        elif kind != KEY_ID or not which:
            raise BadCall("what is revoked is a serial, a key id or an identity")

    def ssh_revoked(self) -> list[Value]:
        """What was revoked."""
        with self._office.store.read() as txn:
            return self._office.badges.listed(txn)

    def ssh_rotate(self, keep: float) -> Value:
        """Another key signs for people. What the former one signed is good for a while; where it is not, its sessions end."""
        told = self._office.authorities.rotate(keep, self._here())
        return told | {"ended": self._office.end_certified("its authority was replaced")}

    # -- accounts ----------------------------------------------------------------------

    def account_list(self) -> list[Value]:
        with self._office.store.read() as txn:
            return self._office.vault.listed(txn)

    def account_secret(self, target: str, account: str, password: str) -> None:
        if not password or len(password) > PASSWORD_LIMIT or "\0" in password:
            raise BadCall("a secret is neither empty nor longer than 4096 characters, and has no NUL")
        self._check_key(target, account, password)
        with self._office.store.write() as txn:
            self._office.vault.put(txn, target, account, password)
            self._put(txn, "account.secret", {"target": target, "account": account})
        self._office.outbox.deliver()

    def _check_key(self, target: str, account: str, secret: str) -> None:
        """A key is looked at when it is entered, not when the first person wants to use it."""
        entry = self._office.targets.get(target)
        chosen = entry.account(account) if entry else None
        if chosen is None or chosen.auth != "key":
            return
        from gateway.ssh.keys import NoKey, private  # Conch is loaded where SSH is used

        try:
            private(secret.encode())
        except NoKey as error:
            raise BadCall(f"{error}; make one with: ssh-keygen -t ed25519 -N ''") from None

    def account_forget(self, target: str, account: str) -> None:
        with self._office.store.write() as txn:
            self._office.vault.delete(txn, target, account)
            self._put(txn, "account.forgotten", {"target": target, "account": account})
        self._office.outbox.deliver()

    def target_check(self, target: str, account: str = "") -> Deferred[Value]:
        """Log in to a target with an account, and leave again; masking's columns must be there."""
        entry, chosen, password = self._accounts.login(target, account)
        facts = self._probe(entry, chosen, password).addCallback(dict)
        if entry.protocol != "ssh":
            facts.addCallback(self._fitted, entry)
        facts.addErrback(unusable(entry, chosen.name))
        return facts.addCallback(lambda said: {"target": target, "account": chosen.name, "facts": said})

    def _probe(self, entry: TargetEntry, account: Account, secret: str | None) -> Deferred[Any]:
        if entry.protocol != "ssh":
            return upstream.probe(self._reactor, entry, account, secret)
        from gateway.ssh.upstream import probe  # Conch is loaded where SSH is used

        return probe(self._reactor, entry, account, self._certified(entry, account) if account.auth == "certificate" else secret or "")

    def _fitted(self, facts: Value, entry: TargetEntry) -> Deferred[Value]:
        def said(fit: Fit) -> Value:
            if fit.wrong:
                why = "; ".join(fit.wrong)
                raise Conflict(f"the login works, but everybody who sees a column masked is refused there (OST-520): {why}; mend masking's `columns`")
            return facts | {"masked_columns": fit.columns}

        return self._accounts.fit(entry, self._office.addons).addCallback(said)

    def _certified(self, entry: TargetEntry, account: Account) -> Any:
        """As a session has it; whose it is in the target's log is the operator."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from twisted.conch.ssh.keys import Key

        from gateway.ssh.upstream import Certified

        key = Key(Ed25519PrivateKey.generate())
        made = self._office.authorities.session(entry, account.name, "ostiary-target-check", str(uuid4()), key.public().blob())
        return Certified(key, made["certificate"], made["serial"])

    def target_host_key(self, target: str, host: str, port: int) -> Deferred[Value]:
        """
        What a host shows now, for a person to compare. It is trusted only once the file has it.

        :param target: the file's name for it, which may not be in force yet: that takes a key.
        """
        entry = TargetEntry(target, "ssh", host, port, "", (), (Account("", ""),))
        known = self._office.targets.get(target)
        registered = known.host_keys if known is not None and (known.host, known.port) == (host, port) else ()
        from gateway.ssh.upstream import look  # Conch is loaded where SSH is used

        def seen(blob: bytes) -> Value:
            shown = {"target": target, "address": f"{host}:{port}", "key": fingerprint(blob), "registered": blob in registered}
            self._tell("target.host_key", shown)
            return shown | {"line": line(blob)}

        return look(self._reactor, entry).addCallbacks(seen, unusable(entry, ""))

    def target_relations(self, target: str, account: str = "", database: str = "") -> Deferred[list[Value]]:
        """The tables of a database that can be sampled."""
        discovery = self._discovery(target, account, database)
        asked: Deferred[list[Value]] = discovery.relations()
        return asked.addErrback(unusable(discovery.target, discovery.account.name))

    def target_sample(
        self, target: str, schema: str, relation: str, rows: int, account: str = "", database: str = ""
    ) -> Deferred[Value]:
        """What a table's columns seem to hold. That it is looked at is recorded first; no value leaves."""
        if not 0 < rows <= SAMPLE_LIMIT:
            raise BadCall(f"a sample has 1 to {SAMPLE_LIMIT} rows")
        discovery = self._discovery(target, account, database)
        facts = {"target": target, "account": discovery.account.name, "database": discovery.database}
        self._tell("target.sampled", {**facts, "relation": f"{schema}.{relation}", "rows": rows})
        sampled: Deferred[Value] = discovery.sample(schema, relation, rows)
        return sampled.addErrback(unusable(discovery.target, discovery.account.name))

    def target_floor(
        self, target: str, database: str, account: str, floor: str, others: Sequence[str], columns: Sequence[Value],
        functions: Sequence[str], name: str,
    ) -> Deferred[Value]:
        """
        The SQL of a floor, and what differs from it on the server. Accounts are given as roles of the server.

        :param name: of the floor's account in the file.
        """
        from gateway.control.provision import plan  # these bring masking and the parser, which control starts without
        from gateway.control.standing import standing

        entry, reader, password = self._accounts.login(target, self._accounts.reader(target))
        if database not in entry.databases:
            raise NotFound(f"target {target} has no database {database}; it has {', '.join(entry.databases)}")

        def planned(stands: Standing) -> Deferred[Plan]:
            return deferToThread(plan, stands, columns, functions, target, account, floor, others, name)  # views are many to follow

        def written(made: Plan) -> Value:
            return {"target": target, "database": database, "floor": floor, "sql": made.script(), "differences": made.differences()}

        dialled = upstream.dial(self._reactor, entry, reader, password, database, READER)
        dialled.addCallback(Querying)
        dialled.addCallback(lambda asks: standing(asks, account, floor, others, functions).addBoth(_hung_up, asks))
        return dialled.addCallback(planned).addCallback(written).addErrback(unusable(entry, reader.name))

    def _discovery(self, target: str, account: str, database: str) -> Discovery:
        entry, chosen, password = self._accounts.login(target, account or self._accounts.reader(target))
        if entry.protocol == "ssh":
            raise NotFound(f"target {target} is a host: it has no tables")
        if database and database not in entry.databases:
            raise NotFound(f"target {target} has no database {database}; it has {', '.join(entry.databases)}")
        return Discovery(self._reactor, entry, chosen, password, database or entry.database)

    # -- requests ----------------------------------------------------------------------

    def request_list(self, everything: bool = False) -> list[Value]:
        return [shape.summary(record) for record in self._office.requests.listed(everything)]

    def request_expired(self) -> list[Value]:
        """Those of the last day that nobody answered, or that nobody used in time."""
        return [shape.summary(record) | {"reason": record["reason"]} for record in self._office.requests.expired()]

    def request_show(self, request: str) -> Value:
        return shape.shown(self._office.requests.get(request))

    def request_approve(self, request: str, subject: str, token: str, why: str = "") -> Deferred[Value]:
        return self._office.requests.approve(request, subject, why[:500], self._caller(subject, token))

    def request_deny(self, request: str, subject: str, token: str, why: str = "") -> Value:
        return self._office.requests.deny(request, subject, why[:500], self._caller(subject, token))

    def request_submit(self, subject: str, token: str, asked: Value, statements: Sequence[str]) -> Value:
        caller = self._caller(subject, token)
        where = (str(asked.get(name, "")) for name in ("target", "account", "database"))
        floor = self._accounts.floor(*where, self._office.identities.need(subject).groups)
        return self._office.requests.submit_list(subject, {**asked, "floor": floor}, statements, caller)

    def request_reveal(self, subject: str, token: str, asked: Value, columns: Sequence[str], uses: int) -> Value:
        return self._office.requests.reveals.submit(subject, asked, columns, uses, self._caller(subject, token))

    def request_revoke(self, request: str, subject: str, token: str, why: str = "") -> Value:
        return self._office.requests.reveals.revoke(request, subject, why[:500], self._caller(subject, token))

    # -- sessions ----------------------------------------------------------------------

    def session_list(self) -> list[Value]:
        return self._office.sessions.listed()

    def session_show(self, session: str) -> Value:
        return self._office.sessions.get(session)

    def session_kill(self, session: str, why: str = "") -> Value:
        ended = self._office.sessions.kill(session, by_operator(why))
        self._tell("session.killed", {"session": ended["id"], "subject": ended["subject"], "why": why})
        return ended

    def session_observe(self, session: str, subject: str, token: str) -> Value:
        """Somebody watches a session, and says so again while they do."""
        proved = self._prove(subject, token)
        if proved["kind"] != "human":
            raise NotAllowed(f"{subject} is no person; sessions are observed by people")
        return self._office.sessions.observe(session, subject, proved["groups"])

    def _prove(self, subject: str, token: str) -> Any:
        return self._office.login.authenticate(subject, token, HERE)

    def _caller(self, subject: str, token: str) -> Caller:
        """Who answers or asks, once the token has proved it."""
        return replace(self._here(), token=self._prove(subject, token)["token"])

    def _here(self) -> Caller:
        return Caller(CLI, os_user=os_user(self._uid()))

    def _put(self, txn: Transaction, kind: str, facts: Mapping[str, Any]) -> None:
        """A note of a change, with whose process asked for it."""
        self._office.outbox.put(txn, kind, {**facts, **self._here().facts()})

    def _tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        with self._office.store.write() as txn:
            self._put(txn, kind, facts)
        self._office.outbox.deliver()


def _hung_up(result: Any, connection: Querying) -> Any:
    connection.close()
    return result


def check_addresses(addresses: str) -> None:
    """
    :raises BadCall: one is neither an address nor a network.
    """
    for each in addresses.split(","):
        try:
            ipaddress.ip_network(each)
        except ValueError:
            raise BadCall(f"{each[:64]!r} is no address or network; write for example 10.0.0.0/8") from None


def check_subject(subject: str) -> None:
    """
    :raises NotAllowed: a client could not name it in `IDENTITY@TARGET`.
    """
    try:
        selected = select(f"{subject}@target")
    except WrongForm:
        raise NotAllowed(f"{subject!r} cannot be an identity: letters, digits and . @ + = ~ - _ only") from None
    if selected.identity != subject or len(subject.encode()) > SUBJECT_LIMIT:
        raise NotAllowed(f"{subject!r} cannot be an identity")
