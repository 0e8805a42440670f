"""A bundle's files, checked step by step."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from typing import Any, Dict, List, Optional, Tuple

from gateway.evidence.verifier.cast import CASTS, cast
from gateway.evidence.verifier.checkpoint import kept_notes, open_checkpoint, parse_key
from gateway.evidence.verifier.fault import Tampered, require
from gateway.evidence.verifier.meanings import KINDS
from gateway.evidence.verifier.packed import framed, framed_by_index, unpack
from gateway.evidence.verifier.record import canonical, readable
from gateway.evidence.verifier.tree import leaf_hash, prefix_roots, root_from_path, tree_root


FORMAT = "ostiary-bundle-1"
KINDS_OF_FIELDS = {"format": str, "key": str, "query": dict, "records": int, "segments": list, "files": dict, "readable": str, "export": str, "missing": dict}
ALWAYS = ("files", "format", "key", "query", "records", "segments")
WORDS = frozenset({"README.txt", "verify.py"})
PARTS = re.compile(r"ledger/(?:checkpoint|entries\.bin)|segments/\d+/(?:head\.note|(?:leaves|bodies|level0|proofs)\.bin)|readable/.+", re.DOTALL)
"""What a bundle holds beside them: all of it is checked. readable/ has to follow from the rest, file by file."""


class Bundle:
    """A bundle's directory, checked step by step. What was checked is kept for the last line."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.manifest = self.listing()
        self.sizes: Dict[int, int] = {}
        self.places: List[Dict[str, Any]] = []
        self.problems: List[str] = []
        self.strays: List[str] = []
        self.empty: List[str] = []
        self.gaps: List[str] = []
        self.lines: List[str] = []
        self.events: List[Tuple[List[Any], Optional[List[Any]]]] = []
        self.entries: List[bytes] = []
        self.recordings: Dict[Tuple[bytes, int], Dict[str, Any]] = {}

    def listing(self) -> Dict[str, Any]:
        """MANIFEST.json: what it says of itself is only believed once the files have shown it."""
        try:
            told = json.loads(self.read("MANIFEST.json"))
        except ValueError:
            raise Tampered("MANIFEST.json is malformed: it is not JSON")
        require(isinstance(told, dict), "MANIFEST.json is malformed: it is no object")
        for name in ALWAYS:
            require(name in told, "MANIFEST.json is malformed: %s is missing" % name)
        for name, kind in KINDS_OF_FIELDS.items():
            require(name not in told or type(told[name]) is kind, "MANIFEST.json is malformed: %s is no %s" % (name, kind.__name__))
        for name, kind in (("files", str), ("query", str), ("segments", int)):
            held = told[name].values() if isinstance(told[name], dict) else told[name]
            require(all(type(value) is kind for value in held), "MANIFEST.json is malformed: %s holds what is no %s" % (name, kind.__name__))
        for number, why in told.get("missing", {}).items():
            require(re.fullmatch("[0-9]{1,18}", number) and type(why) is str, "MANIFEST.json is malformed: missing holds what is no segment and a text")
        require(told["format"] == FORMAT, "MANIFEST.json says that this is no %s: if it is a newer bundle, get a newer verifier" % FORMAT)
        return told

    def own_key(self) -> Tuple[str, bytes]:
        """(name, public key) that it says are the log's."""
        try:
            return parse_key(self.manifest["key"])
        except ValueError as e:
            raise Tampered("MANIFEST.json is malformed: key is %s" % e)

    def read(self, name: str) -> bytes:
        try:
            with open(os.path.join(self.folder, *name.split("/")), "rb") as file:
                return file.read()
        except FileNotFoundError:
            if name == "MANIFEST.json":
                raise
            raise Tampered("%s is missing" % name)

    def check_files(self) -> None:
        """Nothing is missing, changed or added, and nothing lies elsewhere."""
        listed = self.manifest["files"]
        present, empty = set(), []
        for where, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if name != "__pycache__"]
            if not (folders or names):
                empty.append(os.path.relpath(where, self.folder))
            for name in names:
                path = os.path.relpath(os.path.join(where, name), self.folder)
                require(not os.path.islink(os.path.join(where, name)), "%s is a link: what it shows may change" % path)
                present.add(path.replace(os.sep, "/"))
        present.discard("MANIFEST.json")
        for name in sorted((WORDS | set(listed)) - present):
            raise Tampered("%s is missing%s" % (name, "" if name in WORDS else ", or MANIFEST.json, which lists it, was changed"))
        for name in sorted(present - set(listed)):
            raise Tampered("%s is not listed in MANIFEST.json: somebody has added the one or changed the other" % name)
        for name in sorted(listed):
            require(name in WORDS or PARTS.fullmatch(name), "%s is no part of a bundle: somebody has added it" % name)
        self.empty = sorted(name for name in empty if name not in ("segments", os.path.join("readable", "sessions")))
        for name, digest in sorted(listed.items()):
            require(hashlib.sha256(self.read(name)).hexdigest() == digest, "%s is not what MANIFEST.json says it is: one of the two was changed" % name)

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
                self.strays.append("the anchor file's checkpoint is not signed by this log's key")
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
        told: Dict[int, List[List[Any]]] = {}
        for entry in map(unpack, self.entries):
            if entry[0].startswith("seg.") or entry[0] == "head":
                told.setdefault(entry[3], []).append(entry)
        folder = os.path.join(self.folder, "segments")
        parts = os.listdir(folder) if os.path.isdir(folder) else []
        for part in parts:
            require(re.fullmatch("[0-9]+", part), "segments/%s is no segment: somebody has added it" % part)
        for part in sorted(parts, key=int):
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
            "segment": number, "index": index, "hash": leaf_hash(leaf), "time": stamp[3], "kind": KINDS.get(event[0], "?"), "key": stamp[5:7],
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
        for name in self.empty:
            raise Tampered("%s is an empty folder: somebody has added it" % name)

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
