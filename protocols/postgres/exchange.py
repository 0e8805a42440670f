"""
One command's exchange in one go: a client's read that asks for exactly one, and a target's read that is exactly its answer.

That is what nearly all reads of a busy session are. What is taken here is what `frontend` and `backend` would take message
by message, with the same effects and the same state afterwards (`tests/postgres/test_phrases.py`); anything else, and whatever has
something to be thought about, is left to them untouched.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from protocols.effects import Effect, ToClient
from protocols.errors import WireError
from protocols.kernel import bound, mask_rows, scan
from protocols.postgres.codec import STREAM_OVER
from protocols.postgres.conversation import Awaited, Conversation, Kind, Opinions, Prepared, Running
from protocols.postgres.messages import Bind
from protocols.postgres.phrases import DESCRIBE_AND_RUN, LONGEST, End, Shape, ending
from protocols.result import Ending

_LENGTH = Struct("!xI").unpack_from  # of the message that begins there, behind its tag
_ROWS = frozenset(b"D")
_BIND, _DESCRIBE, _EXECUTE, _PARSE, _QUERY, _SYNC = Kind.BIND, Kind.DESCRIBE, Kind.EXECUTE, Kind.PARSE, Kind.QUERY, Kind.SYNC


class Asked(NamedTuple):
    """`size`: bytes of the Bind, behind which nothing stands but DESCRIBE_AND_RUN."""

    bind: Bind
    prepared: Prepared
    size: int


def asked(talk: Conversation, data: bytes) -> Asked | None:
    """The execution, by the unnamed portal, of what this session has prepared, if that is all that is there."""
    if not data.startswith(b"B"):
        return None
    size = len(data) - len(DESCRIBE_AND_RUN)
    name_end = data.find(b"\0", 6, size)
    if name_end < 0 or data[5] or size > STREAM_OVER or _LENGTH(data)[0] != size - 1:
        return None
    name, found = data[6:name_end], bound(data, name_end + 1, size)
    if found is None or not name.isascii():
        return None
    prepared = talk.prepared.get(name.decode("ascii"))
    return None if prepared is None else Asked(Bind("", name.decode("ascii"), *found), prepared, size)


def answered(talk: Conversation, opinions: Opinions, shape: Shape, data: bytes) -> list[Effect] | None:
    """
    What is to be done about a read that is the whole answer to the one command that is awaited.

    :param shape: of the rows that came last.
    """
    running = _alone(talk)
    if running is None or opinions.hears_content or opinions.hears_rows or running.decision.reveal is not None:
        return None
    bound = len(talk.awaited) > 1
    opening = shape.openings[len(talk.awaited)]
    if not data.startswith(opening):
        return None
    count, stop = scan(data, len(opening), len(data), _ROWS, STREAM_OVER)
    end = ending(data[stop:]) if len(data) - stop <= LONGEST else None
    if end is None or end.tag == "DECLARE CURSOR":
        return None
    if opinions.hears_columns if bound and count else not bound:
        running.shaped(shape.columns, opinions.plan(running.decision, shape.columns) if opinions.hears_columns else None)
    if count and running.plan is not None and running.plan.withheld is not None:
        return None  # and whoever counts the rows ends the command
    if count and not running.clean:
        try:
            rows, masked = mask_rows(data[len(opening) : stop], running.plan.cells)
        except WireError:
            return None  # and whoever takes the rows by themselves meets it again
        running.cells_masked += masked
        shown = b"".join((opening, rows, data[stop:]))
    else:
        shown = data
    running.rows += count
    running.bytes += stop - len(opening)
    return [*_settled(talk, running, shape, end), ToClient(shown)]


def _alone(talk: Conversation) -> Running | None:
    """The command that is awaited, if nothing else is, and if nothing has happened to it yet."""
    awaited = talk.awaited
    count = len(awaited)
    if count == 4 or count == 5:
        bind, described, execute, sync = awaited if count == 4 else list(awaited)[1:]
        if count == 5 and (awaited[0].kind is not _PARSE or _touched(awaited[0].running)):
            return None
        if bind.kind is not _BIND or described.kind is not _DESCRIBE or described.hidden or execute.kind is not _EXECUTE or sync.kind is not _SYNC:
            return None
        if described.portal is not bind.portal or execute.portal is not bind.portal:
            return None
    elif count != 1 or awaited[0].kind is not _QUERY:
        return None
    running = awaited[count > 4].running
    return None if _touched(running) or talk.copying is not None else running


def _touched(running: Running) -> bool:
    return running.refusal is not None or running.cut or running.halted or running.ended


def _settled(talk: Conversation, running: Running, shape: Shape, end: End) -> list[Effect]:
    """The bookkeeping of all its messages; the reports."""
    awaited = talk.awaited
    first: Awaited = awaited[0]
    step = awaited[-1].step
    if first.kind is _PARSE:
        talk.end(first.running)
        first = awaited[1]
    awaited.clear()
    running.tags += (end.tag,)
    if first.portal is not None:
        before = first.undo[2] if first.undo else None
        if before is not None:
            talk.drop(before)
        first.portal.bound, first.portal.columns = True, shape.columns
        talk.end(running, Ending.COMPLETE)
    else:
        talk.end(running)
    return talk.ready(end.transaction, step)
