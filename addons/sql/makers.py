"""
What makes relations while a statement runs that does not name it: functions that create some, and all that runs these, as defaults, checks,
triggers, views, rules, row policies and domains do. Too much rather than too little.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from addons.sql.bearers import spoken_of
from addons.sql.catalog import Function, Snapshot
from addons.sql.finding import Finding
from addons.sql.flux import Flux, spoken
from addons.sql.spreading import NOTHING, Doing, Spreading
from addons.sql.stirred import SERVERS

_KEPT = 32  #: snapshots
_known: OrderedDict[str, tuple[Doing, frozenset[str]]] = OrderedDict()


def made(finding: Finding, classes: Collection[str], snapshot: Snapshot | None) -> frozenset[str]:
    """
    Names that relations may have which code makes that a statement runs; `bearers.ANY` among them for all.

    :param classes: the statement's. What is not read alone may run what writes run: TRUNCATE has triggers too.
    """
    if snapshot is None:
        return frozenset()
    doing, names = _makers(snapshot)
    written = set(classes) != {"read"} and any(last in doing.written for _schema, last in finding.relations)
    return names if written or doing.by(finding) else frozenset()


def _makers(snapshot: Snapshot) -> tuple[Doing, frozenset[str]]:
    found = _known.get(snapshot.revision)
    if found is None:
        said = {oid: names for oid, function in snapshot.functions.items() if (names := spoken_of(_own(function)))}
        doing = Spreading(snapshot, set(said), settings=False).found() if said else NOTHING
        found = _known[snapshot.revision] = doing, frozenset().union(*said.values())
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def _own(function: Function) -> Flux | None:
    """What its own code may change: what it calls is another function's."""
    if function.schema in SERVERS or function.kind == "a" or function.language in ("c", "internal") and function.extension or function.atomic:
        return None
    return spoken(function.body) if function.language in ("sql", "plpgsql") and function.body else Flux(unseen=True)
