"""A view that somebody's open transaction has locked is read as it was, where the server says that it is the same."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import pq
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from addons.sql.catalog import Snapshot
from gateway.catalog import Catalogs
from gateway.locked import VIEWS
from gateway.query import QueryError
from tests.masking.gate import Connection, _rows, session
from tests.servers import PostgresServer


class Honest(Connection):
    """Says what the server refused, as the gateway's own connection does."""

    def query(self, sql: str) -> Deferred:
        result = self._connection.pgconn.exec_(sql.encode())
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            return fail(QueryError(result.error_field(pq.DiagnosticField.SQLSTATE).decode(), "refused"))
        return succeed(_rows(result, decode=True))


@pytest.fixture(params=["postgres15", "postgres18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    found: PostgresServer = request.getfixturevalue(request.param)
    found.sql("DROP DATABASE IF EXISTS locked; DO $$ BEGIN CREATE ROLE watcher SUPERUSER LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
    found.sql("CREATE DATABASE locked")
    found.sql("CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT b FROM t", "locked")
    yield found
    found.sql("DROP DATABASE locked WITH (FORCE)")


class Noting(Honest):
    """Before each query, the user's relations that its session has locked, and how long it would wait for a lock, in seconds."""

    def __init__(self, port: int, database: str, user: str) -> None:
        super().__init__(port, database, user)
        self._other = psycopg.connect(host="127.0.0.1", port=port, user=user, dbname=database, autocommit=True)
        self.noted: list[tuple[str, int, float]] = []

    def query(self, sql: str) -> Deferred:
        pid = self._connection.info.backend_pid
        held = self._other.execute("SELECT count(*) FROM pg_locks WHERE pid = %s AND relation >= 16384 AND granted", [pid]).fetchone()[0]
        waits = 0.0
        if sql == VIEWS:
            waits = float(_rows(self._connection.pgconn.exec_(b"SELECT extract(epoch FROM current_setting('lock_timeout')::interval)"), decode=True)[0][0])
        self.noted.append((sql, held, waits))
        return super().query(sql)

    def close(self) -> None:
        self._other.close()
        super().close()


def refreshed(catalogs: Catalogs) -> Snapshot | Failure:
    found: list = []
    catalogs.refresh(session(database="locked")).addBoth(found.append)
    return found[0]


def test_an_open_transaction_locks_nobody_else_out_of_the_catalog(server: PostgresServer) -> None:
    """The committed definition is read on with what others commit; one that is not known before is never made up."""
    catalogs = Catalogs(lambda _session: succeed(Honest(server.port, "locked", "watcher")), Clock())
    before = refreshed(catalogs)
    with psycopg.connect(host="127.0.0.1", port=server.port, user="watcher", dbname="locked") as other:
        other.execute("CREATE OR REPLACE VIEW v AS SELECT b AS a FROM t")
        server.sql("CREATE TABLE more (id int); CREATE VIEW x AS SELECT id FROM more", "locked")
        found = refreshed(catalogs)
        assert found.named("public", "v")[0].definition == before.named("public", "v")[0].definition
        assert found.named("public", "more") and "more" in found.named("public", "x")[0].definition
        assert refreshed(Catalogs(lambda _session: succeed(Honest(server.port, "locked", "watcher")), Clock())).value.sqlstate == "55P03"
        other.commit()
    assert "b AS a" in " ".join(refreshed(catalogs).named("public", "v")[0].definition.split())


def test_a_locked_view_is_not_read_as_it_was_once_a_name_has_changed(server: PostgresServer) -> None:
    """Its old text would name another table, or another column."""
    catalogs = Catalogs(lambda _session: succeed(Honest(server.port, "locked", "watcher")), Clock())
    server.sql("CREATE TABLE apart (c int); CREATE VIEW y AS SELECT c FROM apart", "locked")
    refreshed(catalogs)
    with psycopg.connect(host="127.0.0.1", port=server.port, user="watcher", dbname="locked") as other:
        other.execute("ALTER VIEW v SET (security_barrier)")
        server.sql("ALTER TABLE apart RENAME COLUMN c TO d", "locked")
        assert refreshed(catalogs).value.sqlstate == "55P03"


def test_no_session_is_a_deadlocks_victim_for_the_sake_of_a_reading(server: PostgresServer) -> None:
    """
    A DROP TABLE that a foreign key ties to a view's table waited for a reading, and the reading for it: what writing out views has
    locked is let go before anything else is read, and none of them is waited for until the server looks for deadlocks.
    """
    made: list[Noting] = []

    def connect(_session: object) -> Deferred:
        made.append(Noting(server.port, "locked", "watcher"))
        return succeed(made[-1])

    assert isinstance(refreshed(Catalogs(connect, Clock())), Snapshot)
    patience = float(server.sql("SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)"))
    after = [sql for sql, _held, _waits in made[0].noted].index(VIEWS) + 2
    assert all(0 < waits < patience / 2 for sql, _held, waits in made[0].noted if sql == VIEWS)
    assert [held for _sql, held, _waits in made[0].noted[after:]] == [0] * (len(made[0].noted) - after) and len(made[0].noted) > after + 5


def test_a_view_that_is_locked_for_a_moment_is_waited_for(server: PostgresServer) -> None:
    """Also the first time, when there is nothing to go back to."""
    other = psycopg.connect(host="127.0.0.1", port=server.port, user="watcher", dbname="locked")
    other.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")

    class Freed(Honest):
        def query(self, sql: str) -> Deferred:
            found = super().query(sql)
            if sql == VIEWS:
                other.commit()
            return found

    assert isinstance(refreshed(Catalogs(lambda _session: succeed(Freed(server.port, "locked", "watcher")), Clock())), Snapshot)
    other.close()
