"""
The masking addon: who sees which columns masked, asked of every statement, every shape of rows and every text.

It holds no value and no key. What it decided is remembered by exact text, catalog revision, the columns
that are masked for the session, and the search path, never longer than the catalog that it rests on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed

from addons.masking import disclosure, refusals
from addons.masking.byname import ByName
from addons.masking.clear import Clear
from addons.masking.cover import Misdeclared
from addons.masking.declared import Declaration, declarations, listed, rate
from addons.masking.executed import Executed, Named
from addons.masking.floor import Floor, floor
from addons.masking.foreseen import Foreseen, formed
from addons.masking.freshness import Freshness
from addons.masking.incoming import Incoming
from addons.masking.judgement import Judgement, UnknownNames
from addons.masking.overtaken import ALARM, unknown
from addons.masking.pins import Pins
from addons.masking.provenance import Provenance
from addons.masking.questions import Judging, Reading
from addons.masking.reveals import hinted, nameless, reads, rule, without
from addons.masking.saves import Saves
from addons.masking.scope import Scope
from addons.masking.settings import Settings
from addons.masking.statements import Statements
from addons.masking.text import notified, retold
from addons.needs import Analyses, Catalogs, Counts, Reveals, Sink
from addons.sql.analysis import Analysis, Question, Wanted
from addons.sql.catalog import Snapshot
from addons.sql.complaints import Gathering
from addons.sql.flux import Flux
from addons.sql.form import filled, form
from addons.sql.given import gives, uses
from addons.sql.overloads import ANY
from addons.sql.underway import Underway
from protocols.command import FunctionCall, Path, Statement
from protocols.hooks import (
    ClosedHook, ColumnsHook, DataHook, DecidedHook, JudgeHook, LeavingHook, OutcomeHook, RewriteHook, SessionHook, TextHook,
)
from protocols.result import MaskPlan
from protocols.session import Session
from protocols.tally import tallies_of
from protocols.verdict import Allow, Decision, Deny, Replace, Reveal, Seen

_CLEAR = Allow(remember=True, formed=True)
_KEPT = 4096  #: decisions remembered
_KEPT_LENGTH = 64 << 10  #: characters; longer texts are decided again rather than kept


class Masking:
    """
    :param columns: declarations: relation, column, strategy, keep, and `clear`, the groups that see it as it is.
    :param functions: "schema.function" names that return nothing of masked columns.
    :param notifications: whether payloads of NOTIFY reach sessions that see masked columns.
    :param reveal: who may let others see masked columns: approvers, quorum, lifetime, uses; nobody when not given.
    :param refuse_masks: whether nobody, also who sees a column as it is, may write one of its masks to it.
    :param lookups_per_minute: how many values one identity may look up in columns declared with `lookup`, over all workers.
    :param analyses: where long texts are analysed; here and at once when not given.
    """

    def __init__(
        self,
        *,
        columns: Iterable[Mapping[str, Any]],
        catalogs: Catalogs,
        settings: Settings | None = None,
        functions: Iterable[str] = (),
        notifications: bool = False,
        lookups_per_minute: int = 30,
        counts: Counts | None = None,
        reveal: Mapping[str, Any] | None = None,
        reveals: Reveals | None = None,
        sink: Sink | None = None,
        refuse_masks: bool = True,
        analyses: Analyses | None = None,
    ) -> None:
        faults = Gathering()
        if not isinstance(refuse_masks, bool):
            faults.wrong("refuse_masks: true or false")
        declared = faults.of(lambda: declarations(columns), ())
        self._counts, self._lookups = counts, faults.of(lambda: rate(lookups_per_minute), 0)
        self._rule, self._reveals, self._sink = faults.of(lambda: rule(reveal), None), reveals, sink
        self._listed = faults.of(lambda: listed(functions), frozenset())
        faults.end()
        if counts is None and any(d.lookup for d in declared):
            raise ValueError("masking: look-ups are counted, and the power to was not given")
        if self._rule is not None and (reveals is None or sink is None):
            raise ValueError("reveal: reveals are asked for and recorded, and the powers to were not given")
        self._catalogs, self._settings, self._notifications = catalogs, settings, notifications
        underway = settings.underway if settings is not None else Underway(getattr(catalogs, "tally", None))
        self._fresh, self._executed, self._analysis = Freshness(catalogs, underway), Executed(), Analysis(analyses)
        self._foreseen, self._scope = Foreseen(self._analysis), Scope(declared, self._listed, sink)
        self._clear = Clear(catalogs, self._fresh, self._scope.cover, self._analysis, self._listed)
        self._saves: Saves | None = None
        if refuse_masks:
            self._saves = Saves(catalogs, self._fresh, self._analysis, self._listed, lambda s: self._scope.split(s)[1], self._scope.cover)
        self._by_name, self._pins = ByName(settings, self._judged), Pins(settings, self._fresh, self._analysis)
        self._decided: OrderedDict[tuple, Judgement] = OrderedDict()
        self.tallies = tallies_of((catalogs, settings, reveals if self._rule is not None else None))

    def standing(self, session: Session) -> Hashable:
        """What its remembered answers rest on; see `protocols.verdict`."""
        if not any(self._scope.split(session)):
            return None
        path = self._settings.standing(session) if self._settings is not None else None
        return self._fresh.standing(session), path, self._may_reveal(session)

    def catalog(self, session: Session) -> Snapshot | None:
        """What functions are known by; None while they may be others."""
        flux = self._fresh.flux(session)
        return None if flux is not None and flux.calls else self._fresh.snapshot(session)

    def untold(self, session: Session, decision: Decision) -> bool:
        """Whether it learns nothing from hearing of this again; see `protocols.verdict`."""
        statement = decision.command
        if self._analysis.long(statement.text) or (statement.path is Path.PARSE and _wrote(decision)[1]):
            return False
        if self._settings is not None and (gives(statement) or not self._settings.idle(statement.text, self._catalogs.snapshot(session))):
            return False
        return self._fresh.untold(session, statement)

    # statements

    def on_session(self, hook: SessionHook) -> Deferred[None] | None:
        """What another client changed since the last reading is known before the first statement."""
        if self._settings is not None and not hook.again:
            self._settings.given.begin(hook.session.id)
        return self._catalogs.check(hook.session) if not hook.again and any(self._scope.split(hook.session)) else None

    def floor(self, session: Session) -> Deferred[Floor | Deny | None] | None:
        """
        What must hold on the target for the session to run as a role that cannot read what it sees masked; None where it
        sees any declared column clear, or a reveal can show it one. A Deny where masking is misdeclared there.

        Fails when the catalog cannot be read.
        """
        masked = self._scope.masked(session)
        if not masked or len(masked) < len(self._scope.here(session)):
            return None
        if not self._may_reveal(session):
            return self._floored(session, masked)

        def told(found: Sequence[Reveal]) -> Deferred[Floor | Deny] | None:
            return None if any(len(without(masked, one)) < len(masked) for one in found) else self._floored(session, masked)

        asked = self._reveals.ask(session, self._rule.written())
        return asked.addCallbacks(told, lambda _failure: self._floored(session, masked))

    def _floored(self, session: Session, masked: tuple[Declaration, ...]) -> Deferred[Floor | Deny]:
        snapshot = self._fresh.snapshot(session)
        read = self._catalogs.refresh(session) if snapshot is None else succeed(snapshot)

        def needed(read: Snapshot) -> Floor | Deny:
            try:
                return floor(self._scope.cover(read, replace(session, floor="?"), masked)[0], self._listed)
            except Misdeclared as error:
                return refusals.misdeclared(str(error))

        return read.addCallback(needed)

    def on_rewrite(self, hook: RewriteHook) -> Allow | Replace | Deny | Deferred:
        """Layers 0 and 1. Waits only while the catalog is read, look-ups are counted, or a long text is analysed."""
        try:
            return self._rewrite(hook)
        except Wanted as wanted:
            return self._analysis.wait(hook.session, wanted, lambda: self.on_rewrite(hook))

    def _rewrite(self, hook: RewriteHook) -> Allow | Replace | Deny | Deferred:
        masked, clear = self._scope.split(hook.session)
        if self._foreseen.about(hook.statement):
            self._look_ahead(hook, masked, clear)
        if not masked:
            return self._shown_clear(hook, clear) if clear else _CLEAR
        if hook.statement.settings.get("standard_conforming_strings", "on").lower() != "on":
            return refusals.settings("standard_conforming_strings")
        snapshot = self._fresh.snapshot(hook.session)
        if snapshot is None:
            return self._refreshed(hook, masked)
        try:
            return self._judged_or_revealed(hook, snapshot, masked)
        except UnknownNames as unknown:
            if self._fresh.changing(hook.session):
                return refusals.unknown(unknown.names)
            return self._refreshed(hook, masked)

    def _look_ahead(self, hook: RewriteHook, masked: tuple[Declaration, ...], clear: tuple[Declaration, ...]) -> None:
        """What has to be known when a long text is decided, and with it what will be asked about it before."""
        session, snapshot = hook.session, self._catalogs.snapshot(hook.session)
        sure = masked and self._fresh.snapshot(session) is not None and self._scope.sound(snapshot, session, masked)
        besides: list[Question] = []
        if sure:
            statement = formed(hook.statement)
            besides = [self._judging(session, statement, self._pins.text(session, statement, snapshot), snapshot, masked)]
        if clear and snapshot is not None:
            besides.append(self._clear.question(session, hook.statement, clear))
        self._foreseen.ask(session, hook.statement, snapshot, besides)

    def on_data(self, hook: DataHook) -> Incoming | None:
        """Masks in the data of a COPY, for who sees the columns as they are."""
        return self._saves.data(hook) if self._saves is not None else None

    def _refreshed(self, hook: RewriteHook, masked: tuple[Declaration, ...]) -> Deferred:
        """Decide again with a catalog that is newer than the question."""

        def again(snapshot: Snapshot) -> Allow | Replace | Deny | Deferred:
            try:
                return self._judged_or_revealed(hook, snapshot, masked)
            except UnknownNames as unknown:
                return refusals.unknown(unknown.names)
            except Wanted as wanted:
                return self._analysis.wait(hook.session, wanted, lambda: self.on_rewrite(hook))

        return self._fresh.renewed(hook.session).addCallbacks(again, lambda _failure: refusals.no_catalog())

    def _counted(self, hook: RewriteHook, judged: Judgement) -> Allow | Replace | Deny | Deferred:
        """The verdict, once what it looks up is known to be within the limit. PARSE runs nothing."""
        session = hook.session.id
        self._learn(hook, judged)
        if judged.crowded and any(name in hook.statement.prepared for name in judged.executes):
            return refusals.opaque_kind("EXECUTE of what the protocol prepared")  # what its names mean may have changed
        if hook.statement.untold(judged.executes):
            return refusals.untold_name()
        if self._executed.hidden(session, judged.executes, judged.explains):
            return refusals.opaque_kind("EXPLAIN of EXECUTE")
        lookups = judged.lookups + self._executed.lookups(session, judged.executes)
        if not lookups or hook.statement.path is Path.PARSE or self._counts is None:
            return self._kept(hook, judged)
        counted: Deferred[int] = self._counts.count(f"lookup:{hook.session.identity.subject}", lookups)
        return counted.addCallback(
            lambda asked: self._kept(hook, judged) if asked <= self._lookups else refusals.too_many_lookups(self._lookups)
        )

    def _kept(self, hook: RewriteHook, judged: Judgement) -> Allow | Replace | Deny:
        """What names stand for, counts and reveals are asked about each time; all else says the same again."""
        verdict = judged.verdict
        clear = self._scope.split(hook.session)[1]
        if clear and not isinstance(verdict, Deny):
            meant = hook.statement.text if isinstance(verdict, Allow) else self._meant(hook)
            verdict = replace(verdict, seen=self._seen(hook, meant, clear, verdict.seen))
        if isinstance(verdict, Deny) or judged.executes or judged.explains or judged.lookups or judged.keyed or uses(hook.statement):
            return verdict
        if isinstance(verdict, Replace) and (verdict.reveal is not None or self._may_reveal(hook.session)):
            return verdict
        if isinstance(verdict, Allow):
            return Allow(verdict.rule, True, verdict.seen, verdict.formed and not clear)  # what is seen clear is told of each text
        return replace(verdict, remember=True)

    def _judged_or_revealed(
        self, hook: RewriteHook, snapshot: Snapshot, masked: tuple[Declaration, ...]
    ) -> Allow | Replace | Deny | Deferred:
        """What is not simply clean is asked about, where the session may have reveals. Control's failure reveals nothing."""
        moved = self._by_name.moved(hook, snapshot, masked)
        if moved is not None:
            return refusals.changed(moved)
        judged = self._judged(hook.session, hook.statement, snapshot, masked)
        if isinstance(judged.verdict, Allow):
            return self._counted(hook, self._by_name.told(hook, judged, snapshot, masked))
        if not self._may_reveal(hook.session) or not nameless(hook.statement) or hook.session.floor:
            return self._as_ever(hook, judged)

        def told(found: Sequence[Reveal]) -> Allow | Replace | Deny | Deferred:
            try:
                shown = (self._shown(hook, snapshot, masked, reveal) for reveal in found)
                return next((one for one in shown if one is not None), None) or self._as_ever(hook, judged)
            except Wanted as wanted:
                return self._analysis.wait(hook.session, wanted, lambda: self.on_rewrite(hook))

        asked = self._reveals.ask(hook.session, self._rule.written())
        return asked.addCallbacks(told, lambda _failure: self._as_ever(hook, judged))

    def _as_ever(self, hook: RewriteHook, judged: Judgement) -> Allow | Replace | Deny | Deferred:
        """Without a reveal; a refusal says how to ask for one, where anybody may."""
        if isinstance(judged.verdict, Deny) and self._rule is not None:
            return hinted(judged.verdict, hook.session, self._scope.masked(hook.session))
        return self._counted(hook, judged)

    def _may_reveal(self, session: Session) -> bool:
        return self._rule is not None and self._reveals.open(session)

    def _shown(
        self, hook: RewriteHook, snapshot: Snapshot, masked: tuple[Declaration, ...], reveal: Reveal
    ) -> Replace | Deferred | None:
        """The statement with a reveal's columns as they are; None where it reads none of them, or is refused all the same."""
        session, statement, rest = hook.session, hook.statement, without(masked, reveal)
        try:
            full, calls = self._scope.cover(snapshot, session, masked)
        except Misdeclared:
            return None
        text = self._pins.text(session, statement, snapshot)
        if self._analysis.long(text):
            columns = self._analysis.of(session, Reading(text, snapshot.revision, masked, rest, self._listed), snapshot)
        else:
            columns = reads(text, calls, full, self._scope.cover(snapshot, session, rest)[0])
        judged = self._judged(session, statement, snapshot, rest) if columns else None
        if judged is None or isinstance(judged.verdict, Deny):
            return None
        under = replace(reveal, columns=tuple(sorted(columns)))
        text = judged.verdict.text if isinstance(judged.verdict, Replace) else statement.text
        still = judged.verdict.columns if isinstance(judged.verdict, Replace) else ()
        outputs = judged.verdict.seen.outputs if judged.verdict.seen is not None else None
        shown = Replace(text, refusals.RULE, still, remember=False, reveal=under, seen=Seen(outputs, under.columns))
        return self._counted(hook, replace(judged, verdict=shown))

    def _shown_clear(self, hook: RewriteHook, clear: tuple[Declaration, ...]) -> Allow | Replace:
        """Of who sees everything as it is: what the evidence names is what is read."""
        again, seen = not uses(hook.statement), self._seen(hook, hook.statement.text, clear)
        if seen is None or (text := self._meant(hook)) == hook.statement.text:
            return Allow(remember=again, seen=seen)
        return Replace(text, refusals.RULE, remember=again, seen=self._seen(hook, text, clear))

    def _meant(self, hook: RewriteHook) -> str:
        """
        The text by which it is told what is read in the clear; of a long one that is asked beforehand, and of what is prepared, which may go on by
        another path, of every meaning of its names.
        """
        if self._analysis.long(hook.statement.text) or hook.statement.path is not Path.SIMPLE:
            return hook.statement.text
        return self._pins.text(hook.session, hook.statement, self._fresh.snapshot(hook.session))

    def _seen(self, hook: RewriteHook, text: str, clear: tuple[Declaration, ...], seen: Seen | None = None) -> Seen | None:
        """What is known, with what the session reads as it is, because its groups may. :param text: what is sent but for masks."""
        read = self._clear.columns(hook.session, replace(hook.statement, text=text), clear)
        if self._by_name.uses(hook):
            read = tuple(sorted({*read, *self._clear.named(hook.session, self._by_name.behind(hook), clear)}))
        if not read:
            return seen
        return Seen(None, read) if seen is None else replace(seen, clear=(*seen.clear, *read))

    def _learn(self, hook: RewriteHook, judged: Judgement) -> None:
        """What names may stand for from here on, whether or not the server comes to know them."""
        named = Named(
            judged.lookups, judged.keyed or judged.lookups > 0, frozenset(judged.executes), frozenset(judged.explains)
        )
        names = (hook.statement.name,) if hook.statement.path is Path.PARSE else judged.prepares
        for name in names:
            self._executed.learn(hook.session.id, name, named)

    def _judged(
        self, session: Session, statement: Statement, snapshot: Snapshot, masked: tuple[Declaration, ...]
    ) -> Judgement:
        """Of the form, where that passes as it came or is rewritten whatever its literals are; else of the text."""
        formed = form(statement)
        if formed is not None:
            judged = self._judged_as_written(session, formed, snapshot, masked)
            if judged.clean:
                return replace(judged, verdict=replace(judged.verdict, formed=True))
            text = filled(judged.verdict.text, statement) if judged.rewritten else None
            if text is not None:
                return replace(judged, verdict=replace(judged.verdict, text=text))
        return self._judged_as_written(session, statement, snapshot, masked)

    def _judged_as_written(
        self, session: Session, statement: Statement, snapshot: Snapshot, masked: tuple[Declaration, ...]
    ) -> Judgement:
        made, types, flux = self._under(session, statement)
        key = (statement.text, snapshot.revision, masked, self._pins.path(session, statement), made, bool(session.floor), types, flux)
        known = self._decided.get(key)
        if known is not None:
            self._decided.move_to_end(key)
            return known
        try:
            cover, calls = self._scope.cover(snapshot, session, masked)
        except Misdeclared as error:
            return Judgement(refusals.misdeclared(str(error)))
        if not calls.asking.isdisjoint(statement.types):
            return Judgement(refusals.unlisted("a parameter's declared type", vouchable=False))
        if self._analysis.long(statement.text):
            text = self._pins.text(session, statement, snapshot)
            found = self._analysis.of(session, self._judging(session, statement, text, snapshot, masked), snapshot)
            if isinstance(found, UnknownNames):
                raise found
            return found.sent(text) if text != statement.text else found
        statements = Statements(cover, calls, made, types, flux)
        judged = statements.judgement(statement.text)  # of whatever its names may mean
        if not judged.clean and (text := self._pins.text(session, statement, snapshot)) != statement.text:
            judged = statements.judgement(text).sent(text)
        if len(statement.text) <= _KEPT_LENGTH:
            self._decided[key] = judged
            if len(self._decided) > _KEPT:
                self._decided.popitem(last=False)
        return judged

    def _judging(
        self, session: Session, statement: Statement, text: str, snapshot: Snapshot, masked: tuple[Declaration, ...]
    ) -> Judging:
        """What `_judged` would find out of a long text, which stands for the statement's."""
        return Judging(text, snapshot.revision, masked, bool(session.floor), self._listed, *self._under(session, statement))

    def _under(self, session: Session, statement: Statement) -> tuple[frozenset[str], tuple[int, ...], Flux | None]:
        """What a text is judged under: names that the session made, its parameters' types, what it changed."""
        types = (ANY,) if self._fresh.changing(session) else statement.types
        return self._fresh.made(session), types, self._fresh.flux(session)

    def on_judge(self, hook: JudgeHook) -> Allow | Deny | Deferred | None:
        """The fast path: a function by its OID; and what a statement would write."""
        command = hook.command
        if not isinstance(command, FunctionCall):
            return self._saves.judge(hook.session, command) if self._saves is not None else _CLEAR
        masked, clear = self._scope.split(hook.session)
        if not masked:
            read = self._clear.call(hook.session, hook.command.oid, clear) if clear else ()
            return Allow(seen=Seen(clear=read)) if read else None
        snapshot = self._fresh.snapshot(hook.session)
        try:
            listed = snapshot is not None and self._scope.cover(snapshot, hook.session, masked)[1].by_oid(hook.command.oid)
        except Misdeclared as error:
            return refusals.misdeclared(str(error))
        function = snapshot.functions.get(hook.command.oid) if snapshot is not None else None
        label = function.label if function else f"function {hook.command.oid}"
        return Allow(remember=False) if listed else refusals.fastpath(label)

    # what comes back

    def on_columns(self, hook: ColumnsHook) -> MaskPlan | None:
        """Layer 3: what the wire says of each column's origin."""
        masked = without(self._scope.masked(hook.session), hook.decision.reveal)
        if not masked:
            return None
        snapshot = self._catalogs.snapshot(hook.session)
        if snapshot is None or self._fresh.overtaken.overtaken(hook.session, hook.decision, _shown(hook)):
            return unknown(hook, ALARM if snapshot is not None else "no catalog")
        try:
            cover = self._scope.cover(snapshot, hook.session, masked)[0]
        except Misdeclared:
            return unknown(hook, "masking is misdeclared")
        session, decision = hook.session, hook.decision
        return Provenance(
            cover, brought=lambda: self._rewrites(hook), own=lambda: self._fresh.own(session, decision),
            suspect=lambda: self._fresh.suspect(session),
        ).plan(hook.columns)

    def _rewrites(self, hook: ColumnsHook) -> bool:
        """Whether rows come of a rewritten text, this one or one that it runs or reads on by name."""
        command = hook.decision.command
        named = isinstance(command, Statement) and self._executed.brings(hook.session.id, command)
        return named or _wrote(hook.decision)[1]

    def on_text(self, hook: TextHook) -> dict[str, str] | None:
        """Layer 7: errors, notices, notifications and parameters."""
        if not self._scope.masked(hook.session):
            return None
        if hook.kind == "notification":
            return None if self._notifications else notified(hook.fields)
        return retold(hook, *_wrote(hook.decision), self._catalogs.snapshot(hook.session))

    # keeping up

    def on_leaving(self, hook: LeavingHook) -> Deferred | None:
        """What may change the meaning of names where anything is masked waits until every worker knows."""
        if not self._scope.here(hook.session):
            return None
        return self._fresh.leaving(hook.session, hook.decision, self._foreseen.told(hook.session, hook.decision)[0])

    def on_decided(self, hook: DecidedHook) -> None:
        disclosure.decided(self._sink, hook.session, hook.decision)
        (made, steps), names = self._foreseen.told(hook.session, hook.decision), self._foreseen.names(hook.session, hook.decision)
        self._analysis.settle(hook.session)
        self._fresh.decided(hook.session, hook.decision, made)
        if self._scope.masked(hook.session):
            self._fresh.overtaken.decided(hook.session, hook.decision)
        if _wrote(hook.decision)[1] and isinstance(hook.decision.verdict, Allow):
            self._executed.rewritten(hook.session.id, hook.decision.command, names)
        if self._settings is not None:
            self._settings.decided(hook.session, hook.decision, "Masking", known=steps, snapshot=self._catalogs.snapshot(hook.session))

    def on_outcome(self, hook: OutcomeHook) -> None:
        disclosure.ended(self._sink, hook.session, hook.decision, hook.outcome)
        self._fresh.ended(hook.session, hook.decision, hook.outcome)
        if self._settings is not None:
            self._settings.ended(hook.session, hook.decision, hook.outcome, "Masking")

    def on_closed(self, hook: ClosedHook) -> None:
        self._fresh.closed(hook.session)
        self._analysis.settle(hook.session)
        self._executed.forget(hook.session.id)
        if self._settings is not None:
            self._settings.closed(hook.session)


def _shown(hook: ColumnsHook) -> int | None:
    """How many changes the catalog showed when it was decided, where that was not told; what is remembered is never behind."""
    return None if hook.standing is None else hook.standing[0].count


def _wrote(decision: Decision | None) -> tuple[str, bool]:
    """The client's own text, and whether another was sent."""
    if decision is None or not isinstance(decision.command, Statement):
        return "", False
    return decision.command.text, bool(decision.sent) and decision.sent != decision.command.text
