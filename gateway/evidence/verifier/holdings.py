"""What a bundle holds of each session and recording, and who approved what."""

from __future__ import annotations

import uuid
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from gateway.evidence.verifier.record import clean, counted, moment, told_moment

Event = Tuple[List[Any], Optional[List[Any]]]
WITH_WHO = (20, 22, 23)
"""Kinds whose bodies begin with who, and for whom."""
NOBODY = "somebody whose name is not opened here"
FILTERED = "left out by the query, as the log recorded"
CLAIMED = "the query, which is only claimed, may have left that out"
LOST = "the query may have left that out, or it was lost with what the store had lost"
"""Why a bundle has only a part of a session, where it was asked for less."""


def sessions_of(events: Sequence[Event], filtered: str = "", places: Sequence[Dict[str, Any]] = ()) -> List[Dict[str, Any]]:
    """
    Each session: whether its numbers run from its opening to its close without a gap, whose it was, what it was shown.

    :param filtered: why a part of it is not here, where a query chose these records, and not whole sessions. :param places: of each record.
    """
    sessions: Dict[bytes, Dict[str, Any]] = {}
    for at, (event, body) in enumerate(events):
        if not event[1]:
            continue
        kept = sessions.setdefault(event[1], {
            "session": str(uuid.UUID(bytes=event[1])), "identity": "", "on_behalf_of": "", "floor": "", "disclosed": [],
            "numbers": set(), "closed": None, "twice": set(),
        })
        if event[0] == 10 and body:
            kept.update(identity=body[0], on_behalf_of=body[1] or "", floor=(body[9] or {}).get("floor") or "")
        elif event[0] in WITH_WHO and body and not kept["identity"]:  # its opening is not here
            kept.update(identity=body[0], on_behalf_of=body[1] or "")
        if event[0] == 30 and event[6] == "disclosure.revealed" and body:
            place = places[at] if places else {}
            kept["disclosed"].append({
                "columns": body[0].get("columns", "?"), "request": body[0].get("request", "?"), "time": moment(place.get("time", 0)),
                "record": "%s/%s" % (place.get("segment", "?"), place.get("index", "?")),
            })
        elif event[0] == 30 and event[6] == "disclosure.withheld" and body:  # it was announced, and the command did not run
            said = body[0].get("columns", "?"), body[0].get("request", "?")
            announced = [one for one in kept["disclosed"] if (one["columns"], one["request"]) == said]
            if announced:
                kept["disclosed"].remove(announced[-1])
        if event[2] or event[0] == 10:  # the notary's own records of a session have no number
            kept["twice" if event[2] in kept["numbers"] else "numbers"].add(event[2])
        if event[0] == 11:
            kept["closed"] = event[2]
        elif event[0] == 10:  # also of one that was taken for lost, and was not
            kept["closed"] = None
    return [judged(kept, filtered) for kept in sessions.values()]


def judged(session: Dict[str, Any], filtered: str) -> Dict[str, Any]:
    numbers, closed, twice = session.pop("numbers"), session.pop("closed"), sorted(session.pop("twice"))
    state, told = run_of(numbers, closed, filtered)
    again = "; MORE THAN ONE record %s" % ", ".join(map(str, twice[:10])) if twice else ""
    return dict(session, records=len(numbers), state=state, told=told + again, twice=twice)


def odd_sessions(sessions: Sequence[Dict[str, Any]], whole: bool) -> Iterator[str]:
    """
    What a gateway that works does not record: a session's number given to two records, or to none. These are in the log as they were recorded, so
    it is nobody's tampering with the log; a worker that was taken over leaves out what it wants. :param whole: every record of the log is here.
    """
    for one in sessions:
        if one["twice"]:
            yield "session %s: more than one record has the number %s, and so it was recorded" % (one["session"], ", ".join(map(str, one["twice"][:10])))
        if whole and one["state"] == "incomplete":
            yield "session %s: %s; all of the log is here, so it was never recorded" % (one["session"], one["told"])


def told_sessions(sessions: Sequence[Dict[str, Any]]) -> Iterator[str]:
    for one in sessions:
        agent = " for %s" % clean(one["on_behalf_of"]) if one["on_behalf_of"] else ""
        yield "session %s%s: %s" % (one["session"], " of %s%s" % (clean(one["identity"]), agent) if one["identity"] else "", one["told"])
        if one["floor"]:
            yield "  the floor in force: %s" % clean(one["floor"])
        for shown in one["disclosed"]:
            yield "  DISCLOSED %s under %s, at %s (record %s)" % (
                clean(shown["columns"]), clean(shown["request"]), told_moment(shown["time"]), shown["record"])


def session_gaps(events: Sequence[Event], wanted: str, closed: bool) -> Iterator[str]:
    """What is missing of the session that was asked for; :param closed: its close must be here too."""
    numbers, last = set(), None
    for event, _ in events:
        if event[1] and str(uuid.UUID(bytes=event[1])) == wanted and (event[2] or event[0] in (10, 11)):
            numbers |= {event[2]} if event[2] or event[0] == 10 else set()
            last = event[2] if event[0] == 11 else None if event[0] == 10 else last
    state, told = run_of(numbers, last) if numbers else ("incomplete", "none of its records is in this bundle")
    if state == "incomplete" or (state == "open" and closed):
        yield "session %s: %s" % (clean(wanted), told)
    approved = {event[6] for event, _ in events if event[0] == 40}
    for grant in sorted({event[9] for event, _ in events if event[0] == 20 and event[9]} - approved):
        yield "grant %s, which the session spent, is not in this bundle" % clean(grant)


def run_of(numbers: Any, closed: Optional[int], filtered: str = "") -> Tuple[str, str]:
    """Of a session's record numbers: "complete", "incomplete", "filtered", "open" or "abandoned"; and the same for people."""
    last = max(numbers | {closed or 0})
    missing = [number for number in range(min(last + 1, len(numbers) + 10)) if number not in numbers]
    if missing:
        more = " and more" if last + 1 - len(numbers) > len(missing[:10]) else ""
        if filtered == FILTERED:
            return "filtered", "%s of it; the others up to %d were %s" % (counted(len(numbers), "record"), last, FILTERED)
        why = "; %s" % filtered if filtered else ""
        return "incomplete", "INCOMPLETE, without record %s of 0..%d%s%s" % (", ".join(map(str, missing[:10])), last, more, why)
    if closed:
        return "complete", "complete, records 0..%d, opened to closed" % last
    if closed == 0:
        return "abandoned", "records 0..%d without a gap, closed by the notary: its worker was gone" % last
    if filtered == FILTERED:
        return "filtered", "records 0..%d without a gap; its end, if it had ended by then, was %s" % (last, FILTERED)
    return "open", "records 0..%d without a gap, but no close: it went on, or the rest is not in this bundle" % last


def recordings_of(recordings: Dict[Tuple[bytes, int], Dict[str, Any]], filtered: str = "") -> List[Dict[str, Any]]:
    """Each recording: whether all of its chunks are here; `of` is None where its end is not here. `filtered`: as of sessions."""
    found = []
    for (session, number), kept in recordings.items():
        chunks, ended = set(kept["chunks"]), kept["ended"]
        count = ended if ended is not None else max(chunks, default=-1) + 1
        missing = [chunk for chunk in range(min(count, len(chunks) + 10)) if chunk not in chunks]
        lacking = "filtered" if filtered == FILTERED else "incomplete"
        state = lacking if missing else "open" if ended is None else "complete"
        found.append({
            "session": str(uuid.UUID(bytes=session)), "recording": number, "state": state, "chunks": len(chunks), "of": ended,
            "missing": missing[:10], "until": count, "why": filtered,
        })
    return found


def told_recordings(recordings: Sequence[Dict[str, Any]]) -> Iterator[str]:
    for one in recordings:
        told = {
            "incomplete": "INCOMPLETE, without chunk %s of %d%s" % (
                ", ".join(map(str, one["missing"])), one["until"], "; %s" % one["why"] if one["why"] else ""),
            "filtered": "%s of it; the others up to %d were %s" % (counted(one["chunks"], "chunk"), one["until"] - 1, FILTERED),
            "open": "%s without a gap, but no end: it went on, was cut short, or the rest is not in this bundle" % counted(one["until"], "chunk"),
            "complete": "complete, %s" % counted(one["until"], "chunk"),
        }[one["state"]]
        yield "recording %d of session %s: %s" % (one["recording"], one["session"], told)


def grants_of(events: Sequence[Event]) -> List[Dict[str, Any]]:
    """
    Each grant that a command spent: who asked and who approved it, and whether it was for that command. Names that are not
    opened here are None; so is `distinct`, whether these are different people, where it cannot be known.
    """
    approvals = {event[6]: (event, body) for event, body in events if event[0] == 40}
    spent: Dict[str, List[Any]] = {}
    asked: Dict[str, List[str]] = {}
    for event, body in events:
        if event[0] == 20 and event[9]:
            spent.setdefault(event[9], []).append(event[11])
            asked.setdefault(event[9], [name for name in (body or [])[:2] if name])
    found = []
    for grant, bindings in spent.items():
        event, body = approvals.get(grant, (None, None))
        by = str(body[0].get("approvers") or "").split(", ") if body and body[0].get("approvers") else None
        askers = asked[grant] or None
        found.append({
            "grant": grant, "approval": event is not None, "request": event[10] if event is not None else None, "spent": len(bindings),
            "asked_by": askers, "approved_by": by, "distinct": None if by is None or askers is None else not set(by) & set(askers),
            "other_command": event is not None and any(binding != event[7] for binding in bindings),
        })
    return found


def told_grants(grants: Sequence[Dict[str, Any]]) -> Iterator[str]:
    for one in grants:
        if not one["approval"]:
            yield "grant %s is not in this bundle: who approved it is not proved here" % clean(one["grant"])
            continue
        distinct = {None: "not known", True: "yes", False: "NO"}[one["distinct"]]
        asked, approved = " for ".join(one["asked_by"] or [NOBODY]), ", ".join(one["approved_by"] or [NOBODY])
        yield "grant %s of request %s, spent %s: asked by %s; approved by %s; distinct: %s%s" % (
            clean(one["grant"]), clean(one["request"]), counted(one["spent"], "time"), clean(asked), clean(approved), distinct,
            ", but FOR ANOTHER COMMAND" if one["other_command"] else "")
