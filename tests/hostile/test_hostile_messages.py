"""
Bad messages in a session that is logged in: a broken frame ends that session with 08P01 and a record; what is only
wrong gets an error and the session goes on. Everybody else works on, and memory stays bounded.
"""

from __future__ import annotations

import threading
from struct import pack
from typing import Any

import psycopg
import pytest
from bystanders import Others
from rough import SYNC, Rough, code, message, promise, query

from tests.house import ADA, House, until

pytestmark = pytest.mark.live

MANY = 100_000
END = query("SELECT 'the end'")

BIND = message(b"B", b"\0\0" + pack("!HHH", 0, 0, 0))
EXECUTE = message(b"E", b"\0" + pack("!I", 0))

# The frame is broken, so nothing behind it can be found: the session ends.
BROKEN = {
    "a kind that is none": message(b"z"),
    "kind zero": message(b"\0", b"\0\0\0\0"),
    "what only servers say": message(b"T", b"\0\0"),
    "ready, says the client": message(b"Z", b"I"),
    "length zero": promise(b"S", 0),
    "length three": promise(b"Q", 3),
    "a negative length": promise(b"Q", -5),
    "two gigabytes of SQL": promise(b"Q", 0x7FFFFFFF),
    "two gigabytes of COPY": promise(b"d", 0x7FFFFFFF),
    "a megabyte of Sync": promise(b"S", 2 << 20),
    "a megabyte of password": promise(b"p", 2 << 20),
    "SQL without an end": message(b"Q", b"SELECT 1"),
    "SQL with two ends": message(b"Q", b"SELECT 1\0DROP TABLE x\0"),
    "an empty Query": message(b"Q"),
    "a Parse of nothing": message(b"P"),
    "a Parse that stops": message(b"P", b"name\0SELECT 1"),
    "a Parse with 65535 types promised": message(b"P", b"\0SELECT 1\0" + pack("!H", 65535)),
    "a Bind of nothing": message(b"B"),
    "a Bind with 65535 values promised": message(b"B", b"\0\0" + pack("!HH", 0, 65535)),
    "a Bind with a value of minus two": message(b"B", b"\0\0" + pack("!HHi", 0, 1, -2) + pack("!H", 0)),
    "a Bind with a value of two gigabytes": message(b"B", b"\0\0" + pack("!HHi", 0, 1, 0x7FFFFFFF)),
    "a Bind with bytes behind": message(b"B", b"\0\0" + pack("!HHH", 0, 0, 0) + b"more"),
    "a Describe of kind X": message(b"D", b"Xname\0"),
    "a Close of kind X": message(b"C", b"Xname\0"),
    "an Execute that stops": message(b"E", b"\0\0"),
    "a function without arguments": message(b"F", pack("!I", 1598)),
    "a function with 65535 arguments": message(b"F", pack("!IHH", 1598, 0, 65535)),
}

# Wrong, and whole: an error, and the session is as it was.
WRONG = {
    "a portal nobody opened": (message(b"E", b"nobody\0" + pack("!I", 0)) + SYNC, "34000"),
    "a statement nobody prepared": (message(b"D", b"Snobody\0") + SYNC, "26000"),
    "a Bind of nothing prepared": (message(b"B", b"\0nobody\0" + pack("!HHH", 0, 0, 0)) + SYNC, "26000"),
    "a function that is none": (message(b"F", pack("!IHHH", 0xFFFFFFFF, 0, 0, 0)), "42501"),
    "SQL that is not UTF-8": (query(b"SELECT '\xff\xfe'"), "22021"),
    "prepared SQL that is not UTF-8": (message(b"P", b"\0SELECT '\xc0\xaf'\0\0\0") + SYNC, "22021"),
    "more SQL than a megabyte": (query("SELECT '" + "x" * (2 << 20) + "'"), "54000"),
    "no SQL at all": (query("\x01\x02\x03"), "42601"),
    "two hundred thousand brackets": (query("SELECT " + "(" * 100_000 + "1" + ")" * 100_000), ""),
    "brackets that do not close": (query("SELECT " + "(" * 200_000), ""),
    "a hundred thousand NOT": (query("SELECT " + "NOT " * 100_000 + "true"), ""),
    "sub-selects three thousand deep": (query("SELECT (" * 3000 + "1" + ")" * 3000), ""),
    "a sum of ten thousand": (query("SELECT 1" + "+1" * 10_000), ""),
    "comments in comments": (query("/*" * 5_000), ""),
    "thousands of CASE": (query("SELECT " + "CASE WHEN true THEN " * 5000 + "1" + " END" * 5000), ""),
    "a statement of thirty thousand statements": (query(";" * 1000 + "SELECT 1;" * 30_000), ""),
}

# Said at a time when a server overlooks it.
IDLE = {
    "COPY data outside COPY": message(b"d", bytes(1000)) * 50,
    "the end of no COPY": message(b"c"),
    "the failure of no COPY": message(b"f", b"why\0"),
}


def test_a_broken_frame_ends_its_session_and_nothing_else(house: House, others: Others) -> None:
    """08P01, the end of the connection, and a record that says which side."""
    peers = {}
    for name, said in BROKEN.items():
        client = Rough(house, logged_in=True)
        client.say(said + SYNC)
        client.say(END)
        heard = client.told(b"Z", 10)
        assert not any(tag == b"D" for tag, _ in heard), f"{name}: it went on"
        assert code(heard) in ("08P01", "08006"), f"{name}: {heard}"
        peers[client.peer] = name
        client.close()
        others.work()
    opened = {record["session"]: record["body"]["peer"] for record in house.records("--kind", "opened")}
    theirs = {session for session, peer in opened.items() if peer in peers}
    until(lambda: theirs <= {record["session"] for record in house.records("--kind", "closed")}, "the end of each")
    malformed = {opened[record["session"]] for record in house.records("--kind", "note")
                 if record.get("session") in opened and record["fields"]["what"] == "malformed"}
    assert not {name for peer, name in peers.items() if peer not in malformed}


def test_a_wrong_message_gets_an_error_and_the_session_goes_on(house: House, others: Others) -> None:
    """Of what a server may or may not like itself, only the outcome is asked: alive, and in step."""
    for name, (said, expected) in WRONG.items():
        client = Rough(house, logged_in=True)
        heard = client.exchange(said + END, b"Z", 2)
        assert code(heard) == expected or not expected, f"{name}: {heard[:3]}"
        assert (b"D", pack("!HI", 1, 7) + b"the end") in heard, f"{name}: {heard[-3:]}"
        client.close()
        others.work()


def test_what_a_server_overlooks_is_overlooked(house: House, others: Others) -> None:
    client = Rough(house, logged_in=True)
    for said in IDLE.values():
        heard = client.exchange(said + END)
        assert (b"D", pack("!HI", 1, 7) + b"the end") in heard and code(heard) == ""
    client.close()


@pytest.mark.parametrize(
    ("said", "answers"),
    [(SYNC, MANY), (message(b"H"), 0), (message(b"C", b"Snobody\0"), 0), (BIND + EXECUTE, 0)],
    ids=["Sync", "Flush", "Close", "failing pairs"],
)
def test_a_hundred_thousand_tiny_messages(house: House, others: Others, said: bytes, answers: int) -> None:
    """In one breath, with somebody else at work meanwhile."""
    client, over = Rough(house, logged_in=True), threading.Event()
    worker = threading.Thread(target=lambda: _keep_working(others, over))
    worker.start()
    try:
        heard = client.exchange(said * (MANY // (1 + (len(said) > 20))) + SYNC + END, b"Z", answers + 2)
    finally:
        over.set()
        worker.join()
    assert (b"D", pack("!HI", 1, 7) + b"the end") in heard
    client.close()


def _keep_working(others: Others, over: threading.Event) -> None:
    while not over.is_set():
        others.work()


def test_a_pipeline_of_ten_thousand_statements(house: House, others: Others) -> None:
    one = message(b"P", b"\0SELECT 7\0\0\0") + BIND + EXECUTE
    client = Rough(house, logged_in=True)
    heard = client.exchange(one * 10_000 + SYNC, b"Z")
    assert sum(tag == b"D" for tag, _ in heard) == 10_000 and code(heard) == ""
    client.close()


def test_more_names_than_one_session_may_have(house: House, others: Others) -> None:
    """The one over the limit is refused; the names stay usable."""
    client = Rough(house, logged_in=True)
    names = b"".join(message(b"P", b"n%d\0SELECT 1\0\0\0" % number) + SYNC for number in range(10_001))
    heard = client.exchange(names, b"Z", 10_001)
    assert code(heard) == "54000" and sum(tag == b"1" for tag, _ in heard) == 10_000
    heard = client.exchange(message(b"B", b"\0n9999\0" + pack("!HHH", 0, 0, 0)) + EXECUTE + SYNC)
    assert [tag for tag, _ in heard] == [b"2", b"D", b"C", b"Z"]
    client.close()


def test_a_quarter_of_a_gigabyte_of_values(house: House, others: Others) -> None:
    """Over the spool's limit it is read past, not kept; what was promised and never comes is forgotten with its session."""
    client = Rough(house, logged_in=True)
    size = (256 << 20) + 1
    client.socket.sendall(message(b"P", b"\0SELECT $1::text\0\0\0"))
    client.socket.sendall(promise(b"B", size + 4 + 14, b"\0\0" + pack("!HHi", 0, 1, size)))
    chunk = bytes(1 << 20)
    for _ in range(256):
        client.socket.sendall(chunk)
    client.socket.sendall(b"\0" + pack("!HH", 0, 0) + EXECUTE + SYNC + END)
    heard = client.told(b"Z", 2)
    assert code(heard) == "53400" and (b"D", pack("!HI", 1, 7) + b"the end") in heard
    client.close()
    promises = [Rough(house, logged_in=True) for _ in range(20)]
    for one in promises:
        one.say(promise(b"B", 200 << 20, bytes(1 << 20)))
    others.check()
    for one in promises:
        one.close()
    with house.connect(ADA) as person:
        until(lambda: fits(person, 40 << 20), "their room is given back")


def fits(person: psycopg.Connection[Any], size: int) -> bool:
    """Whether a value of so many bytes passes now."""
    try:
        return person.execute("SELECT length(%s::text)", ["x" * size]).fetchone() == (size,)
    except psycopg.errors.ConfigurationLimitExceeded:
        return False


def test_a_client_that_never_reads(house: House, others: Others) -> None:
    """Half a gigabyte waits at the target, not in the gateway; hanging up ends it there too."""
    client = Rough(house, logged_in=True, application_name="deaf")
    client.say(query("SELECT repeat('x', 1000000) FROM generate_series(1, 500)"))
    until(lambda: house.server.sql("SELECT wait_event FROM pg_stat_activity WHERE application_name = 'deaf'") == "ClientWrite",
          "the target waits for room")
    others.check()
    client.close()
    until(lambda: not house.server.sql("SELECT 1 FROM pg_stat_activity WHERE application_name = 'deaf'"), "it is over")
