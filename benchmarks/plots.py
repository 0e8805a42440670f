"""Raw samples to PNGs. Needs matplotlib (the extra `bench`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

from benchmarks.report import of  # noqa: E402

ORDER = ("direct", "haproxy", "pgbouncer", "stock Twisted", "gateway", "gateway, not durable")


def draw(raw: dict[str, Any], folder: Path) -> None:
    """One file per figure that was measured."""
    folder.mkdir(parents=True, exist_ok=True)
    subtitle = f"{raw['commit'][:12]}, {raw['date']}, {raw['machine']['processors']} processors"
    modes = [f"{mode}/{clients}" for mode in ("simple", "extended", "prepared") for clients in (1, 8, 32)]
    _bars(raw, "point", modes, "tps", "queries per second", folder / "point-tps.png", subtitle)
    _bars(raw, "point", modes, "cpu_us", "proxy CPU per query, µs", folder / "point-cpu.png", subtitle)
    _bars(raw, "point", modes, "p50", "median latency, µs", folder / "point-p50.png", subtitle)
    cases = ["clear/select", "clear/copy", "masked/select"]
    _bars(raw, "bulk", cases, "wall", f"{raw['options']['rows']:,} rows, seconds", folder / "bulk-wall.png", subtitle)
    _bars(raw, "bulk", cases, "cpu", f"{raw['options']['rows']:,} rows, proxy CPU seconds", folder / "bulk-cpu.png", subtitle)
    _bars(raw, "connects", ["plain", "TLS"], "per_s", "connections per second", folder / "connects.png", subtitle)


def _bars(raw: dict[str, Any], figure: str, cases: list[str], number: str, label: str, file: Path, subtitle: str) -> None:
    found = {peer: [of(raw, figure, case, peer, number) for case in cases] for peer in ORDER}
    found = {peer: medians for peer, medians in found.items() if any(one and one.median for one in medians)}
    if not found:
        return
    plot, axes = pyplot.subplots(figsize=(10, 4.5))
    width = 0.8 / len(found)
    for place, (peer, medians) in enumerate(found.items()):
        at = [case + place * width for case in range(len(cases))]
        heights = [one.median if one else 0.0 for one in medians]
        errors = [one.median * one.spread / 2 if one else 0.0 for one in medians]
        axes.bar(at, heights, width, yerr=errors, label=peer, capsize=2)
    axes.set_xticks([case + 0.4 - width / 2 for case in range(len(cases))], cases)
    axes.set_ylabel(label)
    axes.set_title(subtitle, fontsize=9)
    axes.legend(fontsize=8)
    plot.tight_layout()
    plot.savefig(file, dpi=110)
    pyplot.close(plot)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
