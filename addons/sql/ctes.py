"""
Which names WITH has made where a walk of a tree stands, by PostgreSQL's own scoping.
"""

from __future__ import annotations


class Ctes:
    """CTE names in force, and whether each one's rows are named. A view on one WITH clause: entries before `limit`."""

    __slots__ = ("_names", "_limit", "_outer")

    def __init__(self, names: dict[str, tuple[int, bool]], limit: int, outer: Ctes | None) -> None:
        self._names, self._limit, self._outer = names, limit, outer

    def get(self, name: str) -> bool | None:
        """Whether the CTE's rows are named; None when no CTE is called so here."""
        scope: Ctes | None = self
        while scope is not None:
            found = scope._names.get(name)
            if found is not None and found[0] < scope._limit:
                return found[1]
            scope = scope._outer
        return None


NO_CTES = Ctes({}, 0, None)
