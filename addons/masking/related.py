"""
What relates masked columns to others: a view's tests that compare the two answer whoever can write the others.

A test of masked columns and constants alone is fixed text, and asks nothing new however often it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message

from addons.sql.lineage import Columns, Lineage
from addons.sql.parse import unwrap
from addons.sql.resolve import Names, references
from addons.sql.scope import OTHER, Output, Scope, Taint, hidden
from addons.sql.zoned import shifts

CHOSEN = frozenset(
    """
    current_setting set_config current_query currval lastval nextval setval random random_normal pg_listening_channels
    txid_current txid_current_snapshot pg_current_xact_id pg_current_snapshot
""".split()
)
"""Functions of the server's whose answers a client has a hand in."""

_SETTINGS: Taint = frozenset({f"{OTHER}a setting"})


@dataclass(frozen=True)
class Reading:
    """
    A view's definition.

    :ivar outputs: its columns, made of masked and OTHER things.
    :ivar answers: whether some test in it compares the two.
    :ivar reached: OIDs of the relations that it names.
    """

    outputs: Sequence[Output]
    answers: bool
    reached: frozenset[int]


def mixed(taint: Taint) -> bool:
    """Whether it is made of something masked and something that is not."""
    return bool(hidden(taint)) and any(label.startswith(OTHER) for label in taint)


class _Definition(Lineage):
    """What settings have a say in is made of something that the client chose."""

    def __init__(self, names: Names, everything: Columns, opaque: Callable[[Message], str], kinds: Callable[[str], str]) -> None:
        super().__init__(names, everything, strict=True, opaque=opaque, answering=CHOSEN)
        self._kinds = kinds

    def value(self, node: Message, scope: Scope) -> Taint:
        inside = unwrap(node)
        shifting = shifts(inside, lambda part: self._kind(part, scope), self._names.snapshot)
        return super().value(node, scope) | (_SETTINGS if shifting else frozenset())

    def _kind(self, part: Message, scope: Scope) -> str:
        found = self._plain_column(part, scope)
        return self._kinds(found.plain) if found is not None and found.plain else ""


def reading(
    statement: Message, names: Names, everything: Columns, opaque: Callable[[Message], str], kinds: Callable[[str], str] = lambda _label: ""
) -> Reading | None:
    """
    :param everything: all columns of a relation, with OTHER labels for those that are not masked.
    :param kinds: of a masked column's label, as `zoned.kind`.
    :returns: None when it is not understood.
    """
    lineage = _Definition(names, everything, opaque, kinds)
    try:
        outputs = lineage.query(statement)
    except RecursionError:
        return None
    if outputs is None:
        return None
    reached = frozenset(r.oid for reference in references(statement) for r in names.relations(reference.name))
    return Reading(outputs, any(mixed(use.taint) for use in lineage.uses), reached)
