"""What tests start is not in another's way."""

from __future__ import annotations

import socket

from tests.servers import free_port


def test_a_port_is_handed_out_once_and_not_while_somebody_has_it() -> None:
    """Nor is it one that the kernel gives to whoever asks for any."""
    first = free_port()
    with socket.create_server(("127.0.0.1", first)):
        ours = [free_port() for _ in range(300)]
    assert first not in ours and len(set(ours)) == 300 and max(ours) < 32_768
