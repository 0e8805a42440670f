"""
A finding to its final classes: functions, operators, settings and prepared names are weighed here.

Without a catalog, what cannot be told from the text is `function-unlisted`. With one, a SQL function outside the list
is what its body is, and `(x).name` or `t.name` is a call only when a function of that name exists.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from google.protobuf.message import Message
from postgast import pg_query_pb2 as pg_query

from addons.sql.analysis import LONG
from addons.sql.bearers import place
from addons.sql.bodies import Body, body, text_of_body
from addons.sql.bounds import Columns
from addons.sql.cascades import cascaded
from addons.sql.catalog import FIRST_USER_OID, Function, Relation, Snapshot
from addons.sql.classify import classify, unknown_columns
from addons.sql.extensions import computes
from addons.sql.finding import Finding, Name, dotted
from addons.sql.flux import Flux, changed, together
from addons.sql.functions import OPERATORS, SETTERS, catalog_class
from addons.sql.listed import Listed
from addons.sql.makers import made
from addons.sql.naming import spelt, strings
from addons.sql.operands import Operands
from addons.sql.overloads import apart, held, operators, strange
from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from addons.sql.prepared import STRANGER
from addons.sql.reach import reach
from addons.sql.samples import sampled, showing
from addons.sql.stored import with_hidden
from addons.sql.settings import Gate
from addons.sql.stirred import SERVERS, called, changing, user_functions

_DEPTH = 8  #: SQL functions inside SQL functions that are looked into
_SNAPSHOTS = 64  #: databases of which is kept what leads to samples of values
_BODIES = 256  #: SQL functions of one statement
UNSETTLED = "which this transaction made or changed"
"""What a reason ends in where the catalog cannot say yet what is meant."""

_LATER = frozenset({"Prepare", "DeclareCursor"})  # what runs, or goes on, behind the statements that follow
_INERT = frozenset({"View", "Create", "Rule", "CreatePolicy", *_LATER})  # they name functions, and call none
_FIELDS = frozenset({"n", "x"})
"""Fields of information_schema._pg_expandarray's row, which pgjdbc reads; no catalog is needed to allow them."""

Classes = dict[str, str]
"""Class to one clause that says why."""


@dataclass(frozen=True, slots=True)
class Assessed:
    """
    One statement: what it touches, and its classes.

    :ivar runs: it calls users' functions that were looked at. :ivar changed: what it changes of the catalog. :ivar called: what the code may change that it calls, as far as that can be told.
    """

    finding: Finding
    classes: Classes
    changed: Flux | None = None
    called: Flux | None = None
    runs: bool = False


class Assessor:
    """
    :param functions: what the operator vouches for.
    :param gate: for SET and set_config().
    :param relations: what rules name, to be found under other names; None when no rule asks.
    :param placed: rules allow by relations' schemas, so that names without one are told apart.
    """

    def __init__(self, functions: Iterable[str], gate: Gate, relations: frozenset[str] | None = None, placed: bool = False) -> None:
        self._listed, self._gate, self._placed = Listed(frozenset(functions)), gate, placed
        self._sought = None if relations is None else Listed(relations)
        self._showing: OrderedDict[str, tuple[frozenset[str], frozenset[str]]] = OrderedDict()

    def assess(
        self, text: str, snapshot: Snapshot | None = None, *, unread: bool = False, flux: Flux | None = None, temporary: frozenset[str] | None = None
    ) -> tuple[Assessed, ...]:
        """
        Every statement of a string.

        :param unread: there is a catalog, and it is not known: a name without a schema may be a user's.
        :param flux: what the session's open transaction changed; each statement adds its own for those behind it.
        :param temporary: names of its temporary relations, as `Underway.temporary`.
        :raises Unparsable: the grammar refuses it.
        """
        parsed = parse(text)
        changes = [changed(statement) for statement in parsed.statements]
        found = classified(parsed, snapshot, together((flux, *changes)))
        along = [cascaded(statement, snapshot) for statement in parsed.statements] if self._sought is not None else ()
        for finding, statement, names in zip(found, parsed.statements, along):
            finding.relations |= _moved(statement, self._sought) | (names or frozenset())
        assessed, before, under = [], flux, []
        for finding, statement, change in zip(found, parsed.statements, changes, strict=True):
            part = self._assessed(finding, statement, snapshot, before, change)
            assessed.append(part)
            under.append(before)
            before = together((before, part.changed, part.called))
        for at, finding in enumerate(found):
            if finding.kind in _LATER and before is not flux:
                assessed[at], under[at] = self._assessed(finding, parsed.statements[at], snapshot, before, changes[at]), before
        for part in assessed if unread else ():
            self._shadowed(part)
        if self._sought is not None and (unread or snapshot is not None):
            for part in assessed:
                _reach(part.finding, snapshot, self._sought, before)
        for part, names in zip(assessed, along):
            if names is None:
                part.finding.reached = None
        for part in assessed if self._sought is not None else ():
            self._samples(part.finding, snapshot, before)
        for part, statement, known in zip(assessed, parsed.statements, under) if self._placed and (unread or snapshot is not None) else ():
            place(part.finding, statement, snapshot, known, temporary)
            if names := made(part.finding, part.classes, snapshot):
                temporary = (temporary or frozenset()) | names
        return tuple(assessed)

    def _samples(self, finding: Finding, snapshot: Snapshot | None, flux: Flux | None) -> None:
        """Without a catalog by the text alone."""
        leading: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        if snapshot is not None:
            leading = self._showing[snapshot.revision] = self._showing.get(snapshot.revision) or showing(snapshot, self._listed)
            if len(self._showing) > _SNAPSHOTS:
                self._showing.popitem(last=False)
        called = (*finding.functions, *finding.called, *(("", f.removeprefix(".")) for f in finding.fields))
        finding.samples |= sampled(finding.relations, (name for name in called if name not in self._listed), flux, leading)

    def _shadowed(self, part: Assessed) -> None:
        """A call that may be another's than its name says."""
        found = part.finding
        names = [*found.functions, *found.operators, *(("", name) for name in (*found.fields, *found.constructs))]
        foreign = next((dotted(n) for n in sorted(names) if n[0] != "pg_catalog" and n not in self._listed and n not in SETTERS), None)
        if foreign is not None:
            why = f"calls {foreign}, which may be anybody's while the target's catalog cannot be read"
            part.classes.setdefault("function-unlisted", why)

    def function(self, name: Name, snapshot: Snapshot | None, flux: Flux | None = None, temporary: frozenset[str] | None = None) -> Assessed:
        """One function called by itself (the fast path)."""
        weighing = self._weighing(Finding("FunctionCall", functions={name}), snapshot, flux)
        weighing.call(name)
        part = Assessed(weighing.finding, weighing.classes or {"read": f"calls {dotted(name)}"}, called=weighing.changed)
        if self._sought is not None and snapshot is not None:
            _reach(part.finding, snapshot, self._sought, flux)
            self._samples(part.finding, snapshot, flux)
        if self._placed:
            place(part.finding, None, snapshot, flux, temporary)
        return part

    def changes(self, oid: int, snapshot: Snapshot | None) -> Flux | None:
        """What such a call may change of the catalog."""
        function = snapshot.functions.get(oid) if snapshot is not None else None
        if function is None or function.schema in SERVERS or (function.schema, function.name) in self._listed:
            return None
        return changing(function, snapshot)

    def _assessed(self, found: Finding, tree: Message, snapshot: Snapshot | None, flux: Flux | None, change: Flux | None) -> Assessed:
        """:param change: what the statement itself changes."""
        weighing = self._weighing(found, snapshot, flux)
        weighing.statement(found, tree)
        if isinstance(tree, pg_query.CreateFunctionStmt):
            self._made(weighing, tree)
        if found.called and all(name in self._listed for name in found.called):
            change = Flux()  # the operator's word for what it does
        if isinstance(tree, pg_query.DoStmt) and snapshot is not None:
            weighing.changed = called(" ".join(unwrap(unwrap(one).arg).sval for one in tree.args), snapshot)
        return Assessed(found, weighing.classes, change, None if found.kind in _INERT else weighing.changed, weighing.runs)

    def _made(self, weighing: _Weighing, create: pg_query.CreateFunctionStmt) -> None:
        """A body in SQL counts for who writes it as a view's does, but for what it calls: that is looked at when it is called."""
        found, inner = weighing.finding, self._weighing(Finding(""), weighing.snapshot, weighing.flux)
        try:
            parsed = parse(text_of_body(create))
            for part, tree in zip(classify(parsed, columns_of(weighing.snapshot, weighing.flux)), parsed.statements, strict=True):
                inner.statement(part, tree)
                inner.finding.take(part)
        except Unparsable:
            return  # the target says so itself, or will when it is called
        for name in ("kinds", "relations", "written", "columns", "functions"):
            getattr(found, name).update(getattr(inner.finding, name))
        for kind, why in inner.classes.items():
            if kind != "function-unlisted":
                weighing.classes.setdefault(kind, f"makes a function that {why}")

    def _weighing(self, found: Finding, snapshot: Snapshot | None, flux: Flux | None = None) -> _Weighing:
        return _Weighing(self._listed, self._gate, snapshot, found, flux=flux)


@dataclass(slots=True)
class _Weighing:
    """
    One statement's classes, in the making.

    :ivar finding: the statement's own, which takes in what the bodies touch that it runs.
    :ivar running: OIDs of the functions whose bodies are being looked into.
    :ivar done: those that were.
    :ivar views: OIDs of the views and tables with rules that were looked through.
    :ivar flux: what the catalog does not show yet. :ivar changed: what the functions that are called may change.
    """

    listed: Listed
    gate: Gate
    snapshot: Snapshot | None
    finding: Finding
    classes: Classes = field(default_factory=dict)
    running: list[int] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    views: set[int] = field(default_factory=set)
    flux: Flux | None = None
    changed: Flux | None = None
    runs: bool = False

    def statement(self, found: Finding, tree: Message) -> None:
        """A statement of the client's, or of a body: its own classes are added to with those of what it calls."""
        classes = dict(found.classes)
        if found.called and all(name in self.listed for name in found.called):
            classes.pop("procedural", None)
            classes.setdefault("write", "calls a listed procedure")
        for kind, why in classes.items():
            self._add(kind, why)
        for name in sorted(found.functions):
            if name not in SETTERS:
                self.call(name, tree)
        for change in found.changes:
            self._add(*self.gate.judge(change))
        for name in sorted(found.operators):
            self._operator(name, tree)
        for name in sorted(found.types):
            self._cast(name, tree)
        for name in sorted(found.fields):
            self._field(name)
        for name in sorted(found.constructs):
            if not self._shifts(("", name)):
                self._bodies(user_functions(self.snapshot, ("", name)))
        if found.prepares:
            self._add("session", "prepares a statement")
        if found.kind == "Execute" and not found.executes:
            self._add("dynamic", "executes nothing that is known")
        if found.kind == "Fetch" and self.flux is not None and self.flux.calls:
            self._unsettled("reads on with what an older cursor calls")
        self._views(found)

    def call(self, name: Name, tree: Message | None = None) -> None:
        """Add what a call is. An unqualified name may mean the server's own function or a user's of that name, where one is not apart."""
        if name in self.listed or self._shifts(name):
            return
        known = catalog_class(*name)
        others = user_functions(self.snapshot, name)
        if known is not None:
            if known != "read":
                self._add(known, f"calls {dotted(name)}")
            if known == "dynamic":
                self._changes(Flux(unseen=True))
            others = self._meant("FuncCall", name, [f for f in others if not f.extension], tree)
        if known is None and not others:
            self._add("function-unlisted", f"calls {dotted(name)}, which is not on the list of functions")
        self._bodies(others)

    def _shifts(self, name: Name) -> bool:
        """Whether a name may call what the catalog does not show yet, which is then said so."""
        schema, last = name
        if self.flux is None or schema == "pg_catalog":
            return False
        shifts = last in self.flux.routines or self.flux.unseen and bool(user_functions(self.snapshot, name))
        if shifts:
            self._unsettled(f"calls {dotted(name)}")
        return shifts

    def _unsettled(self, does: str) -> None:
        self._add("function-unlisted", f"{does}, {UNSETTLED}")
        self.finding.unsettled = True
        self._changes(Flux(unseen=True))

    def _changes(self, change: Flux | None) -> None:
        self.changed = together((self.changed, change))

    def _add(self, kind: str, why: str) -> None:
        for oid in reversed(self.running):
            why = f"calls {self.snapshot.functions[oid].label}, which {why}"
        self.classes.setdefault(kind, why)

    def _bodies(self, functions: Iterable[Function]) -> None:
        """SQL functions are what their bodies are; any other cannot be seen into. Each is looked into once."""
        for function in functions:
            if (function.schema, function.name) in self.listed or function.oid in self.done or computes(function):
                continue
            self.runs = True
            unlisted = f"calls {function.label}, which is not on the list of functions"
            self._changes(changing(function, self.snapshot))
            if function.oid in self.running or len(self.running) >= _DEPTH or len(self.done) >= _BODIES:
                self._add("function-unlisted", unlisted)
                continue
            try:
                found = body(function, self.snapshot, columns_of(self.snapshot, self.flux), self.gate)
            except Unparsable:
                self._add("function-unlisted", unlisted)
                continue
            self.running.append(function.oid)
            self._run(found)
            self.running.pop()
            self.done.add(function.oid)

    def _run(self, found: Body) -> None:
        for kind, why in found.classes.items():
            self._add(kind, why)
        for part, tree in zip(found.findings, found.trees, strict=True):
            self.statement(part, tree)
            self.finding.take(part)
            if part.executes or part.changes:
                self._add("dynamic", "executes prepared text or changes settings")

    def _views(self, found: Finding) -> None:
        """What views and rules call runs along with what reaches them: it counts where it does more than read, which is the view's own affair."""
        for name in sorted(found.relations) if self.snapshot is not None else ():
            for call in {call for one in (self.flux.moved(name[1]) if self.flux is not None else ()) for call in one.calls}:
                self._shifts(("", call))
            for relation in self.snapshot.named(*name):
                texts = (relation.definition,) if relation.kind == "v" or "RefreshMatView" in found.kinds else ()
                texts += relation.rules if name in found.written else ()
                if any(texts) and relation.oid not in self.views:
                    self.views.add(relation.oid)
                    self._behind(relation, [part for text in filter(None, texts) for part in _parts(text)])

    def _behind(self, relation: Relation, parts: Iterable[Finding]) -> None:
        for part in parts:
            inner = _Weighing(self.listed, self.gate, self.snapshot, Finding(part.kind), done=set(self.done), flux=self.flux)
            for name in (*part.functions, *part.operators):
                if name not in self.listed:
                    self._shifts(name)
            for name in part.functions:
                inner._bodies(f for f in user_functions(self.snapshot, name) if f.language == "sql")
            inner._bodies(f for _schema, symbol in part.operators for f in self._own(self.snapshot.operators.get(symbol, ())) if f.language == "sql")
            more = {kind: why for kind, why in inner.classes.items() if kind not in ("read", "function-unlisted")}
            for kind, why in more.items():
                self._add(kind, f"reaches {relation.label}, which {why}")
            self._changes(inner.changed)
            self.runs = self.runs or inner.runs
            self.finding.unsettled = self.finding.unsettled or inner.finding.unsettled
            if more:
                self.finding.take(inner.finding)
            self._views(part)

    def _meant(self, kind: str, name: Name, overloads: list[Function], tree: Message | None) -> list[Function]:
        """Those that some use of a name of the server's may mean."""
        if not overloads or tree is None or name[0]:
            return overloads
        messages = list(walk(tree))
        known, operands = held(messages, (), self.snapshot), Operands(messages, (), self.snapshot)
        uses = [m for m in messages if any(used[-1:] == (name[1],) for used in _used(m, kind))]
        return [f for f in overloads if not uses or not all(apart(use, [f], known, self.snapshot, operands) for use in uses)]

    def _operator(self, name: Name, tree: Message) -> None:
        schema, symbol = name
        if name in self.listed or self._shifts(name):
            return
        if symbol not in OPERATORS or schema not in ("", "pg_catalog"):
            self._add("function-unlisted", f"uses operator {symbol}, which is not on the list of functions")
        if self.snapshot is not None and schema != "pg_catalog":
            self._bodies(self._meant("A_Expr", name, self._own(self.snapshot.operators.get(symbol, ())), tree))

    def _cast(self, name: Name, tree: Message, fresh: str = "") -> None:
        """
        To a type at either end of which a user's cast is; to one of the server's, where a value of the other end's can be.

        :param fresh: the new domain over it that is meant.
        """
        schema, last = name
        if self.flux is not None and schema != "pg_catalog" and last in self.flux.types:
            self._unsettled(f"converts to {dotted(name)}")
        for base in {base for domain, base in (self.flux.domains if self.flux is not None else ()) if domain == last}:
            self._cast(("", base), tree, last)
        if self.snapshot is None or not self.snapshot.casts:
            return
        for kind in self.snapshot.by_type_name.get(last, ()):
            found = self._own(self._casts(kind.oid)) if not schema or kind.schema == schema else []
            if found and self.snapshot.base_type(kind.oid) < FIRST_USER_OID:
                named = (m for m in walk(tree) if not isinstance(m, pg_query.TypeName) or strings(m.names)[-1:] != (fresh,))
                known = held(named, (), self.snapshot)
                found = [f for f in found if not strange(f, known, self.snapshot)]
            self._bodies(found)

    def _casts(self, kind: int) -> set[int]:
        """A domain's value is converted as its base's is."""
        ends = {kind, self.snapshot.base_type(kind)}
        return {function for end in ends for function in self.snapshot.casts.get(end, ())}

    def _own(self, oids: Iterable[int]) -> list[Function]:
        """A user's functions among them."""
        found = (self.snapshot.functions.get(oid) for oid in oids)
        return [f for f in found if f is not None and not f.extension and f.schema not in SERVERS]

    def _field(self, name: str) -> None:
        """`(x).name` calls a function when x has no such field; `t.name` (kept as ".name") only a user's function of a row."""
        last = name.removeprefix(".")
        if self.flux is not None and last in self.flux.routines and self._shifts(("", last)):
            return
        if self.snapshot is None:
            known = "read" if name != last or last in _FIELDS else catalog_class("", last)
            if known != "read":
                self._add(known or "function-unlisted", f"reads field {last}, which may be a function's call")
            return
        if name == last and (known := catalog_class("", last)) not in (None, "read"):
            self._add(known, f"calls {last}")
        self._bodies(f for f in user_functions(self.snapshot, ("", last)) if f.required <= 1 <= len(f.arguments))


def _used(message: Message, kind: str) -> Iterable[tuple[str, ...]]:
    """Names of functions that it calls, or of operators that it uses."""
    if kind == "FuncCall":
        return [spelt(message.funcname)] if type(message).__name__ == kind else []
    return operators(message)


def _moved(statement: Message, sought: Listed) -> set[Name]:
    """What a renamed schema takes out of the rules that name it by its schema."""
    if type(statement).__name__ != "RenameStmt" or statement.rename_type != pg_query.OBJECT_SCHEMA:
        return set()
    parts = (name.partition(".") for name in sought.names)
    return {(schema, name) for schema, dot, name in parts if dot and schema == statement.subname}


def _reach(finding: Finding, snapshot: Snapshot | None, sought: Listed, flux: Flux | None = None) -> None:
    """Views are looked through where they are written: to let one be read is to let that be read."""
    found = reach(finding.relations, finding.written, snapshot, flux)
    unknown = snapshot is None and found.unknown or finding.unsettled or flux is not None and flux.unseen and finding.relations
    finding.reached = None if unknown else frozenset(name for name in found.names if name in sought)
    finding.renamed = found.renamed and bool(finding.written)


def _parts(text: str) -> tuple[Finding, ...]:
    """What the catalog's own text is; nothing for what this grammar does not read."""
    try:
        return classify(parse(text))
    except Unparsable:
        return ()


def columns_of(snapshot: Snapshot | None, flux: Flux | None = None) -> Columns:
    """The catalog's columns for `bounds`: known only when one relation, or several alike, can be meant, and none is changed."""
    if snapshot is None:
        return unknown_columns

    def columns(schema: str, name: str) -> frozenset[str] | None:
        if flux is not None and (flux.unseen or schema in flux.schemas or any(flux.moved(name))):
            return None
        found = {frozenset(c.name for c in r.columns) for r in snapshot.named(schema, name)}
        return found.pop() if len(found) == 1 else None

    return columns


def classified(parsed: Parsed, snapshot: Snapshot | None, flux: Flux | None = None) -> tuple[Finding, ...]:
    """
    What `classify` finds, remembered of the last long text: policy asks for it, and who follows the session's settings.

    :raises Unparsable: as `classify`.
    """
    global _last
    if len(parsed.text) <= LONG:
        return with_hidden(classify(parsed, columns_of(snapshot, flux)), snapshot)
    revision = snapshot.revision if snapshot is not None else ""
    if _last is None or _last[0] is not parsed or _last[1] != (revision, flux):
        _last = parsed, (revision, flux), with_hidden(classify(parsed, columns_of(snapshot, flux)), snapshot)
    return _last[2]


_last: tuple[Parsed, tuple[str, Flux | None], tuple[Finding, ...]] | None = None


Lookup = Callable[[str], Iterable[Assessed]]
"""A prepared name to each statement that it may stand for; nothing when it is not known."""


def with_prepared(assessed: Assessed, lookup: Lookup) -> Assessed:
    """A statement with what it executes by name; an unknown name is `dynamic`."""
    if not assessed.finding.executes:
        return assessed
    classes, finding, called = dict(assessed.classes), assessed.finding.copy(), assessed.called
    for name in sorted(finding.executes):
        known = list(lookup(name))
        if not known:
            classes.setdefault("dynamic", STRANGER)
        for other in known:
            finding.take(other.finding)
            called = together((called, other.changed, other.called))
            for kind, why in other.classes.items():
                classes.setdefault(kind, f"executes a prepared statement that {why}")
    return Assessed(finding, classes, assessed.changed, called, runs=True)
