"""What a bundle's commands show masked, and what they may have read in the clear."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from gateway.evidence.verifier.holdings import Event
from gateway.evidence.verifier.meanings import COMMAND_BODY, FIELDS
from gateway.evidence.verifier.record import clean, counted

CLEAR = COMMAND_BODY.index("clear_columns")


def number(event: List[Any], name: str) -> int:
    """A count that a record has in clear."""
    place = 6 + FIELDS[event[0]].index(name)
    return event[place] if len(event) > place else 0


def clear_columns(event: List[Any], body: Optional[List[Any]]) -> List[str]:
    """Of an intent: the declared columns that it may have read as they are."""
    return body[CLEAR] if event[0] == 20 and body and len(body) > CLEAR else []


def outcomes_unknown(events: Sequence[Event], keys: Sequence[List[int]]) -> int:
    """
    How many commands may have shown masks that no record here counts: what they answered was never known (the gateway, or its worker, was gone),
    or its record is not here. :param keys: whose record each is, [worker, sequence], as outcomes refer to intents.
    """
    told = {tuple(event[5]) for event, _ in events if event[0] == 21 and event[5] and event[7] != "unknown"}
    intents = {tuple(key): event for key, (event, _) in zip(keys, events) if event[0] == 20}
    lost = {tuple(event[5]) for event, _ in events if event[0] == 21 and event[5] and event[7] == "unknown"} - set(intents)
    return len(lost - told) + sum(number(event, "masked_columns") > 0 for key, event in intents.items() if key not in told)


def masking_of(events: Sequence[Event], keys: Sequence[List[int]] = ()) -> Optional[Dict[str, Any]]:
    """
    Cells that show masks, in how many commands, and in how many more nobody could count them, or their outcome is not known; columns in the
    clear, in how many commands, and how many commands are not opened here, so that it is not known of them. None where no record
    tells of masking.
    """
    outcomes = [(number(event, "cells_masked"), (body or [])[3:4]) for event, body in events if event[0] == 21]
    unknown = [cells for cells, facts in outcomes if facts and (facts[0] or {}).get("cells_rewritten") == "unknown"]
    masked = [cells for cells, _ in outcomes if cells]
    clear = [columns for columns in (clear_columns(event, body) for event, body in events) if columns]
    if not (masked or unknown or clear or any(event[0] == 20 and number(event, "masked_columns") for event, _ in events)):
        return None
    return {
        "cells": sum(masked), "commands": len(masked), "uncounted": len(unknown), "outcomes_unknown": outcomes_unknown(events, keys),
        "clear_commands": len(clear),
        "clear_columns": sorted({column for columns in clear for column in columns}),
        "unopened": sum(event[0] == 20 and body is None for event, body in events),
    }


def told_masking(found: Optional[Dict[str, Any]]) -> Iterator[str]:
    if found is None:
        return
    told = ["%s in %s" % (counted(found["cells"], "cell"), counted(found["commands"], "command"))]
    if found["uncounted"]:
        told.append("in %s nobody could count all" % counted(found["uncounted"], "command"))
    if found["outcomes_unknown"]:
        told.append("and of %s that read masked columns the outcome is not known here, so that its cells are not among them" % (
            counted(found["outcomes_unknown"], "command")))
    names = found["clear_columns"]
    more = " and %d more" % len(names[5:]) if names[5:] else ""
    listed = "%s%s, in %s" % (", ".join(names[:5]), more, counted(found["clear_commands"], "command")) if names else "none"
    closed = " (of %s not opened here that is not known)" % counted(found["unopened"], "command") if found["unopened"] else ""
    yield "masking: %s; columns in the clear: %s%s" % ("; ".join(told), clean(listed), closed)


def disclosures_of(events: Sequence[Event]) -> List[Dict[str, Any]]:
    """For each identity and declared column: how many of its commands may have read it in the clear."""
    found: Dict[Tuple[str, str], int] = {}
    for event, body in events:
        for column in clear_columns(event, body):
            if not column.endswith("*"):  # beside what is named because nobody could tell
                found[body[0], column] = found.get((body[0], column), 0) + 1
    return [{"identity": who, "column": column, "commands": count} for (who, column), count in sorted(found.items())]


def told_disclosures(disclosed: Sequence[Dict[str, Any]]) -> Iterator[str]:
    for one in disclosed:
        yield "%s may have read %s in the clear, in %s" % (clean(one["identity"]), clean(one["column"]), counted(one["commands"], "command"))
