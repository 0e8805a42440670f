"""
Approval: statements and commands of SSH that always need another person's word, whatever policy says of them.

Policy's own `approve` is the fine tool (classes, relations, columns); here whole groups, kinds, targets and databases are
put under it. It speaks in the ask phase, after everybody has allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from twisted.internet.defer import Deferred

from protocols.command import Command, Path, Statement
from protocols.hooks import AskCommandHook, AskHook
from protocols.session import Session
from protocols.verdict import Allow, Hold, Verdict

from addons.needs import Analyses
from addons.sql.analysis import Analysis
from addons.sql.answers import MODES, hold_mode
from addons.sql.catalog import Snapshot
from addons.sql.classify import classify
from addons.sql.conditions import Conditions, Now, Table, all_of, conditions
from addons.sql.parse import Unparsable, parse

_PLUMBING = frozenset({"transaction", "session"})
"""What clients send by themselves; asking a person about it would teach people to say yes."""


@dataclass(frozen=True, slots=True)
class Asking:
    """One table of `rules`."""

    name: str
    conditions: Conditions
    approvers: frozenset[str]
    quorum: int
    mode: str
    reason: str
    timeout: float
    lifetime: float


class Approval:
    """
    :param timeout: seconds until a held request is answered no.
    :param lifetime: seconds that a grant stays good.
    :param rules: who and where always asks, with `approvers`, and optionally `quorum`, `mode`, `reason`.
    :param now: needed by rules with hours.
    :param analyses: where long texts are analysed; here and at once when not given.
    """

    def __init__(
        self, *, timeout: float = 300.0, lifetime: float = 300.0, rules: Iterable[Mapping[str, object]] = (), now: Now | None = None,
        analyses: Analyses | None = None,
    ) -> None:
        own = Table({"timeout": timeout, "lifetime": lifetime}, "")
        self._timeout, self._lifetime = float(own.number("timeout", 300)), float(own.number("lifetime", 300))
        self._rules = own.faults.of(lambda: all_of(lambda table: self._rule(table, now), rules, "rules"), [])
        own.end()
        self._now, self._analysis = now, Analysis(analyses)

    def on_ask(self, hook: AskHook) -> Verdict | Deferred[Verdict]:
        command, session = hook.command, hook.session
        if command.path is Path.PARSE:
            return Allow(remember=True)
        asked = self._asked(session, command)
        if not isinstance(command, Statement) or not isinstance(asked, Hold):
            return asked
        return self._analysis.when_known(session, lambda: Allow(remember=True) if self._plumbing(session, command.text) else asked)

    def _plumbing(self, session: Session, text: str) -> bool:
        """
        Whether a string only opens and closes transactions, resets, and shows settings.

        :raises Wanted: it is long, and an analyst is to be asked first.
        """
        if not self._analysis.long(text):
            return _plumbing(text)
        found: bool = self._analysis.of(session, Plumbing(text))
        self._analysis.settle(session)
        return found

    def on_ask_command(self, hook: AskCommandHook) -> Verdict:
        """What runs and what connects; the files of a transfer that was approved are not asked about one by one."""
        return Allow() if hook.command.path is Path.FILE else self._asked(hook.session, hook.command)

    def _asked(self, session: Session, command: Command) -> Verdict:
        timed = False
        for rule in self._rules:
            if not rule.conditions.fits(session):
                continue
            timed = timed or rule.conditions.timed
            if not rule.conditions.timed or rule.conditions.holds(self._now()):
                return Hold(
                    rule.name, rule.reason, rule.approvers, mode=hold_mode(rule.mode, session, command), quorum=rule.quorum,
                    timeout=rule.timeout, lifetime=rule.lifetime,
                )
        return Allow(remember=not timed)

    def _rule(self, table: Table, now: Now | None) -> Asking:
        table.only(Asking)
        made = Asking(
            table.text("name"), conditions(table), table.texts("approvers"), int(table.number("quorum", 1)),
            table.text("mode", known=MODES), table.text("reason", "Everything here needs another person's word."),
            float(table.number("timeout", self._timeout)), float(table.number("lifetime", self._lifetime)),
        )
        if not made.name:
            table.missing("every rule has a name, which requests and evidence show", "name")
        if not made.approvers:
            table.missing("name the groups whose members may approve", "approvers")
        if made.conditions.timed and now is None:
            table.wrong("hours", "no clock was given")
        table.end()
        return made


@dataclass(frozen=True, slots=True)
class Plumbing:
    """The question, of a long string."""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> bool:
        return _plumbing(self.text)


def _plumbing(text: str) -> bool:
    try:
        found = classify(parse(text))
    except Unparsable:
        return False
    return all(not f.changes and not f.executes and not f.functions and f.classes.keys() <= _PLUMBING for f in found)
