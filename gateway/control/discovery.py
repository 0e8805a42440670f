"""
A target's tables to proposals of what to mask: by each column's name, and by what a sample of its values looks like.

Values are looked at in this process and forgotten: only counts leave it. That samples are read is recorded before they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks

from gateway import upstream
from gateway.config import Account, TargetEntry
from gateway.query import Querying, QueryError

if TYPE_CHECKING:
    from addons.masking.detectors import Detector

SAMPLE_LIMIT = 10_000  #: rows of one table
_WIDEST = 2000  # characters of a value that are looked at
_BYTES = 64 << 20  # of one sample
_LIKELY = 0.05  # share of a sample's values that must look like something to propose it without a telling name

RELATIONS = """
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND NOT c.relispartition AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""

_COLUMNS = """
SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), t.typcategory
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {schema} AND c.relname = {relation} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""

_SETTINGS = {"application_name": "ostiary discover", "default_transaction_read_only": "on", "statement_timeout": "10s", "search_path": ""}


class Unsampled(Exception):
    """A table or database could not be read. `why` is for the operator; it holds no value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of one column; `category` is pg_type.typcategory: S text, D dates."""

    name: str
    type: str
    category: str


def literal(text: str) -> str:
    """A string constant, whatever standard_conforming_strings says."""
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def propose(column: Column, values: Sequence[str | None]) -> dict[str, Any] | None:
    """What one column seems to hold, with the counts that say so; None when nothing does."""
    from addons.masking.detectors import by_name, found_in  # brings all of masking, and control starts without it

    seen = [value for value in values if value]
    counts: dict[str, int] = {}
    for value in seen:
        for name in found_in(value):
            counts[name] = counts.get(name, 0) + 1
    named = by_name(column.name)
    likely = max(counts, key=counts.__getitem__, default="")
    by_value = likely if counts and counts[likely] >= max(1, len(seen) * _LIKELY) else ""
    if named is None and not by_value:
        return None
    return {
        "column": column.name, "type": column.type, "holds": named.name if named else by_value, "by": _by(named, by_value),
        "sampled": len(seen), "matches": counts.get(by_value, 0), "strategy": strategy(column, named, by_value),
    }


def _by(named: Detector | None, by_value: str) -> str:
    return " and ".join(filter(None, ("name" if named else "", "values" if by_value else "")))


def strategy(column: Column, named: Detector | None, by_value: str) -> str:
    """What fits the column's type: a date keeps its year, a text that is recognised by its end keeps that."""
    wanted = named.strategy if named else ("partial" if by_value in ("card", "phone") else "redact")
    if column.category == "D":
        return "date" if wanted == "date" else "null"
    if column.category == "S":
        return wanted if wanted == "partial" else "redact"
    return "null"


@dataclass(frozen=True, slots=True)
class Discovery:
    """One database of a target, with the account that reads it."""

    reactor: Any
    target: TargetEntry
    account: Account
    password: str | None
    database: str

    @inlineCallbacks
    def relations(self) -> Any:
        """Names of the tables that can be sampled, as [schema, relation]. Fails with Unsampled or DialError."""
        rows = yield self._ask([RELATIONS])
        return [list(row) for row in rows]

    @inlineCallbacks
    def sample(self, schema: str, relation: str, count: int) -> Any:
        """Proposals for one table. Fails with Unsampled or DialError."""
        found = yield self._ask([_COLUMNS.format(schema=literal(schema), relation=literal(relation))])
        columns = [Column(*row) for row in found]
        if not columns:
            raise Unsampled("it has no columns, or is gone")
        rows = yield self._ask([_sampling(schema, relation, columns, count)])
        values = list(zip(*rows, strict=True)) or [()] * len(columns)
        return [one for column, seen in zip(columns, values, strict=True) if (one := propose(column, seen))]

    @inlineCallbacks
    def _ask(self, texts: Iterable[str]) -> Any:
        connection = yield self._connect()
        try:
            rows: list[Any] = []
            for text in texts:
                rows = yield connection.query(text)
            return rows
        except QueryError as error:
            raise Unsampled(_WHY.get(error.sqlstate, f"the target refused with SQLSTATE {error.sqlstate}")) from None
        finally:
            connection.close()

    def _connect(self) -> Deferred[Querying]:
        dialled = upstream.dial(self.reactor, self.target, self.account, self.password, self.database, _SETTINGS)
        return dialled.addCallback(lambda made: Querying(made, SAMPLE_LIMIT * 16, _BYTES))


_WHY = {
    "42501": "the account may not read it",
    "57014": "it took too long",
    "54000": "its values are too large",
    "55000": "it cannot be read now (a materialized view without data?)",
}


def _sampling(schema: str, relation: str, columns: Sequence[Column], count: int) -> str:
    """Rows from the beginning: TABLESAMPLE reads more pages and does not work on views and foreign tables."""
    wanted = ", ".join(f"pg_catalog.left({quoted(column.name)}::pg_catalog.text, {_WIDEST})" for column in columns)
    return f"SELECT {wanted} FROM {quoted(schema)}.{quoted(relation)} LIMIT {count}"
