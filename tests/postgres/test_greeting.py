"""How clients come in: every way that works, and every way that must not. Bytes in, effects out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.effects import Hangup, StartTls, ToClient
from protocols.postgres import messages
from protocols.postgres import replies as r
from protocols.postgres.codec import Frame, FrameReader, encode_startup
from protocols.postgres.greeting import CancelAsked, CheckPassword, ClientLogin, LoggedIn, LoginFailed, NeedVerifier, coded
from protocols.postgres.messages import VERSION_3_0, VERSION_3_2, GssRequest, SslRequest, Startup
from protocols.postgres.scram import PLAIN, PLUS, ScramClient, Verifier
from protocols.selection import Selection
from tests.postgres.captured import OPENINGS

CERTIFICATE = b"\x5a" * 32
VERIFIER = Verifier.of("token", bytes(16))
HELLO = b"\x16\x03\x01\x02\x00"  # the head of a TLS ClientHello


def begun(**more: Any) -> ClientLogin:
    settings: dict[str, Any] = {"auth": ("password", "scram"), "require_tls": True, "nonce": "server", "decoy_key": b"k"}
    return ClientLogin(**{**settings, **more})


def secure(**more: Any) -> ClientLogin:
    """A login that is past SSLRequest and handshake."""
    login = begun(**more)
    assert login.from_client(SslRequest().encode()) == [ToClient(b"S"), StartTls()]
    assert login.secured(None, CERTIFICATE) == []
    return login


def start(version: int = VERSION_3_0, **parameters: str) -> bytes:
    return Startup(version, {"user": "ada@clinic", "database": "clinicdb", **parameters}).encode()


def told(effects: list[Any]) -> list[r.Reply]:
    """What the client reads."""
    reader = FrameReader()
    reader.feed(b"".join(e.data for e in effects if isinstance(e, ToClient)))
    replies = []
    while isinstance(frame := reader.next_frame(), Frame):
        replies.append(r.parse(frame))
    return replies


def refused(effects: list[Any], code: str, sqlstate: str) -> r.ErrorResponse:
    """It ends with a FATAL error of that code, and a Hangup."""
    error = told(effects)[-1]
    assert isinstance(error, r.ErrorResponse) and isinstance(effects[-1], Hangup)
    assert error.fields["S"] == "FATAL" and error.sqlstate == sqlstate and f"[{code}]" in error.message
    assert json.loads(error.fields["D"]) == {"code": code}
    return error


def requested(effects: list[Any], code: int) -> r.Authentication:
    request = told(effects)[-1]
    assert isinstance(request, r.Authentication) and request.code == code
    return request


# -- ways in ------------------------------------------------------------------------------------------------


def test_a_password_over_tls() -> None:
    """Asked, checked, told; the settings come along, the rest stays here."""
    login = secure()
    requested(login.from_client(start(application_name="psql", options="-c timezone=UTC")), r.AUTH_CLEARTEXT)
    assert login.from_client(messages.password(b"s3cret")) == [CheckPassword("ada", b"s3cret")]
    effects = login.password_checked(True)
    assert told(effects) == [r.Authentication(r.AUTH_OK)]
    assert effects[-1] == LoggedIn(
        Selection("ada", "clinic"), "clinicdb", {"timezone": "UTC", "application_name": "psql"}, "password",
        VERSION_3_0, "psql", False, b"",
    )


@pytest.mark.parametrize(
    ("binding", "mechanism", "proof"), [(CERTIFICATE, PLUS, "scram-plus"), (None, PLAIN, "scram")]
)
def test_scram(binding: bytes | None, mechanism: str, proof: str) -> None:
    """Both sides prove themselves; over TLS the channel is bound to our certificate."""
    login = secure(auth=("scram",)) if binding else begun(auth=("scram",), require_tls=False)
    offer = requested(login.from_client(start()), r.AUTH_SASL)
    assert offer.mechanisms == ((PLUS, PLAIN) if binding else (PLAIN,))
    client = ScramClient("token", "client", binding, plus=binding is not None)
    assert client.mechanism == mechanism
    assert login.from_client(messages.sasl_initial(mechanism, client.first())) == [NeedVerifier("ada")]
    challenge = requested(login.verifier_fetched(VERIFIER), r.AUTH_SASL_CONTINUE)
    effects = login.from_client(messages.sasl_response(client.final(challenge.data)))
    final, good = told(effects)
    assert isinstance(final, r.Authentication) and good == r.Authentication(r.AUTH_OK)
    client.verify(final.data)
    assert isinstance(effects[-1], LoggedIn) and effects[-1].proof == proof


def test_byte_by_byte() -> None:
    """The same effects, however the bytes arrive."""
    login, effects = secure(), []
    for byte in start() + messages.password(b"s3cret"):
        effects += login.from_client(bytes((byte,)))
    assert effects[-1] == CheckPassword("ada", b"s3cret")


@pytest.mark.parametrize(
    ("why", "said"),
    [("too many (OST-602); try again", "too many; try again [OST-602]"), ("too many; try again", "too many; try again [OST-602]")], ids=["names it", "does not"],
)  # fmt: skip
def test_a_refusal_tells_its_code_once(why: str, said: str) -> None:
    """Control's words may name it already, for where they stand alone."""
    assert coded(why, "OST-602") == said


def test_direct_tls() -> None:
    """The first bytes are the handshake's; ALPN says what is spoken inside."""
    login = begun()
    assert login.from_client(HELLO + b"rest") == [StartTls(HELLO + b"rest")]
    assert login.secured(b"postgresql") == []
    requested(login.from_client(start()), r.AUTH_CLEARTEXT)


@pytest.mark.parametrize("alpn", [None, b"http/1.1", b""])
def test_direct_tls_without_its_alpn_is_refused(alpn: bytes | None) -> None:
    """Or a browser could be made to talk to us (ALPACA)."""
    login = begun()
    login.from_client(HELLO)
    refused(login.secured(alpn), "OST-623", "08P01")


def test_gss_is_declined_and_tls_may_follow() -> None:
    """What libpq does when it has a Kerberos ticket."""
    login = begun()
    assert login.from_client(GssRequest().encode()) == [ToClient(b"N")]
    assert login.from_client(SslRequest().encode()) == [ToClient(b"S"), StartTls()]


def test_a_cancel_request_needs_no_tls() -> None:
    """libpq up to 16 sends it so; it is never answered. Over TLS it is the same."""
    raw = OPENINGS["cancel"][0]
    for login in (begun(), secure()):
        assert login.from_client(raw) == [CancelAsked(11222, b"\xe3\xb2\xae\x7f"), Hangup("cancel request")]
        assert login.from_client(b"more") == []


def test_what_comes_behind_the_login_is_handed_over() -> None:
    """A client may send its first query before it has heard the yes."""
    login, query = secure(), messages.Query("select 1").encode()
    login.from_client(start())
    assert login.from_client(messages.password(b"x") + query) == [CheckPassword("ada", b"x")]
    done = login.password_checked(True)[-1]
    assert isinstance(done, LoggedIn) and done.leftover == query


def test_the_target_may_be_the_database() -> None:
    """When the user name has no "@"; then the target's own default database is meant."""
    for user, database, selection, wanted in [
        ("nightly", "clinic", Selection("nightly", "clinic"), ""),
        ("ada@clinic+ro", "other", Selection("ada", "clinic", "ro"), "other"),
        ("ada@clinic", "ada@clinic", Selection("ada", "clinic"), ""),  # libpq's default
        ("ada@clinic", "", Selection("ada", "clinic"), ""),
    ]:
        login = secure()
        login.from_client(start(user=user, database=database))
        login.from_client(messages.password(b"x"))
        done = login.password_checked(True)[-1]
        assert isinstance(done, LoggedIn) and (done.selection, done.database) == (selection, wanted)


@pytest.mark.parametrize(
    ("version", "options", "answer"),
    [
        (VERSION_3_0, {}, None),
        (VERSION_3_2, {}, None),
        (3 << 16 | 9999, {}, r.NegotiateVersion(VERSION_3_2, ())),  # libpq 19 sends this "grease"
        (VERSION_3_0, {"_pq_.new": "1"}, r.NegotiateVersion(VERSION_3_0, ("_pq_.new",))),
        (VERSION_3_2 + 1, {"_pq_.new": "1"}, r.NegotiateVersion(VERSION_3_2, ("_pq_.new",))),
    ],
)
def test_versions_are_negotiated(version: int, options: dict[str, str], answer: r.NegotiateVersion | None) -> None:
    """Newer minors and unknown protocol options are answered with ours, and the login goes on."""
    login = secure()
    replies = told(login.from_client(start(version, **options)))
    assert replies == ([answer] if answer else []) + [r.Authentication(r.AUTH_CLEARTEXT)]
    login.from_client(messages.password(b"x"))
    done = login.password_checked(True)[-1]
    assert isinstance(done, LoggedIn) and done.version == min(version, VERSION_3_2)
    assert not any(name.startswith("_pq_") for name in done.parameters)


# -- ways that are closed --------------------------------------------------------------------------------------


def test_bytes_behind_the_tls_request_end_it() -> None:
    """CVE-2021-23214: they would be read as if they had come inside."""
    effects = begun().from_client(SslRequest().encode() + start())
    refused(effects, "OST-624", "08P01")
    assert not any(isinstance(e, StartTls) or e == ToClient(b"S") for e in effects)


def test_a_start_without_tls_is_refused_where_tls_is_required() -> None:
    """Before the user name is looked at, and with the mend."""
    assert "sslmode=require" in refused(begun().from_client(start()), "OST-622", "28000").fields["H"]


def test_a_password_is_never_asked_for_in_clear() -> None:
    """Where TLS is optional, SCRAM remains; without SCRAM, nothing does."""
    requested(begun(require_tls=False).from_client(start()), r.AUTH_SASL)
    refused(begun(require_tls=False, auth=("password",)).from_client(start()), "OST-628", "28000")


@pytest.mark.parametrize(
    "raw",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\xff" * 64, b"\0\0\0\x07abc", b"SSH-2.0-OpenSSH_9\r\n", encode_startup(b"\0\3\0\0us")],
    ids=["http", "zero", "ones", "short", "ssh", "cut"],
)
def test_garbage_gets_an_error_and_a_hangup(raw: bytes) -> None:
    refused(begun().from_client(raw), "OST-620", "08P01")


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("behind", [b"", start()], ids=["alone", "start"])
@pytest.mark.parametrize("size", [4096, 4, 1], ids=["whole", "cut", "bytes"])
def test_a_goodbye_in_front_of_the_login_is_answered_by_a_hangup_alone(tls: bool, behind: bytes, size: int) -> None:
    """As a server does: node-postgres that is ended while it connects says Terminate, then its login, and must hear of no error."""
    login, said = secure() if tls else begun(), messages.Terminate().encode() + behind
    effects = [effect for at in range(0, len(said), size) for effect in login.from_client(said[at : at + size])]
    assert [type(one) for one in effects] == [Hangup]


@pytest.mark.parametrize("version", [2 << 16, 1 << 16, 4 << 16, 0, 0xFFFFFFFF])
def test_other_protocols_are_named(version: int) -> None:
    refused(secure().from_client(encode_startup(version.to_bytes(4, "big") + bytes(60))), "OST-621", "0A000")


def test_requests_for_encryption_come_once_and_outside() -> None:
    refused(secure().from_client(SslRequest().encode()), "OST-621", "0A000")
    refused(secure().from_client(GssRequest().encode()), "OST-621", "0A000")
    login = begun()
    login.from_client(GssRequest().encode())
    refused(login.from_client(GssRequest().encode()), "OST-621", "0A000")


def test_a_tls_hello_inside_tls_is_garbage() -> None:
    refused(secure().from_client(HELLO), "OST-620", "08P01")


@pytest.mark.parametrize("user", ["ada", "", "ada:clinic", "ada@clinic+"])
def test_a_user_name_without_a_target_is_shown_the_form(user: str) -> None:
    error = refused(secure().from_client(start(user=user, database="")), "OST-625", "28000")
    assert not user or "IDENTITY@TARGET" in error.message


@pytest.mark.parametrize("value", ["true", "database", "on", "whatever"])
def test_replication_is_refused(value: str) -> None:
    """Unless it is let through by name."""
    refused(secure().from_client(start(replication=value)), "OST-627", "28000")
    requested(secure().from_client(start(replication="false")), r.AUTH_CLEARTEXT)
    login = secure(replication=True)
    login.from_client(start(replication=value))
    login.from_client(messages.password(b"x"))
    done = login.password_checked(True)[-1]
    assert isinstance(done, LoggedIn) and done.replication and "replication" not in done.parameters


@pytest.mark.parametrize(
    "parameters",
    [{"options": "-c search_path=evil"}, {"search_path": "evil"}, {"role": "postgres"}, {"options": "--role=postgres"},
     {"client_encoding": "LATIN1"}, {"ROLE": "postgres"}],
)
def test_settings_off_the_list_are_refused_by_name(parameters: dict[str, str]) -> None:
    error = refused(secure().from_client(start(**parameters)), "OST-626", "42501")
    assert any(name in error.message for name in ("search_path", "role", "ROLE", "client_encoding"))


def test_the_list_is_handed_in() -> None:
    requested(secure(accepts=lambda name, _: name == "role").from_client(start(role="x")), r.AUTH_CLEARTEXT)
    refused(secure(accepts=lambda *_: False).from_client(start(application_name="x")), "OST-626", "42501")


def test_other_switches_in_options_are_refused() -> None:
    refused(secure().from_client(start(options="-W 30")), "OST-620", "08P01")


# -- proof ---------------------------------------------------------------------------------------------------------


def test_wrong_and_unknown_look_the_same() -> None:
    """The same bytes to the client, by password and by SCRAM; the record knows more."""
    errors = []
    for user in ("ada@clinic", "mallory@clinic"):
        login = secure()
        login.from_client(start(user=user))
        login.from_client(messages.password(b"x"))
        effects = login.password_checked(False)
        assert isinstance(effects[0], LoginFailed)
        error = refused(effects, "OST-629", "28P01")
        read = f"the user name was read as the identity {user.partition('@')[0]} on the target clinic; "
        assert error.fields["H"].startswith(read)
        errors.append({**error.fields, "M": error.message.replace(user, "?"), "H": error.fields["H"].removeprefix(read)})
    assert errors[0] == errors[1]
    assert "ostiary token issue" in errors[0]["H"] and "the user name is IDENTITY@TARGET" in errors[0]["H"]
    known, unknown = (_scram_failure(verifier) for verifier in (VERIFIER, None))
    assert [type(e) for e in known] == [type(e) for e in unknown]
    assert told(known) == told(unknown)


def _scram_failure(verifier: Verifier | None) -> list[Any]:
    login = secure(auth=("scram",))
    login.from_client(start())
    client = ScramClient("wrong", "client", CERTIFICATE, plus=True)
    login.from_client(messages.sasl_initial(client.mechanism, client.first()))
    challenge = requested(login.verifier_fetched(verifier), r.AUTH_SASL_CONTINUE)
    assert challenge.data.endswith(b",i=4096")
    effects = login.from_client(messages.sasl_response(client.final(challenge.data)))
    refused(effects, "OST-629", "28P01")
    return effects


def test_a_decoy_is_never_enough() -> None:
    """Even a client that knew the decoy's keys would not be let in."""
    login = secure(auth=("scram",), decoy_key=b"k")
    login.from_client(start())
    client = ScramClient("x", "client", CERTIFICATE, plus=True)
    login.from_client(messages.sasl_initial(client.mechanism, client.first()))
    login.verifier_fetched(None)
    login._scram.challenge(Verifier.of("x", bytes(16)))  # type: ignore[union-attr]  # as if they were known
    answer = client.final(login._scram._challenge)  # type: ignore[union-attr]
    assert not any(isinstance(e, LoggedIn) for e in login.from_client(messages.sasl_response(answer)))


def test_an_empty_password_is_not_even_checked() -> None:
    """Some stores take an empty secret for a missing one."""
    login = secure()
    login.from_client(start())
    effects = login.from_client(messages.password(b""))
    assert effects[0] == LoginFailed("ada", "empty secret")
    refused(effects, "OST-629", "28P01")


@pytest.mark.parametrize(
    "raw",
    [messages.Query("select 1").encode(), messages.Terminate().encode(), b"p\0\0\0\x05x", b"p\0\0\0\3", b"p\0\1\0\5",
     messages.Secret(b"a\0b\0").encode()],
    ids=["query", "terminate", "no end", "short", "64 KiB", "two strings"],
)
def test_anything_else_than_a_password_ends_it(raw: bytes) -> None:
    login = secure()
    login.from_client(start())
    refused(login.from_client(raw), "OST-620", "08P01")


@pytest.mark.parametrize(
    "raw",
    [messages.sasl_initial("SCRAM-SHA-1", b"n,,n=,r=x"), messages.Secret(b"SCRAM-SHA-256\0\xff\xff\xff\xff").encode(),
     messages.sasl_initial(PLAIN, b"y,,n=,r=x"), messages.password(b"token")],
    ids=["mechanism", "no first message", "cut offer", "password"],
)
def test_malformed_scram_ends_it(raw: bytes) -> None:
    login = secure(auth=("scram",))
    login.from_client(start())
    refused(login.from_client(raw), "OST-620", "08P01")


def test_a_flood_while_a_question_is_open_ends_it() -> None:
    """Nothing is read while the answer is awaited, but little is kept."""
    login = secure()
    login.from_client(start())
    login.from_client(messages.password(b"x"))
    assert login.from_client(bytes(1000)) == []
    refused(login.from_client(bytes(70_000)), "OST-620", "08P01")


def test_it_can_be_ended_from_outside() -> None:
    """Throttled, or control is gone; a late answer to a question is then our bug."""
    login = secure()
    login.from_client(start())
    login.from_client(messages.password(b"x"))
    refused(login.refuse("OST-603", "57P03", "nobody can check this now"), "OST-603", "57P03")
    assert login.refuse("OST-603", "57P03", "again") == []
    with pytest.raises(RuntimeError):
        login.password_checked(True)


def test_answers_nobody_asked_for_are_our_bug() -> None:
    for call in (lambda: begun().secured(None), lambda: secure().password_checked(True),
                 lambda: secure().verifier_fetched(None)):
        with pytest.raises(RuntimeError):
            call()


def test_secrets_have_no_repr() -> None:
    assert "hunter2" not in repr([CheckPassword("ada", b"hunter2"), CancelAsked(1, b"hunter2")])


@given(st.lists(st.sampled_from([start(), messages.password(b"x"), SslRequest().encode(), GssRequest().encode()])
                | st.binary(max_size=40), max_size=6), st.booleans())
def test_any_bytes(pieces: list[bytes], tls: bool) -> None:
    """Effects, never an exception; nobody is in without an answer of ours."""
    login = secure() if tls else begun()
    for piece in pieces:
        effects = login.from_client(piece)
        assert not any(isinstance(e, LoggedIn) for e in effects)
        if any(isinstance(e, StartTls) for e in effects):
            login.secured(None)
