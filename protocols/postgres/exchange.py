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
from protocols.postgres.conversation import Awaited, Conversation, Kind, Opinions, Prepared
from protocols.postgres.habit import learn
from protocols.postgres.messages import Bind
from protocols.postgres.phrases import DESCRIBE_AND_RUN, LONGEST, NO_ROWS, RUN, End, Shape, ending
from protocols.postgres.running import Running
from protocols.result import Ending

_LENGTH = Struct("!xI").unpack_from  # of the message that begins there, behind its tag
_BEHIND = {len(phrase): phrase for phrase in (DESCRIBE_AND_RUN, RUN)}
_SHORTEST = 6 + len(RUN)
_ROWS = frozenset(b"D")
_BIND, _DESCRIBE, _EXECUTE, _PARSE, _QUERY, _SYNC = Kind.BIND, Kind.DESCRIBE, Kind.EXECUTE, Kind.PARSE, Kind.QUERY, Kind.SYNC


class Asked(NamedTuple):
    """`size`: bytes of the Bind, behind which nothing stands but DESCRIBE_AND_RUN or RUN."""

    bind: Bind
    prepared: Prepared
    size: int


def asked(talk: Conversation, data: bytes) -> Asked | None:
    """The execution, by the unnamed portal, of what this session has prepared, if that is all that is there."""
    if len(data) < _SHORTEST or not data.startswith(b"B") or data[5]:
        return None
    size = _LENGTH(data)[0] + 1
    behind = _BEHIND.get(len(data) - size)
    name_end = data.find(b"\0", 6, size)
    if behind is None or name_end < 0 or size > STREAM_OVER or not data.endswith(behind):
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
    running, told, hidden = _alone(talk) or _NOBODY
    if running is None or opinions.hears_content or opinions.hears_rows or running.decision.reveal is not None:
        return None
    if not data.startswith(shape.openings[told]):
        shape = NO_ROWS
    opening = shape.openings[told]
    if not data.startswith(opening) or (told in _UNDESCRIBED and opinions.hears_columns):
        return None
    count, stop = scan(data, len(opening), len(data), _ROWS, STREAM_OVER)
    end = ending(data[stop:]) if len(data) - stop <= LONGEST else None
    if end is None or end.tag == "DECLARE CURSOR" or (count and shape is NO_ROWS and told not in _UNDESCRIBED):
        return None
    if opinions.hears_columns if told != "Q" and count else told == "Q" and shape is not NO_ROWS:
        running.shaped(shape.columns, opinions.plan(running.decision, shape.columns) if opinions.hears_columns else None)
    if count and running.plan is not None and running.plan.withheld is not None:
        return None  # and whoever counts the rows ends the command
    shown = data if not hidden else shape.openings[_WITHOUT[told]] + data[len(opening) :]
    if count and not running.clean:
        try:
            rows, masked = mask_rows(data[len(opening) : stop], running.plan.cells)
        except WireError:
            return None  # and whoever takes the rows by themselves meets it again
        running.cells_masked += masked
        shown = b"".join((shown[: len(shown) - (len(data) - len(opening))], rows, data[stop:]))
    running.rows += count
    running.bytes += stop - len(opening)
    if end.transaction is talk.transaction:
        learn(talk, opinions, running, shape, told, hidden, data[stop:], end.tag)
    return [*_settled(talk, running, told, shape, end), ToClient(shown)]


def _alone(talk: Conversation) -> tuple[Running, str, bool] | None:
    """
    The command that is awaited, if nothing else is, and if nothing has happened to it yet; with it what is told of it as in
    `Shape.openings`, and whether its description is ours.
    """
    awaited = talk.awaited
    if not 0 < len(awaited) < 6 or talk.copying is not None:
        return None
    if len(awaited) == 1:
        first = awaited[0]
        return (first.running, "Q", False) if first.kind is _QUERY and not _touched(first.running) else None
    parsed = awaited[0].kind is _PARSE
    described, bind = len(awaited) - parsed == 4, awaited[parsed]
    if (not described and len(awaited) - parsed != 3) or bind.kind is not _BIND or _touched(bind.running) or (parsed and _touched(awaited[0].running)):
        return None
    execute, description = awaited[-2], awaited[-3]
    if awaited[-1].kind is not _SYNC or execute.kind is not _EXECUTE or execute.portal is not bind.portal:
        return None
    if described and (description.kind is not _DESCRIBE or description.portal is not bind.portal):
        return None
    return bind.running, ("PBDES" if parsed else "BDES") if described else ("PBES" if parsed else "BES"), described and description.hidden


def _touched(running: Running) -> bool:
    return running.refusal is not None or running.cut or running.halted or running.ended


def _settled(talk: Conversation, running: Running, told: str, shape: Shape, end: End) -> list[Effect]:
    """The bookkeeping of all its messages; the reports."""
    first: Awaited = talk.awaited[0]
    if first.kind is _PARSE:
        talk.end(first.running)
        talk.parsed(first)
        first = talk.awaited[1]
    step = talk.awaited[-1].step
    talk.awaited.clear()
    running.tags += (end.tag,)
    if first.portal is None:
        talk.end(running)
        return talk.ready(end.transaction, step)
    before = first.undo[2] if first.undo else None
    if before is not None:
        talk.drop(before)
    first.portal.bound = True
    if told not in _UNDESCRIBED:
        first.portal.columns = shape.columns
    talk.end(running, Ending.COMPLETE)
    return talk.ready(end.transaction, step)


_NOBODY = None, "", False
_WITHOUT = {"BDES": "BES", "PBDES": "PBES"}
_UNDESCRIBED = frozenset(_WITHOUT.values())
