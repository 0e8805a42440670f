"""
One gateway that strangers attack, and what must stay as it is meanwhile: sessions of others, processes, memory, the log.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bystanders import Others

from tests.house import BENCH, House
from tests.servers import POSTGRES, PostgresServer

SPOOL = 64 << 20  #: bytes, of each worker


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer(POSTGRES).start()
    try:
        made.sql("CREATE ROLE app LOGIN; CREATE DATABASE clinic OWNER app")
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def house(server: PostgresServer) -> Iterator[House]:
    directory = Path(tempfile.mkdtemp(prefix="ost-", dir="/tmp"))
    try:
        with House(directory / "house", server, database="clinic", user="app", gateway={"spool_bytes": SPOOL}) as made:
            yield made
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def others(house: House) -> Iterator[Others]:
    """Before, during and after each attack."""
    house.token(BENCH)
    there = Others(house)
    try:
        yield there
        there.check()
    finally:
        there.leave()
