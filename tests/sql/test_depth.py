"""No text ends the process or holds it for minutes: what chains or nests too deeply is refused before the parser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from addons.sql.depth import SHORT, too_deep
from addons.sql.parse import Unparsable, parse

ROOT = Path(__file__).parent.parent.parent

DEEP = {
    "sum": "SELECT " + "1+" * 30_000 + "1",
    "concatenation": "SELECT " + "'a'||" * 30_000 + "'a'",
    "casts": "SELECT 1" + "::int" * 30_000,
    "null tests": "SELECT a" + " ISNULL" * 30_000,
    "unary": "SELECT " + "- " * 60_000 + "1",
    "negations": "SELECT " + "NOT " * 30_000 + "true",
    "unions": "SELECT 1,1" + " UNION SELECT 1,1" * 30_000,
    "joins": "SELECT 1 FROM t" + " JOIN t USING (a,b)" * 30_000,
    "ranges of ranges": "SELECT x" + " BETWEEN 1 AND 2 IS NULL" * 30_000,
    "a sum behind an AND": "SELECT true AND " + "1+" * 30_000 + "1 > 0",
    "negations between ORs": "SELECT " + "true OR " * 100 + "NOT " * 30_000 + "true",
    "brackets": "SELECT " + "(" * 30_000 + "1" + ")" * 30_000,
    "an identifier that looks like a dollar quote": "SELECT a$x$" + "+1" * 30_000 + "$x$",
    "a sum in an argument": "SELECT f(1, " + "1+" * 30_000 + "1)",
    "open comments": "/*" * 100_000,
    "nested comments": "SELECT 1 " + "/*" * 5_000 + "*/" * 5_000,
}

FLAT = {
    "rows": "INSERT INTO t VALUES " + ",".join(f"({i}, 'it''s {i}', $q$a+b$q$, E'\\'+')" for i in range(20_000)),
    "a list": "SELECT * FROM t WHERE id IN (" + ",".join(map(str, range(60_000))) + ")",
    "a long string": "SELECT '" + "1+1 - /* " * 50_000 + "'",
    "a long identifier list": "SELECT " + ", ".join(f'"a+{i}"' for i in range(20_000)),
    "conditions": "SELECT 1 WHERE " + " OR ".join(f"a = {i}" for i in range(2_000)),
    "very many conditions": "SELECT 1 WHERE " + " OR ".join(f"a = {i} AND b <> {i}" for i in range(20_000)),
    "ranges": "SELECT 1 WHERE " + " OR ".join(f"a BETWEEN {i} AND {i + 1}" for i in range(1_500)),
    "comments side by side": "SELECT 1 " + "/* note */ " * 20_000,
    "statements": "SELECT 1 + 1; " * 3_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_what_would_end_the_parser_never_reaches_it(name: str) -> None:
    """Refused in a moment, by a text that does not repeat the statement."""
    with pytest.raises(Unparsable) as caught:
        parse(DEEP[name])
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", FLAT)
def test_what_is_only_long_is_read(name: str) -> None:
    assert too_deep(FLAT[name]) == ""


def test_the_longest_chains_that_pass_do_not_end_the_process() -> None:
    """In a process of its own: a crash there would be a crash of every session here."""
    script = (
        "from addons.sql.parse import Unparsable, parse\n"
        "for link, start in (('1+', '1'), (\"'a'||\", \"'a'\"), ('- ', '1'), ('NOT ', 'true')):\n"
        f"  for count in ({SHORT // 2}, 5990):\n"
        "    try: parse('SELECT ' + link * count + start)\n"
        "    except Unparsable: pass\n"
        "for text in (' OR '.join(['a = 1'] * 40_000), ' AND '.join(['a = 1'] * 40_000), 'x' + ' BETWEEN 1 AND 2 IS NULL' * 1_999):\n"
        "    try: parse('SELECT 1 WHERE ' + text)\n"
        "    except Unparsable: pass\n"
        "print('alive')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "alive\n", run.stderr
