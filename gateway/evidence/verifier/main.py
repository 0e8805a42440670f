"""
Verifies a bundle of Ostiary evidence, offline. One file, plain Python 3.8 or later, no
packages; it shares no code with the product that wrote the bundle.

    python3 verify.py [BUNDLE] --key PUB [--anchor FILE] [--json]

PUB is the log's public key ("name+hash+base64", or a file that holds it), which you must have
from somewhere else than this bundle. So must this very file: whoever made the bundle could have
changed the copy in it. FILE holds checkpoints of the log that you kept; a mail that has one will do. What lies in the
gateway's own folder is compared, and proves nothing against who can write there.

It checks that the bundle's files are whole; that the ledger is signed by the key; that each
segment's head is signed by the key that the ledger names; that each record is in its segment,
at its place (RFC 6962); that each opened body is the one that the record committed to; that
everything under readable/ follows from these bytes; and that nothing was left out: of a whole log by
the heads' sizes, otherwise by the record that the log made of this export.

Exit code: 0 sound; 1 tampered with, something left out, or an anchor of another log; 2 incomplete, not all of it
proved, older than your anchor, or no key given; 3 usage; 4 unreadable.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
import sys
from typing import Any, Dict, Optional, Sequence

from gateway.evidence.verifier.checkpoint import kept_notes, parse_key
from gateway.evidence.verifier.fault import CODES, INCOMPLETE, READ_ENOUGH, UNREADABLE, USAGE, Tampered
from gateway.evidence.verifier.report import Anchors, as_json, examined, tampered, words


def anchor_text(path: str) -> str:
    """What a file of checkpoints holds. Raises ValueError when there is none in it."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if not kept_notes(text):
        raise ValueError("--anchor: %s holds no checkpoint: one is three lines (the log's name, a number, a hash), an empty line, "
                         "and a signature" % path)
    return text


def lies_in(path: str, folder: str) -> bool:
    """Whether a file is a bundle's own, also by a link to its checkpoint."""
    if os.path.realpath(path).startswith(os.path.join(os.path.realpath(folder), "")):
        return True
    carried = os.path.join(folder, "ledger", "checkpoint")
    return os.path.exists(carried) and os.path.samefile(path, carried)


def keeper_of(path: str) -> str:
    """The gateway's own folder that a file lies in, which has the key that signs; "" for none."""
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.isdir(os.path.join(folder, "audit-keys")):
        if folder == os.path.dirname(folder):
            return ""
        folder = os.path.dirname(folder)
    return folder


def key_text(value: str) -> str:
    """The key itself, or what a file holds."""
    if os.path.exists(value):
        with open(value, encoding="utf-8", errors="replace") as file:
            value = file.read()
    elif "+" not in value:
        raise ValueError("--key: %s: no such file" % value)
    try:
        parse_key(value)
    except ValueError as e:
        raise ValueError("--key: %s" % e)
    return value


def main(arguments: Optional[Sequence[str]] = None, own: Optional[str] = None, wants_anchor: bool = False) -> int:
    """
    :param own: the SHA-256 of this verifier, where it does not run as one file.
    :param wants_anchor: without one it is incomplete.
    """
    codes = "; ".join("%d %s" % code for code in CODES.items())
    parser = argparse.ArgumentParser(description="Verify a bundle of Ostiary evidence.", epilog="Exit code: %s." % codes)
    parser.add_argument("bundle", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--key", help="the log's public key, or a file that holds it; never taken from the bundle")
    parser.add_argument("--anchor", action="append", default=[], help="a file of checkpoints that you kept")
    parser.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    try:
        options = parser.parse_args(arguments)
    except SystemExit as e:
        return USAGE if e.code else 0
    try:
        key = key_text(options.key) if options.key else None
        texts = {path: anchor_text(path) for path in options.anchor}
    except (OSError, ValueError) as e:
        print(e, file=sys.stderr)
        return USAGE
    inside = [path for path in texts if lies_in(path, options.bundle)]
    beside = {path: keeper_of(path) for path in texts if path not in inside and keeper_of(path)}
    others = [text for path, text in texts.items() if path not in inside and path not in beside]
    anchors = Anchors("\n".join(texts[path] for path in beside), "\n".join(others))
    found = looked_at(options.bundle, key, anchors, own or digest_of(__file__))
    found["own_anchors"], found["kept_beside"] = inside, beside
    if found["code"] == 0 and not others and (inside or beside or wants_anchor):
        found["code"] = INCOMPLETE
    if options.json:
        print(as_json(found))
        return found["code"]
    if found["code"] == UNREADABLE:
        print(found["problems"][0], file=sys.stderr)
        return UNREADABLE
    for line in words(found):
        print(line)
    return found["code"]


def looked_at(folder: str, key: Optional[str], anchors: Anchors, own: str) -> Dict[str, Any]:
    """What was found; of a bundle that cannot be read or contradicts itself, that."""
    try:
        return examined(folder, key, anchors, own)
    except Tampered as e:
        return tampered(folder, str(e))
    except OSError as e:
        return tampered(folder, "cannot read the bundle: %s" % e, UNREADABLE)
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as e:
        return tampered(folder, "the bundle is malformed (%s)" % type(e).__name__)


def digest_of(path: str) -> str:
    with open(os.path.abspath(path), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


if __name__ == "__main__":
    try:
        told = main()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        told = READ_ENOUGH
    sys.exit(told)
