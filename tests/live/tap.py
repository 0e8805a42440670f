"""
Between a client and the gateway, in a process of its own: `python tap.py PORT FILE` prints the port where it listens
and keeps in FILE every byte towards the client, before the client has it.

A process, because libpq's blocking calls hold the interpreter's lock of whoever asks.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path
from typing import BinaryIO


def passes(one: socket.socket, other: socket.socket, kept: BinaryIO | None) -> None:
    """Until one side ends; then the other hears of it."""
    try:
        while data := one.recv(1 << 16):
            if kept is not None:
                kept.write(data)
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def main(port: int, file: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    with file.open("ab", buffering=0) as kept:
        while True:
            client, _ = listening.accept()
            gateway = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=passes, args=(client, gateway, None), daemon=True).start()
            threading.Thread(target=passes, args=(gateway, client, kept), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
