"""Dialling targets that lie, hang up, or come too late; real servers are in tests/live/test_dial.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from gateway.config import Account
from gateway.upstream import KINDS, DialError, Upstream, cancel, dial, probe
from protocols.postgres import messages
from protocols.postgres import replies as r
from protocols.postgres.codec import encode
from tests.gateway.scripted import READY, Answer, ScriptedTarget

TRUST = Account("app", "app", auth="trust")

Make = Callable[[Answer], ScriptedTarget]


@pytest_twisted.async_yield_fixture
async def scripted() -> AsyncIterator[Make]:
    made: list[ScriptedTarget] = []

    def make(answer: Answer) -> ScriptedTarget:
        made.append(ScriptedTarget(answer))
        return made[-1]

    yield make
    for target in made:
        await target.close()


class Kept:
    """A receiver that remembers."""

    def __init__(self) -> None:
        self.data, self.lost = b"", []  # type: ignore[var-annotated]
        self.something: Deferred[None] = Deferred()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if not self.something.called:
            self.something.callback(None)

    def connection_lost(self, why: str) -> None:
        self.lost.append(why)
        if not self.something.called:
            self.something.callback(None)


async def dialled(target: ScriptedTarget, tls: str = "off", account: Account = TRUST, **more: Any) -> Upstream:
    return await dial(reactor, target.entry(tls), account, more.pop("password", None), "clinicdb", {}, **more)


async def refused(target: ScriptedTarget, tls: str = "off", account: Account = TRUST, **more: Any) -> DialError:
    with pytest.raises(DialError) as caught:
        (await dialled(target, tls, account, **more)).transport.abortConnection()
    error = caught.value
    assert (error.code, error.sqlstate) == KINDS[error.kind] or error.sqlstate
    return error


@pytest_twisted.ensureDeferred
async def test_nothing_is_lost_between_login_and_attach(scripted: Make) -> None:
    """What came behind ReadyForQuery is delivered first, what comes later after it."""
    target = scripted(lambda data: READY + b"early" if data[4:6] == b"\0\3" else b"+" + data)
    upstream = await dialled(target)
    assert (upstream.pid, upstream.secret, upstream.leftover) == (4711, b"\1\2\3\4", b"early")
    upstream.transport.write(b"ping")
    receiver = Kept()
    upstream.attach(receiver)
    assert receiver.data == b"early" and upstream.leftover == b""
    receiver.something = Deferred()
    await receiver.something
    assert receiver.data == b"early+ping"
    upstream.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_a_target_lost_before_attach_is_told_at_attach(scripted: Make) -> None:
    """Whoever takes it over late still hears of it."""
    upstream = await dialled(scripted(lambda _: READY))
    upstream.connection_lost("gone")
    receiver = Kept()
    upstream.attach(receiver)
    assert receiver.lost == ["gone"]
    upstream.transport.abortConnection()


@pytest_twisted.ensureDeferred
async def test_a_lost_target_is_told_to_its_receiver(scripted: Make) -> None:
    target = scripted(lambda data: READY if data[4:6] == b"\0\3" else None)
    upstream, receiver = await dialled(target), Kept()
    upstream.attach(receiver)
    upstream.transport.write(b"x")
    await receiver.something
    assert len(receiver.lost) == 1


@pytest_twisted.ensureDeferred
async def test_the_transport_does_not_wait_and_notices_the_dead(scripted: Make) -> None:
    upstream = await dialled(scripted(lambda _: READY))
    assert upstream.transport.getTcpNoDelay() and upstream.transport.getTcpKeepAlive()
    upstream.transport.abortConnection()


@pytest.mark.parametrize("tls", ["verify", "encrypt"])
@pytest.mark.parametrize("answer", [b"N", b"E" + bytes(8), b"X"], ids=["no", "error", "junk"])
@pytest_twisted.ensureDeferred
async def test_tls_is_never_fallen_back_from(scripted: Make, answer: bytes, tls: str) -> None:
    """Nothing but the request for TLS has left."""
    target = scripted(lambda _: answer)
    assert (await refused(target, tls)).kind == "tls"
    assert b"".join(target.received) == messages.SslRequest().encode()


@pytest_twisted.ensureDeferred
async def test_bytes_behind_the_answer_to_tls_end_it(scripted: Make) -> None:
    """CVE-2021-23222: they would be believed as if they had come inside."""
    error = await refused(scripted(lambda _: b"S" + READY), "verify")
    assert error.kind == "protocol" and "unencrypted" in error.why


@pytest_twisted.ensureDeferred
async def test_a_handshake_that_is_none(scripted: Make) -> None:
    answers = iter([b"S", b"this is no TLS at all, not in the least"])
    assert (await refused(scripted(lambda _: next(answers, None)), "encrypt")).kind == "tls"


@pytest_twisted.ensureDeferred
async def test_a_target_that_hangs_up(scripted: Make) -> None:
    """Before a word, and in the middle of TLS."""
    assert (await refused(scripted(lambda _: None))).kind == "lost"
    answers = iter([b"S"])
    assert (await refused(scripted(lambda _: next(answers, None)), "verify")).kind == "lost"


@pytest.mark.parametrize(
    "answer", [b"\xff" * 20, encode(b"Z", b"I"), encode(b"R", b"\0"), READY[:9] + b"T\0\0\0\6\0\0"],
    ids=["junk", "ready too early", "cut", "rows"],
)
@pytest_twisted.ensureDeferred
async def test_a_target_that_breaks_the_protocol(scripted: Make, answer: bytes) -> None:
    """It costs this connection, and is named."""
    target = scripted(lambda _: answer)
    assert (await refused(target)).kind == "protocol"
    await target.deserted()


@pytest_twisted.ensureDeferred
async def test_what_the_target_says_stays_in_the_record(scripted: Make) -> None:
    """It names the service login and the address rules; a client hears the code alone."""
    words = 'no pg_hba.conf entry for host "10.0.0.9", user "clinic_app"'
    said = r.ErrorResponse(r.error_fields("28000", words, "FATAL")).encode()
    error = await refused(scripted(lambda _: said))
    assert error.kind == "login" and "clinic_app" not in error.why and error.fields["M"] == words


@pytest_twisted.ensureDeferred
async def test_a_server_that_knows_no_3_2_is_dialled_again(scripted: Make) -> None:
    """A new connection with 3.0, in the same deadline."""
    old = r.ErrorResponse(r.error_fields("0A000", "unsupported frontend protocol 3.2", "FATAL")).encode()
    target = scripted(lambda data: READY if data[4:8] == b"\0\3\0\0" else old)
    upstream = await dialled(target)
    assert upstream.facts["protocol"] == "3.0" and len(target.received) == 2
    upstream.transport.abortConnection()
    stubborn = scripted(lambda _: old)
    assert (await refused(stubborn)).kind == "login" and len(stubborn.received) == 2


@pytest.mark.parametrize("auth", ["password", "certificate"])
@pytest_twisted.ensureDeferred
async def test_no_proof_asked_is_an_impostor(scripted: Make, auth: str) -> None:
    error = await refused(scripted(lambda _: READY), account=Account("app", "app", auth=auth), password="x")
    assert error.kind == "login" and "no proof" in error.why


@pytest_twisted.ensureDeferred
async def test_a_password_that_cannot_be_sent(scripted: Make) -> None:
    """A NUL inside would end it early on the wire; the error does not repeat it."""
    request = r.Authentication(r.AUTH_CLEARTEXT).encode()
    error = await refused(scripted(lambda _: request), account=Account("app", "app"), password="hun\0ter2")
    assert error.kind in ("login", "protocol") and "ter2" not in str(error)
    md5 = r.Authentication(r.AUTH_MD5, b"salt").encode()
    wrong = r.ErrorResponse(r.error_fields("28P01", "no", "FATAL")).encode()
    answers = iter([md5, wrong])
    assert (await refused(scripted(lambda _: next(answers)), account=Account("app", "app"), password="ä")).kind == "login"


@pytest_twisted.ensureDeferred
async def test_a_silent_target_is_given_up(scripted: Make) -> None:
    """And the connection with it."""
    target = scripted(lambda _: b"")
    assert (await refused(target, timeout=0.1)).kind == "timeout"
    await target.deserted()


@pytest.mark.parametrize("tls", ["verify", "off"])
@pytest_twisted.ensureDeferred
async def test_a_dial_can_be_given_up(scripted: Make, tls: str) -> None:
    """The client is gone: cancelling ends the connection, in whatever state."""
    asked: Deferred[None] = Deferred()

    def answer(_: bytes) -> bytes:
        asked.callback(None)
        return b""

    target = scripted(answer)
    dialling = dial(reactor, target.entry(tls), TRUST, None, "clinicdb", {})
    await asked
    dialling.cancel()
    with pytest.raises(CancelledError):
        await dialling
    await target.deserted()


@pytest_twisted.ensureDeferred
async def test_a_dial_given_up_at_once_leaves_nothing(scripted: Make) -> None:
    target = scripted(lambda _: READY)
    dialling = dial(reactor, target.entry(), TRUST, None, "clinicdb", {})
    dialling.cancel()
    with pytest.raises(CancelledError):
        await dialling
    assert not target.received


@pytest_twisted.ensureDeferred
async def test_files_that_are_missing_or_wrong(scripted: Make, tmp_path: Any) -> None:
    """Said before anything is dialled, with the file's name."""
    from dataclasses import replace

    target, junk = scripted(lambda _: b"S"), tmp_path / "junk.pem"
    junk.write_text("not a certificate")
    for ca in (tmp_path / "absent.pem", junk):
        with pytest.raises(DialError) as caught:
            await dial(reactor, replace(target.entry("verify"), tls_ca=ca), TRUST, None, "clinicdb", {})
        assert caught.value.kind == "tls" and ca.name in caught.value.why
    assert not target.received


@pytest_twisted.ensureDeferred
async def test_cancel_says_one_thing_and_waits_for_the_end(scripted: Make) -> None:
    target = scripted(lambda _: None)
    await cancel(reactor, target.entry(), 4711, b"\1\2\3\4")
    assert b"".join(target.received) == messages.CancelRequest(4711, b"\1\2\3\4").encode()


@pytest_twisted.ensureDeferred
async def test_a_cancel_that_nobody_takes(scripted: Make) -> None:
    """It ends by itself."""
    with pytest.raises(DialError) as caught:
        await cancel(reactor, scripted(lambda _: b"").entry(), 1, b"1234", timeout=0.1)
    assert caught.value.kind == "timeout"


@pytest_twisted.ensureDeferred
async def test_probe_says_goodbye(scripted: Make) -> None:
    target = scripted(lambda data: READY if data[4:6] == b"\0\3" else b"")
    facts = await probe(reactor, target.entry(), TRUST, None)
    assert facts == {"tls": "", "tls_verified": "off", "auth": "trust", "protocol": "3.2", "server_version": "15.20"}
    await target.deserted()
    assert target.received[-1] == messages.Terminate().encode()
