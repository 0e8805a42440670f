"""pg_dump, pg_restore, pgbench and large objects: PostgreSQL's own tools, directly and through the gateway."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.house import BENCH, CLEAR, PATIENCE, House, environment, psql
from tests.live.changing.attempts import SETUP
from tests.servers import clients, postgres_18

pytestmark = pytest.mark.live

TOOLS = {"15": clients(), "18": postgres_18()}
OLDER = "there is no pg_dump here that writes for this server"


def tool(folder: Path, facts: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run it; its password is in no command line."""
    done = subprocess.run(
        [folder / words[0], *words[1:]], env={**os.environ, **environment(facts)}, capture_output=True, timeout=PATIENCE * 3,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done


def plain(dump: bytes) -> bytes:
    r"""Without the random word that newer dumps put behind \restrict."""
    return re.sub(rb"(?m)^\\(un)?restrict \w+$", rb"\\\1restrict", dump)


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("words", [[], ["--inserts"], ["--schema-only"], ["-Fc", "-Z0"]], ids=["plain", "inserts", "schema", "custom"])
def test_a_dump_is_the_same_to_the_byte(request: pytest.FixtureRequest, version: str, words: list[str]) -> None:
    """By somebody who sees everything as it is. (A custom dump names the time and the server it was made from.)"""
    house: House = request.getfixturevalue(f"house{version}")
    dumps = [tool(TOOLS[version], facts, "pg_dump", *words).stdout for facts in (house.direct_facts(), house.facts(CLEAR))]
    if "-Fc" in words:
        dumps = [subprocess.run([TOOLS[version] / "pg_restore", "-f", "-"], input=dump, capture_output=True, check=True).stdout for dump in dumps]
    assert plain(dumps[0]) == plain(dumps[1]) and b"patients" in dumps[1]


@pytest.mark.parametrize("version", TOOLS)
def test_a_restore_makes_the_same_database(request: pytest.FixtureRequest, tmp_path: Path, version: str) -> None:
    """pg_dump and pg_restore through the gateway, in parallel; a direct dump of the copy equals one of the original."""
    house: House = request.getfixturevalue(f"house{version}")
    if not house.server.restores:
        pytest.skip(OLDER)
    bin_, archive = TOOLS[version], tmp_path / "dump"
    house.server.sql("DROP DATABASE IF EXISTS clinicdb")
    house.server.sql("CREATE DATABASE clinicdb")
    tool(bin_, house.facts(CLEAR), "pg_dump", "-Fd", "-j2", "-f", str(archive))
    tool(bin_, house.facts(CLEAR, dbname="clinicdb"), "pg_restore", "-j2", "--exit-on-error", "-d", "clinicdb", str(archive))
    original, copy = (tool(bin_, house.direct_facts(dbname=name), "pg_dump").stdout for name in ("clinic", "clinicdb"))
    assert plain(copy) == plain(original)


def test_a_restore_in_one_transaction_makes_the_same_database(house15: House) -> None:
    """Views, rules, operators, casts and aggregates over functions and types that the same transaction made a moment before."""
    server = house15.server
    if not server.restores:
        pytest.skip(OLDER)
    for name in ("makings", "clinicdb"):
        server.sql(f"DROP DATABASE IF EXISTS {name}")
        server.sql(f"CREATE DATABASE {name}")
    server.sql(SETUP, "makings")
    dumped = tool(clients(), house15.direct_facts(dbname="makings"), "pg_dump").stdout
    done = house15.psql(CLEAR, dumped.decode(), "-q", "-1", "-v", "ON_ERROR_STOP=1", dbname="clinicdb")
    assert done.returncode == 0, done.stderr
    assert plain(tool(clients(), house15.direct_facts(dbname="clinicdb"), "pg_dump").stdout) == plain(dumped)


def test_a_dump_of_masked_columns_is_refused_and_not_cut_short(house15: House) -> None:
    """An exit code above 0 and a reason, never a file that looks whole."""
    done = subprocess.run(
        [clients() / "pg_dump", "-t", "patients"], env={**os.environ, **environment(house15.facts(BENCH))},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode != 0 and b"OST-" in done.stderr and b"CANARY" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def benched(house15: House) -> House:
    """pgbench -i through the gateway."""
    house15.server.sql("DROP DATABASE IF EXISTS clinicdb")
    house15.server.sql("CREATE DATABASE clinicdb")
    said = tool(clients(), house15.facts(BENCH, dbname="clinicdb"), "pgbench", "-i", "-s", "1", "-q", "--foreign-keys")
    assert b"done in" in said.stderr
    return house15


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("words", [[], ["-S"], ["-N"], ["-C", "-S"]], ids=["tpcb", "select", "simple-update", "reconnect"])
def test_pgbench(benched: House, mode: str, words: list[str]) -> None:
    """Every transaction is processed and none failed; the sums of TPC-B agree."""
    count = 5 if "-C" in words else 25
    said = tool(
        clients(), benched.facts(BENCH, dbname="clinicdb"), "pgbench", "-n", "-c", "4", "-t", str(count), "-M", mode, *words
    ).stdout.decode()
    assert f"number of transactions actually processed: {4 * count}/{4 * count}" in said
    assert "number of failed transactions: 0 (0.000%)" in said
    sums = "SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)"
    assert words or benched.server.sql(sums, "clinicdb") == "t"
    benched.server.sql("TRUNCATE pgbench_history; UPDATE pgbench_accounts SET abalance = 0", "clinicdb")


def test_pgbench_pipelines(benched: House, tmp_path: Path) -> None:
    r"""\startpipeline and \endpipeline, with settings between."""
    script = tmp_path / "pipe.sql"
    script.write_text(
        "\\set a random(1, 100000)\n\\startpipeline\nBEGIN;\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :a;\n"
        "SELECT abalance FROM pgbench_accounts WHERE aid = :a;\nEND;\n\\endpipeline\n"
    )
    for mode in ("extended", "prepared"):
        said = tool(
            clients(), benched.facts(BENCH, dbname="clinicdb"), "pgbench", "-n", "-c", "3", "-t", "20", "-M", mode, "-f", str(script)
        ).stdout  # fmt: skip
        assert b"actually processed: 60/60" in said


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_large_objects(house15: House, tmp_path: Path, size: int) -> None:
    r"""\lo_import and \lo_export use the fast path: FunctionCall by OID."""
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(size))
    said = []
    for facts in (house15.direct_facts(), house15.facts(CLEAR)):
        done = psql(facts, f"\\lo_import {sent} 'a scan'\n\\lo_list\n\\lo_export :LASTOID {back}\n\\lo_unlink :LASTOID\n\\lo_unlink 1\n")
        said.append(re.sub(r"\d{4,}", "OID", done.stdout + done.stderr))
        assert back.read_bytes() == sent.read_bytes()
        back.unlink()
    assert said[0] == said[1] and "a scan" in said[1]


def test_vacuumdb_and_reindexdb(house15: House) -> None:
    """Tools that send one statement after the other, named in the catalog."""
    for words in (["vacuumdb", "-z"], ["reindexdb"], ["clusterdb"]):
        done = tool(clients(), house15.facts(CLEAR), *words)
        assert not done.stderr.replace(b'vacuumdb: vacuuming database "clinic"', b"").strip()
