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
from addons.sql.spreading import NOTHING, Doing, Spreading
from addons.sql.stirred import SERVERS, own

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
        said = {oid: names for oid, function in snapshot.functions.items() if _users(function) and (names := spoken_of(own(function)))}
        doing = Spreading(snapshot, set(said), settings=False).found() if said else NOTHING
        found = _known[snapshot.revision] = doing, frozenset().union(*said.values())
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def _users(function: Function) -> bool:
    """Whether it is none of the server's; an aggregate does nothing itself."""
    return function.schema not in SERVERS and function.kind != "a"
