"""
Recorded statements to what another policy would have decided: only those whose verdict differs come back.

There is no catalog here. What only a catalog can tell (a function of the database) is `unsure` when the old policy,
judged the same way, does not repeat its own recorded verdict either.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from addons.policy import Policy
from addons.sql.rules import Ruling, strictest
from gateway.control.errors import BadCall, NotAllowed
from gateway.evidence.query import Found
from gateway.evidence.readable import clean, counted, cut, moment
from gateway.notary.record import Kind
from protocols.command import Path, Statement
from protocols.hooks import ClosedHook, DecidedHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision

ALLOW, APPROVE, DENY = "allow", "approve", "deny"
_POLICY = "Policy"  #: the addon's name in records

_UNASKED = frozenset({"OST-304", "OST-305", "OST-306", "OST-307", *(error.code for error in (NotAllowed, BadCall))})
"""Refusals of what a rule would have held, where nobody could be asked."""

_RULED_BY_NONE = frozenset({"OST-207", "OST-208", "OST-215", "OST-216", "OST-218", "OST-901"})
"""Refusals for what the session was or the gateway could not do then, whatever the rules say."""


class Clock:
    """The time of the record that is replayed; rules with hours go by it."""

    def __init__(self) -> None:
        self.time_ns = 0

    def __call__(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self.time_ns / 1e9).astimezone()


@dataclass(frozen=True, slots=True)
class Difference:
    """One recorded command and its two verdicts; `unsure` where the catalog had a say."""

    record: str
    time_ns: int
    session: str
    identity: str
    target: str
    text: str
    was: str
    now: str
    rule: str
    why: str
    unsure: bool

    def shown(self) -> dict[str, Any]:
        """As JSON shows it."""
        known = asdict(self)
        return {"time": moment(known.pop("time_ns")), **known}

    def told(self, width: int = 0) -> str:
        """For a person: two lines. `width`: as of `table_row`."""
        doubt = "; unsure: the database's catalog had a say" if self.unsure else ""
        asked = f"{moment(self.time_ns)[:19]}Z  {self.record:>10}  {clean(self.identity)} on {clean(self.target)}: {clean(self.text)}"
        return (
            f"{cut(asked, 2 * width) if width else asked}\n"
            f"  {self.was} -> {self.now} by {self.rule}: it {self.why}{doubt}"
        )


@dataclass(slots=True)
class Counts:
    """How many commands were looked at, and how many could not be."""

    replayed: int = 0
    others: int = 0  #: refused or held by an addon that is not the policy, or for what no rule says
    closed: int = 0  #: without a text: a body that does not open, a call by OID, another protocol

    def shown(self) -> dict[str, int]:
        """As JSON shows it."""
        return asdict(self)

    def told(self, kinds: Mapping[str, int]) -> str:
        """For a person: one line."""
        same = self.replayed - sum(kinds.values())
        again = ", ".join([*(f"{count} from {kind}" for kind, count in sorted(kinds.items())), f"{same} as before"])
        left = ((self.others, "not policy's to decide"), (self.closed, "without a text here"))
        aside = "".join(f"; {count} {what}" for count, what in left if count)
        return f"{counted(self.replayed + self.others + self.closed, 'command')} recorded: {self.replayed} decided again ({again}){aside}"


@dataclass(slots=True)
class Replay:
    """
    Feed records in order.

    :param old: the policy in force, and `new` the draft; both with `clock` as their time.
    """

    old: Policy
    new: Policy
    clock: Clock
    counts: Counts = field(default_factory=Counts)
    _sessions: dict[bytes, Session] = field(default_factory=dict)
    _prepared: dict[bytes, dict[str, str]] = field(default_factory=dict)

    def differences(
        self, records: Iterable[Found], since_ns: int = 0, identity: str = "", target: str = ""
    ) -> Iterator[Difference]:
        """Records before `since_ns`, and of others than are asked for, only teach what was prepared and set."""
        for found in records:
            self.clock.time_ns = found.record.stamp.time_ns
            match found.record.kind:
                case Kind.OPENED:
                    self._open(found)
                case Kind.CLOSED:
                    self._close(found.record.session)
                case Kind.INTENT | Kind.REFUSAL:
                    wanted = identity in ("", found.identity) and target in ("", found.record.fields[3])
                    different = self._command(found, wanted and found.record.stamp.time_ns >= since_ns)
                    if different is not None:
                        yield different

    def _open(self, found: Found) -> None:
        record, body = found.record, found.body
        if body is None:
            return
        who, behalf, account, database, peer, kind, groups, proof, application = body[:9]
        identity = Identity(who, kind, frozenset(groups), proof, behalf or None)
        target = Target(record.fields[3], record.get("protocol"), "", 0)
        name = str(uuid.UUID(bytes=record.session))
        self._sessions[record.session] = Session(name, identity, target, account, database, peer, application)
        self._prepared[record.session] = {}

    def _close(self, session: bytes) -> None:
        held = self._sessions.pop(session, None)
        self._prepared.pop(session, None)
        if held is not None:
            for policy in (self.old, self.new):
                policy.on_closed(ClosedHook(held))

    def _command(self, found: Found, count: bool) -> Difference | None:
        session, command = self._sessions.get(found.record.session), self._statement(found)
        if session is None or command is None:
            self.counts.closed += count
            return None
        was = _recorded(found)
        rulings = [_ruling(policy, session, command) for policy in (self.old, self.new)]
        self._learn(session, command, found)
        if not count or (command.path is Path.PARSE and was != DENY):
            return None  # it was asked again when it was bound
        if not was:
            self.counts.others += 1
            return None
        self.counts.replayed += 1
        before, now = rulings
        if now.verdict == was:
            return None
        rule = now.rule.name if now.rule else f"default.{now.kind}"
        stamp = found.record.stamp
        return Difference(
            f"{stamp.segment}/{stamp.index}", stamp.time_ns, session.id, session.identity.subject, session.target.name,
            command.text, was, now.verdict, rule, now.why, before.verdict != was and before.kind == now.kind,
        )

    def _statement(self, found: Found) -> Statement | None:
        path, body = found.record.get("path"), found.body
        if body is None or not body[5] or path not in (Path.SIMPLE, Path.PARSE, Path.BIND):
            return None
        prepared = self._prepared.get(found.record.session, {})
        return Statement(body[5], Path(path), name=_name(found), prepared=prepared)

    def _learn(self, session: Session, command: Statement, found: Found) -> None:
        """What was let through changes how later statements are read."""
        if found.record.kind != Kind.INTENT:
            return
        if command.path is Path.PARSE:
            self._prepared[found.record.session][command.name] = command.text
            return
        for policy in (self.old, self.new):
            policy.on_decided(DecidedHook(session, Decision(command, Allow(), command.text)))


def _name(found: Found) -> str:
    name: Any = found.body[-2] if found.body else ""
    return name if isinstance(name, str) else ""


def _ruling(policy: Policy, session: Session, command: Statement) -> Ruling:
    return strictest(policy.explain(session, command))


def _recorded(found: Found) -> str:
    """What the policy had said; "" where another addon had the last word, which hides it."""
    record, body = found.record, found.body or []
    asked = bool(record.get("request"))
    if record.kind == Kind.INTENT:
        by = body[9]
        if asked or record.get("grant"):
            return APPROVE if by == _POLICY else ""
        return ALLOW
    by = record.get("addon")
    code = record.get("code")
    if by != _POLICY or code in _RULED_BY_NONE:
        return ""
    return APPROVE if asked or (record.get("rule") and code in _UNASKED) else DENY
