"""
The second author's attempts against the floor alone: a connection of its role, and nothing of the gateway in between.

No value comes, and none is laundered. Some questions are answered, as privileges cannot prevent: those that are named here.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import pq

from gateway.control.provision import plan
from gateway.control.standing import standing
from tests.masking.attempts.field import ALSO, LISTED, OPEN, Field, prepare
from tests.masking.attempts.launderings import LAUNDERINGS
from tests.masking.attempts.oracles import ORACLES
from tests.masking.attempts.values import VALUES
from tests.masking.gate import Connection
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

ROLE = "app_floor"
FUNCTIONS = LISTED["functions"]

ANSWERED = frozenset({
    # the server checks what a client writes against what it may not read
    "a check compares what is written with a masked date", "a check compares a written text with a masked one",
    "a generated column overflows for some masked factors", "an exclusion constraint knows masked ranges",
    "deleting what a masked foreign key refers to", "a deletion cascades to rows that are then counted",
    "a clear column that refers to a masked one takes guesses", "guesses copied into a clear column that refers to a masked one",
    # a view's rows and their order are its owner's
    "a view tells its order", "a view tells its order to row_number", "a view tells the first of each",
    "a view tells how often a row is repeated", "a view tells its first rows with ties",
})  # fmt: skip


@pytest.fixture(scope="module")
def field(server: PostgresServer, corpus: ModuleType, columns: list[dict[str, Any]]) -> Iterator[Field]:
    """The databases of the attempts that no gateway is in front of, with a floor in each."""
    if not server.sql("SELECT 1 FROM pg_database WHERE datname = 'bare_one'"):
        prepare(server)
    declared = [*columns, *MORE, *({"relation": f"public.{r}", "column": c} for r, names in ALSO.items() for c in names)]
    for database in OPEN.values():
        connection, answers = Connection(server.port, database), []
        standing(connection, "app", ROLE, ["app"], FUNCTIONS).addBoth(answers.append)
        connection.close()
        script = plan(answers[0], declared, FUNCTIONS, "clinic", "app", ROLE, ["app"], "floor").script()
        with psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname=database, autocommit=True) as owner:
            assert owner.pgconn.exec_(script.encode()).status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
    facts = {"host": "127.0.0.1", "port": server.port, "user": ROLE, "password": "unused", "sslmode": "disable"}
    made = Field(server, corpus, lambda _who, database: psycopg.conninfo.make_conninfo(**facts, dbname=database), OPEN)
    yield made
    made.close()


def test_the_floor_alone_holds_every_value_and_answers_only_what_privileges_cannot_prevent(field: Field, version: int) -> None:
    tried = [one for one in (*VALUES, *ORACLES, *LAUNDERINGS) if one.since <= version]
    got = {one.name: one.kind for one in tried if field.attempt(one) == "LEAKED"}
    assert len(tried) > 300 and set(got.values()) <= {"oracle"}, got
    assert set(got) == ANSWERED, (sorted(set(got) - ANSWERED), sorted(ANSWERED - set(got)))
