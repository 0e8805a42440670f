"""
What a statement does to its session by what is stored in the catalog: by views, rules, policies, defaults, checks and triggers of the
relations that it reads or writes, and by the functions that it calls. Too much rather than too little.
"""

from __future__ import annotations

from collections import OrderedDict

from addons.sql.catalog import Snapshot
from addons.sql.changes import Change
from addons.sql.deeds import NAMES, PATH, deeds
from addons.sql.finding import Finding
from addons.sql.spreading import CALL, NOTHING, SET_CONFIG, SETTINGS, Doing, Spreading

HIDDEN = Change("", None, "text", certain=False, once=False)
"""Some setting, to some value; the text does not say that it is one."""

SETS = "sets"
"""What relations do that call set_config() themselves, or write to the server's own view of settings, whose rule calls it."""

_KEPT = 32  #: snapshots and deeds
_known: OrderedDict[tuple[str, str], Doing] = OrderedDict()


def doing(snapshot: Snapshot, deed: str) -> Doing:
    """What does it. :param deed: SETS, or one of `deeds`: what may be done to portals and names is followed through functions only."""
    key = snapshot.revision, deed
    found = _known.get(key)
    if found is None:
        found = _known[key] = _found(snapshot, deed)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


def _found(snapshot: Snapshot, deed: str) -> Doing:
    if deed == SETS:
        return Spreading(snapshot, set()).found() if _sets_any(snapshot) else NOTHING
    functions = {f.oid for f in snapshot.functions.values() if deed in deeds(f)}
    if not functions:
        return doing(snapshot, SETS) if deed == PATH else NOTHING
    return Spreading(snapshot, functions, relations=deed == PATH).found()


def _sets_any(snapshot: Snapshot) -> bool:
    """Whether any relation or type does; nearly always none, which is quickly seen."""
    if any(SET_CONFIG in each for runs in (snapshot.runs, snapshot.type_runs) for each in runs.values()):
        return True
    read = (text for r in snapshot.relations.values() if not r.system for text in (r.definition, *r.rules) if text)
    return any(CALL in text or SETTINGS in text for text in read) or any(CALL in text for each in snapshot.policies.values() for text in each)


def with_hidden(found: tuple[Finding, ...], snapshot: Snapshot | None) -> tuple[Finding, ...]:
    """The same findings, each with HIDDEN among its changes where the catalog says that it may set something, and what else it may do."""
    for finding in found if snapshot is not None else ():
        if doing(snapshot, SETS).by(finding):
            finding.changes.append(HIDDEN)
        finding.strays, finding.renames = (doing(snapshot, deed).by(finding) for deed in (PATH, NAMES))
    return found
