"""What names stand for, and what is not known of them. Each test is named after a claim."""

from __future__ import annotations

import pytest

from addons.sql.given import Given, gives, names_in, spoken, unsaid, uses
from protocols.command import Parameter, Path, Statement

A = "a session"


def declare(number: int, name: str = "c") -> Statement:
    return Statement(f"DECLARE {name} CURSOR FOR SELECT {number}")


@pytest.mark.parametrize(("statement", "names"), [
    (Statement("SELECT 1", Path.PARSE, name="s"), ["s"]), (Statement("SELECT 1", Path.PARSE), []),
    (Statement("SELECT 1", Path.BIND, name="s", portal="po"), ["po"]), (Statement("SELECT 1", Path.BIND, name="s"), []),
    (Statement('BEGIN; PREPARE "P q" AS SELECT 1; DECLARE c CURSOR FOR SELECT 2'), ["P q", "c"]),
    (Statement("PREPARE p AS SELECT 1", Path.PARSE, name="s"), ["s"]), (Statement("SELECT 'PREPARE p AS SELECT 1'"), []),
], ids=["a Parse", "the unnamed one", "a portal", "the unnamed portal", "a string", "parsed, not run", "a literal"])  # fmt: skip
def test_who_gives_names(statement: Statement, names: list[str]) -> None:
    assert gives(statement) == names


@pytest.mark.parametrize(("text", "names"), [
    ("EXECUTE p(1)", {"p"}), ("FETCH 5 FROM c", {"c"}), ("MOVE LAST IN c", {"c"}), ("EXPLAIN ANALYZE EXECUTE p", {"p"}),
    ("CREATE TABLE t AS EXECUTE p", {"p"}), ("PREPARE p AS SELECT 1; EXECUTE p; EXECUTE q", {"q"}), ("SELECT 'EXECUTE p'", set()),
    ("EXECUTE p; DEALLOCATE p; PREPARE p AS SELECT 1", {"p"}), ("FETCH FROM c; CLOSE c; DECLARE c CURSOR FOR SELECT 1", {"c"}),
    ("/* */ eXeCuTe\n\"P\"", {"P"}),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_who_uses_names(text: str, names: set[str]) -> None:
    assert uses(Statement(text)) == names


def test_names_behind_names_are_used_too() -> None:
    """What was prepared by the protocol may itself execute; also in a circle."""
    given = Given()
    given.begin(A)
    for name, text in (("one", "EXECUTE two"), ("two", "EXECUTE one; EXECUTE three"), ("three", "SELECT 3")):
        given.learn(A, Statement(text, Path.PARSE, name=name), "sent", 7)
    used = given.used(A, Statement("EXPLAIN EXECUTE one"))
    assert used == {"one", "two", "three"} and {each.text for each in given.behind(A, used)} == {"EXECUTE two", "EXECUTE one; EXECUTE three", "SELECT 3"}
    assert given.used(A, Statement("SELECT 1")) == set() and given.behind(A, ["never"]) == () and given.behind("another", ["never"]) is None


def test_a_name_stands_for_all_that_it_was_given_as() -> None:
    """Whether a second PREPARE failed at the server is not known when the name is used."""
    given = Given()
    given.begin(A)
    for number in (1, 2, 1):
        given.learn(A, declare(number), f"sent {number}", 7)
    assert [(each.sent, each.revision) for each in given.of(A, "c")] == [("sent 2", 7), ("sent 1", 7)] and given.whole(A)


def test_what_is_too_much_to_keep_of_a_cursor_is_known_by_its_revision_alone() -> None:
    given = Given()
    for number in range(30):
        given.learn(A, declare(number), "sent", 7)
    first, *rest = given.of(A, "c")
    assert (first.statement, first.revision, len(rest)) == (None, 7, 8)
    for number in range(30):
        given.learn(A, declare(100 + number), "sent", 8)
    assert given.of(A, "c")[0].revision == -1, "of more than one revision: none that is in force"


def test_what_is_too_much_to_keep_of_a_prepared_statement_is_not_known() -> None:
    """The server reads it again, so that the revision says too little."""
    given = Given()
    for number in range(30):
        given.learn(A, Statement(f"PREPARE p AS SELECT {number}"), "sent", 7)
    assert given.of(A, "p")[0] == (None, "", -1)


def test_a_session_that_gave_too_many_names_is_not_whole() -> None:
    given = Given()
    given.begin(A)
    for number in range(5000):
        given.learn(A, declare(1, f"c{number}"), "sent", 7)
    assert not given.whole(A) and not given.of(A, "c0") and given.of(A, "c4999")


def test_texts_are_kept_within_a_bound() -> None:
    given = Given()
    for number in range(40):
        given.learn(A, declare(1, f"c{number}"), "x" * (1 << 20), 7)
    assert not given.of(A, "c0") and given.of(A, "c39") and not given.whole(A)


def test_a_session_that_was_not_there_from_its_beginning_is_not_whole() -> None:
    given = Given()
    assert not given.whole(A)
    given.learn(A, declare(1), "sent", 7)
    given.begin(A)
    assert not given.whole(A)
    given.forget(A)
    assert not given.of(A, "c")


@pytest.mark.parametrize(("text", "names"), [
    ("PREPARE p AS SELECT 1; EXECUTE q; DECLARE c CURSOR FOR SELECT 1; FETCH d", {"p", "q", "c", "d"}), ("EXPLAIN EXECUTE p", set()),
    ("SELECT 'fetch c'", set()), ("FETCH FROM FROM", set()),
], ids=["all four", "a plan", "a literal", "no SQL"])  # fmt: skip
def test_names_in_a_text_are_its_own_statements(text: str, names: set[str]) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize(("texts", "name"), [
    (["PREPARE p AS SELECT 1", "EXECUTE p", "SELECT 'EXECUTE q'"], None), (["PREPARE p AS SELECT 1", "PREPARE p AS SELECT 1", "EXECUTE p"], None),
    (["BEGIN", "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "MOVE 2 FROM c", "CLOSE c"], None), (["EXECUTE p"], "p"),
    (["EXECUTE p", "PREPARE p AS SELECT 1"], "p"), (["PREPARE p AS SELECT 1", "DEALLOCATE p", "PREPARE p AS SELECT 2", "EXECUTE p"], "p"),
    (["PREPARE p AS SELECT 1", "CREATE TABLE t AS EXECUTE q"], "q"), (["FETCH c"], "c"), (["SELEC 1"], None),
], ids=["said before", "said alike twice", "a cursor", "not said", "said too late", "said twice", "of another name", "a stranger's cursor", "no SQL"])  # fmt: skip
def test_which_name_a_list_does_not_say_what_it_stands_for(texts: list[str], name: str | None) -> None:
    assert unsaid(texts) == name


@pytest.mark.parametrize(("statement", "said"), [
    (Statement("PREPARE p AS SELECT 1"), True), (Statement("PREPARE p AS SELECT 1", Path.BIND), True), (Statement("SELECT 1", Path.PARSE, name="p"), False),
    (Statement("SELECT 1", Path.BIND, portal="p"), False), (Statement("PREPARE q AS SELECT 1", Path.PARSE, name="p"), False),
    (Statement("DECLARE p CURSOR FOR SELECT $1", Path.BIND, (Parameter(25, 0, b"x"),)), False),
], ids=["prepared", "prepared by extended query", "by Parse", "by Bind", "another's", "with a parameter"])  # fmt: skip
def test_whether_a_text_alone_says_what_a_name_stands_for(statement: Statement, said: bool) -> None:
    assert spoken(statement, "p") is said
