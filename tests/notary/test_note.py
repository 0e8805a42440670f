"""Signed notes against the published example, and everything that must not open."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.notary.note import Checkpoint, NoteError, Signer, Verifier, split_note

# golang.org/x/mod/sumdb/note, package documentation
KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_the_published_note_opens() -> None:
    assert Verifier.parse(KEY).open(NOTE).endswith("your problem is.\n")
    assert str(Verifier.parse(KEY)) == KEY


def test_signing_is_deterministic_and_opens() -> None:
    signer = Signer("log/s0/1", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    note = signer.sign("log/s0/1\n5\nroot\n")
    assert note == signer.sign("log/s0/1\n5\nroot\n")
    assert Verifier.parse(str(signer.verifier)).open(note) == "log/s0/1\n5\nroot\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("cryptography", "Cryptography"), ("x08g", "x08h"), ("PeterNeumann x", "PeterNewmann x"), ("JnAM=", "JnAN="),
        ("\n\n", "\n"), ("\u2014 ", "- "), ("=\n", "="), ("ZJku", "!!!!"),
    ],
)
def test_a_changed_note_does_not_open(old: str, new: str) -> None:
    changed = NOTE.replace(old, new)
    assert changed != NOTE
    with pytest.raises(NoteError):
        Verifier.parse(KEY).open(changed)


def test_a_key_of_the_same_name_does_not_open_it() -> None:
    with pytest.raises(NoteError):
        Verifier("PeterNeumann", Signer.generate("x").public).open(NOTE)


def test_a_second_signature_does_no_harm() -> None:
    note = NOTE + Signer.generate("witness").sign("x\n").split("\n\n")[1]
    assert Verifier.parse(KEY).open(note)
    assert [name for name, _, _ in split_note(note)[1]] == ["PeterNeumann", "witness"]


@pytest.mark.parametrize("text", ["", "a", "a+00000000+", KEY[:-2], KEY.replace("c74f20a3", "c74f20a4"), "a b+1+2"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_names_that_would_break_the_format_are_refused(name: str) -> None:
    with pytest.raises(NoteError):
        Signer.generate(name)


def test_a_checkpoint_has_exactly_three_lines() -> None:
    checkpoint = Checkpoint("log", 7, bytes(range(32)))
    assert Checkpoint.parse(checkpoint.text) == checkpoint
    root = base64.b64encode(bytes(32)).decode()
    wrong = ("", "log\n7\n", f"log\n07\n{root}\n", f"log\n7\n{root}\nmore\n", f"log\nseven\n{root}\n", "log\n7\nAAAA\n")
    for text in wrong:
        with pytest.raises(NoteError):
            Checkpoint.parse(text)
