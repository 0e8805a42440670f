"""Whether something was left out."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Optional, Tuple

from gateway.evidence.verifier.bundle import Bundle
from gateway.evidence.verifier.cast import CASTS
from gateway.evidence.verifier.fault import Tampered, require
from gateway.evidence.verifier.holdings import CLAIMED, FILTERED, LOST, session_gaps
from gateway.evidence.verifier.packed import unpack
from gateway.evidence.verifier.record import clean, counted, moment, told_moment


FIELDS_OF_MANIFEST = frozenset("format readable key query records segments files export missing".split())


class Completeness:
    """
    Compares a bundle with what should be in it.

    The gateway records each export of a live log before it is written: what was asked for, how far the log was searched,
    how many records matched, a digest of them, how many bodies were opened. That record is in the bundle, with its proof.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.query = bundle.manifest["query"]
        self.order: Optional[Dict[str, str]] = self.find_order()
        self.matched = [place for place in bundle.places if self.place(place) != bundle.manifest.get("export")]
        self.opened = {entry[3] for entry in map(unpack, bundle.entries) if entry[0] == "seg.open"}
        self.last = bundle.seen(len(bundle.entries))
        self.end: Optional[Tuple[int, int]] = None
        self.lost = {int(number): why for number, why in bundle.manifest.get("missing", {}).items()}
        self.coverage: List[Dict[str, Any]] = []
        self.bodies: Dict[str, Any] = {}

    @property
    def filtered(self) -> str:
        """Why a part of a session may not be here: these are the records that a query chose, which asked for less than whole sessions. Else ""."""
        if self.bundle.problems or list(self.query) in ([], ["session"]):
            return ""
        if self.lost:
            return LOST
        return FILTERED if self.order is not None else CLAIMED

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
        self.check_lost()
        if not self.query:
            self.check_whole()
        else:
            known = all(number in self.bundle.sizes or self.end for number in self.opened)
            total = sum(map(self.upto, self.opened))
            self.coverage.append({"segment": None, "here": len(self.matched), "of": total, "at_least": not known})
        if list(self.query) == ["session"]:
            self.bundle.gaps += session_gaps(self.bundle.events, self.query["session"], self.order is None)
        if self.order is None and self.query:
            self.bundle.gaps.append("what was asked for is only claimed: the log's record of this export is not in this "
                                    "bundle (it was made from a stopped store, or that was taken out)")
        self.check_bodies()

    def check_lost(self) -> None:
        """What the store had lost when this was exported."""
        for number, why in sorted(self.lost.items()):
            require(number in self.opened, "MANIFEST.json says that segment %d was lost, which the ledger has not" % number)
            by = "as the log recorded" if self.order is not None else "which is only claimed, by MANIFEST.json"
            self.bundle.gaps.append("the store had lost a part of segment %d when this was exported, %s: %s" % (number, by, clean(why)))

    def check_order(self, order: Dict[str, str]) -> None:
        asked = json.loads(order["query"])
        require(asked == self.query, "MANIFEST.json says that the query was %s, the log's record of this export says %s" % (
            shown_query(self.query), shown_query(asked)))
        lost = json.loads(order.get("missing", "{}"))
        require(lost == self.bundle.manifest.get("missing", {}), "MANIFEST.json says that a part was lost of %s, the log's record of this export says %s" % (
            named_segments(self.lost), named_segments(lost)))
        segment, index = order["upto"].split("/")
        self.end = int(segment), int(index)
        count, digest = int(order["records"]), hashlib.sha256(b"".join(place["hash"] for place in self.matched)).hexdigest()
        if len(self.matched) != count:  # which of them, whoever knows says below: the tree, or a session's numbers
            self.bundle.problems.append("this bundle has %d records, the log recorded an export of %d" % (len(self.matched), count))
            return
        require(digest == order["leaves"], "these are not the records that the log recorded as exported")

    def upto(self, number: int) -> int:
        """How many records of a segment there are to be had: before the export, or under its head."""
        size = self.bundle.sizes.get(number, self.last.get(number, 0))
        if self.end is not None and number >= self.end[0]:
            return self.end[1] if number == self.end[0] else 0
        return size

    def check_whole(self) -> None:
        """Of a whole log: every segment of the ledger, and every record under its head."""
        present: Dict[int, Any] = {number: set() for number in self.opened}
        for place in self.matched:
            present[place["segment"]].add(place["index"])
        for number in sorted(self.opened):
            size, count = self.upto(number), len(present[number])
            if self.end is not None and number > self.end[0]:
                continue
            if number in self.lost and number not in self.bundle.sizes:
                continue
            if number not in self.bundle.sizes and self.end != (number, 0):
                self.bundle.problems.append("segment %d, which the ledger has, is not in this bundle" % number)
                continue
            missing = [index for index in range(size) if index not in present[number]]
            if missing:
                several = " and more" if missing[10:] else ""
                self.bundle.problems.append("%d of %s of segment %d: without %s%s" % (
                    count, counted(size, "record"), number, ", ".join(map(str, missing[:10])), several))
            else:
                self.coverage.append({"segment": number, "here": count, "of": size, "at_least": False})

    def check_bodies(self) -> None:
        """Committed to, and neither opened nor expired: withheld."""
        expired = {entry[3] for entry in map(unpack, self.bundle.entries) if entry[0] == "body.expire"}
        committed = [place for place in self.bundle.places if place["committed"]]
        closed = [place for place in committed if place["closed"]]
        kept_back = [place for place in closed if place["segment"] not in expired]
        withheld = [place for place in kept_back if place["segment"] not in self.lost]
        self.bodies = {
            "committed": len(committed), "opened": len(committed) - len(closed), "expired": len(closed) - len(kept_back),
            "lost": len(kept_back) - len(withheld),
            "withheld": [{"kind": place["kind"], "record": self.place(place)} for place in withheld],
        }
        opened = sum(1 for place in self.matched if place["committed"] and not place["closed"])
        if self.order is not None:
            if opened != int(self.order["bodies"]) and not self.bundle.problems:  # else their records are gone, too
                self.bundle.problems.append("%d bodies are opened here, the log recorded an export with %s" % (opened, clean(self.order["bodies"])))
        elif withheld:
            told = "%s withheld, and no record of this export says so" % counted(len(withheld), "body is", "bodies are")
            (self.bundle.gaps if self.query else self.bundle.problems).append(told)


    def check_manifest(self, name: str, public: bytes) -> None:
        """Nothing proves MANIFEST.json, so everything that it says has to be what the proven bytes say."""
        told, held, form = self.bundle.manifest, sorted(self.bundle.sizes), self.bundle.manifest.get("readable", "jsonl")
        says = [
            (not set(told) - FIELDS_OF_MANIFEST, "has a field that no bundle has: %s" % ", ".join(sorted(set(told) - FIELDS_OF_MANIFEST))),
            (self.bundle.own_key() == (name, public), "names another key than the one that signed this log"),
            (told["records"] == len(self.matched), "says that the records are %s, they are %d" % (told["records"], len(self.matched))),
            (told["segments"] == held, "says that the segments are %s, they are %s" % (told["segments"], held)),
            (form == "jsonl" or form in CASTS, "names a form that no bundle has: %s" % form),
        ]
        self.bundle.problems += ["MANIFEST.json %s" % clean(wrong) for holds, wrong in says if not holds]


def shown_query(query: Any) -> str:
    """What was asked for, in words; moments in UTC."""
    if not query:
        return "the whole log"
    return ", ".join(asked(name, clean(value)) for name, value in sorted(query.items()))


def named_segments(numbers: Any) -> str:
    return "segment %s" % ", ".join(map(clean, sorted(numbers))) if numbers else "no segment"


def asked(name: str, value: str) -> str:
    if name in ("since_ns", "until_ns") and value.isdigit():
        return "%s %s" % ("since" if name == "since_ns" else "before", told_moment(moment(int(value))))
    if name == "alarm":
        return "alarms only"
    return "%s %s" % (name.replace("_", " "), '"%s"' % value if " " in value or not value else value)
