"""
The relay against a real PostgreSQL, byte for byte: one raw client speaks to the server directly
and through a relay that allows everything; what it hears must be the same. Where a command is
refused, what it hears is what it would hear of a native error in the same place.
"""

# flake8: noqa: E501  (a script reads best on one line)
from __future__ import annotations

import random
import socket
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from protocols.command import Statement
from protocols.effects import Ask, CancelTarget, Effect, Hangup, Intend, Malformed, Refused, Report, ToClient, ToTarget
from protocols.postgres import messages, replies
from protocols.postgres.codec import Frame, FrameReader, encode
from protocols.postgres.relay import PostgresRelay
from protocols.result import Columns, Ending, MaskPlan, RowBatch
from protocols.verdict import Allow, Decision, Deny
from tests.servers import POSTGRES, PostgresServer

pytestmark = pytest.mark.live

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE later (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE SCHEMA a; CREATE TABLE a.x (ssn text); INSERT INTO a.x VALUES ('a');
CREATE SCHEMA b; CREATE TABLE b.x (ssn text); INSERT INTO b.x VALUES ('b');
CREATE FUNCTION noisy() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'hm'; RETURN 7; END $$;
CREATE TABLE guarded (id int);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON guarded EXECUTE FUNCTION refuse();
CREATE PROCEDURE out_of(INOUT n int) LANGUAGE plpgsql AS $$ BEGIN n := n + 1; END $$;
"""

SYNC, FLUSH, DONE = encode(b"S"), encode(b"H"), encode(b"c")


def q(text: str) -> bytes:
    return messages.Query(text).encode()


def p(text: str, name: str = "", *oids: int) -> bytes:
    return messages.Parse(name, text, oids).encode()


def b(portal: str = "", name: str = "", *values: bytes | None, formats: tuple[int, ...] = (), results: tuple[int, ...] = ()) -> bytes:
    return messages.Bind(portal, name, formats, values, results).encode()


def d(kind: str, name: str = "") -> bytes:
    return messages.Describe(kind, name).encode()


def e(portal: str = "", limit: int = 0) -> bytes:
    return messages.Execute(portal, limit).encode()


def c(kind: str, name: str = "") -> bytes:
    return messages.Close(kind, name).encode()


def data(content: bytes) -> bytes:
    return encode(b"d", content)


def whole(text: str, *values: bytes | None) -> bytes:
    """One statement in the extended protocol, without its Sync."""
    return p(text) + b("", "", *values) + e()


FAIL = messages.CopyFail("enough").encode()
COPY = "COPY t FROM STDIN"
INT = b"\0\0\0\x05"

END = "end"  # wait for the row that says so: how many answers a random pipeline brings is not known

Script = list[tuple[bytes, str]]
"""What is sent, and the tags that must have come in this order before the next line is sent."""

SCRIPTS: dict[str, Script] = {
    "simple": [(q("SELECT 1, 'a', NULL"), "Z")],
    "several statements": [(q("SELECT 1; SELECT 2; INSERT INTO t VALUES (1, 'x')"), "Z")],
    "error in the middle of a string": [(q("INSERT INTO t VALUES (1,'x'); SELECT 1/0; SELECT 3"), "Z"), (q("SELECT * FROM t"), "Z")],
    "empty queries": [(q(""), "Z"), (q(" ; "), "Z"), (p("") + b() + d("P") + e() + SYNC, "Z")],
    "pipelined simple queries": [(q("SELECT 1") + q("SELECT 1/0") + q("SELECT 3"), "ZZZ")],
    "transaction": [(q("BEGIN"), "Z"), (q("SELECT 1/0"), "Z"), (q("SELECT 1"), "Z"), (q("COMMIT"), "Z")],
    "savepoint": [(q("BEGIN; SAVEPOINT a"), "Z"), (q("SELEC"), "Z"), (q("ROLLBACK TO a; SELECT 1"), "Z"), (q("COMMIT"), "Z")],
    "extended": [(p("SELECT $1::int + 1") + b("", "", b"41") + d("P") + e() + SYNC, "Z")],
    "binary": [(p("SELECT $1, 'x'::text", "", 23) + b("", "", INT, formats=(1,), results=(1,)) + d("P") + e() + SYNC, "Z")],
    "formats of each": [(p("SELECT 1, 2") + b(results=(0, 1)) + e() + SYNC, "Z")],
    "wrong number of formats": [(p("SELECT 1, 2") + b(results=(0, 1, 1)) + e() + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "named statement": [(p("SELECT $1::text", "s") + d("S", "s") + SYNC, "Z"), (b("", "s", b"x") + e() + SYNC, "Z"),
        (b("", "s", b"y") + e() + SYNC + b("", "s", None) + e() + SYNC, "ZZ"), (c("S", "s") + SYNC, "Z"), (b("", "s") + SYNC, "Z")],
    "unnamed statement is replaced": [(p("SELECT 1") + p("SELECT 2") + b() + e() + SYNC, "Z"), (b() + e() + SYNC, "Z")],
    "unnamed statement and a simple query": [(p("SELECT 1") + SYNC, "Z"), (q("SELECT 2"), "Z"), (b() + e() + SYNC, "Z")],
    "parse twice": [(p("SELECT 1", "s") + p("SELECT 2", "s") + SYNC, "Z"), (b("", "s") + e() + SYNC, "Z")],
    "parse error": [(p("SELEC") + b() + d("P") + e() + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "bind error": [(p("SELECT $1::int") + b("", "", b"x") + d("P") + e() + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "describe error": [(p("SELECT 1", "s") + d("S", "nope") + b("", "s") + e() + SYNC, "Z"), (b("", "s") + e() + SYNC, "Z")],
    "execute error": [(p("SELECT 1/$1::int") + b("", "", b"0") + e() + e() + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "close of nothing": [(c("S", "nope") + c("P", "nope") + SYNC, "Z")],
    "errors do not undo what was prepared": [(p("SELECT 1", "s") + p("SELEC", "x") + c("S", "s") + SYNC, "Z"), (b("", "s") + e() + SYNC, "Z")],
    "flush without sync": [(p("SELECT 1") + FLUSH, "1"), (b() + FLUSH, "2"), (d("P") + FLUSH, "T"), (e() + FLUSH, "C"), (SYNC, "Z")],
    "error and flush": [(p("SELEC") + FLUSH, "E"), (b() + e() + FLUSH + q("SELECT 1") + SYNC, "Z")],
    "query while skipping": [(p("SELEC") + q("SELECT 1") + SYNC, "Z")],
    "pipeline of two transactions": [(whole("INSERT INTO t VALUES (1,'a')") + SYNC + whole("SELECT 1/0") + whole("SELECT 2") + SYNC, "ZZ")],
    "portal in pieces": [
        (q("BEGIN"), "Z"), (p("SELECT g FROM generate_series(1,5) g") + b("c") + e("c", 2) + FLUSH, "s"),
        (e("c", 2) + SYNC, "Z"), (e("c", 2) + e("c") + SYNC, "Z"), (c("P", "c") + SYNC, "Z"), (q("COMMIT"), "Z"),
    ],
    "portal dies with its transaction": [(p("SELECT g FROM generate_series(1,5) g") + b("c") + e("c", 2) + SYNC, "Z"), (e("c") + SYNC, "Z")],
    "two portals": [
        (q("BEGIN"), "Z"), (p("SELECT g FROM generate_series(1,4) g", "s") + b("x", "s") + b("y", "s") + e("x", 1) + e("y", 2) + e("x", 1) + SYNC, "Z"),
        (b("x", "s") + SYNC, "Z"), (q("ROLLBACK"), "Z"),
    ],
    "portal after a savepoint": [
        (q("BEGIN"), "Z"), (p("SELECT g FROM generate_series(1,4) g", "s") + b("x", "s") + e("x", 1) + SYNC, "Z"), (q("SAVEPOINT a"), "Z"),
        (p("SELEC") + e("x", 1) + SYNC, "Z"), (q("ROLLBACK TO a"), "Z"), (e("x", 1) + SYNC, "Z"), (q("COMMIT"), "Z"),
    ],
    "cursor by execute": [
        (q("BEGIN; DECLARE c CURSOR FOR SELECT g, g::text FROM generate_series(1,4) g"), "Z"), (e("c", 2) + SYNC, "Z"),
        (d("P", "c") + e("c", 1) + SYNC, "Z"), (q("FETCH ALL FROM c"), "Z"), (c("P", "c") + SYNC, "Z"), (e("c") + SYNC, "Z"), (q("ROLLBACK"), "Z"),
    ],
    "cursor of another shape under a portal's name": [
        (q("BEGIN"), "Z"), (p("SELECT 1") + b("c") + SYNC, "Z"), (q("CLOSE c; DECLARE c CURSOR FOR SELECT 'x', 2"), "Z"),
        (e("c") + SYNC, "Z"), (q("ROLLBACK"), "Z"),
    ],
    "sql prepare": [(q("PREPARE s AS SELECT $1::int"), "Z"), (b("", "s", b"5") + e() + SYNC, "Z"), (q("EXECUTE s(6); DEALLOCATE s"), "Z")],
    "table exchanged under a statement": [
        (q("SET search_path = a"), "Z"), (p("SELECT ssn FROM x", "s") + d("S", "s") + b("", "s") + e() + SYNC, "Z"),
        (q("SET search_path = b"), "Z"), (b("", "s") + e() + SYNC, "Z"), (q("RESET search_path"), "Z"),
    ],
    "copy in": [(q(COPY), "G"), (data(b"1\ta\n") + data(b"2\tb\n") + DONE, "Z"), (q("SELECT * FROM t"), "Z")],
    "copy in, failed by the client": [(q(COPY), "G"), (data(b"1\ta\n") + FAIL, "Z"), (q("SELECT * FROM t"), "Z")],
    "copy in, failed by the server": [(q(COPY), "G"), (data(b"x\ta\n") + data(b"2\tb\n") + DONE, "Z"), (data(b"late") + DONE + q("SELECT 1"), "Z")],
    "copy in, extended": [(whole(COPY) + SYNC, "G"), (data(b"1\ta\n") + SYNC + FLUSH + data(b"2\tb\n") + DONE + SYNC, "Z"), (q("SELECT * FROM t"), "Z")],
    "copy in, extended, in one breath": [(whole(COPY) + SYNC + data(b"1\ta\n") + DONE + SYNC + q("SELECT * FROM t"), "ZZ")],
    "copy in, extended, without a Sync in between": [(whole(COPY) + data(b"1\ta\n") + DONE + whole("SELECT 1") + SYNC, "Z")],
    "copy in, extended, failed": [(whole(COPY) + SYNC, "G"), (data(b"x\n") + data(b"2\tb\n") + DONE + SYNC, "Z"), (q("SELECT * FROM t"), "Z")],
    "copy in, extended, refused at once": [(whole("COPY nope FROM STDIN") + SYNC, "Z"), (data(b"1\n") + DONE + SYNC, "Z")],
    "copy in, a Sync behind data that fails": [(q(COPY), "G"), (data(b"x\n") + SYNC, "ZZ"), (q("SELECT 1"), "Z")],
    "copy in, extended, a Sync behind data that fails": [(whole(COPY) + SYNC, "G"), (data(b"x\n") + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "copy in, extended, that fails before it reads": [(whole("COPY guarded FROM STDIN") + SYNC, "GEZ"), (q("SELECT 1"), "Z")],
    "copy in, Syncs behind what fails at once": [
        (q("COPY nope FROM STDIN") + SYNC + q("SELECT 1"), "ZZZ"), (whole("COPY nope FROM STDIN") + SYNC + SYNC + q("SELECT 1"), "ZZZ"),
        (whole("SELECT 1/0") + whole(COPY) + SYNC + SYNC + whole("SELECT 1") + SYNC, "ZZZ"),
    ],
    "copies in a row": [
        (whole(COPY) + data(b"1\ta\n") + DONE + SYNC + whole(COPY) + data(b"2\tb\n") + DONE + SYNC, "ZZ"),
        (whole(COPY) + data(b"3\ta\n") + DONE + whole(COPY) + data(b"4\tb\n") + DONE + SYNC, "Z"),
        (q(COPY) + data(b"5\ta\n") + DONE + q(COPY) + data(b"6\tb\n") + DONE, "ZZ"), (q("SELECT * FROM t"), "Z"),
    ],
    "copy in, Syncs behind data sent ahead": [
        (q(COPY) + data(b"1\ta\n") + DONE + SYNC, "ZZ"), (q(COPY) + FAIL + SYNC, "ZZ"), (q(f"{COPY}; {COPY}") + data(b"2\tb\n") + DONE + data(b"3\tc\n") + DONE + SYNC, "ZZ"),
        (whole(COPY) + data(b"x\n") + SYNC, "Z"), (q("SELECT * FROM t"), "Z"),
    ],
    "copy from stdout": [(q("COPY t FROM STDOUT"), "G"), (data(b"1\ta\n") + DONE, "Z"), (q("SELECT * FROM t"), "Z")],
    "a copy's words, and none": [(whole("SELECT '; copy stdin'") + SYNC + whole("SELECT 2") + SYNC + q("SELECT 'stdin copy'") + SYNC, "ZZZZ")],
    "copies in one string": [(q(f"{COPY}; SELECT 1; {COPY}"), "G"), (data(b"1\ta\n") + DONE, "CTDCG"), (data(b"2\tb\n") + DONE, "Z")],
    "copies in one breath": [(q(f"{COPY}; {COPY}") + data(b"1\ta\n") + DONE + data(b"2\tb\n") + DONE + q("SELECT * FROM t"), "ZZ")],
    "copy in of large pieces": [(q(COPY), "G"), (data(b"1\t" + b"x" * 700_000 + b"\n") + DONE, "Z"), (q("SELECT length(v) FROM t"), "Z")],
    "copy out": [(q("COPY (SELECT g, repeat('x', 9) FROM generate_series(1, 2000) g) TO STDOUT"), "Z")],
    "copy out, extended": [(p("COPY (SELECT 1) TO STDOUT") + b() + d("P") + e() + SYNC, "Z")],
    "copy out, failing": [(q("COPY (SELECT 10/(3-g) FROM generate_series(1, 9) g) TO STDOUT; SELECT 1"), "Z")],
    "copy out of large rows": [(q("COPY (SELECT repeat('x', 400000)) TO STDOUT"), "Z")],
    "big rows": [(q("SELECT g, repeat('x', g * 150000) FROM generate_series(1, 4) g"), "Z")],
    "many rows": [(p("SELECT g, md5(g::text) FROM generate_series(1, 20000) g") + b() + d("P") + e() + SYNC, "Z")],
    "function call": [(messages.FunctionCall(1397, (1,), (INT,), 1).encode(), "Z")],
    "function call, failing": [(messages.FunctionCall(999_999, (), ()).encode() + q("SELECT 1"), "ZZ")],
    "notices": [(q("SELECT noisy(); DO $$ BEGIN RAISE WARNING 'w'; END $$"), "Z"), (whole("SELECT noisy()") + SYNC, "Z")],
    "notify": [(q("LISTEN c"), "Z"), (q("NOTIFY c, 'hello'"), "Z"), (q("UNLISTEN *"), "Z")],
    "settings": [(q("SET application_name = 'x'; SET TimeZone = 'UTC'"), "Z"), (q("SHOW TimeZone"), "Z"), (whole("SHOW application_name") + SYNC, "Z")],
    "deferred constraint at sync": [(whole("INSERT INTO later VALUES (1), (1)") + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "deferred constraint at commit": [(q("BEGIN; INSERT INTO later VALUES (1), (1)"), "Z"), (q("COMMIT"), "Z")],
    "returning and explain": [(p("INSERT INTO t VALUES (9,'z') RETURNING id, v") + b(results=(1, 0)) + d("P") + e() + SYNC, "Z"), (whole("EXPLAIN (COSTS OFF) SELECT 1") + SYNC, "Z")],
    "procedure": [(q("CALL out_of(1)"), "Z"), (p("CALL out_of($1)") + b("", "", b"4") + d("P") + e() + SYNC, "Z")],
    "transactions by extended": [(whole("BEGIN") + whole("SELECT 1") + whole("COMMIT") + whole("SELECT 2") + SYNC, "Z")],
    "portals and begin in one pipeline": [(p("SELECT g FROM generate_series(1,3) g", "s") + whole("BEGIN") + b("x", "s") + e("x", 1) + SYNC, "Z"), (e("x") + SYNC, "Z"), (q("ROLLBACK"), "Z")],
    "discard": [(p("SELECT 1", "s") + SYNC, "Z"), (q("DISCARD ALL"), "Z"), (b("", "s") + e() + SYNC, "Z"), (p("SELECT 2", "s") + b("", "s") + e() + SYNC, "Z")],
    "syncs alone": [(SYNC + SYNC + FLUSH + SYNC, "ZZZ")],
}  # fmt: skip

# "DENY" is a syntax error to the server and a refusal to us; so is the value b"deny" for an int.
REFUSALS: dict[str, Script] = {
    "alone": [(q("DENY me"), "Z"), (q("SELECT 1"), "Z")],
    "in a transaction": [(q("BEGIN"), "Z"), (q("INSERT INTO t VALUES (1,'a')"), "Z"), (q("DENY me"), "Z"), (q("COMMIT"), "Z"), (q("SELECT * FROM t"), "Z")],
    "in a failed transaction": [(q("BEGIN"), "Z"), (q("SELECT 1/0"), "Z"), (q("DENY me"), "Z"), (q("ROLLBACK"), "Z")],
    "behind a savepoint": [(q("BEGIN; SAVEPOINT a"), "Z"), (q("DENY me"), "Z"), (q("ROLLBACK TO a; SELECT 1"), "Z"), (q("COMMIT"), "Z")],
    "between simple queries": [(q("SELECT 1") + q("DENY me") + q("SELECT 3"), "ZZZ")],
    "parse": [(p("DENY me") + b() + d("P") + e() + SYNC, "Z"), (whole("SELECT 1") + SYNC, "Z")],
    "parse behind work in one step": [(whole("INSERT INTO t VALUES (1,'a')") + whole("DENY me") + whole("SELECT 2") + SYNC, "Z"), (q("SELECT * FROM t"), "Z")],
    "parse behind a step": [(whole("INSERT INTO t VALUES (1,'a')") + SYNC + whole("DENY me") + whole("SELECT 2") + SYNC + whole("SELECT * FROM t") + SYNC, "ZZZ")],
    "parse behind another error": [(whole("SELECT 1/0") + whole("DENY me") + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "another error behind it": [(whole("DENY me") + whole("SELECT 1/0") + SYNC + q("SELECT 1/0"), "ZZ")],
    "named parse": [(p("SELECT 1", "s") + p("DENY me", "x") + SYNC, "Z"), (b("", "s") + e() + SYNC, "Z"), (b("", "x") + e() + SYNC, "Z")],
    "bind": [(p("SELECT $1::int", "s") + b("", "s", b"deny") + e() + SYNC, "Z"), (b("", "s", b"5") + e() + SYNC, "Z")],
    "bind in a transaction": [(q("BEGIN"), "Z"), (p("SELECT $1::int") + b("", "", b"deny") + e() + c("P") + SYNC, "Z"), (q("SELECT 1"), "Z"), (q("ROLLBACK"), "Z")],
    "flush": [(p("DENY me") + FLUSH, "E"), (b() + e() + FLUSH + SYNC, "Z"), (q("SELECT 1"), "Z")],
    "everything refused": [(q("DENY a") + whole("DENY b") + SYNC + q("DENY c"), "ZZZ")],
}  # fmt: skip


class Direct:
    """A raw connection, logged in."""

    def __init__(self, server: PostgresServer) -> None:
        self.socket = socket.create_connection((server.host, server.port), 10)
        self.socket.sendall(messages.Startup(3 << 16, {"user": "postgres", "database": "relay"}).encode())
        self.reader, self.settings = FrameReader(limit=1 << 24), {}
        self.heard: list[Frame] = []
        for frame in self.until("Z"):
            if frame.tag == b"S":
                status = replies.ParameterStatus.parse(frame.body)
                self.settings[status.name] = status.value

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def receive(self) -> bytes:
        content = self.socket.recv(65536)
        assert content, "the server closed the connection"
        return content

    def until(self, tags: str) -> list[Frame]:
        """Everything up to the last of these tags, which come in this order."""
        wanted, frames = deque(tags.removeprefix(END) or "CZ"), []
        ended = not tags.startswith(END)
        while wanted:
            while (frame := self.reader.next_frame()) is None:
                self.reader.feed(self.receive())
            frames.append(frame)
            ended = ended or b"the end" in frame.body
            if not ended:
                continue
            if frame.tag == wanted[0].encode():
                wanted.popleft()
        return frames

    def say(self, script: Script) -> list[list[Frame]]:
        said = []
        for content, tags in script:
            self.send(content)
            said.append(self.until(tags))
        self.send(SYNC)
        assert [frame.tag for frame in self.until("Z")] == [b"Z"], "more was said than was waited for"
        return said

    def close(self) -> None:
        self.socket.close()


class Hearing:
    """Opinions of a chain that hears everything and changes nothing."""

    def __init__(self, hears: bool) -> None:
        self.hears_data = False
        self.hears_columns = self.hears_content = self.hears_rows = self.hears_text = hears
        self.origins: list[int] = []

    def plan(self, decision: Decision, columns: Columns) -> MaskPlan | None:
        self.origins += [column.table_oid for column in columns.fields]
        return None

    def content(self, decision: Decision) -> None:
        return None

    def rows(self, decision: Decision, batch: RowBatch) -> Deny | None:
        return None

    def moves(self, decision: Decision, portals: bool) -> tuple[bool, bool]:
        return False, False

    def text(self, kind: str, fields: dict[str, str], decision: Decision | None) -> dict[str, str]:
        return fields


class Through(Direct):
    """The same client behind a relay. Counts what is recorded: each intent ends in one report."""

    def __init__(self, server: PostgresServer, hears: bool, step: int = 1 << 20, unrecorded: bool = False) -> None:
        self.relay: PostgresRelay | None = None  # the login is not its business
        super().__init__(server)
        self.opinions, self.step, self.unrecorded = Hearing(hears), step, unrecorded
        self.relay = PostgresRelay(self.opinions, self.settings)
        self.to_client = bytearray()
        self.intended: dict[int, Ending | None] = {}
        self.texts: list[str] = []

    def send(self, content: bytes) -> None:
        self._feed(self.relay.from_client, content)

    def receive(self) -> bytes:
        if self.relay is None:
            return super().receive()
        while not self.to_client:
            self._feed(self.relay.from_target, super().receive())
        content, self.to_client = bytes(self.to_client), bytearray()
        return content

    def _feed(self, side: Callable[[bytes], list[Effect]], content: bytes) -> None:
        for start in range(0, len(content), self.step):
            todo = deque(side(content[start : start + self.step]))
            while todo:
                todo += self._perform(todo.popleft())

    def _perform(self, effect: Effect) -> list[Effect]:
        match effect:
            case ToClient(content):
                self.to_client += content
            case ToTarget(content):
                self.socket.sendall(content)
            case Ask(command):
                text = command.text if isinstance(command, Statement) else ""
                return self.relay.answer(Decision(command, self._verdict(command, text), text))
            case Intend(number, decision, content, poison):
                assert number not in self.intended
                self.intended[number] = None
                self.texts.append(decision.sent)
                refused = self.unrecorded and self._refusable(decision.command)
                effects = self.relay.refused(number, "full") if refused else []
                self.socket.sendall(poison if refused else content)
                return effects
            case Report(number, _, outcome):
                assert self.intended[number] is None, "reported twice"
                self.intended[number] = outcome.ending
            case Refused():
                pass
            case Malformed() | Hangup() | CancelTarget():
                raise AssertionError(str(effect))
        return []

    def _verdict(self, command: object, text: str) -> Allow | Deny:
        return Deny("no") if self._refusable(command) and not self.unrecorded else Allow()

    @staticmethod
    def _refusable(command: object) -> bool:
        denied = isinstance(command, Statement) and any(each.value == b"deny" for each in command.parameters)
        return denied or (isinstance(command, Statement) and command.text.startswith("DENY"))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer(POSTGRES)
    try:
        server.start()
        server.sql("CREATE DATABASE relay")
        server.sql(SCHEMA, "relay")
        yield server
    finally:
        server.stop()


@pytest.fixture
def fresh(server: PostgresServer) -> PostgresServer:
    """The same tables, empty."""
    direct = Direct(server)
    direct.say([(q("TRUNCATE t, later"), "Z")])
    direct.close()
    return server


def comparable(said: list[list[Frame]], hide: tuple[str, ...] = ()) -> list[list[Frame]]:
    """Without the process id of a notification, the source line of an error, and errors of these codes."""
    return [[_plain(frame, hide) for frame in line] for line in said]


def _plain(frame: Frame, hide: tuple[str, ...]) -> Frame:
    if frame.tag == b"A":
        return Frame(b"A", frame.body[4:])
    if frame.tag != b"E":
        return frame
    error = replies.ErrorResponse.parse(frame.body)
    if error.sqlstate in hide:
        return Frame(b"E", b"refused")
    if error.fields["M"].endswith(" [OST-708]"):  # in the server's words, to which we add where ours are explained
        error = replies.ErrorResponse({k: v.removesuffix(" [OST-708]") for k, v in error.fields.items() if k != "D"})
    # Its source line differs where a hidden Describe meets what Execute would have met.
    return Frame(b"E", repr({k: v for k, v in error.fields.items() if k not in "FLR"}).encode())


def direct(server: PostgresServer, script: Script) -> list[list[Frame]]:
    client = Direct(server)
    try:
        return client.say([*script, (q("ROLLBACK; TRUNCATE t, later"), "Z")])[:-1]
    finally:
        client.close()


def through(client: Through, script: Script) -> list[list[Frame]]:
    try:
        said = client.say([*script, (q("ROLLBACK; TRUNCATE t, later"), "Z")])[:-1]
        assert not client.relay.close("end") and client.relay.idle
        unreported = [number for number, ending in client.intended.items() if ending is None]
        assert not unreported, f"intended and never reported: {unreported}"
        return said
    finally:
        client.close()


@pytest.mark.parametrize("hears", [False, True], ids=["deaf", "hearing"])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_client_hears_the_same(fresh: PostgresServer, name: str, hears: bool) -> None:
    """Whatever it says, with and without hidden Describes; and every intent is reported once."""
    expected = direct(fresh, SCRIPTS[name])
    assert comparable(through(Through(fresh, hears), SCRIPTS[name])) == comparable(expected)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if "large" not in name and "big" not in name and "many" not in name])
def test_how_the_network_cuts_it_changes_nothing(fresh: PostgresServer, name: str) -> None:
    """Seven bytes at a time."""
    expected = direct(fresh, SCRIPTS[name])
    assert comparable(through(Through(fresh, True, step=7), SCRIPTS[name])) == comparable(expected)


@pytest.mark.parametrize("unrecorded", [False, True], ids=["denied", "unrecorded"])
@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_to_its_transaction_what_a_native_error_is(fresh: PostgresServer, name: str, unrecorded: bool) -> None:
    """Same messages, same status, same behaviour afterwards; only the error's text is ours."""
    native = comparable(direct(fresh, REFUSALS[name]), ("42601", "22P02"))
    client = Through(fresh, True, unrecorded=unrecorded)
    ours = comparable(through(client, REFUSALS[name]), ("42501", "58030"))
    assert ours == native
    if name != "parse behind another error":
        assert any(frame.body == b"refused" for line in ours for frame in line)
        assert not unrecorded or Ending.REFUSED in client.intended.values()


def test_refused_text_is_not_in_the_servers_log(fresh: PostgresServer) -> None:
    """No byte of it got there."""
    through(Through(fresh, False), [(q("DENY this secret"), "Z"), (whole("DENY that secret") + SYNC, "Z")])
    assert "secret" not in fresh.log.read_text()


def test_a_table_exchanged_under_a_statement_is_seen(fresh: PostgresServer) -> None:
    """The rows' origin is the portal's own, not the one that the statement had when it was described."""
    client = Through(fresh, True)
    through(client, SCRIPTS["table exchanged under a statement"])
    tables = fresh.sql("SELECT 'a.x'::regclass::oid; SELECT 'b.x'::regclass::oid", "relay").split()
    assert client.opinions.origins == [int(oid) for oid in tables]


def test_a_cursor_under_a_portals_name_is_asked_about(fresh: PostgresServer) -> None:
    """What it fetches is recorded as what it is."""
    client = Through(fresh, True)
    through(client, SCRIPTS["cursor of another shape under a portal's name"])
    assert 'FETCH FORWARD ALL FROM "c"' in client.texts


PIECES = [
    p("SELECT 1"), p("SELECT $1::int", "s"), p("SELEC"), p("DENY me", "x"), p("INSERT INTO t VALUES (1, 'a')"), p("SELECT g FROM generate_series(1,3) g"),
    b(), b("", "s", b"5"), b("", "s", b"x"), b("c"), b("c", "s", b"6"), d("P"), d("S", "s"), d("P", "c"), e(), e(), e("", 1),
    e("c", 1), e("c"), c("S", "s"), c("P", "c"), c("P"), FLUSH, SYNC, SYNC, q("SELECT 7"), q("DENY q"), q("BEGIN"), q("COMMIT"),
    q("SAVEPOINT a"), q("ROLLBACK TO a"), q("SELECT 1/0"), q("CLOSE c"), data(b"1\ta\n"), DONE,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_random_pipelines_are_heard_the_same(fresh: PostgresServer, seed: int) -> None:
    """Valid or not, in one write: errors, refusals, portals, skipping. What ends a session in nonsense is not among them."""
    chance = random.Random(seed)
    for _ in range(25):
        pieces = [chance.choice(PIECES) for _ in range(chance.randrange(1, 25))]
        script = [(b"".join(pieces) + SYNC + q("ROLLBACK; SELECT 'the end'"), END)]
        native = comparable(direct(fresh, script), ("42601", "22P02"))
        ours = comparable(through(Through(fresh, chance.random() < 0.5), script), ("42601", "22P02", "42501"))
        assert ours == native, pieces
