"""Run by test_reactor in a process of its own, since a process has one reactor: talks to itself, prints what it saw."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from gateway import reactor as lean

lean.install()

from twisted.internet import reactor  # noqa: E402
from twisted.internet.protocol import ClientFactory, Factory, Protocol  # noqa: E402

PLACE = Path(tempfile.mkdtemp())
TOTAL = 12 << 20  # bytes; far more than any socket buffer
SAW: dict[str, Any] = {"reactor": type(reactor).__name__}


class Sink(Protocol):
    """Reads slowly at first, so that the sender's early writes must queue; then all of it."""

    def connectionMade(self) -> None:
        self.digest, self.count = hashlib.sha256(), 0
        self.transport.pauseProducing()
        reactor.callLater(0.05, self.transport.resumeProducing)

    def dataReceived(self, data: bytes) -> None:
        self.digest.update(data)
        self.count += len(data)

    def connectionLost(self, reason: Any) -> None:
        SAW[self.factory.name] = {"bytes": self.count, "sha256": self.digest.hexdigest()}
        self.factory.done()


class Source(Protocol):
    """Writes pieces of every size, as fast as it can."""

    def connectionMade(self) -> None:
        pieces, digest, left = random.Random(7), hashlib.sha256(), TOTAL
        while left:
            piece = pieces.randbytes(min(left, pieces.choice((1, 7, 900, 70_000, 300_000))))
            digest.update(piece)
            self.transport.write(piece)
            left -= len(piece)
        SAW[self.factory.name + " sent"] = digest.hexdigest()
        self.transport.write(b"")
        self.transport.loseConnection()


class Gone(Protocol):
    """Writes to a peer that has reset the connection; must hear of it and not raise."""

    def connectionMade(self) -> None:
        reactor.callLater(0.05, self.again, 50)

    def again(self, left: int) -> None:
        if left and self.transport.connected:
            self.transport.write(b"x" * 1000)
            reactor.callLater(0, self.again, left - 1)

    def connectionLost(self, reason: Any) -> None:
        self.transport.write(b"after the end")
        SAW["reset"] = "heard"
        self.factory.done()


class Reset(Protocol):
    def connectionMade(self) -> None:
        self.transport.abortConnection()


def factory(kind: type, name: str, done: Any) -> Any:
    made = (ClientFactory if kind in (Source, Gone) else Factory)()
    made.protocol, made.name, made.done, made.noisy = kind, name, done, False
    return made


def main() -> None:
    left = [2]

    def done() -> None:
        left[0] -= 1
        if not left[0]:
            reactor.stop()

    path = str(PLACE / "s")
    reactor.listenUNIX(path, factory(Sink, "unix", done))
    reactor.connectUNIX(path, factory(Source, "unix", done))
    gone = str(PLACE / "gone")
    reactor.listenUNIX(gone, factory(Reset, "reset", done))
    reactor.connectUNIX(gone, factory(Gone, "reset", done))
    reactor.callLater(30, reactor.stop)
    reactor.run()
    json.dump(SAW, sys.stdout)


if __name__ == "__main__":
    main()
