"""
How many rows: what a statement may touch, counted by the server in the statement itself, and what it may be expected to read.

`touched` rules put a guard into UPDATE and DELETE, so that one which would go too far fails and changes nothing. `estimated`
rules ask the planner first. It comes after masking, whose text it guards. What cannot be counted or estimated is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree
from twisted.internet.defer import Deferred, inlineCallbacks

from addons.needs import Catalogs, Estimates
from addons.sql.answers import hold_mode
from addons.sql.assess import Listed
from addons.sql.catalog import Snapshot
from addons.sql.classify import classify
from addons.sql.conditions import Conditions, Table, conditions, tables
from addons.sql.guard import SQLSTATE, Uncountable, fresh, guarded
from addons.sql.parse import Parsed, Unparsable, deparse, parse, unwrap, walk
from protocols.command import Path, Statement
from protocols.hooks import JudgeHook, RewriteHook, TextHook
from protocols.session import Session
from protocols.verdict import Allow, Deny, Hold, Replace, Verdict

_MOST = 10_000_000
_KEPT = 4096  # texts
_VERDICTS = ("deny", "approve")
_KINDS = {"select": "SelectStmt", "insert": "InsertStmt", "update": "UpdateStmt", "delete": "DeleteStmt", "merge": "MergeStmt"}
_TOUCH = frozenset({"UpdateStmt", "DeleteStmt", "MergeStmt"})
_SAID = "width_bucket"  # what a guard has in its text


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One table of `touched` or `estimated`.

    :ivar rows: how many are no matter. :ivar relations: about statements that name one of these; empty is all.
    """

    name: str
    rows: int
    conditions: Conditions = field(default_factory=Conditions)
    relations: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()
    verdict: str = "deny"
    approvers: frozenset[str] = frozenset()
    quorum: int = 1


class Rows:
    """
    :param touched: who, where, `relations`, and `rows` that an UPDATE or DELETE may touch; the first that fits counts.
    :param estimated: likewise, with `statements`, and a verdict on more `rows` than the planner expects: "deny" or "approve".
    """

    def __init__(
        self, *, touched: Iterable[Mapping[str, object]] = (), estimated: Iterable[Mapping[str, object]] = (),
        catalogs: Catalogs, estimates: Estimates,
    ) -> None:
        self._touched = [_rule(table, planned=False) for table in tables(touched, "touched")]
        self._estimated = [_rule(table, planned=True) for table in tables(estimated, "estimated")]
        self._catalogs, self._estimates = catalogs, estimates
        self._put: dict[tuple[str, int, str], str] = {}
        self._before: dict[str, str] = {}  # a guarded text to what it was made of: the planner cannot know what a guard lets through

    # what is touched

    def on_rewrite(self, hook: RewriteHook) -> Verdict | Deferred[Verdict]:
        rule = self._first(self._touched, hook.session, hook.statement.text)
        if rule is None:
            return Allow()
        snapshot = None if self._catalogs.stale(hook.session) else self._catalogs.snapshot(hook.session)
        if snapshot is not None:
            return self._guarded(hook.statement, rule, snapshot)
        read: Deferred[Snapshot] = self._catalogs.refresh(hook.session)
        return read.addCallbacks(lambda known: self._guarded(hook.statement, rule, known), lambda _why: _unknown(rule))

    def _guarded(self, statement: Statement, rule: Rule, snapshot: Snapshot) -> Verdict:
        key = (statement.text, rule.rows, snapshot.revision)
        try:
            text = self._put.get(key) or guarded(*key[:2], snapshot)
        except Uncountable as error:
            return Deny(
                f"Rule {rule.name} allows {rule.rows} rows, and how many this touches cannot be counted beforehand: {error.why}.",
                "OST-407", rule=rule.name, hint="Name the rows in a plain UPDATE or DELETE of the table.",
            )
        if len(self._put) >= _KEPT:
            self._put.clear()
            self._before.clear()
        self._put[key], self._before[text] = text, statement.text
        return Replace(text, rule.name)

    def on_text(self, hook: TextHook) -> dict[str, str] | None:
        """A guard that failed, in words."""
        decision = hook.decision
        if hook.kind != "error" or hook.fields.get("C") != SQLSTATE or decision is None or not isinstance(decision.command, Statement):
            return None
        if _SAID in decision.command.text.lower():
            return None  # the client's own
        fits = (rule for rule in self._touched if rule.conditions.fits(hook.session))
        rule = self._first(self._touched, hook.session, decision.command.text) or next(fits, None)  # EXECUTE names no table
        many = f"{rule.rows} rows, which rule {rule.name} allows" if rule else "the rows that a rule allows"
        kept = {key: value for key, value in hook.fields.items() if key in "SV"}
        return {**kept, "C": "54000", "M": f"The statement would touch more than {many}; nothing was changed. [OST-406]", "H": "Touch fewer rows at once."}

    # what is expected

    def on_judge(self, hook: JudgeHook) -> Verdict | Deferred[Verdict]:
        command = hook.command
        if not isinstance(command, Statement) or command.path is Path.PARSE:
            return Allow()
        rule = self._first(self._estimated, hook.session, command.text)
        if rule is None:
            return Allow()
        asked: Deferred[Verdict] = self._judged(hook.session, command, self._before.get(hook.sent, hook.sent), rule)
        return asked

    @inlineCallbacks
    def _judged(self, session: Session, command: Statement, sent: str, rule: Rule) -> Iterator[object]:
        texts = _planned(parse(sent))
        if command.parameters and len(texts) != 1:
            return _unplanned(rule)
        for text in texts:
            try:
                rows = yield self._estimates.rows(session, command, text)
            except Exception:  # whatever it was, the rule cannot be kept
                return _unplanned(rule)
            if rows > rule.rows:
                return _expected(rule, rows, command, session)
        return Allow(remember=False)

    # which rule

    def _first(self, rules: Sequence[Rule], session: Session, text: str) -> Rule | None:
        mine = [rule for rule in rules if rule.conditions.fits(session)]
        kinds, named = _about(text) if mine else (frozenset(), frozenset())
        if rules is self._touched and not kinds & _TOUCH:
            return None
        return next((r for r in mine if _fits(r, kinds, named)), None)


@lru_cache(maxsize=_KEPT)
def _about(text: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """Kinds of statement in it, at any depth, and the relations that it names; nothing for what policy or the server refuses."""
    try:
        parsed = parse(text)
        kinds = {type(m).__name__ for s in parsed.statements for m in walk(s)} & {*_KINDS.values()}
        reads = any(isinstance(s, tree.CopyStmt) and not s.is_from for s in parsed.statements)  # COPY of a table is a SELECT of it
        return frozenset(kinds | {"SelectStmt"} if reads else kinds), frozenset(name for finding in classify(parsed) for name in finding.relations)
    except Unparsable:
        return frozenset(), frozenset()


def _fits(rule: Rule, kinds: frozenset[str], named: frozenset[tuple[str, str]]) -> bool:
    if rule.statements and not any(_KINDS[one] in kinds for one in rule.statements):
        return False
    return not rule.relations or any(name in Listed(rule.relations) for name in named)


def _planned(parsed: Parsed) -> list[str]:
    """The text of what has a plan: queries and writes, those that other statements hold too."""
    found = []
    for statement in parsed.statements:
        inside: Message = statement
        if isinstance(statement, (tree.PrepareStmt, tree.ExplainStmt, tree.DeclareCursorStmt, tree.CreateTableAsStmt)):
            inside = unwrap(statement.query)
        elif isinstance(statement, tree.CopyStmt) and not statement.is_from:
            inside = unwrap(statement.query) if statement.HasField("query") else _whole(statement.relation)
        if type(inside).__name__ in _KINDS.values():
            found.append(_text(inside))
    return found


def _whole(relation: tree.RangeVar) -> tree.SelectStmt:
    select = fresh("SELECT * FROM x")
    select.from_clause[0].range_var.CopyFrom(relation)
    return select


def _text(statement: Message) -> str:
    result = tree.ParseResult()
    field_name = next(f.name for f in tree.Node.DESCRIPTOR.fields if f.message_type is statement.DESCRIPTOR)
    getattr(result.stmts.add().stmt, field_name).CopyFrom(statement)
    return deparse(result)


def _expected(rule: Rule, rows: float, command: Statement, session: Session) -> Verdict:
    reason = f"The planner expects more than the {rule.rows} rows of rule {rule.name}."
    if rule.verdict == "deny":
        return Deny(reason, "OST-408", rule=rule.name, hint="Add a WHERE or a LIMIT.", facts=(("estimate", f"{rows:.0f}"),))
    return Hold(rule.name, reason, rule.approvers, hold_mode("", session, command), rule.quorum)


def _unplanned(rule: Rule) -> Deny:
    return Deny(
        f"Rule {rule.name} needs the planner's estimate, which cannot be had for this statement.", "OST-409", rule=rule.name,
        hint="What this transaction made or locked is not seen from outside it: commit first, or ask the gateway's operator.",
    )


def _unknown(rule: Rule) -> Deny:
    return Deny(f"Rule {rule.name} needs the target's catalog, which cannot be read now.", "OST-407", rule=rule.name, hint="Try again.")


def _rule(table: Table, *, planned: bool) -> Rule:
    name, rows = table.text("name"), table.number("rows")
    made = Rule(
        name, int(rows or 0), conditions(table), table.texts("relations"),
        table.texts("statements", _KINDS, "statement") if planned else frozenset(),
        table.text("verdict", "deny", _VERDICTS) if planned else "deny",
        table.texts("approvers") if planned else frozenset(), int(table.number("quorum", 1) or 1) if planned else 1,
    )  # fmt: skip
    table.end()
    if not name:
        raise ValueError(f"{table.where}.name: every rule has a name, which refusals and evidence show")
    if rows is None or rows != int(rows) or not 0 < rows <= _MOST:
        raise ValueError(f"{table.where}.rows: a whole number from 1 to {_MOST}")
    if made.verdict == "approve" and not made.approvers:
        raise ValueError(f"{table.where}.approvers: name the groups whose members may approve")
    if made.conditions.timed:
        raise ValueError(f"{table.where}.hours: these limits hold at all hours; take hours and days out")
    return made
