"""Records byte by byte: fixed vectors, because stored bytes are the evidence."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.notary.record import (
    BODY_FIELDS, COMMON, FIELDS, LEAF_LIMIT, NAME_LIMIT, BadRecord, Kind, Stamp, event, identity_terms, is_canonical,
    pack_leaf, parse_event, parse_leaf,
)

STAMP = Stamp(2, 300, 1_700_000_000_000_000_000, 5, 7, 70_000, b"h" * 32, b"c" * 32, (b"t" * 16,))
NOTE = event(Kind.NOTE, "cancel", session=b"s" * 16, number=3, target="clinic", verdict=1, ref=[1, 2])


def test_an_event_is_these_bytes() -> None:
    expected = "97" "1e" "c410" + "73" * 16 + "03" "a6" + b"clinic".hex() + "01" "920102" "a6" + b"cancel".hex()
    assert NOTE.hex() == expected


def test_a_leaf_is_the_stamp_before_the_untouched_event() -> None:
    leaf = pack_leaf(STAMP, NOTE)
    expected = (
        "92" "9a" "01" "02" "cd012c" "cf17979cfe362a0000" "05" "07" "ce00011170"
        "c420" + "68" * 32 + "c420" + "63" * 32 + "91c410" + "74" * 16
    )
    assert leaf.hex() == expected + NOTE.hex()
    record = parse_leaf(leaf)
    assert record.stamp == STAMP and record.kind == Kind.NOTE and record.key == (7, 70_000)
    assert record.get("what") == "cancel" and record.session == b"s" * 16
    assert is_canonical(leaf)


def test_a_longer_form_of_the_same_values_is_not_canonical() -> None:
    """Two encodings of one record would be two leaves."""
    leaf = pack_leaf(STAMP, NOTE)
    assert not is_canonical(leaf.replace(b"\xcd\x01\x2c", b"\xce\x00\x00\x01\x2c"))


@pytest.mark.parametrize(
    "fields",
    [
        [], {"kind": 30}, [30, b"", 0, "", 0], [99, b"", 0, "", 0, None, "x"], [30, b"", 0, "", 0, None],
        [30, b"short", 0, "", 0, None, "x"], [30, "", 0, "", 0, None, "x"], [30, b"", -1, "", 0, None, "x"],
        [30, b"", 0, b"", 0, None, "x"], [30, b"", 0, "", 3, None, "x"],
        [30, b"", 0, "t" * (NAME_LIMIT + 1), 0, None, "x"],
        [30, b"", "0", "", 0, None, "x"],
    ],
)
def test_what_is_no_event_is_refused(fields: object) -> None:
    with pytest.raises(BadRecord):
        parse_event(msgpack.packb(fields))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    """A damaged leaf never raises anything else."""
    for parse in (parse_event, parse_leaf):
        try:
            parse(data)
        except BadRecord:
            pass


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=3))
def test_damage_anywhere_in_a_leaf_is_a_record_or_refused(place: int, junk: bytes) -> None:
    leaf = bytearray(pack_leaf(STAMP, NOTE))
    place %= len(leaf)
    leaf[place : place + len(junk)] = junk
    try:
        parse_leaf(bytes(leaf))
    except BadRecord:
        pass


def test_a_leaf_is_bounded() -> None:
    with pytest.raises(BadRecord):
        pack_leaf(STAMP, event(Kind.NOTE, "x" * LEAF_LIMIT))


def test_later_fields_do_not_disturb_readers() -> None:
    """A newer writer may add fields at the end."""
    assert parse_event(event(Kind.NOTE, "cancel", "new field"))[len(COMMON)] == "cancel"


def test_every_kind_has_its_fields_and_every_body_its_names() -> None:
    assert set(FIELDS) == set(Kind) and set(BODY_FIELDS) < set(Kind)


def test_names_of_people_become_terms() -> None:
    assert identity_terms({"identity": "ada", "peer": "x", "on_behalf_of": "grace", "user": "ada"}) == [
        "identity\0ada", "identity\0grace",
    ]
