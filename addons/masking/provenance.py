"""
Layer 3: what the wire says of each column's origin. It only adds masks, and each is an alarm, since the text was judged already.
"""

from __future__ import annotations

from collections.abc import Callable

from addons.masking.cover import Cover
from addons.masking.strategies import cell
from addons.sql.catalog import FIRST_USER_OID
from protocols.result import NULL, CellMask, Column, Columns, MaskPlan


class Provenance:
    """
    Of one result.

    :param brought: whether its rows come of a rewritten text, which brings NULLs of types that hold masked columns.
    :param own: whether OIDs that the catalog lacks are explained by what the session made itself.
    :param suspect: told when they are not, or a masked column came back all the same: the catalog is old.
    """

    def __init__(self, cover: Cover, brought: Callable[[], bool], own: Callable[[], bool], suspect: Callable[[], None]) -> None:
        self._cover, self._brought, self._own, self._suspect = cover, brought, own, suspect

    def plan(self, columns: Columns) -> MaskPlan | None:
        """None where nothing is masked."""
        cells, alarms = zip(*map(self._cell, columns.fields), strict=True) if columns.fields else ((), ())
        if any(map(self._label, columns.fields)):  # names have moved, and of what an expression is made nobody knows
            self._suspect()
            cells = [NULL if made is None and not field.table_oid else made for field, made in zip(columns.fields, cells, strict=True)]
        plan = MaskPlan(tuple(cells), alarm="; ".join(filter(None, alarms)))
        return None if plan.clean else plan

    def _label(self, field: Column) -> str:
        return self._cover.column(field.table_oid, field.attribute)

    def _cell(self, field: Column) -> tuple[CellMask, str]:
        cover, snapshot = self._cover, self._cover.snapshot
        label = self._label(field)
        if label:
            return cell(field.type_oid, snapshot), f"{label} came back although the statement was thought clean of it"
        if field.type_oid in cover.row_types:
            return NULL, "" if self._brought() else f"a row type that holds masked columns came back (type {field.type_oid})"
        stranger = field.table_oid >= FIRST_USER_OID and field.table_oid not in snapshot.relations
        if stranger or field.type_oid >= FIRST_USER_OID and field.type_oid not in snapshot.types:
            if self._own():
                return None, ""
            self._suspect()
            return NULL, f"relation {field.table_oid} or type {field.type_oid} is not in the catalog"
        return None, ""
