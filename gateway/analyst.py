"""
An analyst's whole life: `python -m gateway.analyst`, a worker's helper that reads long statements in its stead.

Questions come on standard input, answers leave on standard output, one at a time; frames are u32 length and a pickle. It opens
nothing, knows no secret, and says nothing but answers: what a statement holds never reaches a log. Whatever a text does
to the parser it does here, where one statement is refused for it and no session ends.
"""

from __future__ import annotations

import gc
import pickle
import resource
import signal
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, BinaryIO

from addons.sql.analysis import Question
from addons.sql.catalog import Snapshot
from addons.sql.parcels import Unpacking

LENGTH = Struct("!I")  # bytes of pickle that follow

MEMORY = 2 << 30
"""Bytes of address space. A text of 1 MiB takes some 300 MB at most; one that takes all this is too intricate."""

LIMIT = 30  # seconds of one answer after which it ends by itself: its worker, which is stricter, must be gone

SNAPSHOTS = 4
"""Kept, the last used: of a worker's databases. Its worker counts along (`gateway.analyses`)."""


class Analyst:
    """Answers frames: ["parcel", revision, bytes], ["catalog", revision], ["ask", questions, revision or ""]."""

    def __init__(self) -> None:
        self._coming: dict[str, Unpacking] = {}
        self._snapshots: OrderedDict[str, Snapshot] = OrderedDict()

    def hear(self, frame: tuple[Any, ...]) -> tuple[bool, Any] | None:
        """What to say to one frame: whether there is an answer, and the answer or whose fault there is none."""
        match frame:
            case ("parcel", revision, parcel):
                self._coming.setdefault(revision, Unpacking()).take(parcel)
            case ("catalog", revision):
                gc.unfreeze()  # the one that makes room has covers made of it, which only a collection frees
                self._snapshots[revision] = self._coming.pop(revision).whole()
                if len(self._snapshots) > SNAPSHOTS:
                    self._snapshots.popitem(last=False)
            case ("ask", questions, revision):
                return self._answer(questions, revision)
        return None

    def _answer(self, questions: Sequence[Question], revision: str) -> tuple[bool, Any]:
        try:
            if revision:
                self._snapshots.move_to_end(revision)
            snapshot = self._snapshots[revision] if revision else None
            return True, [question.answer(snapshot) for question in questions]
        except Exception as error:  # a bug; its text may hold what a client wrote
            return False, type(error).__name__


def frames(source: BinaryIO) -> Iterator[tuple[Any, ...]]:
    """Until the worker closes its end."""
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        yield pickle.loads(source.read(length))


def framed(what: Any) -> bytes:
    body = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(body)) + body


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for its worker, whose end is its own
    gc.disable()  # trees are large and go without it; between answers there is time
    analyst = Analyst()
    for frame in frames(sys.stdin.buffer):
        signal.alarm(LIMIT)
        said = analyst.hear(frame)
        signal.alarm(0)
        if said is not None:
            sys.stdout.buffer.write(framed(said))
            sys.stdout.buffer.flush()
            gc.collect()
            gc.freeze()  # the next time it looks only at what is new


if __name__ == "__main__":
    main()
