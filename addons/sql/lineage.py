"""
A query's tree to what its columns are made of, and where masked values would decide something.

Two readers. Masking asks of a statement whose raw values are already replaced: which predicates, sorts and
groups would see only masks (and so be silently wrong)? There an unknown name is clean, since the server will
refuse it. The catalog asks of a view's definition, which runs on raw values: there (`strict`) whatever is not
understood is taken for masked, a column is made of what decides it in its row too, and each test is a use by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.catalog import Relation
from addons.sql.naming import column_name, last_name, strings
from addons.sql.parse import CONSTANTS, unwrap
from addons.sql.resolve import Names, children
from addons.sql.scope import CLEAN, OTHER, SYSTEM_COLUMNS, UNKNOWN, Item, Output, Scope, Taint, clean, hidden, item, renamed, tainted, union

Columns = Callable[[Relation], Mapping[str, Output]]
"""The masked columns of a relation by name; what is not in it is clean."""


class Use(NamedTuple):
    """A place where masked values decide something: `where` is a phrase such as "WHERE"."""

    where: str
    taint: Taint


class Lineage:
    """
    One statement's reading. Make a new one for each.

    :param opaque: why a call, operator or cast may return anything ("" when it may not). Strict readers take
        its value for UNKNOWN; others have refused the statement already.
    :param nulls: labels whose masks keep NULL as NULL, so that IS NULL and count() are right.
    :param comparable: labels that may be compared for equality with others of the same number.
    :param settled: where comparisons stand that are no use, since they are made elsewhere.
    :param answering: functions that return what a client chose, made of OTHER things then; only where `masked` tells of those.
    :ivar compared: those that were; such a comparison is no use.
    """

    def __init__(
        self,
        names: Names,
        masked: Columns,
        *,
        strict: bool = False,
        opaque: Callable[[Message], str] = lambda _message: "",
        nulls: frozenset[str] = frozenset(),
        comparable: Mapping[str, int] = MappingProxyType({}),
        settled: Collection[int] = (),
        answering: frozenset[str] = frozenset(),
    ) -> None:
        self._names, self._masked, self._strict, self._opaque, self._nulls = names, masked, strict, opaque, nulls
        self._comparable, self._settled, self._answering = comparable, settled, answering
        self.uses: list[Use] = []
        self.compared: set[str] = set()

    # queries

    def query(self, statement: Message, outer: Scope | None = None) -> list[Output] | None:
        """The columns of a SELECT, VALUES or set operation; None when a nested write returns what we do not follow."""
        if not isinstance(statement, tree.SelectStmt):
            return self._write(statement, outer or Scope())
        scope = (outer or Scope()).inner()
        if statement.HasField("with_clause"):
            self.with_entries(statement.with_clause, scope)
        if statement.op > tree.SETOP_NONE:
            outputs = self._set_operation(statement, scope)
        elif statement.values_lists:
            outputs = self._values(statement, scope)
        else:
            outputs = self._plain(statement, scope)
        for sort in statement.sort_clause:
            self._use("ORDER BY", self._by_output(unwrap(sort).node, scope, outputs, outputs_first=True))
        for limit in ("limit_count", "limit_offset"):
            if statement.HasField(limit):
                self._use("LIMIT", self.value(getattr(statement, limit), scope))
        return outputs

    def _write(self, statement: Message, outer: Scope) -> None:
        """A data-modifying CTE. Strict readers get UNKNOWN columns; others ask `writes` about it."""
        return None

    def with_entries(self, clause: tree.WithClause, scope: Scope) -> None:
        """Adds a WITH clause's names to the scope."""
        entries = [unwrap(n) for n in clause.ctes]
        if clause.recursive:
            scope.ctes.update({e.ctename: None for e in entries})
        for entry in entries:
            body, names = unwrap(entry.ctequery), strings(entry.aliascolnames)
            if clause.recursive and isinstance(body, tree.SelectStmt) and body.op > tree.SETOP_NONE:
                self._recursive(entry.ctename, body, names, scope)
            else:
                found = renamed(self.query(body, scope), names)
                scope.ctes[entry.ctename] = None if found is None else tuple(found)

    def _recursive(self, name: str, body: tree.SelectStmt, names: Sequence[str], scope: Scope) -> None:
        """Until nothing more is added: the first term's columns, then the whole's."""
        found = renamed(self.query(body.larg, scope), names)
        for _ in range(64):
            scope.ctes[name] = None if found is None else tuple(found)
            again = renamed(self.query(body, scope), names)
            if again == found:
                return
            found = again
        scope.ctes[name] = None

    def _set_operation(self, statement: tree.SelectStmt, scope: Scope) -> list[Output] | None:
        left, right = self.query(statement.larg, scope), self.query(statement.rarg, scope)
        if left is None or right is None:
            return None
        if len(left) != len(right):
            return [Output(c.name, union(c.taint for c in (*left, *right))) for c in left]
        both = [
            Output(a.name, a.taint | b.taint, a.plain if a.plain == b.plain else "")
            for a, b in zip(left, right, strict=True)
        ]
        if statement.op != tree.SETOP_UNION or not statement.all:
            self._use_all("a set operation that compares rows", both)
        return both

    def _values(self, statement: tree.SelectStmt, scope: Scope) -> list[Output]:
        rows = [[self.value(cell, scope) for cell in unwrap(row).items] for row in statement.values_lists]
        width = max(map(len, rows), default=0)
        return [Output(f"column{i + 1}", union(row[i] for row in rows if i < len(row))) for i in range(width)]

    def _plain(self, statement: tree.SelectStmt, scope: Scope) -> list[Output] | None:
        for node in statement.from_clause:
            scope.star.extend(self.source(node, scope))
        self._tests("WHERE", statement, "where_clause", scope)
        scope.windows = {window.name: window for node in statement.window_clause if (window := unwrap(node))}
        outputs = [o for node in statement.target_list for o in self.target(unwrap(node), scope)]
        for node in statement.group_clause:
            self._grouped(node, scope, outputs)
        self._tests("HAVING", statement, "having_clause", scope)
        for node in statement.window_clause:
            self._window(unwrap(node), scope)
        for node in statement.distinct_clause:
            if node.WhichOneof("node"):
                self._use("DISTINCT", self._by_output(node, scope, outputs, outputs_first=True))
            else:
                self._use_all("DISTINCT", outputs)
        return outputs

    def _grouped(self, node: tree.Node, scope: Scope, outputs: list[Output]) -> None:
        inside = unwrap(node)
        if self._strict and isinstance(inside, tree.GroupingSet):
            for part in inside.content:
                self._grouped(part, scope, outputs)
        elif not self._compares(node, scope):
            self._use("GROUP BY", self._by_output(node, scope, outputs, outputs_first=False))

    def _tests(self, where: str, message: Message, field: str, scope: Scope) -> None:
        """A condition's use: in strict reading, of each test in it. A sub-select that is asked for rows tells its own."""
        if message.HasField(field):
            self._test(where, getattr(message, field), scope)

    def _test(self, where: str, node: tree.Node, scope: Scope) -> None:
        inside = unwrap(node)
        if self._strict and isinstance(inside, tree.BoolExpr):
            for part in inside.args:
                self._test(where, part, scope)
        else:
            taint = self.value(node, scope)
            asks = isinstance(inside, tree.SubLink) and inside.sub_link_type != tree.EXPR_SUBLINK
            self._use(where, CLEAN if self._strict and asks else taint)

    def _optional(self, message: Message, field: str, scope: Scope) -> Taint:
        return self.value(getattr(message, field), scope) if message.HasField(field) else CLEAN

    def _by_output(self, node: tree.Node, scope: Scope, outputs: list[Output] | None, *, outputs_first: bool) -> Taint:
        """GROUP BY and ORDER BY may name an output by number or by name (SQL-92); which comes first differs."""
        inside = unwrap(node)
        if isinstance(inside, tree.A_Const) and inside.WhichOneof("val") == "ival":
            index = inside.ival.ival - 1
            return outputs[index].taint if outputs is not None and 0 <= index < len(outputs) else CLEAN
        if isinstance(inside, tree.ColumnRef) and len(names := strings(inside.fields)) == 1:
            output = next((o for o in outputs or () if o.name == names[0]), None)
            if output is not None and (outputs_first or scope.column(names[0]) is None):
                return output.taint
        return self.value(node, scope)

    def target(self, target: tree.ResTarget, scope: Scope) -> list[Output]:
        """One entry of a select list: many columns for a star."""
        value = unwrap(target.val)
        star = self._star(value, scope)
        if star is not None:
            return star
        found = self._plain_column(value, scope)
        name = target.name or column_name(value)
        return [Output(name, self.value(value, scope), found.plain if found is not None else "")]

    def _plain_column(self, value: Message, scope: Scope) -> Output | None:
        if not isinstance(value, tree.ColumnRef):
            return None
        names = strings(value.fields)
        if len(names) == 1:
            return scope.column(names[0])
        found = scope.named(names[-2], names[-3] if len(names) > 2 else "") if names else None
        return found.find(names[-1]) if found is not None else None

    def _star(self, value: Message, scope: Scope) -> list[Output] | None:
        """`*`, `t.*`, `s.t.*` and `(t).*`; None for anything else."""
        if isinstance(value, tree.ColumnRef) and isinstance(unwrap(value.fields[-1]), tree.A_Star):
            names = strings(value.fields)
            if not names:
                return list(scope.star)
            return self._all_of(scope.named(names[-1], names[-2] if len(names) > 1 else ""))
        if isinstance(value, tree.A_Indirection) and isinstance(unwrap(value.indirection[-1]), tree.A_Star):
            inside = unwrap(value.arg)
            if isinstance(inside, tree.ColumnRef) and len(value.indirection) == 1 and (names := strings(inside.fields)):
                if (found := scope.named(names[-1])) is not None and found.columns is not None:
                    return list(found.columns)
            return [Output("?", self.value(value.arg, scope))]
        return None

    def _all_of(self, found: Item | None) -> list[Output]:
        if found is None:
            return [Output("?", self._lost())]
        return [Output("?", found.whole)] if found.columns is None else list(found.columns)

    # FROM

    def source(self, node: tree.Node, scope: Scope) -> list[Output]:
        """Adds what a FROM entry brings to the scope; returns its part of `*`."""
        inside = unwrap(node)
        if isinstance(inside, tree.JoinExpr):
            return self._join(inside, scope)
        if isinstance(inside, tree.RangeTableSample):
            for argument in (*inside.args, inside.repeatable):
                self._use("TABLESAMPLE", self.value(argument, scope))
            return self.source(inside.relation, scope)
        if isinstance(inside, tree.RangeVar):
            scope.items.append(self.relation(inside, scope))
        elif isinstance(inside, tree.RangeSubselect):
            within = Scope(scope, scope.ctes) if inside.lateral else Scope(scope.parent, scope.ctes)
            before = len(self.uses)
            columns = self.query(unwrap(inside.subquery), within)
            if self._strict and inside.lateral and columns is not None:
                columns = tainted(columns, self._decided(before))
            scope.items.append(
                item(
                    inside.alias.aliasname,
                    renamed(columns, strings(inside.alias.colnames)),
                    whole=self._lost() if columns is None else CLEAN,
                )
            )
        else:
            scope.items.append(self._table_function(inside, scope))
        return self._all_of(scope.items[-1])

    def relation(self, name: tree.RangeVar, scope: Scope) -> Item:
        """A named relation, or a WITH entry of that name."""
        alias = name.alias.aliasname or name.relname
        renames = strings(name.alias.colnames)
        if not name.schemaname and name.relname in scope.ctes:
            columns = scope.ctes[name.relname]
            return item(alias, renamed(columns, renames), whole=self._lost() if columns is None else CLEAN)
        found = self._names.relations(name)
        if not found:
            return item(alias, None, whole=self._lost())
        masks = [self._masked(r) for r in found]
        columns = [self._column(c.name, masks) for c in found[0].columns]
        schema = "" if name.HasField("alias") else found[0].schema
        masked = any(hidden(o.taint) for outputs in masks for o in outputs.values())
        return item(alias, renamed(columns, renames), schema=schema, masked=masked)

    @staticmethod
    def _column(name: str, masks: Sequence[Mapping[str, Output]]) -> Output:
        found = [m[name] for m in masks if name in m] or [clean(name)]
        return found[0] if len(found) == 1 else Output(name, union(o.taint for o in found))

    def _table_function(self, function: Message, scope: Scope) -> Item:
        """A function, XMLTABLE or JSON_TABLE: its rows come of its arguments, so masks there decide how many."""
        taint = self._children(function, scope)
        self._use("a function in FROM", taint)
        names = [unwrap(n).colname for n in function.coldeflist] if isinstance(function, tree.RangeFunction) else []
        columns = [Output(n, taint) for n in names] or None
        return item(function.alias.aliasname, renamed(columns, strings(function.alias.colnames)), whole=taint)

    def _join(self, join: tree.JoinExpr, scope: Scope) -> list[Output]:
        mark = len(scope.items)
        left, middle = self.source(join.larg, scope), len(scope.items)
        right = self.source(join.rarg, scope)
        shared = strings(join.using_clause)
        if join.is_natural:
            shared = [c.name for c in left if any(c.name == d.name for d in right)]
        merged = [self._merged(name, left, right) for name in shared]
        before = len(self.uses)
        self._use_all("JOIN USING", [c for c in merged if not self._equal(c.name, left, right)])
        self._tests("JOIN ON", join, "quals", scope)
        taint = self._decided(before) if self._strict else CLEAN
        if taint and join.jointype in (tree.JOIN_LEFT, tree.JOIN_FULL):
            right, scope.items[middle:] = tainted(right, taint), [self._maybe(i, taint) for i in scope.items[middle:]]
        if taint and join.jointype in (tree.JOIN_RIGHT, tree.JOIN_FULL):
            left, scope.items[mark:middle] = tainted(left, taint), [self._maybe(i, taint) for i in scope.items[mark:middle]]
        star = merged + [c for c in (*left, *right) if c.name not in shared]
        if join.HasField("alias"):
            scope.items[mark:] = [item(join.alias.aliasname, renamed(star, strings(join.alias.colnames)))]
            return list(scope.items[-1].columns or ())
        if join.HasField("join_using_alias"):
            scope.items.append(item(join.join_using_alias.aliasname, merged))
        return star

    @staticmethod
    def _maybe(found: Item, taint: Taint) -> Item:
        """What an outer join may fill with NULLs, by what it compares."""
        columns = None if found.columns is None else tuple(tainted(found.columns, taint))
        return Item(found.alias, columns, found.whole | taint, found.schema, found.masked)

    def _equal(self, name: str, left: Sequence[Output], right: Sequence[Output]) -> bool:
        """Whether both sides' columns of that name may be compared."""
        sides = [[c for c in side if c.name == name] for side in (left, right)]
        return all(len(side) == 1 for side in sides) and self._comparing(*(side[0] for side in sides))

    @staticmethod
    def _merged(name: str, left: Sequence[Output], right: Sequence[Output]) -> Output:
        both = [c for c in (*left, *right) if c.name in (name, "?")]
        return Output(name, union(c.taint for c in both))

    # values

    def value(self, node: Message, scope: Scope) -> Taint:
        """What an expression is made of."""
        inside = unwrap(node)
        if inside.__class__ in CONSTANTS:
            return CLEAN
        read = self._READERS.get(type(inside).__name__)
        taint = read(self, inside, scope) if read is not None else self._children(inside, scope)
        return taint | UNKNOWN if self._strict and self._opaque(inside) else taint

    def _children(self, message: Message, scope: Scope) -> Taint:
        return union([self.value(child, scope) for child, _field, _node in children(message)])

    def _lost(self) -> Taint:
        return UNKNOWN if self._strict else CLEAN

    def _decided(self, before: int) -> Taint:
        """The masked columns that decided something since there were so many uses."""
        return hidden(union(use.taint for use in self.uses[before:]))

    def _use_all(self, where: str, columns: Sequence[Output]) -> None:
        """Several columns that are compared, each with its like."""
        for taint in [c.taint for c in columns] if self._strict else [union(c.taint for c in columns)]:
            self._use(where, taint)

    def _use(self, where: str, taint: Taint) -> None:
        if taint and (self._strict or Use(where, taint) not in self.uses):
            self.uses.append(Use(where, taint))  # strict readers count from where they were: the same again is not nothing

    def _column_ref(self, ref: tree.ColumnRef, scope: Scope) -> Taint:
        star = self._star(ref, scope)
        if star is not None:
            return union(c.taint for c in star)
        names = strings(ref.fields)
        if len(names) == 1:
            found = scope.column(names[0])
            if found is None:
                return self._missing(names[0], scope.systemic(), scope)
            return found.taint
        source = scope.named(names[-2], names[-3] if len(names) > 2 else "")
        if source is None:
            return self._lost()
        column = source.find(names[-1])
        return column.taint if column is not None else self._missing(names[-1], source, scope)

    def _missing(self, name: str, source: Item | None, scope: Scope) -> Taint:
        """Not a column: a system column, or t.f meaning f(t), or nothing."""
        if name in SYSTEM_COLUMNS:
            if source is not None and source.masked:
                self._use("a system column", frozenset({f"{source.alias}.{name}"}))
            return CLEAN
        return (source.whole if source is not None else CLEAN) | self._lost()

    def _sublink(self, link: tree.SubLink, scope: Scope) -> Taint:
        before = len(self.uses)
        outputs = self.query(unwrap(link.subselect), scope)
        taint = self._lost() if outputs is None else union(o.taint for o in outputs)
        if link.sub_link_type == tree.EXISTS_SUBLINK:
            taint = CLEAN
        if link.HasField("testexpr"):
            taint |= self.value(link.testexpr, scope)
            self._use("IN or a comparison with a sub-select", taint)
        return taint | self._decided(before)

    def _operator(self, expression: tree.A_Expr, scope: Scope) -> Taint:
        if expression.location in self._settled:
            return CLEAN
        if expression.kind == tree.AEXPR_OP and strings(expression.name)[-1] in ("=", "<>"):
            if self._compares(expression.lexpr, scope, expression.rexpr):
                return CLEAN
        return self._children(expression, scope)

    def _compares(self, node: tree.Node, scope: Scope, other: tree.Node | None = None) -> bool:
        """Whether it is a column that may be compared with itself, or with that other one."""
        nodes = [node, node if other is None else other]
        return self._comparing(*(self._plain_column(unwrap(n), scope) for n in nodes))

    def _comparing(self, one: Output | None, other: Output | None) -> bool:
        if one is None or other is None or one.taint != {one.plain} or other.taint != {other.plain}:
            return False
        kind = self._comparable.get(one.plain)
        if not kind or self._comparable.get(other.plain) != kind:
            return False
        self.compared |= {one.plain, other.plain}
        return True

    def _function(self, call: tree.FuncCall, scope: Scope) -> Taint:
        name = last_name(call)
        counted = name == "count" and call.agg_distinct and len(call.args) == 1 and self._compares(call.args[0], scope)
        taint = CLEAN if counted else union(self.value(a, scope) for a in call.args)
        if call.agg_distinct:
            self._use(f"{name}(DISTINCT)", taint)
        for sort in call.agg_order:
            order = self.value(unwrap(sort).node, scope)
            self._use(f"{name}(ORDER BY)", order)
            taint |= order
        before = len(self.uses)
        self._tests("FILTER", call, "agg_filter", scope)
        if call.HasField("over"):
            self._window(call.over, scope)
            self._window(scope.windows.get(call.over.name or call.over.refname), scope)
        if self._strict:
            taint |= self._decided(before) | self._chosen(name)
        if taint and any(f.returns_set for f in self._names.snapshot.by_function_name.get(name, ())):
            self._use(f"{name}(), which returns rows,", taint)
        if name == "count" and taint <= self._nulls:
            return CLEAN
        return taint

    def _chosen(self, name: str) -> Taint:
        return frozenset({f"{OTHER}{name}()"}) if name in self._answering else CLEAN

    def _window(self, window: tree.WindowDef | None, scope: Scope) -> None:
        if window is None:
            return
        if window.refname and window.name:
            self._window(scope.windows.get(window.refname), scope)
        for node in window.partition_clause:
            if not self._compares(node, scope):
                self._use("PARTITION BY", self.value(node, scope))
        for node in window.order_clause:
            self._use("a window's ORDER BY", self.value(unwrap(node).node, scope))
        for bound in ("start_offset", "end_offset"):
            self._use("a window's frame", self._optional(window, bound, scope))

    def _case(self, case: tree.CaseExpr, scope: Scope) -> Taint:
        subject = self._optional(case, "arg", scope)
        tests = [subject | self.value(unwrap(w).expr, scope) for w in case.args]
        tested = union(tests)
        for taint in tests if self._strict else [tested]:
            self._use("CASE", taint)
        results = union(self.value(unwrap(w).result, scope) for w in case.args)
        return tested | results | self._optional(case, "defresult", scope)

    def _null_test(self, test: tree.NullTest, scope: Scope) -> Taint:
        taint = self.value(test.arg, scope)
        plain = isinstance(unwrap(test.arg), tree.ColumnRef)
        return CLEAN if plain and not self._strict and taint <= self._nulls else taint

    def _indirection(self, value: tree.A_Indirection, scope: Scope) -> Taint:
        """`(t).column` is that column; anything else is made of the whole and its subscripts."""
        star = self._star(value, scope)
        if star is not None:
            return union(c.taint for c in star)
        inside, steps = unwrap(value.arg), [unwrap(n) for n in value.indirection]
        if (
            isinstance(inside, tree.ColumnRef)
            and len(names := strings(inside.fields)) == 1
            and isinstance(steps[0], tree.String)
        ):
            source = scope.named(names[0])
            if source is not None and not any(i.find(names[0]) for i in scope.items):
                column = source.find(steps[0].sval)
                return column.taint if column is not None else self._missing(steps[0].sval, source, scope)
        return self._children(value, scope)

    def _subquery(self, statement: tree.SelectStmt, scope: Scope) -> Taint:
        outputs = self.query(statement, scope)
        return self._lost() if outputs is None else union(o.taint for o in outputs)

    _READERS: dict[str, Callable[..., Taint]] = {
        "ColumnRef": _column_ref,
        "SubLink": _sublink,
        "FuncCall": _function,
        "A_Expr": _operator,
        "CaseExpr": _case,
        "NullTest": _null_test,
        "A_Indirection": _indirection,
        "SelectStmt": _subquery,
    }
