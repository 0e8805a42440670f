"""
SQL text to PostgreSQL's own parse tree, through libpg_query. Refuses what the server's grammar refuses.

Results are remembered by exact text: a fingerprint drops the literals that decisions rest on.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass

import postgast
from google.protobuf.message import DecodeError, Message
from postgast import pg_query_pb2 as tree

from addons.sql import native
from addons.sql.depth import too_deep
from addons.sql.thin import LONG, thin

STATEMENT_LIMIT = 1 << 20
"""Bytes of text. Larger ones are data in disguise, and a stranger's way to spend our time."""

_KEPT = 4096  # texts
_SAID_LENGTH = 200  # characters of the parser's own message
_KEPT_LENGTH = 64 << 10  # characters; of longer texts only the last two are kept
_SHORT = 4 << 10  # characters of a text whose tree is kept as bytes too: parsing those is ten times as fast as copying the tree


class Unparsable(Exception):
    """PostgreSQL's grammar does not accept it. `position` is 1-based in characters, 0 when unknown."""

    def __init__(self, why: str, position: int = 0) -> None:
        super().__init__(why)
        self.why, self.position = why, position

    def __reduce__(self) -> tuple[type[Unparsable], tuple[str, int]]:
        return Unparsable, (self.why, self.position)


@dataclass(frozen=True, slots=True)
class Parsed:
    """
    One string as the server would read it. Treat the trees as read-only: they are shared.

    :ivar statements: the statement nodes' own messages (SelectStmt, DropStmt, ...), in order; of a long text's data
        only a sample (`thin`).
    :ivar result: what holds them.
    :ivar sampled: whether data was taken out of it.
    :ivar kept: the whole tree's bytes, of a short text.
    """

    text: str
    statements: tuple[Message, ...]
    result: tree.ParseResult
    sampled: bool = False
    kept: bytes = b""

    def data(self) -> bytes:
        """The whole tree, serialised."""
        return self.kept or (native.parse(self.text) if self.sampled else self.result.SerializeToString())

    def copy(self) -> tree.ParseResult:
        """The whole tree, to change and `deparse`."""
        return tree.ParseResult.FromString(self.data())

    def own(self) -> Parsed:
        """The same in a tree that nobody shares: to look through, and then to change. A sampled one is still only for looking."""
        return self if self.sampled else of_tree(self.text, self.copy())


def of_tree(text: str, result: tree.ParseResult) -> Parsed:
    """A text with its tree."""
    return Parsed(text, tuple(unwrap(raw.stmt) for raw in result.stmts), result)


_NODE = tree.Node
LEAVES = frozenset({tree.ParamRef, tree.String, tree.Integer, tree.Float, tree.Boolean, tree.BitString, tree.A_Star})
"""They hold no other message."""

CONSTANTS = LEAVES | {tree.A_Const}
"""They are made of nothing that has a name, and call nothing."""


def unwrap(node: Message) -> Message:
    """The message inside a `Node`; other messages as they are."""
    if node.__class__ is _NODE:
        field = node.WhichOneof("node")
        return getattr(node, field) if field else node
    return node


def parse(text: str) -> Parsed:
    """
    The trees of every statement in a string.

    :raises Unparsable: the grammar refuses it, it holds NUL, or it is over STATEMENT_LIMIT.
    """
    kept = _parsed.get(text)
    if kept is not None:
        _parsed.move_to_end(text)
        return kept
    for long in _long:
        if long.text == text:
            return long
    if "\0" in text:
        raise Unparsable("text holds a NUL character")
    if len(text) > STATEMENT_LIMIT or len(text.encode("utf-8", "surrogatepass")) > STATEMENT_LIMIT:
        raise Unparsable("text is longer than 1 MiB")
    deep = too_deep(text)
    if deep:
        raise Unparsable(deep)
    try:
        data = native.parse(text)
        result = tree.ParseResult.FromString(data)
    except (postgast.PgQueryError, UnicodeEncodeError) as error:
        said = str(getattr(error, "message", "not UTF-8"))[:_SAID_LENGTH]  # it may quote all of the text
        raise Unparsable(said, getattr(error, "cursorpos", 0)) from None
    except DecodeError:
        # Over 100 messages deep. Lifting protobuf's limit lets 50 000 nested operators overflow the C stack.
        raise Unparsable("statement is nested too deeply") from None
    sampled = len(text) >= LONG and thin(result)
    parsed = Parsed(text, tuple(unwrap(raw.stmt) for raw in result.stmts), result, sampled, data if len(text) <= _SHORT else b"")
    if len(text) > _KEPT_LENGTH:
        _long.append(parsed)
        return parsed
    _parsed[text] = parsed
    if len(_parsed) > _KEPT:
        _parsed.popitem(last=False)
    return parsed


_parsed: OrderedDict[str, Parsed] = OrderedDict()
_long: deque[Parsed] = deque(maxlen=2)
"""Of the long ones the last, and what it was rewritten to: several addons ask for the first in turn."""


def count(text: str) -> int:
    """
    How many statements a string holds, at least one. Of what this grammar does not read every semicolon may end one: a newer
    server may take it.
    """
    if ";" not in text.rstrip("; \t\r\n"):
        return 1
    try:
        if len(text) <= STATEMENT_LIMIT and not too_deep(text):
            return max(1, len(postgast.split(text, method="parser")))
    except (postgast.PgQueryError, UnicodeError):
        pass
    return text.count(";") + 1


def deparse(result: tree.ParseResult) -> str:
    """
    The text of a tree.

    :raises Unparsable: libpg_query cannot write it.
    """
    return written(result.SerializeToString())


def written(data: bytes) -> str:
    """As `deparse`, of the tree's bytes."""
    try:
        return native.deparse(data)
    except postgast.PgQueryError as error:
        raise Unparsable(str(error.message)) from None


def walk(message: Message) -> Iterator[Message]:
    """Every message in a tree, the root first, `Node` wrappers passed over."""
    waiting = [message]
    while waiting:
        here = waiting.pop()
        if here.__class__ is _NODE and (inside := here.WhichOneof("node")):
            here = getattr(here, inside)
        yield here
        if here.__class__ in LEAVES:
            continue
        if here.__class__ is tree.ColumnRef:
            waiting.extend(reversed(here.fields))
            continue
        for field, value in here.ListFields():
            if field.message_type is None:
                continue
            if field.is_repeated:
                waiting.extend(reversed(value))
            else:
                waiting.append(value)
