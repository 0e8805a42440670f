"""
What SSH's relay wants done. As `protocols.effects`, except that payloads are whole
connection-layer messages and several commands of one session can be asked at once.

Each command has a number in its session. The adapter answers an `AskCommand` with
`relay.answer(number, decision)`, and an `IntendCommand` with `relay.recorded(number)` once its record
is durable, or with `relay.refused(number, why)`. What may not leave before then the relay keeps itself,
so `SendTarget` and `SendClient` are written at once, in the order they come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from protocols.command import SshCommand
from protocols.effects import Hangup, Malformed, Refused, Report
from protocols.verdict import Decision


@dataclass(slots=True)
class SendClient:
    """Send this message to the client now."""

    payload: bytes


@dataclass(slots=True)
class SendTarget:
    """Send this message to the target now: every command that it belongs to is durable."""

    payload: bytes


@dataclass(slots=True)
class Carry:
    """As SendClient or SendTarget, of several messages with data: "client" or "target" gets them."""

    side: str
    data: list[bytes | memoryview]


@dataclass(frozen=True, slots=True)
class AskCommand:
    """
    Put this command to the addons. Other channels go on; this one queues behind it.

    :ivar number: the command's number in its session; the answer repeats it.
    """

    number: int
    command: SshCommand


@dataclass(frozen=True, slots=True)
class WithdrawCommand:
    """Nobody wants the answer to this question any more: cancel it. If that answers it, tell the relay: a refusal is recorded."""

    number: int


@dataclass(frozen=True, slots=True)
class IntendCommand:
    """Record this allowed command, then call `recorded(number)` when that is durable, or `refused(number, why)`."""

    number: int
    decision: Decision


@dataclass(frozen=True, slots=True)
class ProveHostKeys:
    """
    The client wants proof that the gateway holds these host keys (hostkeys-prove-00, OpenSSH PROTOCOL 2.5).

    Only the transport knows the leg's session identifier and the keys: call `relay.proved(payload)` with the
    whole REQUEST_SUCCESS or REQUEST_FAILURE, once for each of these, in their order.

    :ivar details: the request's fields behind its reply flag: public keys as strings.
    """

    details: bytes


@dataclass(frozen=True, slots=True)
class Remark:
    """Something worth proving that is no command: note it in the evidence. Facts hold no secret."""

    kind: str
    facts: Mapping[str, str]


SshEffect = (
    SendClient | SendTarget | Carry | AskCommand | WithdrawCommand | IntendCommand | ProveHostKeys | Remark | Refused | Report
    | Hangup | Malformed
)
