"""
A small client on an Upstream: one simple query at a time, rows as text. The gateway reads catalogs with it.

Bounded: a result above its limits ends the connection, never the process.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.defer import Deferred, fail

from gateway.upstream import Upstream
from protocols.errors import LocalError, PeerError
from protocols.postgres import messages, replies
from protocols.postgres.codec import FrameReader, Opened

ROW_LIMIT = 1_000_000
BYTE_LIMIT = 256 << 20  #: bytes of rows in one result; a large schema's catalog is some 50 MiB
_FRAME_LIMIT = 16 << 20  # bytes; the largest view definition that is read

Row = tuple[str | None, ...]


class QueryError(Exception):
    """The target says no, or is gone. `message` is the target's; it may hold values."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{sqlstate}: {message}")
        self.sqlstate, self.message = sqlstate, message


class Querying:
    """
    Takes an Upstream over. Not for clients' statements: nothing here asks or records.

    :param row_limit: of one result.
    :param byte_limit: of one result's rows.
    """

    def __init__(self, upstream: Upstream, row_limit: int = ROW_LIMIT, byte_limit: int = BYTE_LIMIT) -> None:
        self._upstream, self._row_limit, self._byte_limit = upstream, row_limit, byte_limit
        self._reader = FrameReader(limit=_FRAME_LIMIT)
        self._waiting: Deferred[list[Row]] | None = None
        self._rows: list[Row] = []
        self._bytes = 0
        self._error: QueryError | None = None
        self._over = ""
        upstream.attach(self)

    def query(self, sql: str) -> Deferred[list[Row]]:
        """
        Run it; the rows of all its statements. Cancelling the Deferred closes the connection.

        Fails with QueryError: the target's own, or 08006 when the connection is gone, or 54000 over a limit.
        """
        if self._over:
            return fail(QueryError("08006", self._over))
        if self._waiting is not None:
            raise RuntimeError("one query at a time")
        try:
            request = messages.Query(sql).encode()
        except LocalError as error:
            return fail(QueryError("22021", str(error)))
        self._rows, self._bytes, self._error = [], 0, None
        self._waiting = Deferred(lambda _: self._end("the query was given up"))
        self._upstream.transport.write(request)
        return self._waiting

    def give_back(self) -> Upstream:
        """The Upstream for another receiver, with what came behind the last answer."""
        if self._waiting is not None:
            raise RuntimeError("a query is under way")
        self._upstream.leftover = self._reader.take_all()
        return self._upstream

    def close(self) -> None:
        """Say goodbye and hang up."""
        if not self._over:
            self._upstream.transport.write(messages.Terminate().encode())
            self._over = "closed"
            self._upstream.transport.loseConnection()
            self._answer_lost()

    # -- from the Upstream ----------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        try:
            self._reader.feed(data)
            while not self._over and (frame := self._reader.next_frame()) is not None:
                if isinstance(frame, Opened):
                    raise RuntimeError("nothing is streamed here")
                self._on(replies.parse(frame))
        except PeerError as error:
            self._end(f"the target broke the protocol: {error.why}")

    def connection_lost(self, why: str) -> None:
        self._over = self._over or "the target closed the connection"
        self._answer_lost()

    # -- ours -----------------------------------------------------------------------------

    def _on(self, reply: replies.Reply) -> None:
        match reply:
            case replies.DataRow(cells):
                self._keep(cells)
            case replies.ErrorResponse(fields):
                self._error = self._error or _error(fields)
            case replies.ReadyForQuery():
                self._answer()
            case replies.CopyIn() | replies.CopyBoth():
                self._end("the target wants COPY data")
            case _:
                pass  # shapes, tags and notices say nothing that is needed here

    def _keep(self, cells: tuple[bytes | None, ...]) -> None:
        self._bytes += sum(len(cell) for cell in cells if cell is not None)
        if len(self._rows) >= self._row_limit or self._bytes > self._byte_limit:
            self._error = QueryError("54000", "the result is larger than what may be read")
            self._end(self._error.message)
            return
        self._rows.append(tuple(None if cell is None else cell.decode("utf-8", "replace") for cell in cells))

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, None
        rows, self._rows = self._rows, []
        if waiting is None:
            return
        if self._error is not None:
            waiting.errback(self._error)
        else:
            waiting.callback(rows)

    def _end(self, why: str) -> None:
        self._over = why
        self._upstream.transport.abortConnection()
        self._answer_lost()

    def _answer_lost(self) -> None:
        self._error = self._error or QueryError("08006", self._over)
        if self._waiting is not None and not self._waiting.called:
            self._answer()


def _error(fields: Mapping[str, str]) -> QueryError:
    return QueryError(fields.get("C", ""), fields.get("M", ""))
