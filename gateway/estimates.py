"""
How many rows the target's planner expects: EXPLAIN on a connection of its own, with the login that the session itself has.

The session's own connection is left alone: a failed EXPLAIN would end its transaction, and what the planner works out while it
plans would run there. With the session's own login nothing is worked out with more rights than the statement will have. It
does not run, sees nothing that is not committed, and waits for no lock for longer than LOCK.

Source: PostgreSQL 18 manual, EXPLAIN, PREPARE ("Notes": generic plans); functions that are not volatile may be called by the planner.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks

from addons.sql.settings import Settings
from gateway.floor import literal
from gateway.query import Querying
from protocols.command import Statement
from protocols.session import Session

LOCK, TIME = "500ms", "3s"
"""For a lock, and for all of it."""

_NAME = "ostiary_estimate"
_INNER = ("Outer", "Member")


class Estimates:
    """
    Implements `addons.needs.Estimates`.

    :param connect: logs in as a session does.
    """

    def __init__(self, connect: Callable[[Session], Deferred[Querying]], settings: Settings) -> None:
        self._connect, self._settings = connect, settings

    @inlineCallbacks
    def rows(self, session: Session, command: Statement, text: str) -> Any:
        """A Deferred of the number. Fails with QueryError, DialError, ControlError, or ValueError for a plan that is not understood."""
        connection = yield self._connect(session)
        try:
            for sql in _before(self._settings.search_path(session, command.settings), bool(command.parameters)):
                yield connection.query(sql)
            asked = text
            if command.parameters:
                # NULL: a generic plan asks for no values, and they would stand in the server's log.
                asked = f"EXECUTE {_NAME}({', '.join('NULL' for _ in command.parameters)})"
                yield connection.query(f"PREPARE {_NAME} AS {text}")
            answer = yield connection.query(f"EXPLAIN (FORMAT JSON) {asked}")
            return expected("".join(row[0] or "" for row in answer))
        finally:
            connection.close()


def _before(path: tuple[str, ...] | None, generic: bool) -> list[str]:
    said = ["BEGIN READ ONLY", "SET LOCAL standard_conforming_strings = on", f"SET LOCAL lock_timeout = '{LOCK}'", f"SET LOCAL statement_timeout = '{TIME}'"]
    if path is not None:
        said.append(f"SELECT pg_catalog.set_config('search_path', {literal(', '.join(map(_quoted, path)))}, true)")
    return said + (["SET LOCAL plan_cache_mode = force_generic_plan"] if generic else [])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def expected(plan: str) -> float:
    """
    Rows of the plan's top, or of what a write is fed with.

    :raises ValueError: not a plan as EXPLAIN (FORMAT JSON) writes it.
    """
    try:
        top = json.loads(plan)[0]["Plan"]
        if top["Node Type"] != "ModifyTable":
            return float(top["Plan Rows"])
        return float(sum(one["Plan Rows"] for one in top.get("Plans", ()) if one.get("Parent Relationship") in _INNER))
    except (LookupError, TypeError) as error:
        raise ValueError("not a plan") from error
