"""
What a person is told on a channel: refusals and notices, as text that no terminal obeys.
"""

from __future__ import annotations

from protocols.spans import span
from protocols.ssh.messages import ChannelRequest, u32
from protocols.verdict import Deny, Hold

EXIT_REFUSED = 126
"""What a shell answers for a command that it may not run (POSIX.1-2017, XCU 2.8.2); 255 would say that the connection failed."""


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def line(text: str) -> bytes:
    """One line from the gateway; CR and LF, since a terminal may be in raw mode."""
    return f"ostiary: {_plain(text)}\r\n".encode()


def words(deny: Deny) -> str:
    """A refusal, its code included; what to do behind it begins as it was written, so a small letter goes on in the same sentence."""
    joint = "" if not deny.hint else "; " if deny.hint[0].islower() else ". "
    return _plain(f"{deny.reason.rstrip('.')} [{deny.code}]{joint}{deny.hint}")


def waiting(request: str, hold: Hold) -> tuple[str, ...]:
    """What the person reads whose command is held: who must say yes, to what end, by typing what, and how to leave."""
    who = " or ".join(sorted(hold.approvers)) or "somebody"
    return (
        f"request {request} waits for approval by {f'{hold.quorum} of ' if hold.quorum > 1 else ''}{who} [OST-300]",
        f"why: {hold.reason}",
        f"they type: ostiary request approve {request} --as NAME",
        f"it waits for {span(hold.timeout)} at most; leave with Ctrl-C, and it never runs",
    )


def exit_status(recipient: int, status: int) -> bytes:
    return ChannelRequest(recipient, "exit-status", False, u32(status)).write()
