"""
A habit's exchange, taken without the conversation.

Where that is at rest, such an exchange changes nothing in it but a few counts. So none of its messages is made and nothing is
awaited: what stands here is all there is of it until it is over, and the counts are brought up when the general way goes on
(`settle`). Where anything else happens meanwhile it is taken back, by what the client said (`resume`), and the conversation is what it
would have been (`tests/postgres/test_repeat.py`).
"""

from __future__ import annotations

from dataclasses import replace
from struct import Struct
from typing import Any

from protocols.command import Parameter
from protocols.kernel import bound, scan
from protocols.postgres.codec import STREAM_OVER
from protocols.postgres.conversation import Conversation, Opinions, Portal, Prepared
from protocols.postgres.habit import LONGEST as LONGEST_QUERY
from protocols.postgres.habit import Habit
from protocols.postgres.phrases import LONGEST, Shape, ending
from protocols.postgres.running import Running

_ROWS = frozenset(b"D")
_BIND, _PARSE, _QUERY = b"BPQ"
_LEAST = 8  # bytes; less is no query that has rows
_UNKNOWN = (0,)
_length_at = Struct("!xI").unpack_from  # of the message that begins there, behind its tag


class Repeat:
    """
    Of one conversation; at most one exchange at a time.

    :ivar habit: whose, while one is on its way; else None. `number`: its command's, or its last one's; `data`: what goes to the target.
    :ivar text: a query's; None of an execution, whose is the habit's. `types`: of its parameters, OIDs, one each; `formats` likewise; `values`.
    :ivar rows: what came of the last one, of so many bytes (`size`); the command's `tag`, and what the client is `shown`.
    :ivar calm: whether nothing else has happened since everything was at rest.
    """

    __slots__ = (
        "_asked", "_backend", "_bound_last", "_commands", "_count", "_frontend", "_habits", "_last", "_name", "_opinions", "_read", "_shape",
        "_talk", "_told", "_within", "calm", "data", "formats", "habit", "number", "rows", "shown", "size", "tag", "text", "types", "values",
    )  # fmt: skip

    def __init__(self, talk: Conversation, opinions: Opinions, frontend: Any, backend: Any) -> None:
        self._talk, self._opinions, self._frontend, self._backend = talk, opinions, frontend, backend
        self.habit: Habit | None = None
        self.number = self.rows = self.size = 0
        self.tag, self.data, self.shown = "", b"", b""
        self.types: tuple[int, ...] = ()
        self.formats: tuple[int, ...] = ()
        self.values: tuple[bytes | None, ...] = ()
        self.text: str | None = None
        self.calm = False
        self._read = b""  # what the client said of it
        self._name: bytes | None = None  # while calm: of the last one's statement
        self._last: Habit | None = None  # and its habit
        self._within, self._habits = False, talk.habits  # while calm: whether this is inside a transaction block, and what is known there
        self._bound_last: tuple[Any, ...] = ()  # inside one, the last execution: habit, command, step, types, formats, values
        self._shape: Shape | None = None  # of the last rows that were described
        self._count = self._commands = self._asked = self._told = 0  # exchanges that the conversation does not know of, and what was in them

    def again(self, data: bytes) -> bool:
        """Whether this read of the client's asks for one, and for nothing else. It is on its way then, until `over` or `resume`."""
        if len(data) < _LEAST or not (self.calm or self._rests()):
            return False
        tag = data[0]
        habit = self._executed(data) if tag == _BIND else self._queried(data) if tag == _QUERY else self._parsed(data) if tag == _PARSE else None
        if habit is None:
            return False
        self.habit, self._read = habit, data
        self.number += 1 if habit.first is None else 2
        return True

    def _executed(self, data: bytes) -> Habit | None:
        """The habit that it is to execute a statement by a portal without a name, with its values."""
        begin = data.find(b"\0", 6) + 1
        if data[5] or not begin:
            return None
        name = data[6 : begin - 1]
        habit = self._last if name == self._name else self._find(name)
        return habit if habit is not None and self._bound(habit, data, begin) else None

    def _parsed(self, data: bytes) -> Habit | None:
        """The habit that it is to prepare the statement without a name, and then to execute it likewise."""
        stop = _length_at(data)[0] + 1
        habit = self._habits.parsings.get(data[:stop])
        if habit is None or habit.decision.command.settings is not self._talk.settings:
            return None
        rest, first = data[stop:], habit.first
        if rest[:1] != b"B" or rest[5:7] != b"\0\0" or not self._bound(habit, rest, 7):
            return None
        self.data = data if self.data is rest and first.sent is first.asks else first.sent + self.data
        return habit

    def _bound(self, habit: Habit, data: bytes, begin: int) -> bool:
        """Whether this is a Bind, whose formats and values begin there, and what stands behind it in this habit; nothing else."""
        stop = _length_at(data)[0] + 1
        if begin > stop or stop > STREAM_OVER or len(data) - stop != len(habit.behind) or not data.endswith(habit.behind):
            return False
        found = bound(data, begin, stop)
        if found is None:
            return False
        self.formats, self.values = found
        count = len(self.values)
        if len(self.formats) != count:
            self.formats = (self.formats or _UNKNOWN) * count
        self.types = habit.types
        if len(self.types) != count:
            self.types = (self.types + _UNKNOWN * count)[:count]
        self.text = None
        self.data = data if habit.sent is habit.behind else data[:stop] + habit.sent
        return True

    def _queried(self, data: bytes) -> Habit | None:
        """The habit that a query is, or one whose kin."""
        said, end = data[5:-1], len(data) - 1
        if _length_at(data)[0] != end or data.find(b"\0", 5) != end or end > LONGEST_QUERY or not said.isascii():
            return None
        text = said.decode("ascii")
        habit = self._habits.queries.get(text) or self._kin(said)
        if habit is None or habit.decision.command.settings is not self._talk.settings:
            return None
        self.text, self.types, self.formats, self.values = text, (), (), ()
        self.data = habit.sent or data
        return habit

    def _kin(self, text: bytes) -> Habit | None:
        """The habit about which the same was decided, the newest first."""
        for habit in reversed(self._habits.queries.values()):
            if not habit.asked:
                habit.asked, habit.kin = True, self._opinions.kin(habit.decision)
            if habit.kin is not None and habit.kin.fullmatch(text):
                return habit
        return None

    def over(self, data: bytes) -> bool:
        """Whether this read of the target's is the whole answer to it, and is as ever; then that is all."""
        habit = self.habit
        opening = habit.opening
        if not data.startswith(opening):
            return False
        begin = len(opening)
        self.rows, stop = scan(data, begin, len(data), _ROWS, STREAM_OVER)
        end = data[stop:]
        if end != habit.end and not _ends(habit, end):
            return False
        if self.rows and habit.rowless:
            return False
        self.size, self.tag = stop - begin, habit.tag
        self.shown = data if habit.shown is opening else habit.shown + data[begin:]
        if habit.shape is not None:
            self._shape = habit.shape
        if habit.first is not None:
            self._commands += 1
            self._prepare(habit.first.prepared)
        if self._within and self.text is None:
            self._bound_last = habit, self.number, self._count, self.types, self.formats, self.values
        self._commands += 1
        self._count += 1
        self._asked += len(self._read)
        self._told += len(data)
        self.habit = None
        self.calm = True
        return True

    def _prepare(self, prepared: Prepared) -> None:
        """Under no name stands what was prepared each time."""
        if self._talk.prepared.get("") is not prepared:
            self._talk.replace(self._talk.prepared, "", prepared)
            self._name = None

    def withdraw(self) -> None:
        """It goes another way, and nothing was done about it."""
        self.number -= 1 if self.habit.first is None else 2
        self.habit = None

    def resume(self) -> list[Any]:
        """It goes on as any other: its Intends, which were performed already."""
        habit = self.habit
        self.withdraw()
        self.settle()
        return self._frontend.resume(self._read, *(() if habit.first is None else (habit.first.decision,)), habit.decision)

    def settle(self) -> None:
        """The general way goes on."""
        self.calm = False
        self._last = self._name = None
        if self._bound_last:
            self._open(*self._bound_last)
            self._bound_last = ()
        if self._count:
            self._frontend.repeated(self._commands, self._asked)
            self._backend.repeated(self._shape, self._told)
            self._talk.step += self._count
            self._count = self._commands = self._asked = self._told = 0
            self._shape = None

    def _open(self, habit: Habit, number: int, count: int, types: tuple[int, ...], formats: tuple[int, ...], values: tuple[bytes | None, ...]) -> None:
        """The portal without a name, which is what was executed last; inside a transaction block it stays."""
        parameters = tuple([Parameter(*each) for each in zip(types, formats, values)])
        running = Running(number, replace(habit.decision, command=replace(habit.decision.command, parameters=parameters)))
        running.ended = True
        columns = None if habit.shape is None else habit.shape.columns
        self._talk.portals[""] = Portal(running, self._talk.step + count, columns is not None, columns, bound=True)

    def _rests(self) -> bool:
        if not (self._talk.rests and self._frontend.rests and self._backend.rests):
            return False
        self.number, self._within, self._habits = self._frontend.number, self._talk.within, self._talk.habits
        return True

    def _find(self, name: bytes) -> Habit | None:
        """The habit with this statement, if there is one; remembered while nothing can change that."""
        prepared = self._talk.prepared.get(name.decode("ascii")) if name.isascii() else None
        habit = None if prepared is None else prepared.habit_within if self._within else prepared.habit
        if habit is not None and habit.decision.command.settings is not self._talk.settings:
            habit = None
        self._name, self._last = name if self.calm else None, habit
        return habit


def _ends(habit: Habit, data: bytes) -> bool:
    """Whether an answer that leaves everything at rest ends like this; it often ends so again."""
    end = ending(data) if len(data) <= LONGEST else None
    if end is None or end.transaction is not habit.decision.command.transaction or end.tag == "DECLARE CURSOR":
        return False
    habit.end, habit.tag = data, end.tag
    return True

