"""Real programs in a pseudo-terminal: what they write, byte for byte, and how it came."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PATIENCE = 60.0  # seconds until what does not come fails a test
EDITOR = next((name for name in ("vim", "vim.tiny", "vi") if shutil.which(name)), "vi")
WORKING = {"R", "D"}  # proc(5): running or runnable, waiting for a disk
ENVIRONMENT = {
    "TERM": "xterm-256color", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": "/nonexistent", "PS1": "demo$ ",
    "HISTFILE": "/dev/null",
}


class Program:
    """
    Runs one, and reads what it shows.

    :ivar reads: everything it wrote so far, as it was read.
    """

    def __init__(self, words: Sequence[str], where: Path, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self.reads: list[bytes] = []
        self._waited = False
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.chdir(where)
            os.execvpe(words[0], list(words), {**ENVIRONMENT, **environment})
        self.resize(columns, rows)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
        if not self._waited:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def exit(self) -> int:
        """Its exit code, once it has ended; what it still says is read."""
        end = time.monotonic() + PATIENCE
        while self.read(end - time.monotonic()):
            pass
        assert time.monotonic() < end, f"it does not end, but said {b''.join(self.reads)[-300:]!r}"
        _, status = os.waitpid(self.pid, 0)
        self._waited = True
        return os.waitstatus_to_exitcode(status)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data: bytes) -> None:
        os.write(self._fd, data)

    def read(self, patience: float) -> bytes:
        """What comes next; nothing when nothing comes in time, or nothing more will."""
        if not select.select([self._fd], [], [], max(0.0, patience))[0]:
            return b""
        try:
            data = os.read(self._fd, 65536)
        except OSError:  # the other side is closed
            return b""
        self.reads.append(data)
        return data

    def until(self, wanted: bytes) -> bytes:
        """Read until this has come; all that came for it."""
        came, end = b"", time.monotonic() + PATIENCE
        while wanted not in came:
            data = self.read(end - time.monotonic())
            assert data, f"{wanted!r} did not come, but {came[-300:]!r}"
            came += data
        return came

    def quiet(self, pause: float = 0.15) -> bytes:
        """Read until nothing came for a while, and nothing is at work on what will: what a person would wait for too."""
        came = b""
        while (data := self.read(pause)) or set(_states(self.pid)) & WORKING:
            came += data
        return came


def _states(pid: int) -> Iterator[str]:
    """Of a process and those it began. On a busy machine they wait for their turn with work to do."""
    try:
        yield Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from _states(int(child))
    except OSError:  # it has ended
        return
