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

    text: str  #: exactly as sent, decoded from client_encoding
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


@dataclass(frozen=True, slots=True)
class Pty:
    """The terminal that a channel asked for (RFC 4254, 6.2). `modes` is byte-exact."""

    term: str
    columns: int
    rows: int
    modes: bytes = b""


@dataclass(frozen=True, slots=True)
class Exec:
    """A command line for the account's shell. No byte of it has reached the target."""

    line: bytes  #: exactly as sent; SSH names no encoding
    channel: int  #: the client's own number of the channel
    pty: Pty | None = None
    environment: tuple[tuple[bytes, bytes], ...] = ()  #: what the allow-list let through, in order


@dataclass(frozen=True, slots=True)
class Shell:
    """An interactive shell, or one that reads its script from standard input when there is no terminal."""

    channel: int
    pty: Pty | None = None
    environment: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Subsystem:
    """A service that the target's configuration names, such as sftp."""

    name: str
    channel: int
    environment: tuple[tuple[bytes, bytes], ...] = ()


class FileAction(enum.StrEnum):
    """What an SFTP request does to a path."""

    OPEN = "open"
    LIST = "list"
    REMOVE = "remove"
    RENAME = "rename"
    SETSTAT = "setstat"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class FileOperation:
    """One SFTP request that names a file. The target has not seen it."""

    action: FileAction
    path: bytes  #: exactly as the client sent it
    channel: int
    second: bytes = b""  #: where a rename, link or copy leads to
    flags: int = 0  #: SSH_FXF_* of an open


class ForwardKind(enum.StrEnum):
    """Which way a forwarded connection is opened, and by what."""

    DIRECT = "direct"  #: -L and -D: the client asks the target to connect
    REMOTE = "remote"  #: -R: the client asks the target to listen
    DIRECT_UNIX = "direct-unix"
    REMOTE_UNIX = "remote-unix"


@dataclass(frozen=True, slots=True)
class Forward:
    """A connection or a listener that the client wants at the target."""

    kind: ForwardKind
    host: str  #: as sent; the socket's path for the unix kinds
    port: int = 0
    channel: int | None = None  #: None for a listener, which is a global request
    originator: tuple[str, int] = ("", 0)  #: the client's own claim


@dataclass(frozen=True, slots=True)
class AgentForward:
    """The client offers its key agent to the target."""

    channel: int


@dataclass(frozen=True, slots=True)
class X11Forward:
    """The client offers its display to the target. The cookie is a secret and is not kept here."""

    channel: int
    screen: int
    single: bool = False


SshCommand = Exec | Shell | Subsystem | FileOperation | Forward | AgentForward | X11Forward


Command = Statement | FunctionCall
