"""
What a person is told on a channel: refusals and notices, as text that no terminal obeys.
"""

from __future__ import annotations

from protocols.ssh.messages import ChannelRequest, u32
from protocols.verdict import Deny

EXIT_REFUSED = 126
"""What a shell answers for a command that it may not run (POSIX.1-2017, XCU 2.8.2); 255 would say that the connection failed."""


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)


def line(text: str) -> bytes:
    """One line from the gateway; CR and LF, since a terminal may be in raw mode."""
    return f"ostiary: {_plain(text)}\r\n".encode()


def words(deny: Deny) -> str:
    """A refusal in one sentence, its code included."""
    hint = f" {deny.hint}" if deny.hint else ""
    return _plain(f"{deny.reason.rstrip('.')} [{deny.code}]{'.' if hint else ''}{hint}")


def exit_status(recipient: int, status: int) -> bytes:
    return ChannelRequest(recipient, "exit-status", False, u32(status)).write()
