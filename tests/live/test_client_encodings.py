"""libpq in another encoding than UTF-8, through a whole gateway: what is judged, what comes back, byte for byte."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import DiagnosticField, TransactionStatus

from tests.house import BENCH, House
from tests.servers import POSTGRES, PostgresServer

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    server = PostgresServer(POSTGRES)
    server.start()
    try:
        with House(Path(tmp_path_factory.mktemp("h")), server, workers=1) as house:
            yield house
    finally:
        server.stop()


def test_names_values_and_errors_in_a_single_byte_encoding(house: House) -> None:
    with psycopg.connect(house.dsn(BENCH), autocommit=True) as connection:
        wire = connection.pgconn
        wire.exec_(b"set client_encoding to koi8r")
        result = wire.exec_("select 'привет' as \"имя\"".encode("koi8-r"))
        assert (result.get_value(0, 0), result.fname(0)) == ("привет".encode("koi8-r"), "имя".encode("koi8-r"))
        bound = wire.exec_params("select $1 || 'ж'".encode("koi8-r"), ["д".encode("koi8-r")])
        assert bound.get_value(0, 0) == "дж".encode("koi8-r")
        wire.exec_(b"set client_encoding to latin9")
        failed = wire.exec_('select 1 from "foo€bar"'.encode("iso8859-15"))
        assert b'relation "foo\xa4bar" does not exist' in failed.error_message


@pytest.mark.parametrize("change", ["SET client_encoding TO sjis", "SET NAMES 'EUC_JP'", "SET standard_conforming_strings TO off"], ids=["sjis", "names", "quotes"])
def test_a_setting_that_no_text_can_be_judged_under_is_refused_and_the_session_goes_on(house: House, change: str) -> None:
    """In a transaction too, which then is what the server says it is."""
    with psycopg.connect(house.dsn(BENCH), autocommit=True) as connection:
        wire = connection.pgconn
        for opening, after in ((b"", TransactionStatus.IDLE), (b"BEGIN", TransactionStatus.INERROR)):
            wire.exec_(opening)
            refused = wire.exec_(change.encode())
            assert (refused.error_field(DiagnosticField.SQLSTATE), wire.transaction_status) == (b"42501", after)
            assert b"OST-207" in refused.error_message
        wire.exec_(b"ROLLBACK")
        assert wire.exec_(b"SELECT 'reached'").get_value(0, 0) == b"reached"


def test_an_encoding_that_can_hide_a_quote_ends_the_session(house: House) -> None:
    """Where no text said so before. psql says what libpq's own result of a session that ended no longer does."""
    said = subprocess.run(
        ["psql", "-X", house.dsn(BENCH), "-c", "DO $$BEGIN SET client_encoding TO sjis; END$$", "-c", "SELECT 'reached'"],
        capture_output=True, text=True, timeout=60,
    )
    assert "OST-705" in said.stderr and "reached" not in said.stdout and said.returncode == 2
