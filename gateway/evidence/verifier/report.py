"""What was found of a bundle: as facts, for programs, and in words."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence

from gateway.evidence.verifier.bundle import Bundle
from gateway.evidence.verifier.checkpoint import parse_key
from gateway.evidence.verifier.completeness import Completeness, shown_query
from gateway.evidence.verifier.explained import readme
from gateway.evidence.verifier.fault import INCOMPLETE, TAMPERED, ending
from gateway.evidence.verifier.holdings import grants_of, odd_sessions, recordings_of, sessions_of, told_grants, told_recordings, told_sessions
from gateway.evidence.verifier.masking import disclosures_of, masking_of, told_disclosures, told_masking
from gateway.evidence.verifier.packed import unpack
from gateway.evidence.verifier.record import counted, moment, told_moment


class Anchors(NamedTuple):
    """Texts that hold checkpoints of the log: kept beside the evidence, and by somebody else. "" for none."""

    beside: str = ""
    independent: str = ""


def examined(folder: str, key: Optional[str], anchors: Anchors, own: Optional[str]) -> Dict[str, Any]:
    """
    Everything that was found, as `--json` prints it; docs/evidence.md says what each field is. Raises Tampered.

    :param own: the SHA-256 of the verifier that looks.
    """
    bundle = Bundle(folder)
    name, public = parse_key(key) if key is not None else bundle.own_key()
    bundle.check_files()
    bundle.check_ledger(name, public)
    beside, independent = [bundle.check_anchor(text, name, public) for text in anchors]
    anchored, grade = independent or beside, "independent" if independent else "same administration" if beside else "none"
    bundle.check_segments(name)
    bundle.check_readable()
    completeness = Completeness(bundle)
    completeness.check()
    completeness.check_manifest(name, public)
    found: Dict[str, Any] = {
        "bundle": folder, "log": name, "trusted_key": key is not None, "entries": len(bundle.entries), "newest_entry": newest_of(bundle.entries),
        "records": len(bundle.lines), "segments": len(bundle.sizes), "newest_record": moment(max([place["time"] for place in bundle.places] or [0])),
        "query": completeness.query, "query_recorded": completeness.order is not None, "coverage": completeness.coverage, "bodies": completeness.bodies,
        "sessions": sessions_of(bundle.events, completeness.filtered, bundle.places), "recordings": recordings_of(bundle.recordings, completeness.filtered),
        "grants": grants_of(bundle.events),
        "disclosures": disclosures_of(bundle.events), "masking": masking_of(bundle.events, [place["key"] for place in bundle.places]), "anchor": grade, "anchored": anchored,
        "unanchored_records": bundle.after(anchored), "problems": bundle.problems, "strays": bundle.strays, "gaps": bundle.gaps, "remarks": [],
    }
    if bundle.manifest["files"].get("verify.py") != own:
        found["remarks"].append("the bundle's own verify.py is not this one: another version, or somebody else's")
    if bundle.read("README.txt") != readme(name, own):
        found["remarks"].append("the bundle's README.txt is not the one that this verifier knows: another version's, or somebody else's; nothing proves it")
    found["remarks"] += odd_sessions(found["sessions"], whole=not completeness.query and not completeness.lost and not bundle.problems)
    tampered = found["problems"] or found["strays"]
    found["code"] = TAMPERED if tampered else INCOMPLETE if found["gaps"] or key is None else 0
    return found


def newest_of(entries: Sequence[bytes]) -> str:
    return moment(max([unpack(entry)[1] for entry in entries] or [0]))


def tampered(folder: str, what: str, code: int = TAMPERED) -> Dict[str, Any]:
    """What is said of a bundle that nothing else can be said of."""
    return {"bundle": folder, "code": code, "problems": [what], "strays": [], "gaps": [], "remarks": []}


def as_json(found: Dict[str, Any]) -> str:
    """For a terminal too: what a bundle says is anybody's."""
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def words(found: Dict[str, Any]) -> Iterator[str]:
    """The same for people, a line each, the verdict last, and what the exit code means."""
    for line in judgement(found):
        yield line
    yield ending(found["code"])


def judgement(found: Dict[str, Any]) -> Iterator[str]:
    """What was found, and the verdict where it is not among that."""
    for path in found["own_anchors"]:
        yield "NOT INDEPENDENT: %s is the same file as in the bundle, so it is no anchor" % path
    for path, keeper in sorted(found["kept_beside"].items()):
        yield "NOT INDEPENDENT: %s is kept beside the evidence, in the gateway's own %s: it proves nothing against who can write there" % (path, keeper)
    if "log" in found:
        for line in holdings(found):
            yield line
    for problem in found["problems"]:
        yield "TAMPERED: %s" % problem
    for stray in found["strays"]:
        yield "ANCHOR: %s" % stray
    for remark in found["remarks"]:
        yield "NOTE: %s" % remark
    for gap in found["gaps"]:
        yield "INCOMPLETE: %s" % gap
    if found["problems"] or found["strays"]:
        return
    if not found["trusted_key"]:
        yield "SELF-CONSISTENT ONLY: no --key was given, and the bundle's own key proves nothing"
    elif found["gaps"]:
        yield "SOUND, but incomplete"
    elif found["anchor"] == "independent":
        yield "SOUND"
    else:
        lacks = "no independent anchor" if found["own_anchors"] or found["kept_beside"] else "no anchor given"
        yield "SOUND (%s: whoever holds the signing key could have made another log)" % lacks


def holdings(found: Dict[str, Any]) -> Iterator[str]:
    """What is in it."""
    yield "log %s: %s, the newest of %s" % (found["log"], counted(found["entries"], "ledger entry", "ledger entries"), told_moment(found["newest_entry"]))
    own = ", with that of this export" if found["query_recorded"] else ""
    yield "%s of %s%s, the newest of %s" % (counted(found["records"], "record"), counted(found["segments"], "segment"), own, told_moment(found["newest_record"]))
    yield "query: %s%s" % (shown_query(found["query"]), "" if found["query_recorded"] else " (only claimed, by MANIFEST.json)")
    for line in covered(found["coverage"], found["query_recorded"] and not found["problems"], found["bodies"]):
        yield line
    for lines in (
        told_sessions(found["sessions"]), told_recordings(found["recordings"]), told_grants(found["grants"]), told_disclosures(found["disclosures"]),
        told_masking(found["masking"]),
    ):
        for line in lines:
            yield line
    if found["anchored"]:
        yield "%s came after the newest checkpoint that you kept" % counted(found["unanchored_records"], "record")


def covered(coverage: List[Dict[str, Any]], recorded: bool, bodies: Dict[str, Any]) -> Iterator[str]:
    """How much of the log it has, and how many bodies are open. :param recorded: the log's own record says so, of a filter too."""
    for one in coverage:
        if one["segment"] is not None:
            yield "%d of %s of segment %d" % (one["here"], counted(one["of"], "record"), one["segment"])
        else:
            of = "%s%s" % ("at least " if one["at_least"] else "", counted(one["of"], "record"))
            rest = "exactly those that the log recorded as this query's; the rest was left out by the query, and is not proved here"
            yield "%d of %s: %s" % (one["here"], of, rest if recorded else "what was left out is not proved")
    expired = ", %d expired" % bodies["expired"] if bodies["expired"] else ""
    lost = ", %d lost or kept back with what the store had lost" % bodies["lost"] if bodies["lost"] else ""
    yield "bodies: %d opened of %d committed, %d withheld%s%s" % (bodies["opened"], bodies["committed"], len(bodies["withheld"]), expired, lost)
    for place in bodies["withheld"][:20]:
        yield "withheld: the body of %s %s" % (place["kind"], place["record"])
    if bodies["withheld"][20:]:
        yield "withheld: %d more" % len(bodies["withheld"][20:])
