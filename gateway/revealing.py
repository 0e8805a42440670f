"""
What a command may show under a reveal, from its decision to its last row.

One command spends one grant, so a command that needs people's word itself is not run under a reveal too.
"""

from __future__ import annotations

from typing import Protocol

from protocols.command import Command, Path
from protocols.result import Outcome
from protocols.verdict import Allow, Decision, Deny, Reveal, Seen

TWICE = Deny(
    "it would spend a reveal and needs a person's word of its own, and one command spends one grant", code="OST-307",
    hint="run it without the columns that are revealed, or ask whoever approves to run it",
)
OVER = Deny("the reveal under which this was opened is over", code="OST-522", hint="ask for another: ostiary request submit --reveal")


class Reveals(Protocol):
    """What is in force; `gateway.control` behind it."""

    def revealing(self, request: str) -> bool:
        """Whether a reveal is still in force."""

    def revealed(self, request: str, shown: bool) -> None:
        """A command under it is over; whether it can have shown anything."""


def allowed(command: Command, rule: str, sent: str, columns: tuple[str, ...], reveal: Reveal | None, seen: Seen | None) -> Decision:
    """Everybody allows it. Preparing a text runs nothing, so it spends nothing."""
    if reveal is None or command.path is Path.PARSE:
        return Decision(command, Allow(rule), sent, rule=rule, columns=columns, seen=seen)
    return Decision(
        command, Allow(rule, remember=False), sent, rule=rule, grant=reveal.grant, request=reveal.request, binding=reveal.binding,
        columns=columns, reveal=reveal, seen=seen,
    )  # fmt: skip


def over(decision: Decision, reveals: Reveals, now: float) -> Deny | None:
    """More rows of it may not leave: a portal can be left open for longer than its reveal lasts."""
    reveal = decision.reveal
    return None if reveal is None or (now < reveal.until and reveals.revealing(reveal.request)) else OVER


def ended(decision: Decision, outcome: Outcome, reveals: Reveals) -> None:
    """It ran, or was refused when it was recorded: the notary knows best whether a grant is spent."""
    if decision.reveal is not None:
        reveals.revealed(decision.reveal.request, outcome.ending.ran)
