"""
What a request holds, how it is checked as it arrives, and how it is shown to people.

    pending --enough yes--> granting --notary has it--> granted --> released
       \\--no--> denied   \\--nobody waits--> withdrawn   \\--too late--> expired

`granting` is stored before the notary is asked and `released` before a worker is told,
so a crash at any place forgets neither an answer nor that it was used.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.control.errors import BadCall
from gateway.evidence.hosts import given

Value = dict[str, Any]

OPEN = frozenset({"pending", "granting", "granted"})
SPENT = "spent"

TEXT_LIMIT = 1 << 20  # characters; the relay refuses longer statements before they come here
BINDING = 32  # bytes, a SHA-256
TIMEOUT_LIMIT = 7 * 86400.0  # seconds; a question nobody answered in a week is not waited for
SHOWN_VALUE = 200  # characters of a parameter in a listing

_BEFORE = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*(?:(?!/\*|\*/).)*\*/)*", re.DOTALL)
"""Spaces and comments at the start; a block comment with another inside is left, and then does not match."""

_BLANKS, _LINES = re.compile(r"[ \t]+"), re.compile(r"[ \t]*\n[ \t\n]*")

_FIELDS: Mapping[str, tuple[type, ...]] = {
    "session": (str,), "subject": (str,), "target": (str,), "account": (str,), "database": (str,), "peer": (str,),
    "rule": (str,), "why": (str,), "mode": (str,), "text": (str,), "sent": (str,), "parameters": (list, tuple),
    "approvers": (list, tuple), "quorum": (int,), "timeout": (int, float), "lifetime": (int, float),
    "binding": (bytes,),
}


def new_id() -> str:
    """Short enough to read out; nothing depends on nobody guessing it."""
    return f"r-{secrets.token_hex(5)}"


def new_grant() -> str:
    """Whoever spends a grant must have been told its name, so this one is not guessable."""
    return f"g-{secrets.token_hex(16)}"


def read(submitted: Mapping[str, Any]) -> Value:
    """
    A worker's request, checked.

    :raises BadCall: a field is missing or impossible.
    """
    value: Value = {}
    for name, kinds in _FIELDS.items():
        given = submitted.get(name)
        if not isinstance(given, kinds) or isinstance(given, bool):
            raise BadCall(f"request.{name} is missing or of the wrong type")
        value[name] = list(given) if isinstance(given, tuple) else given
    value["floor"] = str(submitted.get("floor", ""))  # the role that the session has at the target, where it is on a floor
    value["named"] = _pairs(submitted.get("named"))
    value["path"] = str(submitted.get("path", ""))  # of a host's command, by which its parameters have names
    if value["mode"] not in ("hold", "retry") or len(value["binding"]) != BINDING:
        raise BadCall("request.mode must be hold or retry, request.binding 32 bytes")
    if len(value["text"]) > TEXT_LIMIT or len(value["sent"]) > 2 * TEXT_LIMIT:
        raise BadCall("request.text is too long to be shown to anybody")
    if not (value["quorum"] >= 1 and 0 < value["timeout"] <= TIMEOUT_LIMIT and 0 < value["lifetime"] <= TIMEOUT_LIMIT):
        raise BadCall("request.quorum, timeout or lifetime is out of range")
    if not value["approvers"] or not all(isinstance(group, str) for group in value["approvers"]):
        raise BadCall("request.approvers must name groups")
    return value


def _pairs(given: Any) -> list[list[Any]] | None:
    """Names that it runs by, each with the `trace` of a text that gave it; None: not known, so nothing that was asked for ahead."""
    if not isinstance(given, (list, tuple)):
        return None
    pairs = [list(one) for one in given if isinstance(one, (list, tuple)) and len(one) == 2 and isinstance(one[0], str) and isinstance(one[1], bytes)]
    return pairs if len(pairs) == len(given) else None


def answer(record: Value) -> Value:
    """What a worker is told: the state, and with "granted" the grant."""
    released = record["state"] == "released"
    deciding = [a for a in record["answers"] if a["yes"] is released]
    return {
        "request": record["id"], "state": "granted" if released else record["state"],
        "grant": record["grant"] if released else "",
        "by": ", ".join(a["who"] for a in deciding), "reason": record["reason"],
    }


def state(record: Value) -> str:
    """For people: what was granted and has no use left is spent, although it is kept until its time ends."""
    uses = record.get("uses", 1)
    return SPENT if record["state"] == "granted" and 0 < uses <= record.get("used", 0) else record["state"]


def shown(record: Value) -> Value:
    """Who, where, what and why, for JSON and for people. Parameters as text or as hex; a host's command has names for them."""
    keys = (
        "id", "state", "mode", "subject", "kind", "on_behalf_of", "target", "account", "database", "session", "peer",
        "rule", "why", "sent", "approvers", "quorum", "created", "expires", "lifetime", "answers", "reason",
    )
    return {key: record[key] for key in keys} | {
        "state": state(record), "text": record["text"], "statements": record["statements"], "next": record["next"],
        "floor": record.get("floor", ""), "columns": record.get("columns", []), "uses": record.get("uses", 1), "used": record.get("used", 0),
        "parameters": [_named(record.get("path", ""), one) | _parameter(*one) for one in record["parameters"]], "binding": record["binding"].hex() if any(record["binding"]) else None,
    }


def summary(record: Value) -> Value:
    """One of a list. Where a line of its text ends stays: behind it stands another command, and what follows `--` or `#` runs."""
    keys = ("id", "state", "mode", "subject", "target", "rule", "created", "expires")
    text = _BLANKS.sub(" ", _LINES.sub("\n", record["text"].strip(" \t\r\n")))
    return {key: record[key] for key in keys} | {
        "state": state(record), "text": text if len(text) <= SHOWN_VALUE else text[:SHOWN_VALUE] + "…",
        "yes": sum(a["yes"] for a in record["answers"]), "quorum": record["quorum"],
    }


def same_text(one: str, other: str) -> bool:
    """
    Whether two statements are the same but for comments before them and what ends them.

    Clients differ about sending those: psql from 15 on sends comments, others send no semicolon.
    """
    return _trimmed(one) == _trimmed(other) != ""


def trace(text: str) -> bytes:
    """32 bytes that are the same for the same text, as above."""
    return hashlib.sha256(_trimmed(text).encode("utf-8", "surrogatepass")).digest()


def _trimmed(text: str) -> str:
    return _BEFORE.sub("", text, count=1).rstrip().rstrip(";").rstrip()


def _named(path: str, parameter: Sequence[Any]) -> Value:
    said = parameter[2].decode("utf-8", "replace") if parameter[2] is not None else ""
    return {"name": given(path, parameter, said)} if path else {}


def _parameter(type_oid: int, form: int, value: bytes | None, length: int | None = None, sha256: bytes = b"") -> Value:
    if length is not None:
        return {"type": type_oid, "length": length, "sha256": sha256.hex()}
    if value is None:
        return {"type": type_oid, "value": None}
    try:
        text = value.decode() if form == 0 else None
    except UnicodeDecodeError:
        text = None
    return {"type": type_oid, "value": text} if text is not None else {"type": type_oid, "hex": value.hex()}
