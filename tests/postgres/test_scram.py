"""SCRAM against its RFC, against psql's own exchange, against itself, and against liars."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerError
from protocols.postgres.scram import MOST_ITERATIONS, PLAIN, PLUS, ScramClient, ScramServer, Verifier, saslprep

SALT = bytes(range(16))
VERIFIER = Verifier.of("pencil", SALT)
CERTIFICATE = b"\x5a" * 32


def converse(client: ScramClient, server: ScramServer, verifier: Verifier = VERIFIER) -> bool:
    """A whole exchange; whether the server was satisfied."""
    server.read_first(client.mechanism, client.first())
    final = server.finish(client.final(server.challenge(verifier)))
    if final is None:
        return False
    client.verify(final)
    return client.verified


def test_the_rfc_exchange() -> None:
    """RFC 7677, section 3, word for word."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    server = ScramServer("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
    server.read_first(PLAIN, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    challenge = server.challenge(Verifier.of("pencil", salt))
    assert challenge == b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    answer = (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert server.finish(answer) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_exchange_of_psql_15() -> None:
    """Captured; the same nonce and challenge give the same bytes, and the server's proof holds."""
    client = ScramClient("x", "mj4QKTsDAn3XQ7NGweR/pOio")
    assert client.first() == b"n,,n=,r=mj4QKTsDAn3XQ7NGweR/pOio"
    challenge = b"r=mj4QKTsDAn3XQ7NGweR/pOioDqngOM/WE8978diTRzDVDQ3p,s=uU8aKHeKaH7079RarLA7lg==,i=4096"
    assert client.final(challenge) == (
        b"c=biws,r=mj4QKTsDAn3XQ7NGweR/pOioDqngOM/WE8978diTRzDVDQ3p,p=H/We4VagWYNGRzJc/Paorhyj+EUfmhas1TqKAWeuoYI="
    )
    client.verify(b"v=/Xj7zEC5uoJK53VtP2Qy+tIFSiu6tLpfejUJZkMO8dQ=")
    assert client.verified


@pytest.mark.parametrize(
    ("ours", "theirs", "offered", "mechanism"),
    [
        (None, None, False, PLAIN),
        (CERTIFICATE, CERTIFICATE, True, PLUS),
        (CERTIFICATE, None, False, PLAIN),  # TLS, and a server that cannot bind
        (None, CERTIFICATE, True, PLAIN),  # a client that cannot
    ],
)
def test_both_sides_meet(ours: bytes | None, theirs: bytes | None, offered: bool, mechanism: str) -> None:
    client, server = ScramClient("pencil", "client", ours, offered), ScramServer("server", theirs)
    assert client.mechanism == mechanism and (PLUS in server.mechanisms) == (theirs is not None)
    assert converse(client, server)


def test_a_wrong_password_is_not_an_error() -> None:
    """It is an answer: None."""
    assert not converse(ScramClient("crayon", "client"), ScramServer("server"))


def test_a_decoy_is_stable_and_matches_nobody() -> None:
    """Asked twice about somebody who does not exist, the same salt comes; another key, another salt."""
    one, again, other = (Verifier.decoy("nobody", key) for key in (b"key", b"key", b"another"))
    assert one == again and one.salt != other.salt and len(one.salt) == len(SALT)
    assert one.iterations == VERIFIER.iterations
    assert not converse(ScramClient("", "client"), ScramServer("server"), one)


# -- liars --------------------------------------------------------------------------------------------


def test_another_certificate_in_between_is_noticed() -> None:
    """The channel of the client ends somewhere else."""
    client, server = ScramClient("pencil", "client", b"\1" * 32, True), ScramServer("server", CERTIFICATE)
    with pytest.raises(PeerError, match="between"):
        converse(client, server)


def test_an_offer_that_was_cut_is_noticed() -> None:
    """The client could bind and saw no offer, yet the server made one."""
    with pytest.raises(PeerError, match="did not see"):
        converse(ScramClient("pencil", "client", CERTIFICATE, plus=False), ScramServer("server", CERTIFICATE))


def test_a_server_that_does_not_know_the_password() -> None:
    """Its signature is wrong; without any, it is not verified either."""
    client = ScramClient("pencil", "client")
    with pytest.raises(PeerError):
        client.verify(b"v=")
    client.final(b"r=clientserver,s=" + base64.b64encode(SALT) + b",i=4096")
    for lie in (b"v=" + base64.b64encode(bytes(32)), b"v=", b"e=other-error", b"v=!", b"x", b""):
        with pytest.raises(PeerError):
            client.verify(lie)
    assert not client.verified


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=client,s=QUFBQQ==,i=4096",  # adds nothing to our nonce
        b"r=cliexx,s=QUFBQQ==,i=4096",  # not our nonce
        b"r=clientserver,s=QUFBQQ==,i=1",
        b"r=clientserver,s=QUFBQQ==,i=4095",
        b"r=clientserver,s=QUFBQQ==,i=%d" % (MOST_ITERATIONS + 1),
        b"r=clientserver,s=QUFBQQ==,i=99999999999999999999",
        b"r=clientserver,s=QUFBQQ==,i=-1",
        b"r=clientserver,s=QUFBQQ==,i=\xb2",
        b"r=clientserver,s=,i=4096",
        b"r=clientserver,s=???,i=4096",
        b"m=x,r=clientserver,s=QUFBQQ==,i=4096",  # an extension that must be understood
        b"r=clientserver,r=clientserver,s=QUFBQQ==,i=4096",
        b"s=QUFBQQ==,r=clientserver,i=4096",
        b"r=clientserver",
        b"",
    ],
)
def test_challenges_that_are_refused(challenge: bytes) -> None:
    """Among them a cost so low that the proof gives the password away, and one so high that we stop."""
    with pytest.raises(PeerError):
        ScramClient("pencil", "client").final(challenge)


def test_a_challenge_comes_once() -> None:
    client, challenge = ScramClient("pencil", "client"), b"r=clientserver,s=QUFBQQ==,i=4096"
    client.final(challenge)
    with pytest.raises(PeerError):
        client.final(challenge)


@pytest.mark.parametrize(
    ("mechanism", "first"),
    [
        (PLAIN, b""),
        (PLAIN, b"n"),
        (PLAIN, b"n,"),
        (PLAIN, b"n,,"),
        (PLAIN, b"n,a=root,n=,r=abc"),  # on somebody else's behalf
        (PLAIN, b"n,,n=,r="),
        (PLAIN, b"n,,n=,r=a\x01c"),
        (PLAIN, b"n,,m=x,n=,r=abc"),
        (PLAIN, b"y,,n=,r=abc"),  # we did offer
        (PLAIN, b"p=tls-server-end-point,,n=,r=abc"),  # binding without the mechanism
        (PLAIN, b"q,,n=,r=abc"),
        (PLUS, b"n,,n=,r=abc"),
        (PLUS, b"p=tls-unique,,n=,r=abc"),
        ("SCRAM-SHA-1", b"n,,n=,r=abc"),
    ],
)
def test_openings_that_are_refused(mechanism: str, first: bytes) -> None:
    with pytest.raises(PeerError):
        ScramServer("server", CERTIFICATE).read_first(mechanism, first)


def test_plus_is_refused_where_it_was_not_offered() -> None:
    with pytest.raises(PeerError):
        ScramServer("server").read_first(PLUS, b"p=tls-server-end-point,,n=,r=abc")


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"c=biws",
        b"c=biws,r=abcserver",
        b"c=biws,r=abcother,p=AAAA",
        b"c=eSws,r=abcserver,p=AAAA",  # "y,,": not what was said first
        b"c=!,r=abcserver,p=AAAA",
        b"r=abcserver,c=biws,p=AAAA",
        b"c=biws,r=abcserver,p=!",
    ],
)
def test_finals_that_are_refused(final: bytes) -> None:
    server = ScramServer("server")
    server.read_first(PLAIN, b"n,,n=,r=abc")
    server.challenge(VERIFIER)
    with pytest.raises(PeerError):
        server.finish(final)


def test_a_short_proof_is_wrong_not_a_crash() -> None:
    server = ScramServer("server")
    server.read_first(PLAIN, b"n,,n=,r=abc")
    server.challenge(VERIFIER)
    assert server.finish(b"c=biws,r=abcserver,p=AAAA") is None


def test_a_final_before_the_challenge() -> None:
    server = ScramServer("server")
    server.read_first(PLAIN, b"n,,n=,r=abc")
    with pytest.raises(PeerError):
        server.finish(b"c=biws,r=abcserver,p=AAAA")


@given(st.binary(max_size=80), st.sampled_from([PLAIN, PLUS]))
def test_any_bytes_from_a_client(data: bytes, mechanism: str) -> None:
    """Read, or PeerError."""
    server = ScramServer("server", CERTIFICATE)
    try:
        server.read_first(mechanism, data)
    except PeerError:
        pass
    server.challenge(VERIFIER)
    try:
        assert server.finish(data) is None
    except PeerError:
        pass


@given(st.binary(max_size=80))
def test_any_bytes_from_a_server(data: bytes) -> None:
    client = ScramClient("pencil", "client")
    for step in (client.final, client.verify):
        try:
            step(data)
        except PeerError:
            pass
    assert not client.verified


# -- verifiers ----------------------------------------------------------------------------------------


def test_verifiers_are_written_as_postgres_does() -> None:
    """The form of pg_authid.rolpassword, there and back."""
    text = str(VERIFIER)
    assert text.startswith("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$") and Verifier.parse(text) == VERIFIER
    assert "pencil" not in text and "AAEC" not in repr(VERIFIER)


@pytest.mark.parametrize(
    "text", ["", "md5abc", "SCRAM-SHA-1$4096:AAAA$AAAA:AAAA", str(VERIFIER)[:-4], str(VERIFIER).replace("4096", "0")]
)
def test_other_texts_are_no_verifiers(text: str) -> None:
    with pytest.raises(ValueError, match="verifier"):
        Verifier.parse(text)


@pytest.mark.parametrize(
    ("given_text", "prepared"),
    [
        ("I\u00adX", "IX"),  # RFC 4013, section 3: the five examples
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0031", "\u0627\u0031"),  # mixed directions: left as it is, not refused
        ("\u0007\u00e9", "\u0007\u00e9"),  # a control character: the same
        ("\u0007", "\u0007"),
        ("\u00ad", "\u00ad"),  # nothing would be left
        ("\u0627\u0628", "\u0627\u0628"),
        ("", ""),
    ],
)
def test_saslprep(given_text: str, prepared: str) -> None:
    """RFC 4013, and PostgreSQL's rule for what it forbids: use the password as it came."""
    assert saslprep(given_text) == prepared


@given(st.text(max_size=20))
def test_saslprep_takes_any_text(text: str) -> None:
    once = saslprep(text)
    assert saslprep(once) == once or once == text
