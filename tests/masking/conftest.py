"""PostgreSQL 15 and 18 with the corpus's database, and the addon configured as the corpus's policy says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from addons.masking import Masking
from tests.masking.gate import Catalogs, Gate, session
from tests.servers import POSTGRES, PostgresServer, postgres_18

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


class Rack:
    """The servers, each started when it is first asked for and kept, whichever version the next file begins with."""

    def __init__(self, corpus: ModuleType, ends: ExitStack) -> None:
        self._corpus, self._ends, self._servers, self._wide = corpus, ends, {}, set()

    def server(self, version: int) -> PostgresServer:
        """PostgreSQL 15 or 18."""
        if version not in self._servers:
            self._servers[version] = self._start(version)
        return self._servers[version]

    def _start(self, version: int) -> PostgresServer:
        """The wheel's 18 is built without XML and two extensions, whose functions nobody may call here anyway."""
        server = PostgresServer(POSTGRES if version == 15 else postgres_18(), SETTINGS)
        self._ends.callback(server.stop)
        server.start()
        server.sql("CREATE ROLE app SUPERUSER LOGIN")
        server.sql("CREATE DATABASE clinic OWNER app")
        self._corpus.PORT = server.port
        setup = self._corpus.text(str(CORPUS / "postgres" / "setup.sql"))
        if version == 18:
            setup = re.sub(r"CREATE EXTENSION IF NOT EXISTS (pgcrypto|xml2);", "", setup)
            setup = setup.replace("xmlelement(name patient, xmlattributes(ssn as ssn), full_name)", "NULL")
        server.sql(setup, "clinic")
        return server

    def wide(self, server: PostgresServer) -> PostgresServer:
        """With a second database that has more roads to the same values."""
        if server.port not in self._wide:
            server.sql("CREATE DATABASE wide OWNER app TEMPLATE clinic")
            server.sql((Path(__file__).parent / "schema.sql").read_text(), "wide")
            self._wide.add(server.port)
        return server


@pytest.fixture(scope="session")
def rack(corpus: ModuleType) -> Iterator[Rack]:
    with ExitStack() as ends:
        yield Rack(corpus, ends)


@pytest.fixture(scope="session", params=[15, 18])
def server(request: pytest.FixtureRequest, corpus: ModuleType, rack: Rack) -> PostgresServer:
    """Of both versions, one after the other."""
    server = rack.server(request.param)
    corpus.PORT = server.port
    return server


@pytest.fixture(scope="session")
def version(server: PostgresServer) -> int:
    """The server's major version."""
    return int(server.sql("SHOW server_version_num")) // 10000


@pytest.fixture(scope="session")
def wide(server: PostgresServer, rack: Rack) -> PostgresServer:
    """The same server, with the second database."""
    return rack.wide(server)


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
