"""
A loop between clients and a PostgreSQL that looks at nothing that passes: what `benchmarks.floor` puts beside the gateway.

    python -m benchmarks.bare PORT TARGET nothing|thread|notary PLACE

A client's query leaves when what stands for its record is durable, and so has a worker's three wakes: its client's read, its journal's word,
its target's answer. As a worker does, it makes durable at once what a turn brought, and nothing more until that is.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway import link

_READ = 64 << 10  # bytes
_RECORD = [bytes(120), bytes(150), None]  # an intent's, and so an outcome's: what they hold is nobody's business here
_BLOCK, _FILE = 4 << 10, 64 << 20  # bytes of what is written past the page cache, and of the file that it goes to


class Journal(Protocol):
    """Where records become durable. `descriptor`: readable when they are."""

    descriptor: int

    def append(self, count: int) -> None:
        """So many records, one append at a time."""

    def durable(self) -> None:
        """
        Take its word.

        :raises SystemExit: it is gone.
        """


class Notary:
    """Another process, which signs, writes one block and answers (`benchmarks.notary`)."""

    def __init__(self, place: str) -> None:
        self._sequence, self._socket = 0, socket.socket(socket.AF_UNIX)
        self._socket.connect(place)
        self._socket.sendall(link.pack(["hello", "floor"]))
        self._socket.recv(_READ)
        self.descriptor = self._socket.fileno()

    def append(self, count: int) -> None:
        self._socket.send(_packed(self._sequence, count))
        self._sequence += count

    def durable(self) -> None:
        if not self._socket.recv(_READ):
            raise SystemExit("the notary is gone")


class Thread:
    """A thread of this process, which writes the same blocks and signs nothing; the interpreter's lock is free while it waits for the disk."""

    def __init__(self, place: str) -> None:
        self._file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_DSYNC | os.O_DIRECT, 0o600)
        self._block = mmap.mmap(-1, 16 * _READ)
        for position in range(0, _FILE, len(self._block)):
            os.pwrite(self._file, self._block, position)
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK)
        self._sequence, self._append, self._asked = 0, b"", threading.Lock()
        self._asked.acquire()
        threading.Thread(target=self._run, daemon=True).start()

    def append(self, count: int) -> None:
        self._append = _packed(self._sequence, count)
        self._sequence += count
        self._asked.release()

    def durable(self) -> None:
        os.eventfd_read(self.descriptor)

    def _run(self) -> None:
        position = 0
        while True:
            self._asked.acquire()
            length = -(-len(self._append) // _BLOCK) * _BLOCK
            self._block[: len(self._append)] = self._append
            if position + length > _FILE:
                position = 0
            os.pwrite(self._file, memoryview(self._block)[:length], position)
            position += length
            os.eventfd_write(self.descriptor, 1)


def _packed(sequence: int, count: int) -> bytes:
    return link.pack(["append", 1, sequence + 1, [_RECORD] * count])


def _ours(connected: socket.socket) -> socket.socket:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


class Loop:
    """Without a journal what is read goes on at once."""

    def __init__(self, port: int, target: int, journal: Journal | None) -> None:
        self._target, self._poll, self._journal = target, select.epoll(), journal
        self._do: dict[int, Callable[[], None]] = {}
        self._outgoing: list[tuple[socket.socket, bytes]] = []
        self._waiting: deque[tuple[socket.socket, bytes]] = deque()
        self._answers, self._unacknowledged = 0, False
        if journal is not None:
            self._hear(journal.descriptor, self._durable)
        self._listening = socket.create_server(("127.0.0.1", port), backlog=64)
        self._hear(self._listening.fileno(), self._accept)

    def _hear(self, descriptor: int, do: Callable[[], None]) -> None:
        self._do[descriptor] = do
        self._poll.register(descriptor, select.EPOLLIN)

    def _accept(self) -> None:
        client = _ours(self._listening.accept()[0])
        target = _ours(socket.create_connection(("127.0.0.1", self._target)))
        self._hear(client.fileno(), lambda: self._asked(client, target))
        self._hear(target.fileno(), lambda: self._answered(target, client))

    def _asked(self, client: socket.socket, target: socket.socket) -> None:
        data = client.recv(_READ)
        if not data:
            self._end(client, target)
        elif self._journal is None:
            target.send(data)
        else:
            self._outgoing.append((target, data))

    def _answered(self, target: socket.socket, client: socket.socket) -> None:
        data = target.recv(_READ)
        if data:
            self._answers += 1
            client.send(data)
        else:
            self._end(client, target)

    def _end(self, *both: socket.socket) -> None:
        self._outgoing = [(target, data) for target, data in self._outgoing if target not in both]
        self._waiting = deque((target, data) for target, data in self._waiting if target not in both)
        for one in both:
            del self._do[one.fileno()]
            one.close()

    def _durable(self) -> None:
        self._journal.durable()
        self._unacknowledged = False
        waiting, self._waiting = self._waiting, deque()
        for target, data in waiting:
            target.send(data)

    def _append(self) -> None:
        """An intent of each, and the outcomes since the last."""
        self._journal.append(len(self._outgoing) + self._answers)
        self._waiting.extend(self._outgoing)
        self._outgoing, self._answers, self._unacknowledged = [], 0, True

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if (do := self._do.get(descriptor)) is not None:  # another event of this turn may have closed it
                    do()
            if self._outgoing and not self._unacknowledged:
                self._append()


def main() -> None:
    port, target, kind, place = sys.argv[1:]
    Loop(int(port), int(target), {"nothing": lambda place: None, "thread": Thread, "notary": Notary}[kind](place)).run()


if __name__ == "__main__":
    main()
