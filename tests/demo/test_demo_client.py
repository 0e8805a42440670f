"""The demo's own client prints what psql prints, and knows whom it talks to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.certificates import authority
from gateway.demo.client import table
from gateway.demo.database import APPLICATION, NAME, Database, environment
from protocols.result import Column

OURS = [sys.executable, "-m", "gateway.demo.client"]
PSQL = ["psql", "-X"]
live = pytest.mark.live


@pytest.fixture(scope="module")
def settings(module_directory: Path) -> Iterator[dict[str, str]]:
    """The environment of a client of the demo's database."""
    with Database(module_directory / "postgres", patients=40) as running:
        yield environment() | {
            "PGHOST": "127.0.0.1", "PGPORT": str(running.port), "PGUSER": APPLICATION, "PGDATABASE": NAME,
            "PGPASSWORD": running.place.password(APPLICATION), "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(running.place.authority),
        }  # fmt: skip


def run(program: list[str], settings: dict[str, str], *queries: str) -> subprocess.CompletedProcess[str]:
    words = [word for query in queries for word in ("-c", query)]
    return subprocess.run([*program, *words], env=settings, capture_output=True, text=True, check=False)


@live
@pytest.mark.skipif(shutil.which("psql") is None, reason="there is no psql to compare with")
def test_it_prints_what_psql_prints(settings: dict[str, str]) -> None:
    """Rows, tags, errors, notices and the state of a transaction, byte for byte."""
    queries = (
        "SELECT id, mrn, dob, email FROM patients ORDER BY id LIMIT 7",
        "SELECT * FROM patients WHERE false",
        "SELECT 1 AS one, NULL AS nothing, 'x' AS text",
        "COPY (SELECT id, name FROM departments ORDER BY id LIMIT 3) TO STDOUT",
        "BEGIN",
        "UPDATE providers SET accepting = NOT accepting WHERE id = 3",
        "SELECT 1/0",
        "SELECT 1",
        "COMMIT",
        "DO $$ BEGIN RAISE NOTICE 'look' USING DETAIL = 'here', HINT = 'there'; END $$",
    )
    ours, theirs = run(OURS, settings, *queries), run(PSQL, settings, *queries)
    assert ours.stdout == theirs.stdout and "(7 rows)" in ours.stdout and "ROLLBACK" in ours.stdout
    assert ours.stderr == theirs.stderr and "division by zero" in ours.stderr
    assert ours.returncode == theirs.returncode == 0


@live
def test_large_results_come_whole(settings: dict[str, str]) -> None:
    """Ten megabytes through the TLS front, row by row and as COPY."""
    rows = "SELECT repeat('x', 1000) FROM generate_series(1, 10000)"
    assert run(OURS, settings, rows).stdout.count("x" * 1000 + "\n") == 10_000
    assert len(run(OURS, settings, f"COPY ({rows}) TO STDOUT").stdout) == 10_000 * 1001


@live
def test_the_last_error_is_the_exit_status(settings: dict[str, str]) -> None:
    """As psql's."""
    assert run(OURS, settings, "SELECT 1", "SELEC").returncode == 1


@live
def test_a_wrong_password_is_no_session(settings: dict[str, str]) -> None:
    """Said in the server's words; the password is not in them."""
    done = run(OURS, settings | {"PGPASSWORD": "sesame-open"}, "SELECT 1")
    assert done.returncode == 2 and "password authentication failed" in done.stderr
    assert "sesame" not in done.stderr


@live
def test_an_unknown_certificate_is_no_session(settings: dict[str, str], tmp_path: Path) -> None:
    """The password is not sent to somebody else."""
    other = tmp_path / "other.pem"
    other.write_bytes(authority("somebody else").certificate.public_bytes(Encoding.PEM))
    done = run(OURS, settings | {"PGSSLROOTCERT": str(other)}, "SELECT 1")
    assert done.returncode == 2 and "certificate verify failed" in done.stderr


@live
def test_nobody_there_is_said(settings: dict[str, str]) -> None:
    """Port 1 of the loopback."""
    done = run(OURS, settings | {"PGPORT": "1"}, "SELECT 1")
    assert done.returncode == 2 and "127.0.0.1, port 1 failed" in done.stderr


@pytest.mark.parametrize("words", [[], ["-c"], ["--file", "x"], ["-c", "SELECT 1"]])
def test_usage(words: list[str]) -> None:
    """Anything but `-c SQL` with a whole environment is refused."""
    bare = {name: value for name, value in environment().items() if not name.startswith("PG")}
    done = subprocess.run([*OURS, *words], env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage") and "PGHOST" in done.stderr


def test_numbers_stand_right_and_texts_left() -> None:
    """psql's aligned format, without trailing blanks in rows."""
    columns = [Column("n", 0, 0, 23), Column("word", 0, 0, 25)]
    assert table(columns, [("1", "a"), ("22", "bc")]) == (
        " n  | word \n----+------\n  1 | a\n 22 | bc\n(2 rows)\n"
    )
