"""
What graphical tools, frameworks and drivers ask a server's catalogs when they connect and browse: the same answers as
direct, also for somebody who sees columns masked. Django and SQLAlchemy do it themselves; the others' are files.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy

from tests.house import ADA, CLEAR, PATIENCE, House

pytestmark = pytest.mark.live

FILES = sorted((Path(__file__).parent / "tools").glob("*.sql"))


def queries(file: Path) -> list[str]:
    """One a line."""
    return [line for line in file.read_text().splitlines() if line.strip() and not line.startswith("--")]


def answers(dsn: str, texts: list[str], prepared: bool) -> list[object]:
    with psycopg.connect(dsn, autocommit=True, application_name="browsing") as connection:
        connection.prepare_threshold = 0 if prepared else None
        if not prepared:
            connection.cursor_factory = psycopg.ClientCursor
        found: list[object] = []
        for text in texts:
            if prepared and text.count(";") > 1:
                continue
            try:
                cursor = connection.execute(text)
                found.append((text, cursor.statusmessage, cursor.fetchall() if cursor.description else None))
            except psycopg.Error as error:
                found.append((text, error.sqlstate, error.diag.message_primary))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("subject", [CLEAR, ADA])
def test_catalog_queries(house: House, file: Path, subject: str) -> None:
    """Simple and extended; nothing is refused, nothing differs."""
    texts = queries(file)
    assert len(texts) > 15
    for prepared in (False, True):
        direct, through = (answers(dsn, texts, prepared) for dsn in (house.direct(), house.dsn(subject)))
        different = [(theirs, ours) for theirs, ours in zip(direct, through, strict=True) if theirs != ours]
        assert not different, different[0]
        assert [said for said in direct if said[1] and len(said[1]) == 5 and said[1][0].isdigit()] == []  # the file is right


REFLECT = ["get_schema_names", "get_table_names", "get_view_names", "get_materialized_view_names", "get_sequence_names"]


@pytest.mark.parametrize("subject", [CLEAR, ADA])
def test_sqlalchemys_reflection(house: House, subject: str) -> None:
    """All that its Inspector can tell of a schema, and a MetaData made of it."""

    def reflected(dsn: str) -> object:
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
        try:
            inspector = sqlalchemy.inspect(engine)
            names = [getattr(inspector, name)() for name in REFLECT]
            kind = sqlalchemy.engine.reflection.ObjectKind.ANY
            multi = [getattr(inspector, f"get_multi_{what}")(schema="public", kind=kind) for what in
                     ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints", "table_comment")]  # fmt: skip
            whole = sqlalchemy.MetaData()
            whole.reflect(engine, views=True)
            return repr((names, multi, inspector.get_enums(), inspector.get_domains(), sorted(map(repr, whole.tables.values()))))
        finally:
            engine.dispose()

    assert reflected(house.dsn(subject)) == reflected(house.direct())


DJANGO = """
import json, os, sys
import django
from django.conf import settings
facts = json.loads(sys.stdin.read())
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": facts["dbname"], "USER": facts["user"],
    "PASSWORD": facts["password"], "HOST": facts["host"], "PORT": facts["port"], "OPTIONS": {"sslmode": "disable"}}}, INSTALLED_APPS=[])
django.setup()
from django.core.management import call_command
call_command("inspectdb")
from django.db import connection, transaction
with connection.cursor() as cursor:
    for table in sorted(connection.introspection.table_names(cursor)):
        constraints = connection.introspection.get_constraints(cursor, table)
        print(table, sorted(constraints.items()), connection.introspection.get_sequences(cursor, table))
with transaction.atomic():
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM wards WHERE id = %s", [1])
        print(cursor.fetchall())
print(connection.pg_version)
"""


@pytest.mark.parametrize("subject", [CLEAR, ADA])
def test_djangos_inspectdb(house15: House, subject: str) -> None:
    """Its introspection of every table, and a query in a transaction of its own."""
    said = []
    for facts in (house15.direct_facts(), house15.facts(subject)):
        done = subprocess.run(
            [sys.executable, "-c", DJANGO], input=json.dumps(facts), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1] and "class Patients" in said[1]
