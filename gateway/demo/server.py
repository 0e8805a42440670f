"""
The demo's database process: PostgreSQL behind its TLS front, for as long as stdin is open.

    python -m gateway.demo.server DIRECTORY PORT

prints `ready PORT SOCKETS` once clients are welcome (port 0 takes a free one) and stops
everything when stdin ends, which it does however the parent ends.
"""

from __future__ import annotations

import fcntl
import signal
import sys
from pathlib import Path
from typing import IO, Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor as the_reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO

from gateway.certificates import authority, issue, write_pair
from gateway.demo.front import Front
from gateway.demo.place import CannotServe, Place, prepare
from gateway.demo.postgres import Postgres

HOST = "127.0.0.1"
SOCKET = ".s.PGSQL.5432"


class Lifeline(Protocol):
    """Stdin: nothing is read from it, its end is the order to stop."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Any = None) -> None:
        if self._reactor.running:
            self._reactor.stop()


def main(words: list[str]) -> int:
    """Run until stdin ends. Prints one line, `ready …` or `failed …`."""
    reactor: Any = the_reactor
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the foreground; we end with it
    try:
        place = prepare(Path(words[0]))
        lock = _locked(place)
        postgres = Postgres(place)
        postgres.make()
        postgres.start()
    except CannotServe as problem:
        print(f"failed {problem}", flush=True)
        return 1
    try:
        return _serve(reactor, place, postgres, int(words[1]))
    finally:
        postgres.stop()
        lock.close()


def _serve(reactor: Any, place: Place, postgres: Postgres, port: int) -> int:
    _certify(place)
    front = Front(reactor, postgres.sockets / SOCKET, place.certificate, place.key)
    problems: list[str] = []

    def listening(bound: Any) -> None:
        print(f"ready {bound.getHost().port} {postgres.sockets}", flush=True)
        StandardIO(Lifeline(reactor))

    def refused(failure: Any) -> None:
        failure.trap(CannotListenError)
        problems.append(f"port {port} is in use")
        reactor.stop()

    def begin() -> None:
        TCP4ServerEndpoint(reactor, port, interface=HOST).listen(front).addCallbacks(listening, refused)

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    for problem in problems:
        print(f"failed {problem}", flush=True)
    return 1 if problems else 0


def _locked(place: Place) -> IO[bytes]:
    """One demo in one directory: a second would end the first one's server as a leftover."""
    lock = (place.directory / "lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotServe(f"{place.directory} is in use by another demo; stop it first") from None
    return lock


def _certify(place: Place) -> None:
    """A new authority and certificate at every start; the authority's key is kept nowhere."""
    place.key.parent.mkdir(mode=0o755, exist_ok=True)
    for old in (place.certificate, place.key):
        old.unlink(missing_ok=True)
    root = authority("Ostiary demo")
    write_pair(place.certificate, place.key, issue(root, [HOST]))
    place.authority.write_bytes(root.certificate.public_bytes(Encoding.PEM))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
