"""The gateway's own logins at targets: a server of Conch's legs in memory's place, over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import pytest_twisted
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from gateway.config import Account, TargetEntry
from gateway.ssh.exchange import EXCHANGES
from gateway.ssh.keys import algorithms
from gateway.ssh.lines import fingerprint
from gateway.ssh.sides import ServerLeg
from gateway.ssh.upstream import Upstream, dial, look, probe
from gateway.upstream import DialError
from protocols.ssh.auth import BANNER, FAILURE, INFO_REQUEST, REQUEST, SUCCESS
from protocols.ssh.certificate import FOREVER, PLAIN, Certificate
from protocols.ssh.certificate import HOST as HOST_TYPE
from protocols.ssh.messages import Reader, string, u32
from tests.ssh.leg_pair import HOST, HOST_ECDSA, Login, _Factory

PIN = HOST.public().blob()


class _Service(Login):
    """Answers each request by the method's entry in the script."""

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        leg = self.transport
        if messageNum == REQUEST:
            fields = Reader(packet, 0)
            user, _, method = fields.string(), fields.string(), fields.string().decode()
            leg.server.heard.append((user, method, fields.rest()))
        else:
            leg.server.heard.append((b"", "response", packet))
            method = "response"
        for payload in leg.server.script.get(method, [bytes([FAILURE]) + string(b"publickey") + b"\0"]):
            leg.send(payload)


class _Leg(ServerLeg):
    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.factory = server
        self.supportedPublicKeys = [name for key in (HOST, HOST_ECDSA) for name in algorithms(key)]


class Server(Factory, _Factory):
    """A target that says what its script has."""

    noisy = False

    def __init__(self) -> None:
        self.script: dict[str, list[bytes]] = {}
        self.heard: list[tuple[bytes, str, bytes]] = []
        self.legs: list[_Leg] = []

    def buildProtocol(self, address: object) -> _Leg:
        self.legs.append(_Leg(self))
        return self.legs[-1]

    def getService(self, transport: object, name: bytes) -> object:
        return _Service if name == Login.name else None


@pytest.fixture()
def server() -> Iterator[Server]:
    made = Server()
    made.port = reactor.listenTCP(0, made, interface="127.0.0.1")
    yield made
    for leg in made.legs:
        leg.transport.abortConnection()
    pytest_twisted.blockon(made.port.stopListening())


def dialled(server: Server, pins: tuple[bytes, ...] = (PIN,), auth: str = "password", secret: str = "pw") -> Deferred[Upstream]:
    account = Account("app", "deploy", auth)
    entry = TargetEntry("web", "ssh", "127.0.0.1", server.port.getHost().port, "", (), (account,), host_keys=pins)
    return dial(reactor, entry, account, secret)


@pytest_twisted.inlineCallbacks
def test_a_password_of_the_vault_logs_in(server: Server) -> Iterator[Deferred[Upstream]]:
    server.script["password"] = [bytes([BANNER]) + string(b"welcome") + string(b""), bytes([SUCCESS])]
    upstream = yield dialled(server)
    assert server.heard == [(b"deploy", "password", b"\0" + string(b"pw"))]
    assert upstream.facts["target_auth"] == "password" and upstream.facts["target_strict"] == "yes"
    upstream.leg.disconnect(11, "")


@pytest_twisted.inlineCallbacks
def test_a_password_is_given_to_keyboard_interactive_too(server: Server) -> Iterator[Deferred[Upstream]]:
    server.script["password"] = [bytes([FAILURE]) + string(b"keyboard-interactive") + b"\0"]
    server.script["keyboard-interactive"] = [bytes([INFO_REQUEST]) + string(b"") * 3 + u32(1) + string(b"Password:") + b"\0"]
    server.script["response"] = [bytes([SUCCESS])]
    upstream = yield dialled(server)
    assert server.heard[-1] == (b"", "response", u32(1) + string(b"pw"))
    upstream.leg.disconnect(11, "")


@pytest.mark.parametrize(("script", "kind"), [
    ({}, "login"),
    ({"password": [bytes([FAILURE]) + string(b"publickey") + b"\1"]}, "login"),
    ({"password": [bytes([60]) + string(b"change it") + string(b"")]}, "login"),
    ({"password": [bytes([FAILURE]) + b"\xff\xff\xff\xff"]}, "protocol"),
    ({"password": [b"\x5a" + bytes(20)]}, "protocol"),
    ({"password": [bytes([SUCCESS]), b"\x14" + bytes(3)]}, ""),
], ids=["refused", "more proofs", "change of password", "cut short", "a channel", "success, then rubbish"])  # fmt: skip
@pytest_twisted.inlineCallbacks
def test_what_fails_at_a_login_has_its_kind(server: Server, script: dict[str, list[bytes]], kind: str) -> Iterator[Deferred[Upstream]]:
    """Nothing that the target wrote is in the text for the client."""
    server.script.update(script)
    try:
        upstream = yield dialled(server)
        upstream.leg.disconnect(11, "")
        assert kind == ""
    except DialError as error:
        assert error.kind == kind and "change it" not in error.why


@pytest_twisted.inlineCallbacks
def test_a_host_key_that_is_not_registered_gets_no_login(server: Server) -> Iterator[Deferred[Upstream]]:
    """Neither the account's name nor its password is said."""
    with pytest.raises(DialError) as caught:
        yield dialled(server, pins=(b"\x00\x00\x00\x0bssh-ed25519" + bytes(36),))
    assert caught.value.kind == "host_key" and caught.value.fields["host_key"].startswith("SHA256:")
    assert server.heard == []


@pytest_twisted.inlineCallbacks
def test_only_registered_kinds_of_host_keys_are_asked_for(server: Server) -> Iterator[Deferred[Upstream]]:
    """The target has two; the one that is registered is not its favourite."""
    server.script["password"] = [bytes([SUCCESS])]
    upstream = yield dialled(server, pins=(HOST_ECDSA.public().blob(),))
    assert upstream.facts["target_host_key"] == "ecdsa-sha2-nistp256"
    upstream.leg.disconnect(11, "")


@pytest_twisted.inlineCallbacks
def test_a_key_of_the_vault_that_is_none_is_named(server: Server) -> Iterator[Deferred[Upstream]]:
    with pytest.raises(DialError) as caught:
        yield dialled(server, auth="key", secret="not a key")
    assert caught.value.kind == "login" and "not a key" not in caught.value.why


@pytest_twisted.inlineCallbacks
def test_what_a_target_says_at_once_is_kept_in_order(server: Server) -> Iterator[Deferred[Upstream]]:
    """Messages behind SUCCESS in the same packet of TCP: OpenSSH sends its host keys there."""
    said = [b"\x50" + string(b"hostkeys-00@openssh.com") + b"\0", b"\x50" + string(b"other") + b"\0"]
    server.script["password"] = [bytes([SUCCESS]), *said]
    upstream = yield dialled(server)
    heard: list[bytes] = []
    done: Deferred[None] = Deferred()
    upstream.attach(
        lambda payload: (heard.append(payload), len(heard) == 2 and done.callback(None)), lambda data: None, lambda: None, lambda why: None
    )
    yield done
    assert heard == said
    upstream.leg.disconnect(11, "")


@pytest_twisted.inlineCallbacks
def test_a_cancelled_dial_hangs_up(server: Server) -> Iterator[Deferred[Upstream]]:
    waiting = dialled(server)
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    yield waiting
    assert server.heard == []


@pytest_twisted.inlineCallbacks
def test_an_operator_can_try_a_login(server: Server) -> Iterator[Deferred[dict[str, str]]]:
    server.script["password"] = [bytes([SUCCESS])]
    account = Account("app", "deploy")
    entry = TargetEntry("web", "ssh", "127.0.0.1", server.port.getHost().port, "", (), (account,), host_keys=(PIN,))
    facts = yield probe(reactor, entry, account, "pw")
    assert facts["target_exchange"]


# -- host certificates -----------------------------------------------------------------------------


class _CertifiedLeg(_Leg):
    """A target whose host key is certified; it shows the certificate where Conch shows the key."""

    def _getHostKeys(self, keyAlg: bytes) -> tuple[object, object]:
        if b"-cert-" not in keyAlg:
            return super()._getHostKeys(keyAlg)
        self.keyAlg = PLAIN[keyAlg.decode()].encode()
        return SimpleNamespace(blob=lambda: self.server.certificate), HOST


class CertifiedServer(Server):
    certificate = b""

    def buildProtocol(self, address: object) -> _Leg:
        leg = _CertifiedLeg(self)
        leg.supportedPublicKeys = [b"ssh-ed25519-cert-v01@openssh.com", *leg.supportedPublicKeys]
        self.legs.append(leg)
        return leg


AUTHORITY = Key(Ed25519PrivateKey.generate())


def certified_for(name: str, signer: Key = AUTHORITY, kind: int = HOST_TYPE) -> bytes:
    body = Certificate(PIN, kind, "web", (name,), 0, FOREVER, signer.public().blob(), 1, b"n" * 32).body()
    return body + string(signer.sign(body))


def by_authority(server: Server, authority: Key = AUTHORITY) -> Deferred[Upstream]:
    account = Account("app", "deploy")
    entry = TargetEntry(
        "web", "ssh", "127.0.0.1", server.port.getHost().port, "", (), (account,), tls_name="web1",
        host_ca=frozenset({authority.public().blob()}),
    )
    return dial(reactor, entry, account, "pw")


@pytest.fixture()
def certified_server() -> Iterator[CertifiedServer]:
    made = CertifiedServer()
    made.script["password"] = [bytes([SUCCESS])]
    made.port = reactor.listenTCP(0, made, interface="127.0.0.1")
    yield made
    for leg in made.legs:
        leg.transport.abortConnection()
    pytest_twisted.blockon(made.port.stopListening())


@pytest.mark.parametrize("exchange", ["mlkem768x25519-sha256", "curve25519-sha256", "ecdh-sha2-nistp256", "diffie-hellman-group14-sha256"])
@pytest_twisted.inlineCallbacks
def test_a_host_whose_key_an_authority_certifies_is_known(
    certified_server: CertifiedServer, exchange: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deferred[Upstream]]:
    """By every key exchange; who certified it is told."""
    if exchange not in EXCHANGES:
        pytest.skip("cryptography here has no ML-KEM")
    monkeypatch.setattr("gateway.ssh.leg.EXCHANGES", (exchange,))
    certified_server.certificate = certified_for("web1")
    upstream = yield by_authority(certified_server)
    assert upstream.facts["target_exchange"] == exchange
    assert upstream.facts["target_host_authority"] == fingerprint(AUTHORITY.public().blob())
    upstream.leg.disconnect(11, "")


@pytest.mark.parametrize("shown", [
    lambda: certified_for("web2"), lambda: certified_for("web1", HOST), lambda: certified_for("web1", kind=1),
    lambda: certified_for("web1").replace(string(b"web"), string(b"wep")),
], ids=["another's", "another authority's", "a user's", "a forged one"])  # fmt: skip
@pytest_twisted.inlineCallbacks
def test_a_host_certificate_that_is_not_good_gets_no_login(certified_server: CertifiedServer, shown: object) -> Iterator[Deferred[Upstream]]:
    certified_server.certificate = shown()
    with pytest.raises(DialError) as caught:
        yield by_authority(certified_server)
    assert caught.value.kind == "host_key" and caught.value.fields["because"]
    assert certified_server.heard == []


@pytest_twisted.inlineCallbacks
def test_a_certificate_that_its_key_does_not_prove_is_refused(certified_server: CertifiedServer) -> Iterator[Deferred[Upstream]]:
    """A right certificate, copied by who does not have the host's key."""
    stranger = Key(Ed25519PrivateKey.generate())
    body = Certificate(stranger.public().blob(), HOST_TYPE, "w", ("web1",), 0, FOREVER, AUTHORITY.public().blob(), 1, b"n").body()
    certified_server.certificate = body + string(AUTHORITY.sign(body))
    with pytest.raises(DialError) as caught:
        yield by_authority(certified_server)
    assert caught.value.kind == "protocol" and certified_server.heard == []


@pytest_twisted.inlineCallbacks
def test_a_host_key_can_be_looked_at(server: Server) -> Iterator[Deferred[bytes]]:
    """Without a login, and whatever is registered."""
    entry = TargetEntry("web", "ssh", "127.0.0.1", server.port.getHost().port, "", (), (Account("app", "x"),), host_keys=(b"other",))
    shown = yield look(reactor, entry)
    assert shown == PIN and server.heard == []
