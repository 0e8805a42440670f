"""psql 15 and psql 18 on servers 15 and 18: what they print is what they print without a gateway."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.house import ADA, CLEAR, PATIENCE, House, environment, psql, until
from tests.servers import postgres_18

pytestmark = pytest.mark.live

PROGRAMS = {"psql15": Path("psql"), "psql18": postgres_18() / "psql"}

DESCRIBE = """
\\d
\\d+
\\d wards
\\d+ wards
\\d+ shapes
\\d patients
\\d+ roster
\\d beds
\\d numbers
\\d wards_beds
\\dt+ public.*
\\di+
\\dv
\\dm
\\ds
\\dE
\\df+ twice
\\dfS lower
\\dT+ mood
\\dD
\\dn+
\\du
\\dg postgres
\\dp wards
\\ddp
\\dC
\\do =
\\dO
\\dF
\\dFp
\\dL
\\dx
\\dy
\\des
\\dew
\\deu
\\det
\\dA
\\dAc btree
\\dAo btree integer_ops
\\dc
\\dd
\\dP
\\dRp
\\dRs
\\dX
\\dconfig search_path
\\db
\\l
\\l+ postgres
\\z wards
\\sf twice
\\sv roster
\\lo_list
\\d nothere
\\encoding
\\drds
"""

SECRET = {"\\deu": "pg_user_mappings", "\\dRs": "pg_subscription"}
"""They read catalogs that hold passwords, which nobody is shown who sees anything masked."""

SCRIPTS = {
    "rows": "SELECT * FROM shapes; TABLE wards; SELECT NULL, '', 1/4.0;\n",
    "expanded and aligned": "\\x on\nSELECT * FROM shapes LIMIT 1;\n\\x off\n\\a\n\\f '|'\nTABLE wards;\n\\pset null ¤\nSELECT NULL;\n",
    "html, csv and json": "\\pset format html\nTABLE wards;\n\\pset format csv\nTABLE wards;\nSELECT json_agg(w) FROM wards w;\n",
    "gset and variables": "SELECT id, name FROM wards WHERE id = 2 \\gset w_\n\\echo :w_id :w_name\nSELECT :'w_name' AS back;\n"
                          "SELECT 5 AS five \\gset\nSELECT :five + 1;\n",
    "gexec, gx, gdesc": "SELECT 'SELECT ' || id FROM wards ORDER BY id \\gexec\nSELECT 1 AS a \\gx\nSELECT id, name, 1.5::numeric(4,2) AS n FROM wards \\gdesc\n",
    "crosstab": "SELECT id, name, beds FROM wards ORDER BY 1 \\crosstabview\n",
    "errors": "SELECT 1/0;\nSELECT nothere FROM wards;\nSELECT * FROM nothere;\nSELEC 1;\nINSERT INTO wards VALUES (1, 'x', 1);\n"
              "INSERT INTO wards VALUES (8, 'x', -1);\nSELECT 'abc'::int;\nSELECT 'still here';\n",
    "verbose errors": "\\set VERBOSITY verbose\nSELECT nothere FROM wards;\nINSERT INTO wards VALUES (1, 'x', 1);\n\\errverbose\n",
    "several in one string": "SELECT 1\\; SELECT 2\\; SELECT 3;\nBEGIN\\; SELECT 4\\; COMMIT;\nSELECT 5\\; SELECT 1/0\\; SELECT 6;\nSELECT 7;\n",
    "transactions": "BEGIN;\nINSERT INTO wards VALUES (4, 'west', 1);\nSAVEPOINT a;\nSELECT 1/0;\nSELECT 1;\nROLLBACK TO a;\n"
                    "SELECT count(*) FROM wards;\nROLLBACK;\nSELECT count(*) FROM wards;\nCOMMIT;\n",
    "on error rollback": "\\set ON_ERROR_ROLLBACK on\nBEGIN;\nSELECT 1/0;\nSELECT 2;\nCOMMIT;\n",
    "autocommit off": "\\set AUTOCOMMIT off\nUPDATE wards SET beds = beds + 1 WHERE id = 1;\nROLLBACK;\nSELECT beds FROM wards WHERE id = 1;\nROLLBACK;\n",
    "fetch count": "\\set FETCH_COUNT 7\nSELECT n, repeat('x', n) FROM generate_series(1, 50) n;\nSELECT 1/(25 - n) FROM generate_series(1, 50) n;\nSELECT 'after';\n",
    "notices": "SET client_min_messages = debug1;\nSELECT say('hello');\nDROP TABLE IF EXISTS nothere;\nDO $$BEGIN RAISE WARNING 'careful' USING HINT = 'slowly'; END$$;\n",
    "prepared": "PREPARE p(int) AS SELECT name FROM wards WHERE id = $1;\nEXECUTE p(1);\nEXECUTE p(3);\nEXECUTE p('x');\nDEALLOCATE p;\nEXECUTE p(1);\n",
    "cursors": "BEGIN;\nDECLARE c SCROLL CURSOR FOR SELECT id FROM wards ORDER BY id;\nFETCH 2 FROM c;\nFETCH BACKWARD 1 FROM c;\nMOVE LAST FROM c;\n"
               "FETCH ALL FROM c;\nCLOSE c;\nFETCH 1 FROM c;\nROLLBACK;\n",
    "settings": "SET datestyle = 'German';\nSELECT date '2024-02-29';\nSET timezone = 'America/New_York';\nSHOW timezone;\nRESET ALL;\nSHOW datestyle;\n"
                "SET nothere.x = 1;\n\\encoding\n",
    "copy out": "\\copy wards TO STDOUT\n\\copy (SELECT id, t FROM shapes s, generate_series(1, 3) id) TO STDOUT WITH (FORMAT csv, HEADER)\nCOPY wards TO STDOUT (FORMAT binary);\n",
    "copy in": "CREATE TEMP TABLE c (a int, b text);\n\\copy c FROM STDIN\n1\tone\n2\t\\N\n\\.\nTABLE c;\n\\copy c FROM STDIN WITH (FORMAT csv)\n3,\"a,b\"\n\\.\n"
               "COPY c FROM STDIN;\nx\ty\n\\.\nTABLE c;\n",
    "comments and dollars": "SELECT /* ; */ 1 -- ;\n, $a$ ; ' $a$;\nSELECT E'\\'', U&'\\00e9', 'gr\u00fc\u00df';\n",
    "explain": "EXPLAIN (COSTS OFF) SELECT * FROM wards WHERE id = 1;\nEXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) SELECT * FROM beds;\n",
    "empty": ";\n;;\n\nSELECT;\n\\;\n",
    "a large result": "SELECT n, md5(n::text), repeat('abc', 30) FROM generate_series(1, 20000) n;\n",
    "wide rows": "SELECT repeat('0123456789', 40000) AS wide, n FROM generate_series(1, 5) n;\n",
    "ddl": "BEGIN;\nCREATE TABLE fresh (id serial PRIMARY KEY, v text);\n\\d fresh\nINSERT INTO fresh (v) VALUES ('a'), ('b') RETURNING *;\n"
           "ALTER TABLE fresh ADD w int DEFAULT 3;\nTABLE fresh;\nCREATE VIEW seen AS TABLE fresh;\nSELECT v FROM seen;\nROLLBACK;\n\\d fresh\n",
    "merge": "BEGIN;\nMERGE INTO wards w USING (VALUES (1, 5), (7, 6)) v(id, beds) ON w.id = v.id WHEN MATCHED THEN UPDATE SET beds = v.beds\n"
             "WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'new', v.beds);\nSELECT * FROM wards ORDER BY id;\nROLLBACK;\n",
}  # fmt: skip

SINGLE = {
    "one command": ["-c", "SELECT 1", "-c", "SELECT 2"],
    "one transaction": ["-1", "-c", "SELECT 1/0", "-c", "SELECT 2"],
    "stop": ["-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0", "-c", "SELECT 2"],
    "tuples": ["-Atc", "TABLE wards"],
    "list": ["-l"],
}


def compare(house: House, subject: str, program: str, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    """
    Run it both ways; the answer through the gateway, which is the same.

    Whoever sees anything masked gets errors that were made anew, from their codes: these are not compared.
    """
    direct = psql(house.direct_facts(), text, *words, program=PROGRAMS[program])
    through = psql(house.facts(subject), text, *words, program=PROGRAMS[program])
    assert (through.returncode, _plain(through.stdout)) == (direct.returncode, _plain(direct.stdout))
    assert subject == ADA or _plain(through.stderr) == _plain(direct.stderr)
    return through


def _plain(text: str) -> list[str]:
    """Lines, so that a difference is readable."""
    return text.splitlines()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("subject", [CLEAR, ADA])
def test_the_describe_family(house: House, program: str, subject: str) -> None:
    """Every \\d command, for somebody who sees everything and for somebody who does not: no catalog is masked."""
    text = DESCRIBE if subject == CLEAR else "".join(f"{line}\n" for line in DESCRIBE.splitlines() if line not in SECRET)
    said = compare(house, subject, program, text)
    assert "where beds are" in said.stdout and "Did not find any relation" in said.stderr


@pytest.mark.parametrize(("command", "relation"), SECRET.items())
def test_catalogs_with_passwords_are_refused_by_name(house: House, command: str, relation: str) -> None:
    said = house.psql(ADA, f"{command}\n")
    assert f"pg_catalog.{relation} may hold values of masked columns or secrets [OST-505]" in said.stderr and not said.stdout


@pytest.mark.parametrize(
    ("version", "program"),
    [("15", "psql15"), ("18", "psql18"), pytest.param("15", "psql18", marks=pytest.mark.soak),
     pytest.param("18", "psql15", marks=pytest.mark.soak)],
)
def test_scripts(request: pytest.FixtureRequest, version: str, program: str) -> None:
    """One psql per script, all in one test for speed; the first that differs is named."""
    house: House = request.getfixturevalue(f"house{version}")
    for name, text in SCRIPTS.items():
        try:
            compare(house, CLEAR, program, text)
        except AssertionError as different:
            raise AssertionError(f"script {name!r}: {different}") from None


def test_a_strangers_masks_do_not_show_elsewhere(house15: House) -> None:
    """Ada sees some columns masked; what touches none of them is the same for her too."""
    apart = {"copy in", "ddl", "notices"}  # they drop, or call what cannot be looked into: refused to her
    for name, text in SCRIPTS.items():
        if name not in apart:
            compare(house15, ADA, "psql15", text)


@pytest.mark.parametrize("words", SINGLE.values(), ids=SINGLE)
def test_commands_on_the_command_line(house: House, words: list[str]) -> None:
    compare(house, CLEAR, "psql18", "", *words)


def test_psql_18_pipelines(house: House) -> None:
    """\\startpipeline, \\bind, \\sendpipeline, \\syncpipeline, \\getresults, an error in the middle."""
    text = (
        "\\startpipeline\nSELECT $1 \\bind one \\sendpipeline\nSELECT 1/0 \\bind \\sendpipeline\nSELECT 3 \\bind \\sendpipeline\n"
        "\\syncpipeline\nSELECT $1::int + 1 \\bind 41 \\sendpipeline\n\\endpipeline\nSELECT $1 || $2 \\bind a b \\g\n"
        "SELECT id FROM wards WHERE id = $1 \\parse s\n\\bind_named s 2 \\g\n\\close_prepared s\n\\bind_named s 2 \\g\n"
    )
    said = compare(house, CLEAR, "psql18", text)
    assert "42" in said.stdout and "division by zero" in said.stderr


def test_notifications(house15: House) -> None:
    """LISTEN and NOTIFY in one session; only the server process differs."""
    text = "LISTEN a;\nNOTIFY a, 'hi';\nSELECT 1;\nUNLISTEN *;\nNOTIFY a;\nSELECT 2;\n"
    said = [
        re.sub(r"PID \d+", "PID", psql(facts, text).stdout)
        for facts in (house15.direct_facts(), house15.facts(CLEAR))
    ]
    assert said[0] == said[1] and 'with payload "hi"' in said[1]


def test_the_process_id_is_the_servers(house15: House) -> None:
    """pg_backend_pid() is what the client was told, so pg_stat_activity can be read."""
    with house15.connect(CLEAR) as connection:
        assert connection.execute("SELECT pg_backend_pid()").fetchone() == (connection.info.backend_pid,)


def test_conninfo_and_reconnect(house15: House) -> None:
    r"""\conninfo says the identity; \c reaches another database of the target, and not one that is not listed."""
    said = house15.psql(CLEAR, "\\conninfo\n\\c postgres\nSELECT current_database();\n\\c template1\n\\c -\n", "-At")
    assert f'as user "{CLEAR}@db"' in said.stdout and "postgres" in said.stdout
    assert 'there is no such target, account or database for you [OST-101]' in said.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_control_c_cancels_a_running_statement(house: House, program: str) -> None:
    """As direct: the statement ends with 57014 and the session goes on."""
    said = []
    for facts in (house.direct_facts(application_name="interrupted"), house.facts(CLEAR, application_name="interrupted")):
        running = subprocess.Popen(
            [PROGRAMS[program], "-X"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **environment(facts)},
        )
        assert running.stdin is not None
        running.stdin.write("SELECT pg_sleep(600);\nSELECT 'goes on';\n")
        running.stdin.close()
        running.stdin = None
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'interrupted' AND wait_event = 'PgSleep'"
        until(lambda: house.server.sql(asleep) == "1", "the sleep")
        running.send_signal(signal.SIGINT)
        said.append((*running.communicate(timeout=PATIENCE), running.returncode))
    assert said[0] == said[1] and "canceling statement due to user request" in said[1][1]


def test_where_somebody_may_not_go_is_recorded(house15: House) -> None:
    """Whoever tries names of targets and accounts is told nothing, and leaves them all behind."""
    facts = house15.facts(CLEAR)
    for user in (f"{CLEAR}@payroll", f"{CLEAR}@db+root"):
        with pytest.raises(psycopg.OperationalError, match="OST-101"):
            psycopg.connect(**{**facts, "user": user})

    def tried() -> list[tuple[str, str, str | None]]:
        notes = [r["body"]["facts"] for r in house15.records("--kind", "note") if r["fields"]["what"] == "session.refused"]
        return [(one["subject"], one["target"], one.get("account")) for one in notes[-2:]]

    until(lambda: tried() == [(CLEAR, "payroll", None), (CLEAR, "db", "root")], "both in the evidence")


def test_a_half_written_file_keeps_nobody_from_asking_a_gateway_that_runs(house15: House) -> None:
    """Ending a session least of all."""
    before = house15.file.read_text()
    try:
        house15.file.write_text(before + "\nworkers = \n")
        with house15.connect(CLEAR) as connection:
            listed = house15.ostiary("session", "list", "--json")
            assert listed.returncode == 0, listed.stderr
            (session,) = [one["id"] for one in json.loads(listed.stdout) if one["subject"] == CLEAR]
            assert house15.ostiary("session", "kill", session, "--why", "now").returncode == 0
            with pytest.raises(psycopg.Error, match="OST-650"):
                connection.execute("SELECT 1")
    finally:
        house15.file.write_text(before)
