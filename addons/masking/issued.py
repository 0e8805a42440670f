"""
A write by somebody who sees a column as it is, to the masks among what it would put there: an export that somebody else
made, saved back by a job with clear access, would take the real values' place.

What is assigned as a literal or parameter, or as a concatenation of such, must be exactly a mask of exactly that column; what is
assigned from elsewhere in the statement (VALUES, a sub-select, an array, json) is looked for there. What EXECUTE passes is taken for
what may be written. Values count, however they are spelt: the grammar decodes E'' and U&'', and what json and arrays escape is decoded here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.marks import Marked, Marks, Written
from addons.masking.strategies import MASK
from addons.sql.flux import changed
from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from addons.sql.resolve import children
from protocols.command import Statement

_Write = tree.InsertStmt | tree.UpdateStmt | tree.MergeStmt
_WRITES = (tree.InsertStmt, tree.UpdateStmt, tree.MergeStmt)
_CONDITIONS = frozenset({"where_clause", "having_clause", "quals", "join_condition", "condition"})
_ASSIGNING = frozenset({"target_list", "cols", "merge_when_clauses", "on_conflict_clause"})
_LITERAL = re.compile(r"'(\*\*\*[^']*)'")
_BETWEEN = re.compile(r'[\s"{}\[\](),:]+')
_WRITING = ("insert", "update", "merge", "execute", "stdin")
_LENGTH = 4  # bytes in front of an element of an array in binary
_SHORT = 64  # bytes of a parameter that may be a part of a mask
_STARS = len(MASK)
_ESCAPED = re.compile(r"\\+(?:x2a|[0-7]?52|u?002a|\+00002a|u0000002a|(?=\*))", re.IGNORECASE)  # in a text whose literals nobody decoded
_STRING = re.compile(
    r"""--[^\n]*|/\*.*?(?:\*/|\Z)|"(?:[^"]|"")*(?:"|\Z)|(?P<tag>\$\w*\$)(?P<body>.*?)(?:(?P=tag)|\Z)|[eE]'(?P<escaped>(?:[^'\\]|\\.|'')*)'|'(?P<plain>(?:[^']|'')*)'""",
    re.DOTALL,
)
_JSON_STAR = re.compile(r"\\+u002a", re.IGNORECASE)
_QUOTING = re.compile(r'\\(.)|"', re.DOTALL)

Bound = Mapping[int, bytes]
"""Parameters that hold something like a mask, or may be a part of one, by number."""


def may_save(text: str) -> bool:
    """Whether `issued` may find one, whatever the values are: one of these words stands in every text that writes."""
    lower = text.lower()
    return any(word in lower for word in _WRITING)


def suspected(statement: Statement) -> bool:
    """Whether any mask could be in it, however it is spelt: a search of its bytes. Without escapes it has as many asterisks."""
    text = statement.text
    if "\\" in text or "&'" in text:
        return True
    if not statement.parameters:
        return text.count("*") >= _STARS
    values = b"\0".join([p.value for p in statement.parameters if isinstance(p.value, bytes)])
    return text.count("*") + values.count(b"*") >= _STARS or b"\\" in values


def issued(statement: Statement, marks: Marks) -> str:
    """The column that a mask of its own would be written to; "" for none."""
    return issued_in(statement.text, statement.prepared, bound_masks(statement), marks)


def bound_masks(statement: Statement) -> dict[int, bytes]:
    """Parameters that hold something like a mask, or may be a part of one, by number."""
    return {n: p.value for n, p in enumerate(statement.parameters, 1) if isinstance(p.value, bytes) and (len(p.value) <= _SHORT or _starry(p.value))}


def _starry(value: bytes) -> bool:
    return value.count(b"*") >= _STARS or b"\\" in value


def issued_in(text: str, prepared: Mapping[str, str | None], bound: Bound, marks: Marks) -> str:
    """As `issued`, of what that looks at."""
    try:
        return _issued(parse(text), prepared, bound, marks)
    except Unparsable:
        return _unread(text, bound, marks)


def _unread(text: str, bound: Bound, marks: Marks) -> str:
    """Of what is not read here, and the target may yet take: each value in it may be for any column of the relations that it names."""
    meant = marks.every if "execute" in text.lower() else marks.named_in(text)
    written = (found["body"] or found["escaped"] or found["plain"] or "" for found in _STRING.finditer(text)) if meant else ()
    values = [_unescaped(each).replace("''", "'").encode("utf-8", "replace") for each in written]
    return _fitting(meant, (told for value in (*values, *bound.values()) for told in _values(value)))


def _unescaped(text: str) -> str:
    """With asterisks in the place of what may be escapes of such."""
    return _ESCAPED.sub(lambda found: "" if found[0].endswith("\\") else "*", text) if "\\" in text else text


def _issued(parsed: Parsed, prepared: Mapping[str, str | None], bound: Bound, marks: Marks) -> str:
    marks = marks.behind(map(changed, parsed.statements))
    for one in parsed.statements:
        if isinstance(one, tree.ExecuteStmt):
            label = _executed(one, prepared, bound, marks)
            if label:
                return label
        for write in (node for node in walk(one) if isinstance(node, _WRITES)):
            label = _saved(write, one, bound, marks.of(write.relation), parsed.text if parsed.sampled else "")
            if label:
                return label
    return ""


def _executed(execute: tree.ExecuteStmt, prepared: Mapping[str, str | None], bound: Bound, marks: Marks) -> str:
    """By what the protocol prepared under that name; what SQL did may be anything that writes."""
    plain, inside = _given(execute, bound)
    if (known := prepared.get(execute.name)) is not None:
        meant = parse(known)
        tried = [plain or bound, *({**plain, n: text.encode()} for n, text in inside)]
        return next((label for given in tried if (label := _issued(meant, {}, given, marks))), "")
    values = [text for value in (plain or bound).values() for text in _values(value)]
    return _fitting(marks.every, [*values, *(text for _, text in inside)])


def _given(execute: tree.ExecuteStmt, bound: Bound) -> tuple[dict[int, bytes], list[tuple[int, str]]]:
    """What it passes, by number: what is a value as it stands, and masks that something else is made of."""
    plain: dict[int, bytes] = {}
    inside: list[tuple[int, str]] = []
    for n, node in enumerate(execute.params, 1):
        value = _constant(node, bound)
        if value is not None:
            plain[n] = value
        else:
            found = (text for part in walk(node) for text in _texts(part, bound, contained=True))
            inside += [(n, text) for text in found if text.startswith(MASK)]
    return plain, inside


def _saved(write: _Write, statement: Message, bound: Bound, written: Written, sampled: str) -> str:
    """:param sampled: a text so long that its trees hold only some of its literals; "" for others."""
    if not written.columns and not written.hidden:
        return ""
    if sampled:
        literals = _LITERAL.findall(_unescaped(sampled))
        return next((m.label for m in (*written.all, *written.hidden) if any(map(m.fits, literals))), "")
    elsewhere: list[str] | None = None
    for column, node in _assigned(write, written):
        meant = written.at(column)
        if not meant:
            continue
        if _plain(node) or _constant(node, bound) is not None:
            values = _texts(node, bound)
        else:
            elsewhere = list(_carried(statement, bound)) if elsewhere is None else elsewhere
            values = [*(value for inside in walk(node) for value in _texts(inside, bound, contained=True)), *elsewhere]
        if label := _fitting(meant, values):
            return label
    return ""


def _fitting(marks: Marked, values: Iterable[str]) -> str:
    values = list(values)
    return next((mark.label for mark in marks if any(map(mark.fits, values))), "")


def _assigned(write: _Write, written: Written) -> Iterator[tuple[str, Message]]:
    """Column ("" where that is not known) and the expression that becomes its value."""
    if isinstance(write, tree.UpdateStmt):
        yield from _set(write.target_list)
    elif isinstance(write, tree.MergeStmt):
        for clause in map(unwrap, write.merge_when_clauses):
            if clause.command_type == tree.CMD_INSERT:
                yield from _row([unwrap(n).name for n in clause.target_list], clause.values, written)
            elif clause.command_type == tree.CMD_UPDATE:
                yield from _set(clause.target_list)
    else:
        yield from _set(write.on_conflict_clause.target_list)
        yield from _selected(unwrap(write.select_stmt), [unwrap(n).name for n in write.cols], written)


def _selected(select: Message, names: Sequence[str], written: Written) -> Iterator[tuple[str, Message]]:
    if not isinstance(select, tree.SelectStmt):
        return
    if select.op != tree.SETOP_NONE:
        yield from _selected(select.larg, names, written)
        yield from _selected(select.rarg, names, written)
    elif select.values_lists:
        for row in select.values_lists:
            yield from _row(names, unwrap(row).items, written)
    else:
        values = [unwrap(node).val for node in select.target_list]
        starred = any(isinstance(m, tree.A_Star) for value in values for m in walk(value))
        yield from (("", value) for value in values) if starred else _row(names, values, written)


def _row(names: Sequence[str], values: Iterable[Message], written: Written) -> Iterator[tuple[str, Message]]:
    """Values in order; without names as the relation has its columns, if that is known."""
    yield from ((name or "", value) for name, value in zip_longest(names or written.order or (), values) if value is not None)


def _set(targets: Sequence[tree.Node]) -> Iterator[tuple[str, Message]]:
    for target in map(unwrap, targets):
        source = unwrap(target.val)
        if isinstance(source, tree.MultiAssignRef):
            inside = unwrap(source.source)
            yield target.name, inside.args[source.colno - 1] if isinstance(inside, tree.RowExpr) else inside
        else:
            yield target.name, target.val


def _plain(node: Message) -> bool:
    """A literal or a parameter, also under casts."""
    inside = unwrap(node)
    while isinstance(inside, tree.TypeCast):
        inside = unwrap(inside.arg)
    return isinstance(inside, (tree.A_Const, tree.ParamRef))


def _texts(node: Message, bound: Bound, *, contained: bool = False) -> Iterator[str]:
    """What a literal or parameter, or a concatenation of such, says; `contained`, also what an array or json in it says."""
    value = _constant(node, bound)
    if value is not None:
        yield from _values(value) if contained else (value.decode("utf-8", "replace"),)


def _constant(node: Message, bound: Bound) -> bytes | None:
    """The text of a literal or parameter, also under casts, and of what is put together of such; None for others."""
    inside = unwrap(node)
    while isinstance(inside, tree.TypeCast):
        inside = unwrap(inside.arg)
    if isinstance(inside, tree.A_Const):
        kind = inside.WhichOneof("val")
        return inside.sval.sval.encode() if kind == "sval" else str(inside.ival.ival).encode() if kind == "ival" else None
    if isinstance(inside, tree.ParamRef):
        return bound.get(inside.number)
    if isinstance(inside, tree.A_Expr) and inside.kind == tree.AEXPR_OP and _last(inside.name) == "||":
        return _joined((inside.lexpr, inside.rexpr), bound)
    if isinstance(inside, tree.FuncCall) and _last(inside.funcname) == "concat":
        return _joined([n for n in inside.args if not getattr(unwrap(n), "isnull", False)], bound)
    return None


def _joined(nodes: Iterable[Message], bound: Bound) -> bytes | None:
    parts = [_constant(node, bound) for node in nodes]
    return None if None in parts else b"".join(part for part in parts if part is not None)


def _last(name: Sequence[tree.Node]) -> str:
    return unwrap(name[-1]).sval if name else ""


def _values(value: bytes) -> Iterator[str]:
    """A value's own text, and that of each that it contains: json, an array or a row in text, an array in binary."""
    text = value.decode("utf-8", "replace")
    yield text
    if text == MASK or not _starry(value):
        return
    inside = text.lstrip("\1 \t\r\n")  # binary jsonb begins with its version
    if inside[:1] in ("{", "[", "(", '"'):
        try:
            yield from _strings(json.loads(inside))
        except (ValueError, RecursionError):
            yield from _BETWEEN.split(inside)
            yield from _BETWEEN.split(_QUOTING.sub(r"\1", _JSON_STAR.sub("*", inside)))
    for found in re.finditer(rb"\*\*\*", value):
        length = int.from_bytes(value[max(found.start() - _LENGTH, 0) : found.start()], "big")
        yield value[found.start() : found.start() + min(length, _SHORT)].decode("utf-8", "replace")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _strings(each)


def _carried(message: Message, bound: Bound) -> Iterator[str]:
    """What literals and parameters of a statement may come to be read from: not its conditions, nor what it assigns directly."""
    for child, field, _node in children(message):
        if field in _CONDITIONS or isinstance(message, _WRITES) and field in _ASSIGNING:
            continue
        yield from _texts(child, bound, contained=True)
        yield from _carried(child, bound)
