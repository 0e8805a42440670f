"""
The floor on real servers: provisioned SQL, what its role may do without any gateway, and the addon in front of it.

The script is run as it is printed; the question that a session asks about its role is asked of that role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
from psycopg import pq

from addons.masking import Masking
from addons.masking.floor import floor
from gateway.control.provision import Plan, plan
from gateway.control.standing import standing
from gateway.floor import complaint, question
from tests.masking.attacks import ORACLES, VALUES
from tests.masking.gate import Catalogs, Connection, Gate, Result, session
from tests.masking.test_attacks import MORE
from tests.masking.test_corpus import ELSEWHERE, items, judged
from tests.servers import PostgresServer

ROLE, DATABASE = "app_floor", "floored"
LISTED = ["public.active_patients"]
NOTHING: list[dict[str, Any]] = []


@dataclass
class Floored:
    """A database with its floor, and what was declared for it."""

    server: PostgresServer
    columns: list[dict[str, Any]]

    def planned(self, columns: list[dict[str, Any]] | None = None) -> Plan:
        connection = Connection(self.server.port, DATABASE)
        answers: list = []
        standing(connection, "app", ROLE, ["app"], LISTED).addBoth(answers.append)
        connection.close()
        return plan(answers[0], self.columns if columns is None else columns, LISTED, "clinic", "app", ROLE, ["app"], "floor")

    def run(self, script: str, user: str = "app") -> None:
        with psycopg.connect(host="127.0.0.1", port=self.server.port, user=user, dbname=DATABASE, autocommit=True) as connection:
            result = connection.pgconn.exec_(script.encode())
            assert result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK), (result.error_message, script[:4000])

    def wrong(self) -> set[str]:
        """What the role itself finds wrong with its being a floor."""
        made = self.planned()
        connection = Connection(self.server.port, DATABASE, ROLE)
        answers: list = []
        connection.query(question(floor(made.cover, made.functions))).addBoth(answers.append)
        connection.close()
        assert any(complaint(answers[0])) == bool(answers[0])
        return {row[0] for row in answers[0]}

    def masking(self, columns: list[dict[str, Any]] | None = None) -> Masking:
        declared = self.columns if columns is None else columns
        return Masking(columns=declared, catalogs=Catalogs(self.server.port, DATABASE), functions=LISTED)

    def gate(self, addon: Masking, name: str = "s", *, floored: bool = True) -> Gate:
        who = replace(session(name=name, database=DATABASE), floor=ROLE if floored else "")
        return Gate(addon, self.server.port, who, DATABASE, ROLE if floored else "app")


@pytest.fixture(scope="module")
def floored(server: PostgresServer, columns: list[dict[str, Any]]) -> Iterator[Floored]:
    server.sql(f"CREATE DATABASE {DATABASE} OWNER app TEMPLATE clinic")
    server.sql((Path(__file__).parent / "schema.sql").read_text(), DATABASE)
    made = Floored(server, [*columns, *MORE])
    made.run(made.planned().script())
    yield made


def attempted(gate: Gate, statements: list[str], mode: str = "simple", params: list[str] = NOTHING) -> tuple[list[Result], bytes]:
    try:
        return [r for sql in statements for r in gate.run(sql, mode, params)], b"\n".join(gate.misc)
    finally:
        gate.close()


def test_a_provisioned_floor_is_one_and_running_it_again_changes_nothing(floored: Floored) -> None:
    assert floored.planned().differences() == []
    assert floored.wrong() == set()
    again = floored.planned().script()
    floored.run(again)
    assert floored.planned().script() == again and floored.planned().differences() == []


def test_the_floor_alone_leaks_nothing_of_the_corpus(corpus: ModuleType, floored: Floored) -> None:
    """No masking addon: only the server's privileges stand between the statement and the values."""
    bare, leaked, tried = floored.masking(NOTHING), [], 0
    for item in items(corpus, "bypass"):
        if item.get("kind") == "oracle" or item.get("mode", "simple") in ELSEWHERE | {"fastpath"}:
            continue
        tried += 1
        results, misc = attempted(floored.gate(bare, item["id"]), item["sql"], item.get("mode", "simple"), item.get("params", ()))
        found = corpus.leaks(item, [r.as_corpus() for r in results], misc, b"")
        leaked += [(item["id"], item["sql"], found)] if found else []
    assert tried > 100 and not leaked, "\n".join(map(str, leaked))


def test_the_floor_alone_leaks_nothing_of_the_wider_schema(corpus: ModuleType, floored: Floored) -> None:
    bare, leaked = floored.masking(NOTHING), []
    for name, statements in VALUES.items():
        results, misc = attempted(floored.gate(bare, name), statements)
        found = corpus.leaks({"sql": statements}, [r.as_corpus() for r in results], misc, b"")
        leaked += [(name, statements, found)] if found else []
    assert len(VALUES) > 90 and not leaked, "\n".join(map(str, leaked))


def test_the_floor_alone_answers_no_question_about_a_value(corpus: ModuleType, floored: Floored) -> None:
    bare, answered = floored.masking(NOTHING), []
    asked = [(name, list(both)) for name, both in ORACLES.items()]
    asked += [(i["id"], [[sql] for sql in i["sql"]]) for i in items(corpus, "bypass") if i.get("kind") == "oracle"]
    for name, both in asked:
        answers = [corpus.simplify([r.as_corpus() for r in attempted(floored.gate(bare, name), sql)[0]]) for sql in both]
        answered += [(name, both, answers)] if answers[0] != answers[1] else []
    assert asked and not answered, "\n".join(map(str, answered))


def test_benign_queries_over_the_floor_are_as_without_it_or_refused(corpus: ModuleType, floored: Floored) -> None:
    """Counted: as without a floor (two lines see this database's own name and views), refused by the addon, or by privileges (42501)."""
    count = {"as without": 0, "refused": 0, "denied": 0}
    over, under, lost, wrong = floored.masking(), floored.masking(), [], []
    for item in items(corpus, "benign"):
        (why, results), (before, _results) = (benign(corpus, floored, item, addon, on) for addon, on in ((over, True), (under, False)))
        kind = "as without" if why == before else "refused" if why.startswith("refused") else "denied"
        count[kind] += 1
        if kind == "denied" and not any(r.sqlstate == "42501" for r in results):
            wrong.append((item["id"], item["sql"], why, before))
        lost += [(item["id"], item["sql"], why)] if kind != "as without" else []
    print(f"benign over the floor: {count}", *lost, sep="\n")
    assert not wrong, "\n".join(map(str, wrong))
    assert count["as without"] >= 0.95 * len(items(corpus, "benign"))


def benign(corpus: ModuleType, floored: Floored, item: dict[str, Any], addon: Masking, on: bool) -> tuple[str, list[Result]]:
    gate = floored.gate(addon, item["id"], floored=on)
    results, _misc = attempted(gate, item["sql"], item.get("mode", "simple"), item.get("params", ()))
    return judged(corpus, item, results), results


SAME = [
    "SELECT * FROM patients ORDER BY id",
    "SELECT * FROM ONLY patients ORDER BY id",
    "SELECT id, p FROM ONLY patients p ORDER BY id LIMIT 3",
    "SELECT count(*), count(ssn), max(dob) FROM patients",
    "SELECT public.patients.ssn, state FROM public.patients ORDER BY public.patients.id",
    "SELECT p.id, d.name FROM patients p JOIN departments d ON d.id = p.dept_id ORDER BY 1, 2",
    "SELECT * FROM v_star ORDER BY id",
    "SELECT * FROM visits ORDER BY id",
    "SELECT * FROM visits_2023 ORDER BY id",
    "SELECT id, before FROM audit_log ORDER BY id",
    "SELECT id, mrn, born, n FROM charts ORDER BY id",
    "SELECT ctid FROM patients",
    "COPY patients TO STDOUT",
    "COPY (SELECT id, ssn FROM patients ORDER BY id) TO STDOUT",
    "BEGIN; DECLARE c CURSOR FOR SELECT id, ssn FROM patients ORDER BY id; FETCH 2 FROM c; ROLLBACK",
    "BEGIN; UPDATE patients SET state = 'ZZ' WHERE id = 1 RETURNING id, state; ROLLBACK",
    "BEGIN; INSERT INTO twins (id, code) VALUES (500, 'x'); ROLLBACK",
    "BEGIN; DELETE FROM departments WHERE id = 99; ROLLBACK",
    "BEGIN; INSERT INTO scratch SELECT p.id::text, p.state FROM patients p WHERE p.active RETURNING *; ROLLBACK",
    "BEGIN; UPDATE departments d SET note = p.state FROM patients p WHERE p.dept_id = d.id AND p.id = 2 RETURNING d.*; ROLLBACK",
    "BEGIN; INSERT INTO scratch SELECT p.ssn, p.state FROM patients p; ROLLBACK",
    "SELECT datname FROM pg_stat_activity WHERE pid = pg_backend_pid()",
    "SELECT ssn FROM patients WHERE ssn = '1'",
]
"""Asked with and without a floor, and answered alike."""


def test_an_answer_over_the_floor_is_the_one_without_it(floored: Floored) -> None:
    over, under = floored.masking(), floored.masking()
    for sql in SAME:
        with_floor, without = (attempted(floored.gate(addon, floored=addon is over), [sql])[0] for addon in (over, under))
        assert [(r.cols, r.rows, r.sqlstate) for r in with_floor] == [(r.cols, r.rows, r.sqlstate) for r in without], sql
        assert not [r.alarm for r in with_floor if r.alarm], sql


REFUSED = {
    "SELECT count(DISTINCT ssn) FROM patients": "OST-510",
    "SELECT id FROM patients FOR UPDATE": "OST-519",
    "UPDATE patients SET state = 'ZZ' WHERE id = 1 RETURNING *": "OST-519",
    "UPDATE patients SET ssn = 'x' WHERE id = 1": "OST-513",
    "WITH due AS (SELECT id FROM patients LIMIT 1 FOR UPDATE) UPDATE departments SET note = 'x' FROM due WHERE due.id = departments.id": "OST-519",
}


def test_what_the_floor_cannot_answer_is_refused_by_name(floored: Floored) -> None:
    over = floored.masking()
    for sql, code in REFUSED.items():
        results, _misc = attempted(floored.gate(over), [sql])
        assert results[-1].refused is not None and results[-1].refused.code == code, sql


def test_who_compares_on_the_floor_is_told_that_the_floor_is_why(floored: Floored) -> None:
    for on in (True, False):
        addon = floored.masking()
        for sql in ("SELECT id FROM patients WHERE mrn = 'MRN-1'", "UPDATE patients SET state = 'ZZ' WHERE mrn = 'MRN-1'"):
            results, _misc = attempted(floored.gate(addon, floored=on), [sql])
            deny = results[-1].refused
            assert deny is not None and ("on the target's floor" in deny.hint) is on, (sql, on, deny)


def test_a_view_of_the_floor_asked_for_by_name_shows_masks(corpus: ModuleType, floored: Floored) -> None:
    made = floored.planned().script()
    name = made.split('CREATE OR REPLACE VIEW "ostiary"."public.patients ')[1].split('"')[0]
    for on in (True, False):
        results, _misc = attempted(floored.gate(floored.masking(), floored=on), [f'SELECT * FROM ostiary."public.patients {name}"'])
        assert results[0].rows and not corpus.leaks({"sql": []}, [r.as_corpus() for r in results], b"", b"")


def test_a_column_that_is_declared_later_is_not_shown_by_a_view_made_before(corpus: ModuleType, floored: Floored) -> None:
    """A reload can come before the floor is provisioned again; until then the statement fails."""
    more = floored.masking([*floored.columns, {"relation": "public.patients", "column": "state"}])
    results, _misc = attempted(floored.gate(more), ["SELECT state FROM patients"])
    assert results[0].sqlstate in ("42P01", "42704") and not results[0].rows


HOLES = {
    "GRANT SELECT (ssn) ON patients TO app_floor": "reads public.patients.ssn",
    "GRANT SELECT ON departments, twins TO PUBLIC": "reads public.twins.ssn",
    "GRANT UPDATE (mrn) ON patients TO app_floor": "writes public.patients.mrn",
    "GRANT SELECT ON v_win TO app_floor": "reads public.v_win.f",
    "GRANT pg_signal_backend TO app_floor": "is a member of pg_signal_backend",
    "ALTER ROLE app_floor BYPASSRLS CREATEROLE REPLICATION": "is BYPASSRLS",
    "CREATE FUNCTION see() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT max(ssn) FROM patients'":
        "runs public.see, which is SECURITY DEFINER",
    "GRANT INSERT ON ruled TO app_floor": "writes ruled, whose rules run with others' rights",
    "GRANT CREATE ON SCHEMA public TO app_floor": "may create in schema public",
    "CREATE VIEW ostiary.mine AS SELECT ssn FROM patients; GRANT SELECT ON ostiary.mine TO app_floor": "reads an older view mine",
    "CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';"
    " CREATE TRIGGER fires BEFORE INSERT ON twins FOR EACH ROW EXECUTE FUNCTION fires()":
        "writes twins, whose triggers run with others' rights",
}  # fmt: skip


def test_each_hole_in_the_floor_is_seen_and_the_script_closes_it(floored: Floored) -> None:
    for hole in HOLES:
        floored.run(hole)
    try:
        assert set(HOLES.values()) <= floored.wrong() and floored.planned().differences()
        floored.run(floored.planned().script())
        assert floored.wrong() == set() and floored.planned().differences() == []
    finally:
        floored.run("DROP FUNCTION see(); DROP TRIGGER fires ON twins; DROP FUNCTION fires()")
        floored.run(floored.planned().script())


def test_a_superuser_is_no_floor_nor_are_views_that_somebody_logs_in_to_change(floored: Floored) -> None:
    floored.run("ALTER ROLE app_floor SUPERUSER; ALTER ROLE ostiary_masks LOGIN")
    try:
        said = floored.wrong()
        assert "is a superuser" in said and any(line.startswith("reads a view that somebody else may change: public.patients ") for line in said)
    finally:
        floored.run(floored.planned().script())
    assert floored.wrong() == set()


def test_a_new_table_is_nobodys_until_the_floor_is_provisioned_again(floored: Floored) -> None:
    floored.run("CREATE TABLE later(id int, note text)")
    try:
        results, _misc = attempted(floored.gate(floored.masking(NOTHING)), ["SELECT * FROM later"])
        assert results[0].sqlstate == "42501" and floored.wrong() == set()
        assert floored.planned().differences() == ["app_floor lacks DELETE, INSERT, SELECT, UPDATE on public.later"]
    finally:
        floored.run("DROP TABLE later")


def test_a_new_partition_of_a_masked_table_closes_nothing_but_itself(corpus: ModuleType, floored: Floored) -> None:
    floored.run("CREATE TABLE visits_2099 PARTITION OF visits FOR VALUES IN (2099); INSERT INTO visits SELECT 9, full_name, 2099 FROM patients")
    try:
        (lacks,) = floored.wrong()
        assert lacks.startswith("lacks the view public.visits_2099 ") and complaint([(lacks,)]) == ("", lacks)
        over = floored.masking()
        parent, part = (attempted(floored.gate(over), [f"SELECT * FROM {name}"])[0] for name in ("visits", "visits_2099"))
        assert parent[0].rows and not corpus.leaks({"sql": []}, [parent[0].as_corpus()], b"", b"")
        assert part[0].sqlstate == "42P01"
    finally:
        floored.run("DROP TABLE visits_2099")


def test_no_view_stands_for_what_nobody_reads(floored: Floored) -> None:
    """A composite type that holds masked rows is a relation to the catalog, and its columns are masked."""
    floored.run("CREATE TYPE holds AS (p patients, ps patients[])")
    try:
        floored.run(floored.planned().script())
        assert floored.planned().differences() == [] and floored.wrong() == set()
    finally:
        floored.run("DROP TYPE holds")


def test_odd_names_are_quoted(floored: Floored) -> None:
    floored.run('CREATE SCHEMA "a""b"; CREATE TABLE "a""b"."t; DROP"(id int, "s s""n" text); INSERT INTO "a""b"."t; DROP" VALUES (1, $$x$$)')
    declared = [*floored.columns, {"relation": 'a"b.t; DROP', "column": 's s"n'}]
    try:
        floored.run(floored.planned(declared).script())
        assert floored.planned(declared).differences() == []
        results, _misc = attempted(floored.gate(floored.masking(declared)), ['SELECT * FROM "a""b"."t; DROP"'])
        assert results[0].rows == [[b"1", b"***"]]
    finally:
        floored.run('DROP SCHEMA "a""b" CASCADE')
        floored.run(floored.planned().script())
