"""A state directory, a configuration and a running house, and what the kernel knows of its processes."""

from __future__ import annotations

import os
import queue
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from gateway.certificates import authority, issue, write_pair
from gateway.config import Audit
from gateway.control.office import key_file
from gateway.control.seal import write_key
from gateway.notary.process import init_store
from tests import warm
from tests.servers import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 30.0  # seconds until an event that does not come fails its test


def until(true: Callable[[], object], what: str) -> None:
    """Wait for something that only the operating system can tell."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        select.select([], [], [], 0.01)


class Speech:
    """What a process says, read as it comes: it never waits for a test that does not listen, nor a test for it without end."""

    def __init__(self, output: IO[str]) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._overhear, args=[output], daemon=True).start()

    def _overhear(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._lines.put(line)
        self._lines.put("")

    def line(self, end: float) -> str | None:
        """The next one, "" behind the last; `None` when none came until then, on the monotonic clock."""
        try:
            return self._lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            return None


class Household:
    """
    :param workers: as in the file.
    :param command: what runs it; the echo house unless given.
    """

    def __init__(
        self, directory: Path, workers: int | str = 2, drain: float = 20, command: list[str] | None = None
    ) -> None:
        self.file, self.port = directory / "ostiary.toml", free_port()
        self.state = directory / "state"
        self._workers, self._drain, self._control = workers, drain, free_port()
        self._command = command or [sys.executable, str(HERE / "echo_house.py"), str(self.file)]
        self.write()
        init_store(Audit(self.state / "audit"), "house", self.state)
        key_file(self.state).parent.mkdir(mode=0o700, exist_ok=True)
        write_key(key_file(self.state))
        tls = self.state / "tls"
        tls.mkdir(mode=0o700, exist_ok=True)
        write_pair(tls / "server.pem", tls / "server.key", issue(authority("house"), ["localhost"]))
        self.log: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._speech: Speech | None = None

    def write(self, more: str = "", target: str = "clinic") -> None:
        """The configuration, with this behind it."""
        workers = self._workers if isinstance(self._workers, int) else f'"{self._workers}"'
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.file.write_text(
            f'[gateway]\nname = "house"\nstate = "state"\nworkers = {workers}\ndrain = {self._drain}\n'
            f'[tls]\ncertificate = "state/tls/server.pem"\nkey = "state/tls/server.key"\n'
            f'[audit]\ndirectory = "state/audit"\n'
            f'[control]\nlisten = "tcp:{self._control}:interface=127.0.0.1"\n'
            f'[[target]]\nname = "{target}"\nprotocol = "postgres"\n'
            f'address = "127.0.0.1:5432"\ndatabase = "d"\ntls = "off"\n'
            f'  [[target.account]]\n  name = "rw"\n  user = "rw"\n  auth = "trust"\n'
            f'[[listen]]\nprotocol = "postgres"\nendpoint = "tcp:{self.port}:interface=127.0.0.1"\n{more}\n'
        )

    def __enter__(self) -> Household:
        try:
            self.start()
        except AssertionError:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self) -> None:
        """Run it, until it says that it serves."""
        path = os.pathsep.join([str(ROOT), str(HERE)])
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        self._speech = Speech(self._process.stdout)
        self.heard(r"serving revision \d+")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        family = [self.root, *self.children()] if self.alive() else self._leftovers()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        psutil.wait_procs(family, timeout=PATIENCE)
        self.code()

    def _leftovers(self) -> list[psutil.Process]:
        """Children of a supervisor that is gone: known by the names this test has heard."""
        return [psutil.Process(pid) for pid in self.pids().values() if psutil.pid_exists(pid)]

    # -- what it says ----------------------------------------------------------------------

    def heard(self, pattern: str) -> re.Match[str]:
        """The first line from here on that matches; lines before it are kept in `log`."""
        end = time.monotonic() + PATIENCE
        while line := self._line(end):
            found = re.search(pattern, line)
            if found:
                return found
        why = "ended, and" if line == "" else f"in {PATIENCE:.0f} s"
        raise AssertionError(f"{why} never said {pattern!r}:\n{''.join(self.log)}")

    def rest(self) -> str:
        """Everything it said, once it has ended."""
        end = time.monotonic() + PATIENCE
        while line := self._line(end):
            pass
        assert line == "", f"{PATIENCE:.0f} s later somebody may still say something:\n{''.join(self.log)}"
        return "".join(self.log)

    def _line(self, end: float) -> str | None:
        assert self._speech is not None
        line = self._speech.line(end)
        self.log.append(line or "")
        return line

    def pids(self) -> dict[str, int]:
        """Who is which process, by the newest word of the log."""
        told = re.findall(r"\b(notary|control|worker-\d+) is process (\d+)", "".join(self.log))
        return {name: int(pid) for name, pid in told}

    # -- what the kernel says ---------------------------------------------------------------

    @property
    def root(self) -> psutil.Process:
        """The supervisor."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def alive(self) -> bool:
        """Whether the supervisor runs."""
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[psutil.Process]:
        """Its processes."""
        return self.root.children(recursive=True)

    def signal(self, number: int) -> None:
        """To the supervisor."""
        self.root.send_signal(number)

    def ostiary(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command about this house."""
        return warm.run(
            (*words, "--config", str(self.file)), environment={**os.environ, "PYTHONPATH": str(ROOT)}, directory=ROOT, timeout=PATIENCE,
        )

    def code(self) -> int:
        """How it ended; waits for that."""
        assert self._process is not None
        return self._process.wait(PATIENCE)

    def connect(self) -> Caller:
        """A client at the door."""
        return Caller(self.port)


class Caller:
    """A client of the echo gate."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._file = self._socket.makefile("rwb")
        self.greeting = self.line()

    @property
    def worker(self) -> int:
        """The process that answered."""
        return int(self.greeting.split()[1])

    def line(self) -> str:
        """What comes next; "" at the end."""
        return self._file.readline().decode().strip()

    def ask(self, text: str) -> str:
        """Say a line, hear a line."""
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        return self.line()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()
