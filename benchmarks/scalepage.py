"""Raw samples of `benchmarks.scale` to tables in Markdown: one per figure, a line per size, and how much the cost grew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Sample = dict[str, Any]

MEANINGS: dict[str, tuple[str, str, tuple[tuple[str, str, str], ...]]] = {
    "idle": ("Memory of an idle session", "sessions", (("kib", "KiB each, user space", "{:.1f}"), ("per_gib", "sessions per GiB", "{:,.0f}"))),
    "sessions": ("Idle sessions on a stub target", "sessions", (
        ("workers", "workers", "{:.0f}"),
        ("open_ms", "CPU to open one, ms", "{:.1f}"), ("opened_per_s", "opened per second", "{:.0f}"), ("kib", "KiB each", "{:.1f}"),
        ("quiet_ms", "CPU while all are quiet, ms/s", "{:.0f}"), ("p50_ms", "an answer, p50 ms", "{:.2f}"), ("p99_ms", "p99 ms", "{:.2f}"),
        ("query_us", "CPU of a query, µs", "{:.0f}"),
    )),
    "crowd": ("A hundred busy clients of a real PostgreSQL beside idle sessions on a stub", "idle sessions", (
        ("errors", "errors", "{:.0f}"), ("p99_alone", "p99 of the busy, alone, µs", "{:,.0f}"), ("p99_beside", "beside the idle, µs", "{:,.0f}"),
        ("tps_alone", "queries per second, alone", "{:,.0f}"), ("tps_beside", "beside the idle", "{:,.0f}"),
        ("opened_per_s", "idle ones opened per second", "{:.0f}"), ("kib", "KiB for each idle", "{:.1f}"),
    )),
    "targets": ("Targets, one session on each", "targets", (
        ("worker_mib", "worker before, MiB", "{:.1f}"), ("kib", "KiB for each in use", "{:.1f}"), ("open_ms", "CPU of a login, ms", "{:.1f}"),
        ("p50_ms", "an answer, p50 ms", "{:.2f}"), ("query_us", "CPU of a query, µs", "{:.0f}"),
    )),
    "rules": ("Policy rules, none of which matches", "rules", (
        ("simple_us", "CPU, every text new, µs", "{:.0f}"), ("simple_p50_us", "p50 µs", "{:.0f}"),
        ("prepared_us", "CPU, text known, µs", "{:.0f}"), ("prepared_p50_us", "p50 µs", "{:.0f}"),
    )),
    "records": ("Records in a store", "records", (
        ("append_us", "CPU to append one, µs", "{:.1f}"), ("append_mib", "memory, MiB", "{:.0f}"), ("verify_us", "to verify one, µs", "{:.1f}"),
        ("verify_mib", "MiB", "{:.0f}"), ("search_us", "to search past one, µs", "{:.1f}"), ("search_mib", "MiB", "{:.0f}"),
        ("bytes", "bytes on disk each", "{:.0f}"),
    )),
    "ledger": ("Entries in a ledger", "entries", (
        ("start_s", "a notary's start, s", "{:.1f}"), ("start_us", "CPU for each, µs", "{:.1f}"), ("start_mib", "MiB", "{:.0f}"),
        ("prove_us", "to verify one, µs", "{:.1f}"), ("prove_mib", "MiB", "{:.0f}"), ("read_us", "to read one live, µs", "{:.1f}"),
    )),
}  # fmt: skip
"""By figure: its heading, what grows, and each number with its column and form."""


def table(raw: dict[str, Any]) -> str:
    """All figures that were measured."""
    out = [f"{raw['machine']['processors']} processors; one worker unless said"]
    for figure, (heading, of, columns) in MEANINGS.items():
        found = [sample for sample in raw["samples"] if sample["figure"] == figure]
        if found:
            first = "case" if figure == "idle" else of
            out += ["", f"### {heading}", "", _when(found), "", f"| {first} | {' | '.join(column for _, column, _ in columns)} |", f"|---|{'---|' * len(columns)}"]
            out += [f"| {_at(sample)} | {' | '.join(_cell(sample, name, form) for name, _, form in columns)} |" for sample in found]
    return "\n".join(out)


def _when(found: Sequence[Sample]) -> str:
    """Of which commits, when, and how busy the machine was."""
    commits = list(dict.fromkeys(f"{one['commit'][:12]}{'+' if one['commit'].endswith('+') else ''}" for one in found))
    loads = [one["load"] for one in found]
    return f"Commit {', '.join(commits)}, {found[0]['date']}, load {min(loads):.1f} to {max(loads):.1f}."


def series(samples: Sequence[Sample], figure: str, name: str) -> list[tuple[int, float]]:
    """One number by size, in rising order."""
    return sorted((sample["at"], sample["numbers"][name]) for sample in samples if sample["figure"] == figure and name in sample["numbers"])


def _at(sample: Sample) -> str:
    return sample["case"] if sample["figure"] == "idle" else f"{sample['at']:,}"


def _cell(sample: Sample, name: str, form: str) -> str:
    numbers = sample["numbers"]
    if name == "per_gib":
        return form.format((1 << 20) / numbers["kib"])
    return form.format(numbers[name]) if name in numbers else ""
