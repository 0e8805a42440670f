"""
Public keys as lines of a file, and how they are shown. What they hold is read where it is used: `gateway.ssh.keys`.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from hashlib import sha256

KINDS = (
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
)
"""Of keys that are taken; "ssh-rsa" names the key, its signatures are SHA-2."""

HOST_KEY_KINDS = tuple(kind for kind in KINDS if not kind.startswith("sk-"))

HOST_KEYS = ("host_ed25519", "host_ecdsa")
"""Names of the gateway's own in the state's folder `ssh`; the first is the favourite."""


class NoLine(Exception):
    """Not a public key. Its text is for people."""


def read(line: str, kinds: tuple[str, ...] = KINDS) -> bytes:
    """
    The blob of a line such as "ssh-ed25519 AAAA… comment".

    :raises NoLine: it is none of these kinds.
    """
    words = line.split()
    try:
        blob = binascii.a2b_base64(words[1], strict_mode=True)
    except (IndexError, ValueError):
        raise NoLine("is no public key") from None
    if words[0] not in kinds or kind_of(blob) != words[0]:
        raise NoLine("is no public key of a kind that is taken")
    return blob


def line(blob: bytes, comment: str = "") -> str:
    """A key or certificate as a file has it."""
    return f"{kind_of(blob)} {b64encode(blob).decode()} {comment}".rstrip()


def kind_of(blob: bytes) -> str:
    """What it says it is; "" when it says nothing."""
    length = int.from_bytes(blob[:4], "big")
    return blob[4:4 + length].decode("ascii", "replace") if 0 < length <= len(blob) - 4 else ""


def fingerprint(blob: bytes) -> str:
    """As OpenSSH shows it."""
    return "SHA256:" + b64encode(sha256(blob).digest()).decode().rstrip("=")
