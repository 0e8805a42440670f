"""The framing between our processes."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from twisted.internet.testing import StringTransport

from gateway.frame import FRAME_LIMIT, pack, peer_credentials
from gateway.link import Link


class Kept(Link):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[list[Any]] = []

    def frame_received(self, frame: list[Any]) -> None:
        self.frames.append(frame)


@pytest.mark.parametrize("step", [1, 3, 1 << 20])
def test_frames_survive_any_split(step: int) -> None:
    """Byte by byte or all at once, the same arrays come."""
    sent = [["append", 1, b"\x00\xff" * 40000], ["ack", -1], ["é", None, {"a": [1]}]]
    stream, link = b"".join(map(pack, sent)), Kept()
    link.makeConnection(StringTransport())
    for start in range(0, len(stream), step):
        link.dataReceived(stream[start : start + step])
    assert link.frames == sent


def test_a_promise_over_the_limit_ends_the_link_before_buffering() -> None:
    """Four bytes are enough to refuse a frame that would never end."""
    link, transport = Kept(), StringTransport()
    link.makeConnection(transport)
    link.dataReceived((FRAME_LIMIT + 1).to_bytes(4, "big"))
    assert transport.disconnecting or transport.disconnected


def test_peer_credentials_are_the_kernels() -> None:
    """The other end of a socketpair is this process."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_credentials(ours) == (os.getpid(), os.getuid(), os.getgid())
