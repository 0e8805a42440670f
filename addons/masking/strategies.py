"""
A strategy and a column's type, to the SQL expression that masks it at its source, and to the cell that masks
it on the wire.

Every function and operator is written with its schema, so that a session's search_path cannot put
another in its place. NULL stays NULL where the type can show a mask; other types become NULL.
"""

from __future__ import annotations

from addons.masking.declared import Strategy
from addons.sql.catalog import Column, Snapshot
from protocols.result import NULL, CellMask

MASK = "***"
VIEWS = "ostiary"  #: the schema of the floor's views on a target

_TEXTS = frozenset({25, 1043, 1042, 19})  #: text, varchar, bpchar, name
_BINARY_TEXTS = _TEXTS | {705}  #: unknown too: their binary form is their text
_EXACT = frozenset({16, 20, 21, 23, 25, 1042, 1082, 1114, 1184, 2950})
"""Types whose values are equal exactly when their texts are: bool, int2 to int8, texts, dates and times, uuid."""
_SAME = {21: 20, 23: 20, 1043: 25}  #: int2 and int4 are written as int8 is, varchar as text
_DATES = frozenset({1082, 1114, 1184})  #: date, timestamp, timestamptz


def textual(type_oid: int, snapshot: Snapshot) -> bool:
    """Whether a type can show "***": text's own family, string-like base types such as citext, domains over them."""
    type_oid = snapshot.base_type(type_oid)
    kind = snapshot.types.get(type_oid)
    return type_oid in _TEXTS or kind is not None and kind.kind == "b" and kind.category == "S"


def shows_null(column: Column, strategy: Strategy, snapshot: Snapshot) -> bool:
    """Whether the masked column is NULL exactly where the raw one is."""
    if strategy.kind == "date":
        return snapshot.base_type(column.type_oid) in _DATES
    return strategy.kind in ("redact", "partial") and textual(column.type_oid, snapshot)


def comparable(column: Column, snapshot: Snapshot) -> int:
    """
    What a surrogate of the column may be compared with: others of the same number; 0 when its equality is not its text's.

    Not what somebody could have filled with a guess, as a default or a trigger may do for them.
    """
    kind = snapshot.base_type(column.type_oid)
    return 0 if column.filled or column.loose else _SAME.get(kind, kind if kind in _EXACT else 0)


def surrogate(column: Column, key: str) -> str:
    """SQL of a text that is the same for equal values and tells nothing of them without the key; NULL for NULL."""
    text = f"CAST({quoted(column.name)} AS pg_catalog.text) OPERATOR(pg_catalog.||) '{key}'"
    return f"pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({text}, 'UTF8')), 'hex')"


def problem(column: Column, strategy: Strategy, snapshot: Snapshot) -> str:
    """Why a declared strategy does not fit a column's type; "" when it does."""
    if strategy.kind == "partial" and not textual(column.type_oid, snapshot):
        return f'"partial" is for text, and {column.name} is {column.type_name}'
    if strategy.kind == "date" and column.type_oid not in _DATES:
        return f'"date" is for dates and timestamps, and {column.name} is {column.type_name}'
    return ""


def expression(column: Column, strategy: Strategy, snapshot: Snapshot, of: str = "") -> str:
    """SQL of the column's own type; the column is named bare, for use in a SELECT FROM its relation, or `of` an alias."""
    name, kind = (f"{quoted(of)}." if of else "") + quoted(column.name), _cast(column, snapshot)
    if not shows_null(column, strategy, snapshot):
        return f"CAST(NULL AS {kind})"
    if strategy.kind == "date":
        return f"CAST(pg_catalog.date_trunc('year', {name}) AS {kind})"
    mask = f"CAST('{MASK}' AS {kind})"
    if strategy.kind == "partial":
        text, keep = f"CAST({name} AS pg_catalog.text)", strategy.keep
        # Half of a short value would be most of it, so a value shorter than twice `keep` shows nothing.
        mask = (
            f"CAST(CASE WHEN pg_catalog.length({text}) OPERATOR(pg_catalog.>=) {2 * keep}"
            f" THEN '{MASK}' OPERATOR(pg_catalog.||) pg_catalog.right({text}, {keep}) ELSE '{MASK}' END AS {kind})"
        )
    return f"CASE WHEN {name} IS NULL THEN NULL ELSE {mask} END"


def _cast(column: Column, snapshot: Snapshot) -> str:
    """The type to cast to: a domain's base, since its CHECK may refuse a mask; a pseudo-type's nearest real one."""
    kind = snapshot.types.get(column.type_oid)
    if column.type_oid in (2277, 2283):  # anyarray (statistics views), anyelement
        return "pg_catalog.text"
    if kind is None or kind.kind != "d":
        return column.type_name
    under = snapshot.types.get(snapshot.base_type(column.type_oid))
    return f"{quoted(under.schema)}.{quoted(under.name)}" if under is not None else "pg_catalog.text"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def cell(type_oid: int, snapshot: Snapshot) -> CellMask:
    """
    What takes the place of a cell on the wire: a constant where text and binary are the same
    bytes, else NULL, which every type has.
    """
    return MASK.encode() if snapshot.base_type(type_oid) in _BINARY_TEXTS else NULL
