"""
What people are asked about a command, what their answer is bound to, and what it means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgpack
from twisted.internet.defer import Deferred

from gateway.control.errors import ControlError
from gateway.revealing import Reveals
from protocols.command import Command, Digest, FunctionCall, Parameter, Statement
from protocols.session import Session
from protocols.verdict import Deny, Hold


GIVEN_UP = "its client cancelled it, or its session ended"
"""Why a request is withdrawn that nobody waits for any more."""


class Approvals(Reveals, Protocol):
    """Where requests go; `gateway.control` behind it."""

    def submit(self, request: Mapping[str, Any]) -> Deferred[Mapping[str, Any]]:
        """{"state": "granted", "grant", "request"} or {"state": "pending", "request"}."""

    def answer(self, request: str) -> Deferred[Mapping[str, Any]]:
        """Fires when people answered: {"state": "granted"|"denied"|"expired", "grant", "by", "reason"}."""

    def withdraw(self, request: str, why: str) -> None:
        """Nobody waits any more; the request must never be granted."""


class Changed(Exception):
    """People's yes is for no question that the command is now. `why` is a clause, without values."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def binding(session: Session, command: Command, sent: str, under: bytes = b"") -> bytes:
    """
    32 bytes that change when anything changes that an approver saw or that the target would read.

    :param under: `gateway.premises.Under.bound`.
    """
    text, parameters = _read(command)
    settings = sorted(item for item in command.settings.items() if item[0] not in _COSMETIC)
    return hashlib.sha256(msgpack.packb([
        session.identity.subject, session.identity.on_behalf_of, session.target.name, session.account,
        session.database, session.policy_revision, text, sent,
        [[p.type_oid, p.format, *_told(p.value)] for p in parameters], settings, under,
        *([] if isinstance(command, (Statement, FunctionCall)) else [command.path.value]),
    ])).digest()


def _told(value: bytes | Digest | None) -> list[bytes | int | None]:
    """A value; of a long one nil, length and SHA-256, as in the evidence."""
    return [None, value.length, value.sha256] if isinstance(value, Digest) else [value]


def _read(command: Command) -> tuple[str, Sequence[Parameter]]:
    """A command's text and what belongs to it, as people and grants know it."""
    if isinstance(command, FunctionCall):
        return f"fastpath {command.oid}", command.arguments
    return command.text, command.parameters


_COSMETIC = frozenset({"application_name", "in_hot_standby", "server_version", "is_superuser", "scram_iterations"})


def together(holds: Sequence[tuple[str, Hold]]) -> tuple[str, Hold | Deny]:
    """
    One question that satisfies every rule: the largest quorum, out of the groups that all
    accept, in the shortest time; where any wants a retry, no session is kept waiting.
    """
    name, strictest = max(holds, key=lambda each: each[1].quorum)
    if len(holds) == 1:
        return name, strictest
    each = [hold for _, hold in holds]
    approvers = frozenset.intersection(*(hold.approvers for hold in each))
    if not approvers:
        rules = " and ".join(hold.rule for hold in each)
        return name, Deny(
            f"{rules} want different approvers, and one request has one group", code="OST-306", rule=strictest.rule,
            hint="tell the gateway's operator: the rules need a group in common",
        )
    return name, replace(
        strictest, approvers=approvers, mode="retry" if any(hold.mode == "retry" for hold in each) else "hold",
        timeout=min(hold.timeout for hold in each), lifetime=min(hold.lifetime for hold in each),
    )


def made(request: str, hold: Hold, answer: Mapping[str, Any]) -> tuple[str, str, str]:
    """Reason, code and hint of a command that may be sent again once people have answered."""
    again = f" again: {answer['reason']}" if answer.get("reason") else ""
    hint = f"ask for `ostiary request approve {request} --as NAME`, then send the identical command again"
    return f"{hold.reason.rstrip('.')}; request {request} was made{again}", "OST-301", hint


def untold(hold: Hold) -> tuple[str, str, str]:
    """Reason, code and hint of a command whose yes could be spent on another: what tells them apart is not known just now."""
    hint = "write the schemas of its names, or send SET search_path = …, or a new PREPARE, by itself, wait for its answer, and send this again"
    return f"{hold.reason.rstrip('.')}; what its names mean cannot be told now, so nobody could be asked about it", "OST-310", hint


def changed(error: Changed) -> tuple[str, str, str]:
    """Reason, code and hint of a command that was held, and is another question than people were asked."""
    return f"{error.why}, and nobody was asked about that", "OST-309", "send it again: it is judged, and asked about, as it is now"


def unfavourable(request: str, answer: Mapping[str, Any]) -> tuple[str, str]:
    """Reason and code of a request that was answered, but not with yes."""
    by = f" by {answer['by']}" if answer.get("by") else ""
    why = f": {answer['reason']}" if answer.get("reason") else ""
    code = {"denied": "OST-302", "expired": "OST-303"}.get(answer["state"], "OST-304")
    happened = "has expired" if answer["state"] == "expired" else f"was {answer['state']}"
    return f"request {request} {happened}{by}{why}", code


def unaskable(error: ControlError) -> tuple[str, str, str]:
    """Reason, code and hint where control refuses to ask; its texts may be shown, with what to do behind the `;`."""
    reason, _, hint = error.why.partition("; ")
    return f"approval cannot be asked for: {reason}", error.code, hint


def grant_of(answer: Mapping[str, Any]) -> str:
    """What the notary will spend; yes without it is no yes."""
    grant = answer["grant"]
    if not isinstance(grant, str) or not grant:
        raise ValueError("granted, but by no grant")
    return grant


def request_for(session: Session, command: Command, sent: str, hold: Hold, bound: bytes, named: Sequence[tuple[str, bytes]] | None = ()) -> dict[str, Any]:
    """
    What an approver is shown and what the grant is bound to.

    :param named: `gateway.premises.Under.named`.
    """
    text, parameters = _read(command)
    return {
        "session": session.id, "subject": session.identity.subject, "on_behalf_of": session.identity.on_behalf_of,
        "kind": session.identity.kind, "target": session.target.name, "database": session.database,
        "account": session.account, "peer": session.peer, "rule": hold.rule, "why": hold.reason, "mode": hold.mode,
        "text": text if not isinstance(command, FunctionCall) else f"function {command.oid}", "sent": sent,
        "parameters": [[p.type_oid, p.format, *_told(p.value)] for p in parameters],
        "approvers": sorted(hold.approvers), "quorum": hold.quorum, "timeout": hold.timeout,
        "lifetime": hold.lifetime, "binding": bound, "floor": session.floor,
        "named": None if named is None else [list(one) for one in named],
        "path": "" if isinstance(command, (Statement, FunctionCall)) else command.path.value,
    }
