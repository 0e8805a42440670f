"""
A second author's attempts on masking and policy, through the whole gateway on real servers: none brings a value, an answer
or a forbidden deed. `attempts/first.json` is what came of each when it was first made, before anything was mended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.masking.attempts.attempt import Attempt
from tests.masking.attempts.beside import BESIDE
from tests.masking.attempts.field import OPEN, Field, gateway, prepare
from tests.masking.attempts.known import KNOWN
from tests.masking.attempts.launderings import LAUNDERINGS
from tests.masking.attempts.oracles import ORACLES
from tests.masking.attempts.policies import POLICIES
from tests.masking.attempts.values import VALUES
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

ATTEMPTS = {one.name: one for one in (*VALUES, *ORACLES, *LAUNDERINGS, *POLICIES, *BESIDE)}
FIRST: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "attempts" / "first.json").read_text())


@pytest.fixture(scope="module")
def fields(
    server: PostgresServer, corpus: ModuleType, columns: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Field, Field]]:
    """Behind the gateway, and in the open."""
    prepare(server)
    with gateway(tmp_path_factory.mktemp("attempts") / "house", server, [*columns, *MORE]) as house:
        behind = Field(server, corpus, lambda who, database: house.dsn(who, dbname=database))
        bare = Field(server, corpus, lambda who, database: house.direct(dbname=database), OPEN)
        behind.warm()
        yield behind, bare
        behind.close()
        bare.close()


def since(attempt: Attempt, version: int) -> None:
    if version < attempt.since:
        pytest.skip(f"PostgreSQL {version} does not know what it uses")


def expected(name: str) -> Any:
    marks = [pytest.mark.xfail(reason=KNOWN[name], strict=True)] if name in KNOWN else []
    return pytest.param(name, marks=marks)


@pytest.mark.parametrize("name", [expected(name) for name in ATTEMPTS])
def test_no_attempt_succeeds(name: str, fields: tuple[Field, Field], version: int) -> None:
    since(ATTEMPTS[name], version)
    assert fields[0].attempt(ATTEMPTS[name]) != "LEAKED"


def test_nearly_every_attempt_works_without_a_gateway(fields: tuple[Field, Field], server: PostgresServer, version: int) -> None:
    """One that fails by itself would prove nothing: what does so is written down with it."""
    without = () if "--with-libxml" in server.sql("SELECT setting FROM pg_config WHERE name = 'CONFIGURE'") else XML
    able = [one for one in ATTEMPTS.values() if one.bare and one.since <= version and one.name not in without]
    assert not [one.name for one in able if fields[1].attempt(one) != "LEAKED"]


XML = frozenset({"cursors by function", "xmltable of the row", "XMLEXISTS", "a query by xml", "a table by xml"})
"""The wheel's 18 is built without it."""


def test_every_attempt_has_a_first_result() -> None:
    assert set(FIRST) == set(ATTEMPTS) and len(ATTEMPTS) == len((*VALUES, *ORACLES, *LAUNDERINGS, *POLICIES, *BESIDE))
    assert set(KNOWN) <= {name for name, row in FIRST.items() if "LEAKED" in row.values()}
