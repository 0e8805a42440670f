"""
A statement's tree with sub-selects in the place of some relations, and the text of it, proven by parsing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.naming import strings
from addons.sql.parse import Unparsable, parse, unwrap, walk, written
from addons.sql.resolve import Reference, children, references
from addons.sql.shape import alike

Replacement = Callable[[Reference], str | None]
"""The SELECT to put in a reference's place, or None to leave it."""

def rewritten(result: tree.ParseResult, change: Callable[[int, Message], None]) -> str:
    """
    The text of the statements once `change(index, statement)` was made to each, where they stand.

    :raises Unparsable: libpg_query cannot write the tree, or reads its own text differently.
    """
    for index, raw in enumerate(result.stmts):
        change(index, unwrap(raw.stmt))
        raw.ClearField("stmt_location")  # of the client's text; a lone statement has none in what is written
        raw.ClearField("stmt_len")
    data = result.SerializeToString()
    text = written(data)
    if not alike(parse(text).data(), data):
        raise Unparsable("the rewritten statement does not read back as meant")
    return text


def put_sources(
    statement: Message, replace: Replacement, settled: Collection[int] = (), named: Sequence[Reference] | None = None
) -> None:
    """
    Replace sources. Aliases stay; a relation without one keeps its name as one.

    :param settled: where comparisons stand that the sources make already; TRUE takes their place.
    :param named: its `references`, when they are known already.
    :raises Unparsable: no sub-select may stand there.
    """
    _settle(statement, settled)
    put = [(reference, text) for reference in (references(statement) if named is None else named) if (text := replace(reference)) is not None]
    gone = {reference.name.relname for reference, _text in put if not reference.name.HasField("alias")}
    if gone:  # before there is more to look through: the sub-selects name columns by themselves
        _unqualify(statement, gone)
    for reference, text in put:
        _put(reference, text)


def _settle(statement: Message, settled: Collection[int]) -> None:
    waiting = [statement] if settled else []
    while waiting:
        for child, _field, node in children(waiting.pop()):
            if node is not None and isinstance(child, tree.A_Expr) and child.location in settled:
                node.a_const.boolval.boolval = True
            else:
                waiting.append(child)


def _put(reference: Reference, text: str) -> None:
    if reference.node is None:
        raise Unparsable("no sub-select may stand there")
    name = reference.name
    alias = name.alias if name.HasField("alias") else tree.Alias(aliasname=name.relname)
    data = alias.SerializeToString()  # the name goes where the sub-select comes
    source = reference.node.range_subselect
    source.subquery.select_stmt.MergeFromString(_select(text))
    source.alias.MergeFromString(data)


@lru_cache(maxsize=512)
def _select(text: str) -> bytes:
    """A SELECT's tree."""
    return parse(text).statements[0].SerializeToString()


def _unqualify(statement: Message, gone: Collection[str]) -> None:
    """`schema.table.column` to `table.column`: a sub-select has no schema. :param gone: relations' names."""
    for ref in walk(statement):
        if isinstance(ref, tree.ColumnRef) and len(ref.fields) > 2:
            star = not isinstance(unwrap(ref.fields[-1]), tree.String)
            path = strings(ref.fields)
            table = path[-1] if star else path[-2]
            if table in gone:
                del ref.fields[: len(ref.fields) - 2]
