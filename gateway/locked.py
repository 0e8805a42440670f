"""
Views that cannot be written out now, since a lock is held on them or on what they are made of: as they were read before, where
the server says that they are the same.

To write out a view takes locks that a session's open ALTER TABLE or CREATE OR REPLACE VIEW holds against us, for as long as it likes.
What is committed of a view is its row in pg_rewrite, which names everything by OID: its text is the same as long as that row's version
is, and nothing that both readings know has another name.

What is locked meanwhile is let go as soon as the texts are there, and nothing is waited for as long as a server waits before it
looks for a deadlock: else a session that drops a table could wait for us, we for it, and the server would end its transaction.

Source: PostgreSQL 18 manual, 52.44 "pg_rewrite", 5.15 "Dependency Tracking"; src/backend/utils/adt/ruleutils.c for what it locks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import inlineCallbacks

from addons.sql.catalog import Relation, Row, Snapshot
from gateway.query import QueryError

VIEWS = (
    "SELECT c.oid, pg_catalog.pg_get_viewdef(c.oid) FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('v','m') AND n.nspname NOT IN ('pg_catalog','information_schema')"
)
WRITTEN = "SELECT ev_class, oid, xmin FROM pg_catalog.pg_rewrite WHERE oid >= 16384 AND ev_type = '1'"  # _RETURN rules
SAVEPOINT, BACK = "SAVEPOINT views", "ROLLBACK TO SAVEPOINT views"  # going back lets go of the locks
HURRIED = "SELECT pg_catalog.set_config('lock_timeout', '400ms', true)"  # deadlock_timeout is 1 s unless a server is told otherwise
TRIES = 5  # with which it waits as long as for any other lock

_LOCKED = "55P03"  #: lock_not_available: lock_timeout is over


@dataclass(frozen=True, slots=True)
class Reading:
    """
    :ivar digest: of row versions, as it began. :ivar written: a view's OID to its rule's OID and row version.
    """

    snapshot: Snapshot
    digest: str | None
    written: Mapping[str | None, Row]


class Views:
    """
    The views' definitions in one reading.

    :param before: the reading before, None when there is none.
    """

    def __init__(self, before: Reading | None) -> None:
        self._before = before
        self._locked: QueryError | None = None
        self.written: Mapping[str | None, Row] = {}

    @inlineCallbacks
    def read(self, connection: Any) -> Any:
        """
        Rows of VIEWS; of those that are the same the older text, when a lock holds the others against us.

        :raises QueryError: one that is not known yet, or another one now, cannot be read.
        """
        self.written = {row[0]: row[1:] for row in (yield connection.query(WRITTEN))}
        yield connection.query(SAVEPOINT)
        for _ in range(TRIES):
            yield connection.query(HURRIED)
            try:
                rows = yield connection.query(VIEWS)
            except QueryError as error:
                if error.sqlstate != _LOCKED:
                    raise
                self._locked = error
                yield connection.query(BACK)
            else:
                self._locked = None
                yield connection.query(BACK)
                return rows
        if self._before is None:
            raise self._locked
        same = [(str(r.oid), r.definition) for r in self._before.snapshot.relations.values() if self._same(r)]
        yield connection.query(HURRIED)
        more = yield connection.query(f"{VIEWS} AND c.oid <> ALL ('{{{','.join(oid for oid, _text in same)}}}'::pg_catalog.oid[])")
        yield connection.query(BACK)
        return [*more, *same]

    def _same(self, view: Relation) -> bool:
        here = self.written.get(str(view.oid))
        return bool(view.definition) and here is not None and here == self._before.written.get(str(view.oid))

    def check(self, snapshot: Snapshot) -> None:
        """
        That texts from before name what they named.

        :raises QueryError: the lock's, since they may not.
        """
        if self._locked is not None and not same_names(self._before.snapshot, snapshot):
            raise self._locked


def same_names(old: Snapshot, new: Snapshot) -> bool:
    """Whether all that both know is called the same. What is gone is in no view that is the same: it would have kept it."""
    both = [(r, new.relations[oid]) for oid, r in old.relations.items() if oid in new.relations]
    if any(_columns(a, b) for a, b in both):
        return False
    both += [(f, new.functions[oid]) for oid, f in old.functions.items() if oid in new.functions]
    both += [(t, new.types[oid]) for oid, t in old.types.items() if oid in new.types]
    return all((a.schema, a.name) == (b.schema, b.name) for a, b in both)


def _columns(old: Relation, new: Relation) -> bool:
    """Whether a column of both has another name."""
    names = {column.number: column.name for column in new.columns}
    return any(names.get(column.number, column.name) != column.name for column in old.columns)
