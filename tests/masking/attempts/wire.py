"""A client that says whatever it is told, and keeps every byte that it hears."""

from __future__ import annotations

import os
import re
import socket
import struct
from typing import Any

import psycopg

PATIENCE = 30.0  # seconds for one answer

ASKS = frozenset(b"QSF")  #: the messages that ReadyForQuery answers


def frame(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!I", len(body) + 4) + body


def query(text: str) -> bytes:
    return frame(b"Q", text.encode() + b"\0")


def parse(text: str, name: str = "", *oids: int) -> bytes:
    return frame(b"P", f"{name}\0{text}\0".encode() + struct.pack(f"!H{len(oids)}I", len(oids), *oids))


def bind(*values: str | None, name: str = "", portal: str = "", binary: bool = False) -> bytes:
    """Parameters as text; all results in one format."""
    body = f"{portal}\0{name}\0".encode() + struct.pack("!HH", 0, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value.encode())) + value.encode()
    return frame(b"B", body + struct.pack("!HH", 1, binary))


def describe(kind: str = "P", name: str = "") -> bytes:
    return frame(b"D", f"{kind}{name}\0".encode())


def execute(portal: str = "", limit: int = 0) -> bytes:
    return frame(b"E", portal.encode() + b"\0" + struct.pack("!I", limit))


def close(kind: str, name: str = "") -> bytes:
    return frame(b"C", f"{kind}{name}\0".encode())


def call(oid: int, *values: bytes) -> bytes:
    """The fast path; arguments and result in binary."""
    body = struct.pack("!IHHH", oid, 1, 1, len(values))
    return frame(b"F", body + b"".join(struct.pack("!i", len(v)) + v for v in values) + struct.pack("!H", 1))


SYNC = frame(b"S")
FLUSH = frame(b"H")


def copied(data: str) -> bytes:
    """The data of a COPY FROM STDIN, whole."""
    return frame(b"d", data.encode()) + frame(b"c")


def asked(text: str, *values: str | None, oids: tuple[int, ...] = (), binary: bool = False) -> bytes:
    """One statement of the extended protocol."""
    return parse(text, "", *oids) + bind(*values, binary=binary) + describe() + execute() + SYNC


def frames(data: bytes) -> list[tuple[bytes, bytes]]:
    """Tag and body of each message; what is not whole is left out."""
    found, at = [], 0
    while at + 5 <= len(data):
        (length,) = struct.unpack_from("!I", data, at + 1)
        if at + 1 + length > len(data):
            break
        found.append((data[at : at + 1], data[at + 5 : at + 1 + length]))
        at += 1 + length
    return found


class Wire:
    """One session: logged in by libpq, then spoken to in bytes."""

    def __init__(self, dsn: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        self._socket.settimeout(PATIENCE)

    def close(self) -> None:
        self._socket.close()
        self._connection.close()

    def renewed(self) -> bool:
        """Let the session forget everything; whether it did."""
        heard = frames(self.say(query("ROLLBACK") + query("DISCARD ALL")))
        return heard[-2:] == [(b"C", b"DISCARD ALL\0"), (b"Z", b"I")]

    def say(self, data: bytes) -> bytes:
        """Send it; what comes until each question in it was answered, or the session ended."""
        wanted, heard = sum(tag[0] in ASKS for tag, _ in frames(data)), b""
        try:
            self._socket.sendall(data)
        except ConnectionError:
            return heard
        while sum(tag == b"Z" for tag, _ in frames(heard)) < wanted:
            more = self._hear()
            if not more:
                break
            heard += more
        return heard

    def _hear(self) -> bytes:
        try:
            return self._socket.recv(1 << 16)
        except ConnectionError:
            return b""


def codes(heard: bytes) -> list[str]:
    """Of each error in what was heard: the gateway's code, or the SQLSTATE."""
    return [_code(body) for tag, body in frames(heard) if tag == b"E"]


def _code(body: bytes) -> str:
    ours = re.search(rb"OST-\d+", body)
    return ours.group().decode() if ours else next(f[1:].decode() for f in body.split(b"\0") if f[:1] == b"C")


def answer(heard: bytes) -> list[tuple[bytes, bytes]]:
    """What an oracle's answer consists of: every message, without numbers of processes and commands, fields in one order."""
    found = []
    for tag, body in frames(heard):
        if tag == b"A":
            body = body[4:]
        elif tag in b"EN":
            body = b"\0".join(sorted(re.sub(rb'"command": \d+', b"", body).split(b"\0")))
        found.append((tag, body))
    return found
