"""Typed messages: captured ones both ways, every count and length checked, anything survived."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.errors import LocalError, PeerError
from protocols.postgres import body as wire
from protocols.postgres import messages as m
from protocols.postgres import replies as r
from protocols.postgres.body import Body, NotText
from protocols.postgres.codec import Frame, encode
from protocols.result import Column, Columns
from tests.postgres.captured import BY_HAND, CLIENT, OPENINGS, TARGET

HAND_CLIENT = {name: pair for name, pair in BY_HAND.items() if isinstance(pair[1], (m.Close, m.CopyFail))}
HAND_TARGET = {name: pair for name, pair in BY_HAND.items() if name not in HAND_CLIENT}
ALL_CLIENT, ALL_TARGET = CLIENT | HAND_CLIENT, TARGET | HAND_TARGET


@pytest.mark.parametrize(("raw", "meaning"), ALL_CLIENT.values(), ids=ALL_CLIENT)
def test_what_clients_say(raw: bytes, meaning: m.Message) -> None:
    """Read as captured, and written back byte for byte."""
    assert m.parse(Frame(raw[:1], raw[5:])) == meaning and meaning.encode() == raw


@pytest.mark.parametrize(("raw", "meaning"), ALL_TARGET.values(), ids=ALL_TARGET)
def test_what_targets_say(raw: bytes, meaning: r.Reply) -> None:
    """Read as captured, and written back byte for byte."""
    assert r.parse(Frame(raw[:1], raw[5:])) == meaning and meaning.encode() == raw


@pytest.mark.parametrize(("raw", "meaning"), OPENINGS.values(), ids=OPENINGS)
def test_how_connections_begin(raw: bytes, meaning: m.Opening) -> None:
    assert m.parse_opening(raw[4:]) == meaning and meaning.encode() == raw


@pytest.mark.parametrize("raw", [raw for raw, _ in ALL_CLIENT.values()], ids=ALL_CLIENT)
def test_a_client_message_cut_short_or_longer(raw: bytes) -> None:
    """Every other length of the body is refused, except where the body is free."""
    _each_length(raw, m.parse, free=raw[:1] in b"dp")


@pytest.mark.parametrize("raw", [raw for raw, _ in ALL_TARGET.values()], ids=ALL_TARGET)
def test_a_target_message_cut_short_or_longer(raw: bytes) -> None:
    _each_length(raw, r.parse, free=raw[:1] == b"d" or raw[:1] == b"K" or raw[5:9] in (b"\0\0\0\x0b",))


def _each_length(raw: bytes, parse: object, free: bool) -> None:
    tag, body = raw[:1], raw[5:]
    for cut in range(len(body)):
        _refused_or_free(parse, Frame(tag, body[:cut]), free)
    _refused_or_free(parse, Frame(tag, body + b"\0"), free)


def _refused_or_free(parse: object, frame: Frame, free: bool) -> None:
    try:
        parse(frame)  # type: ignore[operator]
    except PeerError:
        return
    assert free, frame


MALFORMED_CLIENT = {
    "bind: -2 is no length": b"B\0\0\0\0\0\0\1\xff\xff\xff\xfe\0\0",
    "bind: 2 GiB value": b"B\0\0\0\0\0\0\1\x7f\xff\xff\xff\0\0",
    "bind: 65535 values in no bytes": b"B\0\0\0\0\xff\xff",
    "bind: format 2": b"B\0\0\0\1\0\2\0\0\0\0",
    "bind: three formats for one value": b"B\0\0\0\3\0\0\0\0\0\0\0\1\xff\xff\xff\xff\0\0",
    "parse: 65535 types in no bytes": b"P\0\0\xff\xff",
    "parse: no end of the text": b"P\0select 1",
    "describe: kind X": b"DXname\0",
    "describe: no kind": b"D",
    "query: more behind the text": b"Qselect 1\0;drop table t\0",
    "query: no end": b"Qselect 1",
    "sync: a body": b"Sx",
    "call: two formats for three": b"F\0\0\0\1\0\2\0\0\0\0\0\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
    "execute: half a limit": b"E\0\0\0",
    "unknown tag": b"Zx",
}


@pytest.mark.parametrize("raw", MALFORMED_CLIENT.values(), ids=MALFORMED_CLIENT)
def test_malformed_client_messages(raw: bytes) -> None:
    with pytest.raises(PeerError):
        m.parse(Frame(raw[:1], raw[1:]))


MALFORMED_TARGET = {
    "row: -2 is no length": b"D\0\1\xff\xff\xff\xfe",
    "row: cell beyond the end": b"D\0\1\0\0\0\2a",
    "columns: format 7": b"T\0\1a\0" + bytes(16) + b"\0\7",
    "columns: 65535 in no bytes": b"T\xff\xff",
    "error: no end": b"ESERROR\0",
    "error: field without text": b"ES",
    "ready: status Q": b"ZQ",
    "ready: nothing": b"Z",
    "key: three bytes of secret": b"K\0\0\0\1abc",
    "key: 257 bytes of secret": b"K\0\0\0\1" + bytes(257),
    "md5: three bytes of salt": b"R\0\0\0\5abc",
    "ok: something behind": b"R\0\0\0\0x",
    "sasl: list without end": b"R\0\0\0\x0aSCRAM-SHA-256\0",
    "versions: four billion options": b"v\0\3\0\0\xff\xff\xff\xff",
    "copy: format 9": b"G\x09\0\0",
    "unknown tag": b"Qx",
}


@pytest.mark.parametrize("raw", MALFORMED_TARGET.values(), ids=MALFORMED_TARGET)
def test_malformed_target_messages(raw: bytes) -> None:
    with pytest.raises(PeerError):
        r.parse(Frame(raw[:1], raw[1:]))


MALFORMED_OPENINGS = {
    "nothing": b"",
    "half a version": b"\0\3",
    "ssl request with more": b"\x04\xd2\x16\x2f\0",
    "cancel without a key": b"\x04\xd2\x16\x2e\0\0\0\1",
    "cancel with 257 bytes": b"\x04\xd2\x16\x2e\0\0\0\1" + bytes(257),
    "parameters without end": b"\0\3\0\0user\0ada\0",
    "a name without a value": b"\0\3\0\0user\0\0",
    "bytes behind the end": b"\0\3\0\0user\0ada\0\0x",
    "user twice": b"\0\3\0\0user\0ada\0user\0root\0\0",
    "no utf-8": b"\0\3\0\0user\0\xff\0\0",
}


@pytest.mark.parametrize("body", MALFORMED_OPENINGS.values(), ids=MALFORMED_OPENINGS)
def test_malformed_openings(body: bytes) -> None:
    with pytest.raises(PeerError):
        m.parse_opening(body)


def test_another_major_version_is_read_no_further() -> None:
    """Version 2 has fixed fields; only its number is told."""
    startup = m.parse_opening(b"\0\2\0\0" + bytes(288))
    assert isinstance(startup, m.Startup) and (startup.major, startup.minor, dict(startup.parameters)) == (2, 0, {})


# -- anything -----------------------------------------------------------------------------------------


@given(st.integers(0, 255), st.binary(max_size=200))
@example(ord("B"), b"\0\0\0\0\xff\xff" + b"\xff" * 100)
def test_any_client_bytes(tag: int, body: bytes) -> None:
    """A message or PeerError, and what was read can be written again to the same meaning."""
    try:
        message = m.parse(Frame(bytes((tag,)), body))
    except PeerError:
        return
    raw = message.encode()
    assert m.parse(Frame(raw[:1], raw[5:])) == message


@given(st.sampled_from(sorted(r._PARSERS)), st.binary(max_size=200))
@example(b"v", b"\0\3\0\0\0\0\0\1_pq_.x\0")
def test_any_target_bytes(tag: bytes, body: bytes) -> None:
    try:
        message = r.parse(Frame(tag, body))
    except PeerError:
        return
    raw = message.encode()
    assert r.parse(Frame(raw[:1], raw[5:])) == message


@given(st.binary(max_size=120) | st.builds(lambda rest: b"\0\3\0\0" + rest, st.binary(max_size=120)))
def test_any_opening(body: bytes) -> None:
    try:
        opening = m.parse_opening(body)
    except PeerError:
        return
    assert isinstance(opening, (m.SslRequest, m.GssRequest, m.CancelRequest, m.Startup))


# -- single rules -------------------------------------------------------------------------------------


def test_text_that_is_not_utf8_has_its_own_error() -> None:
    """So that a relay can answer 22021, as a server does, and go on."""
    with pytest.raises(NotText):
        m.parse(Frame(b"Q", b"select '\xff'\0"))


def test_a_negative_row_limit_means_all() -> None:
    """As in the server."""
    assert m.parse(Frame(b"E", b"\0\xff\xff\xff\xff")) == m.Execute("", 0)


def test_formats_apply_to_none_one_or_each() -> None:
    values = (b"a", b"b")
    cases = [((), [0, 0]), ((1,), [1, 1]), ((0, 1), [0, 1])]
    for formats, expected in cases:
        bind = m.Bind("", "", formats, values)
        call = m.FunctionCall(1, formats, values)
        assert [bind.format_of(i) for i in (0, 1)] == expected == [call.format_of(i) for i in (0, 1)]


def test_secrets_have_no_repr() -> None:
    """They appear in no log line and no assertion message."""
    for message in (m.Secret(b"hunter2\0"), m.CancelRequest(7, b"hunter2"), r.BackendKey(7, b"hunter2")):
        assert "hunter2" not in repr(message)


def test_password_messages() -> None:
    """What the three uses of one tag hold."""
    assert m.Secret(b"x\0").read_password() == b"x"
    assert m.password(b"x") == b"p\0\0\0\x06x\0"
    assert m.Secret(m.sasl_initial("SCRAM-SHA-256", b"n,,")[5:]).read_initial() == ("SCRAM-SHA-256", b"n,,")
    assert m.Secret(b"SCRAM-SHA-256\0\xff\xff\xff\xff").read_initial() == ("SCRAM-SHA-256", None)
    assert m.sasl_response(b"c=biws") == b"p\0\0\0\x0ac=biws"
    for wrong in (b"x", b"x\0y\0", b""):
        with pytest.raises(PeerError):
            m.Secret(wrong).read_password()


def test_a_nul_in_what_we_send_is_our_error() -> None:
    """It would start a field of its own."""
    with pytest.raises(LocalError):
        m.Query("select 1\0; drop table t").encode()
    with pytest.raises(LocalError):
        r.ErrorResponse({"M": "a\0b"}).encode()


def test_too_many_values_for_the_wire_are_our_error() -> None:
    with pytest.raises(LocalError):
        m.Bind("", "", (), (None,) * 65536).encode()


def test_error_fields_of_ours() -> None:
    """Detail and hint only when there are any; the untranslated severity always."""
    assert r.error_fields("42501", "no") == {"S": "ERROR", "V": "ERROR", "C": "42501", "M": "no"}
    full = r.error_fields("42501", "no", "FATAL", detail="d", hint="h")
    assert list(full) == ["S", "V", "C", "M", "D", "H"] and r.ErrorResponse(full).sqlstate == "42501"
    assert r.ErrorResponse(full).message == "no"


def test_names_and_texts_of_targets_need_not_be_utf8() -> None:
    """A cut name or an old locale's error must not end a session."""
    raw = encode(b"E", b"SFEHLER\0C28P01\0Mung\xfcltig\0\0")
    assert r.parse(Frame(b"E", raw[5:])) == r.ErrorResponse({"S": "FEHLER", "C": "28P01", "M": "ung\ufffdltig"})
    row = r.RowDescription.parse(b"\0\1n\xc3\0" + bytes(18))
    assert row.columns.fields[0].name == "n\ufffd"


def test_negative_attribute_numbers_survive() -> None:
    """System columns such as ctid have them."""
    row = r.RowDescription(Columns((Column("ctid", 1259, -1, 27),)), ((6, -1),))
    assert r.RowDescription.parse(row.encode()[5:]) == row


def test_negotiation_by_whole_and_by_minor_number() -> None:
    """Servers send the whole version; the manual's "minor" is understood too."""
    assert r.NegotiateVersion.parse(b"\0\3\0\0\0\0\0\0") == r.NegotiateVersion(m.VERSION_3_0, ())
    assert r.NegotiateVersion.parse(b"\0\0\0\2\0\0\0\1_pq_.a\0") == r.NegotiateVersion(m.VERSION_3_2, ("_pq_.a",))


@given(st.binary(max_size=40), st.lists(st.sampled_from(["u8", "u16", "i16", "u32", "i32", "raw", "text", "value",
                                                         "values", "format", "formats", "rest", "end"]), max_size=8))
def test_a_body_never_reads_beyond_its_end(data: bytes, reads: list[str]) -> None:
    """Any sequence of reads gives values or PeerError."""
    reader = Body(data, "test")
    try:
        for read in reads:
            getattr(reader, read)()
    except PeerError:
        pass
    assert 0 <= reader.left <= len(data)


def test_numbers_that_do_not_fit_are_ours() -> None:
    for number in (-1, 65536):
        with pytest.raises(LocalError):
            wire.u16(number)
