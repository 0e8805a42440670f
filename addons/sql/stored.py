"""
Which relations set settings when they are read or written: by a set_config() in a view, a rule or a policy, or because what is written there is
written to the server's own view of settings, whose rule calls it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from addons.sql.catalog import Snapshot
from addons.sql.changes import Change
from addons.sql.finding import Finding

HIDDEN = Change("", None, "text", certain=False, once=False)
"""Some setting, to some value; the text does not say that it is one."""

SETTINGS = "pg_settings"
_CALL = "set_config"
_KEPT = 16  #: snapshots
_known: OrderedDict[str, tuple[frozenset[str], frozenset[str]]] = OrderedDict()


def setting(snapshot: Snapshot) -> tuple[frozenset[str], frozenset[str]]:
    """Last names of the relations that set something when they are read, and when they are written: too many rather than too few."""
    found = _known.get(snapshot.revision)
    if found is None:
        found = _known[snapshot.revision] = _found(list(_texts(snapshot)))
        if len(_known) > _KEPT:
            _known.popitem(last=False)
    return found


Texts = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A relation's name, what is done when it is read, and when it is written."""


def _texts(snapshot: Snapshot) -> Iterator[Texts]:
    for oid, relation in snapshot.relations.items():
        read = (relation.definition, *snapshot.policies.get(oid, ()))
        if not relation.system and any((*read, *relation.rules)):
            yield relation.name, read, (*read, *relation.rules)


def _found(relations: Sequence[Texts]) -> tuple[frozenset[str], frozenset[str]]:
    """A text that has such a name in it may mean that."""
    read: set[str] = set()
    written: set[str] = set()
    while True:
        before = len(read), len(written)
        read |= {name for name, texts, _ in relations if _says(texts, (_CALL, *read))}
        written |= {name for name, _, texts in relations if _says(texts, (_CALL, SETTINGS, *read, *written))}
        if before == (len(read), len(written)):
            return frozenset(read), frozenset(written)


def _says(texts: Iterable[str], names: Iterable[str]) -> bool:
    return any(name in text for text in texts for name in names)


def with_hidden(found: tuple[Finding, ...], snapshot: Snapshot | None) -> tuple[Finding, ...]:
    """The same findings, each with HIDDEN among its changes where the catalog says that it may set something."""
    for finding in found:
        if _hidden(finding, snapshot):
            finding.changes.append(HIDDEN)
    return found


def _hidden(finding: Finding, snapshot: Snapshot | None) -> bool:
    """Whether it reads or writes one of these."""
    if snapshot is None or not finding.relations:
        return False
    read, written = setting(snapshot)
    if not read and not written:
        return False
    return any(name in read for _schema, name in finding.relations) or any(name in written for _schema, name in finding.written)
