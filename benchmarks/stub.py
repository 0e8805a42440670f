"""
A target that logs anybody in and answers each query with one row: PostgreSQL itself has no room for thousands of sessions.
Its catalog is empty, and can be read: a gateway that could not read it would try again at every statement.

    python -m benchmarks.stub PORT
"""

from __future__ import annotations

import asyncio
import sys

from gateway.catalog import QUERIES
from protocols.command import Transaction
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.postgres.replies import (
    BackendKey, CommandComplete, DataRow, ParameterStatus, ReadyForQuery, RowDescription,
)
from protocols.result import Column, Columns

_TOLD = {
    "server_version": "18.0", "search_path": '"$user", public', "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
    "standard_conforming_strings": "on", "integer_datetimes": "on", "TimeZone": "UTC",
}  # fmt: skip
READY = ReadyForQuery(Transaction.IDLE).encode()
GREETING = b"".join(
    [encode(b"R", bytes(4)), *(ParameterStatus(*told).encode() for told in _TOLD.items()), BackendKey(1, b"four").encode(), READY]
)
_NAMED = RowDescription(Columns((Column("?column?", 0, 0, 25),)), ((-1, -1),)).encode()
ANSWER = b"".join([_NAMED, DataRow((b'"$user", public',)).encode(), CommandComplete("SELECT 1").encode(), READY])
NOTHING = b"".join([_NAMED, CommandComplete("SELECT 0").encode(), READY])
_OF_CATALOG = frozenset(sql.encode() for sql in QUERIES.values())


class Stub(asyncio.Protocol):
    """One session."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._reader, self._begun = transport, FrameReader(), False

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if not self._begun and self._reader.next_startup() is not None:
            self._begun = True
            self._transport.write(GREETING)
        while self._begun and isinstance(frame := self._reader.next_frame(), Frame):
            if frame.tag == b"Q":
                self._transport.write(NOTHING if frame.body.rstrip(b"\0") in _OF_CATALOG else ANSWER)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
