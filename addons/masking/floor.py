"""
The floor: masked views and a role without masked columns on the server itself, and what a session on it needs of them.

A view's name carries a digest of its text, so what is masked otherwise than this configuration says has another name: a
statement for it fails, whatever was provisioned before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from addons.masking.strategies import VIEWS
from addons.sql.catalog import READABLE, Relation

if TYPE_CHECKING:
    from addons.masking.cover import Cover

OWNER = "ostiary_masks"
"""Owns the views and their schema; may read masked relations, never logs in, and nobody is a member of it."""


@dataclass(frozen=True, slots=True)
class View:
    """
    What stands for a masked relation.

    :ivar only: without its children's rows.
    :ivar text: its SELECT.
    """

    relation: Relation
    only: bool
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Floor:
    """
    What must hold on the server for a session that sees every declared column masked.

    :ivar columns: (relation OID, attribute number, label) that the role may not touch.
    :ivar views: names in the schema VIEWS that it must find there.
    :ivar functions: "schema.function" names that are vouched for, SECURITY DEFINER or not.
    """

    columns: tuple[tuple[int, int, str], ...]
    views: tuple[str, ...]
    functions: frozenset[str]


def floor(cover: Cover, functions: frozenset[str]) -> Floor:
    """What a cover needs."""
    columns = [
        (relation.oid, masked.column.number, masked.label)
        for relation in grounded(cover)
        for masked in cover.relations[relation.oid].values()
    ]
    closed = [cover.snapshot.relations[oid] for oid in sorted(cover.answering)]
    columns += [(r.oid, column.number, f"{r.label}.{column.name}") for r in closed if stands(r) for column in r.columns]
    return Floor(tuple(columns), tuple(view.name for view in views(cover)), functions)


def grounded(cover: Cover) -> list[Relation]:
    """The masked relations that views stand for, by name."""
    found = [cover.snapshot.relations[oid] for oid in cover.relations]
    return sorted((r for r in found if stands(r)), key=lambda r: (r.schema, r.name))


def stands(relation: Relation) -> bool:
    """Whether a view can stand for it: the server's own, other sessions' temporary tables and the views themselves are left."""
    own = relation.system or relation.schema.startswith("pg_") or relation.schema == VIEWS
    return relation.kind in READABLE and not own  # a composite type can hold masked rows, and nobody reads it


def views(cover: Cover) -> Iterator[View]:
    """
    All that stand for masked relations; a second one without the children of those that have any. None for views that
    nobody who sees masks may read at all.
    """
    for relation in (r for r in grounded(cover) if r.oid not in cover.answering):
        for only in (False, True) if cover.snapshot.children.get(relation.oid) else (False,):
            text = cover.source(relation, only)
            yield View(relation, only, named(relation, text), text)


_NAME = 63 - 17  # bytes of an identifier that are not the digest's
_DIGITS = 16


def named(relation: Relation, text: str) -> str:
    """The view's name: the relation's, shortened, and a digest of what it shows."""
    label = relation.label.encode()[:_NAME].decode("utf-8", "ignore")
    return f"{label} {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"
