"""How a session's TCP connections are set, toward clients and targets."""

from __future__ import annotations

import socket
from typing import Any

# Seconds until the first probe, seconds between probes, probes without an answer.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))


def tune(transport: Any) -> None:
    """No waiting for a fuller packet, and a machine that is gone is noticed within two minutes."""
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    for option, value in _KEEPALIVE:
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, option, value)
