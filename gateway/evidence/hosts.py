"""
What was done at a host, in SSH's own words: how a command ended, what it was given, which names of files it had.

The evidence has one form for all protocols, and its JSON is the same for all. Here it is told to people.

Source of the codes: draft-ietf-secsh-filexfer-02, 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROTOCOL = "ssh"

_STATUS = {
    "0": "done", "1": "end of file", "2": "no such file", "3": "permission denied", "4": "failed", "5": "bad message", "8": "not supported there",
}

_AMOUNTS = (
    ("sent_bytes", "in"), ("received_bytes", "out"), ("stderr_bytes", "on standard error"), ("read_bytes", "read"), ("written_bytes", "written"),
)
"""Facts, and how they are told behind a number of bytes."""

_ELSEWHERE = frozenset({
    "rows", "cells_masked", "copied_bytes", "copied_sha256", "transaction", "sqlstate", "tags", "columns", "parameter_count",
    "masked_columns", "function_oid", "rewritten", "sent", "clear_columns", "executes", "database",
})  # fmt: skip
"""Fields that only databases have anything in; they are told where there is something all the same."""

_NOTHING: tuple[Any, ...] = ("", None, [], {}, 0, "I", {"base64": ""})


def ended(fields: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    """What came of a command."""
    told = [_ending(fields, facts)]
    told += [f"{facts[name]} {'byte' if facts[name] == '1' else 'bytes'} {way}" for name, way in _AMOUNTS if facts.get(name, "0") != "0"]
    if facts.get("write") == "failed":
        told.append("a write failed")
    return f"{', '.join(told)}, {fields['micros'] / 1000:.1f} ms"


def _ending(fields: Mapping[str, Any], facts: Mapping[str, str]) -> str:
    if "exit" in facts:
        return f"exit {facts['exit']}"
    if "signal" in facts:
        return f"ended by signal {facts['signal']}"
    if "status" in facts:
        return _STATUS.get(facts["status"], f"SFTP status {facts['status']}")
    if "cut" in facts:
        return f"ended by the gateway: {facts['cut']}"
    return {"complete": "done", "unknown": "end unknown", "refused": "did not run"}.get(fields["ending"], str(fields["ending"]))


def left(why: str) -> str:
    """Why a session ended. A client that is done just leaves."""
    return "the client left" if why == "client gone" else why


def parts(fields: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A record's own fields and its body, as far as they say something about a host; facts stand by themselves."""
    own, told = ({name: value for name, value in part.items() if name not in _empty(part)} for part in (fields, body))
    if told:
        own.pop("parameter_count", None)  # they are told one by one
    told.update(told.pop("facts", None) or {})
    if "why" in told:
        told["why"] = left(told["why"])
    return own, told


def _empty(part: Mapping[str, Any]) -> set[str]:
    """Names of fields that a host has nothing in."""
    return {name for name, value in part.items() if value in _NOTHING and (name in _ELSEWHERE or name == "binding")}


def given(path: str, recorded: Sequence[Any], said: str) -> str:
    """What one of a command's parameters is called: a file's name, a line's exact bytes, a terminal, a variable."""
    if path == "file":
        return "path"
    return "exact bytes" if recorded[1] == 1 else "terminal" if said == "on a terminal" else "variable"
