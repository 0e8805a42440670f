"""What is asked of an identity provider, and what each answer of it comes to; whatever is not right is a clean refusal."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from joserfc import jwk, jws
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from gateway.certificates import authority, issue, write_pair
from gateway.config import Device
from gateway.control.device.answers import PENDING, SLOW_DOWN, Nonsense, Proof, Unreachable
from gateway.control.device.provider import FRESH, GRANT, KEYS_AGAIN, LASTS_MOST, Provider
from gateway.control.device.web import BODY_LIMIT, Reply, Web
from gateway.control.errors import DeviceRefused
from tests.fired import got

ISSUER = "https://login.example"
WELL_KNOWN, DEVICE, TOKEN, KEYS = f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/d", f"{ISSUER}/t", f"{ISSUER}/k"
RSA, NEXT = jwk.RSAKey.generate_key(2048), jwk.RSAKey.generate_key(2048)
METADATA = {"issuer": ISSUER, "device_authorization_endpoint": DEVICE, "token_endpoint": TOKEN, "jwks_uri": KEYS}
BEGUN = {"device_code": "d1", "user_code": "ABCD", "verification_uri": f"{ISSUER}/go", "expires_in": 300, "interval": 5}


class FakeWeb:
    """Answers at once; what was asked is kept."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            WELL_KNOWN: Reply(200, METADATA), DEVICE: Reply(200, BEGUN), TOKEN: Reply(400, {"error": PENDING}), KEYS: Reply(200, keys(k1=RSA)),
        }  # fmt: skip
        self.gets: list[str] = []
        self.posts: list[tuple[str, dict[str, str], dict[str, str]]] = []

    def get(self, url: str) -> Deferred[Any]:
        self.gets.append(url)
        return self._answer(url)

    def post(self, url: str, form: dict[str, str], headers: dict[str, str]) -> Deferred[Any]:
        self.posts.append((url, form, headers))
        return self._answer(url)

    def _answer(self, url: str) -> Deferred[Any]:
        answer = self.answers[url]
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


def keys(**named: Any) -> dict[str, Any]:
    return {"keys": [{**key.as_dict(private=False), "kid": kid} for kid, key in named.items()]}


@pytest.fixture
def web() -> FakeWeb:
    return FakeWeb()


@pytest.fixture
def provider(web: FakeWeb, clock: Clock) -> Provider:
    return Provider(Device(ISSUER, "ostiary"), web, clock)  # type: ignore[arg-type]


def token(clock: Clock, key: Any = RSA, kid: str = "k1", **claims: Any) -> Reply:
    now = clock.seconds()
    told = {"iss": ISSUER, "aud": "ostiary", "sub": "u-1", "email": "ada", "iat": now, "exp": now + 60, **claims}
    header = {"alg": "RS256", **({"kid": kid} if kid else {})}
    return Reply(200, {"id_token": jws.serialize_compact(header, json.dumps(told), key, algorithms=["RS256"])})


# -- the beginning -----------------------------------------------------------------------------------


def test_a_code_is_asked_for_where_the_provider_says(provider: Provider, web: FakeWeb) -> None:
    begun = got(provider.begin())
    assert (begun.code, begun.shown, begun.url, begun.complete, begun.lasts, begun.interval) == ("d1", "ABCD", f"{ISSUER}/go", "", 300.0, 5.0)
    assert web.posts == [(DEVICE, {"client_id": "ostiary", "scope": "openid email"}, {})] and "d1" not in repr(begun)


def test_endpoints_of_the_file_need_no_asking(web: FakeWeb, clock: Clock) -> None:
    entry = Device(ISSUER, "ostiary", device_endpoint=DEVICE, token_endpoint=TOKEN, jwks_uri=KEYS)
    got(Provider(entry, web, clock).begin())  # type: ignore[arg-type]
    assert not web.gets


@pytest.mark.parametrize(("ways", "basic"), [(None, True), (["client_secret_post"], False), (["client_secret_basic", "client_secret_post"], True)], ids=repr)
def test_a_client_with_a_secret_proves_itself_as_the_provider_wants(web: FakeWeb, clock: Clock, tmp_path: Path, ways: Any, basic: bool) -> None:
    (tmp_path / "secret").write_text("s3:cret\n")
    web.answers[WELL_KNOWN] = Reply(200, {**METADATA, "token_endpoint_auth_methods_supported": ways})
    got(Provider(Device(ISSUER, "ostiary", tmp_path / "secret"), web, clock).begin())  # type: ignore[arg-type]
    [(_, form, headers)] = web.posts
    if basic:
        assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"ostiary:s3%3Acret" and "client_secret" not in form
    else:
        assert form["client_secret"] == "s3:cret" and not headers


def test_what_a_person_has_is_bounded_whatever_the_provider_grants(provider: Provider, web: FakeWeb) -> None:
    web.answers[DEVICE] = Reply(200, {**BEGUN, "expires_in": 1e300, "interval": 0})
    begun = got(provider.begin())
    assert (begun.lasts, begun.interval) == (LASTS_MOST, 1.0)


@pytest.mark.parametrize(("url", "answer"), [
    (WELL_KNOWN, Unreachable("ConnectionRefusedError")), (WELL_KNOWN, Nonsense("no JSON")), (WELL_KNOWN, Reply(404, {})),
    (WELL_KNOWN, Reply(200, {**METADATA, "issuer": "https://evil.example"})), (WELL_KNOWN, Reply(200, {**METADATA, "device_authorization_endpoint": None})),
    (WELL_KNOWN, Reply(200, {**METADATA, "token_endpoint": "http://login.example/t"})), (WELL_KNOWN, Reply(200, {**METADATA, "jwks_uri": "file:///etc/passwd"})),
    (DEVICE, Unreachable("it does not answer in time")), (DEVICE, Reply(401, {"error": "invalid_client"})), (DEVICE, Reply(200, {})),
    (DEVICE, Reply(200, {**BEGUN, "device_code": 7})), (DEVICE, Reply(200, {**BEGUN, "user_code": "A\x1b[2J"})), (DEVICE, Reply(200, {**BEGUN, "user_code": "A" * 65})),
    (DEVICE, Reply(200, {**BEGUN, "verification_uri": "javascript:alert(1)"})), (DEVICE, Reply(200, {**BEGUN, "verification_uri": "https://x/\n"})),
    (DEVICE, Reply(200, {**BEGUN, "expires_in": "300"})), (DEVICE, Reply(200, {**BEGUN, "interval": True})), (DEVICE, Reply(200, {**BEGUN, "expires_in": float("nan")})),
], ids=lambda value: repr(value)[:60])  # fmt: skip
def test_a_provider_that_is_down_or_wrong_is_a_clean_refusal(provider: Provider, web: FakeWeb, url: str, answer: Any) -> None:
    web.answers[url] = answer
    with pytest.raises(DeviceRefused, match="cannot be used: .*OST-612"):
        got(provider.begin())


def test_an_address_with_the_code_is_left_out_when_it_is_not_right(provider: Provider, web: FakeWeb) -> None:
    web.answers[DEVICE] = Reply(200, {**BEGUN, "verification_uri_complete": "https://x/\x07"})
    assert got(provider.begin()).complete == ""


# -- polls -------------------------------------------------------------------------------------------


def test_who_is_done_is_known(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    web.answers[TOKEN] = token(clock)
    assert got(provider.poll("d1")) == Proof(ISSUER, "u-1", "ada")
    assert web.posts == [(TOKEN, {"client_id": "ostiary", "grant_type": GRANT, "device_code": "d1"}, {})]


@pytest.mark.parametrize(("reply", "answer"), [
    (Reply(400, {"error": PENDING}), PENDING), (Reply(400, {"error": SLOW_DOWN}), SLOW_DOWN), (Reply(429, {}), SLOW_DOWN),
], ids=["pending", "slow down", "429"])  # fmt: skip
def test_not_yet(provider: Provider, web: FakeWeb, reply: Reply, answer: str) -> None:
    web.answers[TOKEN] = reply
    assert got(provider.poll("d1")) == answer


@pytest.mark.parametrize(("reply", "why"), [
    (Reply(400, {"error": "access_denied"}), "declined"), (Reply(400, {"error": "expired_token"}), "expired"),
    (Reply(400, {"error": "invalid_grant"}), r"refused the login \(invalid_grant\)"), (Reply(400, {"error": "\x1b[2J"}), r"\(status 400\)"),
    (Reply(400, {"error": ["access_denied"]}), r"\(status 400\)"), (Nonsense("it redirects (status 302)"), r"cannot be used: it redirects \(status 302\)"),
    (Nonsense("its answer is no JSON"), "no JSON"), (Reply(200, {}), "no ID token"), (Reply(200, {"id_token": ["a"]}), "no ID token"),
], ids=lambda value: repr(value)[:60])  # fmt: skip
def test_whatever_else_it_says_proves_nobody(provider: Provider, web: FakeWeb, reply: Any, why: str) -> None:
    web.answers[TOKEN] = reply
    with pytest.raises(DeviceRefused, match=why):
        got(provider.poll("d1"))


def test_a_provider_that_is_away_may_come_back(provider: Provider, web: FakeWeb) -> None:
    web.answers[TOKEN] = Unreachable("down")
    with pytest.raises(Unreachable):
        got(provider.poll("d1"))


@pytest.mark.parametrize("claims", [{"iss": "https://evil.example"}, {"aud": "other"}, {"exp": 1}], ids=repr)
def test_a_token_that_is_not_for_us_proves_nobody(provider: Provider, web: FakeWeb, clock: Clock, claims: dict[str, Any]) -> None:
    web.answers[TOKEN] = token(clock, **claims)
    with pytest.raises(DeviceRefused, match="not believed"):
        got(provider.poll("d1"))


# -- keys --------------------------------------------------------------------------------------------


def test_a_new_key_of_the_provider_is_found_and_a_strange_one_does_not_hammer_it(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    web.answers[TOKEN] = token(clock)
    got(provider.poll("d1"))
    web.answers[TOKEN], web.answers[KEYS] = token(clock, NEXT, "k2"), Reply(200, keys(k1=RSA, k2=NEXT))
    with pytest.raises(DeviceRefused, match="does not publish"):  # asked a moment ago
        got(provider.poll("d2"))
    assert web.gets.count(KEYS) == 1
    clock.advance(KEYS_AGAIN)
    web.answers[TOKEN] = token(clock, NEXT, "k2")
    assert got(provider.poll("d3")).name == "ada" and web.gets.count(KEYS) == 2


def test_a_key_that_is_replaced_under_its_id_is_looked_up_again_once(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    """And no forged token makes the gateway hammer the provider."""
    web.answers[TOKEN] = token(clock)
    got(provider.poll("d1"))
    web.answers[KEYS] = Reply(200, keys(k1=NEXT))
    clock.advance(KEYS_AGAIN)
    web.answers[TOKEN] = token(clock, NEXT)
    assert got(provider.poll("d2")).name == "ada" and web.gets.count(KEYS) == 2
    web.answers[TOKEN] = token(clock)  # the former key's
    for _ in range(20):
        with pytest.raises(DeviceRefused, match="signature is not its provider's"):
            got(provider.poll("d3"))
    assert web.gets.count(KEYS) == 2
    clock.advance(KEYS_AGAIN)
    web.answers[TOKEN] = token(clock)
    for _ in range(20):
        with pytest.raises(DeviceRefused, match="signature is not its provider's"):
            got(provider.poll("d4"))
    assert web.gets.count(KEYS) == 3


def test_those_who_want_a_key_at_once_ask_for_it_once(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    """One who leaves meanwhile takes it from nobody."""
    web.answers[TOKEN], slow = token(clock), Deferred()
    web.answers[KEYS] = slow
    polls = [provider.poll(f"d{number}") for number in range(5)]
    assert web.gets.count(KEYS) == 1 and not any(poll.called for poll in polls)
    polls[0].addErrback(lambda _: None)
    polls[0].cancel()
    slow.callback(Reply(200, keys(k1=RSA)))
    assert [got(poll).name for poll in polls[1:]] == ["ada"] * 4
    assert got(provider.poll("d9")).name == "ada" and web.gets.count(KEYS) == 1


def test_keys_that_cannot_be_had_are_refused_to_all_who_want_them_and_had_later(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    web.answers[TOKEN], slow = token(clock), Deferred()
    web.answers[KEYS] = slow
    polls = [provider.poll(f"d{number}") for number in range(3)]
    slow.errback(Unreachable("it does not answer in time"))
    for poll in polls:
        with pytest.raises(DeviceRefused, match="in time"):
            got(poll)
    web.answers[KEYS] = Reply(200, keys(k1=RSA))
    assert got(provider.poll("d9")).name == "ada"


def test_a_key_that_is_published_no_more_is_forgotten(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    web.answers[TOKEN] = token(clock)
    got(provider.poll("d1"))
    web.answers[KEYS] = Reply(200, keys(k2=NEXT))
    clock.advance(FRESH)
    web.answers[TOKEN] = token(clock)
    with pytest.raises(DeviceRefused, match="does not publish"):
        got(provider.poll("d2"))


def test_a_token_that_names_no_key_is_believed_by_the_only_one(provider: Provider, web: FakeWeb, clock: Clock) -> None:
    web.answers[TOKEN] = token(clock, kid="")
    assert got(provider.poll("d1")).name == "ada"
    web.answers[KEYS] = Reply(200, keys(k1=RSA, k2=NEXT))
    clock.advance(FRESH)
    web.answers[TOKEN] = token(clock, kid="")
    with pytest.raises(DeviceRefused):
        got(provider.poll("d2"))


@pytest.mark.parametrize("reply", [
    Reply(200, {}), Reply(200, {"keys": {}}), Reply(500, {}), Reply(200, {"keys": [7, None]}), Reply(200, {"keys": [{"kty": "oct", "k": "AAAA", "kid": "k1"}]}),
    Reply(200, {"keys": [{}] * 65}), Unreachable("down"), Nonsense("no JSON"),
], ids=lambda value: repr(value)[:60])  # fmt: skip
def test_keys_that_cannot_be_read_prove_nobody(provider: Provider, web: FakeWeb, clock: Clock, reply: Any) -> None:
    web.answers[TOKEN], web.answers[KEYS] = token(clock), reply
    with pytest.raises(DeviceRefused):
        got(provider.poll("d1"))


def test_a_gateway_without_a_provider_loads_none_of_it() -> None:
    code = "import gateway.control.process, gateway.toml, sys; print([m for m in ('joserfc', 'gateway.control.device.web') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# -- the wire ----------------------------------------------------------------------------------------


class Page(Resource):
    """Answers by path."""

    isLeaf = True

    def render(self, request: Any) -> Any:
        if request.path == b"/moved":
            request.redirect(b"/right")
            return b"<html>elsewhere"
        if request.path == b"/slow":
            return NOT_DONE_YET
        request.setResponseCode(503 if request.path == b"/ill" else 200)
        return {b"/long": b"[" * (BODY_LIMIT + 1), b"/text": b"<html>", b"/list": b"[]", b"/deep": b"[" * 60000}.get(request.path, b'{"a": 1}')

    render_GET = render_POST = render


@pytest_twisted.async_yield_fixture
async def host(tmp_path: Path) -> AsyncIterator[Any]:
    """(address of an https server, who vouches for it, who does not)"""
    ca, other = authority("test"), authority("other")
    write_pair(tmp_path / "s.pem", tmp_path / "s.key", issue(ca, ["localhost"]), chain=[ca.certificate])
    write_pair(tmp_path / "ca.pem", tmp_path / "ca.key", ca)
    write_pair(tmp_path / "other.pem", tmp_path / "other.key", other)
    port = reactor.listenSSL(0, Site(Page()), ssl.DefaultOpenSSLContextFactory(str(tmp_path / "s.key"), str(tmp_path / "s.pem")), interface="127.0.0.1")
    yield f"https://localhost:{port.getHost().port}", tmp_path / "ca.pem", tmp_path / "other.pem"
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_what_vouches_is_the_file_of_the_configuration(host: Any) -> None:
    url, ca, other = host
    web = Web(reactor, ca)
    reply = await web.get(f"{url}/right")
    assert (reply.status, reply.body) == (200, {"a": 1})
    assert (await web.post(f"{url}/right", {"a": "b"}, {})).status == 200
    for wrong in (Web(reactor, other), Web(reactor)):
        with pytest.raises(Unreachable, match="TLS"):
            await wrong.get(f"{url}/right")
    with pytest.raises(Unreachable, match="TLS"):  # another host's certificate
        await web.get(f"{url.replace('localhost', '127.0.0.1')}/right")


@pytest_twisted.ensureDeferred
async def test_answers_are_bounded_and_never_followed_elsewhere(host: Any) -> None:
    url, ca, _ = host
    web = Web(reactor, ca)
    for way in (web.get(f"{url}/moved"), web.post(f"{url}/moved", {}, {})):
        with pytest.raises(Nonsense, match=r"it redirects \(status 302\)"):
            await way
    for page, why in (("long", "too long"), ("text", "no JSON"), ("list", "no JSON object"), ("deep", "no JSON")):
        with pytest.raises(Nonsense, match=why):
            await web.get(f"{url}/{page}")
    with pytest.raises(Unreachable, match="status 503"):
        await web.get(f"{url}/ill")


@pytest_twisted.ensureDeferred
async def test_a_provider_that_says_nothing_is_not_waited_for_long(host: Any) -> None:
    url, ca, _ = host
    clock = Clock()
    web = Web(reactor, ca)
    web._reactor = clock
    asked = web.get(f"{url}/slow")
    clock.advance(60)
    with pytest.raises(Unreachable, match="in time"):
        await asked
