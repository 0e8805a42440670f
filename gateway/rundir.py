"""
`state/run`: the UNIX sockets of this gateway, reachable by its user alone, and a lock so that there is one gateway.

After a crash the old children may still drain, with the audit store open. The notary holds
a copy of the lock's descriptor, so a successor waits until that store is closed.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from twisted.logger import Logger


class Rundir:
    """The directory, and the lock on it."""

    log = Logger()

    def __init__(self, state: Path) -> None:
        self._state = state
        self._lock: Any = None

    @property
    def path(self) -> Path:
        return self._state / "run"

    def socket(self, name: str) -> Path:
        """Where workers find a server of this house. What control serves to people is `control.sock`."""
        return self.path / ("workers.sock" if name == "control" else f"{name}.sock")

    def fileno(self) -> int:
        """The lock's descriptor, which the notary inherits: it exits last."""
        return int(self._lock.fileno())

    def take(self, patience: float) -> None:
        """
        Become the one gateway on this state directory.

        :param patience: seconds another one may still take to end.
        :raises SystemExit: there is no such directory, or another gateway stays.
        """
        if not self._state.is_dir():
            raise SystemExit(f"ostiary: gateway.state: there is no {self._state}; make it with `ostiary init`")
        self.path.mkdir(mode=0o700, exist_ok=True)
        os.chmod(self.path, 0o700)
        self._lock = open(self.path / "lock", "a+b")  # what its holder wrote stays
        until, told = time.monotonic() + patience + 10.0, False
        while not self._locked():
            if time.monotonic() > until:
                raise SystemExit(f"ostiary: gateway.state: another gateway runs on {self._state}; stop it first")
            if not told:
                self.log.info("another gateway{who} has this state open; waiting for it to end", who=self._holder())
                told = True
            time.sleep(0.05)  # the reactor does not run yet
        self._lock.truncate(0)
        self._lock.write(b"%d\n" % os.getpid())
        self._lock.flush()

    def _holder(self) -> str:
        """Who took the lock; it may be gone while what it started drains."""
        self._lock.seek(0)
        pid = self._lock.read(16).strip()
        return f" (pid {pid.decode()})" if pid.isdigit() else ""

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Somebody else may come."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None
