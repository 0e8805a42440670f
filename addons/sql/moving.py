"""
What a command may do to its session's portals and prepared statements by the functions that it calls: take one away, and give its name to another.

What the catalog does not show may be anybody's; without a catalog all that is not the server's own may close portals.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from addons.sql.catalog import Snapshot
from addons.sql.classify import classify
from addons.sql.deeds import CURSORS, NAMES
from addons.sql.finding import Finding, Name
from addons.sql.functions import OPERATORS, catalog_class
from addons.sql.parse import Unparsable, parse
from addons.sql.spreading import NOTHING
from addons.sql.stirred import user_functions
from addons.sql.stored import doing

_KEPT, _KEPT_LENGTH = 1024, 4 << 10  #: texts, and characters of one
_UNSEEN = frozenset({"Execute", "Fetch", "Call", "Do"})  #: what they run stands elsewhere, or is code
_known: OrderedDict[tuple[str, str], Moves] = OrderedDict()


class Moves(NamedTuple):
    """Whether it may give portals' names to cursors, and take prepared statements away."""

    portals: bool = False
    statements: bool = False


def moves(text: str, snapshot: Snapshot | None, *, portals: bool) -> Moves:
    """:param portals: whether anybody asks about those; else only what the catalog says takes statements away is looked for."""
    if not portals and (snapshot is None or doing(snapshot, NAMES) is NOTHING):
        return Moves()
    key = text, "" if snapshot is None else snapshot.revision
    found = _known.get(key)
    if found is None:
        found = _looked(text, snapshot)
        if len(text) <= _KEPT_LENGTH:
            _known[key] = found
            if len(_known) > _KEPT:
                _known.popitem(last=False)
    return found


def called(oid: int, snapshot: Snapshot | None) -> Moves:
    """Likewise, of a function by its number."""
    if snapshot is None or oid not in snapshot.functions:
        return Moves(portals=True)
    return Moves(*(oid in doing(snapshot, deed).functions for deed in (CURSORS, NAMES)))


def _looked(text: str, snapshot: Snapshot | None) -> Moves:
    try:
        findings = classify(parse(text))
    except Unparsable:
        return Moves(portals=True)
    closes = any(each.kind in _UNSEEN or each.executes or _calls_strangers(each, snapshot) for each in findings)
    if snapshot is None:
        return Moves(closes)
    portals, statements = (any(doing(snapshot, deed).by(each) for each in findings) for deed in (CURSORS, NAMES))
    return Moves(closes or portals, statements)


def _calls_strangers(finding: Finding, snapshot: Snapshot | None) -> bool:
    """Whether it names a function or an operator that is neither the server's nor in the catalog."""
    known = OPERATORS if snapshot is None else OPERATORS | snapshot.operators.keys()
    return any(symbol not in known for _schema, symbol in finding.operators) or any(_strange(name, snapshot) for name in (*finding.functions, *finding.called))


def _strange(name: Name, snapshot: Snapshot | None) -> bool:
    return catalog_class(*name) is None and not user_functions(snapshot, name)
