"""
How a refusal tells the truth: the target gets something it must reject, the client our reason.

The target's own error path then does the rest: skip until Sync, rollback, savepoints and
the status in ReadyForQuery stay the server's. The poison is text that no grammar accepts, so it
needs no privilege, touches no name, and shows in the server's log with the command's number.
"""

from __future__ import annotations

import json
import re

from protocols.errors import PeerError
from protocols.postgres.codec import encode
from protocols.postgres.replies import error_fields
from protocols.spans import span
from protocols.verdict import Deny, Hold

_NAME = b"ostiary_refused\0"
"""A statement name in Parse; never stored, since its text is rejected before the name is looked at."""

_POISON = b"ostiary refused command %d\0"


class Poisoned(PeerError):
    """The target accepted what every PostgreSQL must reject. Nothing it says can be believed."""


_CODED = re.compile(r"\[(OST-\d{3})\]$")

_ENDED = {"OST-405": "57P05", "OST-650": "57P01", "OST-651": "57P01", "OST-652": "57P01"}
"""SQLSTATEs of sessions that are ended on purpose: PostgreSQL's own for idle_session_timeout, and for pg_terminate_backend and a shutdown."""

CHANGED = Deny(
    "what this prepared statement means has changed since it was prepared", code="OST-704", sqlstate="0A000",
    hint="prepare it again (DEALLOCATE ALL, or reconnect)",
)


def poison_query(number: int) -> bytes:
    """In a Query's or FunctionCall's place: answered by an error and ReadyForQuery."""
    return encode(b"Q", _POISON % number)


def poison_parse(number: int) -> bytes:
    """In the place of Parse or Bind: answered by an error, then all is skipped until Sync."""
    return encode(b"P", _NAME + _POISON % number + b"\0\0")


def denial(deny: Deny, number: int) -> dict[str, str]:
    """The error that a client gets: code and reason for people, JSON in DETAIL for agents."""
    facts = {"code": deny.code, "rule": deny.rule, "command": number, **dict(deny.facts)}
    detail = json.dumps({k: v for k, v in facts.items() if v != ""}, ensure_ascii=False)
    return error_fields(deny.sqlstate, f"{deny.reason} [{deny.code}]", detail=detail, hint=deny.hint)


def unrecorded(why: str) -> Deny:
    """A command whose record the notary refused or could not write."""
    return Deny(
        f"not recorded, so not sent: {why}", code="OST-801", sqlstate="58030",
        hint="nothing was changed; try again when the evidence store is back",
    )


def ungranted(why: str) -> Deny:
    """A command whose grant was good when it was decided, and was not when it was recorded."""
    return Deny(
        f"not sent: {why}", code="OST-308", sqlstate="42501",
        hint="another command used it meanwhile, or its time ended; send this again to have it decided anew, as without the grant",
    )


def ending(why: str) -> dict[str, str]:
    """The FATAL error of a session that the gateway ends; `why` may end in a code in brackets."""
    coded = _CODED.search(why)
    return error_fields(_ENDED.get(coded[1] if coded else "", "08006"), why, "FATAL")


def waiting(request: str, hold: Hold) -> dict[str, str]:
    """The NOTICE of a held command."""
    groups = ", ".join(sorted(hold.approvers))
    who = f"{hold.quorum} people in {groups} run" if hold.quorum > 1 else f"someone in {groups} runs"
    return error_fields(
        "00000", f"held for approval: {hold.reason} [OST-300]", "NOTICE",
        detail=json.dumps({"code": "OST-300", "rule": hold.rule, "request": request, "timeout": hold.timeout}),
        hint=f"{who}: ostiary request approve {request} --as NAME  (waits for {span(hold.timeout)} at most; Ctrl-C gives up)",
    )
