"""
What a command runs or reads on by name: whether that would be sent as it was, and which masked columns it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from addons.masking.declared import Declaration
from addons.masking.judgement import Judgement
from addons.masking.settings import Settings
from addons.sql.catalog import Snapshot
from addons.sql.given import uses
from protocols.command import Statement
from protocols.hooks import RewriteHook
from protocols.session import Session
from protocols.verdict import Allow, Deny, Replace

Judge = Callable[[Session, Statement, Snapshot, tuple[Declaration, ...]], Judgement]


class ByName:
    """:param settings: where names are known; without it none is. :param judge: what a text is judged as now."""

    def __init__(self, settings: Settings | None, judge: Judge) -> None:
        self._settings, self._judge = settings, judge

    def uses(self, hook: RewriteHook) -> set[str]:
        """Names that it uses, and their texts in turn."""
        if self._settings is None or not uses(hook.statement):
            return set()
        return self._settings.given.used(hook.session.id, hook.statement)

    def behind(self, hook: RewriteHook) -> tuple[Statement, ...] | None:
        """The commands that gave them; None where some are not known."""
        used = self.uses(hook)
        return self._settings.given.behind(hook.session.id, used) if used else ()

    def moved(self, hook: RewriteHook, snapshot: Snapshot, masked: tuple[Declaration, ...]) -> str | None:
        """A name of which not all that it may stand for would be sent as it was: the server goes on with what it was given then."""
        return next((name for name in sorted(self.uses(hook)) if not self._stands(hook, name, snapshot, masked)), None)

    def _stands(self, hook: RewriteHook, name: str, snapshot: Snapshot, masked: tuple[Declaration, ...]) -> bool:
        session, given = hook.session, self._settings.given
        known = given.of(session.id, name)
        for each in known:
            if each.statement is None:
                if each.revision != session.policy_revision:
                    return False
                continue
            now = replace(each.statement, settings=hook.statement.settings)
            verdict = self._judge(session, now, snapshot, masked).verdict
            if isinstance(verdict, Deny):
                return False
            if isinstance(verdict, Allow) and each.sent != now.text:  # another addon wrote schemas into it
                verdict = self._judge(session, replace(now, text=each.sent), snapshot, masked).verdict
            if not isinstance(verdict, Allow) and getattr(verdict, "text", None) != each.sent:
                return False
        return bool(known) or given.whole(session.id)

    def told(self, hook: RewriteHook, judged: Judgement, snapshot: Snapshot, masked: tuple[Declaration, ...]) -> Judgement:
        """Of a command that is sent as it came: with the masked columns that the texts behind its names read."""
        if not self.uses(hook):
            return judged
        given, columns = self.behind(hook), set()
        if given is None:
            columns = {name for one in masked for name in (one.label, f"{one.schema}.{one.relation}.*")}
        for each in given or ():
            verdict = self._judge(hook.session, replace(each, settings=hook.statement.settings), snapshot, masked).verdict
            columns.update(verdict.columns if isinstance(verdict, Replace) else ())
        if not columns:
            return judged
        allow = judged.verdict
        return replace(judged, verdict=Replace(hook.statement.text, allow.rule, tuple(sorted(columns)), seen=allow.seen))
