"""Logging in to targets that are honest, broken, or lie. Bytes in, steps out."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.command import Transaction
from protocols.effects import ToTarget
from protocols.errors import PeerError
from protocols.postgres import auth, messages
from protocols.postgres import replies as r
from protocols.postgres.auth import METHODS, Failed, Ready, Step, TargetLogin
from protocols.postgres.scram import PLAIN, PLUS, ScramServer, Verifier

OK = r.Authentication(r.AUTH_OK).encode()
CLEARTEXT = r.Authentication(r.AUTH_CLEARTEXT).encode()
MD5 = r.Authentication(r.AUTH_MD5, b"salt").encode()
REST = (
    r.ParameterStatus("server_version", "15.20").encode()
    + r.BackendKey(4711, b"\1\2\3\4").encode()
    + r.ReadyForQuery(Transaction.IDLE).encode()
)
CERTIFICATE = b"\x5a" * 32
VERIFIER = Verifier.of("pencil", bytes(16))


def login(**more: Any) -> TargetLogin:
    settings: dict[str, Any] = {"tls": True, "binding": CERTIFICATE, "nonce": "client", "password": "pencil", **more}
    password = settings.pop("password")
    return TargetLogin("app", "clinicdb", {"application_name": "psql"}, password, **settings)


def sent(steps: list[Step]) -> bytes:
    assert all(isinstance(step, ToTarget) for step in steps), steps
    return b"".join(step.data for step in steps if isinstance(step, ToTarget))


def only(steps: list[Step], kind: type) -> Any:
    assert [type(step) for step in steps] == [kind]
    return steps[0]


def offer(*mechanisms: str) -> bytes:
    return r.Authentication(r.AUTH_SASL, mechanisms=mechanisms).encode()


class Target:
    """The server's half of SCRAM."""

    def __init__(self, binding: bytes | None = CERTIFICATE) -> None:
        self.exchange = ScramServer("server", binding)

    def challenge(self, first: bytes) -> bytes:
        self.exchange.read_first(*messages.Secret(first[5:]).read_initial())  # type: ignore[arg-type]
        return r.Authentication(r.AUTH_SASL_CONTINUE, self.exchange.challenge(VERIFIER)).encode()

    def final(self, answer: bytes) -> bytes:
        proof = self.exchange.finish(answer[5:])
        assert proof is not None
        return r.Authentication(r.AUTH_SASL_FINAL, proof).encode()


def test_the_start_names_user_and_database_whatever_the_settings_say() -> None:
    """A setting called "user" cannot choose another service login."""
    begun = TargetLogin("app", "db", {"user": "postgres"}, None, tls=True, binding=None, nonce="n").start()
    opening = messages.parse_opening(begun[4:])
    assert opening == messages.Startup(messages.VERSION_3_2, {"user": "app", "database": "db"})


def test_trust_to_the_end() -> None:
    """Everything the target told is handed over, and what follows it is kept."""
    notice = r.NoticeResponse({"M": "hello"}).encode()
    ready = only(login(password=None).from_target(OK + notice + REST + b"behind"), Ready)
    assert (ready.pid, ready.secret, ready.leftover, ready.method) == (4711, b"\1\2\3\4", b"behind", "trust")
    assert ready.parameters == {"server_version": "15.20"} and ready.transaction is Transaction.IDLE
    assert ready.notices == ({"M": "hello"},) and ready.version == messages.VERSION_3_2


def test_byte_by_byte() -> None:
    """No step depends on how the bytes arrive."""
    one, steps = login(), []
    for byte in MD5 + OK + REST:
        steps += one.from_target(bytes((byte,)))
    assert [type(step) for step in steps] == [ToTarget, Ready]


def test_md5() -> None:
    inner = hashlib.md5(b"pencilapp").hexdigest().encode()
    expected = b"md5" + hashlib.md5(inner + b"salt").hexdigest().encode()
    one = login(tls=False)
    assert sent(one.from_target(MD5)) == messages.password(expected)
    assert only(one.from_target(OK + REST), Ready).method == "md5"


def test_md5_as_psql_computes_it() -> None:
    """Captured: user md5, password x."""
    one = TargetLogin("md5", "postgres", {}, "x", tls=False, binding=None, nonce="n")
    assert sent(one.from_target(b"R\0\0\0\x0c\0\0\0\x05\xa8[\xd7l")) == b"p\0\0\0(md547b3bb2a7524600d3773143207fedd6d\0"


def test_a_password_goes_in_clear_over_verified_tls_only() -> None:
    """Unless that was allowed by name."""
    assert sent(login().from_target(CLEARTEXT)) == messages.password(b"pencil")
    assert sent(login(tls=False, clear=True).from_target(CLEARTEXT)) == messages.password(b"pencil")
    failed = only(login(tls=False).from_target(CLEARTEXT), Failed)
    assert not failed.sent and "in clear" in failed.fields["M"]


@pytest.mark.parametrize(
    ("offered", "binding", "mechanism", "method"),
    [
        ((PLUS, PLAIN), CERTIFICATE, PLUS, "scram-plus"),
        ((PLAIN,), CERTIFICATE, PLAIN, "scram"),
        ((PLAIN,), None, PLAIN, "scram"),
        ((PLUS, PLAIN), None, PLAIN, "scram"),
    ],
)
def test_scram(offered: tuple[str, ...], binding: bytes | None, mechanism: str, method: str) -> None:
    """The strongest that both know; ready only after the target proved itself too."""
    one, target = login(binding=binding), Target(CERTIFICATE if PLUS in offered else None)
    first = sent(one.from_target(offer(*offered)))
    assert messages.Secret(first[5:]).read_initial()[0] == mechanism
    answer = sent(one.from_target(target.challenge(first)))
    assert only(one.from_target(target.final(answer) + OK + REST), Ready).method == method


def test_plus_left_aside_by_choice_does_not_cry_wolf() -> None:
    """With "n" the target accepts; "y" would mean that its offer had been cut."""
    one = login(methods=METHODS - {"scram-plus"})
    assert b"n,,n=" in sent(one.from_target(offer(PLUS, PLAIN)))
    assert b"y,,n=" in sent(login().from_target(offer(PLAIN)))


# -- lies -----------------------------------------------------------------------------------------------


def test_a_yes_without_the_servers_proof_is_refused() -> None:
    """Before the challenge, and instead of the signature: whoever it is does not know the password."""
    early = login()
    early.from_target(offer(PLAIN))
    with pytest.raises(PeerError, match="without proving"):
        early.from_target(OK)
    late, target = login(), Target(None)
    late.from_target(target.challenge(sent(late.from_target(offer(PLAIN)))))
    with pytest.raises(PeerError, match="without proving"):
        late.from_target(OK)


def test_a_second_request_is_refused() -> None:
    """After SCRAM has begun, asking for the password in clear or as MD5 is a downgrade."""
    for second in (CLEARTEXT, MD5, offer(PLAIN)):
        one = login()
        one.from_target(offer(PLAIN))
        with pytest.raises(PeerError, match="twice"):
            one.from_target(second)


@pytest.mark.parametrize("request_bytes", [CLEARTEXT, MD5, offer(PLAIN), OK], ids=["clear", "md5", "scram", "trust"])
def test_only_allowed_methods(request_bytes: bytes) -> None:
    """With SCRAM-PLUS demanded, nothing weaker is answered with anything."""
    failed = only(login(methods=frozenset({"scram-plus"})).from_target(request_bytes), Failed)
    assert not failed.sent and failed.fields["C"] == "28000"


def test_no_password_nothing_to_answer_with() -> None:
    for request_bytes in (CLEARTEXT, MD5, offer(PLUS, PLAIN)):
        assert "has no password" in only(login(password=None).from_target(request_bytes), Failed).fields["M"]


@pytest.mark.parametrize("code", [2, 6, 7, 8, 9, 99])
def test_kerberos_and_others_are_not_spoken(code: int) -> None:
    failed = only(login().from_target(r.Authentication(code).encode()), Failed)
    assert str(code) in failed.fields["M"]


def test_no_known_mechanism() -> None:
    assert "mechanism" in only(login().from_target(offer("SCRAM-SHA-512", "OAUTHBEARER")), Failed).fields["M"]
    assert "mechanism" in only(login(binding=None).from_target(offer(PLUS)), Failed).fields["M"]


@pytest.mark.parametrize(
    "early",
    [REST, r.BackendKey(1, bytes(4)).encode(), r.DataRow((b"x",)).encode(), r.CommandComplete("SELECT 1").encode()],
)
def test_nothing_else_before_the_target_is_satisfied(early: bytes) -> None:
    with pytest.raises(PeerError, match="in the middle of a login"):
        login().from_target(early)


def test_nothing_else_after_it_either() -> None:
    for late in (OK, MD5, r.RowDescription.parse(b"\0\0").encode(), r.NegotiateVersion(messages.VERSION_3_0, ()).encode()):
        one = login()
        one.from_target(OK)
        with pytest.raises(PeerError, match="in the middle of a login"):
            one.from_target(late)


def test_a_sasl_message_outside_of_sasl() -> None:
    for code in (r.AUTH_SASL_CONTINUE, r.AUTH_SASL_FINAL):
        with pytest.raises(PeerError):
            login().from_target(r.Authentication(code, b"v=x").encode())


def test_a_flood_of_settings_ends() -> None:
    """A target that never gets ready cannot fill our memory."""
    one = login()
    one.from_target(OK)
    with pytest.raises(PeerError, match="too many"):
        for number in range(10_000):
            one.from_target(r.ParameterStatus(f"p{number}", "x").encode())


def test_a_flood_of_notices_is_dropped() -> None:
    one = login()
    one.from_target(OK + r.NoticeResponse({"M": "x"}).encode() * 1000)
    assert len(only(one.from_target(REST), Ready).notices) == auth._NOTICE_LIMIT


def test_a_large_message_is_refused_by_its_head() -> None:
    with pytest.raises(PeerError):
        login().from_target(b"E\x00\x10\x00\x00")


# -- refusals and versions ---------------------------------------------------------------------------------


def test_the_targets_own_refusal() -> None:
    """Its fields as they came; nothing after it is read."""
    fields = r.error_fields("28P01", "password authentication failed", "FATAL")
    one = login()
    one.from_target(MD5)
    assert only(one.from_target(r.ErrorResponse(fields).encode() + b"\xff" * 9), Failed) == Failed(fields)
    assert one.from_target(OK + REST) == []


def test_an_error_after_the_login_is_a_refusal_too() -> None:
    """For example: the database does not exist."""
    one = login()
    fields = r.error_fields("3D000", "no such database", "FATAL")
    assert only(one.from_target(OK + r.ErrorResponse(fields).encode()), Failed).fields == fields


def test_an_older_server_negotiates() -> None:
    """PostgreSQL 15 answers 3.2 so, and goes on."""
    one = login()
    ready = only(one.from_target(r.NegotiateVersion(messages.VERSION_3_0, ()).encode() + OK + REST), Ready)
    assert ready.version == messages.VERSION_3_0


@pytest.mark.parametrize(
    "answer",
    [
        r.NegotiateVersion(messages.VERSION_3_2, ()),
        r.NegotiateVersion(messages.VERSION_3_2 + 1, ()),
        r.NegotiateVersion(2 << 16, ()),
        r.NegotiateVersion(messages.VERSION_3_0, ("_pq_.unasked",)),
    ],
)
def test_negotiations_that_make_no_sense(answer: r.NegotiateVersion) -> None:
    with pytest.raises(PeerError):
        login().from_target(answer.encode())


def test_a_very_old_server_is_tried_again() -> None:
    """One that says error instead of negotiating; but not one that we had already answered."""
    error = r.ErrorResponse(r.error_fields("0A000", "unsupported frontend protocol 3.2", "FATAL")).encode()
    assert only(login().from_target(error), Failed).version == messages.VERSION_3_0
    assert only(login(version=messages.VERSION_3_0).from_target(error), Failed).version == 0
    later = login()
    later.from_target(MD5)
    assert only(later.from_target(error), Failed).version == 0


def test_a_certificate_counts_as_proof() -> None:
    """No request after a client certificate was shown is not "trust"."""
    assert only(login(password=None, presents=True).from_target(OK + REST), Ready).method == "certificate"
    demanded = frozenset({"certificate"})
    assert only(login(password=None, methods=demanded).from_target(OK), Failed)


def test_ready_shows_no_secret() -> None:
    assert "\\x01" not in repr(only(login(password=None).from_target(OK + REST), Ready))


@given(st.lists(st.sampled_from([OK, MD5, CLEARTEXT, REST, offer(PLAIN), b"\0", b"E\0\0\0\5\0"]) | st.binary(max_size=20)))
def test_any_conversation(pieces: list[bytes]) -> None:
    """Steps or PeerError; never ready without a yes."""
    one, got = login(), b""
    try:
        for piece in pieces:
            got += piece
            if any(isinstance(step, Ready) for step in one.from_target(piece)):
                assert OK in got
    except PeerError:
        pass
