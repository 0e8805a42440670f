"""
What a question to people rests on beside the command's own bytes: where its names are looked up, what they mean there, what the session's
transaction changed of that, and what the names stand for that it runs or reads on by.

An answer is good for a command that rests on the same.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from addons.sql.catalog import Snapshot
from addons.sql.given import spoken
from addons.sql.leaning import leans
from addons.sql.meaning import digest, meaning
from addons.sql.pinned import pinned
from addons.sql.resolve import Names
from addons.sql.settings import Settings
from addons.sql.stored import sets_paths
from gateway.catalog import Catalogs
from gateway.control.request import trace
from protocols.command import Command, FunctionCall, Path, Statement
from protocols.session import Session

Steps = Generator[Deferred[Any], Any, Any]


class Under(NamedTuple):
    """
    :ivar sent: the text that it would be sent as, with the schemas of names that only the path tells apart.
    :ivar bound: what a grant is bound to of it; empty for what is no SQL.
    :ivar exact: what it is in this very moment: that differs too where names mean other things that look the same.
    :ivar told: whether all of it is known, so that what is asked later can be told from it.
    :ivar named: names that it runs or reads on by, each with the `trace` of a text that gave it; None where not just texts say what they stand for.
    """

    bound: bytes = b""
    exact: bytes = b""
    told: bool = True
    named: tuple[tuple[str, bytes], ...] | None = ()
    sent: str = ""


class Premises:
    """Of one worker's sessions."""

    def __init__(self, catalogs: Catalogs, settings: Settings) -> None:
        self._catalogs, self._settings = catalogs, settings

    def under(self, session: Session, command: Command, sent: str) -> Steps:
        """
        An `Under`, by a catalog that shows all that was heard of.

        :param sent: what the addons made of its text.
        :raises: whatever kept the catalog from being read.
        """
        if not isinstance(command, (Statement, FunctionCall)):
            return Under(sent=sent)
        snapshot = None if self._catalogs.stale(session) else self._catalogs.snapshot(session)
        if snapshot is None:
            snapshot = yield self._catalogs.refresh(session)
        return self._by(session, command, sent, snapshot)

    def current(self, session: Session, command: Command) -> Steps:
        """Whether the catalog is known to show what the target has now."""
        if not isinstance(command, (Statement, FunctionCall)):
            return True
        yield self._catalogs.over(session)
        return (yield self._catalogs.current(session))

    def _by(self, session: Session, command: Statement | FunctionCall, sent: str, snapshot: Snapshot) -> Under:
        path, flux = self._settings.search_path(session, command.settings), self._settings.underway.of(session)
        named = self._named(session, command)
        texts = [text for _name, pair in named or () for text in pair]
        if isinstance(command, Statement):
            texts.append(command.text)
        meant = meaning(texts, snapshot, command.oid if isinstance(command, FunctionCall) else 0)
        rest = path, flux, self._settings.underway.said(session), named
        if isinstance(command, Statement) and command.path is Path.SIMPLE and not (flux is not None and flux.unseen):
            sent = pinned(sent, Names(snapshot, path), {one.name for one in flux.relations} if flux is not None else ())
        moving = sets_paths(snapshot) or flux is not None and flux.calls
        leaning = moving and any(leans(text, snapshot) for text in (sent, *(then or text for _name, (text, then) in named or ())))
        told = path is not None and named is not None and not leaning
        return Under(digest((meant.shape, rest)), digest((meant.exact, rest)), told, self._spoken(session, command), sent)

    def _named(self, session: Session, command: Statement | FunctionCall) -> list[tuple[str, tuple[str, str]]] | None:
        """Names that it runs or reads on by, with the texts that they may stand for and those that were sent; None where some are not known."""
        if isinstance(command, FunctionCall):
            return []
        given = self._settings.given
        names = sorted(given.used(session.id, command))
        if names and given.behind(session.id, names) is None:
            return None
        texts = [(name, (each.statement.text, each.sent)) for name in names for each in given.of(session.id, name) if each.statement is not None]
        return sorted(texts + [(name, (command.prepared[name] or "", "")) for name in names if name in command.prepared])  # where no addon tells of a Parse

    def _spoken(self, session: Session, command: Statement | FunctionCall) -> tuple[tuple[str, bytes], ...] | None:
        """`Under.named`: what a list of texts that people said yes to can be compared with."""
        if isinstance(command, FunctionCall):
            return ()
        given = self._settings.given
        found = {name: [each.statement for each in given.of(session.id, name)] for name in given.used(session.id, command)}
        if given.behind(session.id, found) is None or not found.keys().isdisjoint(command.prepared):
            return None
        if not all(behind and all(each is not None and spoken(each, name) for each in behind) for name, behind in found.items()):
            return None
        return tuple(sorted({(name, trace(each.text)) for name, behind in found.items() for each in behind if each is not None}))
