"""
What a client says: typed messages out of frames, and frames out of them.

Knows the fields of each message and nothing of their order. What a target says is
in `replies`. Every count and length is checked; a wrong one is a PeerError.

Source: PostgreSQL 18 manual, 54.7 "Message Formats".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from protocols.errors import PeerError
from protocols.postgres import body as wire
from protocols.postgres.body import Body
from protocols.postgres.codec import Frame, encode, encode_startup

VERSION_3_0 = 3 << 16
VERSION_3_2 = 3 << 16 | 2
CANCEL_CODE = 1234 << 16 | 5678
SSL_CODE = 1234 << 16 | 5679
GSSENC_CODE = 1234 << 16 | 5680

SECRET_LIMIT = 256
"""Bytes of a cancel key since protocol 3.2."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A message without fields. Use a subclass."""

    tag: ClassVar[bytes]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        if body:
            Body(body, cls.__name__).end()
        return cls()

    def encode(self) -> bytes:
        return encode(self.tag)


@dataclass(slots=True)
class Query:
    """One string, maybe several statements."""

    tag: ClassVar[bytes] = b"Q"
    text: str

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, "Query", codec)
        message = cls(reader.text())
        reader.end()
        return message

    def encode(self, codec: str = "utf-8") -> bytes:
        return encode(self.tag, wire.string(self.text, codec))


@dataclass(slots=True)
class Parse:
    """Prepare a text under a name; "" is the unnamed one."""

    tag: ClassVar[bytes] = b"P"
    name: str
    text: str
    type_oids: tuple[int, ...] = ()

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, "Parse", codec)
        name, text = reader.name(), reader.text()
        oids = tuple(reader.u32() for _ in range(reader.u16()))
        reader.end()
        return cls(name, text, oids)

    def encode(self, codec: str = "utf-8") -> bytes:
        oids = wire.u16(len(self.type_oids)) + b"".join(map(wire.u32, self.type_oids))
        return encode(self.tag, wire.string(self.name, codec) + wire.string(self.text, codec) + oids)


@dataclass(slots=True)
class Bind:
    """Make a portal of a prepared statement and its values."""

    tag: ClassVar[bytes] = b"B"
    portal: str
    statement: str
    formats: tuple[int, ...]  #: none: all text; one: of all; else one each
    values: tuple[Any, ...]  #: bytes, None for NULL; of a `LongMessage` also Digest, which cannot be encoded
    result_formats: tuple[int, ...] = ()

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, "Bind", codec)
        names = reader.name(), reader.name()
        formats, values = reader.formats(), reader.values()
        if len(formats) > 1 and len(formats) != len(values):
            raise reader.wrong(f"{len(formats)} formats for {len(values)} values")
        results = reader.formats()
        reader.end()
        return cls(*names, formats, values, results)

    def encode(self) -> bytes:
        names = wire.string(self.portal) + wire.string(self.statement)
        given = wire.formats(self.formats) + wire.values(self.values)
        return encode(self.tag, names + given + wire.formats(self.result_formats))

    def format_of(self, index: int) -> int:
        """The format code that applies to one value."""
        return _format_of(self.formats, index)


@dataclass(slots=True)
class _Named:
    """A kind ("S" a statement, "P" a portal) and its name. Use a subclass."""

    tag: ClassVar[bytes]
    kind: str
    name: str

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, cls.__name__, codec)
        kind = reader.take(1)
        if kind not in (b"S", b"P"):
            raise reader.wrong(f"kind {kind!r}")
        name = reader.name()
        reader.end()
        return cls(kind.decode(), name)

    def encode(self, codec: str = "utf-8") -> bytes:
        return encode(self.tag, self.kind.encode() + wire.string(self.name, codec))


@dataclass(slots=True)
class Describe(_Named):
    """Ask for the shape of a statement or a portal."""

    tag: ClassVar[bytes] = b"D"


@dataclass(slots=True)
class Close(_Named):
    """Drop a statement or a portal."""

    tag: ClassVar[bytes] = b"C"


@dataclass(slots=True)
class Execute:
    """Run a portal, for at most `limit` rows; 0 is all of them."""

    tag: ClassVar[bytes] = b"E"
    portal: str
    limit: int = 0

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, "Execute", codec)
        portal, limit = reader.name(), reader.i32()
        reader.end()
        return cls(portal, max(limit, 0))  # the server takes any number below 1 for "all"

    def encode(self) -> bytes:
        return encode(self.tag, wire.string(self.portal) + wire.u32(self.limit))


@dataclass(slots=True)
class FunctionCall:
    """The fast path: a function by OID."""

    tag: ClassVar[bytes] = b"F"
    oid: int
    formats: tuple[int, ...]
    values: tuple[Any, ...]  #: as Bind's
    result_format: int = 0

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "FunctionCall")
        oid, formats, values = reader.u32(), reader.formats(), reader.values()
        if len(formats) > 1 and len(formats) != len(values):
            raise reader.wrong(f"{len(formats)} formats for {len(values)} values")
        message = cls(oid, formats, values, reader.format())
        reader.end()
        return message

    def encode(self) -> bytes:
        given = wire.formats(self.formats) + wire.values(self.values)
        return encode(self.tag, wire.u32(self.oid) + given + wire.u16(self.result_format))

    def format_of(self, index: int) -> int:
        """The format code that applies to one value."""
        return _format_of(self.formats, index)


class Sync(Bare):
    """The end of a pipeline's transaction step; answered by ReadyForQuery."""

    tag = b"S"


class Flush(Bare):
    """Send what is ready."""

    tag = b"H"


class Terminate(Bare):
    """Goodbye."""

    tag = b"X"


class CopyDone(Bare):
    """The COPY's last row was sent. Either side says it."""

    tag = b"c"


@dataclass(frozen=True, slots=True)
class CopyData:
    """A piece of a COPY stream. Either side says it."""

    tag: ClassVar[bytes] = b"d"
    data: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(body)

    def encode(self) -> bytes:
        return encode(self.tag, self.data)


@dataclass(frozen=True, slots=True)
class CopyFail:
    """The client gives its COPY up."""

    tag: ClassVar[bytes] = b"f"
    reason: str

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "CopyFail")
        message = cls(reader.text())
        reader.end()
        return message

    def encode(self) -> bytes:
        return encode(self.tag, wire.string(self.reason))


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """An answer to an authentication request; what is inside depends on what was asked."""

    tag: ClassVar[bytes] = b"p"
    data: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(body)

    def encode(self) -> bytes:
        return encode(self.tag, self.data)

    def __repr__(self) -> str:
        return f"Secret({len(self.data)} bytes)"

    def read_password(self) -> bytes:
        """As PasswordMessage."""
        reader = Body(self.data, "PasswordMessage")
        password = reader.raw()
        reader.end()
        return password

    def read_initial(self) -> tuple[str, bytes | None]:
        """As SASLInitialResponse: the mechanism's name, and its first message if there is one."""
        reader = Body(self.data, "SASLInitialResponse")
        mechanism, first = reader.text(), reader.value()
        reader.end()
        return mechanism, first


def password(secret: bytes) -> bytes:
    """A PasswordMessage."""
    return Secret(wire.string(secret)).encode()


def sasl_initial(mechanism: str, first: bytes) -> bytes:
    """A SASLInitialResponse."""
    return Secret(wire.string(mechanism) + wire.value(first)).encode()


def sasl_response(data: bytes) -> bytes:
    """A SASLResponse."""
    return Secret(data).encode()


Message = (
    Query | Parse | Bind | Describe | Execute | Close | FunctionCall | Sync | Flush
    | Terminate | CopyData | CopyDone | CopyFail | Secret
)  # fmt: skip

_PARSERS: dict[bytes, Callable[[bytes], Message]] = {
    m.tag: m.parse
    for m in (
        Query, Parse, Bind, Describe, Execute, Close, FunctionCall, Sync, Flush,
        Terminate, CopyData, CopyDone, CopyFail, Secret,
    )
}  # fmt: skip


def parse(frame: Frame) -> Message:
    """A client's frame as a typed message; PeerError for a tag that no client sends."""
    parser = _PARSERS.get(frame.tag)
    if parser is None:
        raise PeerError(f"no client sends a message {frame.tag!r}")
    return parser(frame.body)


# How a connection begins: frames without a tag.


@dataclass(frozen=True, slots=True)
class SslRequest:
    """May we speak TLS?"""

    def encode(self) -> bytes:
        return encode_startup(wire.u32(SSL_CODE))


@dataclass(frozen=True, slots=True)
class GssRequest:
    """May we speak GSSAPI encryption?"""

    def encode(self) -> bytes:
        return encode_startup(wire.u32(GSSENC_CODE))


@dataclass(frozen=True, slots=True, repr=False)
class CancelRequest:
    """Stop what runs in the session of this key; never answered."""

    pid: int
    secret: bytes

    def encode(self) -> bytes:
        return encode_startup(wire.u32(CANCEL_CODE) + wire.u32(self.pid) + self.secret)

    def __repr__(self) -> str:
        return f"CancelRequest(pid={self.pid})"


@dataclass(frozen=True, slots=True)
class Startup:
    """The first real message: protocol version and settings, "user" among them."""

    version: int
    parameters: Mapping[str, str]

    @property
    def major(self) -> int:
        return self.version >> 16

    @property
    def minor(self) -> int:
        return self.version & 0xFFFF

    def encode(self) -> bytes:
        pairs = b"".join(wire.string(k) + wire.string(v) for k, v in self.parameters.items())
        return encode_startup(wire.u32(self.version) + pairs + b"\0")


Opening = SslRequest | GssRequest | CancelRequest | Startup


def parse_opening(body: bytes) -> Opening:
    """
    A frame without a tag as a typed message.

    The parameters of another major version than 3 are left unread: nothing is known of their form.
    """
    reader = Body(body, "start-up packet")
    code = reader.u32()
    if code == CANCEL_CODE:
        return _read_cancel(reader)
    if code in (SSL_CODE, GSSENC_CODE):
        reader.end()
        return SslRequest() if code == SSL_CODE else GssRequest()
    if code >> 16 != 3:
        return Startup(code, {})
    return Startup(code, _read_parameters(reader))


def _read_cancel(reader: Body) -> CancelRequest:
    pid, secret = reader.u32(), reader.rest()
    if not 4 <= len(secret) <= SECRET_LIMIT:
        raise reader.wrong(f"a cancel key of {len(secret)} bytes")
    return CancelRequest(pid, secret)


def _read_parameters(reader: Body) -> dict[str, str]:
    parameters: dict[str, str] = {}
    while name := reader.text():
        if name in parameters:  # two readers might each take another one
            raise reader.wrong(f"parameter {name[:64]!r} comes twice")
        parameters[name] = reader.text()
    reader.end()
    return parameters


def _format_of(formats: tuple[int, ...], index: int) -> int:
    if not formats:
        return 0
    return formats[index] if len(formats) > 1 else formats[0]
