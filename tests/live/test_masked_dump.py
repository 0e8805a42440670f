"""pg_dump by somebody who sees masks: definitions, clear tables and masked ones; they cannot restore what it wrote."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest

from tests.house import BENCH, CLEAR, PATIENCE, House, environment
from tests.servers import clients, postgres_18

pytestmark = pytest.mark.live

TOOLS = {"15": clients(), "18": postgres_18()}
OLDER = "there is no pg_dump here that writes for this server"


def dumped(house: House, version: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """As somebody who sees masks."""
    return subprocess.run(
        [TOOLS[version] / "pg_dump", "--no-subscriptions", *words], env={**os.environ, **environment(house.facts(BENCH))},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("words", [["-s"], ["-T", "patients", "-T", "encounters", "-T", "beds"]], ids=["schema", "clear tables"])
def test_a_dump_without_masked_tables_is_whole(request: pytest.FixtureRequest, version: str, words: list[str]) -> None:
    done = dumped(request.getfixturevalue(f"house{version}"), version, *words)
    assert done.returncode == 0, done.stderr
    assert b"CREATE TABLE public.wards" in done.stdout and b"CANARY" not in done.stdout + done.stderr
    assert (b"COPY public.wards" in done.stdout) == (words != ["-s"])


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("words", [[], ["--inserts"]], ids=["copy", "inserts"])
def test_a_dump_of_masked_tables_holds_masks_and_every_row(request: pytest.FixtureRequest, version: str, words: list[str]) -> None:
    house: House = request.getfixturevalue(f"house{version}")
    done = dumped(house, version, "-a", "-t", "patients", *words)
    assert done.returncode == 0, done.stderr
    assert b"***" in done.stdout and b"CANARY" not in done.stdout + done.stderr
    rows = int(house.server.sql("SELECT count(*) FROM ONLY patients", "clinic"))
    lines = done.stdout.split(b"FROM stdin;\n")[-1].split(b"\\.\n")[0].splitlines() if not words else done.stdout.split(b"INSERT INTO public.patients")[1:]
    assert len(lines) == rows > 0


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("words", [[], ["--inserts"]], ids=["copy", "inserts"])
def test_what_was_dumped_masked_is_not_restored(request: pytest.FixtureRequest, version: str, words: list[str]) -> None:
    """A mask would take the real value's place, and nobody could tell."""
    house: House = request.getfixturevalue(f"house{version}")
    if not house.server.restores:
        pytest.skip(OLDER)
    before = house.server.sql("SELECT md5(string_agg(p::text, ',' ORDER BY p::text)) FROM patients p", "clinic")
    done = dumped(house, version, "-a", "-t", "patients", *words)
    restored = subprocess.run(
        [TOOLS[version] / "psql", "-X", "-v", "ON_ERROR_STOP=1"], env={**os.environ, **environment(house.facts(BENCH))},
        input=done.stdout, capture_output=True, timeout=PATIENCE, check=False,
    )
    assert restored.returncode == 3 and b"OST-513" in restored.stderr, restored.stderr
    assert house.server.sql("SELECT md5(string_agg(p::text, ',' ORDER BY p::text)) FROM patients p", "clinic") == before


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("words", [[], ["--inserts"]], ids=["copy", "inserts"])
def test_masks_are_not_restored_by_somebody_who_sees_the_values(request: pytest.FixtureRequest, version: str, words: list[str]) -> None:
    """A job with clear access would put masks over what it stands for; it may write everything else."""
    house: House = request.getfixturevalue(f"house{version}")
    if not house.server.restores:
        pytest.skip(OLDER)
    before = house.server.sql("SELECT md5(string_agg(p::text, ',' ORDER BY p::text)) FROM patients p", "clinic")
    done = dumped(house, version, "-a", "-t", "patients", *words)
    restored = subprocess.run(
        [TOOLS[version] / "psql", "-X", "-v", "ON_ERROR_STOP=1"], env={**os.environ, **environment(house.facts(CLEAR))},
        input=done.stdout, capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert restored.returncode == 3 and b"OST-526" in restored.stderr, restored.stderr
    assert house.server.sql("SELECT md5(string_agg(p::text, ',' ORDER BY p::text)) FROM patients p", "clinic") == before


INTO = "COPY patients (id, name, ssn) FROM STDIN"
MANY = "".join(f"{number}\tx\t219-09-9998\n" for number in range(1000, 4000))
COPIES = {
    "text": (INTO, MANY + "4000\tx\t***\n"), "csv": (f"{INTO} CSV", '1000,x,y\n1001,x,"***"\n'), "last line": (INTO, "1000\tx\ty\n1001\tx\t***"), "escaped": (INTO, MANY + "4000\t\\N\t\\x2a*\\052\n"),
}  # fmt: skip


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_with_one_mask_in_it_fails_as_a_whole(request: pytest.FixtureRequest, version: str, how: str) -> None:
    """Nothing of it is there afterwards, and the session goes on; the same data without the mask is taken."""
    house: House = request.getfixturevalue(f"house{version}")
    sql, data = COPIES[how]
    rows = "SELECT count(*) FROM patients"
    with house.connect(CLEAR, autocommit=False) as connection:
        before = connection.execute(rows).fetchone()
        connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-526"), connection.cursor().copy(sql) as copy:
            for at in range(0, len(data), 1000):
                copy.write(data[at : at + 1000])
        connection.rollback()
        assert connection.execute(rows).fetchone() == before
        with connection.cursor().copy(INTO) as copy:
            copy.write(MANY)
        assert connection.execute(rows).fetchone() == (before[0] + 3000,)
        connection.rollback()
