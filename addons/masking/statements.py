"""
One statement's text to a verdict for somebody who sees masked columns: sent as it came, rewritten, or refused by name.

Layer 0 and 1 of the design: what reaches no masked relation is clean; a SELECT that does is
rewritten at its sources; anything else that does is refused.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking import refusals
from addons.masking.copies import judge_in, judge_out, opened
from addons.masking.cover import Cover
from addons.masking.executed import by_name
from addons.masking.judgement import Judgement, UnknownNames
from addons.masking.kinds import HARMLESS, KNOWN, REWRITTEN, makes, title
from addons.masking.lookups import Lookup, lookups
from addons.masking.returning import Targets
from addons.masking.seen import read
from addons.masking.shifting import called
from addons.masking.tied import judge_ties
from addons.masking.writes import judge_write
from addons.sql import system
from addons.sql.calls import Calls, vouchable
from addons.sql.catalog import Relation
from addons.sql.changes import plain_calls, set_config
from addons.sql.flux import Flux, changed, together
from addons.sql.lineage import Lineage
from addons.sql.naming import strings
from addons.sql.overloads import ANY
from addons.sql.parse import LEAVES, Parsed, Unparsable, parse, unwrap, walk
from addons.sql.resolve import CREATES, WRITES, Names, Reference, references
from addons.sql.rewrite import put_sources, rewritten
from addons.sql.scope import union
from addons.sql.settings import HARMLESS as HARMLESS_SETTINGS
from addons.sql.ties import mentioned
from protocols.verdict import Allow, Deny, Replace, Seen

MESSAGES_LIMIT = 200_000
"""Messages in one statement's tree, constants too: about twice what `classify` looks into."""


class Refused(Exception):
    """Carries the Deny out of the depth of a tree."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(deny.reason)
        self.deny = deny


@dataclass
class Reach:
    """What one statement reaches that is masked."""

    hits: list[tuple[Reference, Relation]] = field(default_factory=list)
    unknown: set[tuple[str, str]] = field(default_factory=set)
    answering: list[Relation] = field(default_factory=list)


@dataclass(frozen=True)
class Sources:
    """
    What of one statement is to be rewritten.

    :ivar compared: labels of masked columns that are compared and not shown; only of a statement that stands alone.
    :ivar lookups: comparisons of masked columns with values that move into the sources, likewise.
    :ivar asked: how many such comparisons running it makes; a write makes its own.
    :ivar returning: the list that takes the place of a write's.
    :ivar named: the statement's references, masked or not.
    """

    hits: Sequence[tuple[Reference, Relation]] = ()
    compared: frozenset[str] = frozenset()
    lookups: tuple[Lookup, ...] = ()
    asked: int = 0
    returning: Targets | None = None
    named: Sequence[Reference] = ()


def _messages(statement: Message) -> list[Message]:
    """
    All that a statement is made of.

    :raises Unparsable: it is more than we look into; found out before anything looks through all of it.
    """
    found = list(islice(walk(statement), MESSAGES_LIMIT + 1))
    if len(found) > MESSAGES_LIMIT:
        raise Unparsable("the statement is larger than the gateway looks into")
    return found


@dataclass(frozen=True)
class Statements:
    """
    Judges statements for one cover. A name without a schema is that of every relation that has it: see `addons.sql.pinned`.

    :ivar made: names this session created, perhaps in a transaction that the catalog cannot see into.
    :ivar types: OIDs that the statement's parameters are declared to have.
    :ivar flux: what its open transaction changed.
    """

    cover: Cover
    calls: Calls
    made: frozenset[str] = frozenset()
    types: tuple[int, ...] = ()
    flux: Flux | None = None

    def judgement(self, text: str) -> Judgement:
        """
        :raises UnknownNames: some relation is not in the snapshot.
        """
        try:
            return self._judgement(parse(text))
        except Unparsable as error:
            return Judgement(refusals.unparsable(error.why))
        except Refused as refused:
            return Judgement(refusals.on_floor(refused.deny) if self.cover.floor else refused.deny)
        except RecursionError:
            return Judgement(refusals.unproven("it is nested too deeply"))

    def _judgement(self, parsed: Parsed) -> Judgement:
        names = Names(self.cover.snapshot)
        parsed = opened(parsed.own(), names, self.cover)
        found, made, flux = [], self.made, self.flux
        for statement in parsed.statements:
            messages = _messages(statement)
            named = references(statement)
            made |= makes(statement, named)
            if shifts := called(messages, flux):
                raise Refused(refusals.unsettled(shifts))
            flux = together((flux, changed(statement)))
            sources = self._statement(statement, messages, named, names, made, alone=len(parsed.statements) == 1)
            found.append(replace(sources, named=named))
        asked = sum(sources.asked for sources in found)
        keyed = any(sources.compared for sources in found)
        hit = any(sources.hits for sources in found)
        verdict = self._rewritten(parsed, names, found) if hit else Allow(remember=False)
        return Judgement(verdict, asked, keyed, *by_name(parsed), self.calls.crowded)

    def _statement(
        self, statement: Message, messages: Sequence[Message], named: Sequence[Reference], names: Names,
        made: frozenset[str], *, alone: bool,
    ) -> Sources:
        """
        Refuses, or returns the masked sources to rewrite: none when it is clean.

        :param messages: all that it is made of; :param named: its `references`.
        """
        kind = type(statement).__name__
        self._kinds(messages, dumps=self._sets_row(statement, names, made))
        call = self.calls.first_unlisted(messages, self.types if alone and kind != "PrepareStmt" else (ANY,))
        if call:
            raise Refused(refusals.unlisted(call, vouchable(call)))
        reach = self._reach(named, names)
        unknown = frozenset(f"{schema}.{name}" if schema else name for schema, name in reach.unknown if name not in made)
        if unknown and not getattr(statement, "missing_ok", False):
            raise UnknownNames(unknown)
        if reach.answering and kind not in HARMLESS:
            first = reach.answering[0]
            raise Refused((refusals.partition if first.oid in self.cover.partitions else refusals.answers)(first.label))
        writes = [message for message in messages if message.__class__ in _WRITING]
        tied = judge_ties(writes, names, self.cover, self.calls)
        if tied is not None:
            raise Refused(tied)
        if not reach.hits:
            return Sources()
        if isinstance(statement, tree.CopyStmt):
            return self._copy(statement, messages, names, reach.hits, alone)
        if kind in REWRITTEN:
            return self._query(statement, messages, names, reach.hits, alone)
        if kind in WRITES:
            return self._write(statement, names, reach.hits, alone)
        if kind not in HARMLESS:
            raise Refused(refusals.cannot_mask(title(kind), reach.hits[0][1].label))
        return Sources()

    def _copy(
        self, copy: tree.CopyStmt, messages: Sequence[Message], names: Names, hits: Sequence[tuple[Reference, Relation]], alone: bool
    ) -> Sources:
        """Out: the sources of its query. In: nothing is rewritten."""
        relation = hits[0][1]
        deny = judge_in(copy, names, self.cover, relation) if copy.is_from else judge_out(copy, relation.label)
        if deny is not None:
            raise Refused(deny)
        return Sources() if copy.is_from else self._query(copy, messages, names, hits, alone)

    def _write(self, write: Message, names: Names, hits: Sequence[tuple[Reference, Relation]], alone: bool) -> Sources:
        """Its RETURNING, and what it reads beside its target. Look-ups are of the target's columns, where that is all there is."""
        sought = alone and len(hits) == 1 and isinstance(write, (tree.UpdateStmt, tree.DeleteStmt))
        asked = lookups(write, names, self.cover) if sought else ()
        judged = judge_write(write, names, self.cover, hits, {one.comparison for one in asked})
        if isinstance(judged, Deny):
            raise Refused(judged)
        locks = any(isinstance(message, tree.LockingClause) for message in walk(write))
        if self.cover.floor and (judged.read or locks):
            raise Refused(refusals.below_floor("RETURNING" if judged.read else _LOCKS, judged.read or {hits[0][1].label}))
        changes = judged.targets is not None or any(reference.node is not None for reference, _relation in hits)
        return Sources(hits if changes else (), asked=len(asked), returning=judged.targets)

    # what it is

    def _kinds(self, messages: Sequence[Message], dumps: bool) -> None:
        for message in messages:
            if message.__class__ in _PLAIN:
                continue
            kind = type(message).__name__
            if dumps and kind == "FuncCall":
                continue
            if kind.endswith("Stmt") and kind not in KNOWN:
                raise Refused(refusals.opaque_kind(title(kind)))
            if kind in _LOOKED_AT:
                getattr(self, _LOOKED_AT[kind])(message)

    def _explain(self, explain: tree.ExplainStmt) -> None:
        """What runs is known only where its text is: a prepared name stands for a masked relation as well as for none."""
        if isinstance(unwrap(explain.query), tree.ExecuteStmt) and _runs(explain):
            raise Refused(refusals.opaque_kind("EXPLAIN ANALYZE of EXECUTE"))

    def _cluster(self, cluster: tree.ClusterStmt) -> None:
        """Rows come in the order in which they lie, so an index would tell its own; which one is not told here where none is named."""
        if not cluster.HasField("relation"):
            raise Refused(refusals.opaque_kind("CLUSTER of every table"))

    def _copied(self, copy: tree.CopyStmt) -> None:
        """A program of the server's does what it likes, also log in there; a file may hold anything, or become what such a program reads."""
        if copy.is_program or copy.filename:
            raise Refused(refusals.opaque_kind("COPY with a file or program of the server"))

    def _create_function(self, create: tree.CreateFunctionStmt) -> None:
        """Only SQL bodies can be read, and are judged as statements. A listed name is the operator's word for its body."""
        options = {unwrap(n).defname: unwrap(n).arg for n in create.options}
        names = strings(create.funcname)
        if names[0] in ("pg_catalog", "information_schema") and len(names) > 1:
            raise Refused(refusals.undermines("making a function in the server's own schema"))
        if self.calls.vouches(names[-1]):
            raise Refused(refusals.undermines(f"replacing the listed function {names[-1]}"))
        language = (
            unwrap(options["language"]).sval.lower()
            if "language" in options
            else ("sql" if create.HasField("sql_body") else "")
        )
        if language != "sql":
            raise Refused(refusals.opaque_kind(f"a function in {language or 'no language'}"))
        if "as" in options:
            for body in strings(unwrap(options["as"]).items):
                judged = Statements(self.cover, self.calls, self.made, flux=self.flux).judgement(body)
                verdict = judged.verdict
                if judged.lookups:
                    raise Refused(refusals.cannot_mask("a function's body", "a column that may be looked up"))
                if judged.executes or judged.explains:
                    raise Refused(refusals.opaque_kind("EXECUTE in a function's body"))
                if not isinstance(verdict, Allow):
                    raise Refused(
                        verdict
                        if isinstance(verdict, Deny)
                        else refusals.cannot_mask("a function's body", ", ".join(verdict.columns) or "a relation")
                    )

    def _rename(self, rename: Message) -> None:
        """Functions by name are listed by name; a schema's new name would hide what is declared in it."""
        kind = rename.rename_type if isinstance(rename, tree.RenameStmt) else rename.object_type
        if kind in _ROUTINES or getattr(rename, "newschema", "") in ("pg_catalog", "information_schema"):
            raise Refused(refusals.undermines("renaming or moving a function"))
        if kind == tree.OBJECT_SCHEMA and any(
            self.cover.snapshot.relations[oid].schema == rename.subname for oid in self.cover.relations
        ):
            raise Refused(refusals.undermines(f"renaming schema {rename.subname}"))

    def _table_as(self, create: tree.CreateTableAsStmt) -> None:
        """What EXECUTE returns was decided when it was prepared, and may hold masks."""
        if isinstance(unwrap(create.query), tree.ExecuteStmt):
            raise Refused(refusals.opaque_kind("CREATE TABLE AS EXECUTE"))

    def _variable(self, variable: tree.VariableSetStmt) -> None:
        if variable.name.lower() == _QUOTING and variable.kind == tree.VAR_SET_VALUE and not _is_on(variable.args):
            raise Refused(refusals.settings(_QUOTING))

    def _call(self, call: tree.FuncCall) -> None:
        if strings(call.funcname)[-1:] != ["set_config"]:
            return
        first = unwrap(call.args[0]) if call.args else None
        if not isinstance(first, tree.A_Const) or first.WhichOneof("val") != "sval":
            raise Refused(refusals.computed_setting())
        if first.sval.sval.lower() == _QUOTING:
            raise Refused(refusals.settings(_QUOTING))

    @staticmethod
    def _sets_row(statement: Message, names: Names, made: frozenset[str]) -> bool:
        """pg_dump's `SELECT set_config(name, 'text', false) FROM pg_settings WHERE name = 'x'`, x harmless, and no other call."""
        plain = [set_config(call, select) for call, select in plain_calls(statement)]
        if len(plain) != 1 or plain[0].name not in HARMLESS_SETTINGS or plain[0].values is None:
            return False
        if sum(isinstance(message, tree.FuncCall) for message in walk(statement)) != 1:
            return False
        sources = [reference.name for reference in references(statement)]  # a temporary pg_settings has rows of its own
        return all("pg_settings" not in made and {r.schema for r in names.relations(s)} == {"pg_catalog"} for s in sources)

    # what it reaches

    def _reach(self, named: Sequence[Reference], names: Names) -> Reach:
        reach = Reach()
        for reference in named:
            if reference.place in CREATES:
                continue
            found = names.relations(reference.name)
            if not found:
                reach.unknown.add((reference.name.schemaname, reference.name.relname))
            if reference.place[0] in WRITES and reference.place[1] == "relation":
                self._rules(found)
            reach.answering += [r for r in found if r.oid in self.cover.answering]
            masked = [r for r in found if self.cover.masks(r)]
            if not masked:
                continue
            if len(found) > 1:
                raise Refused(refusals.ambiguous(reference.name.relname, [r.label for r in found]))
            if system.refused(found[0]):
                raise Refused(refusals.holds_values(found[0].label))
            reach.hits.append((reference, found[0]))
        return reach

    def _rules(self, targets: Sequence[Relation]) -> None:
        """A write on a relation with rules runs theirs too, and may return their rows."""
        names = Names(self.cover.snapshot)
        for rule, target in [(rule, target) for target in targets for rule in target.rules]:
            for statement in parse(rule).statements:
                masked = any(
                    self.cover.masks(r)
                    for ref in references(statement)
                    for r in names.relations(ref.name)
                    if r.oid != target.oid
                )
                mine = self.cover.relations.get(target.oid, {})
                masked = masked or bool(mine) and not mentioned(statement).isdisjoint(mine)
                if masked or self.calls.unlisted(statement):
                    raise Refused(refusals.cannot_mask("a write that runs a rule", target.label))

    # SELECT

    def _query(
        self, statement: Message, messages: Sequence[Message], names: Names, hits: Sequence[tuple[Reference, Relation]], alone: bool
    ) -> Sources:
        """Whether the SELECT inside may be rewritten: no writes, every source replaceable, no predicate on masks."""
        holder = REWRITTEN[type(statement).__name__]
        query = unwrap(getattr(statement, holder)) if holder else statement
        label = hits[0][1].label
        if isinstance(statement, tree.ExplainStmt) and _runs(statement):
            raise Refused(refusals.cannot_mask("EXPLAIN ANALYZE", label))
        if type(query).__name__ in WRITES and isinstance(statement, (tree.ExplainStmt, tree.PrepareStmt)):
            return self._write(query, names, hits, alone=False)
        if not isinstance(query, tree.SelectStmt):
            raise Refused(refusals.cannot_mask(f"{title(type(statement).__name__)} of {title(type(query).__name__)}", label))
        for message in messages:  # what stands around the query is none of these
            if message.__class__ not in _INSIDE:
                continue
            kind = type(message).__name__
            if kind in WRITES:
                raise Refused(refusals.cannot_mask(f"a SELECT with {title(kind)} in it", label))
            if kind == "IntoClause":
                raise Refused(refusals.cannot_mask("SELECT INTO", label))
            if kind == "LockingClause" and self.cover.floor:
                raise Refused(refusals.below_floor(_LOCKS, {label}))
        for reference, relation in hits:
            if reference.node is None:
                raise Refused(refusals.cannot_mask(_PLACES.get(reference.place[0], reference.place[0]), relation.label))
        asked = lookups(query, names, self.cover) if alone and type(statement).__name__ in _ASKS_ONCE else ()
        settled = {one.comparison for one in asked}
        shows_text = isinstance(statement, tree.ExplainStmt)  # and with it the key
        compared = self._compared(query, names, settled, self.cover.comparable if alone and not shows_text else {})
        return Sources(tuple(hits), compared, asked, len(asked))

    def _compared(
        self, query: tree.SelectStmt, names: Names, settled: Collection[int], comparable: Mapping[str, int]
    ) -> frozenset[str]:
        """
        The columns that surrogates may stand for: each is only compared with its like, and none is shown.

        Refuses where masks would decide without them.
        """
        lineage = Lineage(names, self.cover.outputs, nulls=self.cover.nulls, comparable=comparable, settled=settled)
        outputs = lineage.query(query)
        if lineage.compared:
            if not lineage.uses and outputs is not None and not lineage.compared & union(o.taint for o in outputs):
                return frozenset(lineage.compared)
            lineage = Lineage(names, self.cover.outputs, nulls=self.cover.nulls, settled=settled)
            lineage.query(query)
        if lineage.uses:
            raise Refused(refusals.decided_by_mask(lineage.uses[0]))
        return frozenset()

    def _rewritten(self, parsed: Parsed, names: Names, found: Sequence[Sources]) -> Replace:
        def change(index: int, statement: Message) -> None:
            sources = found[index]
            if sources.returning is not None:
                holder = REWRITTEN.get(type(statement).__name__)
                listed = (unwrap(getattr(statement, holder)) if holder else statement).returning_clause.exprs
                entries = [entry.SerializeToString() for entry in sources.returning]
                del listed[:]
                for entry in entries:
                    listed.add().MergeFromString(entry)
            replacement = self._replacement(sources, names)
            named = None if parsed.sampled or sources.returning is not None else sources.named
            put_sources(statement, replacement, {lookup.comparison for lookup in sources.lookups}, named)

        reads = read(parsed, names, self.cover, self.calls, [one.named for one in found])  # before the tree is another
        try:
            text = rewritten(parsed.copy() if parsed.sampled else parsed.result, change)
        except Unparsable as error:
            raise Refused(refusals.unproven(error.why)) from None
        return Replace(text, refusals.RULE, tuple(sorted(reads.columns)), seen=Seen(reads.outputs) if reads.outputs is not None else None)

    def _replacement(self, sources: Sources, names: Names) -> Callable[[Reference], str | None]:
        key = secrets.token_hex(_KEY)  # nobody keeps it, and what it makes is nowhere shown

        def replacement(reference: Reference) -> str | None:
            meant = names.relations(reference.name)
            if reference.place in CREATES or not meant or not self.cover.masks(meant[0]) or reference.node is None:
                return None
            conditions = [one.condition for one in sources.lookups if one.source == reference.name.location]
            only = not reference.name.inh
            return self.cover.sub_select(
                meant[0], only=only, compared=sources.compared, key=key, conditions=conditions
            )

        return replacement


_ASKS_ONCE = frozenset({"SelectStmt", "DeclareCursorStmt", "CopyStmt"})
"""Running one of them looks a value up once; a plan may be asked for, and a prepared one run, without being counted."""

_INSIDE = frozenset({tree.InsertStmt, tree.UpdateStmt, tree.DeleteStmt, tree.MergeStmt, tree.IntoClause, tree.LockingClause})
_WRITING = frozenset({tree.InsertStmt, tree.UpdateStmt, tree.DeleteStmt, tree.MergeStmt, tree.CopyStmt})
_PLAIN = frozenset({tree.A_Const, tree.ColumnRef, tree.ResTarget, tree.A_Expr, tree.RangeVar, tree.Alias}) | LEAVES
"""They are no statements, and nothing of them is looked at by their kind."""

_KEY = 16  # bytes of what makes a statement's surrogates
_LOCKS = "FOR UPDATE or FOR SHARE"
_QUOTING = "standard_conforming_strings"
_LOOKED_AT = {
    "ExplainStmt": "_explain",
    "ClusterStmt": "_cluster",
    "CopyStmt": "_copied",
    "CreateFunctionStmt": "_create_function",
    "RenameStmt": "_rename",
    "AlterObjectSchemaStmt": "_rename",
    "VariableSetStmt": "_variable",
    "CreateTableAsStmt": "_table_as",
    "FuncCall": "_call",
}
_ROUTINES = frozenset(
    {tree.OBJECT_FUNCTION, tree.OBJECT_PROCEDURE, tree.OBJECT_ROUTINE, tree.OBJECT_AGGREGATE, tree.OBJECT_OPERATOR}
)
_PLACES = {"RangeTableSample": "TABLESAMPLE", "IntoClause": "SELECT INTO", "CopyStmt": "COPY"}


def _is_on(arguments: Sequence[tree.Node]) -> bool:
    """SET x TO on, in any of its spellings."""
    if len(arguments) != 1:
        return False
    value = unwrap(arguments[0])
    if not isinstance(value, tree.A_Const):
        return False
    kind = value.WhichOneof("val")
    if kind == "sval":
        return value.sval.sval.lower() in ("on", "true", "yes", "1")
    return kind == "ival" and value.ival.ival == 1 or kind == "boolval" and value.boolval.boolval


def _runs(explain: tree.ExplainStmt) -> bool:
    """Whether it also executes: ANALYZE, whatever it is set to."""
    return any(unwrap(n).defname.lower() == "analyze" for n in explain.options)
