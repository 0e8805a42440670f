"""
RETURNING of a write on a relation with masked columns: masks take their place, in a list that names every column.

Only a column as it stands, and stars; an expression over a masked column stays what it is, and is refused as one.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.cover import Cover, Masked
from addons.masking.strategies import expression, quoted
from addons.sql.catalog import Column, Relation
from addons.sql.naming import strings
from addons.sql.parse import parse, unwrap

Targets = tuple[tree.Node, ...]


class Returning:
    """
    One statement's list.

    :ivar kept: its entries that nothing was put in the place of.
    :ivar targets: all of them as they are to be sent; None when `kept` is all there was.
    :ivar read: labels of masked columns whose masks tell NULL from a value, and so read them.
    """

    def __init__(self, statement: Message, relation: Relation, cover: Cover) -> None:
        name = statement.relation
        self._alias = name.alias.aliasname or name.relname
        self._alone = not (getattr(statement, "from_clause", ()) or getattr(statement, "using_clause", ()) or isinstance(statement, tree.MergeStmt))
        self._relation, self._cover = relation, cover
        self._masked = cover.relations.get(relation.oid, {})
        self.read: set[str] = set()
        listed = statement.returning_clause.exprs
        plain = not statement.returning_clause.options  # OLD and NEW under other names: nobody here follows them
        shown = [self._shown(node) if plain else None for node in listed]
        self.kept: Targets = tuple(node for node, put in zip(listed, shown, strict=True) if put is None)
        sent = [one for node, put in zip(listed, shown, strict=True) for one in (put if put is not None else (node,))]
        self.targets: Targets | None = tuple(sent) if len(self.kept) < len(listed) else None

    def _shown(self, node: tree.Node) -> Targets | None:
        """What stands in an entry's place; None for the entry itself."""
        target = unwrap(node)
        value = unwrap(target.val)
        if not isinstance(value, tree.ColumnRef):
            return None
        path = strings(value.fields)
        if isinstance(unwrap(value.fields[-1]), tree.A_Star):
            mine = path == [self._alias] or (not path and self._alone)
            return tuple(self._all()) if mine else None
        if path[:-1] != [self._alias] and not (len(path) == 1 and self._alone):
            return None
        masked = self._masked.get(path[-1])
        return (self._mask(masked, target.name or path[-1]),) if masked is not None else None

    def _all(self) -> Iterator[tree.Node]:
        for column in self._relation.columns:
            masked = self._masked.get(column.name)
            yield self._column(column) if masked is None else self._mask(masked, column.name)

    def _column(self, column: Column) -> tree.Node:
        return _entry(f"{quoted(self._alias)}.{quoted(column.name)}")

    def _mask(self, masked: Masked, name: str) -> tree.Node:
        if masked.label in self._cover.nulls:
            self.read.add(masked.label)
        text = expression(masked.column, masked.strategy, self._cover.snapshot, of=self._alias)
        return _entry(f"{text} AS {quoted(name)}")


def _entry(text: str) -> tree.Node:
    return parse(f"SELECT {text}").statements[0].target_list[0]
