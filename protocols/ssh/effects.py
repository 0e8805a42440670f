"""
What SSH's relay wants done. As `protocols.effects`, except that payloads are whole
connection-layer messages and several commands of one session can be asked at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.command import SshCommand
from protocols.effects import Hangup, Malformed


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


SshEffect = SendClient | SendTarget | AskCommand | Hangup | Malformed
