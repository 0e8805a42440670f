"""One PostgreSQL for all of it, whose log says which program asked; directories short enough for UNIX sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from reckoning import ROLE

from tests.servers import POSTGRES, PostgresServer

@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """With the databases `bench`, which pgbench knows, and `clinic`."""
    settings = {"log_line_prefix": "'%m [%p] %q%u@%d/%a '", "max_connections": "200"}
    made = PostgresServer(POSTGRES, settings).start()
    try:
        made.sql(f"CREATE ROLE {ROLE} LOGIN; CREATE DATABASE bench OWNER {ROLE}; CREATE DATABASE clinic OWNER {ROLE}")
        yield made
    finally:
        made.stop()


def _directory() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ost-", dir="/tmp"))
    yield made / "house"
    shutil.rmtree(made)


directory = pytest.fixture(_directory, name="directory")
lasting_directory = pytest.fixture(_directory, scope="module", name="lasting_directory")
