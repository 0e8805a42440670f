"""The gateway's own queries: rows, errors, limits, and a target that goes away or lies."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_twisted
from twisted.internet import reactor

from gateway.query import Querying, QueryError
from gateway.upstream import dial
from protocols.command import Transaction
from protocols.postgres import messages
from protocols.postgres import replies as r
from protocols.result import Column, Columns
from tests.gateway.scripted import READY, ScriptedTarget

SHAPE = r.RowDescription(Columns((Column("a", 0, 0, 25), Column("b", 0, 0, 25))), ((-1, -1), (-1, -1))).encode()
DONE = r.CommandComplete("SELECT 2").encode()
IDLE = r.ReadyForQuery(Transaction.IDLE).encode()


def row(*cells: bytes | None) -> bytes:
    return r.DataRow(cells).encode()


def error(sqlstate: str, text: str) -> bytes:
    return r.ErrorResponse(r.error_fields(sqlstate, text)).encode()


ANSWERS = {
    "rows": SHAPE + row(b"1", None) + row(b"\xc3\xa9", b"") + DONE + IDLE,
    "none": r.CommandComplete("SET").encode() + IDLE,
    "empty": r.EmptyQuery().encode() + IDLE,
    "two": SHAPE + row(b"1", b"2") + DONE + SHAPE + row(b"3", b"4") + DONE + IDLE,
    "chatty": r.NoticeResponse({"M": "hi"}).encode() + r.ParameterStatus("TimeZone", "UTC").encode() + DONE + IDLE,
    "wrong": error("42703", "no such column") + IDLE,
    "late": SHAPE + row(b"1", b"2") + error("57014", "cancelled") + IDLE,
    "junk": b"\xff" * 20,
    "cut": b"D\0\0\0\6\0\1" + IDLE,
    "copy": r.CopyIn(0, (0,)).encode(),
    "behind": SHAPE + row(b"1", b"2") + DONE + IDLE + b"N\0\0\0",
    "flood": SHAPE + row(b"1", b"2") * 100,
    "fat": SHAPE + row(b"x" * 50_000, None) * 3,
}


@pytest_twisted.async_yield_fixture
async def target() -> AsyncIterator[ScriptedTarget]:
    def answer(data: bytes) -> bytes | None:
        if data[:1] == b"Q":
            return ANSWERS.get(data[5:-1].decode())  # an unknown text hangs up
        return READY if data[4:6] == b"\0\3" else b""

    scripted = ScriptedTarget(answer)
    yield scripted
    await scripted.close()


async def querying(target: ScriptedTarget, **limits: int) -> Querying:
    entry = target.entry()
    return Querying(await dial(reactor, entry, entry.accounts[0], None, "clinicdb", {}), **limits)


@pytest_twisted.ensureDeferred
async def test_rows_as_text(target: ScriptedTarget) -> None:
    """NULL is None, an empty string is not; several statements' rows come together."""
    connection = await querying(target)
    assert await connection.query("rows") == [("1", None), ("é", "")]
    assert await connection.query("none") == [] == await connection.query("empty")
    assert await connection.query("two") == [("1", "2"), ("3", "4")]
    assert await connection.query("chatty") == []
    connection.close()


@pytest_twisted.ensureDeferred
async def test_an_error_is_told_and_the_connection_lives(target: ScriptedTarget) -> None:
    """Rows that came before it are not an answer."""
    connection = await querying(target)
    for text, sqlstate in [("wrong", "42703"), ("late", "57014")]:
        with pytest.raises(QueryError) as caught:
            await connection.query(text)
        assert caught.value.sqlstate == sqlstate
    assert await connection.query("rows")
    connection.close()


@pytest.mark.parametrize("text", ["junk", "cut", "copy", "hang up"])
@pytest_twisted.ensureDeferred
async def test_a_broken_target_ends_it(target: ScriptedTarget, text: str) -> None:
    """This query fails, and every later one."""
    connection = await querying(target)
    for again in (text, "rows"):
        with pytest.raises(QueryError) as caught:
            await connection.query(again)
        assert caught.value.sqlstate == "08006"
    await target.deserted()


@pytest.mark.parametrize(("text", "limits"), [("flood", {"row_limit": 99}), ("fat", {"byte_limit": 149_999})])
@pytest_twisted.ensureDeferred
async def test_a_result_over_the_limit_ends_it(target: ScriptedTarget, text: str, limits: dict[str, int]) -> None:
    """Not a short answer: an error, and the connection is gone."""
    connection = await querying(target, **limits)
    with pytest.raises(QueryError) as caught:
        await connection.query(text)
    assert caught.value.sqlstate == "54000"
    await target.deserted()


@pytest_twisted.ensureDeferred
async def test_one_at_a_time(target: ScriptedTarget) -> None:
    """A second query would take the first one's rows."""
    connection = await querying(target)
    first = connection.query("rows")
    with pytest.raises(RuntimeError):
        connection.query("rows")
    assert await first
    connection.close()


@pytest_twisted.ensureDeferred
async def test_a_nul_is_refused_before_it_is_sent(target: ScriptedTarget) -> None:
    connection = await querying(target)
    with pytest.raises(QueryError):
        await connection.query("rows\0; drop table t")
    assert await connection.query("rows")
    connection.close()


@pytest_twisted.ensureDeferred
async def test_giving_a_query_up_ends_the_connection(target: ScriptedTarget) -> None:
    """Its rows cannot be told from the next one's."""
    connection = await querying(target)
    waiting = connection.query("flood")  # never ends by itself
    waiting.cancel()
    with pytest.raises(QueryError):
        await waiting
    await target.deserted()


@pytest_twisted.ensureDeferred
async def test_closing_says_goodbye(target: ScriptedTarget) -> None:
    """A query that was running is told; a second close does nothing."""
    connection = await querying(target)
    waiting = connection.query("flood")
    connection.close()
    connection.close()
    with pytest.raises(QueryError):
        await waiting
    await target.deserted()
    assert b"".join(target.received).endswith(messages.Terminate().encode())


@pytest_twisted.ensureDeferred
async def test_an_upstream_is_given_back_with_what_came_behind_the_answer(target: ScriptedTarget) -> None:
    """The next receiver reads on where the last answer ended; in the middle of a query nobody may have it."""
    client = await querying(target)
    assert await client.query("behind") == [("1", "2")]
    upstream = client.give_back()
    assert upstream.leftover == b"N\0\0\0"
    waiting = client.query("rows")
    with pytest.raises(RuntimeError):
        client.give_back()
    client.close()
    with pytest.raises(QueryError):
        await waiting
