"""
A stock Twisted port forwarder: what a proxy costs that decodes, decides and records nothing.

    python -m benchmarks.pump LISTEN_PORT TARGET_PORT CERTIFICATE KEY

Answers PostgreSQL's SSLRequest and then speaks TLS with Twisted's own means; the target gets plain bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor, ssl
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16\x2f"


class Client(ProxyClient):
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        super().connectionMade()


class ClientFactory(ProxyClientFactory):
    noisy = False
    protocol = Client


class Server(ProxyServer):
    clientProtocolFactory = ClientFactory

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        if data == SSL_REQUEST:
            self.transport.write(b"S")
            self.peer.transport.unregisterProducer()
            self.transport.unregisterProducer()
            self.transport.startTLS(self.factory.tls)
            self.transport.registerProducer(self.peer.transport, True)
            self.peer.transport.registerProducer(self.transport, True)
        else:
            super().dataReceived(data)


class Pump(ProxyFactory):
    noisy = False
    protocol = Server
    tls: Any


def main() -> None:
    listen, target, certificate, key = sys.argv[1:]
    pump = Pump("127.0.0.1", int(target))
    pair = ssl.PrivateCertificate.loadPEM(Path(certificate).read_bytes() + Path(key).read_bytes())
    pump.tls = pair.options()
    reactor.listenTCP(int(listen), pump, backlog=512, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
