"""
A statement's tree with sub-selects in the place of some relations, and the text of it, proven by parsing it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.naming import strings
from addons.sql.parse import Parsed, Unparsable, deparse, parse, unwrap, walk
from addons.sql.resolve import Reference, children, references

Replacement = Callable[[Reference], str | None]
"""The SELECT to put in a reference's place, or None to leave it."""

_POSITIONS = frozenset({"stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"}) | {
    field.name
    for kind in tree.DESCRIPTOR.message_types_by_name.values()
    for field in kind.fields
    if field.name.endswith("location")
}


def rewritten(parsed: Parsed, change: Callable[[int, Message], None]) -> str:
    """
    The text of the statements after `change(index, statement)` was made to a copy of each.

    :raises Unparsable: libpg_query cannot write the tree, or reads its own text differently.
    """
    result = parsed.copy()
    for index, raw in enumerate(result.stmts):
        change(index, unwrap(raw.stmt))
    text = deparse(result)
    if shape(parse(text).whole()) != shape(result):
        raise Unparsable("the rewritten statement does not read back as meant")
    return text


def put_sources(statement: Message, replace: Replacement, settled: Collection[int] = ()) -> None:
    """
    Replace sources. Aliases stay; a relation without one keeps its name as one.

    :param settled: where comparisons stand that the sources make already; TRUE takes their place.
    :raises Unparsable: no sub-select may stand there.
    """
    _settle(statement, settled)
    gone = {names for reference in references(statement) if (names := _put(reference, replace(reference)))}
    if gone:
        _unqualify(statement, gone)


def _settle(statement: Message, settled: Collection[int]) -> None:
    waiting = [statement] if settled else []
    while waiting:
        for child, _field, node in children(waiting.pop()):
            if node is not None and isinstance(child, tree.A_Expr) and child.location in settled:
                node.a_const.boolval.boolval = True
            else:
                waiting.append(child)


def _put(reference: Reference, text: str | None) -> tuple[str, str] | None:
    """Returns (schema, name) when the relation could also be named by its schema, in columns."""
    if text is None:
        return None
    if reference.node is None:
        raise Unparsable("no sub-select may stand there")
    name = reference.name
    source = tree.RangeSubselect()
    source.subquery.select_stmt.CopyFrom(parse(text).statements[0])
    if name.HasField("alias"):
        source.alias.CopyFrom(name.alias)
        named = None
    else:
        source.alias.aliasname = name.relname
        named = (name.schemaname, name.relname)
    reference.node.range_subselect.CopyFrom(source)
    return named


def _unqualify(statement: Message, gone: Iterable[tuple[str, str]]) -> None:
    """`schema.table.column` to `table.column`: a sub-select has no schema."""
    names = {name for _schema, name in gone}
    for ref in walk(statement):
        if isinstance(ref, tree.ColumnRef) and len(ref.fields) > 2:
            star = not isinstance(unwrap(ref.fields[-1]), tree.String)
            path = strings(ref.fields)
            table = path[-1] if star else path[-2]
            if table in names:
                del ref.fields[: len(ref.fields) - 2]


def shape(result: tree.ParseResult) -> bytes:
    """A tree without where in the text things stood: equal shapes mean the same statements."""
    bare = tree.ParseResult()
    bare.CopyFrom(result)
    _strip(bare)
    return bare.SerializeToString(deterministic=True)


def _strip(message: Message) -> None:
    """Recurses, for speed; protobuf has refused trees that are deeper than 100."""
    for field, value in message.ListFields():
        if field.message_type is None:
            if field.name in _POSITIONS and isinstance(value, int):  # a tablespace's location is text
                message.ClearField(field.name)
        elif field.is_repeated:
            for item in value:
                _strip(item)
        else:
            _strip(value)
