"""
How a session's search path and transaction may stand: every way that fits what is known of what it did.

A server's answer does not always say whether a command was committed, taken back, or done at all. So each of these is followed, and the
path is known where all agree. A value here is one way; what happens gives all that may be after it.

Source: PostgreSQL 18 manual, SET ("Notes"), ROLLBACK TO SAVEPOINT, 54.2.2.1 and 54.2.4; xact.c and guc.c.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

Path = tuple[str, ...] | None

MOST = 64  #: ways that are followed; where there are more, nothing is known
MARKS = 128  #: savepoints of one transaction, likewise


@dataclass(frozen=True, slots=True)
class Step:
    """
    One thing that a text does to the path or to the transaction it lives in.

    :ivar what: set, local, reset, local reset, lost (nobody can tell to what, now), haunted (nor when), given (only when a name is
        used), reload (what no session has set may be another), begin, commit, rollback, savepoint, release, rollback to, may commit (at once, outside of a transaction block),
        may end (likewise, by either end), more (another statement of the string does none of these).
    :ivar rows: it is done by giving rows, as many times, and when somebody fetches them.
    """

    what: str
    path: Path = None
    name: str = ""
    chain: bool = False
    rows: bool = False


class World(NamedTuple):
    """
    One way. What is None cannot be told.

    :ivar kept: what a commit leaves. :ivar base: what a rollback leaves. :ivar local: what holds until either, when `is_local`.
    :ivar block: "" outside of a transaction, "implicit" in one that the next Sync ends, "explicit" in a block.
    """

    kept: Path
    base: Path = None
    local: Path = None
    is_local: bool = False
    block: str = ""
    failed: bool = False
    marks: tuple[tuple[str, Path, Path, bool], ...] = ()

    @property
    def path(self) -> Path:
        return self.local if self.is_local else self.kept

    def begin(self, block: str) -> World:
        if not self.block:
            return World(self.kept, self.kept, block=block)
        return self._replace(block="explicit") if block == "explicit" else self

    def end(self, commit: bool, chain: bool = False) -> World:
        ended = World(self.kept if not self.block or commit and not self.failed else self.base)
        return ended.begin("explicit") if chain else ended

    def broken(self) -> World:
        """After an error: what is implicit is taken back at once, a block when it ends."""
        return self._replace(failed=True) if self.block == "explicit" else self.end(commit=False)

    def after(self, step: Step, initial: Path) -> tuple[World, ...]:
        """None where the step cannot have been done."""
        what = step.what
        if self.failed and what not in ("commit", "rollback", "rollback to", "more"):
            return ()
        if what == "begin":
            return (self.begin("explicit"),)
        if what in ("commit", "rollback"):
            return (self.end(what == "commit", step.chain),)
        if what in ("may commit", "may end"):
            return self._perhaps(what)
        if what == "savepoint" and len(self.marks) >= MARKS:
            return (World(None, block="explicit"),)
        if what == "savepoint":
            return (self.begin("implicit")._replace(marks=(*self.marks, (step.name, self.kept, self.local, self.is_local))),)
        if what in ("release", "rollback to"):
            return (self._unwind(step),)
        return (self._set(step, initial),)

    def _perhaps(self, what: str) -> tuple[World, ...]:
        if self.block == "explicit":
            return (self,)
        return (self, self.end(commit=True), *((self.end(commit=False),) if what == "may end" else ()))

    def _set(self, step: Step, initial: Path) -> World:
        here, path = self.begin("implicit"), initial if "reset" in step.what else step.path
        if step.what == "lost":
            return World(None, block=here.block)
        if step.what.startswith("local"):
            return here._replace(local=path, is_local=True)
        return here._replace(kept=path, is_local=False) if step.what in ("set", "reset") else self

    def _unwind(self, step: Step) -> World:
        at = next((i for i in reversed(range(len(self.marks))) if self.marks[i][0] == step.name), None)
        if at is None:
            return self if step.what == "release" else World(None, block="explicit")
        if step.what == "release":
            return self._replace(marks=self.marks[:at])
        _, kept, local, is_local = self.marks[at]
        return self._replace(kept=kept, local=local, is_local=is_local, failed=False, marks=self.marks[: at + 1])

    def settled(self, transaction: str) -> tuple[World, ...]:
        """After a ReadyForQuery with this status."""
        if transaction != "I":
            return (self.begin("explicit")._replace(failed=transaction == "E"),)
        if self.block != "explicit":
            return (self.end(commit=True),)
        return (self.end(commit=False),) if self.failed else (self.end(commit=True), self.end(commit=False))

    def stands(self, transaction: str) -> bool:
        """Whether it is as the status says already."""
        if transaction == "I":
            return not self.block
        return self.block == "explicit" and self.failed is (transaction == "E")

    def fits(self, transaction: str) -> bool:
        return transaction == "I" or self.block == "explicit" and self.failed is (transaction == "E")


class Worlds:
    """All ways; none where something was done that cannot have been done. A value."""

    __slots__ = ("_all",)

    def __init__(self, worlds: Iterable[World]) -> None:
        found = tuple(worlds)
        if len(found) > 1:
            found = tuple(dict.fromkeys(found))
        self._all = found if len(found) <= MOST else (World(None),)

    def __or__(self, other: Worlds) -> Worlds:
        return Worlds((*self._all, *other._all))

    @property
    def still(self) -> bool:
        """Whether neither a commit nor a rollback would change the path."""
        return all(not world.is_local and (not world.block or world.kept == world.base) for world in self._all)

    def paths(self) -> set[Path]:
        return {world.path for world in self._all}

    def _each(self, do: Callable[[World], Iterable[World]]) -> Worlds:
        return Worlds(then for world in self._all for then in do(world))

    def after(self, step: Step, initial: Path) -> Worlds:
        return self._each(lambda world: world.after(step, initial))

    def done(self, todo: Iterable[Step], initial: Path) -> Worlds:
        """After all of these."""
        *_, last = self.through(todo, initial)
        return last if last._all else self.lost()

    def lost(self) -> Worlds:
        """After something that nobody can tell of."""
        return self._each(lambda world: (World(None, block=world.block, failed=world.failed),))

    def through(self, todo: Iterable[Step], initial: Path) -> Iterator[Worlds]:
        """Before the first step, and after each."""
        here = self
        yield here
        for step in todo:
            here = here.after(step, initial)
            yield here

    def broken(self) -> Worlds:
        return self._each(lambda world: (world.broken(),))

    def synced(self) -> Worlds:
        """After a Sync or a Query's end, as far as no status was told."""
        return self._each(lambda world: (world.end(commit=True) if world.block == "implicit" else world,))

    def settled(self, transaction: str) -> Worlds:
        if len(self._all) == 1 and self._all[0].stands(transaction):
            return self
        fitting = tuple(world for world in self._all if world.fits(transaction))
        return Worlds(then for world in fitting or self._all for then in world.settled(transaction))

    def failed_in(self, todo: tuple[Step, ...], initial: Path) -> Worlds:
        """After an error in this text, however far it got. One statement that failed did nothing, but may have committed what was before it."""
        stages = list(self.through(todo, initial))
        if not todo or todo[-1].what != "more":
            ends = [self.after(step, initial) for step in todo if step.what in ("may commit", "may end")]
            stages = [self, *ends]
        return Worlds(world.broken() for stage in stages for world in stage._all)
