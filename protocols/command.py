"""
What a client asks a target to do, as one value per command.

A command is what gets a verdict, an intent and an outcome. What belongs to a
running command (COPY rows, file bytes, keystrokes) is data: counted and
digested in its outcome, never a command of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class Path(enum.StrEnum):
    """By which protocol path a command came; the enforcement matrix has a column for each."""

    SIMPLE = "simple"  #: Query: one string, maybe several statements, decided whole
    PARSE = "parse"  #: Parse: text without parameters; nothing runs yet
    BIND = "bind"  #: Bind (and the Execute messages of its portal): text with parameters
    FASTPATH = "fastpath"  #: FunctionCall: a function OID and its arguments


class Transaction(enum.StrEnum):
    """The status of the target's last ReadyForQuery (PostgreSQL 18 manual, 54.7)."""

    IDLE = "I"
    OPEN = "T"
    FAILED = "E"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One bound value as the client sent it."""

    type_oid: int  #: as Parse declared it; 0 when the client left it to the server
    format: int  #: 0 text, 1 binary
    value: bytes | None  #: None is SQL NULL


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that a client sent. No byte of it has reached the target."""

    text: str  #: exactly as sent, decoded from client_encoding (always UTF-8 here)
    path: Path = Path.SIMPLE
    parameters: tuple[Parameter, ...] = ()
    name: str = ""  #: prepared statement (PARSE, BIND); "" is the unnamed one
    transaction: Transaction = Transaction.IDLE
    pipelined: bool = False  #: others that run were sent before it, and are not answered
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The server's last reported parameters (ParameterStatus), names lower-case."""
    prepared: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Read-only live view: names prepared by Parse in this session, to the text the client sent."""


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """PostgreSQL's fast path: a function by OID, judged by the catalog."""

    oid: int
    arguments: tuple[Parameter, ...] = ()
    transaction: Transaction = Transaction.IDLE
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    path: Path = Path.FASTPATH


Command = Statement | FunctionCall
