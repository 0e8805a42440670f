"""
How an SSH connection begins: each side says its version, in clear and on a line of its own.

Source: RFC 4253, 4.2 and 5.
"""

from __future__ import annotations

from protocols.errors import PeerError

# The comment is for clients (AsyncSSH, libssh) that put a symlink's two paths in the order of OpenSSH's sftp-server only where they read its name.
OURS = b"SSH-2.0-Ostiary OpenSSH_9.9"

LIMIT = 8192
"""Bytes before the peer's version ends; a server may say other lines first."""


def read(said: bytes, *, from_server: bool) -> tuple[bytes, bytes] | None:
    """
    The version and what follows its line, out of all that the peer has said; None until it is there.

    :raises PeerError: no version, or one that we do not speak.
    """
    if not from_server and said[:4] != b"SSH-"[:len(said)]:
        raise PeerError("no SSH version")
    for line in said.split(b"\n")[:-1]:
        if line.startswith(b"SSH-"):
            break
    else:
        if len(said) > LIMIT:
            raise PeerError("no SSH version")
        return None
    version = line.rstrip(b"\r")
    if len(version) > 255 or not version.startswith((b"SSH-2.0-", b"SSH-1.99-")):
        raise PeerError("another version of SSH")
    return version, said.partition(line + b"\n")[2]
