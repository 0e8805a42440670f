"""
What rules of several addons say besides what it is about: for whom and when it holds, and what its answer is.

It lies on the shelf that the addons share; it knows no SQL and no addon.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.command import Command, Transaction
from protocols.session import Session
from protocols.verdict import Hold

from addons.sql.complaints import Gathering
from addons.sql.conditions import Conditions, Now, Table, conditions, near

ALLOW, APPROVE, DENY = "allow", "approve", "deny"
VERDICTS = (ALLOW, APPROVE, DENY)
MODES = ("", "hold", "retry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """One `{ name = …, verdict = … }`; who inherits adds what it is about."""

    name: str
    verdict: str
    conditions: Conditions = field(default_factory=Conditions)
    reason: str = ""
    hint: str = ""
    approvers: frozenset[str] = frozenset()
    quorum: int = 1
    mode: str = ""
    timeout: float = 300.0
    lifetime: float = 300.0

    def hold(self, reason: str, mode: str) -> Hold:
        """The question that it asks; `reason` is said where the rule has none of its own."""
        return Hold(
            self.name, self.reason or reason, self.approvers, mode=mode, quorum=self.quorum, timeout=self.timeout, lifetime=self.lifetime,
        )


def answer(table: Table) -> dict[str, Any]:
    """
    The fields of `Answering` that a table names; takes their keys.
    """
    name, verdict = table.text("name"), table.text("verdict", known=VERDICTS)
    if not name:
        table.missing("every rule has a name, which refusals and evidence show", "name")
    return {
        "name": name, "verdict": verdict, "conditions": conditions(table), "reason": table.text("reason"), "hint": table.text("hint"),
        "approvers": table.texts("approvers"), "quorum": int(table.number("quorum", 1) or 1), "mode": table.text("mode", known=MODES),
        "timeout": float(table.number("timeout", 300) or 300), "lifetime": float(table.number("lifetime", 300) or 300),
    }  # fmt: skip


def whole(table: Table, made: Answering) -> None:
    """
    That a rule has taken all of its table, and has somebody to ask when it asks.

    :raises ValueError: with the key path and what to write instead.
    """
    if made.verdict == APPROVE and not made.approvers:
        table.missing("name the groups whose members may approve", "approvers")
    table.end()


def defaults(default: object, known: Collection[str], what: str, *, example: str, approvers: bool) -> dict[str, str]:
    """
    What holds where no rule does.

    :param what: what its keys are. :param approvers: whether somebody is named who may be asked.
    :raises ValueError: with the key path and what to write instead.
    """
    if not isinstance(default, Mapping):
        raise ValueError(f"default: must be a table of {example}")
    faults = Gathering()
    for kind, verdict in default.items():
        if kind not in known:
            faults.wrong(f"default.{kind}: unknown {what}{near(kind, known)}; known: {', '.join(known)}")
        if verdict not in VERDICTS:
            faults.wrong(f"default.{kind}: unknown verdict {verdict!r}{near(str(verdict), VERDICTS)}; known: {', '.join(VERDICTS)}")
        if verdict == APPROVE and not approvers:
            faults.wrong(f"default.{kind}: to approve, name the groups that may in `approvers`")
    faults.end()
    return dict(default)


def clock_for(holding: Iterable[Conditions], now: Now | None) -> None:
    """
    :raises ValueError: one of them asks for the time, and there is no clock.
    """
    if now is None and any(each.timed for each in holding):
        raise ValueError("rules: one names hours or days, and no clock was given")


def texts(value: object, where: str) -> tuple[str, ...]:
    """
    :raises ValueError: an addon's option is no list of strings.
    """
    if isinstance(value, str) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{where}: must be a list of strings")
    return tuple(value)


def hold_mode(wanted: str, session: Session, command: Command) -> str:
    """A person at a prompt waits; in an open transaction or a pipeline, and for workloads and agents, the request is retried."""
    if wanted:
        return wanted
    busy = command.transaction is not Transaction.IDLE or getattr(command, "pipelined", False)
    return "retry" if busy or session.identity.kind != "human" else "hold"
