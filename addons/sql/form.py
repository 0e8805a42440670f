"""
The form of a query's text: the same text with its plain literals as parameters, as a driver would have prepared it.

Drivers that put values into the text make each query another text. What holds of the form for whatever values holds of
the text, so where the form is simply allowed its texts are, and only the form is judged. Where it is not, the text is
judged as it is written: there its literals may matter.

A literal is replaced only where it can be nothing but a value: an integer of up to nine digits, which is an int4, and a
quoted string without a prefix. After ORDER, GROUP and DISTINCT an integer may be a column's position, so texts with these
keep theirs. The first text of a form is parsed too: its tree must be the form's, constants in place of parameters. Those
that come later have the same tokens, hence that tree again.
Source: PostgreSQL 18 manual, 4.1 "Lexical Structure"; SELECT, "ORDER BY clause" and "GROUP BY clause".
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import lru_cache
from typing import NamedTuple

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from protocols.command import Path, Statement

LONGEST = 4096
"""Characters; what is longer is mostly data, of which hardly any two have one form."""

_KEPT = 4096  # forms
_INT4, _UNKNOWN = 23, 0  # OIDs; a string without a cast has the type that its place asks for
_TOKENS = re.compile(
    r"""
      (?P<text> '[^'\\]*(?:''[^'\\]*)*' )
    | (?P<int> (?<![-.\w]) [0-9]{1,9} (?![.\w]) )
    | (?P<parameter> (?<!\w)\$[0-9]+(?!\w) )
    | "[^"]*"
    | (?P<odd> --|/\*|[$\\'"]|[^\x00-\x7f]|\w&?(?=['"]) )   # what may hide a quote, and strings of other kinds
    """,
    re.VERBOSE | re.ASCII,
)
_LITERALS = {"text": r"(?>'[^'\\]*(?:''[^'\\]*)*')", "int": r"(?>[0-9]{1,9})"}
_POSITIONS = re.compile("order|group|distinct", re.IGNORECASE)
_WRITING = (tree.InsertStmt, tree.UpdateStmt, tree.DeleteStmt, tree.MergeStmt, tree.IntoClause)
_PLACES = frozenset("location stmt_location stmt_len list_start list_end rexpr_list_start rexpr_list_end".split())


class Form(NamedTuple):
    """
    :ivar types: of its parameters, OIDs. :ivar literals: as the text has them, in the parameters' places.
    """

    text: str
    types: tuple[int, ...]
    literals: tuple[str, ...]


def form(statement: Statement) -> Statement | None:
    """
    The statement with the form's text and types; None where it has none that may stand for it.

    Only of one SELECT that writes nothing, in the simple protocol.
    """
    if statement is not _last[0]:  # several addons ask for it, one after the other
        found, s = _form_of(statement), statement
        formed = None if found is None else Statement(
            found.text, s.path, s.parameters, s.name, s.portal, s.transaction, s.pipelined, s.settings, s.prepared, found.types
        )  # fmt: skip
        _last[:] = statement, formed
    return _last[1]


_last: list[Statement | None] = [None, None]  # what was asked last, and its form


def kin(text: str) -> re.Pattern[bytes] | None:
    """
    What texts match that differ from this one in plain literals only, and so have its form; None where it has none. Each literal is
    matched as `_TOKENS` does it, once and as far as it goes, so that the tokens around it are the same.
    """
    parts, at = [], 0
    whole = _POSITIONS.search(text) is None
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind in ("odd", "parameter"):
            return None
        if kind == "text" or (kind == "int" and whole):
            parts += (re.escape(text[at:token.start()]), _LITERALS[kind])
            at = token.end()
    return re.compile("".join((*parts, re.escape(text[at:]))).encode("ascii"))


def filled(text: str, statement: Statement) -> str | None:
    """
    What was made of the statement's form, with the statement's literals in it again; None where that cannot be told.

    The tree of what comes out is that of `text` with constants for parameters, as it is with the form itself.
    """
    found, parts, at = _form_of(statement), [], 0
    if found is None:
        return None
    for token in _TOKENS.finditer(text):
        if token.lastgroup == "parameter":
            parts += (text[at:token.start()], found.literals[int(token[0][1:]) - 1])
            at = token.end()
        elif token.lastgroup == "odd":
            return None
    return "".join((*parts, text[at:]))


def _form_of(statement: Statement) -> Form | None:
    if statement.path is not Path.SIMPLE or len(statement.text) > LONGEST:
        return None
    return _formed(statement.text)


@lru_cache(maxsize=1024)  # several addons ask for it in turn, and known texts come again
def _formed(text: str) -> Form | None:
    parts: list[str] = []
    literals: list[str] = []
    types: list[int] = []
    at, whole = 0, _POSITIONS.search(text) is None
    for token in _TOKENS.finditer(text):
        kind = token.lastgroup
        if kind in ("odd", "parameter"):
            return None
        if kind == "text" or (kind == "int" and whole):
            types.append(_UNKNOWN if kind == "text" else _INT4)
            literals.append(token[0])
            parts += (text[at:token.start()], f"${len(types)}")
            at = token.end()
    if not types:
        return None
    found = Form("".join((*parts, text[at:])), tuple(types), tuple(literals))
    known = found[:2]
    stands = _stands.get(known)
    if stands is None:
        stands = _stands[known] = _may_stand(found.text, text)
        if len(_stands) > _KEPT:
            _stands.popitem(last=False)
    return found if stands else None


_stands: OrderedDict[tuple[str, tuple[int, ...]], bool] = OrderedDict()


def _may_stand(written: str, text: str) -> bool:
    try:
        parsed, first = parse(written), parse(text)
    except Unparsable:
        return False
    return _reads(parsed) and len(first.statements) == 1 and _alike(first.statements[0], parsed.statements[0])


def _reads(parsed: Parsed) -> bool:
    """Whether it is one SELECT that writes nothing."""
    only = parsed.statements[0] if len(parsed.statements) == 1 else None
    return isinstance(only, tree.SelectStmt) and not any(isinstance(one, _WRITING) for one in walk(only))


def _alike(text: Message, written: Message) -> bool:
    """Whether two trees are one, but for constants of the first that are parameters of the second."""
    waiting = [(text, written)]
    while waiting:
        one, other = map(unwrap, waiting.pop())
        if isinstance(one, tree.A_Const) and isinstance(other, tree.ParamRef) and one.WhichOneof("val") in ("ival", "sval"):
            continue
        if type(one) is not type(other):
            return False
        fields, others = _fields(one), _fields(other)
        if len(fields) != len(others):
            return False
        for (field, value), (other_field, other_value) in zip(fields, others, strict=True):
            if field is not other_field and field.name != other_field.name:
                return False
            if field.message_type is None:
                same = value == other_value
            elif field.is_repeated:
                same = len(value) == len(other_value)
                waiting.extend(zip(value, other_value))
            else:
                same = True
                waiting.append((value, other_value))
            if not same:
                return False
    return True


def _fields(message: Message) -> list:
    return [(field, value) for field, value in message.ListFields() if field.name not in _PLACES]
