"""Data is left out of what is judged, names and shapes never; what is sent is whole."""

from __future__ import annotations

import pytest

from addons.sql.classify import classify
from addons.sql.parse import parse, walk
from addons.sql.rewrite import rewritten
from addons.sql.thin import KEPT, LONG

ROWS = [f"({n}, 'code {n}')" for n in range(2000)]


def calls(sql: str) -> int:
    return sum(type(message).__name__ == "FuncCall" for statement in parse(sql).statements for message in walk(statement))


def size(sql: str) -> int:
    return sum(1 for statement in parse(sql).statements for _ in walk(statement))


@pytest.mark.parametrize(
    "sql",
    [
        f"INSERT INTO t (a, b) VALUES {', '.join(ROWS)}",
        f"SELECT * FROM (VALUES {', '.join(ROWS)}) v(a, b) JOIN t USING (a)",
        f"WITH x AS (INSERT INTO t VALUES {', '.join(ROWS)} RETURNING a) SELECT * FROM x",
        f"SELECT a FROM t WHERE a IN ({', '.join(map(str, range(2000)))})",
        f"SELECT a FROM t WHERE a = ANY (ARRAY[{', '.join(map(str, range(2000)))}])",
        f"INSERT INTO t VALUES {', '.join('($1, NULL, DEFAULT, -5)' for _ in range(2000))}",
    ],
)
def test_a_long_run_of_literals_is_judged_by_a_sample(sql: str) -> None:
    assert len(sql) >= LONG
    if "-5" not in sql:  # an operator and its operand, which nobody looks through
        assert size(sql) < 20 * KEPT
    assert rewritten(parse(sql).copy(), lambda _index, _statement: None).count(",") == sql.count(",")


@pytest.mark.parametrize("odd", ["(now(), 'x')", "((SELECT max(ssn) FROM patients), 'x')", "(1, f('x'))", "(1, 2, g())"])
@pytest.mark.parametrize("place", [0, 1, KEPT, 1000, 1999])
def test_a_row_that_is_more_than_literals_stays_wherever_it_stands(odd: str, place: int) -> None:
    sql = f"INSERT INTO t VALUES {', '.join([*ROWS[:place], odd, *ROWS[place:]])}"
    assert calls(sql) == 1 and (size(sql) < 30 * KEPT or place == 0)


def test_a_row_of_another_width_stays() -> None:
    """The server will refuse it; what reads the tree sees it as the server does."""
    parsed = parse(f"INSERT INTO t VALUES {', '.join([*ROWS, '(1)'])}")
    assert [len(row.list.items) for row in parsed.statements[0].select_stmt.select_stmt.values_lists] == [2] * KEPT + [1]


def test_a_member_that_is_more_than_a_literal_stays() -> None:
    numbers = list(map(str, range(2000)))
    assert calls(f"SELECT a FROM t WHERE a IN ({', '.join([*numbers, 'f(1)', *numbers])})") == 1
    assert calls(f"SELECT ARRAY[{', '.join([*numbers, 'f(1)'])}]") == 1
    assert calls(f"SELECT f({', '.join(numbers)})") == 1


def test_names_are_no_data() -> None:
    columns = [f"c{n}" for n in range(2000)]
    found = [m for s in parse(f"SELECT a FROM t WHERE a IN ({', '.join(columns)})").statements for m in walk(s)]
    assert sum(type(m).__name__ == "ColumnRef" for m in found) == 2002


def test_a_short_text_is_whole() -> None:
    sql = f"SELECT a FROM t WHERE a IN ({', '.join(map(str, range(100)))})"
    assert sum(type(m).__name__ == "A_Const" for m in walk(parse(sql).statements[0])) == 100


@pytest.mark.parametrize("last", ["false", "'f'", "0", "'off'"])
@pytest.mark.parametrize("template", [
    "DELETE FROM t WHERE active IN ({})", "DELETE FROM t WHERE active = ANY (ARRAY[{}])",
    "DELETE FROM t WHERE active IN (VALUES {})",
])
def test_a_list_of_all_booleans_is_no_filter_however_late_the_other_one_comes(template: str, last: str) -> None:
    """Both together leave every row; a sample of one of them would look like a filter."""
    members = [{"'f'": "'t'", "0": "1", "'off'": "'on'"}.get(last, "true")] * 2000 + [last]
    if "VALUES" in template:
        members = [f"({one})" for one in members]
    (found,) = classify(parse(template.format(", ".join(members))))
    assert "write-unfiltered" in found.classes


def test_a_long_list_of_values_is_a_filter() -> None:
    for template in ("DELETE FROM t WHERE a IN ({})", "DELETE FROM t WHERE a = ANY (ARRAY[{}])"):
        for members in (map(str, range(2000)), (f"${n + 1}" for n in range(2000)), (f"'x{n}'" for n in range(2000))):
            sql = template.format(", ".join(members))
            assert "write-unfiltered" not in classify(parse(sql))[0].classes
            assert size(sql) < 20 * KEPT
