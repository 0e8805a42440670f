"""
How many rows: what a statement may touch, counted by the server in the statement itself, and what it may be expected to read.

`touched` rules put a guard into UPDATE and DELETE, so that one which would go too far fails and changes nothing. `estimated`
rules ask the planner first. It comes after masking, whose text it guards. What cannot be counted or estimated is refused, so
also what a SQL function's body touches. Rules about relations are met by any name under which their rows are reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred

from addons.needs import Analyses, Catalogs, Estimates
from addons.sql.about import KINDS, About, Asking, Calling, Guarding, Planning, about_of
from addons.sql.analysis import Analysis, Wanted
from addons.sql.answers import hold_mode, texts
from addons.sql.assess import Assessor
from addons.sql.catalog import Snapshot
from addons.sql.complaints import Gathering
from addons.sql.conditions import Conditions, Table, all_of, conditions
from addons.sql.finding import Name
from addons.sql.flux import Flux, changed_by, together
from addons.sql.guard import SQLSTATE, Uncountable
from addons.sql.listed import Listed
from addons.sql.reach import reach
from addons.sql.settings import Gate, Settings
from protocols.command import Path, Statement
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook, RewriteHook, TextHook
from protocols.session import Session
from protocols.tally import tallies_of
from protocols.verdict import Allow, Decision, Deny, Hold, Replace, Verdict

_MOST = 10_000_000
_KEPT = 4096  # texts
_VERDICTS = ("deny", "approve")
_SETTLE = "Commit first, or change it outside of this transaction."
_SAID = "width_bucket"  # what a guard has in its text


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One table of `touched` or `estimated`.

    :ivar rows: how many are no matter. :ivar relations: about statements that reach rows of one of these; empty is all.
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
    :param touched: who, where, `relations`, and `rows` that an UPDATE, DELETE or upsert may touch; see docs/policy.md for which counts.
    :param functions: the operator's word for functions whose own writes `touched` is not about: "name" or "schema.name".
    :param estimated: likewise, with `statements`, and a verdict on more `rows` than the planner expects: "deny" or "approve".
    """

    def __init__(
        self, *, touched: Iterable[Mapping[str, object]] = (), estimated: Iterable[Mapping[str, object]] = (),
        functions: Iterable[str] = (), catalogs: Catalogs, estimates: Estimates, analyses: Analyses | None = None,
        settings: Settings | None = None,
    ) -> None:
        faults = Gathering()
        self._assessor = Assessor(faults.of(lambda: texts(functions, "functions"), ()), Gate())
        self._touched = faults.of(lambda: all_of(lambda table: _rule(table, planned=False), touched, "touched"), [])
        self._estimated = faults.of(lambda: all_of(lambda table: _rule(table, planned=True), estimated, "estimated"), [])
        faults.end()
        self._sought = Listed(frozenset(name for rule in (*self._touched, *self._estimated) for name in rule.relations))
        self._catalogs, self._estimates, self._analysis = catalogs, estimates, Analysis(analyses)
        settings = settings or Settings()
        self._underway, self._prepared = settings.underway, settings.prepared
        self._prepared_for: dict[str, dict[str, int]] = {}  #: by session: texts of PREPARE to the rows of the guard that they got
        self._put: dict[tuple[str, int, str], str] = {}
        self._reached: dict[tuple[About, str, Flux | None], frozenset[Name] | None] = {}
        self._bodies: dict[tuple[str, str, Flux | None], About] = {}
        self.tallies = tallies_of((catalogs, settings))
        self._before: dict[str, tuple[str, int]] = {}  # a guarded text to what it was made of, which the planner is asked about, and its rows

    def standing(self, session: Session) -> Hashable:
        """What its remembered answers rest on; see `protocols.verdict`."""
        return self._catalogs.standing(session), self._underway.of(session)

    def untold(self, session: Session, decision: Decision) -> bool:
        """Whether it learns nothing from hearing of this again; see `protocols.verdict`."""
        command = decision.command
        changes = self._changes(session, command, self._catalogs.snapshot(session))
        return changes == (None, None) and self._underway.of(session) is None and not self._analysis.long(command.text)

    # what is touched

    def on_rewrite(self, hook: RewriteHook) -> Verdict | Deferred[Verdict]:
        if not any(rule.conditions.fits(hook.session) for rule in self._touched):
            return Allow(remember=True)
        ask = partial(self._limited, hook.session, hook.statement)
        return self._analysis.when_known(hook.session, lambda: self._knowing(hook.session, ask))

    def _limited(self, session: Session, statement: Statement, snapshot: Snapshot | None) -> Verdict:
        about = self._about(session, statement.text)
        flux = together((self._underway.of(session), None if about.alone else about.changes))
        if snapshot is None and about.foreign:
            return _unknown(next(rule for rule in self._touched if rule.conditions.fits(session)))
        inside = self._inside(session, statement, snapshot)
        if statement.untold(inside.executes):
            return _unknown(next(rule for rule in self._touched if rule.conditions.fits(session)))
        hidden = self._strictest(session, snapshot, inside)
        if hidden is not None and inside.doubtful:
            return _uncounted(hidden, "it calls what this transaction made or changed", _SETTLE)
        if hidden is not None:
            return _uncounted(hidden, "it calls a function that writes", "List the function in `functions` of the limits, or write what it writes.")
        if (bound := self._executed(session, statement, snapshot, inside)) is not None:
            return _uncounted(bound, "what it executes was prepared when its names meant something else", "Prepare it again.")
        rule = self._strictest(session, snapshot, about)
        if rule is None:
            return Allow(remember=not inside.executes)
        if flux is not None and any(one.behind for name in about.changed for one in flux.moved(name[1])):
            return _uncounted(rule, "it writes a view or rule that this transaction made or changed", _SETTLE)
        return _unknown(rule) if snapshot is None else self._guarded(session, statement, rule, snapshot)

    def _strictest(self, session: Session, snapshot: Snapshot | None, about: About) -> Rule | None:
        return min(self._fitting(self._touched, session, snapshot, about), key=lambda rule: rule.rows, default=None)

    def _about(self, session: Session, text: str) -> About:
        return self._analysis.of(session, Asking(text)) if self._analysis.long(text) else about_of(text)

    def _inside(self, session: Session, statement: Statement, snapshot: Snapshot | None) -> About:
        """What the SQL functions write that a text calls, or what it executes by name."""
        if snapshot is None:
            return About()
        found, names = self._calling(session, statement.text, snapshot), set()
        while more := found.executes - names:
            names |= more
            for name in more:
                texts = [*self._prepared.texts(session.id, name), *filter(None, [statement.prepared.get(name)])]
                found = reduce(About.__or__, (self._calling(session, text, snapshot) for text in texts), found)
        return found

    def _executed(self, session: Session, statement: Statement, snapshot: Snapshot | None, inside: About) -> Rule | None:
        """A rule that what is executed by name meets now, and had no guard for when it was prepared: the server looks its names up again."""
        for text in (text for name in inside.executes for text in self._prepared.texts(session.id, name)):
            rule = self._strictest(session, snapshot, self._about(session, text))
            if rule is not None and self._prepared_for.get(session.id, {}).get(text, _MOST + 1) > rule.rows:
                return rule
        return None

    def _calling(self, session: Session, text: str, snapshot: Snapshot) -> About:
        calling = Calling(text, snapshot.revision, self._assessor, self._underway.of(session))
        if self._analysis.long(text):
            return self._analysis.of(session, calling, snapshot)
        key = (text, snapshot.revision, calling.flux)
        if key not in self._bodies:
            if len(self._bodies) >= _KEPT:
                self._bodies.clear()
            self._bodies[key] = calling.answer(snapshot)
        return self._bodies[key]

    def _knowing(self, session: Session, ask: Callable[[Snapshot | None], Any]) -> Any:
        """What `ask` says of the catalog, which is read first if need be; None is one that cannot be. By a new one where it has to wait."""
        snapshot = None if self._catalogs.stale(session) else self._catalogs.snapshot(session)
        if snapshot is not None:
            return ask(snapshot)
        read: Deferred[Snapshot | None] = self._catalogs.refresh(session)

        def known(snapshot: Snapshot | None) -> Any:
            try:
                return ask(snapshot)
            except Wanted as wanted:
                return self._analysis.wait(session, wanted, lambda: self._knowing(session, ask))

        return read.addErrback(lambda _why: None).addCallback(known)

    def _guarded(self, session: Session, statement: Statement, rule: Rule, snapshot: Snapshot) -> Verdict:
        key = (statement.text, rule.rows, snapshot.revision)
        try:
            text = self._put.get(key) or self._guard(session, Guarding(*key), snapshot)
        except Uncountable as error:
            return _uncounted(rule, error.why, "Name the rows in a plain UPDATE or DELETE of the table, or in VALUES.")
        if len(self._put) >= _KEPT:
            self._put.clear()
            self._before.clear()
        self._put[key], self._before[text] = text, (statement.text, rule.rows)
        return Replace(text, rule.name)

    def _guard(self, session: Session, question: Guarding, snapshot: Snapshot) -> str:
        """
        :raises Uncountable: how many rows it touches cannot be told beforehand.
        """
        found = self._analysis.of(session, question, snapshot) if self._analysis.long(question.text) else question.answer(snapshot)
        if isinstance(found, Uncountable):
            raise found
        return found

    def on_decided(self, hook: DecidedHook) -> None:
        session, command, snapshot = hook.session, hook.decision.command, self._catalogs.snapshot(hook.session)
        if isinstance(command, Statement) and any(r.conditions.fits(session) for r in (*self._touched, *self._estimated)):
            self._underway.decided(session, hook.decision, *self._changes(session, command, snapshot))
            if "prepare" in command.text.lower() and hook.decision.sent in self._before:
                kept = self._prepared_for.setdefault(session.id, {})
                if len(kept) >= _KEPT:
                    kept.clear()
                kept[command.text] = self._before[hook.decision.sent][1]
        self._analysis.settle(session)

    def _changes(self, session: Session, command: Statement, snapshot: Snapshot | None) -> tuple[Flux | None, Flux | None]:
        """What a command changes of the catalog itself, and by what it calls."""
        try:
            called = self._inside(session, command, snapshot).changes
            return self._about(session, command.text).changes, called
        except Wanted:  # nothing can wait here
            return changed_by(command.text), None

    def on_outcome(self, hook: OutcomeHook) -> None:
        self._underway.ended(hook.session, hook.decision, hook.outcome, self._catalogs)

    def on_closed(self, hook: ClosedHook) -> None:
        self._underway.closed(hook.session, self._catalogs)
        self._prepared_for.pop(hook.session.id, None)
        self._analysis.settle(hook.session)

    def on_text(self, hook: TextHook) -> dict[str, str] | None:
        """A guard that failed, in words."""
        decision = hook.decision
        if hook.kind != "error" or hook.fields.get("C") != SQLSTATE or decision is None or not isinstance(decision.command, Statement):
            return None
        if _SAID in decision.command.text.lower():
            return None  # the client's own
        fits = (rule for rule in self._touched if rule.conditions.fits(hook.session))
        snapshot = self._catalogs.snapshot(hook.session)
        text = decision.command.text
        about = self._analysis.known(hook.session, Asking(text), None) if self._analysis.long(text) else about_of(text)
        rule = self._strictest(hook.session, snapshot, about or About()) or next(fits, None)  # EXECUTE names no table
        many = f"{rule.rows} rows, which rule {rule.name} allows" if rule else "the rows that a rule allows"
        kept = {key: value for key, value in hook.fields.items() if key in "SV"}
        said = f"The statement would touch more than {many}; nothing was changed. [OST-406]"
        detail = json.dumps({"code": "OST-406", "rule": rule.name if rule else "", "rows": rule.rows if rule else None})
        return {**kept, "C": "54000", "M": said, "D": detail, "H": "Touch fewer rows at once."}

    # what is expected

    def on_judge(self, hook: JudgeHook) -> Verdict | Deferred[Verdict]:
        command = hook.command
        if not isinstance(command, Statement) or command.path is Path.PARSE:
            return Allow(remember=True)
        if not any(rule.conditions.fits(hook.session) for rule in self._estimated):
            return Allow(remember=True)
        ask = partial(self._expecting, hook, command)
        return self._analysis.when_known(hook.session, lambda: self._knowing(hook.session, ask))

    def _expecting(self, hook: JudgeHook, command: Statement, snapshot: Snapshot | None) -> Verdict | Deferred[Verdict]:
        about = self._about(hook.session, command.text)
        rules = self._fitting(self._estimated, hook.session, snapshot, about)
        if not rules:
            return Allow(remember=True)
        if self._shifts(hook.session, command, about, snapshot):
            return _unplanned(rules[0])
        asked: Deferred[Verdict] = self._judged(hook.session, command, self._before.get(hook.sent, (hook.sent,))[0], rules)
        return asked

    def _shifts(self, session: Session, command: Statement, about: About, snapshot: Snapshot | None) -> bool:
        """Whether another connection's planner would take a name for something else."""
        flux = together((self._underway.of(session), about.changes))
        if flux is None:
            return False
        moved = any(name[0] in flux.schemas or any(flux.moved(name[1])) for name in about.named | about.changed)
        return moved or flux.unseen or self._inside(session, command, snapshot).doubtful

    @inlineCallbacks
    def _judged(self, session: Session, command: Statement, sent: str, rules: Sequence[Rule]) -> Iterator[object]:
        rules = sorted(rules, key=lambda rule: rule.verdict != "deny")
        texts = yield maybeDeferred(self._analysis.when_known, session, lambda: self._planned(session, sent))
        if isinstance(texts, Deny):
            return texts
        if command.parameters and len(texts) != 1:
            return _unplanned(rules[0])
        most = 0.0
        for text in texts:
            try:
                most = max(most, (yield self._estimates.rows(session, command, text)))
            except Exception:  # whatever it was, the rule cannot be kept
                return _unplanned(rules[0])
        over = next((rule for rule in rules if most > rule.rows), None)
        return _expected(over, most, command, session) if over else Allow(remember=False)

    def _planned(self, session: Session, sent: str) -> Sequence[str]:
        """What of a text the planner is asked about."""
        return self._analysis.of(session, Planning(sent)) if self._analysis.long(sent) else Planning(sent).answer(None)

    # which rules

    def _fitting(self, rules: Sequence[Rule], session: Session, snapshot: Snapshot | None, about: About) -> list[Rule]:
        """
        Those that fit, up to the first that names all that the statement is about: none before it lifts what comes after.

        :param about: of the text, or of the functions that it calls.
        """
        found: list[Rule] = []
        if rules is self._touched and not about.touches:
            return []
        mine = [rule for rule in rules if rule.conditions.fits(session)]
        met = self._met(about, snapshot, together((self._underway.of(session), about.changes))) if any(rule.relations for rule in mine) else frozenset()
        for rule in mine:
            if not _asks(rule, about.kinds) or not _meets(rule, met):
                continue
            found.append(rule)
            if not rule.relations or all(name in Listed(rule.relations) for name in about.subject(rules is self._touched)):
                break
        return found

    def _met(self, about: About, snapshot: Snapshot | None, flux: Flux | None) -> frozenset[Name] | None:
        """Whose rows are reached; None when that cannot be told, which any rule is about."""
        key = (about, snapshot.revision if snapshot is not None else "", flux)
        if key not in self._reached:
            found = reach(about.named | about.changed, about.named | about.changed, snapshot, flux)
            doubtful = bool(found.unknown) if snapshot is None else not found.unknown.isdisjoint(about.changed)
            doubtful = doubtful or about.doubtful or flux is not None and flux.unseen and bool(about.named)
            if len(self._reached) >= _KEPT:
                self._reached.clear()
            self._reached[key] = None if doubtful else frozenset(name for name in found.names if name in self._sought)
        return self._reached[key]


def _asks(rule: Rule, kinds: frozenset[str]) -> bool:
    return not rule.statements or any(KINDS[one] in kinds for one in rule.statements)


def _meets(rule: Rule, met: frozenset[Name] | None) -> bool:
    return not rule.relations or met is None or any(name in Listed(rule.relations) for name in met)


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


def _uncounted(rule: Rule, why: str, hint: str) -> Deny:
    return Deny(
        f"Rule {rule.name} allows {rule.rows} rows, and how many this touches cannot be counted beforehand: {why}.",
        "OST-407", rule=rule.name, hint=hint,
    )


def _unknown(rule: Rule) -> Deny:
    return Deny(f"Rule {rule.name} needs the target's catalog, which cannot be read now.", "OST-407", rule=rule.name, hint="Try again.")


def _rule(table: Table, *, planned: bool) -> Rule:
    table.only(*((Rule,) if planned else (Conditions, "name", "rows", "relations")))
    name, rows = table.text("name"), table.number("rows")
    made = Rule(
        name, int(rows or 0), conditions(table), table.texts("relations"),
        table.texts("statements", KINDS, "statement") if planned else frozenset(),
        table.text("verdict", "deny", _VERDICTS) if planned else "deny",
        table.texts("approvers") if planned else frozenset(), int(table.number("quorum", 1) or 1) if planned else 1,
    )  # fmt: skip
    if not name:
        table.missing("every rule has a name, which refusals and evidence show", "name")
    if rows is None or rows != int(rows) or not 0 < rows <= _MOST:
        table.missing(f"a whole number from 1 to {_MOST}", "rows")
    if made.verdict == "approve" and not made.approvers:
        table.missing("name the groups whose members may approve", "approvers")
    if made.conditions.timed:
        table.wrong("hours", "these limits hold at all hours; take hours and days out")
    table.end()
    return made
