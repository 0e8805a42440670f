"""Signed notes and checkpoints, C2SP."""

from __future__ import annotations

import base64
import hashlib
from typing import List, Tuple

from gateway.evidence.verifier.fault import Tampered, require
from gateway.evidence.verifier.signature import ed25519_verify


def parse_key(text: str) -> Tuple[str, bytes]:
    """(name, public key) of "name+hash+base64". Raises ValueError, which says what is wrong with it."""
    if text.count("+") < 2:
        raise ValueError("not a key: it must read name+hash+base64")
    name, hashed, encoded = text.strip().split("+", 2)
    try:
        raw = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise ValueError("not a key: what follows its second + is no base64")
    if len(raw) != 33 or raw[:1] != b"\x01":
        raise ValueError("not an Ed25519 verifier key: what follows its second + is no such key")
    if key_id(name, raw[1:]).hex() != hashed:
        raise ValueError("not a key: its hash is of another name or another key, so one of the three was changed")
    return name, raw[1:]


def key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def open_checkpoint(note: str, name: str, public: bytes, what: str) -> Tuple[int, bytes]:
    """(size, root) of a checkpoint that `public` signed as `name`."""
    text, _, tail = note.rpartition("\n\n")
    text, others = text + "\n", set()
    for line in tail.splitlines():
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != "\u2014" or parts[1] != name:
            continue
        raw = base64.b64decode(parts[2], validate=True)
        others.add(raw[:4].hex())
        if raw[:4] == key_id(name, public) and ed25519_verify(public, text.encode(), raw[4:]):
            lines = text.split("\n")
            require(len(lines) == 4 and lines[0] == name, "%s is not a checkpoint of %s" % (what, name))
            return int(lines[1]), base64.b64decode(lines[2], validate=True)
    ours = key_id(name, public).hex()
    other = " (it is signed by key %s, yours is %s)" % (", ".join(sorted(others)), ours) if others - {ours} else ""
    raise Tampered("%s has no good signature of %s%s" % (what, name, other))


DASHES = ("\u2014", "\u2013", "-", "--", "\ufffd")  # what mail makes of the one that a signature begins with
BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def is_signature(words: List[str]) -> bool:
    """A key's id and an Ed25519 signature (or a witness's, which is longer) in base64."""
    return bool(words) and len(words[0]) >= 92 and BASE64.issuperset(words[0])


def kept_notes(text: str) -> List[str]:
    """
    The checkpoints in a text, however it is quoted, indented or wrapped: three words, a dash, a name, a signature.
    What is cut short is passed over.
    """
    words = [word for line in text.splitlines() for word in line.lstrip("> |\t").split()]
    found: List[str] = []
    for at, word in enumerate(words):
        if word not in DASHES or not is_signature(words[at + 2:at + 3]):
            continue
        if at >= 3 and not is_signature(words[at - 1:at]):  # else one more signature of the same text
            found.append("\n".join(words[at - 3:at]) + "\n\n")
        if found:
            found[-1] += "\u2014 %s %s\n" % (words[at + 1], words[at + 2])
    return found
