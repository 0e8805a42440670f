"""
A snapshot in pieces for another process of ours, so that nobody waits while all of it is packed; and back.

Pickle, since both ends are this program and the receiver is the one with less to lose: nothing that a client sent is in it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from dataclasses import fields
from itertools import islice
from types import MappingProxyType
from typing import Any

from addons.sql.catalog import Snapshot, indices

PIECE = 128  #: relations, functions or types in one; some 3 ms of packing

_INDICES = "by_"  # made anew


def parcels(snapshot: Snapshot) -> Iterator[bytes]:
    """Its fields; those with many members in several pieces."""
    for each in fields(snapshot):
        value = getattr(snapshot, each.name)
        if each.name.startswith(_INDICES):
            continue
        if not isinstance(value, Mapping):
            yield pickle.dumps((each.name, value), pickle.HIGHEST_PROTOCOL)
            continue
        members = iter(value.items())
        yield pickle.dumps((each.name, {}), pickle.HIGHEST_PROTOCOL)
        while piece := dict(islice(members, PIECE)):
            yield pickle.dumps((each.name, piece), pickle.HIGHEST_PROTOCOL)


class Unpacking:
    """Takes all the parcels of one snapshot, in any order."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def take(self, parcel: bytes) -> None:
        name, value = pickle.loads(parcel)
        if isinstance(value, dict):
            self._found.setdefault(name, {}).update(value)
        else:
            self._found[name] = value

    def whole(self) -> Snapshot:
        """
        :raises TypeError: some are missing.
        """
        given = {name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in self._found.items()}
        return Snapshot(**given, **indices(given["relations"], given["functions"], given["types"]))
