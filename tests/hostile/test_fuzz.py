"""
Sequences of messages that nobody thought of, against the live gateway: each ends its session or leaves it in step.

What comes is made of real messages with their parts exchanged, cut, lengthened and repeated. The seed is fixed in
the short profile and drawn, and printed, in the long one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from struct import pack

import pytest
from bystanders import Others
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from rough import SYNC, Rough, message, query

from tests.house import House

pytestmark = pytest.mark.live

SOAK = os.environ.get("OSTIARY_PROFILE") == "soak"
ROUNDS = 3_000 if SOAK else 120
SEED = int.from_bytes(os.urandom(4), "big") if SOAK else 20260718

_names = st.sampled_from([b"", b"a", b"b", b"\xff\xfe", b"x" * 70])
_texts = st.sampled_from([
    b"SELECT 1", b"SELECT $1::text", b"BEGIN", b"COMMIT", b"ROLLBACK", b"SAVEPOINT s", b"SELECT 1/0", b"selec", b"",
    b"SELECT '\xff'", b"SET search_path = ''", b"COPY (SELECT 1) TO STDOUT", b"COPY t FROM STDIN", b"SELECT 1; SELECT 2",
    b"DECLARE c CURSOR FOR SELECT 1", b"FETCH c", b"PREPARE a AS SELECT 1", b"EXECUTE a", b"DISCARD ALL", b";;;",
    b"CREATE TEMP TABLE IF NOT EXISTS t (x text)", b"SELECT generate_series(1, 2000)",
])  # fmt: skip
_values = st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=3)


def _bind(portal: bytes, name: bytes, values: list[bytes | None], codes: int) -> bytes:
    cells = b"".join(pack("!i", -1) if one is None else pack("!i", len(one)) + one for one in values)
    return message(b"B", portal + b"\0" + name + b"\0" + pack("!H", 0) + pack("!H", len(values)) + cells + pack("!HH", 1, codes))


_whole = st.one_of(
    st.builds(query, _texts),
    st.builds(lambda name, text: message(b"P", name + b"\0" + text + b"\0\0\0"), _names, _texts),
    st.builds(_bind, _names, _names, _values, st.integers(0, 3)),
    st.builds(lambda kind, name: message(b"D", kind + name + b"\0"), st.sampled_from([b"S", b"P"]), _names),
    st.builds(lambda kind, name: message(b"C", kind + name + b"\0"), st.sampled_from([b"S", b"P"]), _names),
    st.builds(lambda name, rows: message(b"E", name + b"\0" + pack("!I", rows)), _names, st.sampled_from([0, 1, 7, 1 << 31])),
    st.builds(lambda oid, data: message(b"F", pack("!I", oid) + data), st.sampled_from([0, 1598, 715]), st.binary(max_size=12)),
    st.builds(lambda data: message(b"d", data), st.binary(max_size=60)),
    st.sampled_from([SYNC, message(b"H"), message(b"c"), message(b"f", b"no\0")]),
)
_broken = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.builds(message, st.binary(min_size=1, max_size=1), st.binary(max_size=30)),
    st.builds(lambda one, at: one[:at] + one[at + 1 :], _whole, st.integers(0, 30)),
    st.builds(lambda one, at, byte: one[:at] + byte + one[at + 1 :], _whole, st.integers(0, 30), st.binary(min_size=1, max_size=1)),
)
_talk = st.lists(st.one_of(_whole, _whole, _whole, _whole, _broken), min_size=1, max_size=25)


def test_whatever_is_said_ends_well(house: House, others: Others, tell: Callable[[str], None]) -> None:
    """The session ends, or answers once it is asked to end whatever it is in; a worker outlives all of them."""
    tell(f"{ROUNDS} conversations, seed {SEED}")
    count = [0]

    @seed(SEED)
    @settings(max_examples=ROUNDS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(_talk, st.integers(1, 4000))
    def attack(talk: list[bytes], piece: int) -> None:
        client = Rough(house, logged_in=True)
        try:
            data = b"".join(talk)
            for at in range(0, len(data), piece):
                client.say(data[at : at + piece])
            client.done()
            told = client.rest()
        finally:
            client.close()
        assert b"Traceback" not in told and b"OST-900" not in told, talk
        count[0] += 1
        if count[0] % 20 == 0:
            others.work()
        if count[0] % 500 == 0:
            tell(f"{count[0]} conversations")

    attack()
    assert count[0] >= ROUNDS
