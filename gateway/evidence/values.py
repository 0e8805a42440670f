"""
A recorded parameter as a person reads it: its type's name and its value, decoded where the bytes alone tell it.

JSON keeps the bytes. Source: PostgreSQL 18, src/backend/utils/adt, the types' send functions.
"""

from __future__ import annotations

import datetime
import json
import uuid
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from struct import Struct, error
from typing import Any

from gateway.evidence import hosts
from gateway.evidence.readable import moment

_EPOCH = datetime.datetime(2000, 1, 1)


def _number(form: str) -> Callable[[bytes], str]:
    struct = Struct(form)
    return lambda raw: str(struct.unpack(raw)[0])


def _flag(raw: bytes) -> str:
    return {b"\0": "false", b"\1": "true"}[raw]


def _date(raw: bytes) -> str:
    return (_EPOCH.date() + datetime.timedelta(days=Struct("!i").unpack(raw)[0])).isoformat()


def _moment(raw: bytes) -> str:
    return (_EPOCH + datetime.timedelta(microseconds=Struct("!q").unpack(raw)[0])).isoformat(" ")


def _zoned(raw: bytes) -> str:
    return f"{_moment(raw)}Z"


def _text(raw: bytes) -> str:
    return raw.decode()


def _bytes(raw: bytes) -> str:
    return f"\\x{raw.hex()}"


TYPES: dict[int, tuple[str, Callable[[bytes], str]]] = {
    16: ("bool", _flag), 17: ("bytea", _bytes), 18: ("char", _text), 19: ("name", _text), 20: ("int8", _number("!q")), 21: ("int2", _number("!h")),
    23: ("int4", _number("!i")), 25: ("text", _text), 26: ("oid", _number("!I")), 114: ("json", _text), 700: ("float4", _number("!f")),
    701: ("float8", _number("!d")), 1042: ("bpchar", _text), 1043: ("varchar", _text), 1082: ("date", _date), 1114: ("timestamp", _moment),
    1184: ("timestamptz", _zoned), 2950: ("uuid", lambda raw: str(uuid.UUID(bytes=raw))),
}  # fmt: skip
"""OID: its name, and how its binary form reads."""


def parameter(recorded: Sequence[Any]) -> str:
    """
    :param recorded: type's OID (0: not said, and names of files), format (0 text, 1 binary), value as JSON shows it; of a long
        one its length and SHA-256 behind that.
    """
    oid, form, value, *long = recorded
    name, decode = TYPES.get(oid, (f"type {oid}" if oid else "", _text))
    if long:
        said = f"{long[0]} bytes, SHA-256 {_raw(long[1]).hex()}"
    elif value is None:
        said = "NULL"
    else:
        said = _read(_raw(value), decode if form == 1 else _text)
    return f"{name}: {said}" if name else said


def _raw(value: Any) -> bytes:
    return b64decode(value["base64"]) if isinstance(value, dict) else str(value).encode()


def _read(raw: bytes, decode: Callable[[bytes], str]) -> str:
    """What it reads as; its bytes where it is not what its type says."""
    try:
        return decode(raw)
    except (UnicodeDecodeError, KeyError, ValueError, OverflowError, error):
        return _bytes(raw)


_TRANSACTION = {"I": "none", "T": "open", "E": "failed"}
"""What PostgreSQL says of it behind a command (PostgreSQL 18 manual, 54.7, ReadyForQuery)."""

_EVENTS = {
    "o": "output", "e": "standard error", "i": "typed", "r": "size", "t": "terminal", "h": "typed, not recorded", "n": "the gateway says",
}  # fmt: skip
"""Of a recording, by `protocols.recording.Code`."""

_NOTHING: tuple[Any, ...] = ("", None, [], {}, {"base64": ""})


def fields(part: Mapping[str, Any], path: str = "", taken: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """
    Names and what they hold, a line each, of what is not empty: parameters, facts and events one by one, and times as times.

    :param path: of a command at a host, whose parameters have names of their own.
    :param taken: names that stand above; a fact of the same name is told from them.
    """
    for name, value in part.items():
        if name == "parameters":
            for number, one in enumerate(value, 1):
                said = parameter(one)
                yield hosts.given(path, one, said) if path else f"${number}", said
        elif name == "facts":
            above = {*taken, *part}
            yield from ((f"{fact} (fact)" if fact in above else fact, said) for fact, said in fields(value))
        elif name == "events" and isinstance(value, list):
            yield from ((f"{when / 1e6:.6f} s", f"{_EVENTS.get(code, code)}: {_said(data)}") for when, code, data in value)
        elif name == "expires_ns":
            yield "expires", moment(value)
        elif value not in _NOTHING and not (name == "function_oid" and not value):
            yield name, _told(name, value)


def _told(name: str, value: Any) -> str:
    """One value in words, without the forms that it is stored in."""
    if name == "ref":
        worker, sequence = value
        return f"worker {worker}, sequence {sequence}"
    if name == "transaction":
        return _TRANSACTION.get(value, str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return _said(value)


def _said(value: Any) -> str:
    plain = _hexadecimal(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def _hexadecimal(value: Any) -> Any:
    """The same with bytes as digests are written."""
    if isinstance(value, dict):
        return _raw(value).hex() if set(value) == {"base64"} else {name: _hexadecimal(inside) for name, inside in value.items()}
    return [_hexadecimal(inside) for inside in value] if isinstance(value, list) else value
