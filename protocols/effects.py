"""
What a relay wants done. Counterpart of `hooks`: that is what is asked, this is what is asked for.

A relay returns lists of these; the adapter performs them one at a time, in order. Nobody changes one: they are not
frozen because several are made for each message, and a frozen one takes three times as long to make.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.command import Command
from protocols.result import Outcome
from protocols.spool import Spool
from protocols.verdict import Decision


@dataclass(slots=True)
class ToClient:
    """Write these bytes to the client now."""

    data: bytes


@dataclass(slots=True)
class ToTarget:
    """Write these bytes to the target, behind every intent that is not durable yet."""

    data: bytes


@dataclass(slots=True)
class Ask:
    """Put this command to the addons; the relay pulls no frame until `answer` is called."""

    command: Command


@dataclass(slots=True)
class Intend:
    """
    Record this command, and release `data` to the target when the record is durable.

    :ivar number: the command's number in its session; `Report` repeats it.
    :ivar data: bytes, or what lies in a spool; who performs this reads that to its end or closes it.
    :ivar poison: what goes to the target instead when the record is refused.
    """

    number: int
    decision: Decision
    data: bytes | Spool
    poison: bytes


@dataclass(slots=True)
class Refused:
    """A command was denied: record the refusal. Nothing of it was or will be sent."""

    number: int
    decision: Decision


@dataclass(slots=True)
class Report:
    """A command that was intended has ended: record what came of it, tell the addons."""

    number: int
    decision: Decision
    outcome: Outcome


@dataclass(slots=True)
class StartTls:
    """Speak TLS with the client from here on. `data`: bytes of the handshake already read."""

    data: bytes = b""


@dataclass(slots=True)
class CancelTarget:
    """Ask the target, on a connection of its own, to cancel what runs for this session."""


@dataclass(slots=True)
class Hangup:
    """
    Close both sides once what was written has left.

    :ivar drain: let what was decided and waits for its record leave first: a client said goodbye
        behind it. Without it nothing more may run.
    """

    why: str
    drain: bool = False


@dataclass(slots=True)
class Malformed:
    """
    One side broke its protocol, after everything before this effect. Record it and end the session.

    An effect and not an exception, so that what was decided before it is still performed.

    :ivar side: "client" or "target".
    """

    side: str
    why: str


Effect = ToClient | ToTarget | Ask | Intend | Refused | Report | StartTls | CancelTarget | Hangup | Malformed
