"""
A leg's two kinds: the server toward clients, which proves its host keys, and the client toward targets, which knows theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from twisted.conch.ssh import _kex
from twisted.conch.ssh.common import NS, getMP, getNS
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.transport import SSHClientTransport, SSHServerTransport, SSHTransportBase
from twisted.internet.defer import Deferred, succeed

from gateway.ssh.exchange import HYBRID, HybridClient
from gateway.ssh.keys import algorithms, public
from gateway.ssh.leg import HOST_KEY_NOT_VERIFIABLE, KEX_INIT, SERVICE_ACCEPT, Leg
from protocols.errors import PeerError
from protocols.ssh.certificate import PLAIN
from protocols.ssh.messages import REQUEST_FAILURE, REQUEST_SUCCESS, Reader, Unreadable
from protocols.ssh.offer import STRICT_CLIENT, STRICT_SERVER


class _Shown:
    """A host key as Conch shows and uses it, with a certificate in the place of its public half."""

    def __init__(self, key: Key, certificate: bytes, algorithm: bytes) -> None:
        self._key, self._certificate, self._algorithm = key, certificate, algorithm

    def blob(self) -> bytes:
        """What is shown."""
        return self._certificate

    def sign(self, data: bytes, signatureType: bytes) -> bytes:
        """With the plain key (OpenSSH PROTOCOL.certkeys)."""
        return self._key.sign(data, self._algorithm)


class ServerLeg(Leg, SSHServerTransport):
    """
    Toward a client.

    :ivar certificates: of our host keys, by kind of key.
    """

    certificates: Mapping[bytes, bytes] = MappingProxyType({})

    def _getHostKeys(self, keyAlg: bytes) -> tuple[Any, Any]:
        """What Conch shows and signs with."""
        plain = PLAIN.get(keyAlg.decode())
        if plain is None:
            return super()._getHostKeys(keyAlg)
        public, private = super()._getHostKeys(plain.encode())
        shown = _Shown(private, self.certificates[public.sshType()], plain.encode())
        return shown, shown

    def ssh_SERVICE_REQUEST(self, packet: bytes) -> None:
        """Paramiko asks again for each step of its login: it is told yes by the login that it is in, which counts on."""
        if self.service is None:
            super().ssh_SERVICE_REQUEST(packet)
        elif packet == NS(self.service.name):
            self.send(bytes([SERVICE_ACCEPT]) + packet)
        else:
            raise PeerError("another service in the middle of a login")

    def prove_host_keys(self, details: bytes) -> bytes:
        """Answers hostkeys-prove-00@openssh.com (OpenSSH PROTOCOL 2.5): each key signs the session's id and itself."""
        rest, proofs = details, b""
        assert self.sessionID is not None
        try:
            while rest:
                fields = Reader(rest, 0)
                blob, rest = fields.string(), fields.rest()
                key = next(k for k in self.factory.privateKeys.values() if k.public().blob() == blob)
                message = NS(b"hostkeys-prove-00@openssh.com") + NS(self.sessionID) + NS(blob)
                proofs += NS(key.sign(message, algorithms(key)[0]))
        except (Unreadable, StopIteration):
            return bytes([REQUEST_FAILURE])
        return bytes([REQUEST_SUCCESS]) + proofs

    def _step(self, packet: bytes) -> None:
        self.ssh_KEX_DH_GEX_REQUEST_OLD(packet)

    def _finishEphemeralDH(self, remoteDHpublicKey: int) -> bytes:
        _check_public(remoteDHpublicKey, self.p)
        return super()._finishEphemeralDH(remoteDHpublicKey)


class ClientLeg(Leg, SSHClientTransport):
    """
    Toward a target.

    :ivar pinned: blobs of the host keys that may be shown.
    """

    _strict_ours, _strict_theirs = STRICT_CLIENT, STRICT_SERVER
    isClient = True

    def __init__(self, pinned: frozenset[bytes]) -> None:
        super().__init__()
        self.pinned = pinned
        self.shown: bytes = b""
        self._proven: bytes | None = None
        self._gotNewKeys = 0
        self._hybrid: HybridClient | None = None

    def ssh_KEXINIT(self, packet: bytes) -> None:
        assert self._agreed is not None
        if self._agreed.exchange != HYBRID:
            SSHClientTransport.ssh_KEXINIT(self, packet)
        elif SSHTransportBase.ssh_KEXINIT(self, packet) is not None:
            self._hybrid = HybridClient()
            self._write(bytes([KEX_INIT]) + NS(self._hybrid.public))

    def _step(self, packet: bytes) -> None:
        host_key, half, signature, rest = getNS(packet, 3)
        if rest:
            raise PeerError("bytes behind the server's half")
        key = self._known_key(host_key)
        if key is None:
            return
        algorithm, _ = getNS(signature)
        agreed = self.keyAlg.decode()
        if algorithm.decode("ascii", "replace") != PLAIN.get(agreed, agreed) or (agreed in PLAIN) == (key == host_key):
            raise PeerError("signed with another algorithm than agreed")
        if self._hybrid is None and key == host_key:
            self.ssh_KEX_DH_GEX_GROUP(packet)
        else:
            self._finish(host_key, key, half, signature)

    def _shared(self, half: bytes) -> tuple[bytes, bytes]:
        """Our half as it was sent, and what both sides have now, as the digest takes it."""
        hybrid, self._hybrid = self._hybrid, None
        if hybrid is not None:
            return hybrid.public, NS(hybrid.shared(half))
        if _kex.isEllipticCurve(self.kexAlg):
            return self._encodeECPublicKey(self.ecPub), self._generateECSharedSecret(self.ecPriv, half)
        theirs, _ = getMP(NS(half))
        return self.dhSecretKeyPublicMP[4:], self._finishEphemeralDH(theirs)

    def _finish(self, host_key: bytes, key: bytes, half: bytes, signature: bytes) -> None:
        """As Conch does for what it knows: neither ML-KEM nor certificates. `key` is the one that must have signed."""
        ours, secret = self._shared(half)
        digest = _kex.getHashProcessor(self.kexAlg)()
        for part in (
            self.ourVersionString, self.otherVersionString, self.ourKexInitPayload, self.otherKexInitPayload, host_key,
            ours, half,
        ):
            digest.update(NS(part))
        digest.update(secret)
        if not public(key).verify(signature, digest.digest()):
            raise PeerError("a wrong signature of the host key")
        self._keySetup(secret, digest.digest())

    def _finishEphemeralDH(self, remoteDHpublicKey: int) -> bytes:
        _check_public(remoteDHpublicKey, self.p)
        return super()._finishEphemeralDH(remoteDHpublicKey)

    def believed(self, host_key: bytes) -> bytes | None:
        """The blob of the plain key that must have signed, when what is shown may be shown; for a pinned one itself."""
        return host_key if host_key in self.pinned else None

    def _known_key(self, host_key: bytes) -> bytes | None:
        if host_key != self.shown or self._proven is None:  # at later exchanges a certificate may have expired
            self.shown = host_key
            self._proven = self.believed(host_key)
        if self._proven is None:
            self.host_key_refused()
            self.disconnect(HOST_KEY_NOT_VERIFIABLE, "the host key is not the one that was registered")
        return self._proven

    def host_key_refused(self) -> None:
        """`shown` is not believed; nothing was said to the target yet."""

    def verifyHostKey(self, hostKey: bytes, fingerprint: bytes) -> Deferred[bool]:
        """Asked by Conch once more; it was checked before Conch saw it."""
        return succeed(hostKey == self.shown)


def _check_public(value: int, prime: int) -> None:
    """RFC 8268, 4: a half outside of [2, p-2] gives a secret that everybody knows."""
    if not 1 < value < prime - 1:
        raise PeerError("a Diffie-Hellman half out of range")
