"""A text's form: which literals become parameters, and that nothing stands for what it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgast import pg_query_pb2 as tree

from addons.policy import Policy
from addons.sql.form import LONGEST, filled, form, kin
from addons.sql.parse import Unparsable, parse, walk
from protocols.command import Path, Statement
from protocols.hooks import DecidedHook, JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")

FORMS = {
    "SELECT a FROM t WHERE id = 12345": ("SELECT a FROM t WHERE id = $1", (23,)),
    "SELECT a FROM t WHERE b = 'x' AND c IN (1, 2)": ("SELECT a FROM t WHERE b = $1 AND c IN ($2, $3)", (0, 23, 23)),
    "SELECT a FROM t WHERE b = 'it''s' LIMIT 5": ("SELECT a FROM t WHERE b = $1 LIMIT $2", (0, 23)),
    "SELECT a FROM t WHERE b = 'ü -- $1 \"' ": ("SELECT a FROM t WHERE b = $1 ", (0,)),
    'SELECT a FROM "5 \'x" WHERE d = 5': ('SELECT a FROM "5 \'x" WHERE d = $1', (23,)),
    "SELECT a FROM t WHERE b = 'x' ORDER BY 1": ("SELECT a FROM t WHERE b = $1 ORDER BY 1", (0,)),
    "SELECT 'a', count(*) FROM t GROUP BY 1": ("SELECT $1, count(*) FROM t GROUP BY 1", (0,)),
    "SELECT a FROM t WHERE b = 5 AND c = 1.5 AND d = -7": ("SELECT a FROM t WHERE b = $1 AND c = 1.5 AND d = -7", (23,)),
    "SELECT a FROM t WHERE b = 5 AND c = 12345678901": ("SELECT a FROM t WHERE b = $1 AND c = 12345678901", (23,)),
}

NONE = [
    "SELECT a FROM t",  # no literal
    "SELECT a FROM t ORDER BY 1",
    "SELECT DISTINCT ON (1) a FROM t",
    "SELECT a FROM t WHERE b = $1 AND c = 5",  # its own parameters
    "SELECT a FROM t WHERE b = $$x$$ AND c = 5",
    "SELECT a FROM t WHERE b = E'x\\'' AND c = 5",
    "SELECT a FROM t WHERE b = U&'x' AND c = 5",
    "SELECT a FROM t WHERE b = B'1' AND c = 5",
    "SELECT a FROM t WHERE b = 5 -- '",
    "SELECT a FROM t WHERE b = 5 /* ' */",
    "SELECT é FROM t WHERE b = 5",
    "SELECT 'a'\n'b'",  # one string to the server
    "SELECT 5; DROP TABLE t",
    "SELECT 5; SELECT 6",
    "SELECT 5 INTO t",
    "WITH w AS (DELETE FROM t WHERE id = 5 RETURNING id) SELECT id FROM w",
    "DELETE FROM t WHERE id = 5",
    "INSERT INTO t VALUES (5)",
    "SELECT a FROM t WHERE b = 'open",
    'SELECT a FROM t WHERE "b = 5',
    "SELECT a FROM t WHERE",
    "SELECT a FROM t WHERE b = 5 AND c = '" + "x" * LONGEST + "'",
]


@pytest.mark.parametrize("text", FORMS)
def test_plain_literals_become_parameters(text: str) -> None:
    found = form(Statement(text))
    assert found is not None and (found.text, found.types) == FORMS[text]


@pytest.mark.parametrize("text", NONE)
def test_what_may_mean_more_than_a_value_has_no_form(text: str) -> None:
    assert form(Statement(text)) is None


def test_only_the_simple_protocol_has_forms() -> None:
    assert all(form(Statement("SELECT 5", path)) is None for path in Path if path is not Path.SIMPLE)


@pytest.mark.parametrize(("made", "expected"), [
    ("SELECT a FROM (SELECT b FROM t) t WHERE id = $1 AND c = $2", "SELECT a FROM (SELECT b FROM t) t WHERE id = 5 AND c = 'it''s'"),
    ("SELECT '$1', \"$2\", $1 FROM t WHERE c = $2 OR $2 IS NULL", "SELECT '$1', \"$2\", 5 FROM t WHERE c = 'it''s' OR 'it''s' IS NULL"),
    ("SELECT E'$1', $1 FROM t", None), ("SELECT $$ $1 $$", None), ("SELECT $1 -- $2", None), ("SELECT a FROM t", "SELECT a FROM t"),
])  # fmt: skip
def test_literals_come_back_where_parameters_stand_and_nowhere_else(made: str, expected: str | None) -> None:
    assert filled(made, Statement("SELECT a FROM t WHERE id = 5 AND c = 'it''s'")) == expected


TOKENS = (
    "SELECT", "a", "t", "FROM", "WHERE", "AND", "=", "5", "77", "'x'", "'it''s'", "''", "'", '"', '"5"', "E'x'", "e", "U&", "B",
    "-", "--", "/*", "*/", "$1", "$", ".", ",", "(", ")", "::", "int", "numeric(5,2)", "date", "interval", "\n", " ", " ", ";", "\\",
    "ORDER BY", "LIMIT", "IN", "[1:2]", "é", "1e5", "0x1F", "1_000", "IS", "NULL", "LIKE", "ESCAPE", "extract(", "INTO",
)


@given(st.lists(st.sampled_from(TOKENS), max_size=24).map("".join) | st.lists(st.sampled_from(TOKENS), max_size=24).map(" ".join))
def test_a_text_that_has_a_form_is_that_form_with_constants_in_it(tail: str) -> None:
    """Told by the trees' words, not by the comparison that makes forms."""
    text = f"SELECT a FROM t WHERE b = 5 AND {tail}"
    found = form(Statement(text))
    if found is None:
        return
    try:
        exact, formed = parse(text).statements, parse(found.text).statements
    except Unparsable:
        raise AssertionError("a text that does not parse has a form") from None
    kinds, constants = ([type(one).__name__ for one in walk(whole[0])] for whole in (exact, formed))
    literals = {"ParamRef", "A_Const", "Integer", "String"}
    assert [k for k in kinds if k not in literals] == [k for k in constants if k not in literals]
    assert sum(isinstance(one, tree.ParamRef) for one in walk(formed[0])) == len(found.types)


def policy(**more: object) -> Policy:
    return Policy(default={"read": "allow", "transaction": "allow", "session": "allow"}, **more)


def asked(addon: Policy, text: str) -> object:
    return addon.on_judge(JudgeHook(SESSION, Statement(text), text))


def test_texts_of_one_form_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    addon = policy()
    assert isinstance(asked(addon, "SELECT a FROM t WHERE id = 1000"), Allow)
    monkeypatch.setattr("addons.sql.assess.parse", lambda text: pytest.fail(text))
    for number in range(1001, 1100):
        text = f"SELECT a FROM t WHERE id = {number}"
        assert isinstance(asked(addon, text), Allow)
        addon.on_decided(DecidedHook(SESSION, Decision(Statement(text), Allow())))


@pytest.mark.parametrize("text", [
    "SELECT set_config('search_path', 'evil', false)", "SELECT set_config('role', 'x', false), 5", "SELECT pg_read_file('x')",
    "SELECT query_to_xml('select 1', true, true, '')", "SELECT lo_export(5, 'x')", "SELECT nosuch.function(5)",
])  # fmt: skip
def test_a_form_opens_nothing_that_its_text_does_not(text: str) -> None:
    assert not isinstance(asked(policy(), text), Allow)


def test_a_setting_that_a_query_changes_is_followed_although_it_has_a_form() -> None:
    """`set_config` among literals: its text is judged as written, and known to the session's settings."""
    addon, text = policy(), "SELECT set_config('search_path', 'public', false), 5"
    statement = Statement(text)
    assert isinstance(asked(addon, text), Allow)
    addon.on_decided(DecidedHook(SESSION, Decision(statement, Allow())))
    assert SESSION.id in addon._settings._trackers


def test_rules_with_hours_are_asked_each_time() -> None:
    """A form is remembered without an hour."""
    import datetime

    now = [datetime.datetime(2026, 11, 25, 10, tzinfo=datetime.UTC)]
    night = {"name": "night", "classes": ["read"], "verdict": "deny", "hours": "18:00-06:00"}
    addon = policy(rules=[night], now=lambda: now[0])
    assert isinstance(asked(addon, "SELECT 1000"), Allow)
    now[0] = now[0].replace(hour=22)
    assert not isinstance(asked(addon, "SELECT 1000"), Allow) and not isinstance(asked(addon, "SELECT 1001"), Allow)


_PIECES = st.sampled_from([
    "SELECT a FROM t WHERE b = ", " AND c=", ", ", "(", ") ", "'", "''", '"', '"it\'s"', "-", ".", "x", " ", "\\", "$1", "--", "/*", "E", "1", "23", "4567890123", "",
    "'q'", "'q''r'", "'1'", "n", "::text", ";", " OR 1=1",
])  # fmt: skip


@given(st.lists(_PIECES, max_size=7), st.lists(_PIECES, max_size=7))
def test_only_what_has_the_same_tokens_around_its_literals_is_kin(pieces: list[str], others: list[str]) -> None:
    text, other = "".join(pieces), "".join(others)
    pattern, again = kin(text), kin(other)
    if pattern is None:
        return
    assert pattern.fullmatch(text.encode())
    matched = pattern.fullmatch(other.encode()) is not None
    assert matched == (again is not None and again.pattern == pattern.pattern)


@pytest.mark.parametrize("other", [
    "SELECT a FROM t WHERE b = 7 AND c = 'it''s; DROP TABLE t'", "SELECT a FROM t WHERE b = 123456789 AND c = ''",
], ids=["quotes", "nothing"])  # fmt: skip
def test_other_values_are_kin(other: str) -> None:
    assert kin("SELECT a FROM t WHERE b = 1 AND c = 'x'").fullmatch(other.encode())


@pytest.mark.parametrize("other", [
    "SELECT a FROM t WHERE b = 1 AND c = 'x' OR 'x'='x'", "SELECT a FROM t WHERE b = 1234567890 AND c = 'x'", "SELECT a FROM t WHERE b = -1 AND c = 'x'",
    "SELECT a FROM t WHERE b = 1 AND c = E'x'", "SELECT a FROM t WHERE b = '1' AND c = 'x'", "SELECT a FROM t WHERE b = 1 AND c = 'x'; ",
    "SELECT a FROM t WHERE b = 1 AND c = 'x\\'", "select a FROM t WHERE b = 1 AND c = 'x'",
], ids=["another condition", "no int4", "an operator", "another kind of string", "another type", "more", "an escape", "another text"])  # fmt: skip
def test_what_differs_in_more_than_values_is_not_kin(other: str) -> None:
    assert not kin("SELECT a FROM t WHERE b = 1 AND c = 'x'").fullmatch(other.encode())
