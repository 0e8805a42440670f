"""Bodies: encrypted, one key per record, committed to."""

from __future__ import annotations

import pytest

from gateway.notary.body import Bodies, BodyError, body_hash, commit

MASTER, SESSION = b"m" * 32, b"s" * 16


def test_what_is_sealed_opens_and_proves_itself() -> None:
    bodies = Bodies(MASTER)
    stored, hashed, commitment = bodies.seal(SESSION, b"SELECT ssn")
    plain, opening = Bodies(MASTER).open(SESSION, stored)
    assert plain == b"SELECT ssn" and commit(opening, plain) == commitment
    assert body_hash(stored) == hashed
    assert b"ssn" not in stored


def test_the_same_text_is_never_stored_twice_alike() -> None:
    """Equal ciphertexts or commitments would tell that two people asked the same."""
    one, two = (Bodies(MASTER).seal(SESSION, b"x") for _ in range(2))
    assert all(mine != yours for mine, yours in zip(one, two, strict=True))


@pytest.mark.parametrize("place", [0, 15, 16, 20, -1])
def test_a_changed_byte_does_not_open(place: int) -> None:
    stored = bytearray(Bodies(MASTER).seal(SESSION, b"text")[0])
    stored[place] ^= 1
    with pytest.raises(BodyError):
        Bodies(MASTER).open(SESSION, bytes(stored))


def test_another_key_or_session_does_not_open() -> None:
    stored = Bodies(MASTER).seal(SESSION, b"text")[0]
    for other, session in ((b"n" * 32, SESSION), (MASTER, b"t" * 16)):
        with pytest.raises(BodyError):
            Bodies(other).open(session, stored)


def test_no_second_text_fits_a_commitment() -> None:
    opening = b"o" * 32
    assert commit(opening, b"DROP") != commit(opening, b"SELECT") and commit(opening, b"") != commit(b"p" * 32, b"")


def test_terms_are_pseudonyms_under_the_key() -> None:
    term = Bodies(MASTER).term("identity\0ada")
    assert len(term) == 16 and term == Bodies(MASTER).term("identity\0ada")
    assert term not in (Bodies(MASTER).term("identity\0bob"), Bodies(b"n" * 32).term("identity\0ada"))


def test_session_keys_in_memory_are_bounded() -> None:
    bodies = Bodies(MASTER)
    first = bodies.seal(bytes(16), b"x")[0]
    for number in range(3000):
        bodies.seal(number.to_bytes(16, "big"), b"x")
    assert len(bodies.keys) <= 1024
    assert bodies.open(bytes(16), first)[0] == b"x"


def test_a_short_key_is_refused() -> None:
    with pytest.raises(BodyError):
        Bodies(b"short")
