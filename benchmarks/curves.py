"""Samples of `benchmarks.scale` to PNGs: what one more costs, against how many there are. Needs matplotlib (the extra `bench`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from benchmarks.scalepage import MEANINGS, series  # noqa: E402

SHOWN = {
    "sessions": (("open_ms", "kib"), ("p50_ms", "p99_ms")), "targets": (("kib", "open_ms"), ("query_us",)),
    "rules": (("simple_us", "prepared_us"), ("simple_p50_us", "prepared_p50_us")),
    "records": (("append_us", "verify_us", "search_us"), ("append_mib", "verify_mib", "search_mib")),
    "ledger": (("start_us", "prove_us", "read_us"), ("start_mib", "prove_mib")),
}  # fmt: skip
"""By figure: two charts side by side, and the numbers in each."""


def draw(raw: dict[str, Any], folder: Path) -> None:
    """One file per figure that was measured at more than one size."""
    folder.mkdir(parents=True, exist_ok=True)
    for figure, charts in SHOWN.items():
        if len({sample["at"] for sample in raw["samples"] if sample["figure"] == figure}) < 2:
            continue
        heading, of, columns = MEANINGS[figure]
        named = {name: column for name, column, _ in columns}
        plot, axes = pyplot.subplots(1, len(charts), figsize=(10, 4))
        for place, names in zip(axes, charts, strict=True):
            for name in names:
                points = series(raw["samples"], figure, name)
                place.plot([at for at, _ in points], [value for _, value in points], marker="o", label=f"{name.split('_')[0]}: {named[name]}")
            place.set_xscale("log")
            place.set_ylim(bottom=0)
            place.set_xlabel(of)
            place.legend(fontsize=7)
        plot.suptitle(f"{heading} ({_of(raw, figure)})", fontsize=9)
        plot.tight_layout()
        plot.savefig(folder / f"{figure}.png", dpi=110)
        pyplot.close(plot)


def _of(raw: dict[str, Any], figure: str) -> str:
    last = [sample for sample in raw["samples"] if sample["figure"] == figure][-1]
    return f"{last['commit'][:12]}, {last['date']}"
