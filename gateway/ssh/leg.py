"""
One SSH connection of the gateway, as server or client: Conch's key exchange and services on our own packets.

Conch negotiates, agrees on secrets and signs; its packet codec, its one switch of keys for both directions
and its connection layer are not used. What a peer sends raises nothing out of here: it ends the connection,
and `on_broken` hears why. Messages of the connection layer (80 and up) go to `on_payload` as they are.

Source: RFC 4253; OpenSSH PROTOCOL 1.9 (strict key exchange); RFC 8308 (extensions).
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.conch.ssh.common import NS
from twisted.conch.ssh.transport import SSHTransportBase
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.control.rpc import place
from gateway.line import Line
from gateway.ssh.cork import Cork
from gateway.ssh.exchange import EXCHANGES
from gateway.ssh.tap import Tap
from gateway.ssh.tide import Tide
from gateway.tuning import tune
from protocols.errors import LocalError, PeerError
from protocols.ssh import version
from protocols.ssh.ciphers import CIPHERS, MACS, Secrets, lock
from protocols.ssh.codec import Opener, Sealer
from protocols.ssh.messages import DATA, WINDOW_ADJUST
from protocols.ssh.offer import COMPRESSED, EXT_INFO, KEXINIT, STRICT_CLIENT, STRICT_SERVER, Agreed, Direction, Offer, agree, extensions

MUCH = 256 << 10
"""Bytes that wait for an exchange of keys until nothing more is read for this peer."""

GATHERED = 256 << 10
"""Bytes of data that are opened until they are told. One read brings less, except where it was compressed."""

REKEY_SECONDS = 3600.0
HELD_LIMIT = 8 << 20
"""Bytes that may wait for an exchange of keys to end. A peer that never ends it does not make us keep more."""
IDLE_EXCHANGES = 8
"""Exchanges in a row with nothing between them; each costs a signature."""
FAREWELL = 2.0  # seconds in which a stranger, or who has said goodbye, may take its last words
LINGER = 30.0  # seconds in which somebody who was logged in may take what was on its way

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT = range(1, 7)
NEWKEYS, KEX_INIT, KEX_REPLY = 21, 30, 31
AUTH_FIRST, CONNECTION_FIRST = 50, 80

PROTOCOL_ERROR, KEX_FAILED, HOST_KEY_NOT_VERIFIABLE, BY_APPLICATION = 2, 3, 9, 11

_QUIET = frozenset({DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG})
_FLOWING = frozenset({DATA, WINDOW_ADJUST})
_EXCHANGING = frozenset({KEXINIT, NEWKEYS, *range(30, 50)})


class Leg(SSHTransportBase):
    """
    :ivar on_payload: gets connection-layer messages; None before there is a session.
    :ivar on_several: gets those of them that are DATA or WINDOW_ADJUST, all at once that one read brought; None where `on_payload` does.
    :ivar on_broken: told why the peer's bytes ended the connection.
    :ivar on_lost: told when the connection is gone, once.
    """

    log = Logger()
    _log = Logger("conch", observer=lambda event: None)  # Conch's words would quote peers
    ourVersionString = version.OURS
    supportedCiphers = [name.encode() for name in CIPHERS]
    supportedMACs = [name.encode() for name in MACS]
    supportedCompressions = [b"none", COMPRESSED.encode()]
    reactor: Any = None
    _strict_ours, _strict_theirs = STRICT_SERVER, STRICT_CLIENT

    def __init__(self) -> None:
        self.on_payload: Callable[[bytes], None] | None = None
        self.on_several: Callable[[list[memoryview]], None] | None = None
        self.on_broken: Callable[[str], None] = lambda why: None
        self.on_lost: Callable[[str], None] = lambda why: None
        self._full: Callable[[bool], None] = lambda full: None
        self._filled: set[str] = set()
        self.partner: Leg | None = None  # whom most of what comes is for
        self._corked: Cork | None = None
        self._tide: Tide | None = None
        self.supportedKeyExchanges = [name.encode() for name in (*EXCHANGES, self._strict_ours)]
        self._sealer, self._opener = Sealer(os.urandom), Opener()
        self._head: bytearray | None = bytearray()  # until the peer's version is read
        self._sent_offer = self._got_offer = False  # between a side's KEXINIT and its NEWKEYS
        self._strict = self._first_done = self._authenticated = False
        self._agreed: Agreed | None = None
        self._pending: Any = None  # the lock for what comes in, until NEWKEYS says so
        self._steps = 0  # messages of the exchange itself that the peer may still send
        self._idle_exchanges = 0
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._over = False
        self._farewell: Any = None
        self._rekey: Any = None

    # -- what Twisted calls --------------------------------------------------------------

    def connectionMade(self) -> None:
        self.tuned()
        self.transport.write(version.OURS + b"\r\n")
        self.sendKexInit()

    def tuned(self) -> None:
        """Its socket's options are set."""
        tune(self.transport)

    def dataReceived(self, data: bytes | memoryview) -> None:
        """As IProtocol; nothing is kept of a view."""
        if self._over:
            return
        try:
            self._received(data)
        except PeerError as error:
            self._broken(str(error.why))
        except LocalError as error:
            self._broken(f"nothing fit to send: {error.why}")
        except Exception as error:  # Conch meets what it does not expect: the edge, where one connection ends
            self.log.info("a message could not be read: {what}", what=place(Failure()))
            self._broken(f"a message that cannot be read ({type(error).__name__})")

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._over = True
        if self._tide is not None:
            self._tide.stop()
        for timer in (self._farewell, self._rekey):
            if timer is not None and timer.active():
                timer.cancel()
        if self.service is not None:
            self.service.serviceStopped()
        self.on_lost("the connection was closed")

    # -- reading ---------------------------------------------------------------------------

    def _received(self, data: bytes | memoryview) -> None:
        if self._head is not None:
            rest = self._read_version(data)
            if rest is None:
                return
            data = rest
        self._opener.feed(data)
        if self._tide is not None:
            self._tide.came(len(data))
        if self.partner is None:
            self._take_all()
            return
        self.partner.cork()
        try:
            self._take_all()
        finally:
            self.partner.uncork()

    def _take_all(self) -> None:
        """Data and credit that come behind one another are told at once; nothing overtakes them."""
        data: list[memoryview] = []
        size = 0
        try:
            while not self._over and (payload := self._opener.next_payload()) is not None:
                if payload[0] in _FLOWING and self.on_several is not None and not self._got_offer and size <= GATHERED:
                    data.append(payload)
                    size += len(payload)
                    continue
                self._tell(data)
                size = 0
                if not self._over:
                    self._take(bytes(payload))
        finally:
            self._tell(data)
            self._opener.keep()

    def _tell(self, data: list[memoryview]) -> None:
        """What was gathered, if somebody hears it still; it is gathered no more."""
        told = data[:]
        data.clear()
        if told and self.on_several is not None and not self._over:
            self._idle_exchanges = 0
            self.on_several(told)

    def _read_version(self, data: bytes | memoryview) -> bytes | None:
        """What follows the peer's version; None until it is there."""
        assert self._head is not None
        self._head += data
        found = version.read(bytes(self._head), from_server=self.isClient)
        if found is None:
            return None
        self.otherVersionString, rest = found
        self.gotVersion, self._head = True, None
        return rest

    def _take(self, payload: bytes) -> None:
        kind = payload[0]
        if kind >= CONNECTION_FIRST and self.on_payload is not None and not self._got_offer:
            self._idle_exchanges = 0
            self.on_payload(payload)
            return
        self._police(kind)
        if kind == DISCONNECT:
            self._leave(FAREWELL)
        elif kind in _EXCHANGING:
            self._exchange(kind, payload)
        elif kind in _QUIET:
            pass
        elif kind == SERVICE_REQUEST and not self.isClient and not self._authenticated:
            self.ssh_SERVICE_REQUEST(payload[1:])
        elif kind == SERVICE_ACCEPT and self.isClient and not self._authenticated:
            self.ssh_SERVICE_ACCEPT(payload[1:])
        elif kind == EXT_INFO and not self._authenticated:
            self.ssh_EXT_INFO(payload[1:])
        elif AUTH_FIRST <= kind < CONNECTION_FIRST and self.service is not None:
            self.service.packetReceived(kind, payload[1:])
        elif kind >= CONNECTION_FIRST:
            raise PeerError(f"message {kind} before its time")
        else:
            self.sendUnimplemented()

    def _police(self, kind: int) -> None:
        """What a peer may send in the middle of an exchange of keys (RFC 4253, 7.1; strict: nothing else at all)."""
        if not self._first_done:
            allowed = kind in _EXCHANGING or kind == DISCONNECT or (not self._strict and self._got_offer and kind in _QUIET)
        else:
            allowed = not self._got_offer or kind in _EXCHANGING or kind in _QUIET
        if not allowed:
            raise PeerError(f"message {kind} during key exchange")

    # -- key exchange ------------------------------------------------------------------------

    def _exchange(self, kind: int, payload: bytes) -> None:
        if kind == KEXINIT:
            self._their_offer(payload)
        elif kind == NEWKEYS:
            self._their_new_keys(payload)
        elif self._steps and kind == (KEX_REPLY if self.isClient else KEX_INIT):
            self._steps -= 1
            self._step(payload[1:])
        else:
            raise PeerError(f"message {kind} that no exchange of keys asks for")

    def _step(self, packet: bytes) -> None:
        """The peer's half: Conch goes on."""
        raise NotImplementedError

    def _their_offer(self, payload: bytes) -> None:
        if self._got_offer or self._pending is not None:
            raise PeerError("KEXINIT during key exchange")
        if self._first_done and not self._authenticated:
            raise PeerError("new keys before a login")
        if not self._sent_offer:
            self._idle_exchanges += 1
        if self._idle_exchanges > IDLE_EXCHANGES:
            raise PeerError("keys are exchanged and nothing else")
        theirs = Offer.read(payload)
        if not self._first_done:
            self._strict = self._strict_theirs in theirs.exchanges
        if not self._sent_offer:
            self.sendKexInit()
        ours = Offer.read(self.ourKexInitPayload)
        self._agreed = agree(ours, theirs) if self.isClient else agree(theirs, ours)
        self._check_strict(self._agreed)
        self._got_offer, self._steps = True, 1
        self._conch_offer(payload[1:], theirs)

    def _check_strict(self, agreed: Agreed) -> None:
        """Without strict exchange only GCM, whose nonces nobody can shift, is safe (CVE-2023-48795)."""
        if not self._strict and not all("gcm" in way.cipher for way in (agreed.sent, agreed.answered)):
            raise PeerError("the peer does not know strict key exchange: only AES-GCM is spoken with it")

    def _conch_offer(self, packet: bytes, theirs: Offer) -> None:
        """Conch reads the offer too. It wants a common MAC where none is used, and is shown one."""
        kept, self.supportedMACs = self.supportedMACs, [m.encode() for way in theirs.macs for m in way] or [b""]
        try:
            self.ssh_KEXINIT(packet)
        finally:
            self.supportedMACs = kept
        if not self.isClient and self.ignoreNextPacket:  # the client guessed, and guessed wrong
            self._steps = 2

    def sendKexInit(self) -> None:
        self._sent_offer = True
        super().sendKexInit()

    def begin_exchange(self) -> None:
        """Change keys; does nothing while they are being changed."""
        if not (self._sent_offer or self._got_offer or self._over) and self._authenticated:
            self.sendKexInit()

    def _keySetup(self, sharedSecret: bytes, exchangeHash: bytes) -> None:
        """Both halves are known: what we send is locked from here on, what comes is when the peer says so."""
        first = self.sessionID is None
        if first:
            self.sessionID = exchangeHash
        assert self._agreed is not None
        ways = (self._agreed.sent, "ACE"), (self._agreed.answered, "BDF")
        (out, out_letters), (into, in_letters) = ways if self.isClient else ways[::-1]
        out_lock = self._lock(out, out_letters, sharedSecret, exchangeHash)
        self._pending = self._lock(into, in_letters, sharedSecret, exchangeHash)
        self._write(bytes([NEWKEYS]))
        self._sealer.change(out_lock, restart=self._strict)
        if self._authenticated and out.compression == COMPRESSED:
            self._sealer.compress()
        self._sent_offer = False
        if first and not self.isClient and self._peerSupportsExtensions:
            self._write(extensions())
        self._maybe_done()
        self._flush()

    def _lock(self, way: Direction, letters: str, secret: bytes, digest: bytes) -> Any:
        def derived(letter: str) -> Callable[[int], bytes]:
            return lambda count: self._getKey(letter.encode(), secret, digest)[:count]

        iv, key, integrity = (derived(letter) for letter in letters)
        return lock(way.cipher, way.mac, Secrets(iv, key, integrity))

    def _their_new_keys(self, payload: bytes) -> None:
        if self._pending is None or len(payload) != 1:
            raise PeerError("NEWKEYS before there are any")
        self._opener.change(self._pending, restart=self._strict)
        self._pending, self._got_offer, self._steps = None, False, 0
        assert self._agreed is not None
        into = self._agreed.answered if self.isClient else self._agreed.sent
        if self._authenticated and into.compression == COMPRESSED:
            self._opener.decompress()
        self._maybe_done()

    def _maybe_done(self) -> None:
        if self._sent_offer or self._got_offer:
            return
        self._keyExchangeState = self._KEY_EXCHANGE_NONE
        first, self._first_done = not self._first_done, True
        if self.reactor is not None:
            if self._rekey is not None and self._rekey.active():
                self._rekey.cancel()
            self._rekey = self.reactor.callLater(REKEY_SECONDS, self.begin_exchange)
        if first:
            self.secured()

    def secured(self) -> None:
        """The first keys are in use."""

    # -- login -----------------------------------------------------------------------------

    def authenticated(self) -> None:
        """The login is over: from here on what was agreed to be compressed is, and keys may change."""
        self._authenticated = True
        assert self._agreed is not None
        out, into = self._agreed.sent, self._agreed.answered
        if not self.isClient:
            out, into = into, out
        if out.compression == COMPRESSED:
            self._sealer.compress()
        if into.compression == COMPRESSED:
            self._opener.decompress()

    @property
    def facts(self) -> dict[str, str]:
        """How it is secured, for the session's record."""
        assert self._agreed is not None
        way = self._agreed.sent
        return {
            "exchange": self._agreed.exchange, "host_key": self._agreed.host_key, "cipher": way.cipher,
            "mac": way.mac or "aead", "strict": "yes" if self._strict else "no", "compression": way.compression,
        }

    # -- writing ----------------------------------------------------------------------------

    def sendPacket(self, messageType: int, payload: bytes) -> None:
        """As Conch sends."""
        self.send(bytes([messageType]) + payload)

    def send(self, payload: bytes) -> None:
        """One message; what may not be sent while keys change waits until they have."""
        if self._over:
            return
        kind = payload[0]
        if self._sent_offer and kind not in _EXCHANGING and kind != DISCONNECT:
            self._queue.append(payload)
            self._queued += len(payload)
            if self._queued > HELD_LIMIT:
                self._broken("keys are not exchanged to the end")
            elif self._queued > MUCH:
                self._fill("queue", True)
            return
        self._write(payload)
        if kind >= CONNECTION_FIRST:
            self._sent_some()

    def carry(self, data: list[bytes | memoryview]) -> None:
        """Several messages of the connection layer, as `send`."""
        if self._over or self._sent_offer:
            for payload in data:
                self.send(bytes(payload))
            return
        for payload in data:
            self._write(payload)
        self._sent_some()

    def _sent_some(self) -> None:
        self._idle_exchanges = 0
        if self._sealer.worn or self._opener.worn:
            self.begin_exchange()

    def _write(self, payload: bytes | memoryview) -> None:
        if self._corked is None:
            self.transport.write(self._sealer.seal(payload))
        else:
            self._corked.seal(payload)

    def cork(self) -> None:
        """Keep what is sent until `uncork`, in the same turn."""
        self._corked = Cork(self._sealer, self.transport.write)

    def uncork(self) -> None:
        corked, self._corked = self._corked, None
        if corked is not None:
            corked.pull()

    def _flush(self) -> None:
        """What waited for the keys."""
        while self._queue and not self._sent_offer:
            payload = self._queue.popleft()
            self._queued -= len(payload)
            self._write(payload)
        if not self._queue:
            self._queued = 0
            self._fill("queue", False)

    def sendUnimplemented(self) -> None:
        self.send(bytes([UNIMPLEMENTED]) + struct.pack(">I", (self._opener.sequence - 1) & 0xFFFFFFFF))

    # -- back-pressure ------------------------------------------------------------------------

    def watch(self, full: Callable[[bool], None]) -> None:
        """Call with True when too much waits for the peer, with False when not any more."""
        self._full = full
        if isinstance(self.transport, Line):
            self._tide = Tide(self.reactor.callLater, self.transport.wait_for)
        self.transport.registerProducer(Tap(lambda on: self._fill("socket", on)), True)

    def pause(self, on: bool) -> None:
        """Read no more, or again."""
        if not self._over:
            (self.transport.pauseProducing if on else self.transport.resumeProducing)()

    def _fill(self, where: str, on: bool) -> None:
        before = bool(self._filled)
        (self._filled.add if on else self._filled.discard)(where)
        if bool(self._filled) != before:
            self._full(bool(self._filled))

    # -- the end ----------------------------------------------------------------------------

    def sendDisconnect(self, reason: int, desc: bytes | str) -> None:
        """Conch gives up on the peer. Its words may quote an exception, so they are not sent."""
        self._broken("the key exchange failed" if reason in (KEX_FAILED, HOST_KEY_NOT_VERIFIABLE) else "a message out of place")

    def disconnect(self, code: int, why: str) -> None:
        """Say why, and close; a peer that does not take it in time is cut off."""
        if self._over:
            return
        try:
            self._write(bytes([DISCONNECT]) + struct.pack(">I", code) + NS(why.encode()) + NS(b""))
            self.uncork()
        except LocalError:  # the key is spent: nothing more can be said
            pass
        self._leave(LINGER if self._authenticated else FAREWELL)

    def loseConnection(self) -> None:
        self.disconnect(BY_APPLICATION, "")

    def _broken(self, why: str) -> None:
        if self._over:
            return
        self.disconnect(PROTOCOL_ERROR, why)
        self.on_broken(why)

    def _leave(self, patience: float) -> None:
        """Nothing more is said or heard; a peer that does not take what was said is cut off."""
        self._over = True
        self._queue.clear()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.transport.resumeProducing()  # a paused transport would never hear that the peer is gone
        if self.reactor is not None:
            self._farewell = self.reactor.callLater(patience, self.transport.abortConnection)
