"""
What a target says: typed messages out of frames, and frames out of them.

Knows the fields of each message and nothing of their order. What a client says is
in `messages`. Every count and length is checked; a wrong one is a PeerError.

Source: PostgreSQL 18 manual, 54.7 "Message Formats" and 54.8 "Error and Notice Message Fields".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from protocols.command import Transaction
from protocols.errors import PeerError
from protocols.postgres import body as wire
from protocols.postgres.body import Body
from protocols.postgres.codec import Frame, encode
from protocols.postgres.messages import SECRET_LIMIT, VERSION_3_0, Bare, CopyData, CopyDone
from protocols.result import Column, Columns


class ParseComplete(Bare):
    """A Parse was done."""

    tag = b"1"


class BindComplete(Bare):
    """A Bind was done."""

    tag = b"2"


class CloseComplete(Bare):
    """A Close was done."""

    tag = b"3"


class NoData(Bare):
    """What was described returns no rows."""

    tag = b"n"


class PortalSuspended(Bare):
    """An Execute reached its row limit."""

    tag = b"s"


class EmptyQuery(Bare):
    """The text held no statement."""

    tag = b"I"


@dataclass(frozen=True, slots=True)
class RowDescription:
    """The shape of rows. `sizes` holds each column's type size and modifier, kept for sending on."""

    tag: ClassVar[bytes] = b"T"
    columns: Columns
    sizes: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "RowDescription")
        read = [_read_column(reader) for _ in range(reader.u16())]
        reader.end()
        return cls(Columns(tuple(column for column, _ in read)), tuple(size for _, size in read))

    def encode(self) -> bytes:
        fields = zip(self.columns.fields, self.sizes, strict=True)
        return encode(self.tag, wire.u16(len(self.sizes)) + b"".join(_column(*f) for f in fields))


def _read_column(reader: Body) -> tuple[Column, tuple[int, int]]:
    # A name cut at 63 bytes by another encoding's rules need not be UTF-8; it must not end a session.
    name = reader.raw().decode("utf-8", "replace")
    table, attribute, type_oid = reader.u32(), reader.i16(), reader.u32()
    size = reader.i16(), reader.i32()
    return Column(name, table, attribute, type_oid, reader.format()), size


def _column(column: Column, size: tuple[int, int]) -> bytes:
    place = wire.u32(column.table_oid) + wire.u16(column.attribute & 0xFFFF)
    kind = wire.u32(column.type_oid) + wire.u16(size[0] & 0xFFFF) + wire.u32(size[1])
    return wire.string(column.name) + place + kind + wire.u16(column.format)


@dataclass(frozen=True, slots=True)
class DataRow:
    """One row, cell by cell. For catalogs and tests; rows that pass are never made objects of."""

    tag: ClassVar[bytes] = b"D"
    cells: tuple[bytes | None, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "DataRow")
        cells = reader.values()
        reader.end()
        return cls(cells)

    def encode(self) -> bytes:
        return encode(self.tag, wire.values(self.cells))


@dataclass(slots=True)
class CommandComplete:
    """A statement was done; its tag, such as "SELECT 3"."""

    tag: ClassVar[bytes] = b"C"
    done: str

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "CommandComplete")
        message = cls(reader.text())
        reader.end()
        return message

    def encode(self) -> bytes:
        return encode(self.tag, wire.string(self.done))


@dataclass(frozen=True, slots=True)
class _Fields:
    """Field codes ("S", "C", "M", …) to texts. Use a subclass."""

    tag: ClassVar[bytes]
    fields: Mapping[str, str]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, cls.__name__)
        fields: dict[str, str] = {}
        while code := reader.u8():
            # Before login a server writes in its own locale's encoding.
            fields[chr(code)] = reader.raw().decode("utf-8", "replace")
        reader.end()
        return cls(fields)

    def encode(self) -> bytes:
        pairs = (wire.u8(ord(code)) + wire.string(text) for code, text in self.fields.items())
        return encode(self.tag, b"".join(pairs) + b"\0")

    @property
    def sqlstate(self) -> str:
        return self.fields.get("C", "")

    @property
    def message(self) -> str:
        return self.fields.get("M", "")


@dataclass(frozen=True, slots=True)
class ErrorResponse(_Fields):
    """It went wrong."""

    tag: ClassVar[bytes] = b"E"


@dataclass(frozen=True, slots=True)
class NoticeResponse(_Fields):
    """Something to know."""

    tag: ClassVar[bytes] = b"N"


def error_fields(
    sqlstate: str, message: str, severity: str = "ERROR", detail: str = "", hint: str = ""
) -> dict[str, str]:
    """Fields of an error or notice of ours; "V" is the severity that is never translated."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": message}
    return fields | {code: text for code, text in (("D", detail), ("H", hint)) if text}


@dataclass(frozen=True, slots=True)
class ParameterStatus:
    """A setting's value now."""

    tag: ClassVar[bytes] = b"S"
    name: str
    value: str

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "ParameterStatus")
        message = cls(reader.text(), reader.raw().decode("utf-8", "replace"))
        reader.end()
        return message

    def encode(self) -> bytes:
        return encode(self.tag, wire.string(self.name) + wire.string(self.value))


@dataclass(frozen=True, slots=True, repr=False)
class BackendKey:
    """What a cancel request must name: 4 bytes of secret in 3.0, up to 256 since 3.2."""

    tag: ClassVar[bytes] = b"K"
    pid: int
    secret: bytes

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "BackendKeyData")
        pid, secret = reader.u32(), reader.rest()
        if not 4 <= len(secret) <= SECRET_LIMIT:
            raise reader.wrong(f"a secret of {len(secret)} bytes")
        return cls(pid, secret)

    def encode(self) -> bytes:
        return encode(self.tag, wire.u32(self.pid) + self.secret)

    def __repr__(self) -> str:
        return f"BackendKey(pid={self.pid})"


_STATUS = {status.value.encode(): status for status in Transaction}


def transaction_of(body: bytes) -> Transaction:
    """What a ReadyForQuery says."""
    transaction = _STATUS.get(body)
    if transaction is None:
        raise PeerError("ReadyForQuery: no such transaction status")
    return transaction


@dataclass(slots=True)
class ReadyForQuery:
    """The target waits for the next command; how the transaction stands."""

    tag: ClassVar[bytes] = b"Z"
    transaction: Transaction

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(transaction_of(body))

    def encode(self) -> bytes:
        return encode(self.tag, self.transaction.value.encode())


@dataclass(frozen=True, slots=True)
class NotificationResponse:
    """A NOTIFY that the session listens for."""

    tag: ClassVar[bytes] = b"A"
    pid: int
    channel: str
    payload: str

    @classmethod
    def parse(cls, body: bytes, codec: str = "utf-8") -> Self:
        reader = Body(body, "NotificationResponse", codec)
        message = cls(reader.u32(), reader.text(), reader.raw().decode(codec, "replace"))
        reader.end()
        return message

    def encode(self, codec: str = "utf-8") -> bytes:
        texts = wire.string(self.channel, codec) + wire.string(self.payload, codec)
        return encode(self.tag, wire.u32(self.pid) + texts)


@dataclass(frozen=True, slots=True)
class _CopyResponse:
    """COPY data follows: overall format, and each column's. Use a subclass."""

    tag: ClassVar[bytes]
    format: int
    formats: tuple[int, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, cls.__name__)
        overall = reader.u8()
        if overall > 1:
            raise reader.wrong(f"format code {overall}")
        message = cls(overall, reader.formats())
        reader.end()
        return message

    def encode(self) -> bytes:
        return encode(self.tag, wire.u8(self.format) + wire.formats(self.formats))


@dataclass(frozen=True, slots=True)
class CopyIn(_CopyResponse):
    """The client is to send COPY data."""

    tag: ClassVar[bytes] = b"G"


@dataclass(frozen=True, slots=True)
class CopyOut(_CopyResponse):
    """The target will send COPY data."""

    tag: ClassVar[bytes] = b"H"


@dataclass(frozen=True, slots=True)
class CopyBoth(_CopyResponse):
    """Both will: replication."""

    tag: ClassVar[bytes] = b"W"


@dataclass(frozen=True, slots=True)
class ParameterDescription:
    """The types of a prepared statement's parameters."""

    tag: ClassVar[bytes] = b"t"
    type_oids: tuple[int, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "ParameterDescription")
        message = cls(tuple(reader.u32() for _ in range(reader.u16())))
        reader.end()
        return message

    def encode(self) -> bytes:
        oids = b"".join(map(wire.u32, self.type_oids))
        return encode(self.tag, wire.u16(len(self.type_oids)) + oids)


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What the fast path's function returned."""

    tag: ClassVar[bytes] = b"V"
    value: bytes | None

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "FunctionCallResponse")
        message = cls(reader.value())
        reader.end()
        return message

    def encode(self) -> bytes:
        return encode(self.tag, wire.value(self.value))


@dataclass(frozen=True, slots=True)
class NegotiateVersion:
    """The newest version this side knows, and the `_pq_.` options that it does not."""

    tag: ClassVar[bytes] = b"v"
    version: int
    options: tuple[str, ...]

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "NegotiateProtocolVersion")
        version, count = reader.u32(), reader.u32()
        if count > reader.left:  # each option is a byte at least
            raise reader.wrong(f"{count} options in {reader.left} bytes")
        message = cls(version if version >> 16 else VERSION_3_0 | version, tuple(reader.text() for _ in range(count)))
        reader.end()
        return message

    def encode(self) -> bytes:
        # The manual says "minor version"; every server and libpq send and read the whole number.
        options = b"".join(map(wire.string, self.options))
        return encode(self.tag, wire.u32(self.version) + wire.u32(len(self.options)) + options)


AUTH_OK, AUTH_CLEARTEXT, AUTH_MD5, AUTH_SASL, AUTH_SASL_CONTINUE, AUTH_SASL_FINAL = 0, 3, 5, 10, 11, 12


@dataclass(frozen=True, slots=True)
class Authentication:
    """
    What the server wants next, or that it is satisfied.

    :ivar code: one of AUTH_*, or one that we do not speak (Kerberos, GSSAPI, SSPI).
    :ivar data: MD5's salt, or a SASL message.
    :ivar mechanisms: what AUTH_SASL offers.
    """

    tag: ClassVar[bytes] = b"R"
    code: int
    data: bytes = b""
    mechanisms: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        reader = Body(body, "Authentication")
        code = reader.u32()
        if code == AUTH_SASL:
            message = cls(code, mechanisms=_read_mechanisms(reader))
        else:
            message = cls(code, reader.take(4) if code == AUTH_MD5 else reader.rest())
        if code in (AUTH_OK, AUTH_CLEARTEXT) and message.data:
            raise reader.wrong("bytes behind a message without fields")
        reader.end()
        return message

    def encode(self) -> bytes:
        offer = b"".join(map(wire.string, self.mechanisms)) + b"\0" if self.code == AUTH_SASL else b""
        return encode(self.tag, wire.u32(self.code) + offer + self.data)


def _read_mechanisms(reader: Body) -> tuple[str, ...]:
    names: list[str] = []
    while name := reader.text():
        names.append(name)
    return tuple(names)


Reply = (
    Authentication | BackendKey | BindComplete | CloseComplete | CommandComplete | CopyBoth | CopyData
    | CopyDone | CopyIn | CopyOut | DataRow | EmptyQuery | ErrorResponse | FunctionResult
    | NegotiateVersion | NoData | NoticeResponse | NotificationResponse | ParameterDescription
    | ParameterStatus | ParseComplete | PortalSuspended | ReadyForQuery | RowDescription
)  # fmt: skip

_PARSERS: dict[bytes, Callable[[bytes], Reply]] = {
    m.tag: m.parse
    for m in (
        Authentication, BackendKey, BindComplete, CloseComplete, CommandComplete, CopyBoth, CopyData,
        CopyDone, CopyIn, CopyOut, DataRow, EmptyQuery, ErrorResponse, FunctionResult,
        NegotiateVersion, NoData, NoticeResponse, NotificationResponse, ParameterDescription,
        ParameterStatus, ParseComplete, PortalSuspended, ReadyForQuery, RowDescription,
    )
}  # fmt: skip


def parse(frame: Frame) -> Reply:
    """A target's frame as a typed message; PeerError for a tag that no server sends."""
    parser = _PARSERS.get(frame.tag)
    if parser is None:
        raise PeerError(f"no server sends a message {frame.tag!r}")
    return parser(frame.body)
