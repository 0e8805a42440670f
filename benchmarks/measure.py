"""
What the operating system says of time and processors, and how samples are summed up.
"""

from __future__ import annotations

import os
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")  # per second; /proc/PID/stat counts in them


class Summary(NamedTuple):
    """A median, and the distance between the quartiles as a share of it."""

    median: float
    spread: float
    count: int


def summary(samples: Sequence[float]) -> Summary:
    middle = statistics.median(samples)
    if len(samples) < 2 or not middle:
        return Summary(middle, 0.0, len(samples))
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return Summary(middle, (high - low) / middle, len(samples))


def percentile(samples: Iterable[float], share: float) -> float:
    """Of what was measured, without interpolation."""
    ordered = sorted(samples)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """
    User and system time of these processes so far, and of their children that have ended (proc(5), fields 14 to 17 of stat).
    One of them that has ended is among its parent's.
    """
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / _TICK


class Meter:
    """Processor time of some processes, noted all along: `since` a moment (of time.time) until the end."""

    def __init__(self, pids: Sequence[int], every: float = 0.05) -> None:
        self._pids, self._every, self._notes = pids, every, [(time.time(), cpu_seconds(pids))]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self._note()

    def _note(self) -> None:
        self._notes.append((time.time(), cpu_seconds(self._pids)))

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._note()

    def since(self, moment: float) -> float:
        """Seconds; what came before the last note before that moment is left out."""
        before = [spent for when, spent in self._notes if when <= moment] or [self._notes[0][1]]
        return self._notes[-1][1] - before[-1]


def fsync_floor(folder: Path, count: int = 200) -> dict[str, float]:
    """Microseconds that this file system takes to make 4 KiB durable, median: nothing durable is faster."""
    return {
        "fdatasync": _written(folder / "floor", os.O_WRONLY, os.fdatasync, count),
        "O_DSYNC": _written(folder / "floor", os.O_WRONLY | os.O_DSYNC, lambda fd: None, count),
    }


def _written(file: Path, flags: int, sync: Callable[[int], object], count: int) -> float:
    file.write_bytes(bytes(4096 * count))
    fd, spent = os.open(file, flags), []
    os.fsync(fd)
    try:
        for index in range(count):
            begin = time.perf_counter()
            os.pwrite(fd, b"x" * 4096, index * 4096)
            sync(fd)
            spent.append((time.perf_counter() - begin) * 1e6)
    finally:
        os.close(fd)
        file.unlink()
    return statistics.median(spent)


def interleaved(names: Sequence[str], rounds: int, run: Callable[[str], None], luck: random.Random) -> None:
    """Each name once a round, in another order every time, so that no neighbour disturbs one of them alone."""
    for _ in range(rounds):
        order = list(names)
        luck.shuffle(order)
        for name in order:
            run(name)
