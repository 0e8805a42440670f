"""
What a statement does to its session by what is stored in the catalog: by views, rules, policies, defaults, checks and triggers of the
relations that it reads or writes, and by the functions that it calls. Too much rather than too little.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from addons.sql.catalog import Function, Snapshot
from addons.sql.changes import Change
from addons.sql.deeds import CURSORS, NAMES, PATH, deeds
from addons.sql.finding import Finding
from addons.sql.flux import words_of
from addons.sql.functions import RUNS_TEXT
from addons.sql.spreading import CALL, NOTHING, SET_CONFIG, SETTINGS, Doing, Spreading
from addons.sql.stirred import SERVERS

HIDDEN = Change("", None, "text", certain=False, once=False)
"""Some setting, to some value; the text does not say that it is one."""

SETS = "sets"
"""What relations do that call set_config() themselves, or write to the server's own view of settings, whose rule calls it."""

_KEPT = 32  #: snapshots and deeds
_known: OrderedDict[tuple[str, str], Doing] = OrderedDict()


def doing(snapshot: Snapshot, deed: str) -> Doing:
    """What does it. :param deed: SETS, or one of `deeds`: what may be done to portals is followed through functions only."""
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
    return Spreading(snapshot, functions, relations=deed != CURSORS, settings=deed == PATH).found()


def _sets_any(snapshot: Snapshot) -> bool:
    """Whether any relation or type does; nearly always none, which is quickly seen."""
    if any(SET_CONFIG in each for runs in (snapshot.runs, snapshot.type_runs, snapshot.defaults) for each in runs.values()):
        return True
    read, policies = _texts(snapshot)
    return any(CALL in text or SETTINGS in text for text in read) or any(CALL in text for text in policies)


def _texts(snapshot: Snapshot) -> tuple[Iterator[str], Iterator[str]]:
    """Of views and rules, and of policies."""
    read = (text for r in snapshot.relations.values() if not r.system for text in (r.definition, *r.rules) if text)
    return read, (text for each in snapshot.policies.values() for text in each)


def _runs_any(snapshot: Snapshot) -> bool:
    """Whether any relation's text runs SQL that stands in a value."""
    return any(not RUNS_TEXT.isdisjoint(words_of(text)) for texts in _texts(snapshot) for text in texts)


def sets_paths(snapshot: Snapshot) -> bool:
    """Whether the catalog has any code that may set the search path, whatever leads to it: where it has none no path moves but by what is sent."""
    found = _setting.get(snapshot.revision)
    if found is None:
        found = _setting[snapshot.revision] = _sets_any(snapshot) or _runs_any(snapshot) or any(map(_may_set, snapshot.functions.values()))
        if len(_setting) > _KEPT:
            _setting.popitem(last=False)
    return found


_setting: OrderedDict[str, bool] = OrderedDict()


def _may_set(function: Function) -> bool:
    """Itself, or by what it puts together and executes."""
    return PATH in deeds(function) or function.schema not in SERVERS and not _EXECUTES.isdisjoint(words_of(function.body))


_EXECUTES = {"execute", *RUNS_TEXT}


def with_hidden(found: tuple[Finding, ...], snapshot: Snapshot | None) -> tuple[Finding, ...]:
    """The same findings, each with HIDDEN among its changes where the catalog says that it may set something, and what else it may do."""
    for finding in found if snapshot is not None else ():
        if doing(snapshot, SETS).by(finding):
            finding.changes.append(HIDDEN)
        finding.strays, finding.renames = (doing(snapshot, deed).by(finding) for deed in (PATH, NAMES))
    return found
