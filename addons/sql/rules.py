"""
Policy's rules: what a table of `ostiary.toml` selects in a statement, and which rule decides a class of it.

Each class of each statement is decided alone, by the first rule that fits, else by the default for the class, else by
refusal. A rule that allows must cover everything the statement touches of the sort it names (all relations, all
columns, all functions); a rule that denies or asks needs only one of them.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, replace

from protocols.session import Session

from addons.sql.answers import ALLOW, DENY, VERDICTS, Answering, answer, clock_for, whole
from addons.sql.bearers import UNTOLD
from addons.sql.conditions import Now, Table, near
from addons.sql.finding import Finding, Name, dotted
from addons.sql.kinds import CLASSES, STATEMENTS
from addons.sql.listed import Listed

_KINDS = {name.removesuffix("Stmt").lower(): name.removesuffix("Stmt") for name in STATEMENTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Answering):
    """One table of Policy's `rules`. What is empty is not asked."""

    classes: frozenset[str] = frozenset()
    statements: frozenset[str] = frozenset()
    relations: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()

    @property
    def places(self) -> bool:
        """Whether it allows by the schemas of relations."""
        return self.verdict == ALLOW and any("." in name for name in self.relations)

    def named(self, finding: Finding | None) -> tuple[tuple[str, frozenset[str]], ...]:
        """What of its relations and columns a statement names; a star is any column."""
        if self.verdict == ALLOW or finding is None:
            return ()
        listed, star = Listed(self.relations), frozenset({"*"}) if self.columns else frozenset()
        relations = frozenset(dotted(one) for one in finding.relations if one in listed)
        columns = finding.columns & self.columns or finding.columns & star
        return tuple((key, names) for key, names in (("relations", relations), ("columns", columns)) if names)

    def fits(self, kind: str, finding: Finding | None) -> bool:
        """Whether it is about one class of one statement. Without a finding (text that does not parse) only classes count."""
        if self.classes and kind not in self.classes:
            return False
        if finding is None:
            return not (self.statements or self.relations or self.columns or self.functions)
        every = self.verdict == ALLOW
        if self.statements and not (all if every else any)(one in self.statements for one in {finding.kind, *finding.kinds}):
            return False
        return (
            (not self.relations or _relations(self.relations, finding, every))
            and (not self.columns or _columns(self.columns, finding, every))
            and (not self.functions or _covers(self.functions, finding.functions, every))
        )


def _covers(names: frozenset[str], touched: Iterable[Name], every: bool) -> bool:
    listed, touched = Listed(names), list(touched)
    return bool(touched) and (all if every else any)(name in listed for name in touched)


def _relations(names: frozenset[str], finding: Finding, every: bool) -> bool:
    """What holds the rows under another name is touched too; to be allowed it has to be named itself, whichever relation of its name is meant."""
    if every:
        return bool(finding.relations) and all(_surely(name, names, finding.bearers) for name in finding.relations)
    return finding.reached is None or bool(finding.samples) or _covers(names, finding.relations | finding.reached, every)


def _surely(name: Name, names: frozenset[str], bearers: dict[str, frozenset[str]] | None) -> bool:
    schema, last = name
    if schema or bearers is None or last in names:
        return name in Listed(names)
    return all(f"{each}.{last}" in names for each in bearers.get(last, UNTOLD))


def _unlisted(rules: Iterable[Rule], kind: str, finding: Finding) -> tuple[tuple[str, frozenset[str]], ...]:
    """Of a statement's relations those that no rule lists which allows its class by relations; nothing where there is no such rule."""
    listed = Listed(frozenset().union(*(one.relations for one in rules if one.verdict == ALLOW and kind in one.classes)))
    names = frozenset(dotted(one) for one in finding.relations if one not in listed)
    return (("relations", names),) if listed.names and names else ()


def _columns(names: frozenset[str], finding: Finding, every: bool) -> bool:
    """A star may be any column, so it is covered by no list and touches every one; so does a column of a view that renames."""
    touched = finding.columns
    if every:
        return bool(touched) and touched <= names
    return "*" in touched or finding.renamed or bool(finding.samples) or not names.isdisjoint(touched)


def rule(table: Table) -> Rule:
    """
    :raises ValueError: with the key path and what to write instead.
    """
    table.only(Rule)
    said = answer(table)
    if said["verdict"] == ALLOW and not table.has("classes"):
        table.missing("a rule that allows names the classes it allows", "classes")
    made = Rule(
        **said,
        classes=table.texts("classes", CLASSES, "class"),
        statements=frozenset(filter(None, (_statement(s, table) for s in sorted(table.texts("statements"))))),
        relations=table.texts("relations"),
        columns=table.texts("columns"),
        functions=table.texts("functions"),
    )
    whole(table, made)
    return made


def _statement(text: str, table: Table) -> str:
    found = _KINDS.get(text.replace(" ", "").lower())
    if found is None:
        table.wrong("statements", f"unknown statement {text!r}{near(text.lower(), _KINDS)}; known: {', '.join(sorted(_KINDS))}")
    return found or ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """
    What decided one class of one statement.

    :ivar rule: None when the default for the class did, or nothing.
    :ivar kind: the class.
    :ivar why: one clause about the statement; holds no value.
    :ivar timed: another answer may hold at another hour.
    :ivar names: relations and columns of the rule that the statement names, as it has them: key, names. Of the default relations that no rule allows.
    """

    verdict: str
    kind: str
    why: str
    rule: Rule | None = None
    timed: bool = False
    names: tuple[tuple[str, frozenset[str]], ...] = ()


class Rules:
    """
    :param default: class to verdict.
    :param now: needed when a rule names hours or days.
    """

    def __init__(self, default: dict[str, str], rules: tuple[Rule, ...], now: Now | None = None) -> None:
        self._default, self._rules, self._now = default, rules, now
        clock_for((r.conditions for r in rules), now)

    def fitting(self, session: Session) -> tuple[Rule, ...]:
        """The rules that can ever be about a session."""
        return tuple(r for r in self._rules if r.conditions.fits(session))

    def bars(self, rules: tuple[Rule, ...]) -> bool:
        """Whether there is a statement that is not simply allowed, `rules` being `fitting`'s."""
        return any(each.verdict != ALLOW for each in rules) or any(self._default.get(kind) != ALLOW for kind in CLASSES)

    def decide(self, rules: tuple[Rule, ...], kind: str, why: str, finding: Finding | None) -> Ruling:
        """What holds for one class of one statement, `rules` being `fitting`'s."""
        timed, now = False, None
        for candidate in rules:
            if not candidate.fits(kind, finding):
                continue
            if candidate.conditions.timed:
                timed, now = True, now or self._clock()
                if not candidate.conditions.holds(now):
                    continue
            return Ruling(candidate.verdict, kind, why, candidate, timed, candidate.named(finding))
        verdict = self._default.get(kind, DENY)
        return Ruling(verdict, kind, why, None, timed, () if verdict == ALLOW or finding is None else _unlisted(rules, kind, finding))

    def vague(self, rules: tuple[Rule, ...], kind: str, finding: Finding) -> str:
        """A name without a schema, for the lack of which a rule does not allow what it otherwise would; "" where that is not why."""
        by_text = replace(finding, bearers=None)
        for each in rules:
            if each.places and not each.fits(kind, finding) and each.fits(kind, by_text):
                return next((last for schema, last in sorted(finding.relations) if not _surely((schema, last), each.relations, finding.bearers)), "")
        return ""

    def _clock(self) -> datetime.datetime:
        if self._now is None:
            raise RuntimeError("a rule names hours and there is no clock")
        return self._now()


def strictest(rulings: Iterable[Ruling]) -> Ruling:
    """The most restrictive of several; of two alike the first, which names the earlier statement."""
    return max(rulings, key=lambda r: VERDICTS.index(r.verdict))


def sought(rules: Iterable[Rule]) -> frozenset[str] | None:
    """The relations that rules deny or ask about; None when no such rule is about what a statement reaches."""
    asking = [r for r in rules if r.verdict != ALLOW and (r.relations or r.columns)]
    return frozenset(name for r in asking for name in r.relations) if asking else None
