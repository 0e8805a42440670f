"""
`twistd ostiary` as a child process, and the lines of its log as they come.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from gateway.demo.database import environment

SERVING = r"serving revision \d+"
RECORDING = r"evidence is recorded in "
REFUSING = r"nothing can be recorded: (.*)"
REMARKS = r"evidence, (?:damaged|anchor): "
"""What the notary noticed of the store, and a person should look after."""

AGAIN = 6.0  # seconds in which a store that is refused once may be opened all the same: the notary tries until then five times


class Gateway:
    """
    One gateway, started at once.

    :param each: called with every line of its log, in another thread.
    """

    def __init__(self, file: Path, each: Callable[[str], None] = lambda line: None) -> None:
        twistd = Path(sys.executable).with_name("twistd")
        program = [str(twistd)] if twistd.exists() else [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        self._process = subprocess.Popen(
            [*program, "--nodaemon", "--pidfile=", "ostiary", "--config", str(file)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(),
            start_new_session=True,  # Ctrl-C reaches us, and we tell it once
        )  # fmt: skip
        self._each, self.lines, self._ended = each, list[str](), False
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def heard(self, pattern: str, patience: float, after: int = 0) -> re.Match[str] | None:
        """The first line from number `after` on that matches; None when `patience` seconds or its life end before."""
        end, at = monotonic() + patience, after
        with self._news:
            while True:
                for line in self.lines[at:]:
                    if found := re.search(pattern, line):
                        return found
                at = len(self.lines)
                if self._ended or not self._news.wait_for(lambda: len(self.lines) > at or self._ended, end - monotonic()):
                    return None

    def unrecorded(self, patience: float, told: Callable[[str], object]) -> str:
        """
        Why nothing can be recorded, and so everything is refused; "" where evidence is recorded.

        :param told: told at once why not, before it is waited for whether that passes.
        """
        first = self.heard(f"{RECORDING}|{REFUSING}", patience)
        if first is None:
            return "the notary says neither that it records nor why it does not"
        if first[1] is None or (told(first[1]), self.heard(RECORDING, AGAIN))[1] is not None:
            return ""
        return [found[1] for line in list(self.lines) if (found := re.search(REFUSING, line))][-1]

    def pids(self) -> dict[str, int]:
        """Its processes by name, as the newest words of its log have it."""
        told = (re.search(r"\b(notary|control|worker-\d+) is process (\d+)", line) for line in list(self.lines))
        return {found[1]: int(found[2]) for found in told if found}

    def drain(self) -> None:
        """SIGTERM: sessions get their time. A second one does not wait."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        code = self._process.wait()
        self._reading.join()
        return code

    def stop(self) -> int:
        """Drain and wait."""
        self.drain()
        return self.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as log:
            for line in log:
                self._each(line)
                with self._news:
                    self.lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()
