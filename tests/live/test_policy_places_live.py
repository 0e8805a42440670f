"""A rule that allows one schema's relation lets nobody at another's, whichever way the search path or a temporary relation leads there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from tests.house import ADA, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

TWO = """
CREATE SCHEMA secret;
CREATE TABLE public.reports (x text); INSERT INTO public.reports VALUES ('open');
CREATE TABLE secret.reports (x text); INSERT INTO secret.reports VALUES ('canary');
CREATE TABLE public.staging (x text); INSERT INTO public.staging VALUES ('s1');
CREATE TABLE public.patients (x text); INSERT INTO public.patients VALUES ('canary');
CREATE TABLE public.watched (x text);
CREATE FUNCTION public.shadows() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN CREATE TEMP VIEW staging AS SELECT x FROM public.patients; RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON public.watched FOR EACH ROW EXECUTE FUNCTION public.shadows();
CREATE TRIGGER u BEFORE TRUNCATE ON public.watched FOR EACH STATEMENT EXECUTE FUNCTION public.shadows();
CREATE FUNCTION public.makes() RETURNS bool LANGUAGE plpgsql AS
    'BEGIN CREATE TEMP VIEW staging AS SELECT x FROM public.patients; RETURN true; EXCEPTION WHEN duplicate_table THEN RETURN true; END';
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE VIEW public.over_watched AS SELECT x FROM public.watched;
CREATE VIEW public.making AS SELECT public.makes();
CREATE VIEW public.over_making AS SELECT * FROM public.making;
CREATE TABLE public.by_default (x text, y bool DEFAULT public.makes());
CREATE TABLE public.by_check (x text CHECK (public.makes()));
CREATE DOMAIN public.made AS text CHECK (public.makes());
CREATE TABLE public.by_domain (x public.made);
CREATE TABLE public.by_policy (x text); INSERT INTO public.by_policy VALUES ('p');
ALTER TABLE public.by_policy ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON public.by_policy USING (public.makes());
CREATE TABLE public.by_when (x text);
CREATE TRIGGER t BEFORE INSERT ON public.by_when FOR EACH ROW WHEN (public.makes()) EXECUTE FUNCTION public.nothing();
CREATE TABLE public.later (x text);
CREATE FUNCTION public.moves() RETURNS text LANGUAGE plpgsql AS 'BEGIN SET search_path = secret, public; RETURN ''x''; END';
CREATE ROLE reporter LOGIN; GRANT ALL ON SCHEMA public, secret TO reporter;
GRANT ALL ON ALL TABLES IN SCHEMA public TO reporter; GRANT ALL ON ALL TABLES IN SCHEMA secret TO reporter;
"""

RULES = [
    {"name": "reads", "classes": ["read"], "relations": ["public.reports", "public.staging", "pg_catalog.pg_class", "public.making", "public.over_making", "public.by_policy"], "verdict": "allow"},
    {"name": "loads", "classes": ["write", "write-unfiltered"], "verdict": "allow", "relations": [
        "public.staging", "public.watched", "pg_temp.mine", *(f"public.{name}" for name in ("over_watched", "by_default", "by_check", "by_domain", "by_when", "later")),
    ]},
    {"name": "mine", "classes": ["ddl", "read"], "relations": ["pg_temp.mine", "pg_temp.staging", "public.patients"], "verdict": "allow"},
    {"name": "empties", "classes": ["ddl-destructive"], "relations": ["public.watched"], "verdict": "allow"},
    {"name": "cursors", "classes": ["read"], "statements": ["fetch"], "verdict": "allow"},
    {"name": "calls", "classes": ["read", "function-unlisted"], "functions": ["moves"], "verdict": "allow"},
]
DEFAULT = dict.fromkeys(("transaction", "session"), "allow")


@pytest.fixture(scope="module")
def placed(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    postgres15.sql("CREATE DATABASE placed")
    postgres15.sql(TWO, "placed")
    with House(
        tmp_path_factory.mktemp("placed") / "h", postgres15, database="placed", user="reporter", workers=1, rules=RULES, default=DEFAULT,
        options={"search_paths": ["secret, public"], "functions": ["moves"]},
    ) as house:  # fmt: skip
        yield house
    postgres15.sql("DROP DATABASE placed")
    postgres15.sql("DROP ROLE reporter")


@pytest.fixture
def session(placed: House) -> Iterator[psycopg.Connection]:
    with placed.connect(ADA, options="-csearch_path=public", autocommit=True) as connection:
        yield connection


def answer(connection: psycopg.Connection, text: str, **more: object) -> object:
    """Rows, or the code of a refusal."""
    try:
        found = connection.execute(text, **more)
        return found.fetchall() if found.description else found.statusmessage
    except psycopg.Error as error:
        code = re.search("OST-[0-9]+", str(error))
        return code.group() if code else error.sqlstate


@pytest.mark.parametrize("prepare", [False, True], ids=["simple", "prepared"])
def test_the_path_that_a_session_chooses_leads_to_no_relation_that_is_not_allowed(session: psycopg.Connection, prepare: bool) -> None:
    ask = {"prepare": True} if prepare else {}
    assert answer(session, "SELECT x FROM reports", **ask) == [("open",)]
    session.execute("SET search_path = secret, public")
    assert str(answer(session, "SELECT x FROM reports", **ask)).startswith("OST-")
    assert answer(session, "SELECT x FROM public.reports", **ask) == [("open",)]
    session.execute("SET search_path = public")
    assert answer(session, "SELECT x FROM reports", **ask) == [("open",)]


def test_a_path_that_moves_behind_a_decision_leads_nowhere(session: psycopg.Connection) -> None:
    """What was decided is in the text that the target gets, pipelines and prepared statements included."""
    with pytest.raises(psycopg.Error, match="OST-"), session.pipeline():
        session.execute("SET search_path = secret, public")
        session.execute("SELECT x FROM reports")
    session.execute("PREPARE kept AS SELECT x FROM reports")
    session.execute("SET search_path = secret, public")
    assert answer(session, "EXECUTE kept") == [("open",)]
    assert str(answer(session, "SET search_path = public; SELECT x FROM reports")).startswith("OST-")


def test_code_that_moves_the_path_unseen_moves_no_decision(session: psycopg.Connection) -> None:
    assert answer(session, "SELECT moves()") == [("x",)]
    assert str(answer(session, "SELECT x FROM reports")).startswith("OST-")
    session.execute("SET search_path = public")
    assert answer(session, "SELECT x FROM reports") == [("open",)]


def test_a_cursor_is_read_by_a_rule_of_its_own(placed: House, session: psycopg.Connection) -> None:
    """As docs/policy.md has it: what it may show was decided when it was declared."""
    session.execute("BEGIN")
    assert answer(session, "DECLARE c CURSOR FOR SELECT x FROM public.reports") == "DECLARE CURSOR"
    assert answer(session, "FETCH ALL FROM c") == [("open",)]
    assert str(answer(session, "DECLARE d CURSOR FOR SELECT x FROM secret.reports")).startswith("OST-")


def test_no_temporary_relation_is_what_a_rule_allows_of_a_permanent_one(session: psycopg.Connection) -> None:
    assert answer(session, "SELECT x FROM staging") == [("s1",)]
    assert answer(session, "CREATE TEMP VIEW staging AS SELECT x FROM public.patients") == "CREATE VIEW"
    assert str(answer(session, "SELECT x FROM staging")).startswith("OST-")
    assert str(answer(session, "DELETE FROM staging")).startswith("OST-")
    assert answer(session, "SELECT x FROM public.staging") == [("s1",)]


def test_no_temporary_relation_that_a_trigger_makes_is_one_either(session: psycopg.Connection) -> None:
    assert answer(session, "SELECT x FROM staging", prepare=True) == [("s1",)]
    assert answer(session, "INSERT INTO public.watched VALUES ('x')") == "INSERT 0 1"
    for ask in ({}, {"prepare": True}):
        assert str(answer(session, "SELECT x FROM staging", **ask)).startswith("OST-")
    assert answer(session, "SELECT x FROM public.staging") == [("s1",)]


@pytest.mark.parametrize("way", [
    "INSERT INTO public.over_watched VALUES ('x')", "SELECT * FROM public.making", "SELECT * FROM public.over_making", "INSERT INTO public.by_default (x) VALUES ('x')",
    "TRUNCATE public.watched", "INSERT INTO public.by_check VALUES ('x')", "INSERT INTO public.by_domain VALUES ('x')", "SELECT x FROM public.by_policy", "INSERT INTO public.by_when VALUES ('x')",
])  # fmt: skip
def test_nor_one_that_other_code_makes_which_a_statement_does_not_name(session: psycopg.Connection, way: str) -> None:
    """Views, defaults, checks, domains, row policies, a trigger's condition; and triggers behind a view."""
    assert answer(session, "SELECT x FROM staging") == [("s1",)]
    assert not str(answer(session, way)).startswith("OST-")
    assert str(answer(session, "SELECT x FROM staging")).startswith("OST-")
    assert answer(session, "SELECT x FROM public.staging") == [("s1",)]


@pytest.mark.parametrize("first", ["INSERT INTO public.watched VALUES ('x')", "SELECT * FROM public.making", "PREPARE w AS INSERT INTO public.watched VALUES ('x'); EXECUTE w"])
def test_nor_in_the_string_that_has_it_made(session: psycopg.Connection, first: str) -> None:
    for begin in ("", "SAVEPOINT s; "):
        assert str(answer(session, f"BEGIN; {begin}{first}; SELECT x FROM staging")).startswith("OST-")
        session.execute("ROLLBACK")
    assert str(answer(session, f"{first}; SELECT x FROM staging")).startswith("OST-")
    assert answer(session, "SELECT x FROM staging") == [("s1",)]


def test_nor_where_a_rule_that_allows_by_schemas_comes_after_it_was_made(placed: House) -> None:
    """A reload."""
    rules, policy = placed.addons[-1]["rules"], placed.addons[-1]
    policy["rules"] = [{"name": "all", "classes": ["read", "write", "write-unfiltered"], "verdict": "allow"}]
    placed.reload()
    try:
        with placed.connect(ADA, options="-csearch_path=public", autocommit=True) as connection:
            assert answer(connection, "INSERT INTO public.watched VALUES ('x')") == "INSERT 0 1"
            policy["rules"] = rules
            placed.reload()
            assert str(answer(connection, "SELECT x FROM staging")).startswith("OST-")
            assert answer(connection, "SELECT x FROM public.staging") == [("s1",)]
    finally:
        policy["rules"] = rules
        placed.reload()


def test_no_permanent_relation_is_what_a_rule_allows_of_a_temporary_one(session: psycopg.Connection) -> None:
    assert str(answer(session, "CREATE TABLE mine (x text)")).startswith("OST-")
    assert answer(session, "CREATE TEMP TABLE mine (x text)") == "CREATE TABLE"
    assert answer(session, "INSERT INTO pg_temp.mine VALUES ('a')") == "INSERT 0 1"
    assert str(answer(session, "DELETE FROM public.mine")).startswith("OST-")
    assert answer(session, "DELETE FROM mine") in ("DELETE 1", "OST-204"), "the catalog shows that no other has the name"


def test_other_sessions_temporary_relations_are_in_nobodys_way(placed: House, session: psycopg.Connection) -> None:
    with placed.connect(ADA, autocommit=True) as other:
        other.execute("CREATE TEMP TABLE staging (x text)")
        assert answer(session, "SELECT x FROM staging") == [("s1",)]
