"""
Raw samples to a table: each figure beside the bar it has to meet.

    python -m benchmarks.report FILE.json [PAGE.md]

Prints it, or puts it into a page between `<!-- measured -->` and `<!-- end of measured -->`, and what matters most of it
between `<!-- brief -->` and `<!-- end of brief -->`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Summary, summary

Raw = dict[str, Any]
NOISE = 0.10
"""Spread of the direct point queries above which nothing can be compared, unless somebody asks for it all the same."""


class Line(NamedTuple):
    """One figure: what it must be, what it is; `value` is None when it was not measured."""

    figure: str
    bar: str
    value: float | None
    shown: str
    met: bool | None


def of(raw: Raw, figure: str, case: str, peer: str, number: str) -> Summary | None:
    """The median of one number; None when it was not measured."""
    found = [
        sample["numbers"][number] for sample in raw["samples"]
        if (sample["figure"], sample["case"], sample["peer"]) == (figure, case, peer) and number in sample["numbers"]
    ]  # fmt: skip
    return summary(found) if found else None


def point_noise(raw: Raw) -> float:
    """The largest spread of the direct point queries."""
    cases = {s["case"] for s in raw["samples"] if s["figure"] == "point"}
    spreads = [found.spread for case in cases if (found := of(raw, "point", case, "direct", "tps"))]
    return max(spreads, default=0.0)


def ratio(raw: Raw, figure: str, case: str, number: str, peer: str, to: str) -> float | None:
    one, other = of(raw, figure, case, peer, number), of(raw, figure, case, to, number)
    return one.median / other.median if one and other and other.median else None


def _at_least(name: str, bar: float, value: float | None) -> Line:
    return Line(name, f"≥ {bar:g}", value, "" if value is None else f"{value:.2f}", None if value is None else value >= bar)


def _at_most(name: str, bar: float, value: float | None, unit: str = "") -> Line:
    shown = "" if value is None else f"{value:.2f}{unit}"
    return Line(name, f"≤ {bar:.4g}{unit}", value, shown, None if value is None else value <= bar)


def lines(raw: Raw) -> list[Line]:
    """In the issue's order."""
    found: list[Line] = []
    for peer, bars in (("gateway, not durable", (0.95, 1.0)), ("gateway", (0.55, 0.80))):
        how = "durable" if peer == "gateway" else "not durable"
        for mode in ("simple", "extended", "prepared"):
            for clients, bar in zip((8, 32), bars, strict=True):
                value = ratio(raw, "point", f"{mode}/{clients}", "tps", peer, "pgbouncer")
                found.append(_at_least(f"point query, {how}, {mode}, {clients} clients: tps vs pgbouncer", bar, value))
    found += [_added(raw, mode) for mode in ("simple", "extended", "prepared")]
    for how in ("select", "copy", "copy in"):
        value = ratio(raw, "bulk", f"clear/{how}", "wall", "haproxy", "gateway")
        found.append(_at_least(f"bulk {how}, nothing masked: speed vs haproxy", 0.95, value))
        value = ratio(raw, "bulk", f"clear/{how}", "cpu", "gateway", "pgbouncer")
        found.append(_at_most(f"bulk {how}, nothing masked: CPU vs pgbouncer", 1.0, value))
    value = ratio(raw, "bulk", "masked/select", "wall", "direct", "gateway")
    found.append(_at_least("bulk select, two columns masked: speed vs direct", 0.85, value))
    found.append(_at_most("TLS one side: CPU per GB vs stock Twisted TLS", 0.5, ratio(raw, "tls", "client side", "cpu", "gateway", "stock Twisted")))
    idle = of(raw, "idle", "TLS both sides", "gateway", "kib")
    found.append(_at_most("idle session, TLS both sides", 60, idle and idle.median, " KiB"))
    found += _crowd(raw)
    start = of(raw, "start", "stopped house", "gateway", "accepted_s")
    found.append(_at_most("start to first accepted connection", 1.5, start and start.median, " s"))
    return found


def _added(raw: Raw, mode: str) -> Line:
    """The gateway's added p50, against one acknowledgement and twice what pgbouncer adds."""
    p50 = {name: of(raw, "point", f"{mode}/1", name, "p50") for name in ("direct", "pgbouncer", "gateway")}
    name = f"point query, durable, {mode}, 1 client: added p50"
    if not all(p50.values()):
        return Line(name, "commit + 2 × pgbouncer's", None, "", None)
    added = p50["gateway"].median - p50["direct"].median
    bar = raw["floor"]["commit"] + 2 * max(p50["pgbouncer"].median - p50["direct"].median, 0)
    return Line(name, f"≤ {bar:.0f} µs", added, f"{added:.0f} µs", added <= bar)


def _crowd(raw: Raw) -> list[Line]:
    cases = [s for s in raw["samples"] if s["figure"] == "crowd"]
    if not cases:
        return [Line("5,000 idle (stub target) + 100 busy", "no error, p99 ≤ 3 × alone", None, "", None)]
    numbers, case = cases[-1]["numbers"], cases[-1]["case"]
    times = numbers["p99_beside"] / numbers["p99_alone"]
    met = not numbers["errors"] and times <= 3
    return [Line(f"{case} (idle ones on a stub target): p99 of the busy", "no error, ≤ 3 × alone", times,
                 f"{times:.2f} × alone, {numbers['errors']:.0f} errors", met)]  # fmt: skip


_WORD = {True: "met", False: "MISSED", None: "not measured"}


def table(raw: Raw) -> str:
    """Text for a terminal and, being Markdown, for a page."""
    floor, load = raw["floor"], raw["machine"]["load"]
    out = [
        f"commit {raw['commit'][:12]}{'+' if raw['commit'].endswith('+') else ''}, {raw['date']}, kernel {raw['kernel']}, "
        f"Python {raw['machine'].get('python', '3.11')}, {raw['machine']['processors']} processors, load {load[0]:.1f} at first and {raw['machine']['load_after'][0]:.1f} at last; "
        f"{raw['options']['rounds']} rounds of {raw['options']['seconds']} s, {raw['options']['workers']} worker(s)",
        f"durable 4 KiB: fdatasync {floor['fdatasync']:.0f} µs, O_DSYNC {floor['O_DSYNC']:.0f} µs; "
        f"one record committed by the store: {floor['commit']:.0f} µs; spread of direct: {_noise(raw)}", "",
        "| figure | bar | measured | |", "|---|---|---|---|",
        *(f"| {line.figure} | {line.bar} | {line.shown} | {_WORD[line.met]} |" for line in lines(raw)), "",
        *_details(raw),
    ]  # fmt: skip
    return "\n".join(out)


def _noise(raw: Raw) -> str:
    """What a report may not have without being asked for it is said."""
    noise = point_noise(raw)
    return f"{noise:.0%}{' (over 10 %: reported by --noisy)' if noise > NOISE else ''}"


def brief(raw: Raw) -> str:
    """What a reader wants first: the gateway beside pgbouncer, which records nothing, and how many bars are missed."""
    rows = [
        ("prepared point queries a second, 8 clients", "point", "prepared/8", "tps", "{:,.0f}"),
        ("the same, 32 clients", "point", "prepared/32", "tps", "{:,.0f}"),
        ("such a query at one client, p50, µs", "point", "prepared/1", "p50", "{:,.0f}"),
        ("its processor time at 8 clients, µs (the gateway's: all processes, the notary among them)", "point", "prepared/8", "cpu_us", "{:,.0f}"),
        ("a million rows selected, s", "bulk", "clear/select", "wall", "{:.2f}"),
        ("the same with two columns masked, s", "bulk", "masked/select", "wall", "{:.2f}"),
        ("an idle session under TLS on both sides, KiB", "idle", "TLS both sides", "kib", "{:.0f}"),
    ]  # fmt: skip
    out = ["| | direct | pgbouncer | Ostiary, durable |", "|---|---|---|---|"]
    for name, figure, case, number, show in rows:
        found = [of(raw, figure, case, peer, number) for peer in ("direct", "pgbouncer", "gateway")]
        out.append(f"| {name} | " + " | ".join("" if one is None or not one.median else show.format(one.median) for one in found) + " |")
    judged = [line for line in lines(raw) if line.met is not None]
    missed = sum(not line.met for line in judged)
    return "\n".join([*out, "", f"{len(judged) - missed} of {len(judged)} bars are met and {missed} missed, of which {_points(judged)} are point queries'."])


def _points(judged: list[Line]) -> int:
    return sum(line.figure.startswith("point") and not line.met for line in judged)


def _details(raw: Raw) -> list[str]:
    """All medians, with half of what lies between the quartiles."""
    numbers: dict[str, list[tuple[str, Callable[[float], str]]]] = {
        "point": [("tps", "{:.0f}".format), ("p50", "{:.0f}".format), ("p99", "{:.0f}".format), ("cpu_us", "{:.0f}".format)],
        "bulk": [("wall", "{:.2f}".format), ("cpu", "{:.2f}".format)],
        "tls": [("wall", "{:.2f}".format), ("cpu", "{:.2f}".format)],
        "connects": [("per_s", "{:.0f}".format), ("cpu_ms", "{:.1f}".format)],
        "idle": [("kib", "{:.1f}".format)],
        "start": [("accepted_s", "{:.2f}".format), ("first_answer_s", "{:.2f}".format), ("cpu", "{:.2f}".format)],
        "crowd": [("p99_alone", "{:.0f}".format), ("p99_beside", "{:.0f}".format), ("opened_per_s", "{:.0f}".format), ("kib", "{:.1f}".format)],
    }  # fmt: skip
    out: list[str] = []
    for figure, columns in numbers.items():
        cases = list(dict.fromkeys((s["case"], s["peer"]) for s in raw["samples"] if s["figure"] == figure))
        if cases:
            out += [f"| {figure} | | " + " | ".join(name for name, _ in columns) + " |", "|---|---|" + "---|" * len(columns)]
            out += [
                f"| {case} | {peer} | " + " | ".join(_cell(of(raw, figure, case, peer, name), show) for name, show in columns) + " |"
                for case, peer in sorted(cases, key=lambda pair: _order(pair[0]))
            ]
            out.append("")
    return out


def _order(case: str) -> tuple[str, int]:
    name, _, number = case.partition("/")
    return name, int(number) if number.isdigit() else 0


def _cell(found: Summary | None, show: Callable[[float], str]) -> str:
    return "" if found is None else f"{show(found.median)} ± {found.spread / 2:.0%}" if found.count > 1 else show(found.median)


def placed(page: str, text: str, name: str = "measured") -> str:
    """The page with the text between the marks of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"the page has no {begin} … {end}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def main() -> int:
    if not 2 <= len(sys.argv) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    raw = json.loads(Path(sys.argv[1]).read_text())
    if len(sys.argv) == 3:
        page = Path(sys.argv[2])
        page.write_text(placed(placed(page.read_text(), table(raw)), brief(raw), "brief"))
    else:
        print(table(raw))
    return 0


if __name__ == "__main__":
    sys.exit(main())
