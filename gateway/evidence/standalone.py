#!/usr/bin/env python3
"""
Verifies a bundle of Ostiary evidence, offline. One file, plain Python 3.8 or later, no
packages; it shares no code with the product that wrote the bundle.

    python3 verify.py [BUNDLE] --key PUB [--anchor FILE]

PUB is the log's public key ("name+hash+base64", or a file that holds it), which you must have
from somewhere else than this bundle. So must this very file: whoever made the bundle could have
changed the copy in it. FILE holds checkpoints of the log that you kept; a mail that has one will do.

It checks that the bundle's files are whole; that the ledger is signed by the key; that each
segment's head is signed by the key that the ledger names; that each record is in its segment,
at its place (RFC 6962); that each opened body is the one that the record committed to; that
everything under readable/ follows from these bytes; and that nothing was left out: of a whole log by
the heads' sizes, otherwise by the record that the log made of this export.

Exit code: 0 sound; 1 tampered with, or something left out; 2 incomplete, not all of it proved, older than
your anchor, or no key given; 3 usage; 4 unreadable.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import hashlib
import json
import os
import struct
import sys
import time
import uuid
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

TAMPERED, INCOMPLETE, USAGE, UNREADABLE = 1, 2, 3, 4

# --- what the numbers in a record mean -------------------------------------------------

VERDICTS = ("", "allow", "deny")

WHO = ["identity", "on_behalf_of", "account", "database", "peer"]

KINDS = {
    1: "header", 2: "carry", 10: "opened", 11: "closed", 20: "intent", 21: "outcome", 22: "refusal", 23: "ungranted",
    24: "chunk", 25: "recorded", 30: "note", 40: "approval", 60: "worker", 61: "notary", 62: "clock", 70: "admin",
}

FIELDS = {
    1: "origin stream segment previous_root ledger_size ledger_root public_key boot_id next_worker".split(),
    2: "what rows".split(),
    10: "protocol policy_revision".split(),
    11: ["commands"],
    20: "command path rule grant request binding rewritten parameter_count masked_columns policy_revision".split(),
    21: "command ending sqlstate rows bytes cells_masked copied_bytes micros transaction".split(),
    22: "command path rule code request addon policy_revision".split(),
    23: "command grant why".split(),
    24: "recording chunk channel command offset_us events bytes".split(),
    25: "recording channel command chunks output_bytes input_bytes micros".split(),
    30: ["what"],
    40: "grant binding expires_ns uses request".split(),
    60: "what worker_number role pid uid".split(),
    61: "what why".split(),
    62: ["step_ns"],
    70: "what pid uid".split(),
}

COMMAND_BODY = WHO + "text sent parameters columns addon name function_oid clear_columns".split()

BODIES = {
    10: WHO + "identity_kind groups proof application facts".split(),
    11: ["why"],
    20: COMMAND_BODY,
    21: "tags columns alarm facts copied_sha256".split(),
    22: WHO + "text sent parameters reason hint sqlstate name function_oid".split(),
    23: COMMAND_BODY,
    24: ["events"],
    25: ["sha256"],
    30: ["facts"],
    40: ["facts"],
    70: ["facts"],
}


class Tampered(Exception):
    """The evidence contradicts itself or the key. Says what."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Tampered(what)


# --- Ed25519 verification, RFC 8032 section 5.1.7 ---------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)

Point = Tuple[int, int, int, int]


def point_add(a: Point, b: Point) -> Point:
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def point_multiply(n: int, point: Point) -> Point:
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = point_add(result, point)
        point, n = point_add(point, point), n >> 1
    return result


def point_equal(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def recover_x(y: int, sign: int) -> Optional[int]:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * SQRT_M1 % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def decompress(data: bytes) -> Optional[Point]:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = decompress(BASE_Y.to_bytes(32, "little"))


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or BASE is None or s >= ORDER:
        return False
    challenge = hashlib.sha512(signature[:32] + public + message).digest()
    h = int.from_bytes(challenge, "little") % ORDER
    return point_equal(point_multiply(s, BASE), point_add(commitment, point_multiply(h, key)))


# --- signed notes and checkpoints, C2SP --------------------------------------------------


def parse_key(text: str) -> Tuple[str, bytes]:
    """(name, public key) of "name+hash+base64"."""
    if text.count("+") < 2:
        raise ValueError("not a key: it must read name+hash+base64")
    name, hashed, encoded = text.strip().split("+", 2)
    raw = base64.b64decode(encoded, validate=True)
    if len(raw) != 33 or raw[:1] != b"\x01" or key_id(name, raw[1:]).hex() != hashed:
        raise ValueError("not an Ed25519 verifier key")
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
    found = []  # type: List[str]
    for at, word in enumerate(words):
        if word not in DASHES or not is_signature(words[at + 2:at + 3]):
            continue
        if at >= 3 and not is_signature(words[at - 1:at]):  # else one more signature of the same text
            found.append("\n".join(words[at - 3:at]) + "\n\n")
        if found:
            found[-1] += "\u2014 %s %s\n" % (words[at + 1], words[at + 2])
    return found


# --- Merkle trees, RFC 6962 ----------------------------------------------------------------


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256(b"").digest()
    level = list(hashes)
    while len(level) > 1:
        above = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + level[len(above) * 2:]
    return level[0]


def prefix_roots(hashes: Sequence[bytes], sizes: Set[int]) -> Dict[int, bytes]:
    """Roots of the first so many, in one pass: subtrees that are whole wait, largest first, for one of their own size."""
    roots, whole = {0: tree_root([])}, []  # type: Dict[int, bytes], List[bytes]
    for size, hashed in enumerate(hashes, 1):
        whole.append(hashed)
        rest = size
        while rest % 2 == 0:
            right = whole.pop()
            whole.append(node_hash(whole.pop(), right))
            rest //= 2
        if size in sizes:
            root = whole[-1]
            for left in reversed(whole[:-1]):
                root = node_hash(left, root)
            roots[size] = root
    return roots


def root_from_path(hashed: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to, walking the same split as RFC 6962 section 2.1."""
    require(0 <= index < size, "a record's place is outside its segment")
    turns = []
    low, high = 0, size
    while high - low > 1:
        split = 1
        while split * 2 < high - low:
            split *= 2
        right = index - low >= split
        turns.append(right)
        low, high = (low + split, high) if right else (low, low + split)
    require(len(turns) == len(path), "an inclusion proof has the wrong length")
    for right, sibling in zip(reversed(turns), path):
        hashed = node_hash(sibling, hashed) if right else node_hash(hashed, sibling)
    return hashed


# --- msgpack, the subset that records use ---------------------------------------------------


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, count: int) -> bytes:
        end = self.place + count
        require(end <= len(self.data), "a record ends in the middle of a value")
        taken = self.data[self.place:end]
        self.place = end
        return taken

    def number(self, count: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(count), "big", signed=signed)

    def value(self) -> Any:
        tag = self.take(1)[0]
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 256
        if tag < 0x90:
            return self.mapping(tag & 15)
        if tag < 0xA0:
            return [self.value() for _ in range(tag & 15)]
        if tag < 0xC0:
            return self.take(tag & 31).decode()
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if 0xC4 <= tag <= 0xC6:
            return self.take(self.number(1 << tag - 0xC4))
        if 0xCC <= tag <= 0xCF:
            return self.number(1 << tag - 0xCC)
        if 0xD0 <= tag <= 0xD3:
            return self.number(1 << tag - 0xD0, signed=True)
        if 0xD9 <= tag <= 0xDB:
            return self.take(self.number(1 << tag - 0xD9)).decode()
        if tag in (0xDC, 0xDD):
            return [self.value() for _ in range(self.number(2 << tag - 0xDC))]
        if tag in (0xDE, 0xDF):
            return self.mapping(self.number(2 << tag - 0xDE))
        raise Tampered("a record holds a value of a type that records never hold")

    def mapping(self, count: int) -> Dict[Any, Any]:
        return {self.value(): self.value() for _ in range(count)}


def unpack(data: bytes) -> Any:
    reader = Reader(data)
    value = reader.value()
    require(reader.place == len(data), "bytes follow a record's end")
    return value


# --- records as JSON ---------------------------------------------------------------------------


def moment(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1000000000)
    return "%s.%09dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)), rest)


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def readable(stamp: List[Any], event: List[Any], body: Optional[List[Any]]) -> Dict[str, Any]:
    kind = event[0]
    require(kind in KINDS, "a record is of a kind that this verifier does not know: get a newer one")
    shown = {
        "segment": stamp[1], "index": stamp[2], "time": moment(stamp[3]), "boot_ns": stamp[4], "worker": stamp[5],
        "sequence": stamp[6], "kind": KINDS[kind], "terms": [term.hex() for term in stamp[9]],
    }
    if event[1]:
        shown["session"] = str(uuid.UUID(bytes=event[1]))
        shown["number_in_session"] = event[2]
    if event[3]:
        shown["target"] = event[3]
    if event[4]:
        shown["verdict"] = VERDICTS[event[4]]
    if event[5] is not None:
        shown["ref"] = plain(event[5])
    shown["fields"] = dict(zip(FIELDS[kind], map(plain, event[6:])))
    if body is not None:
        shown["body"] = dict(zip(BODIES.get(kind, []), map(plain, body)))
    return shown


def canonical(shown: Dict[str, Any]) -> str:
    return json.dumps(shown, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


# --- recordings as asciicast -------------------------------------------------------------------

CASTS = {"asciicast": 2, "asciicast-v3": 3}

SHOWN = {"o": "o", "e": "o", "n": "o", "i": "i", "r": "r", "h": "m"}


def cast(events: List[List[Any]], time_ns: int, version: int) -> str:
    """A recording's events as asciicast of a version; [microseconds, code, bytes] each."""
    size = next((data.decode() for _, code, data in events if code == "r"), "80x24")
    term = next((data.decode(errors="replace") for _, code, data in events if code == "t"), "")
    columns, rows = [int(part) for part in (size if "0" not in size.split("x") else "80x24").split("x")]
    head = {"version": 2, "width": columns, "height": rows, "timestamp": time_ns // 1000000000, "env": {"TERM": term}}
    if version == 3:
        head = {"version": 3, "term": {"cols": columns, "rows": rows, "type": term}, "timestamp": time_ns // 1000000000}
    lines = [json.dumps(head, ensure_ascii=False)]
    decoders = {code: codecs.getincrementaldecoder("utf-8")("replace") for code in SHOWN}
    sized, last = False, 0
    for micros, code, data in events:
        if code not in SHOWN or (code == "r" and not sized):
            sized = sized or code == "r"
            continue
        text = "typing that is not recorded" if code == "h" else decoders[code].decode(data)
        if text:
            since = micros - (last if version == 3 else 0)
            last = micros
            when = "%d.%06d" % (since // 1000000, since % 1000000)
            lines.append('[%s, "%s", %s]' % (when, SHOWN[code], json.dumps(text, ensure_ascii=False)))
    return "".join(line + "\n" for line in lines)


# --- the bundle ----------------------------------------------------------------------------------


class Bundle:
    """A bundle's directory, checked step by step. What was checked is kept for the last line."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.manifest = self.listing()
        self.sizes = {}  # type: Dict[int, int]
        self.places = []  # type: List[Dict[str, Any]]
        self.problems, self.gaps, self.told = [], [], []  # type: List[str], List[str], List[str]
        self.lines = []  # type: List[str]
        self.events = []  # type: List[Tuple[List[Any], Optional[List[Any]]]]
        self.entries = []  # type: List[bytes]
        self.recordings = {}  # type: Dict[Tuple[bytes, int], Dict[str, Any]]

    def listing(self) -> Dict[str, Any]:
        """MANIFEST.json: what it says of itself is only believed once the files have shown it."""
        try:
            told = json.loads(self.read("MANIFEST.json"))
        except ValueError:
            raise Tampered("MANIFEST.json is malformed: it is not JSON")
        if not isinstance(told, dict) or not isinstance(told.get("files"), dict):
            raise Tampered("MANIFEST.json is malformed: it lists no files")
        for name in ("key", "query"):
            require(name in told, "MANIFEST.json is malformed: %s is missing" % name)
        return told

    def read(self, name: str) -> bytes:
        with open(os.path.join(self.folder, *name.split("/")), "rb") as file:
            return file.read()

    def check_files(self) -> None:
        """Nothing is missing, changed or added."""
        listed = self.manifest["files"]
        present = set()
        for where, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != "__pycache__"]
            for name in names:
                path = os.path.relpath(os.path.join(where, name), self.folder)
                present.add(path.replace(os.sep, "/"))
        present.discard("MANIFEST.json")
        for name in sorted(set(listed) - present):
            raise Tampered("%s is missing" % name)
        for name in sorted(present - set(listed)):
            raise Tampered("%s is not listed in MANIFEST.json" % name)
        for name, digest in sorted(listed.items()):
            require(hashlib.sha256(self.read(name)).hexdigest() == digest, "%s was changed" % name)

    def other_verifier(self) -> bool:
        with open(os.path.abspath(__file__), "rb") as file:
            return self.manifest["files"].get("verify.py") != hashlib.sha256(file.read()).hexdigest()

    def check_ledger(self, name: str, public: bytes) -> None:
        """Its entries are those that the key has signed."""
        size, root = open_checkpoint(self.read("ledger/checkpoint").decode(), name, public, "the ledger's checkpoint")
        self.entries = list(framed(self.read("ledger/entries.bin")))
        count = len(self.entries)
        require(count == size, "the ledger has %d entries, its checkpoint says %d" % (count, size))
        require(tree_root([leaf_hash(e) for e in self.entries]) == root, "the ledger's entries were changed")

    def check_anchor(self, text: str, name: str, public: bytes) -> int:
        """Every kept checkpoint is of a prefix of this ledger. The ledger entries under the newest one, 0 for none."""
        kept = []
        for note in kept_notes(text):
            try:
                kept.append(open_checkpoint(note, name, public, "it"))
            except (Tampered, ValueError):
                self.problems.append("the anchor file's checkpoint is not signed by this log's key")
        here = len(self.entries)
        roots = prefix_roots([leaf_hash(e) for e in self.entries], {size for size, _ in kept})
        for size, root in kept:
            require(size > here or roots[size] == root, "the ledger is not the one that was anchored")
        latest = max([size for size, _ in kept] or [0])
        if latest > here:
            self.gaps.append("your anchor has seen %d ledger entries, this bundle ends at %d: it is older than your "
                             "checkpoint, or was cut" % (latest, here))
        return max([size for size, _ in kept if size <= here] or [0])

    def seen(self, count: int) -> Dict[int, int]:
        """segment: how many records of it the first `count` ledger entries have seen."""
        heads = ("head", "seg.close", "seg.seal")
        return {entry[3]: entry[4] for entry in map(unpack, self.entries[:count]) if entry[0] in heads}

    def after(self, anchored: int) -> int:
        """How many of the records here are not under the first so many ledger entries."""
        seen = self.seen(anchored)
        return sum(place["index"] >= seen.get(place["segment"], 0) for place in self.places)

    def check_segments(self, name: str) -> None:
        told = {}  # type: Dict[int, List[List[Any]]]
        for entry in map(unpack, self.entries):
            if entry[0].startswith("seg.") or entry[0] == "head":
                told.setdefault(entry[3], []).append(entry)
        folder = os.path.join(self.folder, "segments")
        for part in sorted(os.listdir(folder) if os.path.isdir(folder) else [], key=int):
            number = int(part)
            about = told.get(number, [])
            opened = [e for e in about if e[0] == "seg.open"]
            require(len(opened) == 1, "segment %d is not in the ledger" % number)
            self.check_segment(number, "%s/s%d/%d" % (name, opened[0][2], number), opened[0][4], about)

    def check_segment(self, number: int, name: str, public: bytes, about: List[Any]) -> None:
        """Every record is in the segment, at its place, and every opened body is its own."""
        where = "segments/%d/" % number
        head = self.read(where + "head.note").decode()
        size, root = open_checkpoint(head, name, public, "segment %d's head" % number)
        for entry in about:
            if entry[0] in ("seg.close", "seg.seal"):
                require((entry[4], entry[5]) == (size, root), "segment %d is not as the ledger closed it" % number)
            elif entry[0] == "head":
                require(entry[4] <= size, "segment %d was cut: the ledger has seen more of it" % number)
        leaves = list(framed_by_index(self.read(where + "leaves.bin")))
        self.check_inclusion(number, leaves, size, root)
        bodies = self.open_bodies(where)
        for index, leaf in leaves:
            self.lines.append(self.check_record(number, index, leaf, bodies.pop(index, None)))
        require(not bodies, "segment %d has a body without a record" % number)
        self.sizes[number] = size

    def check_inclusion(self, number: int, leaves: List[Tuple[int, bytes]], size: int, root: bytes) -> None:
        where = "segments/%d/" % number
        if where + "level0.bin" in self.manifest["files"]:
            data = self.read(where + "level0.bin")
            hashes = [data[i:i + 32] for i in range(0, len(data), 32)]
            whole = len(hashes) == size and tree_root(hashes) == root
            require(whole, "segment %d's hashes do not give its root" % number)
            for index, leaf in leaves:
                require(index < size and hashes[index] == leaf_hash(leaf), "record %d/%d was changed" % (number, index))
            return
        proofs = dict(framed_by_index(self.read(where + "proofs.bin")))
        for index, leaf in leaves:
            data = proofs.get(index, b"")
            path = [data[i:i + 32] for i in range(0, len(data), 32)]
            found = root_from_path(leaf_hash(leaf), index, size, path)
            require(found == root, "record %d/%d was changed" % (number, index))

    def open_bodies(self, where: str) -> Dict[int, Tuple[bytes, bytes]]:
        """index: (opening, plain bytes)"""
        return {i: (data[:32], data[32:]) for i, data in framed_by_index(self.read(where + "bodies.bin"))}

    def check_record(self, number: int, index: int, leaf: bytes, body: Optional[Tuple[bytes, bytes]]) -> str:
        stamp, event = unpack(leaf)
        require(stamp[:3] == [1, number, index], "record %d/%d says that it is another" % (number, index))
        self.places.append({
            "segment": number, "index": index, "hash": leaf_hash(leaf), "time": stamp[3], "kind": KINDS.get(event[0], "?"),
            "closed": body is None and stamp[8] is not None, "committed": stamp[8] is not None,
        })
        if body is None:
            self.events.append((event, None))
            return canonical(readable(stamp, event, None))
        committed = hashlib.sha256(b"ostiary-body\x00" + body[0] + body[1]).digest()
        require(committed == stamp[8], "the body of record %d/%d is not the one that was recorded" % (number, index))
        plain_body = unpack(body[1])
        self.events.append((event, plain_body))
        self.keep_recorded(stamp, event, plain_body)
        return canonical(readable(stamp, event, plain_body))

    def check_readable(self) -> None:
        """What people read is what was proved, no more and no less."""
        text = "".join(line + "\n" for line in self.lines).encode()
        require(self.read("readable/records.jsonl") == text, "readable/records.jsonl does not follow from the records")
        version = CASTS.get(self.manifest.get("readable", "jsonl"), 0)
        made = {}
        for (session, number), kept in self.recordings.items() if version else ():
            events = [event for chunk in sorted(kept["chunks"]) for event in kept["chunks"][chunk]]
            name = "readable/sessions/%s-%d.cast" % (uuid.UUID(bytes=session), number)
            made[name] = cast(events, kept["time"], version).encode() if events else None
        for name in sorted(name for name in self.manifest["files"] if name.startswith("readable/")):
            if name != "readable/records.jsonl":
                require(self.read(name) == made.pop(name, None), "%s does not follow from the recorded chunks" % name)
        for name in sorted(name for name, text in made.items() if text is not None):
            raise Tampered("%s is missing" % name)

    def keep_recorded(self, stamp: List[Any], event: List[Any], body: List[Any]) -> None:
        """Chunks and ends of recordings. A chunk may be there twice, the same."""
        if event[0] not in (24, 25):
            return
        kept = self.recordings.setdefault((event[1], event[6]), {"time": 0, "chunks": {}, "ended": None})
        if event[0] == 25:
            kept["ended"] = event[9]
            return
        known = kept["chunks"].setdefault(event[7], body[0])
        require(known == body[0], "a chunk of a recording is there twice, and not the same")
        kept["time"] = kept["time"] or stamp[3]


# --- whether something was left out -------------------------------------------------------------


class Completeness:
    """
    Compares a bundle with what should be in it.

    The gateway records each export of a live log before it is written: what was asked for, how far the log was searched,
    how many records matched, a digest of them, how many bodies were opened. That record is in the bundle, with its proof.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.query = bundle.manifest["query"]
        self.order = self.find_order()  # type: Optional[Dict[str, str]]
        self.matched = [place for place in bundle.places if self.place(place) != bundle.manifest.get("export")]
        self.opened = {entry[3] for entry in map(unpack, bundle.entries) if entry[0] == "seg.open"}
        self.last = bundle.seen(len(bundle.entries))
        self.end = None  # type: Optional[Tuple[int, int]]

    @staticmethod
    def place(place: Dict[str, Any]) -> str:
        return "%d/%d" % (place["segment"], place["index"])

    def find_order(self) -> Optional[Dict[str, str]]:
        """What the log recorded of this export; None when the bundle has no such record."""
        wanted = self.bundle.manifest.get("export")
        if wanted is None:
            return None
        for place, (event, body) in zip(self.bundle.places, self.bundle.events):
            if self.place(place) == wanted and event[0] == 70 and event[6] == "exported" and body:
                return body[0]
        raise Tampered("the log's record of this export, %s, is not in this bundle" % clean(wanted))

    def check(self) -> None:
        if self.order is not None:
            self.check_order(self.order)
        if not self.query:
            self.check_whole()
        else:
            self.bundle.told.append("%d of %s records; what was left out is not proved" % (len(self.matched), self.total()))
        if list(self.query) == ["session"]:
            self.bundle.gaps += session_gaps(self.bundle.events, self.query["session"], self.order is None)
        elif self.order is None and self.query:
            self.bundle.gaps.append("what was asked for is only claimed: the log's record of this export is not in this "
                                    "bundle (it was made from a stopped store, or that was taken out)")
        self.check_bodies()

    def check_order(self, order: Dict[str, str]) -> None:
        asked = json.loads(order["query"])
        require(asked == self.query, "MANIFEST.json says that the query was %s, the log's record of this export says %s" % (
            shown_query(self.query), shown_query(asked)))
        count, digest = int(order["records"]), hashlib.sha256(b"".join(place["hash"] for place in self.matched)).hexdigest()
        require(len(self.matched) == count, "this bundle has %d records, the log recorded an export of %d" % (
            len(self.matched), count))
        require(digest == order["leaves"], "these are not the records that the log recorded as exported")
        segment, index = order["upto"].split("/")
        self.end = int(segment), int(index)

    def upto(self, number: int) -> int:
        """How many records of a segment there are to be had: before the export, or under its head."""
        size = self.bundle.sizes.get(number, self.last.get(number, 0))
        if self.end is not None and number >= self.end[0]:
            return self.end[1] if number == self.end[0] else 0
        return size

    def total(self) -> str:
        known = all(number in self.bundle.sizes or self.end for number in self.opened)
        return "%s%d" % ("" if known else "at least ", sum(map(self.upto, self.opened)))

    def check_whole(self) -> None:
        """Of a whole log: every segment of the ledger, and every record under its head."""
        present = {number: set() for number in self.opened}  # type: Dict[int, Any]
        for place in self.matched:
            present[place["segment"]].add(place["index"])
        for number in sorted(self.opened):
            size, count = self.upto(number), len(present[number])
            if self.end is not None and number > self.end[0]:
                continue
            if number not in self.bundle.sizes and self.end != (number, 0):
                self.bundle.problems.append("segment %d, which the ledger has, is not in this bundle" % number)
                continue
            told = "%d of %d records of segment %d" % (count, size, number)
            missing = [index for index in range(size) if index not in present[number]]
            if missing:
                several = " and more" if missing[10:] else ""
                self.bundle.problems.append("%s: without %s%s" % (told, ", ".join(map(str, missing[:10])), several))
            else:
                self.bundle.told.append(told)

    def check_bodies(self) -> None:
        """Committed to, and neither opened nor expired: withheld."""
        expired = {entry[3] for entry in map(unpack, self.bundle.entries) if entry[0] == "body.expire"}
        committed = [place for place in self.bundle.places if place["committed"]]
        closed = [place for place in committed if place["closed"]]
        withheld = [place for place in closed if place["segment"] not in expired]
        gone = ", %d expired" % (len(closed) - len(withheld)) if len(closed) > len(withheld) else ""
        self.bundle.told.append("bodies: %d opened of %d committed, %d withheld%s" % (
            len(committed) - len(closed), len(committed), len(withheld), gone))
        self.bundle.told += ["withheld: the body of %s %s" % (place["kind"], self.place(place)) for place in withheld[:20]]
        if withheld[20:]:
            self.bundle.told.append("withheld: %d more" % len(withheld[20:]))
        opened = sum(1 for place in self.matched if place["committed"] and not place["closed"])
        if self.order is not None:
            require(opened == int(self.order["bodies"]), "%d bodies are opened here, the log recorded an export with %s" % (
                opened, clean(self.order["bodies"])))
        elif withheld:
            told = "%d bod%s withheld, and no record of this export says so" % (
                len(withheld), "y is" if len(withheld) == 1 else "ies are")
            (self.bundle.gaps if self.query else self.bundle.problems).append(told)


def shown_query(query: Any) -> str:
    return clean(json.dumps(query, sort_keys=True, ensure_ascii=False)) if query else "the whole log"


# --- what the bundle holds of each session, and who approved --------------------------------------


def clean(text: Any) -> str:
    """Text of a stranger for a terminal: no control characters, no escape sequences."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def told_sessions(events: Sequence[Tuple[List[Any], Optional[List[Any]]]]) -> Iterator[str]:
    """For each session: whether its numbers run from its opening to its close without a gap."""
    sessions = {}  # type: Dict[bytes, Dict[str, Any]]
    for event, body in events:
        if not event[1]:
            continue
        kept = sessions.setdefault(event[1], {"who": "", "numbers": set(), "closed": None, "more": []})
        if event[0] == 10 and body:
            kept["who"] = " of %s%s" % (clean(body[0]), " for %s" % clean(body[1]) if body[1] else "")
            floor = (body[9] or {}).get("floor")
            kept["more"] += ["  the floor in force: %s" % clean(floor)] if floor else []
        if event[0] == 30 and event[6] == "disclosure.revealed" and body:
            kept["more"].append("  DISCLOSED %s under %s" % (clean(body[0].get("columns", "?")), clean(body[0].get("request", "?"))))
        if event[2] or event[0] == 10:  # the notary's own records of a session have no number
            kept["numbers"].add(event[2])
        if event[0] == 11:
            kept["closed"] = event[2]
    for session, kept in sessions.items():
        yield "session %s%s: %s" % (uuid.UUID(bytes=session), kept["who"], run_of(kept["numbers"], kept["closed"]))
        yield from kept["more"]


def session_gaps(events: Sequence[Tuple[List[Any], Optional[List[Any]]]], wanted: str, closed: bool) -> Iterator[str]:
    """What is missing of the session that was asked for; :param closed: its close must be here too."""
    numbers, last = set(), None
    for event, _ in events:
        if event[1] and str(uuid.UUID(bytes=event[1])) == wanted and (event[2] or event[0] in (10, 11)):
            numbers |= {event[2]} if event[2] or event[0] == 10 else set()
            last = event[2] if event[0] == 11 else last
    told = run_of(numbers, last) if numbers else "none of its records is in this bundle"
    if not told.startswith("complete") and (closed or "without a gap" not in told) and "closed by the notary" not in told:
        yield "session %s: %s" % (clean(wanted), told)
    approved = {event[6] for event, _ in events if event[0] == 40}
    for grant in sorted({event[9] for event, _ in events if event[0] == 20 and event[9]} - approved):
        yield "grant %s, which the session spent, is not in this bundle" % clean(grant)


def run_of(numbers: Any, closed: Optional[int]) -> str:
    last = max(numbers | {closed or 0})
    missing = [number for number in range(min(last + 1, len(numbers) + 10)) if number not in numbers]
    if missing:
        return "INCOMPLETE, without record %s of 0..%d%s" % (
            ", ".join(map(str, missing[:10])), last, " and more" if last + 1 - len(numbers) > len(missing[:10]) else "")
    if closed:
        return "complete, records 0..%d, opened to closed" % last
    if closed == 0:
        return "records 0..%d without a gap, closed by the notary: its worker was gone" % last
    return "records 0..%d without a gap, but no close: it went on, or the rest is not in this bundle" % last


def told_recordings(recordings: Dict[Tuple[bytes, int], Dict[str, Any]]) -> Iterator[str]:
    """For each recording: whether all of its chunks are here."""
    for (session, number), kept in recordings.items():
        chunks, ended = set(kept["chunks"]), kept["ended"]
        count = ended if ended is not None else max(chunks, default=-1) + 1
        missing = [chunk for chunk in range(min(count, len(chunks) + 10)) if chunk not in chunks]
        if missing:
            told = "INCOMPLETE, without chunk %s of %d" % (", ".join(map(str, missing[:10])), count)
        elif ended is None:
            told = "%d chunks without a gap, but no end: it went on, was cut short, or the rest is not in this bundle" % count
        else:
            told = "complete, %d chunks" % count
        yield "recording %d of session %s: %s" % (number, uuid.UUID(bytes=session), told)


def told_grants(events: Sequence[Tuple[List[Any], Optional[List[Any]]]]) -> Iterator[str]:
    """For each grant that a command spent: who asked and who approved it, and whether it was for that command."""
    approvals = {event[6]: (event, body) for event, body in events if event[0] == 40}
    spent = {}  # type: Dict[str, List[Any]]
    asked = {}  # type: Dict[str, List[str]]
    for event, body in events:
        if event[0] == 20 and event[9]:
            spent.setdefault(event[9], []).append(event[11])
            asked.setdefault(event[9], [name for name in (body or [])[:2] if name])
    for grant, bindings in spent.items():
        if grant not in approvals:
            yield "grant %s is not in this bundle: who approved it is not proved here" % clean(grant)
            continue
        event, body = approvals[grant]
        who = clean((body or [{}])[0].get("approvers") or "somebody whose name is not opened here")
        other = "" if all(binding == event[7] for binding in bindings) else ", but FOR ANOTHER COMMAND"
        askers = asked[grant]
        by = clean(" for ".join(askers) or "somebody whose name is not opened here")
        distinct = "not known" if not body or not askers else "NO" if set(who.split(", ")) & set(askers) else "yes"
        yield "grant %s of request %s, spent %d time%s: asked by %s; approved by %s; distinct: %s%s" % (
            clean(grant), clean(event[10]), len(bindings), "" if len(bindings) == 1 else "s", by, who, distinct, other)


def told_clear(events: Sequence[Tuple[List[Any], Optional[List[Any]]]]) -> Iterator[str]:
    """For each identity and declared column: how many of its commands may have read it in the clear."""
    found = {}  # type: Dict[Tuple[str, str], int]
    place = COMMAND_BODY.index("clear_columns")
    for event, body in events:
        for column in body[place] if event[0] == 20 and body and len(body) > place else ():
            if not column.endswith("*"):  # beside what is named because nobody could tell
                found[body[0], column] = found.get((body[0], column), 0) + 1
    for (who, column), count in sorted(found.items()):
        yield "%s may have read %s in the clear, in %d commands" % (clean(who), clean(column), count)


def framed(data: bytes) -> Iterator[bytes]:
    """u32 length, bytes; again and again."""
    place = 0
    while place < len(data):
        (length,) = struct.unpack_from("!I", data, place)
        require(place + 4 + length <= len(data), "a file ends in the middle of an entry")
        yield data[place + 4:place + 4 + length]
        place += 4 + length


def framed_by_index(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """u64 index, u32 length, bytes; indexes rise."""
    place, last = 0, -1
    while place < len(data):
        index, length = struct.unpack_from("!QI", data, place)
        place += 12 + length
        require(place <= len(data) and index > last, "a file's entries are cut or out of order")
        yield index, data[place - length:place]
        last = index


def verify(folder: str, key: Optional[str], anchor: Optional[str]) -> int:
    """Print what was found; the exit code."""
    bundle = Bundle(folder)
    name, public = parse_key(key if key is not None else bundle.manifest["key"])
    bundle.check_files()
    bundle.check_ledger(name, public)
    anchored = bundle.check_anchor(anchor, name, public) if anchor is not None else 0
    bundle.check_segments(name)
    bundle.check_readable()
    completeness = Completeness(bundle)
    completeness.check()
    proved = "" if completeness.order else " (only claimed, by MANIFEST.json)"
    print("log %s: %d ledger entries, the newest of %s" % (name, len(bundle.entries), newest_of(bundle.entries)))
    print("%d records of %d segments, the newest of %s" % (
        len(bundle.lines), len(bundle.sizes), moment(max([place["time"] for place in bundle.places] or [0]))))
    print("query: %s%s" % (shown_query(completeness.query), proved))
    tellings = [told_sessions(bundle.events), told_recordings(bundle.recordings), told_grants(bundle.events), told_clear(bundle.events)]
    for line in [*bundle.told, *(line for telling in tellings for line in telling)]:
        print(line)
    if anchored:
        print("%d records came after the newest checkpoint that you kept" % bundle.after(anchored))
    for problem in bundle.problems:
        print("%s: %s" % ("ANCHOR" if problem.startswith("the anchor file") else "TAMPERED", problem))
    if bundle.other_verifier():
        print("NOTE: the bundle's own verify.py is not this one: another version, or somebody else's")
    for gap in bundle.gaps:
        print("INCOMPLETE: %s" % gap)
    if bundle.problems:
        return TAMPERED
    if key is None:
        print("SELF-CONSISTENT ONLY: no --key was given, and the bundle's own key proves nothing")
    elif bundle.gaps:
        print("SOUND, but incomplete")
    elif anchored:
        print("SOUND")
    else:
        print("SOUND (no anchor given: whoever holds the signing key could have made another log)")
    return INCOMPLETE if bundle.gaps or key is None else 0


def newest_of(entries: Sequence[bytes]) -> str:
    return moment(max([unpack(entry)[1] for entry in entries] or [0]))


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


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(description="Verify a bundle of Ostiary evidence.")
    parser.add_argument("bundle", nargs="?", default=os.path.dirname(os.path.abspath(__file__)))
    parser.add_argument("--key", help="the log's public key, or a file that holds it; never taken from the bundle")
    parser.add_argument("--anchor", action="append", default=[], help="a file of checkpoints that you kept")
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
    own = [path for path in texts if lies_in(path, options.bundle)]
    for path in own:
        print("NOT INDEPENDENT: %s is the same file as in the bundle, so it is no anchor" % path)
    kept = [text for path, text in texts.items() if path not in own]
    try:
        code = verify(options.bundle, key, "\n".join(kept) if kept else None)
        return INCOMPLETE if code == 0 and own and not kept else code
    except Tampered as e:
        print("TAMPERED: %s" % e)
        return TAMPERED
    except OSError as e:
        print("cannot read the bundle: %s" % e, file=sys.stderr)
        return UNREADABLE
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as e:
        print("TAMPERED: the bundle is malformed (%s)" % type(e).__name__)
        return TAMPERED


if __name__ == "__main__":
    sys.exit(main())
