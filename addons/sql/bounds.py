"""
Whether a write names the rows it reaches: an UPDATE's, DELETE's or MERGE's filter, judged as text.

A relation is *bounded* when a conjunct pins one of its columns to constants (`constants.pinned`), or an equality
links it to a bounded relation. A write is filtered when its target is bounded. So `DELETE FROM t USING d
WHERE d.code = 'x'` is not, and `... AND t.id = d.id` is. A disjunction bounds what each arm bounds. Names
without a qualifier count only where they can mean one relation; with the catalog's columns more of them do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.constants import column, constant, members, narrow, only_booleans, pinned, strings, text_of
from addons.sql.parse import unwrap, walk
from addons.sql.resolve import children

Columns = Callable[[str, str], frozenset[str] | None]
"""(schema or "", relation) to its columns; None when they are not known."""

class Ctes(Protocol):
    """CTE names to whether their rows are named; None for a name that is none."""

    def get(self, name: str) -> bool | None: ...


_LISTS = frozenset("""
    unnest json_array_elements jsonb_array_elements json_array_elements_text jsonb_array_elements_text json_to_recordset
    jsonb_to_recordset json_populate_recordset jsonb_populate_recordset string_to_table regexp_split_to_table json_each jsonb_each
    json_each_text jsonb_each_text json_object_keys jsonb_object_keys
""".split())
"""Set-returning functions whose rows the client itself wrote out."""

_LIMIT = 1000
"""Largest LIMIT that names the rows of a sub-query: a batch, not a table."""

_DEPTH = 32  #: nested queries looked into; deeper ones bound nothing


@dataclass(frozen=True, slots=True)
class Source:
    """A thing in FROM. `finite`: its rows are named before any filter."""

    name: str
    columns: frozenset[str] | None
    finite: bool = False


@dataclass(slots=True)
class Scope:
    """What names mean in one query, and the conjuncts that hold in it."""

    columns: Columns
    ctes: Ctes
    depth: int = 0
    sources: list[Source] = field(default_factory=list)
    conjuncts: list[Message] = field(default_factory=list)
    given: frozenset[str] = frozenset()  #: sources that conditions outside an OR bound
    links: list[tuple[str, str]] = field(default_factory=list)
    complete: bool = True  #: whether every source of names is known, so that a lone name can be resolved
    outermost: bool = False  #: whether there is no query around whose columns could be meant

    def inner(self) -> Scope:
        return Scope(self.columns, self.ctes, self.depth + 1)

    def source_of(self, names: tuple[str, ...]) -> str | None:
        """The source that a column's name belongs to; None when it cannot be told."""
        if len(names) > 1:
            return names[-2] if sum(s.name == names[-2] for s in self.sources) == 1 else None
        if len(self.sources) == 1 and self.complete:
            return self.sources[0].name
        if any(s.columns is None for s in self.sources):
            return None
        found = [s.name for s in self.sources if names[0] in (s.columns or ())]
        return found[0] if len(found) == 1 else None


def filtered(
    target: tree.RangeVar, sources: Iterable[Message], where: Message | None, ctes: Ctes, columns: Columns
) -> bool:
    """Whether a write's conditions bound its target."""
    scope = Scope(columns, ctes)
    scope.sources.append(Source(_alias(target), columns(target.schemaname, target.relname)))
    _add_sources(scope, sources)
    if where is not None:
        _add_conjuncts(scope, where)
    return _alias(target) in _bounded(scope)


def finite_query(node: Message, ctes: Ctes, columns: Columns, *, outermost: bool = False) -> bool:
    """
    Whether a query's (or a RETURNING write's) rows are named by its text.

    :param outermost: it sees no columns but its own, as what an INSERT proposes.
    """
    return _finite(unwrap(node), Scope(columns, ctes, outermost=outermost))


def _alias(name: tree.RangeVar) -> str:
    return name.alias.aliasname if name.HasField("alias") else name.relname


def _add_sources(scope: Scope, nodes: Iterable[Message]) -> None:
    for node in nodes:
        node = unwrap(node)
        if isinstance(node, tree.RangeVar):
            cte = scope.ctes.get(node.relname) if not node.schemaname else None
            known = None if cte is not None else scope.columns(node.schemaname, node.relname)
            scope.sources.append(Source(_alias(node), known, bool(cte)))
        elif isinstance(node, tree.JoinExpr):
            _add_sources(scope, (node.larg, node.rarg))
            if node.jointype == tree.JOIN_INNER and node.quals.WhichOneof("node"):
                _add_conjuncts(scope, node.quals)
        elif isinstance(node, tree.RangeSubselect):
            scope.sources.append(Source(node.alias.aliasname, _aliased(node.alias), _finite(unwrap(node.subquery), scope.inner())))
        elif isinstance(node, tree.RangeFunction):
            scope.sources.append(Source(node.alias.aliasname, _returned(node), _written_out(node)))
        else:
            scope.sources.append(Source("", None))


def _aliased(alias: tree.Alias) -> frozenset[str] | None:
    return frozenset(strings(alias.colnames)) or None


def _returned(node: tree.RangeFunction) -> frozenset[str] | None:
    """
    Columns that functions in FROM certainly have. They may have more: a lone name that is another source's too is ambiguous to the server.
    """
    if node.alias.colnames or len(node.functions) != 1:
        return _aliased(node.alias)
    return frozenset(unwrap(column).colname for column in node.coldeflist) or frozenset({node.alias.aliasname})


def _written_out(node: tree.RangeFunction) -> bool:
    calls = [unwrap(unwrap(item).items[0]) for item in node.functions if unwrap(item).items]
    return bool(calls) and all(isinstance(call, tree.FuncCall) and constant(call) and _names_rows(call) for call in calls)


def _names_rows(call: tree.FuncCall) -> bool:
    """Whether a function of constants returns what the client itself wrote, or a few numbers in a row."""
    name = strings(call.funcname)[-1]
    return (name in _LISTS and not any(only_booleans(members(arg)) for arg in call.args)) or (name == "generate_series" and len(call.args) == 2 and narrow(*call.args))


def _add_conjuncts(scope: Scope, node: Message) -> None:
    """Split on AND. An EXISTS adds its own relations and conjuncts, as the join that it is."""
    node = unwrap(node)
    if isinstance(node, tree.BoolExpr) and node.boolop == tree.AND_EXPR:
        for arg in node.args:
            _add_conjuncts(scope, arg)
        return
    scope.conjuncts.append(node)
    if isinstance(node, tree.SubLink) and node.sub_link_type == tree.EXISTS_SUBLINK:
        inner = unwrap(node.subselect)
        if isinstance(inner, tree.SelectStmt) and _plain(inner) and not inner.HasField("with_clause"):
            scope.complete = False
            _add_sources(scope, inner.from_clause)
            if inner.where_clause.WhichOneof("node"):
                _add_conjuncts(scope, inner.where_clause)


def _plain(select: tree.SelectStmt) -> bool:
    return select.op == tree.SETOP_NONE and not select.values_lists and not select.group_clause


def _bounded(scope: Scope) -> set[str]:
    """The sources that the conjuncts bound."""
    found = {s.name for s in scope.sources if s.finite} | scope.given
    choices = []
    for conjunct in scope.conjuncts:
        if isinstance(conjunct, tree.BoolExpr) and conjunct.boolop == tree.OR_EXPR:
            choices.append(conjunct)
        else:
            found.update(_pinned_sources(scope, conjunct))
            scope.links.extend(_links(scope, conjunct))
    found = _linked(found | _ranged(scope), scope.links)
    for choice in choices:
        found |= set.intersection(*(_arm(scope, arg, found) for arg in choice.args))
    return _linked(found, scope.links)


def _linked(found: set[str], links: Iterable[tuple[str, str]]) -> set[str]:
    while fresh := {b for a, b in links if a in found and b not in found}:
        found = found | fresh
    return found


def _arm(scope: Scope, node: Message, given: set[str]) -> set[str]:
    """What one side of an OR bounds, together with what holds outside of it."""
    if scope.depth >= _DEPTH:
        return set()
    arm = Scope(scope.columns, scope.ctes, scope.depth + 1, list(scope.sources), complete=scope.complete)
    arm.given, arm.links = frozenset(given), list(scope.links)
    _add_conjuncts(arm, node)
    return _bounded(arm)


def _pinned_sources(scope: Scope, node: Message) -> set[str]:
    if isinstance(node, tree.CurrentOfExpr):
        return {scope.sources[0].name}
    names = [*pinned(node), *_by_query(scope, node)]
    return {source for name in names if (source := scope.source_of(name)) is not None}


def _by_query(scope: Scope, node: Message) -> Iterable[tuple[str, ...]]:
    """Columns compared with a sub-query whose rows are named, and which looks at nothing outside itself."""
    if isinstance(node, tree.A_Expr) and node.kind == tree.AEXPR_OP and strings(node.name) == ("=",):
        for one, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
            found, query = column(one), unwrap(other)
            if found and isinstance(query, tree.SubLink) and query.sub_link_type == tree.EXPR_SUBLINK:
                yield from [found] if _closed(unwrap(query.subselect), scope.inner()) else []
    elif isinstance(node, tree.A_Expr) and node.kind == tree.AEXPR_OP_ANY and strings(node.name) == ("=",):
        found, query = column(node.lexpr), unwrap(node.rexpr)
        if found and isinstance(query, tree.SubLink) and query.sub_link_type == tree.ARRAY_SUBLINK:
            yield from [found] if _finite(unwrap(query.subselect), scope.inner()) else []
    elif isinstance(node, tree.SubLink) and node.sub_link_type == tree.ANY_SUBLINK and strings(node.oper_name) in ((), ("=",)):
        found = column(node.testexpr)
        if found and _finite(unwrap(node.subselect), scope.inner()):
            yield found


def _links(scope: Scope, node: Message) -> Iterable[tuple[str, str]]:
    if isinstance(node, tree.A_Expr) and node.kind == tree.AEXPR_OP and strings(node.name) == ("=",):
        names = column(node.lexpr), column(node.rexpr)
        sides = [scope.source_of(name) for name in names if name is not None]
        if len(sides) == 2 and None not in sides and sides[0] != sides[1]:
            yield sides[0], sides[1]
            yield sides[1], sides[0]


def _ranged(scope: Scope) -> set[str]:
    """Sources with a column between two constants that stand in two conjuncts."""
    low: dict[tuple[str, ...], Message] = {}
    high: dict[tuple[str, ...], Message] = {}
    for node in scope.conjuncts:
        if isinstance(node, tree.A_Expr) and node.kind == tree.AEXPR_OP and (name := column(node.lexpr)):
            side = {">": low, ">=": low, "<": high, "<=": high}.get(strings(node.name)[0])
            if side is not None:
                side[name] = node.rexpr
    names = (name for name in low if name in high and narrow(low[name], high[name]))
    return {source for name in names if (source := scope.source_of(name)) is not None}


def _finite(query: Message, scope: Scope) -> bool:
    """Whether a query's rows are named by its own text, without a look at the query around it."""
    if scope.depth > _DEPTH:
        return False
    if isinstance(query, tree.SelectStmt):
        return _finite_select(query, scope)
    if isinstance(query, (tree.UpdateStmt, tree.DeleteStmt)):
        others = query.from_clause if isinstance(query, tree.UpdateStmt) else query.using_clause
        return filtered(query.relation, others, query.where_clause, scope.ctes, scope.columns)
    return isinstance(query, tree.InsertStmt) and _finite(unwrap(query.select_stmt), scope)


def _finite_select(select: tree.SelectStmt, scope: Scope) -> bool:
    if select.HasField("with_clause"):
        return False
    if select.op != tree.SETOP_NONE:
        arms = _finite(select.larg, scope.inner()), _finite(select.rarg, scope.inner())
        return {tree.SETOP_UNION: all, tree.SETOP_INTERSECT: any}.get(select.op, lambda pair: pair[0])(arms)
    if select.values_lists:
        cells = [text_of(cell) for row in select.values_lists for cell in unwrap(row).items]
        return all(constant(row) for row in select.values_lists) and not only_booleans(cells)
    if not select.from_clause:
        return all(constant(unwrap(t).val) and all(map(_names_rows, _called(t))) for t in select.target_list)
    _fill(scope, select)
    if not _own_columns(select.target_list, scope):
        return False
    if _limited(select) and not any(_calls(t) for t in select.target_list):
        return _independent(select, scope)  # else it has as many answers as the query around has rows
    return {s.name for s in scope.sources} <= _bounded(scope)


def _limited(select: tree.SelectStmt) -> bool:
    """Whether a LIMIT bounds its rows; with ties, any number may tie."""
    limit = text_of(select.limit_count) if select.limit_option == tree.LIMIT_OPTION_COUNT else None
    return limit is not None and limit.isdigit() and int(limit) <= _LIMIT


def _fill(scope: Scope, select: tree.SelectStmt) -> None:
    """Read FROM and WHERE. A lone name may belong to the query around, where there is one: then it is not taken for the only source's."""
    scope.complete = scope.outermost
    _add_sources(scope, select.from_clause)
    if select.where_clause.WhichOneof("node"):
        _add_conjuncts(scope, select.where_clause)


def _closed(query: Message, scope: Scope) -> bool:
    """Whether a scalar sub-query has one value for all rows around it."""
    if not isinstance(query, tree.SelectStmt) or query.HasField("with_clause") or query.op != tree.SETOP_NONE:
        return False
    if not query.from_clause:
        return all(constant(unwrap(t).val) for t in query.target_list)
    _fill(scope, query)
    return _own_columns([query], scope)


def _own_columns(nodes: Iterable[Message], scope: Scope) -> bool:
    references = [strings(m.fields) for n in nodes for m in walk(n) if isinstance(m, tree.ColumnRef)]
    return all(names == ("*",) or scope.source_of(names) is not None for names in references)


def _independent(query: Message, scope: Scope) -> bool:
    """Whether every column that a query names, however deep, is of its own sources or of those of a query inside it."""
    for child, _field, _node in children(query):
        if isinstance(child, tree.ColumnRef):
            if not _own(strings(child.fields), scope):
                return False
        elif isinstance(child, tree.SelectStmt):
            if scope.depth >= _DEPTH or child.HasField("with_clause"):
                return False
            inner = scope.inner()
            inner.sources = list(scope.sources)
            _add_sources(inner, child.from_clause)
            if not _independent(child, inner):
                return False
        elif not _independent(child, scope):
            return False
    return True


def _own(names: tuple[str, ...], scope: Scope) -> bool:
    """Whether a source known here has it; the nearest that does is meant, so that none around can be."""
    if names == ("*",):
        return True
    return any(s.name == names[-2] if len(names) > 1 else names[0] in (s.columns or ()) for s in scope.sources)


def _calls(node: Message) -> bool:
    return any(_called(node))


def _called(node: Message) -> Iterable[tree.FuncCall]:
    return (m for m in walk(node) if isinstance(m, tree.FuncCall))
