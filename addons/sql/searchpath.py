"""
The search path that holds in a session, through transactions, savepoints, SET LOCAL and ROLLBACK.

A pure machine: texts that were sent go in (`sent`), what came of them goes in (`ended`), the path comes
out. None is "cannot be told", and whoever asks must then refuse what depends on it.

Source: PostgreSQL 18 manual, SET ("Notes") and ROLLBACK TO SAVEPOINT; 54.2.2.1 for implicit transactions; xact.c, PreventInTransactionBlock,
for what is committed at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.changes import Change, split_identifiers
from addons.sql.classify import classify
from addons.sql.finding import Finding
from addons.sql.parse import Parsed
from addons.sql.spreading import SETTINGS
from addons.sql.stored import HIDDEN
from addons.sql.worlds import Path, Step, World, Worlds

DEFAULT: tuple[str, ...] = ("$user", "public")

_KINDS = {
    tree.TRANS_STMT_BEGIN: "begin", tree.TRANS_STMT_START: "begin", tree.TRANS_STMT_COMMIT: "commit",
    tree.TRANS_STMT_ROLLBACK: "rollback", tree.TRANS_STMT_SAVEPOINT: "savepoint", tree.TRANS_STMT_RELEASE: "release",
    tree.TRANS_STMT_ROLLBACK_TO: "rollback to", tree.TRANS_STMT_PREPARE: "commit",
}

_RUNS = frozenset("Select Insert Update Delete Merge Copy Explain CreateTableAs".split())
"""What is done when it is sent and complete, and not when somebody uses what it makes."""

_STAYS = _RUNS | frozenset(
    """
    VariableSet VariableShow Prepare Execute Deallocate DeclareCursor Fetch ClosePortal Listen Unlisten Notify Lock ConstraintsSet
    Create View CreateFunction Truncate Comment Grant
    """.split()
)
"""What surely leaves an implicit transaction open: it is neither among what must run outside of a block nor code that may commit."""

_TURNS = frozenset({"begin", "commit", "rollback", "savepoint"})
"""What sets no path, and takes none back where none was set."""

_CODE = frozenset({"Call", "Do"})
_RELOADS = frozenset({("", "pg_reload_conf"), ("pg_catalog", "pg_reload_conf")})
_SETTERS = frozenset({"set", "local", "reset", "local reset", "lost", "haunted", "given"})


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
    found = tuple(step for s, f in zip(parsed.statements, findings, strict=True) for step in _steps(s, f))
    return (*found, Step("more")) if found and len(parsed.statements) > 1 else found


def idle(findings: Sequence[Finding]) -> bool:
    """Whether a string surely does nothing to the path or the transaction, told without its trees."""
    return not any(f.changes or f.strays or f.kind not in _STAYS or _configures(f) or _reloads(f) for f in findings)


def moves(todo: Sequence[Step]) -> bool:
    """Whether a text that does this may set the path, at once or whenever somebody uses what it makes."""
    return any(step.what in _SETTERS for step in todo)


def unseen(findings: Iterable[Finding]) -> tuple[Step, ...]:
    """What the catalog says that a string may do, and its text does not: its steps are remembered by the text alone."""
    return tuple(step for f in findings if f.strays or HIDDEN in f.changes for step in _moving(f.kind, (Step("lost"),), "haunted"))


def _configures(finding: Finding) -> bool:
    """Whether it writes the view whose rule sets what is written there, or makes what leads there."""
    return any(name == SETTINGS for _schema, name in (finding.relations if finding.kind in ("View", "Rule") else finding.written))


def _reloads(finding: Finding) -> bool:
    return not _RELOADS.isdisjoint(finding.functions)


def _alters_system(statement: Message) -> bool:
    """Whether it writes a search path to the server's own file, or takes it away there."""
    return isinstance(statement, tree.AlterSystemStmt) and (statement.setstmt.kind == tree.VAR_RESET_ALL or statement.setstmt.name.lower() == "search_path")


def _steps(statement: Message, finding: Finding) -> Iterator[Step]:
    if isinstance(statement, tree.TransactionStmt):
        if statement.kind in _KINDS:
            yield Step(_KINDS[statement.kind], name=statement.savepoint_name, chain=statement.chain)
        return
    if isinstance(statement, tree.DiscardStmt) and statement.target == tree.DISCARD_ALL:
        yield Step("reset")
    for change in finding.changes:
        yield from _moving(finding.kind, _step(change))
    if _reloads(finding) or _alters_system(statement):
        yield Step("reload")
    if _configures(finding):
        yield from _moving(finding.kind, (Step("lost"),))
    if finding.kind not in _STAYS:
        yield Step("may end" if finding.kind in _CODE else "may commit")


def _moving(kind: str, found: Iterable[Step], prepared: str = "given") -> Iterator[Step]:
    """When a change is made: by a SET at once, by a query as it gives its rows, by a view's or a cursor's whenever somebody reads that."""
    for step in found:
        if kind == "VariableSet":
            yield step
        elif kind in _RUNS:
            yield replace(step, rows=True)
        else:
            yield Step(prepared if kind == "Prepare" else "haunted")


def _step(change: Change) -> Iterator[Step]:
    if change.form == "all":
        yield Step("reset")
    elif change.form == "transaction":
        return
    elif change.name == "" or (change.name == "search_path" and not change.once):
        yield Step("lost")
    elif change.name == "search_path" and change.form == "reset":
        yield Step("local reset" if change.local else "reset")
    elif change.name == "search_path":
        yield Step("local" if change.local else "set", path_of(change))


MOST_STEPS, MOST_SENT = 64, 64
"""Of one text, and texts on their way, that are followed one by one; where there are more, the path cannot be told."""

_LONG = Step("lost"), Step("more")  # what a text does that does more


@dataclass(slots=True)
class _Sent:
    """:ivar portal: its name; None for a Query, which is done in its turn. :ivar overtaken: others may have been done since it was begun."""

    key: object
    todo: tuple[Step, ...]
    portal: str | None
    overtaken: bool = False

    @property
    def lasting(self) -> bool:
        """Whether it may be done some time before it ends, by rows that somebody fetches from its portal."""
        return self.portal is not None and any(step.rows or step.what == "may end" for step in self.todo)

    def once(self, rows: int) -> bool:
        """Whether it was done once, and nothing else since, where it gave so many rows."""
        return not self.overtaken and (rows == 1 or not rows and all(step.what in ("lost", "may end") for step in self.todo))


class Tracker:
    """One session's search path."""

    def __init__(self, initial: Path = DEFAULT) -> None:
        self._initial, self._haunted = initial, False
        self._worlds = Worlds((World(initial),))
        self._sent: list[_Sent] = []
        self._path = initial  #: what `path` says

    def sent(self, key: object, todo: tuple[Step, ...], portal: str | None = None) -> bool:
        """
        A text is on its way. `key` is repeated to `ended`. Whether `path` answers otherwise now.

        :param portal: the name of the portal that it is bound to; None where it is a Query.
        """
        if not todo:
            return False
        self._haunted = self._haunted or any(step.what == "haunted" for step in todo)
        self._sent.append(_Sent(key, todo if len(todo) <= MOST_STEPS else _LONG, portal))
        return self._moved()

    def ended(self, key: object, ending: str, transaction: str, undone: bool = False, rows: int = 0) -> bool:
        """
        A text is done. Whether `path` answers otherwise now.

        :param ending: an `Ending`'s value.
        :param transaction: the status after it: "I", "T", "E", or "" when no ReadyForQuery came yet, or others ended before that.
        :param undone: an error came behind it that is nobody's who is told of here.
        :param rows: that it gave by itself.
        """
        sent = self._take(key)
        if sent is not None and sent.lasting:
            self._worlds = self._fetched(sent, ending, rows)
        else:
            self._worlds = self._done(() if sent is None else sent.todo, ending)
        if undone:
            self._worlds = self._worlds.broken()
        if undone or ending == "error":
            self._overtake(self._sent)
        if transaction:
            self._worlds = self._worlds.settled(transaction)
        return self._moved()

    def reloaded(self) -> bool:
        """The server reads its configuration again: what the session has not set itself may be another. Whether `path` answers otherwise now."""
        self._initial, self._worlds = None, self._worlds.lost()
        return self._moved()

    def path(self) -> Path:
        """The path now; None while what is on its way may change it, be it by an error, or when it was lost."""
        return self._path

    def _moved(self) -> bool:
        before, self._path = self._path, self._found()
        return self._path != before

    def _found(self) -> Path:
        if self._haunted or len(self._sent) > MOST_SENT:
            return None
        worlds, seen = self._worlds, self._worlds.paths()
        if not self._sent or worlds.still and all(step.what in _TURNS for sent in self._sent for step in sent.todo):
            return seen.pop() if len(seen) == 1 else None
        for sent in self._sent:
            worlds |= worlds.broken()
            for here in worlds.through(sent.todo, self._initial):
                worlds = worlds | here | here.synced()
            seen |= worlds.paths()
            if len(seen) > 1:
                return None
        return seen.pop() if len(seen) == 1 else None

    def _take(self, key: object) -> _Sent | None:
        """What was sent in front of it and has not ended may have been begun before; where portals have names, so may what was sent behind."""
        at = next((i for i, sent in enumerate(self._sent) if sent.key is key), None)
        if at is None:
            return None
        sent = self._sent.pop(at)
        self._overtake(self._sent if sent.portal else self._sent[:at])
        return sent

    @staticmethod
    def _overtake(pending: Iterable[_Sent]) -> None:
        for sent in pending:
            sent.overtaken = True

    def _done(self, todo: tuple[Step, ...], ending: str) -> Worlds:
        """After what is done in its turn, whole or up to an error. A limit's word may come when it is done all the same."""
        worlds, initial = self._worlds, self._initial
        match ending:
            case "complete":
                return worlds.done(todo, initial) if todo else worlds
            case "suspended" | "skipped":
                return worlds  # it was not begun
            case "error":
                return worlds.failed_in(todo, initial)
        return worlds.done(todo, initial) | worlds.failed_in(todo, initial)

    def _fetched(self, sent: _Sent, ending: str, rows: int) -> Worlds:
        """After what gives rows: whoever fetches some has begun it, and it may go on long after, or never."""
        worlds, begun = self._worlds, rows > 0 or bool(sent.portal) or sent.overtaken
        if ending in ("complete", "suspended") and sent.once(rows):
            return worlds.done(sent.todo, self._initial)
        if ending == "skipped" and not begun:
            return worlds
        if ending == "error":
            return worlds.lost().broken() if begun else worlds.failed_in(sent.todo, self._initial)
        return worlds.lost() | worlds.lost().broken()
