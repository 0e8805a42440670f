"""Our HMAC is the standard library's, byte for byte; salts are drawn once."""

from __future__ import annotations

import hmac
import random

import pytest

from gateway.notary.body import Bodies
from gateway.notary.mac import Key

LUCK = random.Random(5)


@pytest.mark.parametrize("length", [0, 1, 16, 31, 32, 63, 64])
def test_a_key_of_any_length_gives_what_the_standard_library_gives(length: int) -> None:
    secret = LUCK.randbytes(length)
    key = Key(secret)
    for size in (0, 1, 55, 56, 64, 1000):
        message = LUCK.randbytes(size)
        expected = hmac.digest(secret, message, "sha256")
        assert key.digest(message) == expected
        assert key.digest(message) == expected  # the key is as it was


def test_a_key_that_would_have_to_be_hashed_is_refused() -> None:
    with pytest.raises(ValueError):
        Key(bytes(65))


def test_no_two_records_share_a_salt() -> None:
    """The nonce is zero, so a salt that came twice would use a key twice; they are drawn many at a time."""
    bodies = Bodies(b"m" * 32)
    salts = {bodies.seal(b"s" * 16, b"x")[0][:16] for _ in range(2000)}
    assert len(salts) == 2000


def test_salts_come_from_the_given_source_and_no_other() -> None:
    drawn: list[int] = []

    def source(count: int) -> bytes:
        drawn.append(count)
        return bytes(range(256)) * (count // 256)

    bodies = Bodies(b"m" * 32, source)
    seen = {bodies.seal(b"s" * 16, b"x")[0][:16] for _ in range(16)}
    assert drawn == [4096] and seen == {bytes(range(at, at + 16)) for at in range(0, 256, 16)}
