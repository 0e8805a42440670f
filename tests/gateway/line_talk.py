"""
Run by test_line in a process of its own, since a process has one reactor: a server of Lines, and stock clients in
threads (the standard library's, pyOpenSSL's). Prints what both saw.

    python line_talk.py REACTOR
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

if sys.argv[1] == "lean":
    from gateway import reactor as chosen
else:
    chosen = __import__(f"twisted.internet.{sys.argv[1]}reactor", fromlist=["install"])
chosen.install()

from OpenSSL import SSL  # noqa: E402
from twisted.internet import reactor  # noqa: E402
from twisted.internet.defer import Deferred, DeferredList  # noqa: E402
from twisted.internet.interfaces import IHandshakeListener  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402
from twisted.internet.threads import deferToThread  # noqa: E402
from zope.interface import implementer  # noqa: E402

from gateway.certificates import authority, issue, write_pair  # noqa: E402
from gateway.line import Line  # noqa: E402
from gateway.tls import ServerTls  # noqa: E402

PLACE = Path(tempfile.mkdtemp())
write_pair(PLACE / "cert.pem", PLACE / "key.pem", issue(authority("test"), ["localhost"]))
SERVER = ServerTls(PLACE / "cert.pem", PLACE / "key.pem")
ASK, TOTAL = b"tls?", 6 << 20  # bytes; more than socket buffers hold
SAW: dict[str, Any] = {}


class Room:
    """Holds the other direction back, as the adapter does."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def pauseProducing(self) -> None:
        self._line.pauseProducing()

    def resumeProducing(self) -> None:
        self._line.resumeProducing()

    def stopProducing(self) -> None:
        """Its end is told anyway."""


@implementer(IHandshakeListener)
class Echo(Protocol):
    """
    ASK begins TLS, as does TLS itself, as does "bye?", which ends it at once; "last" is answered by last words, "wait" and
    "soon" by waiting for more; behind "lend" all is lent, and comes back in sevens; all else comes back.
    """

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self, looks=True))

    def connectionMade(self) -> None:
        self.saw = {"most": 0, "count": 0, "alpn": None, "version": ""}
        self.transport.registerProducer(Room(self.transport), True)

    def dataReceived(self, data: bytes | memoryview) -> None:
        if "lent" in self.saw:
            self.sevens(data)
            return
        if data in (ASK, b"bye?", b"\x16"):
            if data != b"\x16":
                self.transport.write(b"S")
            self.transport.start_tls(SERVER)
            if data == b"bye?":
                self.transport.unregisterProducer()
                self.transport.write(b"s3cret")
                self.transport.loseConnection()
            return
        if data == b"last":
            self.transport.unregisterProducer()
            self.transport.write(b"w" * 100_000)
            self.transport.loseConnection()
            return
        if data in (b"wait", b"soon"):
            self.transport.wait_for(1000)
            self.saw["reads"] = []
            self.transport.write(b"S")
            if data == b"soon":
                reactor.callLater(0.05, self.transport.wait_for, 1)
            return
        if data == b"lend":
            self.saw["lent"] = 0
            self.transport.lend(b"")
            self.transport.write(b"S")
            return
        self.saw["count"] += len(data)
        if "reads" in self.saw:
            self.saw["reads"].append(len(data))
            if len(data) > 2:
                return
        if data == b"hold" * 2000:
            self.saw["held"] = True
            self.transport.pauseProducing()
            reactor.callLater(0.1, self.go_on)
        self.transport.write(data)
        line = self.transport
        self.saw["most"] = max(self.saw["most"], line._tempDataLen + len(line.dataBuffer) - line.offset)

    def sevens(self, data: bytes | memoryview) -> None:
        """What is behind the last seven is shown again."""
        assert type(data) is memoryview
        self.saw["lent"] = max(self.saw["lent"], len(data))
        size = len(data) // 7 * 7
        self.transport.write(data[:size])
        self.transport.lend(data[size:])

    def go_on(self) -> None:
        self.saw["held"] = False
        self.transport.resumeProducing()

    def handshakeCompleted(self) -> None:
        alpn = self.transport.alpn
        self.saw |= {"alpn": alpn and alpn.decode(), "version": self.transport.tls_version}

    def connectionLost(self, reason: Any) -> None:
        self.factory.ended(self.saw | {"end": reason.type.__name__})


class Server(Factory):
    """One connection at a time, so that what it saw belongs to the client that asks."""

    noisy, protocol = False, Echo
    last: Deferred[Any]

    def ended(self, saw: dict[str, Any]) -> None:
        self.last.callback(saw)


def context(newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, alpn: str = "") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode, made.maximum_version = False, ssl.CERT_NONE, newest
    if alpn:
        made.set_alpn_protocols([alpn])
    return made


def asked(port: int, how: bytes = ASK) -> socket.socket:
    """Connected, and TLS agreed on."""
    plain = socket.create_connection(("127.0.0.1", port), 20)
    plain.sendall(how)
    assert plain.recv(1) == b"S"
    return plain


def echoed(client: socket.socket) -> dict[str, Any]:
    """Pieces of every size there, as fast as they go, while what comes back is read late."""
    pieces, luck = [], random.Random(7)
    while sum(map(len, pieces)) < TOTAL:
        pieces.append(luck.randbytes(luck.choice((1, 7, 900, 16384, 16385, 70_000, 300_000))))
    whole, back = b"".join(pieces), bytearray()
    with client:
        writer = threading.Thread(target=lambda: [client.sendall(piece) for piece in pieces])
        writer.start()
        writer.join(0.3)  # it stops when no buffer is left; then there is somebody to read
        while len(back) < len(whole):
            back += client.recv(1 << 16) or bytes(len(whole))
        writer.join()
    return {"same": hashlib.sha256(whole).digest() == hashlib.sha256(back).digest()}


def in_clear(port: int) -> Any:
    return echoed(socket.create_connection(("127.0.0.1", port), 20))


def tls_1_3(port: int) -> Any:
    return echoed(context().wrap_socket(asked(port)))


def tls_1_2(port: int) -> Any:
    return echoed(context(ssl.TLSVersion.TLSv1_2).wrap_socket(asked(port)))


def lent(client: socket.socket) -> dict[str, Any]:
    """Sevens, cut anywhere, and three bytes behind them that nobody takes."""
    client.sendall(b"lend")
    assert client.recv(1) == b"S"
    whole, back = random.Random(8).randbytes(700_000), bytearray()
    client.sendall(whole[:3])
    client.sendall(whole[3:])
    while len(back) < len(whole):
        back += client.recv(1 << 16) or bytes(len(whole))
    client.sendall(b"end")
    client.close()
    return {"same": whole == back}


def lent_in_clear(port: int) -> Any:
    return lent(socket.create_connection(("127.0.0.1", port), 20))


def lent_in_tls(port: int) -> Any:
    return lent(context().wrap_socket(asked(port)))


def direct(port: int) -> Any:
    return echoed(context(alpn="postgresql").wrap_socket(socket.create_connection(("127.0.0.1", port), 20)))


def resumed(port: int, newest: ssl.TLSVersion) -> bool:
    made = context(newest)
    client = made.wrap_socket(asked(port))
    client.sendall(b"x")
    assert client.recv(1) == b"x"  # the ticket came before it
    session = client.session
    client.unwrap().close()
    with made.wrap_socket(asked(port), session=session) as again:
        again.sendall(b"y")
        return again.recv(1) == b"y" and again.session_reused


def cut_off(port: int) -> Any:
    client = context().wrap_socket(asked(port))
    client.sendall(b"before the end")
    assert client.recv(100) == b"before the end"
    socket.socket(fileno=client.detach()).close()  # no word of goodbye


def goodbye(port: int) -> Any:
    client = context().wrap_socket(asked(port))
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    plain = client.unwrap()  # raises unless the server says it too
    with plain:
        return plain.recv(1) == b""


def last_words(port: int) -> Any:
    client = context().wrap_socket(asked(port))
    client.sendall(b"last")
    back = bytearray()
    with client:
        while more := client.recv(1 << 16):  # a truncated end raises
            client.sendall(b"unread" * 100)
            back += more
    return len(back)


def plain_behind(port: int) -> Any:
    with asked(port) as client:
        client.sendall(b"this is no handshake, and a fatal alert is the answer")
        return client.recv(100)[:1] in (b"", b"\x15")  # the end, or TLS's alert; nothing in clear


def by_hand(client: socket.socket, pieces: Callable[[bytes], list[bytes]]) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    """A handshake whose bytes go out in these pieces; what is said, and its two ends, which the caller carries from here on."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    shaking = context().wrap_bio(into, out)
    while True:
        try:
            shaking.do_handshake()
            return shaking, into, out
        except ssl.SSLWantReadError:
            for piece in pieces(out.read()):
                client.sendall(piece)
            into.write(client.recv(1 << 16))


def slowly(port: int) -> Any:
    with asked(port) as client:
        shaking, into, out = by_hand(client, lambda data: [bytes([one]) for one in data])
        shaking.write(b"x")
        client.sendall(out.read())
        while True:
            try:
                return shaking.read(1) == b"x"
            except ssl.SSLWantReadError:
                into.write(client.recv(1 << 16))


def renegotiated(port: int) -> Any:
    old = SSL.Context(SSL.TLSv1_2_METHOD)
    plain = asked(port)
    plain.setblocking(True)
    client = SSL.Connection(old, plain)
    client.set_connect_state()
    client.do_handshake()
    client.renegotiate()
    try:
        client.do_handshake()
        client.send(b"x")
        return client.recv(1) != b"x" or client.total_renegotiations() > 0
    except SSL.Error:
        return "refused"
    finally:
        plain.close()


def behind(port: int) -> Any:
    """Bytes and the goodbye in one packet, to a server that pauses at the bytes."""
    with asked(port) as client:
        shaking, _, out = by_hand(client, lambda data: [data])
        client.sendall(out.read())
        shaking.write(b"hold" * 2000)
        try:
            shaking.unwrap()
        except ssl.SSLWantReadError:
            client.sendall(out.read())
        while client.recv(1 << 16):
            pass


def early(port: int) -> Any:
    """What the server writes and ends while the handshake runs comes behind it."""
    with context().wrap_socket(asked(port, b"bye?")) as client:
        return client.recv(100).decode(), client.recv(1) == b""


def waited(client: socket.socket) -> Any:
    """Small pieces to a server that wants larger ones and answers none, and an end that is smaller."""
    client.sendall(b"wait")
    assert client.recv(1) == b"S"
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(77):
        client.sendall(b"x" * 100)
    client.close()


def waits_in_clear(port: int) -> Any:
    waited(socket.create_connection(("127.0.0.1", port), 20))


def waits_in_tls(port: int) -> Any:
    waited(context().wrap_socket(asked(port)))


def no_more(port: int) -> Any:
    """Less than the server waits for, until it does not."""
    with socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(b"soon")
        assert client.recv(1) == b"S"
        client.sendall(b"ab")
        return client.recv(2) == b"ab"


def clients() -> dict[str, Callable[[int], Any]]:
    return {
        "clear": in_clear, "tls 1.3": tls_1_3, "tls 1.2": tls_1_2, "direct": direct, "cut off": cut_off, "goodbye": goodbye,
        "last words": last_words, "plain behind": plain_behind, "slowly": slowly, "renegotiated": renegotiated,
        "early": early, "behind": behind, "waits": waits_in_clear, "waits in tls": waits_in_tls, "no more": no_more,
        "lent": lent_in_clear, "lent in tls": lent_in_tls,
    }


async def run(server: Server, port: int) -> None:
    for name, client in clients().items():
        server.last = Deferred()
        said = deferToThread(client, port)
        result = await DeferredList([said, server.last], fireOnOneErrback=True, consumeErrors=True)
        SAW[name] = {"client": result[0][1], "server": result[1][1]}
    for newest in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        server.ended = lambda saw: None
        SAW[f"resumed {newest.name}"] = await deferToThread(resumed, port, newest)


def main() -> None:
    server = Server()
    listening = reactor.listenTCP(0, server, interface="127.0.0.1")
    SAW["reactor"] = type(reactor).__name__

    def begin() -> None:
        done = Deferred.fromCoroutine(run(server, listening.getHost().port))
        done.addErrback(lambda failure: SAW.setdefault("failed", failure.getTraceback()))
        done.addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    json.dump(SAW, sys.stdout)


if __name__ == "__main__":
    main()
