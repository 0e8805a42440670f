"""Text is judged as the server reads it: every encoding that is let through, byte for byte beside a real server's tables."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from playbook import Playbook, asks, intends, query, to_client
from protocols.command import Path
from protocols.effects import Hangup
from protocols.encodings import CODECS, codec_of, plain, safe
from protocols.postgres import replies
from protocols.postgres.codec import encode
from protocols.verdict import Allow
from tests.servers import POSTGRES, PostgresServer

UNSAFE = ("SJIS", "SHIFT_JIS_2004", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "EUC_TW", "EUC_JP", "MULE_INTERNAL", "", "utf7")


@pytest.fixture(scope="module")
def server() -> Iterator[psycopg.Connection]:
    running = PostgresServer(POSTGRES)
    running.start()
    try:
        with psycopg.connect(host="127.0.0.1", port=running.port, user="postgres", dbname="postgres", autocommit=True) as connection:
            yield connection
    finally:
        running.stop()


@pytest.mark.parametrize("name", UNSAFE)
def test_an_encoding_that_can_hide_a_quote_or_is_unknown_is_not_safe(name: str) -> None:
    assert not safe(name)


@pytest.mark.parametrize("codec", sorted(set(CODECS.values())))
def test_no_character_outside_ascii_has_a_byte_of_ascii(codec: str) -> None:
    """Every byte of ASCII is itself, and every byte above stands for no character of ASCII."""
    ascii_bytes = bytes(range(128))
    assert ascii_bytes.decode(codec) == ascii_bytes.decode("ascii")
    for byte in range(128, 256):
        assert not bytes((byte,)).decode(codec, "ignore").isascii() or not bytes((byte,)).decode(codec, "ignore")


def test_the_server_reads_each_byte_as_we_do(server: psycopg.Connection) -> None:
    """A byte that we read and the server reads otherwise would let it run another text than was judged."""
    with server.cursor() as cursor:
        cursor.execute("create function pg_temp.read(b bytea, e text) returns text language plpgsql as"
                       " $$ begin return convert_from(b, e); exception when others then return null; end $$")
        for name, codec in CODECS.items():
            if codec == "utf-8":
                continue
            cursor.execute("select n, pg_temp.read(set_byte('\\x00', 0, n), %s) from generate_series(128, 255) n", (name,))
            theirs = dict(cursor.fetchall())
            for byte, text in theirs.items():
                ours = bytes((byte,)).decode(codec, "ignore")
                assert not ours or text in (ours, None), f"{name} byte {byte:#x}: we read {ours!r}, the server {text!r}"


def test_every_name_is_one_that_the_server_knows(server: psycopg.Connection) -> None:
    with server.cursor() as cursor:
        for name in CODECS:
            cursor.execute("select pg_char_to_encoding(%s)", (name,))
            assert cursor.fetchone() != (-1,), name


def test_without_conversion_the_database_says_what_the_bytes_are() -> None:
    assert codec_of({}) == "utf-8"
    assert codec_of({"client_encoding": "LATIN9", "server_encoding": "UTF8"}) == "iso8859-15"
    assert codec_of({"client_encoding": "SQL_ASCII", "server_encoding": "WIN1251"}) == "cp1251"
    assert codec_of({"client_encoding": "SQL_ASCII", "server_encoding": "SQL_ASCII"}) == "utf-8"


def test_names_are_compared_as_the_server_compares_them() -> None:
    assert plain("ISO_8859-5") == plain("iso88595") and safe("ISO_8859-5") and safe("Windows-1252") and safe("SQL_ASCII")


# -- at the relay --------------------------------------------------------------------------

LATIN1 = replies.ParameterStatus("client_encoding", "LATIN1").encode()


def wire_query(raw: bytes) -> bytes:
    return encode(b"Q", raw + b"\0")


def test_text_is_judged_in_the_sessions_own_encoding() -> None:
    """Two bytes that are one character in UTF-8 are two in LATIN1: another name, and maybe another table."""
    sent = wire_query('SELECT "é"'.encode())
    Playbook().target(LATIN1, to_client(LATIN1)).client(sent, asks('SELECT "Ã©"')).verdict(Allow(), intends(1, sent))
    Playbook().client(sent, asks('SELECT "é"'))


def test_what_is_no_text_in_utf8_is_text_in_latin1_and_leaves_byte_for_byte() -> None:
    sent = wire_query("SELECT 'é'".encode("latin-1"))
    Playbook().target(LATIN1, to_client(LATIN1)).client(sent, asks("SELECT 'é'")).verdict(Allow(), intends(1, sent))
    play = Playbook()
    said = play.relay.from_client(sent)
    assert said[0].decision.verdict.code == "OST-702" and sent not in [getattr(effect, "data", b"") for effect in said]


def test_a_prepared_name_in_latin1_is_found_again() -> None:
    play = Playbook().target(LATIN1, to_client(LATIN1))
    named = encode(b"P", "é\0SELECT 1\0".encode("latin-1") + b"\0\0")
    bound = encode(b"B", "\0é\0".encode("latin-1") + b"\0\0" * 3)
    play.client(named, asks("SELECT 1", Path.PARSE)).verdict(Allow(), intends(1, named))
    play.client(bound, asks("SELECT 1", Path.BIND))


def test_a_notification_in_latin1_is_no_broken_protocol() -> None:
    note = encode(b"A", b"\0\0\0\1" + "é\0ü\0".encode("latin-1"))
    Playbook().target(LATIN1, to_client(LATIN1)).target(note, to_client(note))


def test_text_that_was_judged_in_another_encoding_than_it_is_read_in_ends_the_session() -> None:
    """SET and the next text in one breath: the server reads the second in the new encoding."""
    change, text = "SET client_encoding TO latin1", 'SELECT "é"'
    play = Playbook().client(query(change) + query(text), asks(change))
    play.verdict(Allow(), intends(1, query(change)), asks(text)).verdict(Allow(), intends(2, query(text)))
    said = play.relay.from_target(LATIN1)
    assert b"OST-705" in said[0].data and isinstance(said[1], Hangup)


def test_ascii_behind_a_change_of_encoding_passes() -> None:
    """It is the same text in all of them."""
    change = "SET client_encoding TO latin1"
    play = Playbook().client(query(change) + query("SELECT 1"), asks(change))
    play.verdict(Allow(), intends(1, query(change)), asks("SELECT 1")).verdict(Allow(), intends(2, query("SELECT 1")))
    play.target(LATIN1, to_client(LATIN1))
