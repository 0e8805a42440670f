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
