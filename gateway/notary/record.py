"""
What one record is, byte by byte: a stamp by the notary and an event by whoever saw it.

    leaf  = 0x92 || msgpack(stamp) || event bytes, exactly as the worker packed them
    stamp = [version, segment, index, time_ns, boot_ns, worker, sequence, body hash|nil, body commitment|nil, terms]
    event = [kind, session id (16 bytes or none), number in session, target, verdict, ref|nil, fields of the kind…]

The leaf is what is hashed into the tree, and is in clear: opaque ids, target, verdict, counts.
What could hold health data or a person's name is the *body*, a msgpack array that is
encrypted beside the leaf (`gateway.notary.body`). Fields have fixed positions, so
nothing is sorted and nothing is re-encoded: the stored bytes are the evidence. A later
version may add fields at the end; readers ignore what they have no name for.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgpack

VERSION = 1
LEAF_LIMIT = 4096
"""Bytes. Leaves stay small, so that all of them can be shipped to prove completeness."""
NAME_LIMIT = 128
"""Characters of a target's, rule's, grant's or request's name in a leaf."""
_ARRAY_OF_TWO = b"\x92"


class Kind(enum.IntEnum):
    """What a record tells."""

    HEADER = 1  #: first of a segment: whose it is and what came before
    CARRY = 2  #: what was open when the segment began (grants, intents, sessions)
    OPENED = 10
    CLOSED = 11
    INTENT = 20  #: a command is about to be forwarded
    OUTCOME = 21  #: what came of it; `ref` is [worker, sequence] of the intent
    REFUSAL = 22  #: a command was denied
    UNGRANTED = 23  #: an intent was not recorded as one: its grant is unknown, expired, mismatched or spent
    CHUNK = 24  #: part of a recording: what a terminal showed, what was typed
    RECORDED = 25  #: a recording ended
    NOTE = 30
    APPROVAL = 40  #: a grant, bound to what was asked
    WORKER = 60  #: a worker joined or left
    NOTARY = 61  #: the notary started, stopped, recovered
    CLOCK = 62  #: the wall clock moved against the monotonic one
    ADMIN = 70  #: evidence was viewed, exported, expired


WORKER_KINDS = frozenset(
    {Kind.OPENED, Kind.CLOSED, Kind.INTENT, Kind.OUTCOME, Kind.REFUSAL, Kind.CHUNK, Kind.RECORDED, Kind.NOTE}
)
"""What a worker may send; the rest is the notary's own word."""

RESUMED = "resumed"
"""A fact of a session's further OPENED: it had been taken for lost with its worker, wrongly, and goes on."""

VERDICTS = ("", "allow", "deny")

COMMON = ("kind", "session", "number_in_session", "target", "verdict", "ref")

FIELDS: dict[int, tuple[str, ...]] = {
    Kind.HEADER: (
        "origin", "stream", "segment", "previous_root", "ledger_size", "ledger_root", "public_key", "boot_id",
        "next_worker",
    ),
    Kind.CARRY: ("what", "rows"),
    Kind.OPENED: ("protocol", "policy_revision"),
    Kind.CLOSED: ("commands",),
    Kind.INTENT: (
        "command", "path", "rule", "grant", "request", "binding", "rewritten", "parameter_count",
        "masked_columns", "policy_revision",
    ),
    Kind.OUTCOME: (
        "command", "ending", "sqlstate", "rows", "bytes", "cells_masked", "copied_bytes", "micros", "transaction",
    ),
    Kind.REFUSAL: ("command", "path", "rule", "code", "request", "addon", "policy_revision"),
    Kind.UNGRANTED: ("command", "grant", "why"),
    Kind.CHUNK: ("recording", "chunk", "channel", "command", "offset_us", "events", "bytes"),
    Kind.RECORDED: ("recording", "channel", "command", "chunks", "output_bytes", "input_bytes", "micros"),
    Kind.NOTE: ("what",),
    Kind.APPROVAL: ("grant", "binding", "expires_ns", "uses", "request"),
    Kind.WORKER: ("what", "worker_number", "role", "pid", "uid"),
    Kind.NOTARY: ("what", "why"),
    Kind.CLOCK: ("step_ns",),
    Kind.ADMIN: ("what", "pid", "uid"),
}

_LEAST = {int(kind): len(COMMON) + len(names) for kind, names in FIELDS.items()}
_NEVER = 1 << 32  # fields of a kind that is unknown; msgpack has no longer array

_WHO = ("identity", "on_behalf_of", "account", "database", "peer")

BODY_FIELDS: dict[int, tuple[str, ...]] = {  # the last may be left out: a later version's, or what is not there
    Kind.OPENED: (*_WHO, "identity_kind", "groups", "proof", "application", "facts"),
    Kind.CLOSED: ("why",),
    Kind.INTENT: (*_WHO, "text", "sent", "parameters", "columns", "addon", "name", "function_oid", "clear_columns", "executes"),
    Kind.OUTCOME: ("tags", "columns", "alarm", "facts", "copied_sha256"),
    Kind.REFUSAL: (*_WHO, "text", "sent", "parameters", "reason", "hint", "sqlstate", "name", "function_oid", "executes"),
    Kind.UNGRANTED: (*_WHO, "text", "sent", "parameters", "columns", "addon", "name", "function_oid", "clear_columns", "executes"),
    Kind.CHUNK: ("events",),
    Kind.RECORDED: ("sha256",),
    Kind.NOTE: ("facts",),
    Kind.APPROVAL: ("facts",),
    Kind.ADMIN: ("facts",),
}


IDENTITY_FACTS = ("identity", "by", "subject", "user", "on_behalf_of")
"""Facts whose value is a person's or workload's name."""


def identity_terms(facts: Mapping[str, str]) -> list[str]:
    """What a record with these facts can be found by."""
    return [f"identity\0{name}" for name in dict.fromkeys(facts[key] for key in IDENTITY_FACTS if facts.get(key))]


class BadRecord(Exception):
    """Bytes that are not a record, or not one that this sender may write."""


_pack = msgpack.Packer(use_bin_type=True, unicode_errors="backslashreplace").pack  # making one takes longer than using it


def pack(value: Any) -> bytes:
    """The one encoding: shortest forms, str as UTF-8, bytes as bin."""
    return _pack(value)


def unpack(data: bytes) -> Any:
    """
    One msgpack value that fills `data`.

    :raises BadRecord: it does not.
    """
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException) as e:  # FormatError and ExtraData are ValueErrors
        raise BadRecord(f"not msgpack: {type(e).__name__}") from e


def event(
    kind: Kind, *fields: Any, session: bytes = b"", number: int = 0, target: str = "", verdict: int = 0, ref: Any = None
) -> bytes:
    """An event of the notary's own making, packed."""
    return pack([int(kind), session, number, target, verdict, ref, *fields])


def parse_event(data: bytes) -> list[Any]:
    """
    The fields of an event.

    :raises BadRecord: a position has the wrong type, or a field is missing.
    """
    return checked(unpack(data))


def checked(fields: Any) -> list[Any]:
    """
    The same list, once every position that readers rely on has its type.

    :raises BadRecord: one has not, or is missing.
    """
    if type(fields) is not list or len(fields) < len(COMMON):
        raise BadRecord("an event is an array of at least six")
    kind, session, number, target, verdict, _ref = fields[:6]
    if len(fields) < _LEAST.get(kind, _NEVER):
        raise BadRecord("unknown kind, or too few fields for it")
    if type(session) is not bytes or len(session) not in (0, 16) or type(number) is not int or number < 0:
        raise BadRecord("session or number")
    if type(target) is not str or len(target) > NAME_LIMIT:
        raise BadRecord("target")
    if type(verdict) is not int or not 0 <= verdict < len(VERDICTS):
        raise BadRecord("verdict")
    return fields


class Stamp(NamedTuple):
    """What the notary says of a record: where, when, whose, and what its body is."""

    segment: int
    index: int
    time_ns: int
    boot_ns: int
    worker: int
    sequence: int
    body_hash: bytes | None = None
    commitment: bytes | None = None
    terms: tuple[bytes, ...] = ()


def pack_leaf(stamp: Stamp | tuple[Any, ...], event_bytes: bytes) -> bytes:
    """
    The bytes that are hashed.

    :param stamp: a Stamp, or what is in one.
    :raises BadRecord: over LEAF_LIMIT.
    """
    leaf = _ARRAY_OF_TWO + _pack((VERSION, *stamp)) + event_bytes
    if len(leaf) > LEAF_LIMIT:
        raise BadRecord(f"a leaf of {len(leaf)} bytes")
    return leaf


@dataclass(frozen=True, slots=True)
class Record:
    """A leaf, read."""

    stamp: Stamp
    fields: list[Any]

    @property
    def kind(self) -> int:
        return self.fields[0]

    @property
    def session(self) -> bytes:
        return self.fields[1]

    @property
    def key(self) -> tuple[int, int]:
        """(worker, sequence): the record's name for its writer."""
        return self.stamp.worker, self.stamp.sequence

    @property
    def own(self) -> list[Any]:
        """The fields of its kind."""
        return self.fields[len(COMMON):]

    def get(self, name: str) -> Any:
        """One field of its kind, by name."""
        return self.own[FIELDS[self.kind].index(name)]


def parse_leaf(leaf: bytes) -> Record:
    """
    A leaf's stamp and event.

    :raises BadRecord: it is not one.
    """
    value = unpack(leaf)
    if type(value) is not list or len(value) != 2 or type(value[0]) is not list or type(value[1]) is not list:
        raise BadRecord("a leaf is an array of two")
    stamp = value[0]
    if len(stamp) < 10 or stamp[0] != VERSION or any(type(n) is not int for n in stamp[1:7]):
        raise BadRecord("not a stamp of version 1")
    if type(stamp[9]) is not list:
        raise BadRecord("terms are not an array")
    return Record(Stamp(*stamp[1:9], tuple(stamp[9])), checked(value[1]))


def is_canonical(leaf: bytes) -> bool:
    """Whether encoding what was decoded gives the same bytes."""
    return pack(unpack(leaf)) == leaf
