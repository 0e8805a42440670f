"""
What SSH's relay wants done. As `protocols.effects`, except that payloads are whole
connection-layer messages and several commands of one session can be asked at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.command import SshCommand
from protocols.effects import Hangup, Malformed, Refused, Report
from protocols.verdict import Decision


@dataclass(frozen=True, slots=True)
class SendClient:
    """Send this message to the client now."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class SendTarget:
    """
    Send this message to the target, behind every intent of its channel that is not durable yet.

    :ivar channel: the client's number of the channel; None for global requests.
    """

    payload: bytes
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class AskCommand:
    """
    Put this command to the addons. Other channels go on; this one queues behind it.

    :ivar number: the command's number in its session; the answer repeats it.
    """

    number: int
    command: SshCommand


@dataclass(frozen=True, slots=True)
class IntendCommand:
    """
    Record this allowed command, and release `payload` to the target when the record is durable.

    What SendTarget brings for the same channel afterwards queues behind it. Where the record is refused, `payload`
    never leaves: the relay is told by `refused(number, why)`, and what had queued behind it goes on.

    :ivar payload: the message that runs the command, as the target's leg numbers its channel.
    :ivar channel: the client's number of the channel; None for global requests.
    """

    number: int
    decision: Decision
    payload: bytes
    channel: int | None = None


SshEffect = SendClient | SendTarget | AskCommand | IntendCommand | Refused | Report | Hangup | Malformed
