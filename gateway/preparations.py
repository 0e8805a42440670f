"""
Which statement does an EXECUTE run? What a session prepared by SQL, as its commands pass into the evidence.

A name stands for its text until it is deallocated, whatever becomes of the transaction. What failed may have been prepared all the same, so
until the target says that a PREPARE was complete, which it is only where the name was free, a name stands for all that it may.
Names that the protocol's Parse gave are told with each command.
Source: PostgreSQL 18 manual, PREPARE, EXECUTE, DEALLOCATE and DISCARD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from postgast import pg_query_pb2 as tree

from addons.sql.parse import Unparsable, parse, unwrap
from protocols.command import Command, Path, Statement

NAMES = 4096
"""Kept of one session. What is beyond is not known when it is executed."""

LONGEST, ALL = 64 << 10, 4 << 20
"""Characters of one text, and of all those of a session: a longer one stands where it was prepared, and only there."""

_WORDS = ("execute", "prepare", "deallocate", "discard")
_EACH = 8  # texts that one name may stand for; more of them, and the newest are told


class Executed(NamedTuple):
    """A name that a command executes, and what it stands for. `text` None: see that command; `command` None: no command of this session prepared it."""

    name: str
    text: str | None
    command: int | None


class Preparations:
    """Of one session: names to texts by the commands' numbers."""

    __slots__ = ("_length", "_names", "_running")

    def __init__(self) -> None:
        self._names: dict[str, dict[int, str | None]] = {}
        self._length = 0
        self._running: dict[int, tuple[str, str]] = {}  # what a command does, if that is one thing: "prepare" or "deallocate", and the name

    def intended(self, number: int, command: Command) -> list[Executed]:
        """This is about to be sent: what it executes of what was prepared before."""
        statements = _statements(command)
        found = self._executed(command, statements)
        for one in map(_inside, statements):
            if isinstance(one, tree.PrepareStmt):
                self._keep(one.name, number, command.text)
        if len(statements) == 1 and (does := _does(statements[0])):
            self._running[number] = does
        return found

    def refused(self, command: Command) -> list[Executed]:
        """This is not sent: what it would have executed."""
        return self._executed(command, _statements(command))

    def _executed(self, command: Command, statements: Sequence[Any]) -> list[Executed]:
        found, own = [], set()
        for one in map(_inside, statements):
            if isinstance(one, tree.PrepareStmt):
                own.add(one.name)
            elif isinstance(one, tree.ExecuteStmt) and one.name not in own:
                found += self._stands(one.name, command)
        return list(dict.fromkeys(found))

    def ended(self, number: int, complete: bool) -> None:
        """A command that was intended is over."""
        what, name = self._running.pop(number, ("", ""))
        if not complete or not what:
            return
        for each in [name] if name else list(self._names):
            kept = {at: text for at, text in self._names.get(each, {}).items() if at > number or (at == number and what == "prepare")}
            self._put(each, kept)

    def _keep(self, name: str, number: int, text: str) -> None:
        if name not in self._names and len(self._names) >= NAMES:
            return
        short = len(text) <= LONGEST and self._length + len(text) <= ALL
        before = list(self._names.get(name, {}).items())[1 - _EACH :]
        self._put(name, dict([*before, (number, text if short else None)]))

    def _put(self, name: str, texts: dict[int, str | None]) -> None:
        self._length += sum(len(text or "") for text in texts.values()) - sum(len(text or "") for text in self._names.get(name, {}).values())
        if texts:
            self._names[name] = texts
        else:
            self._names.pop(name, None)

    def _stands(self, name: str, command: Statement) -> list[Executed]:
        found = [Executed(name, text, number) for number, text in self._names.get(name, {}).items()]
        if (text := command.prepared.get(name)) is not None:
            found.append(Executed(name, text, None))
        return found or [Executed(name, None, None)]


def _statements(command: Command) -> Sequence[Any]:
    """Of what runs, where they may be about names."""
    if type(command) is not Statement or command.path is Path.PARSE or not _concerns(command.text):
        return ()
    try:
        return parse(command.text).statements
    except Unparsable:
        return ()


def _concerns(text: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in _WORDS)


def _inside(statement: Any) -> Any:
    """What a plan is shown of, or a table made of."""
    return unwrap(statement.query) if isinstance(statement, (tree.ExplainStmt, tree.CreateTableAsStmt)) else statement


def _does(statement: Any) -> tuple[str, str] | None:
    """To which name; "" is all."""
    if isinstance(statement, tree.PrepareStmt):
        return "prepare", statement.name
    if isinstance(statement, tree.DeallocateStmt):
        return "deallocate", statement.name
    return ("deallocate", "") if isinstance(statement, tree.DiscardStmt) and statement.target == tree.DISCARD_ALL else None
