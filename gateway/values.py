"""
The values of a command as they are recorded: what is short as it is, what is long by its length and digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from gateway.notary.record import NAME_LIMIT
from protocols.command import Command, Digest, FunctionCall, Parameter

VALUE_LIMIT = 4096
"""Bytes of one parameter's value that are recorded as they are; a longer one by length and SHA-256."""
VALUES_LIMIT = 1 << 20
"""Bytes of all values of one command that are recorded as they are."""


def recorded_values(parameters: Sequence[Parameter]) -> list[list[Any]]:
    """As `recorded`."""
    return recorded([p.type_oid for p in parameters], [p.format for p in parameters], [p.value for p in parameters]) if parameters else []


def recorded(types: Sequence[int], formats: Sequence[int], values: Sequence[bytes | Digest | None]) -> list[list[Any]]:
    """
    [type, format, value] each; a long value as [type, format, nil, length, SHA-256].

    A value in text format is kept as text where it is UTF-8, so that people can read it.
    """
    room, found = VALUES_LIMIT, []
    for oid, code, value in zip(types, formats, values):
        if value is None:
            found.append([oid, code, None])
        elif type(value) is not bytes:
            found.append([oid, code, None, value.length, value.sha256])
        elif len(value) > VALUE_LIMIT or len(value) > room:
            found.append([oid, code, None, len(value), sha256(value).digest()])
        else:
            room -= len(value)
            found.append([oid, code, value if code else _as_text(value)])
    return found


def _as_text(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def asked(command: Command) -> tuple[str, str, int, list[list[Any]]]:
    """Text, prepared name, function OID and values of a command."""
    if isinstance(command, FunctionCall):
        return "", "", command.oid, recorded_values(command.arguments)
    parameters = command.parameters
    return command.text, getattr(command, "name", ""), 0, recorded_values(parameters)


def short(text: str) -> str:
    """A name in clear; names are ours, but a leaf is bounded whatever they are."""
    return text if len(text) <= NAME_LIMIT else text[:NAME_LIMIT]
