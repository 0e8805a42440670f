"""
The worker's end of an analyst: the process, frames to it, and what may come back.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from typing import Any

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from gateway.analyses import Analyses
from gateway.analyst import LENGTH, framed
from gateway.boot import environment

LIMIT = 64 << 20
"""Bytes of an answer. A rewritten text is at most 1 MiB, and there is little beside it."""


class Hired(ProcessProtocol):
    """One `python -m gateway.analyst`, from now on. It inherits nothing but its two pipes, and can write to no log."""

    def __init__(self, reactor: Any, asking: Analyses) -> None:
        self._asking, self._buffer = asking, bytearray()
        with open(os.devnull, "wb") as nowhere:
            wanted = {0: "w", 1: "r", 2: nowhere.fileno()}
            command = [sys.executable, "-m", "gateway.analyst"]
            reactor.spawnProcess(self, sys.executable, command, env=environment(os.environ), childFDs=wanted)

    def send(self, frame: tuple[Any, ...]) -> None:
        self.transport.write(framed(frame))

    def kill(self) -> None:
        try:
            self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass

    def outReceived(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            if length > LIMIT:
                self.kill()
                return
            if len(self._buffer) < LENGTH.size + length:
                return
            body = bytes(self._buffer[LENGTH.size : LENGTH.size + length])
            del self._buffer[: LENGTH.size + length]
            self._heard(body)

    def _heard(self, body: bytes) -> None:
        try:
            sound, answer = unpickled(body)
        except Exception:  # whatever it was: who answers so is not asked again
            self.kill()
        else:
            self._asking.said(self, sound, answer)

    def processEnded(self, reason: Failure) -> None:
        self._asking.ended(self)


class _Answers(pickle.Unpickler):
    """Values of the addons' and the vocabulary's own classes, and nothing that could act."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith(("addons.", "protocols.")) or (module == "builtins" and name in ("set", "frozenset")):
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:  # not what a module of ours imports
                return found
        raise pickle.UnpicklingError(f"{module}.{name}")


def unpickled(body: bytes) -> tuple[bool, Any]:
    """
    What an analyst said. It has read what strangers wrote, so it can name values and call nothing.

    :raises Exception: it is no such thing.
    """
    sound, answer = _Answers(io.BytesIO(body)).load()
    return bool(sound), answer
