"""
The search path that holds in a session, through transactions, savepoints, SET LOCAL and ROLLBACK.

A pure machine: texts that were sent go in (`sent`), what came of them goes in (`ended`), the path comes
out. None is "cannot be told", and whoever asks must then refuse what depends on it.

Source: PostgreSQL 18 manual, SET ("Notes") and ROLLBACK TO SAVEPOINT; 54.2.2.1 for implicit transactions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.changes import Change, split_identifiers
from addons.sql.classify import classify
from addons.sql.finding import Finding
from addons.sql.parse import Parsed

Path = tuple[str, ...] | None

DEFAULT: tuple[str, ...] = ("$user", "public")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a text does to the path or to the transaction it lives in."""

    what: str  #: set, local, reset, lost, begin, commit, rollback, savepoint, release, rollback to
    path: Path = None
    name: str = ""
    chain: bool = False


_KINDS = {
    tree.TRANS_STMT_BEGIN: "begin", tree.TRANS_STMT_START: "begin", tree.TRANS_STMT_COMMIT: "commit",
    tree.TRANS_STMT_ROLLBACK: "rollback", tree.TRANS_STMT_SAVEPOINT: "savepoint", tree.TRANS_STMT_RELEASE: "release",
    tree.TRANS_STMT_ROLLBACK_TO: "rollback to", tree.TRANS_STMT_PREPARE: "commit",
}

_TURNS = frozenset({"begin", "commit", "rollback", "savepoint"})
"""What sets no path, and takes none back where none was set."""


def path_of(change: Change) -> Path:
    """The path that a change of search_path sets; None when it cannot be told."""
    if change.values is None:
        return None
    return change.values if change.form == "set" else split_identifiers(change.values[0])


def steps(parsed: Parsed, findings: Sequence[Finding] | None = None) -> tuple[Step, ...]:
    """
    What a string does to the search path, statement by statement.

    :param findings: what `classify` found in it, when that is known already.
    :raises Unparsable: it is more than `classify` looks into.
    """
    findings = classify(parsed) if findings is None else findings
    return tuple(step for s, f in zip(parsed.statements, findings, strict=True) for step in _steps(s, f))


def idle(findings: Sequence[Finding]) -> bool:
    """Whether a string surely does nothing to the path or the transaction, told without its trees."""
    return not any(f.changes or f.kind in ("Transaction", "Discard") for f in findings)


def _steps(statement: Message, finding: Finding) -> Iterator[Step]:
    if isinstance(statement, tree.TransactionStmt):
        if statement.kind in _KINDS:
            yield Step(_KINDS[statement.kind], name=statement.savepoint_name, chain=statement.chain)
    elif isinstance(statement, tree.DiscardStmt):
        if statement.target == tree.DISCARD_ALL:
            yield Step("reset")
    else:
        for change in finding.changes:
            yield from _step(change)


def _step(change: Change) -> Iterator[Step]:
    if change.form == "all":
        yield Step("reset")
    elif change.form == "transaction":
        return
    elif change.name == "" or (change.name == "search_path" and not change.certain):
        yield Step("lost")
    elif change.name == "search_path":
        what = "reset" if change.form == "reset" else "local" if change.local else "set"
        yield Step(what, path_of(change))


@dataclass(slots=True)
class Stack:
    """Values inside and outside the open transaction."""

    initial: Path
    kept: Path = None  #: what a commit leaves
    local: Path = None
    is_local: bool = False
    base: Path = None  #: what a rollback leaves
    open: bool = False
    implicit: bool = False
    failed: bool = False
    marks: list[tuple[str, Path, Path, bool]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.local if self.is_local else self.kept

    @property
    def still(self) -> bool:
        """Whether neither a commit nor a rollback would change the path."""
        return not self.is_local and (not self.open or self.kept == self.base)

    def begin(self, implicit: bool) -> None:
        if not self.open:
            self.open, self.implicit, self.failed, self.base = True, implicit, False, self.kept
        elif self.implicit and not implicit:
            self.implicit = False

    def end(self, commit: bool, chain: bool = False) -> None:
        if self.open and not (commit and not self.failed):
            self.kept = self.base
        self.open = self.implicit = self.failed = self.is_local = False
        self.marks.clear()
        if chain:
            self.begin(implicit=False)

    def apply(self, step: Step) -> None:
        match step.what:
            case "begin":
                self.begin(implicit=False)
            case "commit" | "rollback":
                self.end(step.what == "commit", step.chain)
            case "savepoint":
                self.marks.append((step.name, self.kept, self.local, self.is_local))
            case "release" | "rollback to":
                self._unwind(step)
            case "local":
                self.begin(implicit=True)
                self.local, self.is_local = step.path, True
            case _:
                self.begin(implicit=True)
                self.kept, self.is_local = self.initial if step.what == "reset" else step.path, False

    def _unwind(self, step: Step) -> None:
        at = next((i for i in reversed(range(len(self.marks))) if self.marks[i][0] == step.name), None)
        if at is None:
            self.kept, self.is_local = None, False
        elif step.what == "release":
            del self.marks[at:]
        else:
            _, self.kept, self.local, self.is_local = self.marks[at]
            self.failed = False
            del self.marks[at + 1 :]


class Tracker:
    """One session's search path."""

    def __init__(self, initial: Path = DEFAULT) -> None:
        self._stack = Stack(initial, kept=initial)
        self._sent: list[tuple[object, tuple[Step, ...]]] = []

    def sent(self, key: object, todo: tuple[Step, ...]) -> bool:
        """A text is on its way. `key` is repeated to `ended`. Whether `path` answers otherwise now."""
        before = self.path()
        if todo:
            self._sent.append((key, todo))
        return self.path() != before

    def ended(self, key: object, ending: str, transaction: str, undone: bool = False) -> bool:
        """
        A text is done. Whether `path` answers otherwise now.

        :param ending: "complete", "error", or anything else for "did not run".
        :param transaction: the status after it: "I", "T", "E", or "" when no ReadyForQuery came yet, or others ended before that.
        :param undone: an error came behind it that is nobody's who is told of here.
        """
        before = self.path()
        at = next((i for i, (k, _) in enumerate(self._sent) if k is key), None)
        todo = () if at is None else self._sent.pop(at)[1]
        if ending == "complete":
            for step in todo:
                self._stack.apply(step)
        elif ending == "error":
            self._broke(todo)
        if undone:
            self._broke(())
        self._settle(transaction)
        return self.path() != before

    def path(self) -> Path:
        """The path now; None while what is on its way may change it, or when it was lost."""
        if not self._sent or (self._stack.still and all(step.what in _TURNS for _, todo in self._sent for step in todo)):
            return self._stack.path
        ahead, seen = replace(self._stack, marks=[*self._stack.marks]), {self._stack.path}
        for _, todo in self._sent:
            for step in todo:
                ahead.apply(step)
                seen.add(ahead.path)
        return seen.pop() if len(seen) == 1 else None

    def _broke(self, todo: tuple[Step, ...]) -> None:
        """An error: how far a string got is not known, and only a string that ends transactions can have kept anything."""
        stack = self._stack
        if any(s.what in ("commit", "rollback") for s in todo) and len(todo) > 1:
            stack.kept, stack.base, stack.is_local = None, None, False
        if any(s.what == "begin" for s in todo):
            stack.begin(implicit=False)
        stack.begin(implicit=True)
        stack.failed = True

    def _settle(self, transaction: str) -> None:
        stack = self._stack
        if transaction == "I" and stack.open:
            if not stack.implicit and not stack.failed and stack.kept != stack.base:
                stack.kept = stack.base = None
            stack.end(commit=True)
        elif transaction == "T":
            stack.begin(implicit=False)
            stack.failed = False
        elif transaction == "E":
            stack.begin(implicit=False)
            stack.failed = True
