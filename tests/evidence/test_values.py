"""Parameters as people read them: by their type where that is known, and never a guess."""

from __future__ import annotations

import struct
import uuid
from base64 import b64encode
from typing import Any

import pytest

from gateway.evidence.values import fields, parameter

SOME = uuid.UUID("0190a0b0-0000-7000-8000-000000000001")


def raw(data: bytes) -> dict[str, str]:
    """As JSON shows bytes."""
    return {"base64": b64encode(data).decode()}


READ: dict[str, tuple[list[Any], str]] = {
    "int2": ([21, 1, raw(struct.pack("!h", -7))], "int2: -7"),
    "int4": ([23, 1, raw(struct.pack("!i", 70000))], "int4: 70000"),
    "int8": ([20, 1, raw(struct.pack("!q", 1 << 40))], "int8: 1099511627776"),
    "bool": ([16, 1, raw(b"\1")], "bool: true"),
    "float8": ([701, 1, raw(struct.pack("!d", 0.5))], "float8: 0.5"),
    "date": ([1082, 1, raw(struct.pack("!i", 9831))], "date: 2026-12-01"),
    "timestamptz": ([1184, 1, raw(struct.pack("!q", 86_400_000_000))], "timestamptz: 2000-01-02 00:00:00Z"),
    "uuid": ([2950, 1, raw(SOME.bytes)], f"uuid: {SOME}"),
    "text in binary": ([25, 1, raw("grün".encode())], "text: grün"),
    "bytea": ([17, 1, raw(b"\xff\0")], r"bytea: \xff00"),
    "text format": ([23, 0, "12"], "int4: 12"),
    "a name of a file": ([0, 1, raw("/home/ada/Größe.txt".encode())], "/home/ada/Größe.txt"),
    "a name that is no UTF-8": ([0, 1, raw(b"/tmp/\xff")], r"\x2f746d702fff"),
    "not as long as its type": ([21, 1, raw(b"\1")], r"int2: \x01"),
    "no such truth": ([16, 1, raw(b"\7")], r"bool: \x07"),
    "a date past the calendar": ([1082, 1, raw(struct.pack("!i", 2**31 - 1))], r"date: \x7fffffff"),
    "a type of somebody's own": ([50000, 1, raw(b"\0\1")], "type 50000: \0\1"),
    "NULL": ([25, 0, None], "text: NULL"),
    "a long one": ([17, 1, None, 5000, raw(b"\xab\xcd")], "bytea: 5000 bytes, SHA-256 abcd"),
}


@pytest.mark.parametrize("name", READ)
def test_a_parameter_reads_as_its_type_says_and_else_as_its_bytes(name: str) -> None:
    recorded, told = READ[name]
    assert parameter(recorded) == told


def test_what_is_shown_names_each_parameter_and_times_as_times() -> None:
    shown = {"text": "SELECT $1", "sent": "", "parameters": [[21, 1, raw(b"\0\5")], [25, 0, "x"]], "expires_ns": 0, "uses": 1}
    assert dict(fields(shown)) == {
        "text": "SELECT $1", "$1": "int2: 5", "$2": "text: x", "expires": "1970-01-01T00:00:00.000000000Z", "uses": "1",
    }  # fmt: skip


def test_nothing_is_shown_as_it_is_stored() -> None:
    """Bytes as digests are written, facts and events by themselves; a fact is told from a field of its name."""
    shown = {
        "ref": [3, 2], "transaction": "T", "rewritten": True, "columns": ["p.a", "p.b"], "copied_sha256": raw(b""), "sha256": raw(b"\xab\xcd"),
        "function_oid": 0, "rows": [["g-1", raw(b"\1")]], "facts": {"tls": "off", "protocol": "3.0", "approvers": ["a", "b"]},
        "events": [[419, "t", "xterm"], [2_000_001, "o", raw(b"\xff")]],
    }  # fmt: skip
    assert list(fields(shown, taken=("protocol",))) == [
        ("ref", "worker 3, sequence 2"), ("transaction", "open"), ("rewritten", "yes"), ("columns", "p.a, p.b"), ("sha256", "abcd"),
        ("rows", '[["g-1", "01"]]'), ("tls", "off"), ("protocol (fact)", "3.0"), ("approvers", "a, b"),
        ("0.000419 s", "terminal: xterm"), ("2.000001 s", "output: ff"),
    ]  # fmt: skip
