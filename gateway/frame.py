"""
One framing for every UNIX socket between our processes: u32 length, then one msgpack array.

AMP's values end at 64 KiB, which a statement's text may exceed; this does not. The array's first element names the operation.
Who may connect is checked here too, by SO_PEERCRED: the file mode of a socket is not a check that an auditor can see. Commands
that speak it over a plain socket load no reactor.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from struct import Struct
from typing import Any

import msgpack

LENGTH = Struct("!I")  # bytes of msgpack that follow
_PEERCRED = Struct("=iII")  # pid, uid, gid; host order, from the kernel (unix(7), SO_PEERCRED)

_pack = msgpack.Packer(use_bin_type=True).pack

FRAME_LIMIT = 16 << 20
"""Bytes. A batch of records is at most 8 MiB; twice that leaves room and still bounds a broken peer."""

STARTING = "the notary is starting"
"""Why a notary records nothing that has not opened its store yet. It says so before it says that it does."""

DAMAGED = "damaged"
"""Behind why a question failed: because what it is about is not what was recorded."""


def pack(frame: Sequence[Any]) -> bytes:
    """One frame as it travels."""
    body = _pack(frame)
    if len(body) > FRAME_LIMIT:
        raise ValueError(f"a frame of {len(body)} bytes is over the limit")
    return LENGTH.pack(len(body)) + body


def peer_credentials(connection: socket.socket) -> tuple[int, int, int]:
    """(pid, uid, gid) of the process at the other end of a UNIX socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    pid, uid, gid = _PEERCRED.unpack(raw)
    return pid, uid, gid
