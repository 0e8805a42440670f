"""
The server's relations that show values of every relation, whatever its name: statistics and what is stored out of line.

A rule about a relation or a column cannot tell whose values are read there, so all such rules are met by what reaches
them. Views and functions are looked through by the words of their text, which says more than is: a name in a comment counts.

Source: PostgreSQL 18 manual, 53.52 "pg_statistic" to 53.54, 54.30 "pg_stats" to 54.32, 65.2 "TOAST".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Container, Iterable

from addons.sql.catalog import Snapshot
from addons.sql.finding import Name
from addons.sql.flux import Flux

SAMPLES = frozenset({"pg_statistic", "pg_statistic_ext_data", "pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"})
WHY = "which may show values of any relation or column"
"""What a reason ends in where a rule is met by this alone."""

_WORD = re.compile(rf"(?<![\w$])(?:{'|'.join(sorted(SAMPLES))})(?![\w$])|pg_toast\w*\.|u&\"", re.IGNORECASE)  # U&"..." may spell any name
_SERVERS = ("pg_catalog", "information_schema")


def shows(name: Name) -> bool:
    """Whether a relation's name may mean one of them."""
    schema, last = name
    return schema.startswith("pg_toast") or schema in ("", "pg_catalog") and (last in SAMPLES or last.startswith("pg_toast_"))


def showing(snapshot: Snapshot, vouched: Container[Name]) -> tuple[frozenset[str], frozenset[str]]:
    """
    Last names of the views, and of the functions, whose text leads to them, at any depth.

    :param vouched: functions that are not looked into.
    """
    views = [(r.name, (r.definition, *r.rules)) for r in snapshot.relations.values() if r.definition or r.rules]
    functions = [
        (f.name, (f.body,)) for f in snapshot.functions.values()
        if f.body and f.schema not in _SERVERS and (f.schema, f.name) not in vouched
    ]  # fmt: skip
    found: tuple[set[str], set[str]] = set(), set()
    word: re.Pattern[str] | None = _WORD
    while word is not None:
        more = [{name for name, texts in each if name not in known and any(map(word.search, texts))} for each, known in zip((views, functions), found)]
        for known, names in zip(found, more):
            known |= names
        word = _any_of(more[0] | more[1])
    return frozenset(found[0]), frozenset(found[1])


def sampled(relations: Iterable[Name], functions: Iterable[Name], flux: Flux | None, leading: tuple[frozenset[str], frozenset[str]]) -> set[Name]:
    """
    Of what a statement names, that which leads to them.

    :param leading: what `showing` found. :param flux: under which names the transaction put it.
    """
    names = set(relations)
    while flux is not None and not names >= (led := flux.leads(names, names)[0]):
        names |= led
    views, calls = leading
    return {name for name in names if shows(name) or name[1] in views} | {name for name in functions if name[1] in calls}


def _any_of(names: Collection[str]) -> re.Pattern[str] | None:
    """Any of these as PostgreSQL writes them, quoted or bare."""
    written = sorted(re.escape(name.replace('"', '""')) for name in names)
    return re.compile(rf"(?<![\w$])(?:{'|'.join(written)})(?![\w$])", re.IGNORECASE) if written else None
