"""
What the server was asked to run, against what the evidence says of it.

The server's word is its own log (log_statement = all, the prefix of the fixture `server`); a text counts as often as it was run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.opening import SEARCH_PATH

ROLE = "app"  # what the gateway logs in as; nobody else does

_LINE = re.compile(r"^\S+ \S+ \S+ \[\d+\] (?:([^@ ]*)@([^/ ]*)/(.*?) )?(LOG|ERROR|FATAL|DETAIL|STATEMENT|HINT|[A-Z]+):  (.*)$", re.S)
_RUN = re.compile(r"^(?:statement|execute [^:]*): (.*)$", re.S)
_CATALOG_READER = "ostiary catalog"
_OWN = {SEARCH_PATH}  # what the gateway asks on a session's connection before its client has a prompt
_RUNS = {"simple", "bind"}  # a Parse runs nothing


def asked_of(log: Path, database: str = "", begin: int = 0) -> Counter[str]:
    """Texts that the gateway's role ran, what the gateway asks for itself left out."""
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return Counter(text for who, where, application, text in _statements(lines)
                   if who == ROLE and application != _CATALOG_READER and text not in _OWN and database in ("", where))


def _statements(lines: Iterable[str]) -> Iterable[tuple[str, str, str, str]]:
    """User, database, program, text; a text of several lines goes on behind tabs."""
    entry = ""
    for line in [*lines, "2000-01-01 00:00:00 UTC [0] LOG:  end"]:
        if line.startswith("\t"):
            entry += "\n" + line[1:]
            continue
        found = _LINE.match(entry)
        run = _RUN.match(found[5]) if found and found[4] == "LOG" else None
        if found and run:
            yield found[1] or "", found[2] or "", found[3] or "", run[1]
        entry = line


def intended(records: Iterable[dict[str, Any]]) -> Counter[str]:
    """Texts that left, by the evidence."""
    return Counter(
        record["body"]["sent"] or record["body"]["text"]
        for record in records if record["kind"] == "intent" and record["fields"]["path"] in _RUNS
    )


def unrecorded(asked: Counter[str], records: Iterable[dict[str, Any]]) -> Counter[str]:
    """What the server ran more often than the evidence says: must be empty."""
    return asked - intended(records)


def endings(records: Iterable[dict[str, Any]]) -> dict[tuple[int, int], list[str]]:
    """Every intent's outcomes: exactly one each, once nothing runs."""
    found: dict[tuple[int, int], list[str]] = {}
    for record in records:
        if record["kind"] == "intent":
            found.setdefault((record["worker"], record["sequence"]), [])
        elif record["kind"] == "outcome":
            found.setdefault(tuple(record["ref"]), []).append(record["fields"]["ending"])
    return found


def settled(ends: list[str]) -> bool:
    """One outcome; "unknown", which the notary said of a worker it lost, may be followed by what came of it after all."""
    return len(ends) == 1 or (len(ends) == 2 and ends[0] == "unknown" and ends[1] != "unknown")
