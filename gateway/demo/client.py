"""
A very small psql, for machines that have none: simple queries over verified TLS, printed as psql prints them.

    PGHOST=… PGPORT=… PGUSER=… PGDATABASE=… PGPASSWORD=… PGSSLROOTCERT=… python -m gateway.demo.client -c SQL [-c SQL …]

Each `-c` is one simple query of the same session; an error does not end it, as in psql. Exit
status 1 when the last one failed, 2 when there was no session.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence

from protocols.errors import PeerError
from protocols.postgres import messages, replies
from protocols.postgres.auth import Failed, Ready, TargetLogin
from protocols.postgres.codec import FrameReader, Opened

_NUMBERS = frozenset({20, 21, 23, 26, 700, 701, 1700})  #: int8, int2, int4, oid, float4, float8, numeric: right-aligned
_FRAME_LIMIT = 16 << 20  # bytes
_WANTED = frozenset({"PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSSLROOTCERT"})


class NoSession(Exception):
    """The server is not there, is somebody else, or said no."""


class Client:
    """One session. Blocks."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._reader = FrameReader(limit=_FRAME_LIMIT)
        self._socket = _secured(settings["PGHOST"], int(settings["PGPORT"]), settings["PGSSLROOTCERT"])
        login = TargetLogin(
            settings["PGUSER"], settings["PGDATABASE"], {"application_name": "ostiary-demo", "client_encoding": "UTF8"},
            settings["PGPASSWORD"], tls=True, binding=None, nonce=secrets.token_urlsafe(18),
        )  # fmt: skip
        self._reader.feed(self._log_in(login).leftover)

    def ask(self, sql: str) -> Iterator[replies.Reply]:
        """Everything that answers one simple query, ReadyForQuery last."""
        self._socket.sendall(messages.Query(sql).encode())
        while True:
            while (frame := self._reader.next_frame()) is None:
                self._reader.feed(self._receive())
            if isinstance(frame, Opened):
                raise PeerError("a frame too large for this client")
            reply = replies.parse(frame)
            yield reply
            if isinstance(reply, replies.ReadyForQuery):
                return
            if isinstance(reply, replies.CopyIn):
                self._socket.sendall(messages.CopyFail("this client has nothing to copy").encode())

    def close(self) -> None:
        self._socket.sendall(messages.Terminate().encode())
        self._socket.close()

    def _log_in(self, login: TargetLogin) -> Ready:
        self._socket.sendall(login.start())
        while True:
            for step in login.from_target(self._receive()):
                match step:
                    case Ready():
                        return step
                    case Failed(fields):
                        raise NoSession(_spoken(fields))
                    case _:
                        self._socket.sendall(step.data)

    def _receive(self) -> bytes:
        try:
            data = self._socket.recv(1 << 16)
        except OSError as error:
            raise NoSession(f"the connection broke: {error}") from None
        if not data:
            raise NoSession("server closed the connection unexpectedly")
        return data


def _secured(host: str, port: int, authority: str) -> ssl.SSLSocket:
    try:
        plain = socket.create_connection((host, port))
        plain.sendall(messages.SslRequest().encode())
        if plain.recv(1) != b"S":
            raise NoSession("the server does not speak TLS")
        return ssl.create_default_context(cafile=authority).wrap_socket(plain, server_hostname=host)
    except OSError as error:
        raise NoSession(f"connection to server at {host}, port {port} failed: {error}") from None


class Printer:
    """Replies to what psql would print: rows and tags on stdout, errors and notices on stderr."""

    def __init__(self) -> None:
        self._columns: tuple[replies.Column, ...] = ()
        self._rows: list[tuple[str, ...]] = []
        self._copying = self.failed = False

    def show(self, answers: Iterator[replies.Reply]) -> None:
        """One query's."""
        self.failed = False
        for reply in answers:
            match reply:
                case replies.RowDescription(columns):
                    self._columns, self._rows = columns.fields, []
                case replies.DataRow(cells):
                    self._rows.append(tuple("" if c is None else c.decode("utf-8", "replace") for c in cells))
                case replies.CopyOut():
                    self._copying = True
                case messages.CopyData(data):
                    sys.stdout.write(data.decode("utf-8", "replace"))
                case replies.CommandComplete(tag):
                    self._end(tag)
                case replies.ErrorResponse(fields):
                    self.failed, self._columns = True, ()
                    print(_spoken(fields), file=sys.stderr, flush=True)
                case replies.NoticeResponse(fields):
                    print(_spoken(fields), file=sys.stderr, flush=True)

    def _end(self, tag: str) -> None:
        if self._columns:
            print(table(self._columns, self._rows), flush=True)
        elif not self._copying:
            print(tag, flush=True)
        self._columns, self._copying = (), False


def table(columns: Sequence[replies.Column], rows: Sequence[Sequence[str]]) -> str:
    """psql's aligned format."""
    names = [column.name for column in columns]
    widths = [max(map(len, cells)) for cells in zip(names, *rows, strict=True)]
    right = [column.type_oid in _NUMBERS for column in columns]
    head = "|".join(f" {name:^{width}} " for name, width in zip(names, widths, strict=True))
    rule = "+".join("-" * (width + 2) for width in widths)
    lines = [
        "|".join(f" {cell:>{width}} " if r else f" {cell:<{width}} " for cell, width, r in zip(row, widths, right, strict=True))
        for row in rows
    ]
    count = f"({len(rows)} row{'' if len(rows) == 1 else 's'})"
    return "\n".join([head, rule, *(line.rstrip() for line in lines), count, ""])


def _spoken(fields: Mapping[str, str]) -> str:
    lines = [f"{fields.get('S', 'ERROR')}:  {fields.get('M', '')}"]
    lines += [f"{word}:  {fields[code]}" for code, word in (("D", "DETAIL"), ("H", "HINT")) if fields.get(code)]
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """`-c SQL` as often as wanted."""
    if not words or len(words) % 2 or set(words[::2]) != {"-c"} or not _WANTED <= os.environ.keys():
        print(f"usage: python -m gateway.demo.client -c SQL [-c SQL …]  with {', '.join(sorted(_WANTED))}", file=sys.stderr)
        return 2
    printer = Printer()
    try:
        client = Client(os.environ)
        for sql in words[1::2]:
            printer.show(client.ask(sql))
        client.close()
    except (NoSession, PeerError) as problem:
        print(f"client: error: {problem}", file=sys.stderr)
        return 2
    return 1 if printer.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
