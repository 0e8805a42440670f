"""
The record of what is shown under a reveal. It is made before anything can be shown; where nothing was in the end, a second one says so.
"""

from __future__ import annotations

from addons.needs import Sink
from protocols.result import Outcome
from protocols.session import Session
from protocols.verdict import Decision, Reveal


def decided(sink: Sink, session: Session, decision: Decision) -> None:
    """It goes before the command's own."""
    if decision.reveal is not None:
        sink.note(session, "disclosure.revealed", _facts(decision.reveal))


def ended(sink: Sink, session: Session, decision: Decision, outcome: Outcome) -> None:
    """The notary held the grant for spent or over, or could not record the command; or the target skipped it."""
    if decision.reveal is not None and not outcome.ending.ran:
        sink.note(session, "disclosure.withheld", _facts(decision.reveal))


def _facts(reveal: Reveal) -> dict[str, str]:
    return {"request": reveal.request, "grant": reveal.grant, "columns": ", ".join(reveal.columns)}
