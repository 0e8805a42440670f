"""
Names that an operator wrote in the configuration, and which of a statement's they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from addons.sql.finding import Name


@dataclass(frozen=True, slots=True)
class Listed:
    """Functions, procedures, operators or relations, as "name" or "schema.name"."""

    names: frozenset[str] = field(default_factory=frozenset)

    def __contains__(self, name: Name) -> bool:
        """Whether it may be one: a name without a schema may be that of every schema."""
        schema, last = name
        if schema:
            return f"{schema}.{last}" in self.names or last in self.names
        return last in self.names or any(n.partition(".")[2] == last for n in self.names)
