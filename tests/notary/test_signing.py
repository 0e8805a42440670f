"""Heads signed by libsodium, compiled, and by OpenSSL: the same signatures, and either without the other."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.notary.note import Checkpoint, Signer, key_id
from tests.kernels import Twins, interpreted, many, started
from tests.kernels import twins as made

NAME = "gateway.notary.signing"


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return made(tmp_path_factory, NAME)


@many
@given(text=st.binary(max_size=300))
def test_signatures_are_those_of_any_other_library(twins: Twins, text: bytes) -> None:
    """Of a key that libsodium made: which library signs leaves no trace in the evidence."""
    secret = bytearray(64)
    assert twins.compiled.keyed(secret), "PyNaCl is installed where tests run"
    key = Ed25519PrivateKey.from_private_bytes(bytes(secret[:32]))
    assert twins.agree("signature", secret, text) == key.sign(text)
    assert key.public_key().public_bytes_raw() == secret[32:] and secret != bytearray(64)


@many
@given(size=st.integers(0, 1 << 62), root=st.binary(min_size=32, max_size=32), seed=st.binary(min_size=32, max_size=32))
def test_a_head_is_the_note_of_its_checkpoint_whoever_signs(twins: Twins, size: int, root: bytes, seed: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    secret = bytearray(seed + private.public_key().public_bytes_raw())
    note = Signer("log/s0/1", private).sign(Checkpoint("log/s0/1", size, root).text)
    assert Signer("log/s0/1", private).head(size, root) == Signer("log/s0/1", secret).head(size, root) == note
    line = "\n\u2014 log/s0/1 ".encode()
    assert twins.agree("head", secret, b"log/s0/1", size, root, line, key_id("log/s0/1", bytes(secret[32:]))) == note


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_secret_of_another_length_signs_nothing(twins: Twins, length: int) -> None:
    assert twins.agree("signature", bytearray(length), b"text")[0] is twins.agree("keyed", bytearray(length))[0] is ValueError


@pytest.mark.parametrize("wrong", [None, "text", b"x" * 64, 7], ids=["nothing", "text", "what cannot be overwritten", "a number"])
def test_only_a_secret_that_can_be_overwritten_signs_bytes(twins: Twins, wrong: object) -> None:
    """The compiled text reads memory by address."""
    with pytest.raises(TypeError):
        twins.compiled.signature(wrong, b"text")
    with pytest.raises(TypeError):
        twins.compiled.keyed(wrong)
    with pytest.raises(TypeError):
        twins.compiled.signature(bytearray(64), bytearray(4) if isinstance(wrong, bytes) else wrong)


def test_without_libsodium_no_key_is_made_by_it(twins: Twins) -> None:
    """Where PyNaCl is missing OpenSSL makes the keys and signs, as where nothing is compiled."""
    program = (
        "sys.modules['nacl'] = None\nfrom gateway.notary.note import Signer\n"
        "made = Signer.generate('log'); print(type(made._private).__name__, made.verifier.open(made.sign('text\\n')))"
    )
    assert started(twins, program).split() == ["Ed25519PrivateKey", "text"]
    assert interpreted(NAME).keyed(bytearray(64)) is False


def test_what_was_built_signs(twins: Twins) -> None:
    program = "from gateway.notary.note import Signer; print(type(Signer.generate('log')._private).__name__)"
    assert [started(twins, program, OSTIARY_PURE=pure).strip() for pure in ("", "1")] == ["bytearray", "Ed25519PrivateKey"]
