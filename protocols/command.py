"""
What a client asks a target to do, as one value per command.

A command is what gets a verdict, an intent and an outcome. What belongs to a
running command (COPY rows, file bytes, keystrokes) is data: counted and
digested in its outcome, never a command of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from protocols.value import value


class Path(enum.StrEnum):
    """By which protocol path a command came; the enforcement matrix has a column for each."""

    SIMPLE = "simple"  #: Query: one string, maybe several statements, decided whole
    PARSE = "parse"  #: Parse: text without parameters; nothing runs yet
    BIND = "bind"  #: Bind (and the Execute messages of its portal): text with parameters
    FASTPATH = "fastpath"  #: FunctionCall: a function OID and its arguments
    EXEC = "exec"  #: from here on SSH's, one for each of its commands
    SHELL = "shell"
    SUBSYSTEM = "subsystem"
    FILE = "file"
    FORWARD = "forward"
    AGENT = "agent"
    X11 = "x11"
    LINE = "line"  #: typed in a shell; it is recorded when it is refused


class Transaction(enum.StrEnum):
    """The status of the target's last ReadyForQuery (PostgreSQL 18 manual, 54.7)."""

    IDLE = "I"
    OPEN = "T"
    FAILED = "E"


@dataclass(frozen=True, slots=True)
class Digest:
    """What is known of a value that is too long to be held: its bytes lie in the spool, and are sent from there."""

    length: int  #: bytes
    sha256: bytes


@value
class Parameter:
    """One bound value as the client sent it."""

    type_oid: int  #: as Parse declared it; 0 when the client left it to the server
    format: int  #: 0 text, 1 binary
    value: bytes | Digest | None  #: None is SQL NULL


@value
class Statement:
    """SQL that a client sent. No byte of it has reached the target."""

    text: str  #: exactly as sent, decoded from client_encoding
    path: Path = Path.SIMPLE
    parameters: tuple[Parameter, ...] = ()
    name: str = ""  #: prepared statement (PARSE, BIND); "" is the unnamed one
    portal: str = ""  #: BIND; "" is the unnamed one, which SQL cannot name
    transaction: Transaction = Transaction.IDLE
    pipelined: bool = False  #: others that run were sent before it, and are not answered
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The server's last reported parameters (ParameterStatus), names lower-case."""
    prepared: Mapping[str, str | None] = field(default_factory=lambda: MappingProxyType({}))
    """
    Read-only live view: names prepared by Parse in this session, to the text the client sent; None where SQL's EXECUTE must not run what
    has, or may still have, that name: nobody can tell what it is, or it is no query.
    """
    types: tuple[int, ...] = ()  #: of its parameters, OIDs as Parse declared them; 0 where that is left to the target

    def untold(self, names: Iterable[str]) -> bool:
        """Whether SQL's EXECUTE of one of these must not run; see `prepared`."""
        return any(name in self.prepared and self.prepared[name] is None for name in names)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """PostgreSQL's fast path: a function by OID, judged by the catalog."""

    oid: int
    arguments: tuple[Parameter, ...] = ()
    transaction: Transaction = Transaction.IDLE
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    path: Path = Path.FASTPATH


class _Ssh:
    """What every SSH command has in common with a statement. `text` is how people and evidence read it."""

    __slots__ = ()
    transaction: ClassVar[Transaction] = Transaction.IDLE
    settings: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What belongs to the command and is not in its text, as bytes."""
        return ()


def _shown(data: bytes) -> str:
    """SSH names no encoding: what is no UTF-8 is shown by its bytes."""
    return data.decode("utf-8", "backslashreplace")


def _exact(line: bytes) -> tuple[Parameter, ...]:
    """The bytes themselves, where their text stands for others too."""
    return (Parameter(0, 1, line),) if _shown(line).encode() != line else ()


def _surroundings(pty: Pty | None, environment: tuple[tuple[bytes, bytes], ...]) -> tuple[Parameter, ...]:
    """Whether there is a terminal, and the variables. Its size is nobody's question."""
    terminal = (Parameter(0, 0, b"on a terminal"),) if pty is not None else ()
    return terminal + tuple(Parameter(0, 0, name + b"=" + value) for name, value in environment)


@dataclass(frozen=True, slots=True)
class Pty:
    """The terminal that a channel asked for (RFC 4254, 6.2). `modes` is byte-exact."""

    term: str
    columns: int
    rows: int
    modes: bytes = b""


@dataclass(frozen=True, slots=True)
class Exec(_Ssh):
    """A command line for the account's shell. No byte of it has reached the target."""

    path: ClassVar[Path] = Path.EXEC
    line: bytes  #: exactly as sent; SSH names no encoding
    channel: int  #: the client's own number of the channel
    pty: Pty | None = None
    environment: tuple[tuple[bytes, bytes], ...] = ()  #: what the allow-list let through, in order

    @property
    def text(self) -> str:
        return _shown(self.line)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return _exact(self.line) + _surroundings(self.pty, self.environment)


@dataclass(frozen=True, slots=True)
class Shell(_Ssh):
    """An interactive shell, or one that reads its script from standard input when there is no terminal."""

    path: ClassVar[Path] = Path.SHELL
    channel: int
    pty: Pty | None = None
    environment: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def text(self) -> str:
        return "an interactive shell" if self.pty is not None else "a shell without a terminal"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return _surroundings(self.pty, self.environment)


@dataclass(frozen=True, slots=True)
class Subsystem(_Ssh):
    """A service that the target's configuration names, such as sftp."""

    path: ClassVar[Path] = Path.SUBSYSTEM
    name: str
    channel: int
    environment: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def text(self) -> str:
        return f"subsystem {self.name}"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return _surroundings(None, self.environment)


OPEN_FLAGS = ((1, "read"), (2, "write"), (4, "append"), (8, "create"), (16, "truncate"), (32, "exclusive"))
"""SSH_FXF_* (draft-ietf-secsh-filexfer-02, 6.3)."""


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
class FileOperation(_Ssh):
    """One SFTP request that names a file. The target has not seen it."""

    path: ClassVar[Path] = Path.FILE
    action: FileAction
    file: bytes  #: its path, exactly as the client sent it
    channel: int
    second: bytes = b""  #: where a rename, link or copy leads to
    flags: int = 0  #: SSH_FXF_* of an open
    attributes: tuple[tuple[str, int], ...] = ()  #: what an open, mkdir or setstat sets: size, owner, group, mode, accessed, modified

    @property
    def modes(self) -> tuple[str, ...]:
        """
        What an open does, in words. One that does not write reads, whatever its flags: OpenSSH's server has no third way (sftp-server.c,
        flags_from_portable). Bits that version 3 does not know are a word of their own, as a number.
        """
        if self.action is not FileAction.OPEN:
            return ()
        flags = self.flags if self.flags & 2 else self.flags | 1
        other = flags & ~sum(bit for bit, _ in OPEN_FLAGS)
        return tuple(word for bit, word in OPEN_FLAGS if flags & bit) + ((hex(other),) if other else ())

    @property
    def text(self) -> str:
        words = [self.action.value, _shown(self.file)]
        if self.second:
            words += ["to", _shown(self.second)]
        if self.modes:
            words.append("for " + ", ".join(self.modes))
        words += [f"{name}={value:o}" if name == "mode" else f"{name}={value}" for name, value in self.attributes]
        return " ".join(words)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """A file's name may hold anything, so both are here exactly."""
        return tuple(Parameter(0, 1, name) for name in (self.file, self.second) if name)


class ForwardKind(enum.StrEnum):
    """Which way a forwarded connection is opened, and by what."""

    DIRECT = "direct"  #: -L and -D: the client asks the target to connect
    REMOTE = "remote"  #: -R: the client asks the target to listen
    DIRECT_UNIX = "direct-unix"
    REMOTE_UNIX = "remote-unix"
    INCOMING = "incoming"  #: somebody connects to a listener at the target, which leads to the client
    INCOMING_UNIX = "incoming-unix"


@dataclass(frozen=True, slots=True)
class Forward(_Ssh):
    """A connection or a listener that the client wants at the target, or a connection that came to its listener there."""

    path: ClassVar[Path] = Path.FORWARD
    kind: ForwardKind
    host: str  #: as sent; the socket's path for the unix kinds
    port: int = 0
    channel: int | None = None  #: None for a listener, which is a global request, and for what comes to one
    originator: tuple[str, int] = ("", 0)  #: the client's own claim, or the target's where the connection came to it

    @property
    def text(self) -> str:
        place = self.host if self.unix else f"{self.host}:{self.port}"
        whence = f" from {self.originator[0]}:{self.originator[1]}" if self.kind is ForwardKind.INCOMING else ""
        return f"{self.kind.value} {place}{whence}"

    @property
    def arrives(self) -> bool:
        """Whether it came to a listener that was allowed before."""
        return self.kind in (ForwardKind.INCOMING, ForwardKind.INCOMING_UNIX)

    @property
    def unix(self) -> bool:
        """Whether its place is a socket's path."""
        return self.kind in (ForwardKind.DIRECT_UNIX, ForwardKind.REMOTE_UNIX, ForwardKind.INCOMING_UNIX)


@dataclass(frozen=True, slots=True)
class AgentForward(_Ssh):
    """The client offers its key agent to the target."""

    path: ClassVar[Path] = Path.AGENT
    channel: int

    @property
    def text(self) -> str:
        return "agent forwarding"


@dataclass(frozen=True, slots=True)
class X11Forward(_Ssh):
    """The client offers its display to the target. The cookie is a secret and is not kept here."""

    path: ClassVar[Path] = Path.X11
    channel: int
    screen: int
    single: bool = False

    @property
    def text(self) -> str:
        return f"X11 forwarding of screen {self.screen}"


SshCommand = Exec | Shell | Subsystem | FileOperation | Forward | AgentForward | X11Forward


@dataclass(frozen=True, slots=True)
class Line(_Ssh):
    """What stood on a shell's line when Enter was pressed, as far as the screen tells. Refused or let be, nothing else."""

    path: ClassVar[Path] = Path.LINE
    typed: str
    channel: int

    @property
    def text(self) -> str:
        return self.typed


Command = Statement | FunctionCall | SshCommand | Line
