"""
Policy: what an identity may ask a PostgreSQL target to do, decided from the statement's real parse.

A string of several statements is decided whole, by its strictest part. What does not parse, what is not known and
what no rule or default mentions is refused. Answers never show a value.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from protocols.command import Command, FunctionCall, Path, Statement
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook, RewriteHook
from protocols.session import Session
from protocols.tally import tallies_of
from protocols.verdict import Allow, Decision, Deny, Hold, Replace, Verdict

from addons.needs import Analyses, Catalogs
from addons.sql.analysis import Analysis, Wanted
from addons.sql.answers import ALLOW, DENY, defaults, hold_mode, texts
from addons.sql.assess import UNSETTLED, Assessed, Assessor, with_prepared
from addons.sql.catalog import Snapshot
from addons.sql.complaints import Gathering
from addons.sql.conditions import Now, all_of
from addons.sql.denials import BLINDS, CLOSED, LOST, MOVED, OVERTAKES, VAGUE, denied, naming
from addons.sql.finding import dotted
from addons.sql.flux import Flux, together
from addons.sql.given import uses
from addons.sql.form import form
from addons.sql.kinds import CLASSES
from addons.sql.makers import made
from addons.sql.parse import Unparsable
from addons.sql.pinned import shared
from addons.sql.placing import Placing
from addons.sql.questions import Assessing, Stepping
from addons.sql.rules import Rule, Rules, Ruling, rule, sought, strictest
from addons.sql.samples import WHY
from addons.sql.searchpath import idle
from addons.sql.settings import Gate, Settings

_KEPT = 8192  #: analysed texts
_KEPT_LENGTH = 64 << 10  #: characters; longer texts are analysed again

_Under = tuple[str, str, Flux | None, frozenset[str] | None]
"""What an analysis rests on: the text, the catalog's revision, what the session's transaction changed of it, and names of its temporary relations."""


class Policy:
    """
    :param default: class to "allow", "approve" or "deny"; a class that is not named is denied.
    :param rules: asked in order before the default; see docs/policy.md.
    :param functions: functions, procedures and operators to vouch for: "name" or "schema.name".
    :param search_paths: more search paths that a client may set.
    :param session_settings: more settings that a client may set to anything.
    :param approvers: groups that answer what `default` says to approve.
    :param catalogs: says which names are the server's own and which a user's, lets SQL functions be judged by their bodies, and
        the fast path at all. Without it the text alone counts; with it, and unread, no name is taken for the server's.
    :param settings: what sessions set and prepared; shared with masking, kept over reloads; its own when not given.
    :param now: needed by rules with hours.
    :param analyses: where long texts are analysed; here and at once when not given.
    """

    def __init__(
        self,
        *,
        default: Mapping[str, str],
        rules: Iterable[Mapping[str, object]] = (),
        functions: Iterable[str] = (),
        search_paths: Iterable[str] = (),
        session_settings: Iterable[str] = (),
        approvers: Iterable[str] = (),
        catalogs: Catalogs | None = None,
        settings: Settings | None = None,
        now: Now | None = None,
        analyses: Analyses | None = None,
    ) -> None:
        self._settings, faults = settings or Settings(), Gathering()
        self.gate = faults.of(lambda: Gate(texts(search_paths, "search_paths"), texts(session_settings, "session_settings")), Gate())
        self._approvers = frozenset(faults.of(lambda: texts(approvers, "approvers"), ()))
        example, may = 'class to verdict, such as { read = "allow" }', bool(self._approvers)
        by_default = faults.of(lambda: defaults(default, sorted(CLASSES), "class", example=example, approvers=may), {})
        read = tuple(faults.of(lambda: all_of(rule, rules, "rules"), []))
        listed = faults.of(lambda: texts(functions, "functions"), ())
        faults.end()
        self._rules, self._assessor = Rules(by_default, read, now), Assessor(listed, self.gate, sought(read), any(each.places for each in read))
        self._catalogs, self._analysis = catalogs, Analysis(analyses)
        self._analysed: OrderedDict[_Under, tuple[Assessed, ...] | Unparsable] = OrderedDict()
        self._latest: tuple[_Under, tuple[Assessed, ...] | Unparsable] = (("", "", None, None), ())
        self._ruled: OrderedDict[tuple[_Under, int], Ruling] = OrderedDict()
        self._formed: OrderedDict[tuple, Ruling | None] = OrderedDict()
        self._idle: set[_Under] = set()
        self._rule_sets: list[tuple[Rule, ...]] = []
        self._places_by: list[bool] = []  #: of each, whether it allows by relations' schemas
        self._placing = Placing(self._settings, self._analysis)
        self._fitting: dict[str, int] = {}
        self._given: dict[str, Snapshot | None] = {}
        self.tallies = tallies_of((catalogs, self._settings))

    def catalog(self, session: Session) -> Snapshot | None:
        """What functions are known by; None while they may be others."""
        flux = self._settings.underway.of(session)
        return None if flux is not None and flux.calls else self._snapshot(session)

    def accepts(self, name: str, value: str) -> bool:
        """Whether a connection may bring this setting in its start-up packet or its options."""
        return self.gate.accepts(name, value)

    def standing(self, session: Session) -> Hashable:
        """What its remembered answers rest on; see `protocols.verdict`."""
        if self._catalogs is None:
            return None
        if self._catalogs.stale(session):
            return object()  # nothing is remembered: another change may be on its way
        return self._catalogs.standing(session), self._settings.underway.of(session), self._temporary(session)

    def untold(self, session: Session, decision: Decision) -> bool:
        """Whether it learns nothing from hearing of this again; see `protocols.verdict`."""
        command = decision.command
        known = command.path is Path.PARSE or self._under(session, command.text) in self._idle
        return known and not self._analysis.long(command.text)

    def on_rewrite(self, hook: RewriteHook) -> Allow | Replace | Deferred[Verdict]:
        """
        Where a rule allows by relations' schemas, and a name may be several relations' of which it does not allow every one, the search path
        says which is meant. Then that is written into the text, since the path may be another one when the server reads it.
        """
        session = hook.session
        if not self._places(session):
            return Allow(remember=True, formed=True)
        if not self._known(session):
            return self._read(session).addCallback(lambda snapshot: self._going_by(session, snapshot, lambda: self._rewritten(hook)))
        return self._rewritten(hook)

    def _rewritten(self, hook: RewriteHook) -> Allow | Replace | Deferred[Verdict]:
        session, text = hook.session, hook.statement.text
        try:
            leans = self._leans(session, hook.statement)
            sent = self._placed(session, hook.statement) if leans else text
        except Wanted as wanted:
            return self._analysis.wait(session, wanted, lambda: self.on_rewrite(hook))
        self._placing.sent(session, hook.statement.settings)
        return Allow(remember=not leans) if sent == text else Replace(sent)

    def _leans(self, session: Session, statement: Statement) -> bool:
        """Whether it is not simply allowed whatever its names mean, and the path may say what they do."""
        snapshot = self._snapshot(session)
        if snapshot is None or not shared(snapshot).within(statement.text):
            return snapshot is None
        return not all(ruling.verdict == ALLOW and not ruling.timed for ruling in self.explain(session, statement))

    def _placed(self, session: Session, statement: Statement) -> str:
        """The text with the schemas that the path says."""
        return self._placing.text(session, statement, self._snapshot(session), self._settings.underway.of(session), self._temporary(session))

    def on_judge(self, hook: JudgeHook) -> Verdict | Deferred[Verdict]:
        session, command = hook.session, hook.command
        why = self.gate.ambiguous(command.settings)
        if why:
            return Deny(f"No statement can be judged: {why}.", "OST-207", hint="Set it back, or connect again.")
        if isinstance(command, FunctionCall):
            return self._fast_path(session, command)
        if self._known(session):
            return self._tried(hook)
        if not self._rules.bars(self._fitting_rules(session)):  # a thousand CREATE TABLE would wait for as many readings
            return self._going_by(session, self._catalogs.snapshot(session), lambda: self._tried(hook))
        return self._read(session).addCallback(lambda snapshot: self._going_by(session, snapshot, lambda: self._tried(hook)))

    def _going_by(self, session: Session, snapshot: Snapshot | None, do: Callable[[], Any]) -> Any:
        """By a catalog that is newer than the question, whatever was heard of since; by none where it could not be read."""
        self._given[session.id] = snapshot
        try:
            return do()
        finally:
            del self._given[session.id]

    def _tried(self, hook: JudgeHook) -> Verdict | Deferred[Verdict]:
        """At once, or asked again when its long texts are analysed: by then the catalog may have to be read again."""
        try:
            if self._overtakes(hook.session, hook.command):
                return OVERTAKES
            return self._stale(hook.session, hook.command) or self._judged_as_meant(hook.session, hook.command)
        except Wanted as wanted:
            return self._analysis.wait(hook.session, wanted, lambda: self.on_judge(hook))

    def _judged_as_meant(self, session: Session, command: Statement) -> Verdict:
        if not self._places(session):
            return self._judged(session, command)
        text = command.text
        if self._leans(session, command):
            if self._placing.moved(session, command.settings):  # while others were asked
                return MOVED
            text = self._placed(session, command)
        self._placing.judged(session, command.text, text)
        return self._judged(session, command if text == command.text else replace(command, text=text))

    def _stale(self, session: Session, command: Statement) -> Deny | None:
        """A cursor that was opened by another revision is read on where its text is still allowed. What EXECUTE runs is judged anyhow."""
        for name in uses(command):
            for each in self._settings.given.of(session.id, name):
                if each.revision != session.policy_revision and (
                    each.statement is None or type(self._judged(session, each.statement)) is not Allow
                ):
                    return CLOSED
        return None

    def _judged(self, session: Session, command: Statement) -> Verdict:
        key = (self._under(session, command.text), self._rule_set(session))
        ruling = self._ruled.get(key)
        if ruling is not None:
            return self._verdict(ruling, session, command, remember=True)
        if (by_form := self._by_form(session, command)) is not None:
            self._settings.learn(command.text, ())
            return Allow(by_form[1].rule.name if by_form[1].rule else "", remember=True, formed=True)
        if self._analysis.long(command.text):  # what it sets has to be known at once when it is decided
            stepping = Stepping(command.text, self._revision(session))
            self._analysis.all(session, (stepping, self._assessing(session, command.text)), self._snapshot(session))
        rulings = self.explain(session, command)
        ruling, parts = strictest(rulings), self._parts(session, command.text)
        if ruling.verdict != DENY and any(self.gate.blinds(change) for part in parts for change in part.finding.changes):
            return BLINDS
        if any(command.untold(part.finding.executes) for part in parts):
            return LOST
        by_name = any(p.finding.executes or p.finding.prepares for p in parts)
        alike = not by_name and not any(r.timed for r in rulings) and not self._alters(session, command)
        if alike and len(command.text) <= _KEPT_LENGTH:
            self._ruled[key] = ruling
            if len(self._ruled) > _KEPT:
                self._ruled.popitem(last=False)
        return self._verdict(ruling, session, command, remember=alike)

    def _overtakes(self, session: Session, command: Statement) -> bool:
        """Whether it changes what a portal may call that was judged before, and may run after."""
        return self._settings.underway.portals(session, command) and self._alters(session, command)

    def _alters(self, session: Session, command: Statement) -> bool:
        """Whether it changes what may be called; which portals are open is asked about each time then."""
        whole = self._executing(session, command, self._parts(session, command.text))
        return any(flux is not None and flux.calls for part in whole for flux in (part.changed, part.called))

    def _by_form(self, session: Session, command: Statement) -> tuple[Statement, Ruling] | None:
        """A query's form, and the ruling that allows it whatever its literals are; None where its own text is to be judged."""
        formed = form(command)
        if formed is None:
            return None
        key = (self._under(session, formed.text), formed.types, self._rule_set(session))
        if key not in self._formed:
            self._formed[key] = self._ruling_of_form(session, formed)
            if len(self._formed) > _KEPT:
                self._formed.popitem(last=False)
        ruling = self._formed[key]
        return None if ruling is None else (formed, ruling)

    def _ruling_of_form(self, session: Session, formed: Statement) -> Ruling | None:
        parts, rulings = self._parts(session, formed.text), self.explain(session, formed)
        reads = len(parts) == 1 and parts[0].classes.keys() == {"read"} and idle([parts[0].finding])
        allowed = all(ruling.verdict == ALLOW and not ruling.timed for ruling in rulings)
        return strictest(rulings) if reads and allowed else None

    def examine(self, session: Session, command: Statement) -> list[tuple[Assessed | None, list[Ruling]]]:
        """Each statement of a command's own text with what decided each class of it; None is text that does not parse."""
        fitting = self._fitting_rules(session)
        analysed = self.analyse(session, command.text)
        if isinstance(analysed, Unparsable):
            return [(None, [self._rules.decide(fitting, "unparsable", "is not what PostgreSQL's grammar accepts", None)])]
        whole = self._executing(session, command, analysed)
        return [(part, [self._decide(fitting, kind, why, part) for kind, why in part.classes.items()]) for part in whole]

    def _decide(self, fitting: tuple[Rule, ...], kind: str, why: str, part: Assessed) -> Ruling:
        """A rule that is met because nobody can tell says so."""
        ruling = self._rules.decide(fitting, kind, why, part.finding)
        if ruling.verdict != ALLOW and ruling.rule is not None and part.finding.samples and (ruling.rule.relations or ruling.rule.columns):
            return replace(ruling, why=f"reads {dotted(min(part.finding.samples))}, {WHY}")
        if ruling.verdict == DENY and ruling.rule is None and (name := self._rules.vague(fitting, kind, part.finding)):
            return replace(ruling, why=f"{why} and names {name}, {VAGUE}")
        if ruling.verdict == ALLOW or ruling.rule is None or part.finding.reached is not None or not part.finding.unsettled:
            return ruling
        return replace(ruling, why=next((one for one in part.classes.values() if UNSETTLED in one), why))

    def explain(self, session: Session, command: Statement) -> list[Ruling]:
        """What decided each class of each statement, in order; never empty."""
        found = [ruling for _, rulings in self.examine(session, command) for ruling in rulings]
        return found or [Ruling(ALLOW, "session", "is empty")]

    def analyse(self, session: Session, text: str) -> tuple[Assessed, ...] | Unparsable:
        """
        A string's statements, remembered by exact text and catalog revision.

        :raises Wanted: it is long, and an analyst is to be asked first.
        """
        snapshot, key = self._snapshot(session), self._under(session, text)
        if self._analysis.long(text):
            return self._analysis.of(session, self._assessing(session, text), snapshot)
        found = self._latest[1] if self._latest[0] == key else self._analysed.get(key)
        if found is None:
            try:
                found = self._assessor.assess(text, snapshot, unread=self._catalogs is not None and snapshot is None, flux=key[2], temporary=key[3])
                self._settings.learn(text, [part.finding for part in found])
            except Unparsable as error:
                found = error.with_traceback(None)
            if len(text) <= _KEPT_LENGTH:
                self._analysed[key] = found
                if len(self._analysed) > _KEPT:
                    self._analysed.popitem(last=False)
            self._latest = (key, found)
        return found

    def _assessing(self, session: Session, text: str) -> Assessing:
        _text, revision, flux, temporary = self._under(session, text)
        return Assessing(text, revision, self._assessor, self._catalogs is not None and not revision, flux, temporary)

    def on_decided(self, hook: DecidedHook) -> None:
        """Learn what was prepared and which settings are on their way."""
        decision, session = hook.decision, hook.session
        command = decision.command
        if isinstance(command, FunctionCall) and self._catalogs is not None:
            snapshot = self._catalogs.snapshot(session)
            self._settings.underway.decided(session, decision, None, self._assessor.changes(command.oid, snapshot))
            self._settings.decided(session, decision, "Policy", snapshot=snapshot)
        if isinstance(command, Statement) and command.path is not Path.PARSE and isinstance(decision.verdict, Allow):
            if self._known(session):
                self._learn(session, command, decision)
            else:  # what it prepares, sets and changes the old one says as well
                self._going_by(session, self._catalogs.snapshot(session), lambda: self._learn(session, command, decision))
        self._analysis.settle(session)

    def _learn(self, session: Session, command: Statement, decision: Decision) -> None:
        known = self._under(session, command.text)
        if known in self._idle and not self._settings.follows(session):
            return
        analysed = self._went_by(session, command)
        findings = [part.finding for part in analysed] if isinstance(analysed, tuple) else None
        steps = self._analysis.known(session, Stepping(command.text), None) if self._analysis.long(command.text) else None
        self._settings.decided(session, decision, "Policy", findings, steps)
        for finding in findings or ():
            if finding.prepares:
                self._settings.prepared.learn(session.id, finding.prepares, self._placing.meant(session, command.text))
        whole = self._executing(session, command, analysed) if isinstance(analysed, tuple) else []
        changed, called = together(part.changed for part in whole), together(part.called for part in whole)
        self._settings.underway.decided(session, decision, changed, called)
        if (runs := any(part.runs for part in whole)) and command.path is Path.BIND:
            self._settings.underway.bound(session, decision)
        shadows = frozenset().union(*(made(part.finding, part.classes, self._snapshot(session)) for part in whole))
        if new := not shadows <= (self._settings.underway.temporary(session) or frozenset()):
            self._settings.underway.shadowed(session, shadows)
        quiet = changed is None and called is None and not runs and not new
        if findings is not None and quiet and idle(findings) and not any(f.prepares or f.executes for f in findings):
            self._idles(known)
            if (by_form := self._by_form(session, command)) is not None:
                self._idles(self._under(session, by_form[0].text))

    def _idles(self, known: _Under) -> None:
        """Nothing is learnt from a text, whoever sends it, unless settings of its session are followed."""
        if len(self._idle) >= _KEPT:
            self._idle.clear()
        if len(known[0]) <= _KEPT_LENGTH:
            self._idle.add(known)

    def _went_by(self, session: Session, command: Statement) -> tuple[Assessed, ...] | Unparsable:
        """
        What the verdict on a command rests on, however long people thought about it: what a text prepares and sets is
        not the catalog's to say.
        """
        for question, answer in self._analysis.meant(session).items():
            if isinstance(question, Assessing) and question.text == command.text:
                return answer
        try:
            by_form = self._by_form(session, command)
            return self.analyse(session, (by_form[0] if by_form is not None else command).text)
        except Wanted:  # nothing can wait here; rare, since what was decided a moment ago is known
            return self._assessing(session, command.text).answer(self._snapshot(session))

    def on_outcome(self, hook: OutcomeHook) -> None:
        self._settings.ended(hook.session, hook.decision, hook.outcome, "Policy")
        if self._catalogs is not None:
            self._settings.underway.ended(hook.session, hook.decision, hook.outcome, self._catalogs)

    def on_closed(self, hook: ClosedHook) -> None:
        self._settings.closed(hook.session)
        if self._catalogs is not None:
            self._settings.underway.closed(hook.session, self._catalogs)
        self._analysis.settle(hook.session)
        self._fitting.pop(hook.session.id, None)
        self._placing.forget(hook.session)

    def _rule_set(self, session: Session) -> int:
        """The number of the set of rules that can ever be about a session; many sessions share one."""
        found = self._fitting.get(session.id)
        if found is None:
            rules = self._rules.fitting(session)
            if rules not in self._rule_sets:
                self._rule_sets.append(rules)
                self._places_by.append(self._catalogs is not None and any(each.places for each in rules))
            found = self._fitting[session.id] = self._rule_sets.index(rules)
        return found

    def _fitting_rules(self, session: Session) -> tuple[Rule, ...]:
        return self._rule_sets[self._rule_set(session)]

    def _places(self, session: Session) -> bool:
        return self._places_by[self._rule_set(session)]

    def _temporary(self, session: Session) -> frozenset[str] | None:
        """As `Underway.temporary`, where it matters."""
        return self._settings.underway.temporary(session) if self._places(session) else None

    def _snapshot(self, session: Session) -> Snapshot | None:
        if self._catalogs is None:
            return None
        if session.id in self._given:
            return self._given[session.id]
        return None if self._catalogs.stale(session) else self._catalogs.snapshot(session)

    def _revision(self, session: Session) -> str:
        snapshot = self._snapshot(session)
        return snapshot.revision if snapshot is not None else ""

    def _under(self, session: Session, text: str) -> _Under:
        if self._catalogs is None:
            return text, "", None, None
        return text, self._revision(session), self._settings.underway.of(session), self._temporary(session)

    def _executing(self, session: Session, command: Statement, parts: tuple[Assessed, ...]) -> list[Assessed]:
        """All of a command's statements, each with what it executes by name."""
        return [self._whole(session, command, part, parts) for part in parts]

    def _whole(self, session: Session, command: Statement, part: Assessed, whole: tuple[Assessed, ...]) -> Assessed:
        """A statement with what it executes by name."""
        if part.finding.prepares and part.finding.prepares in command.prepared:
            # Bind would run this text under a name whose other text was judged.
            return Assessed(part.finding, {**part.classes, "dynamic": "prepares a name that the client's protocol already uses"})

        def lookup(name: str) -> list[Assessed]:
            found = [p for p in whole if p.finding.prepares == name]
            for text in self._settings.prepared.texts(session.id, name):
                found.extend(p for p in self._parts(session, text) if p.finding.prepares == name)
            if name in command.prepared:
                text = command.prepared[name]
                if text is None:
                    return []  # nobody knows what would run, whatever SQL prepared under that name
                found.extend(self._parts(session, text))
            return found

        return with_prepared(part, lookup)

    def _parts(self, session: Session, text: str) -> tuple[Assessed, ...]:
        found = self.analyse(session, text)
        return found if isinstance(found, tuple) else ()

    def _fast_path(self, session: Session, command: FunctionCall) -> Verdict | Deferred[Verdict]:
        """Only the catalog says what an OID calls: the first to ask has it read."""
        if self._catalogs is None:
            return self._called(session, command, None)
        if self._known(session):
            return self._called(session, command, self._catalogs.snapshot(session))
        return self._read(session).addCallback(lambda snapshot: self._called(session, command, snapshot))

    def _known(self, session: Session) -> bool:
        """Whether nothing is to be waited for."""
        if self._catalogs is None:
            return True
        return self._catalogs.snapshot(session) is not None and not self._catalogs.stale(session)

    def _read(self, session: Session) -> Deferred[Snapshot | None]:
        """A catalog newer than the question; None when it cannot be read, whatever it was."""
        return self._catalogs.refresh(session).addErrback(lambda _failure: None)

    def _called(self, session: Session, command: FunctionCall, snapshot: Snapshot | None) -> Verdict:
        function = snapshot.functions.get(command.oid) if snapshot is not None else None
        if snapshot is None or function is None:
            return Deny(
                "The function of this call is not known to the gateway.", "OST-208",
                hint="Call it by name with SELECT.", facts=(("oid", str(command.oid)),),
            )
        flux, temporary = self._settings.underway.of(session), self._temporary(session)
        called = self._assessor.function((function.schema, function.name), snapshot, flux, temporary)
        fitting = self._fitting_rules(session)
        found = strictest(self._rules.decide(fitting, kind, why, called.finding) for kind, why in called.classes.items())
        return self._verdict(found, session, command)

    def _verdict(self, ruling: Ruling, session: Session, command: Command, remember: bool = False) -> Verdict:
        name = ruling.rule.name if ruling.rule else ""
        if ruling.verdict == DENY:
            return denied(ruling, name, command)
        if ruling.verdict == ALLOW:
            return Allow(name, remember=remember)
        if command.path is Path.PARSE:
            return Allow(name, remember=False)  # nothing runs yet: Bind asks
        return self._hold(ruling, session, command)

    def _hold(self, ruling: Ruling, session: Session, command: Command) -> Hold:
        reason = f"The statement {ruling.why}{naming(ruling, command)}."
        found = ruling.rule
        if found is None:
            return Hold(f"default.{ruling.kind}", reason, self._approvers, mode=hold_mode("", session, command))
        return found.hold(reason, hold_mode(found.mode, session, command))
