"""
A name without a schema to the schemas whose relation it may be in one session, whatever the search path is there and becomes.

For who lets something pass because of the relations that it names. What a statement makes, and what the catalog does not show
yet, is in a schema that nobody can tell. A temporary relation is found before all others.

Source: PostgreSQL 18 manual, 20.11.1 "search_path": pg_temp is searched first, but for functions and operators.
"""

from __future__ import annotations

from google.protobuf.message import Message

from addons.sql.catalog import Snapshot
from addons.sql.finding import Finding
from addons.sql.flux import Flux
from addons.sql.resolve import CREATES, references

ANY = "*"  #: among names of temporary relations: any may be one
TEMPORARY = "pg_temp"
UNTOLD = frozenset({""})
"""Schemas, where nobody can tell in which it is."""


def place(finding: Finding, statement: Message | None, snapshot: Snapshot | None, flux: Flux | None, temporary: frozenset[str] | None) -> None:
    """
    Say of each name without a schema which it may be: `Finding.bearers`.

    :param statement: None where it makes nothing. :param snapshot: None while the catalog is not known.
    :param temporary: as `Underway.temporary`.
    """
    made = {r.name.relname for r in references(statement) if r.place in CREATES and not r.name.schemaname} if statement is not None else set()
    bare = {last for schema, last in finding.relations if not schema}
    finding.bearers = {last: UNTOLD if last in made or snapshot is None else _bearers(last, snapshot, flux, temporary) for last in bare}


def _bearers(last: str, snapshot: Snapshot, flux: Flux | None, temporary: frozenset[str] | None) -> frozenset[str]:
    if flux is not None and (flux.unseen or flux.schemas or any(flux.moved(last))):
        return UNTOLD
    if temporary is not None and not temporary.isdisjoint((ANY, last)):
        return UNTOLD
    known = {r.schema for r in snapshot.by_relation_name.get(last, ()) if r.kind != "c"}
    others = {schema for schema in known if schema.startswith("pg_temp_")}  # of any session; its own where it made some
    return frozenset(known - others | ({TEMPORARY} if others and temporary is not None else set())) or UNTOLD


def spoken_of(flux: Flux | None) -> frozenset[str]:
    """Names of relations that code may have made, which no reading of the catalog was asked for since."""
    if flux is None:
        return frozenset()
    return frozenset({ANY}) if flux.unseen else frozenset(one.name for one in flux.relations)
