"""Which names get their schema in what is sent, and which stay as they came."""

from __future__ import annotations

import pytest

from addons.sql.parse import parse
from addons.sql.pinned import Pinning, pinned, shared
from addons.sql.resolve import Names
from addons.sql.shape import alike
from tests.sql import little

SNAPSHOT = little.snapshot()
OTHER = Names(SNAPSHOT, ("other",))

PINNED = {
    "SELECT secret FROM twin": "SELECT secret FROM other.twin",
    "select TWIN.secret from TWIN": "SELECT twin.secret FROM other.twin",
    'SELECT twin FROM "twin" FOR UPDATE OF twin': "SELECT twin FROM other.twin FOR UPDATE OF twin",
    "SELECT t.secret FROM twin t JOIN departments USING (id)": "SELECT t.secret FROM other.twin t JOIN departments USING (id)",
    "WITH twin AS (SELECT * FROM twin) SELECT * FROM twin": "WITH twin AS (SELECT * FROM other.twin) SELECT * FROM twin",
    "SELECT 1 FROM visits WHERE id IN (SELECT id FROM twin)": "SELECT 1 FROM visits WHERE id IN (SELECT id FROM other.twin)",
    "INSERT INTO twin VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET secret = twin.secret":
        "INSERT INTO other.twin VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET secret = twin.secret",
    "UPDATE twin SET secret = t.secret FROM public.twin t WHERE twin.id = t.id RETURNING twin.*":
        "UPDATE other.twin SET secret = t.secret FROM public.twin t WHERE twin.id = t.id RETURNING twin.*",
    "DELETE FROM visits USING twin WHERE twin.id = visits.id": "DELETE FROM visits USING other.twin WHERE twin.id = visits.id",
    "MERGE INTO twin USING twin t ON t.id = twin.id WHEN MATCHED THEN DELETE":
        "MERGE INTO other.twin USING other.twin t ON t.id = twin.id WHEN MATCHED THEN DELETE",
    "TRUNCATE twin, departments": "TRUNCATE other.twin, departments",
    "LOCK TABLE twin IN SHARE MODE": "LOCK TABLE other.twin IN SHARE MODE",
    "COPY twin (id) TO STDOUT": "COPY other.twin (id) TO STDOUT",
    "EXPLAIN SELECT secret FROM twin": "EXPLAIN SELECT secret FROM other.twin",
    "PREPARE p AS SELECT secret FROM twin": "PREPARE p AS SELECT secret FROM other.twin",
    "DECLARE c CURSOR FOR TABLE twin": "DECLARE c CURSOR FOR SELECT * FROM other.twin",
    "CREATE VIEW v AS SELECT id FROM twin": "CREATE VIEW v AS SELECT id FROM other.twin",
    "CREATE TABLE twin AS SELECT id FROM twin": "CREATE TABLE twin AS SELECT id FROM other.twin",
    "CREATE TABLE child () INHERITS (twin)": "CREATE TABLE child () INHERITS (other.twin)",
    "ALTER TABLE twin RENAME TO one": "ALTER TABLE other.twin RENAME TO one",
    "CREATE INDEX ON twin (secret)": "CREATE INDEX ON other.twin (secret)",
    "DROP TABLE departments, twin CASCADE": "DROP TABLE departments, other.twin CASCADE",
    "GRANT SELECT ON twin TO ann": "GRANT SELECT ON other.twin TO ann",
}  # fmt: skip

AS_IT_CAME = [
    "SELECT 1", "SELECT ssn FROM patients", "SELECT secret FROM public.twin", "WITH twin AS (SELECT 1) SELECT * FROM twin", "SELECT twin FROM patients twin",
    "SELECT 'twin'", "CREATE TABLE twin (id int)", "SELECT FROM WHERE twin",
    "SET search_path = public; SELECT secret FROM twin", "CREATE SCHEMA s CREATE TABLE twin (id int) CREATE VIEW v AS SELECT * FROM twin",
    "IMPORT FOREIGN SCHEMA far LIMIT TO (twin) FROM SERVER s INTO public",
]  # fmt: skip


@pytest.mark.parametrize("text", PINNED, ids=range(len(PINNED)))
def test_a_name_that_only_the_path_tells_apart_gets_its_schema_and_nothing_else_is_changed(text: str) -> None:
    sent = pinned(text, OTHER)
    assert alike(parse(sent).data(), parse(PINNED[text]).data()), sent
    assert pinned(sent, OTHER) == sent
    assert Pinning(text, SNAPSHOT.revision, ("other",), frozenset()).answer(SNAPSHOT) == sent


@pytest.mark.parametrize("text", AS_IT_CAME, ids=range(len(AS_IT_CAME)))
def test_what_no_path_decides_is_sent_letter_for_letter(text: str) -> None:
    assert pinned(text, OTHER) is text


@pytest.mark.parametrize("path", [None, ("nowhere",), ("$user", "nowhere")], ids=str)
def test_what_the_path_does_not_tell_is_told_by_nobody(path: tuple[str, ...] | None) -> None:
    """Whoever judges it then has a name that may mean either."""
    text = "SELECT secret FROM twin"
    assert pinned(text, Names(SNAPSHOT, path)) is text
    assert pinned(text, OTHER, made={"twin"}) is text, "a temporary table may stand behind it"


def test_names_of_one_schema_are_shared_with_nobody() -> None:
    assert shared(SNAPSHOT).names == {"twin"}
