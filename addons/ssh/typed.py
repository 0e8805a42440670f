"""
Rules about lines that are typed in an interactive shell. They only refuse.

They stop mistakes, not adversaries: what cannot be known of a line passes. Where it must not, refuse the shell.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from protocols.verdict import Deny

from addons.sql.conditions import Conditions, Table, conditions
from addons.ssh import lines


@dataclass(frozen=True, slots=True)
class Typed:
    """
    One `{ name = …, programs = [ … ] }`.

    :ivar programs: refused wherever a line starts one of them, or mentions it to a program that starts others; in what cannot be
        read, wherever its name is a word.
    :ivar lines: refused as they stand.
    """

    name: str
    programs: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()
    conditions: Conditions = field(default_factory=Conditions)
    reason: str = ""
    hint: str = ""

    def refuses(self, line: str) -> Deny | None:
        """Why it is not sent; None when this rule has nothing against it."""
        read = lines.read(line.strip().encode("utf-8", "backslashreplace"), compound=True)
        if line.strip() not in self.lines and not read.mentions(self.programs):
            return None
        reason = self.reason or f"Rule {self.name} refuses this line."
        return Deny(reason, "OST-203", rule=self.name, hint=self.hint, facts=(("kind", "line"),))


def typed(table: Table) -> Typed:
    """
    :raises ValueError: with the key path and what to write instead.
    """
    table.only(Typed)
    made = Typed(
        table.text("name"), table.texts("programs"), table.texts("lines"), conditions(table), table.text("reason"), table.text("hint"),
    )
    if not made.name:
        table.missing("every rule has a name, which refusals and evidence show", "name")
    if not made.programs and not made.lines:
        table.missing("say which programs or lines it refuses", "programs", "lines")
    table.end()
    return made
