"""
Node's drivers and ORMs: one program, `node/compare.js`, says the same of a direct connection and of one through the gateway.

`make suites SRC=DIR` runs it where node is there, with the packages of `node/package.json` from `DIR/node/node_modules`
(copy that file to DIR/node and run `npm install` there).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from tests.house import ADA, CLEAR, House, environment
from tests.servers import POSTGRES, SUPERUSER, PostgresServer, make_certificates

PACKAGES = Path(os.environ.get("OSTIARY_SUITES", "")) / "node" / "node_modules"
READY = bool(os.environ.get("OSTIARY_SUITES")) and shutil.which("node") is not None and PACKAGES.exists()
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not READY, reason="needs node and DIR/node/node_modules: make suites SRC=DIR"),
]

SOURCE = Path(__file__).parent / "node" / "compare.js"
TIME = 280  # seconds for a part on a busy machine
PARTS = ("pg", "listening", "cancelling", "streams", "native", "native listening", "native cancelling",
         "postgres", "knex", "sequelize", "typeorm", "drizzle")  # fmt: skip
PATIENTS = """
    create table patients (id serial primary key, name text not null, ssn text, born date, notes text, doc jsonb, weight numeric);
    insert into patients (name, ssn, born, notes, doc, weight)
    select 'Name ' || i, '900-' || lpad(i::text, 2, '0') || '-' || (4000 + i), date '1980-01-01' + i, 'RAWNOTE' || i,
        jsonb_build_object('k', i), i * 1.5 from generate_series(1, 50) i
"""
RAW = ("900-0", "900-1", "900-2", "RAWNOTE")

Login = Mapping[str, str]


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Login]]:
    """How to connect: "direct" to a server, and to another through a gateway as "clear" and as "masked"."""
    folder = tmp_path_factory.mktemp("node")
    made = make_certificates(folder / "c")
    servers = [PostgresServer(POSTGRES, {"log_statement": "none"}, certificates=made) for _ in range(2)]
    try:
        for server in servers:
            server.start()
            with psycopg.connect(host="127.0.0.1", port=server.port, user=SUPERUSER, dbname="postgres", autocommit=True) as admin:
                admin.execute(PATIENTS)
        with House(folder / "h", servers[1], workers=1, masked={"public.patients": ["ssn", "notes"]}) as house:
            root = {"sslrootcert": str(house.authority)}
            yield {
                "direct": house.direct_facts() | {"port": str(servers[0].port), "sslrootcert": str(made.ca)},
                "clear": house.facts(CLEAR) | root, "masked": house.facts(ADA) | root,
            }  # fmt: skip
            assert "ended by a bug" not in house.text() and "Traceback" not in house.text()
    finally:
        for server in servers:
            server.stop()


def start(facts: Login, part: str, sslmode: str) -> subprocess.Popen[str]:
    plain = {name: value for name, value in facts.items() if name != "sslrootcert" or sslmode == "verify-full"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    known = environment({**plain, "sslmode": sslmode, "host": "localhost" if sslmode == "verify-full" else "127.0.0.1"})
    return subprocess.Popen(
        ["node", "--no-warnings", str(SOURCE)], env={**kept, **known, "WHAT": part, "NODE_PATH": str(PACKAGES)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def said(facts: Login, part: str, sslmode: str = "disable") -> list[str]:
    with start(facts, part, sslmode) as process:
        try:
            out, err = process.communicate(timeout=TIME)
        finally:
            process.kill()
    lines = out.splitlines()
    assert process.returncode == 0 and lines[-1] == "done", f"{out[-2000:]}\n{err[-2000:]}"
    return lines


@pytest.mark.parametrize("sslmode", ["disable", "verify-full"])
@pytest.mark.parametrize("part", PARTS)
def test_node_says_the_same(logins: dict[str, Login], part: str, sslmode: str) -> None:
    """Results, tags, types, errors with their fields, notices, transactions, COPY, cursors, LISTEN, cancels, introspection."""
    if part.startswith("native") and sslmode == "verify-full":
        sslmode = "require"  # pg-native takes no authority from here
    assert said(logins["clear"], part, sslmode) == said(logins["direct"], part, sslmode)


def test_no_raw_value_comes_by_any_of_nodes_ways(logins: dict[str, Login]) -> None:
    """Whoever sees everything is shown them by the very same program."""
    masked, shown = said(logins["masked"], "masks"), said(logins["clear"], "masks")
    asked = [line for line in masked if not line.startswith("masks select * from patients where ssn")]  # its own text holds one
    assert [line for line in asked if any(raw in line for raw in RAW)] == []
    assert sum(any(raw in line for raw in RAW) for line in shown) > 10 and len(masked) == len(shown)
