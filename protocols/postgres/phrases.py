"""
Messages that come together again and again, known by their bytes: what they do is then done at once and not one by one.

Only what is exactly one of these phrases is one; all else goes the general way, and this way does what that does
(`tests/postgres/test_phrases.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from protocols.command import Transaction
from protocols.errors import PeerError
from protocols.postgres import messages, replies
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.result import Columns

RUN = messages.Execute("").encode() + messages.Sync().encode()
"""Behind the Bind of the unnamed portal; a driver's that had the statement described when it prepared it."""

DESCRIBE_AND_RUN = messages.Describe("P", "").encode() + RUN
"""Likewise; libpq's, and nearly every other driver's."""

PARSED, BOUND, NO_DATA = encode(b"1"), encode(b"2"), encode(b"n")
"""ParseComplete, BindComplete, NoData."""

LONGEST = 64
"""Bytes of an ending that is remembered."""


NO_COLUMNS = Columns(())


class Shape(NamedTuple):
    """
    Of the rows that came last: a statement run again has the shape it had. `opening`: what the answer to DESCRIBE_AND_RUN begins
    with then; `openings`: what any answer does, by the first letters of what it answers: a Query, or Bind to Sync, or Parse to Sync.
    """

    body: bytes
    columns: Columns
    opening: bytes
    openings: Mapping[str, bytes]


_SHAPELESS = {"BES": BOUND, "PBES": PARSED + BOUND}
NO_ROWS = Shape(b"", NO_COLUMNS, BOUND + NO_DATA, {"Q": b"", "BDES": BOUND + NO_DATA, "PBDES": PARSED + BOUND + NO_DATA, **_SHAPELESS})
"""Of a command that has none."""

NO_SHAPE = Shape(b"", Columns(()), b"none", {"Q": b"none", "BDES": b"none", "PBDES": b"none", **_SHAPELESS})


def shape(body: bytes) -> Shape:
    """
    Of a RowDescription.

    :raises PeerError: it is none.
    """
    described = encode(b"T", body)
    opening = BOUND + described
    return Shape(body, replies.RowDescription.parse(body).columns, opening, {"Q": described, "BDES": opening, "PBDES": PARSED + opening, **_SHAPELESS})


class End(NamedTuple):
    """CommandComplete and ReadyForQuery. `size`: bytes of the first."""

    tag: str
    transaction: Transaction
    size: int


@lru_cache(maxsize=1024)
def ending(data: bytes) -> End | None:
    """The end of an answer, if that is what these bytes are, all of them; read once, since the same few come again."""
    reader = FrameReader()
    reader.feed(data)
    try:
        done, ready = reader.next_frame(), reader.next_frame()
        if not isinstance(ready, Frame) or done.tag != b"C" or ready.tag != b"Z" or len(reader):
            return None
        return End(completed(done.body), replies.transaction_of(ready.body), 5 + len(done.body))
    except PeerError:
        return None


_completed = lru_cache(maxsize=1024)(lambda body: replies.CommandComplete.parse(body).done)


def completed(body: bytes) -> str:
    """A command tag; the short ones are read once, likewise."""
    return _completed(body) if len(body) <= LONGEST else replies.CommandComplete.parse(body).done


_describe = lru_cache(maxsize=1024)(messages.Describe.parse)
_execute = lru_cache(maxsize=1024)(messages.Execute.parse)


def described(body: bytes, codec: str) -> messages.Describe:
    """Read once, since a client says the same few again and again; nobody changes one."""
    return _describe(body, codec) if len(body) <= LONGEST else messages.Describe.parse(body, codec)


def executed(body: bytes, codec: str) -> messages.Execute:
    """Likewise."""
    return _execute(body, codec) if len(body) <= LONGEST else messages.Execute.parse(body, codec)
