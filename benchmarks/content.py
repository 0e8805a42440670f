"""
What looking through results costs: `python -m benchmarks.content`. Processor time of one thread, the best of several runs.

Rows of 100 bytes in reads of 64 KiB, of which none, one in a hundred, or every one holds something to be starred out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from addons.masking.sought import FORMS, Found, sought
from protocols.postgres.messages import CopyData
from protocols.postgres.replies import DataRow
from protocols.result import Column, Columns

READ, RUNS, REPEATS = 64 << 10, 7, 20
SHAPE = Columns(tuple(Column(f"c{i}", 0, 0, kind) for i, kind in enumerate((23, 25, 1082, 25))))
CLEAR, VALUE = b"Some name of somebody, 12 Long Street, 12345 Town", b"Some name of somebody, 219-09-9998, 12345 Town xx"


def cost(work: Callable[[], object]) -> float:
    """Seconds of the processor for one call."""
    best = float("inf")
    for _ in range(RUNS):
        begun = time.process_time()
        for _ in range(REPEATS):
            work()
        best = min(best, (time.process_time() - begun) / REPEATS)
    return best


def read(every: int, copied: bool) -> tuple[bytes, int]:
    """One read, and its rows."""
    out, count = bytearray(), 0
    while len(out) < READ:
        text = VALUE if every and count % every == 0 else CLEAR
        cells = b"%06d" % count, text, b"2024-01-02", b"plain"
        out += CopyData(b"\t".join(cells) + b"\n").encode() if copied else DataRow(cells).encode()
        count += 1
    return bytes(out), count


def main() -> None:
    """Print the table."""
    wanted = sought(sorted(FORMS), (), {})
    for copied in (False, True):
        for every, told in ((0, "none"), (100, "one in 100"), (1, "every one")):
            data, rows = read(every, copied)
            search = Found(wanted)
            spent = cost(lambda: search.messages(data) if copied else search.rows(data, SHAPE))  # noqa: B023
            what = "COPY" if copied else "rows"
            print(f"{what}, found in {told:<10}  {len(data) / spent / 1e6:8.1f} MB/s  {spent / rows * 1e9:8.0f} ns a row")


if __name__ == "__main__":
    main()
