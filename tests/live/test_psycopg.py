"""psycopg 3 on servers 15 and 18, each test run directly and through the gateway: what it returns is the same."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import decimal
import io
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Jsonb
from psycopg.types.range import Range

from tests.house import ADA, CLEAR, House

pytestmark = pytest.mark.live

Connection = psycopg.Connection[Any]
WORDS = {"plain": {}, "tls": {"sslmode": "require"}}


def both(house: House, run: Callable[[Connection], object], autocommit: bool = False, subject: str = CLEAR, **more: object) -> Any:
    """What it returns through the gateway, which is what it returns directly."""
    with psycopg.connect(house.direct(), autocommit=autocommit) as direct:
        expected = run(direct)
    with house.connect(subject, autocommit, **more) as through:
        got = run(through)
    assert got == expected
    return got


def caught(run: Callable[[], object]) -> tuple[object, ...]:
    """The server's error, field by field."""
    try:
        return ("no error", run())
    except psycopg.Error as error:
        said = error.diag
        return (type(error).__name__, error.sqlstate, said.severity, said.message_primary, said.message_detail, said.message_hint,
                said.statement_position, said.constraint_name, said.table_name, said.context)  # fmt: skip


# -- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("binary", [False, True])
def test_every_type_in_text_and_binary(house: House, binary: bool, more: dict[str, str]) -> None:
    """Values and their descriptions: names, type OIDs, sizes."""

    def run(connection: Connection) -> object:
        with connection.cursor(binary=binary) as cursor:
            cursor.execute("SELECT to_jsonb(s) - 'f' FROM shapes s ORDER BY i")
            whole = cursor.fetchall()
            cursor.execute("SELECT i, b, n, r, t, c, v, y, ok, iv, u, j, jb, a, ta, m, p, rg, ip, bits FROM shapes WHERE i = 1")
            shape = [(c.name, c.type_code, c.display_size, c.internal_size, c.precision, c.scale) for c in cursor.description]
            return whole, shape, repr(cursor.fetchall()), cursor.statusmessage, cursor.rowcount

    both(house, run, **more)


@pytest.mark.parametrize("binary", [False, True])
def test_parameters_of_every_type(house: House, binary: bool) -> None:
    values = [
        1, 2**40, 2**80, 1.5, "grüß", "", b"\x00\xff", True, None, decimal.Decimal("12.345"), datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3), datetime.timedelta(days=3, seconds=4), uuid.UUID(int=5), [1, None, 3], ["a", "b,c"],
        Jsonb({"a": [1, 2]}), Range(1, 5),
    ]  # fmt: skip
    mark = "%b" if binary else "%t"

    def run(connection: Connection) -> object:
        return [connection.execute(f"SELECT a, pg_typeof(a)::text FROM (SELECT {mark} AS a) s", (v,)).fetchone() for v in values]

    assert both(house, run)[4] == ("grüß", "text")


def test_statements_are_prepared_after_five_times_and_dropped(house: House) -> None:
    """prepare_threshold, and DEALLOCATE or Close when there are too many."""

    def run(connection: Connection) -> object:
        connection.prepared_max = 3
        seen = []
        for round_ in range(8):
            for n in range(5):
                seen.append(connection.execute(f"SELECT id + {n} FROM wards WHERE id = %s", [round_ % 4]).fetchall())
        count = connection.execute("SELECT count(*) FROM pg_prepared_statements", prepare=False).fetchone()
        return seen, count

    both(house, run)


def test_executemany_and_returning(house: House) -> None:
    def run(connection: Connection) -> object:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO wards VALUES (%s, %s, %s) RETURNING id", [(n, f"w{n}", n) for n in range(100, 150)], returning=True)
            found = [cursor.fetchone()]
            while cursor.nextset():
                found.append(cursor.fetchone())
            connection.rollback()
            return found

    assert len(both(house, run)) == 50


def test_several_statements_and_results(house: House) -> None:
    def run(connection: Connection) -> object:
        cursor = connection.execute("SELECT 1; SELECT 'a', 'b'; SET datestyle = 'ISO'; SELECT 3")
        results = [(cursor.statusmessage, cursor.fetchall())]
        while cursor.nextset():
            results.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
        return results

    both(house, run)


def test_errors_have_all_their_fields(house: House) -> None:
    texts = [
        "SELECT 1/0", "SELEC", "SELECT nothere FROM wards", "SELECT * FROM nothere", "INSERT INTO wards VALUES (1, 'x', 1)",
        "INSERT INTO wards VALUES (9, 'x', -1)", "INSERT INTO wards (id) VALUES (9)", "SELECT 'x'::int", "SELECT say(1, 2)",
        "INSERT INTO encounters VALUES (1000, 1000)", "SELECT pg_sleep('x')", "", "  -- nothing", "SET nothere = 1",
    ]  # fmt: skip

    def run(connection: Connection) -> object:
        said = []
        for text in texts:
            said.append(caught(lambda text=text: connection.execute(text).statusmessage))
            said.append(connection.info.transaction_status)
            connection.rollback()
            said.append(caught(lambda text=text: connection.execute(text.replace("%", "%%"), prepare=True).statusmessage))
            connection.rollback()
        return said

    both(house, run)


def test_transactions_savepoints_and_isolation(house: House) -> None:
    def run(connection: Connection) -> object:
        seen: list[object] = []
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        with contextlib.suppress(psycopg.Rollback), connection.transaction():
            connection.execute("UPDATE wards SET beds = 99 WHERE id = 1")
            with contextlib.suppress(psycopg.Error), connection.transaction():
                connection.execute("UPDATE wards SET beds = 98 WHERE id = 1")
                connection.execute("SELECT 1/0")
            seen.append(connection.execute("SELECT beds FROM wards WHERE id = 1").fetchone())
            seen.append(connection.execute("SHOW transaction_isolation").fetchone())
            raise psycopg.Rollback
        seen.append(connection.execute("SELECT beds FROM wards WHERE id = 1").fetchone())
        return seen

    assert both(house, run) == [(99,), ("serializable",), (10,)]


def test_two_phase_commit_is_the_servers_own_refusal(house: House) -> None:
    """The servers have max_prepared_transactions = 0; the gateway adds nothing to their answer."""

    def run(connection: Connection) -> object:
        connection.execute("SELECT 1")
        return caught(lambda: connection.execute("PREPARE TRANSACTION 'g'"))

    assert both(house, run)[1] == "55000"


def test_row_factories_and_composed_sql(house: House) -> None:
    def run(connection: Connection) -> object:
        text = sql.SQL("SELECT {}, {} FROM {} ORDER BY 1").format(sql.Identifier("id"), sql.Literal("li'teral"), sql.Identifier("public", "wards"))
        one = connection.cursor(row_factory=dict_row).execute(text).fetchall()
        return one, [tuple(row) for row in connection.cursor(row_factory=namedtuple_row).execute(text)]

    both(house, run)


def test_client_cursor_and_raw_cursor(house: House) -> None:
    """Client-side binding sends simple queries; RawCursor sends $1."""

    def run(connection: Connection) -> object:
        client = psycopg.ClientCursor(connection).execute("SELECT %s, %s", ["it's", 1]).fetchall()
        raw = psycopg.RawCursor(connection).execute("SELECT $1::int + $1", [4]).fetchall()
        return client, raw

    both(house, run)


# -- streams ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scrollable", [False, True])
def test_server_cursors(house: House, scrollable: bool) -> None:
    def run(connection: Connection) -> object:
        with connection.cursor("c", scrollable=scrollable) as cursor:
            cursor.itersize = 13
            cursor.execute("SELECT n, md5(n::text) FROM generate_series(1, 100) n WHERE n > %s", [3])
            seen: list[object] = [cursor.fetchone(), cursor.fetchmany(20), list(cursor)]
            if scrollable:
                cursor.scroll(0, "absolute")
                seen.append(cursor.fetchmany(3))
        with connection.cursor("b", binary=True, withhold=True) as cursor:
            cursor.execute("SELECT n FROM generate_series(1, 5) n")
            connection.commit()
            seen.append(cursor.fetchall())
        return seen

    both(house, run)


def test_rows_as_they_come(house: House) -> None:
    """Single-row and chunked mode."""

    def run(connection: Connection) -> object:
        with connection.cursor() as cursor:
            rows = [len(row[0]) for row in cursor.stream("SELECT repeat('x', n) FROM generate_series(1, 500) n")]
            some = []
            for row in cursor.stream("SELECT n FROM generate_series(1, 500) n"):
                some.append(row)
                if len(some) == 5:
                    break
        connection.rollback()
        return rows, some

    both(house, run)


COPY_OUT = [
    "COPY wards TO STDOUT", "COPY wards TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)", "COPY wards TO STDOUT (FORMAT binary)",
    "COPY (SELECT n, repeat('y', n % 100) FROM generate_series(1, 20000) n) TO STDOUT", "COPY (SELECT WHERE false) TO STDOUT",
]  # fmt: skip


@pytest.mark.parametrize("text", COPY_OUT)
def test_copy_out(house: House, text: str) -> None:
    def run(connection: Connection) -> object:
        with connection.cursor() as cursor:
            with cursor.copy(text) as copy:
                data = b"".join(bytes(block) for block in copy)
            return data, cursor.statusmessage

    both(house, run)


def test_copy_out_left_early_and_broken(house: House) -> None:
    def run(connection: Connection) -> object:
        def broken() -> None:
            with connection.cursor().copy("COPY (SELECT 1/(10 - n) FROM generate_series(1, 20) n) TO STDOUT") as copy:
                for _ in copy:
                    pass

        seen = [caught(broken)]
        connection.rollback()
        with contextlib.suppress(ZeroDivisionError), connection.cursor().copy("COPY (SELECT n FROM generate_series(1, 1000000) n) TO STDOUT") as copy:
            next(iter(copy))
            raise ZeroDivisionError
        connection.rollback()
        return seen, connection.execute("SELECT 1").fetchone()

    both(house, run)


@pytest.mark.parametrize("form", ["text", "binary", "csv"])
def test_copy_in(house: House, form: str) -> None:
    def run(connection: Connection) -> object:
        connection.execute("CREATE TEMP TABLE c (a int, b text, c bytea, d date)")
        with connection.cursor() as cursor:
            if form == "csv":
                with cursor.copy("COPY c FROM STDIN (FORMAT csv)") as copy:
                    for block in io.StringIO("".join(f"{n},\"x,{n}\",\\x00,2024-01-01\n" for n in range(3000))):
                        copy.write(block)
            else:
                with cursor.copy(f"COPY c FROM STDIN (FORMAT {form})") as copy:
                    copy.set_types(["int4", "text", "bytea", "date"])
                    for n in range(3000):
                        copy.write_row((n, f"x\t{n}\n", b"\x00", datetime.date(2024, 1, 1)))
            done = cursor.statusmessage
        return done, connection.execute("SELECT count(*), sum(a), md5(string_agg(b || c::text || d::text, '' ORDER BY a)) FROM c").fetchone()

    assert both(house, run)[0] == "COPY 3000"


def test_copy_in_given_up_and_broken(house: House) -> None:
    """CopyFail, and rows the server refuses; then the session goes on."""

    def run(connection: Connection) -> object:
        def wrong() -> None:
            with connection.cursor().copy("COPY wards FROM STDIN") as copy:
                for n in range(5000):
                    copy.write_row((n + 1000, f"w{n}", "nothing" if n == 2500 else n))

        def given_up() -> None:
            with connection.cursor().copy("COPY wards FROM STDIN") as copy:
                copy.write_row((999, "w", 1))
                raise psycopg.Error("given up")

        def refused() -> None:
            with connection.cursor().copy("COPY nothere FROM STDIN") as copy:
                copy.write(b"x")

        seen = []
        for step in (wrong, given_up, refused):
            kind = caught(step)
            seen.append(kind[:2] if step is not refused else kind)
            connection.rollback()
        return seen, connection.execute("SELECT count(*) FROM wards").fetchone()

    both(house, run)


# -- pipelines ----------------------------------------------------------------------------------


def test_pipeline_with_an_error_in_the_middle(house: House) -> None:
    """What came before the error stays or goes as directly; what follows up to the Sync is skipped."""

    def run(connection: Connection) -> object:
        seen: list[object] = []
        with contextlib.suppress(psycopg.Error), connection.pipeline() as pipeline:
            cursors = [connection.execute("SELECT %s::int", [n]) for n in range(20)]
            pipeline.sync()
            seen += [cursor.fetchone() for cursor in cursors]
            cursors = [connection.execute(text) for text in ("SELECT 1", "SELECT 1/0", "SELECT 2")]
            pipeline.sync()
            for cursor in cursors:
                seen.append(caught(cursor.fetchone)[:4])
            cursors = [connection.execute("SELECT 'after'")]
            pipeline.sync()
            seen.append(caught(cursors[0].fetchone)[:4])
        return seen, connection.info.transaction_status

    both(house, run)
    both(house, run, autocommit=True)


def test_ten_thousand_statements_in_one_pipeline(house15: House) -> None:
    """The gateway takes them as the evidence keeps up; none is refused, and every one has its outcome."""
    count = 10_000

    def run(connection: Connection) -> object:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", [n], prepare=False) for n in range(count)]
        return sum(cursor.fetchone()[0] for cursor in cursors)

    with house15.connect(CLEAR) as connection:
        assert run(connection) == count * (count - 1) // 2
    assert "could not be recorded" not in house15.text()


# -- asynchronous -------------------------------------------------------------------------------


def both_async(house: House, run: Callable[[psycopg.AsyncConnection[Any]], Awaitable[object]]) -> None:
    async def one(dsn: str) -> object:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            return await run(connection)

    assert asyncio.run(one(house.dsn(CLEAR))) == asyncio.run(one(house.direct()))


def test_async_queries_pipeline_copy_and_cursors(house: House) -> None:
    async def run(connection: psycopg.AsyncConnection[Any]) -> object:
        seen: list[object] = [await (await connection.execute("SELECT * FROM wards ORDER BY id")).fetchall()]
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::text", [n]) for n in range(50)]
        seen += [await cursor.fetchone() for cursor in cursors]
        async with connection.cursor() as cursor, cursor.copy("COPY wards TO STDOUT") as copy:
            seen.append([row async for row in copy.rows()])
        async with connection.transaction(), connection.cursor("c") as named:
            await named.execute("SELECT n FROM generate_series(1, 30) n")
            seen.append([row async for row in named])
        return seen

    both_async(house, run)


def test_async_notifications(house: House) -> None:
    async def run(connection: psycopg.AsyncConnection[Any]) -> object:
        await connection.execute("LISTEN ward_changes")
        for n in range(5):
            await connection.execute(f"NOTIFY ward_changes, 'ward {n}'")
        got = []
        async for notice in connection.notifies(timeout=30, stop_after=5):
            got.append((notice.channel, notice.payload, notice.pid == connection.info.backend_pid))
        return got

    both_async(house, run)


def test_a_notification_from_another_session_arrives_unasked(house15: House) -> None:
    """The listener says nothing while it waits; the one who notifies is on any worker."""
    with house15.connect(CLEAR) as listener, house15.connect(CLEAR) as other:
        listener.execute("LISTEN news")
        other.execute("SELECT pg_notify('news', 'extra')")
        (heard,) = listener.notifies(timeout=30, stop_after=1)
        assert (heard.channel, heard.payload, heard.pid) == ("news", "extra", other.info.backend_pid)


def test_notices_reach_their_handler(house: House) -> None:
    def run(connection: Connection) -> object:
        heard: list[object] = []
        connection.add_notice_handler(lambda d: heard.append((d.severity, d.sqlstate, d.message_primary, d.context)))
        connection.execute("SELECT say('one')")
        connection.execute("DO $$BEGIN FOR i IN 1..300 LOOP RAISE NOTICE 'n %', i; END LOOP; END$$")
        return heard

    assert len(both(house, run)) == 301


# -- cancelling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("more", WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("safe", [False, True], ids=["PQcancel", "PQcancelBlocking"])
def test_cancel(house: House, safe: bool, more: dict[str, str]) -> None:
    """From another connection, which any worker may get; encrypted as the session, or in the clear as libpq 16 does it."""
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(601)' AND wait_event = 'PgSleep'"

    async def one(dsn: str) -> object:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            running = asyncio.create_task(connection.execute("SELECT pg_sleep(601)"))
            while house.server.sql(asleep) == "0":
                await asyncio.sleep(0)
            await (connection.cancel_safe() if safe else asyncio.to_thread(connection.cancel))
            try:
                await running
            except psycopg.errors.QueryCanceled as error:
                said = (error.sqlstate, error.diag.message_primary)
            return said, await (await connection.execute("SELECT 1")).fetchone()

    for _ in range(3):  # so that both workers have been met
        assert asyncio.run(one(house.dsn(CLEAR, **more))) == asyncio.run(one(house.direct()))


def test_a_cancel_of_nobody_is_nothing(house15: House) -> None:
    """When nothing runs, the next statement is not hit, whichever worker heard of it; a wrong key ends nothing."""
    for _ in range(20):
        with house15.connect(CLEAR) as connection:
            connection.cancel()
            assert connection.execute("SELECT 1").fetchone() == (1,)


# -- masked elsewhere ---------------------------------------------------------------------------


def test_with_other_columns_masked_the_rest_is_as_it_is(house: House) -> None:
    """Ada, in text and binary, simple and extended, prepared and not."""

    def run(connection: Connection) -> object:
        seen: list[object] = []
        for binary in (False, True):
            for _ in range(7):
                seen.append(connection.cursor(binary=binary).execute("SELECT id, name FROM patients WHERE id < %s ORDER BY id", [4]).fetchall())
            seen.append(connection.cursor(binary=binary).execute("SELECT e.day, p.name FROM encounters e JOIN patients p ON p.id = e.patient ORDER BY e.id").fetchall())
        return seen

    both(house, run, subject=ADA)


def test_masked_columns_are_masked_and_nothing_else(house: House) -> None:
    with house.connect(ADA) as connection, psycopg.connect(house.direct()) as direct:
        for binary in (False, True):
            text = "SELECT * FROM patients ORDER BY id"
            seen, real = (c.cursor(binary=binary).execute(text).fetchall() for c in (connection, direct))
            assert [row[:2] for row in seen] == [row[:2] for row in real]
            assert {row[2] for row in seen} == {"***"} and all(row[3] != other[3] for row, other in zip(seen, real, strict=True))
