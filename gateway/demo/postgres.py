"""
The embedded PostgreSQL server: made once with initdb, started, and stopped by its pid.

It listens on a UNIX socket only, since the wheel's build has no TLS; gateway.demo.front is the
way to it from the network.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from gateway.demo.place import CannotServe, Place, Runner, runner

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "350",
    "shared_buffers": "64MB",
    "password_encryption": "scram-sha-256",
    "log_statement": "all",  # the tour looks here for what was refused
    "log_line_prefix": "%m [%p] %u@%d ",
    "fsync": "off",  # invented patients may be lost with the power
    "timezone": "UTC",
}


class Postgres:
    """One server on one data directory. Needs no reactor; every call blocks."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._runner: Runner | None = runner()
        self._process: subprocess.Popen[bytes] | None = None
        self.sockets = Path()  #: directory of the UNIX socket, while it runs

    def make(self) -> None:
        """initdb, unless an earlier run did."""
        data = self._place.data
        if (data / "PG_VERSION").exists():
            return
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        self._give(data)
        with tempfile.NamedTemporaryFile(dir=self._place.directory) as secret:
            secret.write(self._place.password("postgres").encode())
            secret.flush()
            self._give(Path(secret.name))
            made = self._run(
                "initdb", "-D", str(data), "-U", "postgres", f"--pwfile={secret.name}", "-E", "UTF8",
                "--locale=C.UTF-8", "-A", "scram-sha-256", "--no-sync", "--no-instructions",
            )  # fmt: skip
        if made.returncode != 0:
            shutil.rmtree(data, ignore_errors=True)
            raise CannotServe(f"initdb failed: {made.stderr.decode(errors='replace').strip()}")

    def start(self) -> None:
        """Returns when the server answers."""
        self._end_leftover()
        self.sockets = Path(tempfile.mkdtemp(prefix="ostiary-demo-pg-", dir="/tmp"))  # a socket's path ends at 107 bytes
        self.sockets.chmod(0o711)
        self._give(self.sockets)
        settings = {**_SETTINGS, "unix_socket_directories": str(self.sockets)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._place.log.touch(0o600)  # statements with their values stand in it
        with self._place.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._place.program("postgres")), "-D", str(self._place.data), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **self._as(),
            )  # fmt: skip
        self._wait_ready(self._process)

    def stop(self) -> None:
        """Fast shutdown: sessions end, data is kept."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait()
        if self.sockets != Path():
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _wait_ready(self, process: subprocess.Popen[bytes]) -> None:
        while self._run("pg_isready", "-q", "-h", str(self.sockets)).returncode != 0:
            try:
                process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            raise CannotServe(f"the embedded PostgreSQL did not start; its log is {self._place.log}")

    def _end_leftover(self) -> None:
        """A server that outlived whoever started it (kill -9) still holds the data: end it."""
        try:
            lines = (self._place.data / "postmaster.pid").read_text().splitlines()
            pid, sockets = int(lines[0]), lines[4]
            handle = os.pidfd_open(pid)
        except (OSError, ValueError, IndexError):
            return
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if os.fsencode(self._place.data) in command:  # else the pid is somebody else's now
                signal.pidfd_send_signal(handle, signal.SIGINT)
                select.select([handle], [], [])
                shutil.rmtree(sockets, ignore_errors=True)
        except (FileNotFoundError, ProcessLookupError):
            pass
        finally:
            os.close(handle)

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [str(self._place.program(program)), *words], stdin=subprocess.DEVNULL, capture_output=True, check=False,
            cwd="/", **self._as(),
        )  # fmt: skip

    def _give(self, path: Path) -> None:
        if self._runner is not None:
            os.chown(path, self._runner.uid, self._runner.gid)

    def _as(self) -> dict[str, Any]:
        if self._runner is None:
            return {}
        return {"user": self._runner.uid, "group": self._runner.gid, "extra_groups": []}
