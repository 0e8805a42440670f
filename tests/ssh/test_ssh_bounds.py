"""What a certificate leaves of what a client asks."""

from __future__ import annotations

from gateway.ssh.bounds import narrowed
from protocols.ssh.certificate import USER, Certificate
from protocols.ssh.messages import ChannelRequest, string, u32, write_data


def left(payload: bytes, extensions: frozenset[str] = frozenset({"permit-pty"}), **critical: str) -> bytes:
    certificate = Certificate(b"", USER, "", (), 0, 0, b"", critical={k.replace("_", "-"): v for k, v in critical.items()}, extensions=extensions)
    heard: list[bytes] = []
    narrowed(certificate, heard.append)(payload)
    [payload] = heard
    return payload


def test_whatever_is_to_start_is_the_forced_command() -> None:
    """On the same channel, with an answer where one was wanted."""
    for kind, details in (("exec", string(b"rm -rf /")), ("shell", b""), ("subsystem", string(b"sftp"))):
        asked = ChannelRequest(5, kind, True, details).write()
        assert left(asked, force_command="uptime") == ChannelRequest(5, "exec", True, string(b"uptime")).write()
        assert left(asked) == asked


def test_a_terminal_takes_a_permission() -> None:
    asked = ChannelRequest(5, "pty-req", True, string(b"xterm") + u32(80) * 4 + string(b"")).write()
    assert left(asked) == asked
    refused = ChannelRequest.read(left(asked, frozenset()))
    assert refused.kind == "pty-not-permitted@ostiary" and refused.reply


def test_data_that_looks_like_a_request_is_data() -> None:
    data = write_data(5, ChannelRequest(5, "shell", True, b"").write())
    assert left(data, frozenset(), force_command="uptime") == data
    assert left(b"\x62\x00", frozenset(), force_command="uptime") == b"\x62\x00"
