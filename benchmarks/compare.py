"""
Two runs side by side: what moved, and whether by more than the runs themselves moved.

    python -m benchmarks.compare OLD.json NEW.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import lines, of

BETTER_UP = {"tps", "per_s", "opened_per_s"}
"""Numbers of which more is better; of all others, less is."""

STEADY = {"rows", "gb", "idle"}
"""Numbers that say what was done, not how well."""


def compared(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """A Markdown table of every median that both runs have; ratios of ratios are not made."""
    out = ["| figure | case | peer | number | old | new | change | |", "|---|---|---|---|---|---|---|---|"]
    keys = dict.fromkeys((s["figure"], s["case"], s["peer"], n) for s in new["samples"] for n in s["numbers"] if n not in STEADY)
    for key in keys:
        before, after = of(old, *key), of(new, *key)
        if before and after and before.median:
            change = after.median / before.median - 1
            noise = max(before.spread, after.spread)
            better = (change > 0) == (key[3] in BETTER_UP)
            word = "within the noise" if abs(change) <= noise else "better" if better else "WORSE"
            out.append(f"| {' | '.join(key)} | {before.median:.4g} | {after.median:.4g} | {change:+.0%} | {word} |")
    return out


def bars(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The issue's figures, which are ratios within each run and so survive another machine."""
    out = ["| figure | bar | old | new | |", "|---|---|---|---|---|"]
    for before, after in zip(lines(old), lines(new), strict=False):
        if before.met is not None and after.met is not None:
            word = {(True, False): "LOST", (False, True): "won"}.get((before.met, after.met), "")
            out.append(f"| {after.figure} | {after.bar} | {before.shown} | {after.shown} | {word} |")
    return out


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    old, new = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    print(f"{old['commit'][:12]} of {old['date']} → {new['commit'][:12]} of {new['date']}\n")
    print("\n".join([*bars(old, new), "", *compared(old, new)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
