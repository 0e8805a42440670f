"""
Random queries over a schema: expressions, whole rows, sub-selects, laterals, CTEs that take tables' names, set operations.

A seed gives the same queries every time.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

_EXPRESSIONS = (
    "upper({}::text)", "({})::text", "({})::text || ''", "length(({})::text)", "to_jsonb({})", "coalesce(({})::text, '-')",
    "md5(({})::text)", "ROW({}, 1)", "ARRAY[{}]", "({})::text COLLATE \"C\"", "greatest(({})::text, 'a')",
    "json_build_object('k', {})", "left(({})::text, 9)", "(SELECT {})", "encode(convert_to(({})::text, 'UTF8'), 'hex')",
    "format('%s', {})", "concat({}, 1)", "quote_nullable(({})::text)", "row_to_json(ROW({}))",
)  # fmt: skip
_AGGREGATES = (
    "max(({})::text)",
    "string_agg(({})::text, ',')",
    "array_agg({})",
    "json_agg({})",
    "count({})",
    "(array_agg({}))[1]",
)


WAYS: Sequence[tuple[str, ...]] = (
    *[("{}",)] * 6,
    ("COPY ({}) TO STDOUT",), ("COPY ({}) TO STDOUT (FORMAT csv, HEADER)",), ("COPY ({}) TO STDOUT (FORMAT binary)",),
    ("BEGIN", "DECLARE c CURSOR FOR {}", "FETCH ALL c", "ROLLBACK"),
    ("PREPARE p AS {}", "EXECUTE p", "DEALLOCATE ALL"),
    ("SELECT count(DISTINCT n0), count(n0) FROM ({}) z",),
    ("SELECT row_number() OVER (PARTITION BY n0), max(n0::text) OVER () FROM ({}) z",),
    ("SELECT x.n0, y.n0 FROM ({0}) x JOIN ({0}) y ON x.n0 = y.n0 LIMIT 9",),
    ("SELECT count(*), min(n0::text) FROM ({}) z GROUP BY n0",),
    ("BEGIN", "UPDATE ward SET code = 'x' WHERE EXISTS ({}) RETURNING *", "ROLLBACK"),
    ("BEGIN", "INSERT INTO ward (id, code) SELECT 1000, n0::text FROM ({}) z RETURNING *", "ROLLBACK"),
    ("BEGIN", "CREATE TEMP TABLE kept AS {}", "TABLE kept", "ROLLBACK"),
    ("EXPLAIN (VERBOSE, COSTS OFF) {}",),
)
"""How a query is asked: alone, inside others, inside other statements."""


class Queries:
    """
    :param tables: names to column names.
    :param plain: only the named columns by their names: no stars, whole rows or renamed columns.
    """

    def __init__(self, tables: Mapping[str, Sequence[str]], seed: int, *, plain: bool = False) -> None:
        self._tables, self._random, self._plain = tables, random.Random(seed), plain
        self._aliases = 0

    def next(self) -> str:
        return self._query(0)[0]

    def asked(self) -> list[str]:
        """The next one, asked in some way: statements to run in order."""
        sql = self.next()
        return [step.format(sql) if "{" in step else step for step in self._random.choice(WAYS)]

    def _chance(self, of_one: float) -> bool:
        return self._random.random() < of_one

    def _alias(self) -> str:
        self._aliases += 1
        return f"t{self._aliases}"

    def _query(self, depth: int) -> tuple[str, list[str]]:
        """A SELECT, and the names of its columns."""
        source, alias, columns = self._source(depth)
        before = ""
        if depth < 3 and self._chance(0.2):
            inner, names = self._query(depth + 1)
            taken = self._random.choice(list(self._tables))
            before, source, columns = f"WITH {taken}({', '.join(names)}) AS ({inner}) ", f"{taken} {alias}", names
        elif self._chance(0.3):
            other, _alias, _columns = self._source(depth + 1)
            source += self._random.choice((f" CROSS JOIN {other}", f", {other}", f" LEFT JOIN {other} ON true"))
        if not self._plain and self._chance(0.1):
            return f"{before}SELECT {alias}.* FROM {source} LIMIT 9", list(columns)
        width = self._random.randint(1, 3)
        template = self._random.choice(_AGGREGATES) if self._chance(0.2) else "{}"
        values = [template.format(self._value(alias, columns)) for _ in range(width)]
        names = [f"n{i}" for i in range(width)]
        chosen = ", ".join(f"{value} AS {name}" for value, name in zip(values, names, strict=True))
        return f"{before}SELECT {chosen} FROM {source}{self._tail(width, depth)}", names

    def _tail(self, width: int, depth: int) -> str:
        if depth >= 3 or not self._chance(0.15):
            return ""
        other, alias, columns = self._source(depth + 1)
        values = ", ".join(f"({self._value(alias, columns)})::text" for _ in range(width))
        return f" UNION ALL SELECT {values} FROM {other}"

    def _source(self, depth: int) -> tuple[str, str, list[str]]:
        alias = self._alias()
        if depth < 3 and self._chance(0.4):
            inner, names = self._query(depth + 1)
            return f"{self._random.choice(('', 'LATERAL '))}({inner}) {alias}", alias, names
        table = self._random.choice(list(self._tables))
        columns = list(self._tables[table])
        if not self._plain and self._chance(0.2):
            renamed = [f"c{i}" for i in range(len(columns))]
            return f"{table} AS {alias}({', '.join(renamed)})", alias, renamed
        return f"{self._random.choice(('', 'ONLY ', 'public.'))}{table} {alias}", alias, columns

    def _value(self, alias: str, columns: Sequence[str]) -> str:
        shape = 1.0 if self._plain else self._random.random()
        if shape < 0.15:
            return alias
        if shape < 0.25:
            return f"({alias}).{self._random.choice(columns)}"
        value = f"{alias}.{self._random.choice(columns)}"
        while self._chance(0.5):
            value = self._random.choice(_EXPRESSIONS).format(value)
        return value
