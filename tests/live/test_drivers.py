"""
Drivers of other languages: one program each, which says the same of a direct connection and of one through the gateway, with and
without TLS; for Ada it says masks. Each is skipped where it is not installed: the soak profile wants them, CI does not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import ADA, CLEAR, House, environment

pytestmark = [pytest.mark.live, pytest.mark.soak]

HERE = Path(__file__).parent / "drivers"
SYSTEM = "/usr/bin/python3"  # Debian's: it has what Debian's packages bring
TIME = 300  # seconds for a run on a busy machine


@dataclass(frozen=True)
class Driver:
    """
    :ivar command: that runs its program. :ivar probe: that fails where it is missing. :ivar packages: Debian's, that bring it.
    """

    command: tuple[str, ...]
    probe: tuple[str, ...]
    packages: str
    more: tuple[tuple[str, str], ...] = ()


def python(name: str, module: str, packages: str) -> Driver:
    return Driver((SYSTEM, str(HERE / "compare.py"), name), (SYSTEM, "-c", f"import {module}"), packages)


RECORDS = ("ruby", str(HERE / "compare_active_record.rb"))
ODBC = "odbc-postgresql python3-pyodbc"
DRIVERS = {
    "DBD::Pg": Driver(("perl", str(HERE / "compare.pl")), ("perl", "-MDBD::Pg", "-e", "1"), "libdbd-pg-perl"),
    "ruby": Driver(("ruby", str(HERE / "compare.rb")), ("ruby", "-e", "require 'pg'"), "ruby-pg"),
    "active record": Driver(RECORDS, ("ruby", "-e", "require 'active_record'; require 'pg'"), "ruby-activerecord ruby-pg"),
    "active record unprepared": Driver(
        RECORDS, ("ruby", "-e", "require 'active_record'; require 'pg'"), "ruby-activerecord ruby-pg", (("PREPARED", "no"),)
    ),
    "php": Driver(("php", str(HERE / "compare.php")), ("php", "-r", "exit(extension_loaded('pgsql') && extension_loaded('pdo_pgsql') ? 0 : 1);"), "php8.2-cli php8.2-pgsql"),
    "libpqxx": Driver((), ("sh", "-c", "command -v g++ && test -e /usr/include/pqxx/pqxx"), "g++ libpqxx-dev"),
    "R": Driver(("Rscript", str(HERE / "compare.R")), ("Rscript", "-e", "library(RPostgreSQL)"), "r-cran-rpostgresql"),
    "psycopg2": python("psycopg2", "psycopg2", "python3-psycopg2"),
    "pg8000": Driver((sys.executable, str(HERE / "compare.py"), "pg8000"), (sys.executable, "-c", "import pg8000.dbapi"), "none; of PyPI pg8000"),
    **{name: python(name, "pyodbc", ODBC) for name in ("odbc", "odbc-fetch", "odbc-simple")},
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program in C++."""
    made = tmp_path_factory.mktemp("pqxx") / "compare"
    subprocess.run(["g++", "-std=c++17", "-w", str(HERE / "compare.cxx"), "-o", str(made), "-lpqxx", "-lpq"], check=True, timeout=TIME)
    return made


@pytest.fixture(params=DRIVERS, ids=[name.replace(" ", "-") for name in DRIVERS])
def driver(request: pytest.FixtureRequest) -> Driver:
    found: Driver = DRIVERS[request.param]
    there = shutil.which(found.probe[0]) and subprocess.run(found.probe, capture_output=True, timeout=TIME).returncode == 0
    if not there:
        pytest.skip(f"{request.param} is not installed; Debian's packages: {found.packages}")
    return found if found.command else Driver((str(request.getfixturevalue("compiled")),), found.probe, found.packages)


def said(driver: Driver, facts: Mapping[str, str], mode: str, **more: str) -> list[str]:
    done = subprocess.run(
        [*driver.command, mode], capture_output=True, text=True, timeout=TIME,
        env={**os.environ, **environment({**facts, **more}), **dict(driver.more)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert done.stdout.splitlines()[-1] == "end"
    return lines


def test_a_driver_says_the_same_through_the_gateway(driver: Driver, house15: House) -> None:
    """Rows, types, every field of errors and notices, tags, transactions, COPY, large objects, cancelled and asynchronous queries."""
    assert said(driver, house15.facts(CLEAR), "clear") == said(driver, house15.direct_facts(), "clear")


def test_a_driver_says_the_same_over_tls(driver: Driver, house15: House) -> None:
    """With the gateway's certificate checked by name."""
    through = house15.facts(CLEAR, host="localhost", sslmode="verify-full", sslrootcert=house15.authority)
    assert said(driver, through, "masked") == said(driver, house15.direct_facts(), "masked")


def test_a_driver_is_shown_masks_and_goes_on(driver: Driver, house15: House) -> None:
    """In both formats, rows of whole tables, cursors, COPY and catalogs; nothing hangs, and what is refused is said."""
    seen = "\n".join(said(driver, house15.facts(ADA), "masked"))
    assert "CANARY" not in seen and "***" in seen
    assert not re.search(r"19[5-9]\d-\d\d-\d\d", seen), "a date of birth"
