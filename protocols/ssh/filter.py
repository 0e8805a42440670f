"""
What may look at, replace and keep back the bytes of one direction of one channel: recorders, line rules, masks.

The relay counts for its filters. Of what a filter is fed, each byte leaves exactly once, as `passed` (replaced
by another byte or not: the length counts) or as `dropped`; until then it is held. What is
held costs its sender's window, so it is bounded by what the receiver once granted, and by
`flow.WAITING_LIMIT` over which the session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocols.verdict import Decision

Chunk = tuple[int, bytes]
"""A stream (0, or 1 for stderr) and its bytes."""


@dataclass(slots=True)
class Filtered:
    """
    What a filter wants done.

    :ivar passed: bytes to go on, to the next filter or the receiver, in order; as long as what they replace.
    :ivar dropped: how many of the bytes it was fed will never leave; their sender gets the credit back.
    :ivar ahead: the gateway's own bytes for the receiver, behind `passed`; later filters are told of them.
    :ivar back: the gateway's own bytes for the sender, such as a notice on its terminal.
    :ivar withhold: True keeps WINDOW_ADJUST from the sender from here on, False gives what was kept, None changes nothing.
    """

    passed: Sequence[Chunk] = ()
    dropped: int = 0
    ahead: bytes = b""
    back: bytes = b""
    withhold: bool | None = None


class Filter(Protocol):
    """
    One direction of one channel, from its command's verdict to its end. Synchronous; raises nothing for what
    was sent. A filter that waits for something (a timer, a record) calls `SshRelay.resume(channel)` when it
    is ready, and is then asked by `resume`.
    """

    def feed(self, stream: int, data: bytes) -> Filtered:
        """Bytes came."""

    def resume(self) -> Filtered:
        """The relay was told to ask: what may leave now of what is held."""

    def end(self) -> Filtered:
        """
        Nothing follows but the stream's end. What stays held keeps EOF and CLOSE waiting until `resume`
        lets it go; may be called again.
        """

    def told(self, stream: int, data: bytes) -> None:
        """The gateway's own bytes leave at this point of the direction: a notice, a refusal. Nothing to answer."""

    def resized(self, columns: int, rows: int) -> None:
        """The client's terminal has another size from here on."""

    def closed(self) -> None:
        """The channel is gone, or its command never began: let go of timers."""


Filters = Callable[[Decision, int], tuple[Sequence[Filter], Sequence[Filter]]]
"""
Those of the channel that an allowed Exec, Shell or Subsystem runs in, which has this number in its session: for the client's bytes, and for the target's,
each in the order in which bytes meet them. A recorder is last of the target's, so that it has what the person sees.
"""


def none(decision: Decision, number: int) -> tuple[Sequence[Filter], Sequence[Filter]]:
    """Filters of nothing."""
    return (), ()
