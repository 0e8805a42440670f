"""
What an export takes, and the log's own record of it: made before the bundle is written, and put into it.

With that record nobody who hands a bundle on can leave out a record, close a body, or say that something else was asked for.
"""

from __future__ import annotations

import json
import uuid
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from gateway.evidence.query import Found, Place
from gateway.evidence.view import Unreadable, View, rows
from gateway.notary.body import Bodies
from gateway.notary.merkle import leaf_hash
from gateway.notary.record import Kind, parse_leaf, unpack

EXPORTED = "exported"


@dataclass(slots=True)
class Chosen:
    """The places of what was found, and what is to be recorded of it."""

    places: dict[int, array[int]] = field(default_factory=dict)  #: segment: indexes, rising
    records: int = 0
    opened: int = 0  #: bodies
    order: Place | None = None  #: of the record of this export
    _digest: Any = field(default_factory=sha256)

    @classmethod
    def of(cls, found: Iterable[Found]) -> Chosen:
        """All that a search gives, in the store's order."""
        chosen = cls()
        for each in found:
            stamp = each.record.stamp
            chosen.places.setdefault(stamp.segment, array("Q")).append(stamp.index)
            chosen.records += 1
            chosen.opened += each.plain is not None
            chosen._digest.update(leaf_hash(each.row[1]))
        return chosen

    def facts(self, upto: Place, query: Mapping[str, str], missing: Mapping[int, str] = MappingProxyType({})) -> dict[str, str]:
        """
        For the record: what was asked for, how far was searched (not including `upto`), and what came of it.

        :param missing: segment: what the store has lost of it.
        """
        lost = {"missing": json.dumps(by_number(missing), ensure_ascii=False)} if missing else {}
        return lost | {
            "query": told(query), "upto": f"{upto[0]}/{upto[1]}", "records": str(self.records), "bodies": str(self.opened),
            "leaves": self._digest.hexdigest(),
        }

    def ordered(self, view: View, bodies: Bodies, facts: dict[str, str], after: Place) -> None:
        """
        Have the export recorded, and take that record too.

        :raises Unreadable: it cannot be recorded, or is not found again.
        """
        name = uuid.uuid4().hex
        if not view.record_viewing(EXPORTED, {**facts, "bundle": name}):
            return
        self.order = next(_recorded(view, bodies, name, after), None)
        if self.order is None:
            raise Unreadable("the record of this export is not in the store: run `ostiary audit verify`")
        self.places.setdefault(self.order[0], array("Q")).append(self.order[1])


def by_number(missing: Mapping[int, str]) -> dict[str, str]:
    """As JSON has it."""
    return {str(number): why for number, why in sorted(missing.items())}


def told(query: Mapping[str, str]) -> str:
    """A query as records of looking hold it: one value, so that no search takes what was sought for who sought it."""
    return json.dumps(dict(query), sort_keys=True, ensure_ascii=False)


def _recorded(view: View, bodies: Bodies, name: str, after: Place) -> Iterator[Place]:
    for number in sorted(number for number in view.present() if number >= after[0]):
        for index, leaf, body in rows(view, number, after[1] if number == after[0] else 0):
            record = parse_leaf(leaf)
            if record.kind != Kind.ADMIN or record.get("what") != EXPORTED or body is None:
                continue
            if unpack(bodies.open(record.session, body)[0])[0].get("bundle") == name:
                yield number, index
