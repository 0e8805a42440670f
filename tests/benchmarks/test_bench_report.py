"""Samples to verdicts: medians, ratios, bars; what moved between two runs; and what the clocks and /proc say."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, growth, measure, notary, report, scalepage

FLOOR = {"fdatasync": 100.0, "O_DSYNC": 90.0, "commit": 300.0}


def raw(*samples: tuple[str, str, str, dict[str, float]]) -> dict[str, Any]:
    """A run that measured only this."""
    return {
        "commit": "c" * 40, "date": "2026-01-01T00:00Z", "kernel": "compiled", "floor": FLOOR,
        "machine": {"processors": 2, "load": [0.1, 0, 0], "load_after": [0.2, 0, 0]},
        "options": {"rounds": 1, "seconds": 1, "workers": 1, "rows": 10},
        "samples": [{"figure": f, "case": c, "peer": p, "load": 0.0, "numbers": n} for f, c, p, n in samples],
    }  # fmt: skip


def line(run: dict[str, Any], begins: str) -> report.Line:
    (found,) = [one for one in report.lines(run) if one.figure.startswith(begins)]
    return found


def test_a_median_comes_with_its_spread() -> None:
    """The distance between the quartiles, as a share of the middle; one sample has none."""
    assert measure.summary([90, 100, 110, 120, 80]) == (100, 0.2, 5)
    assert measure.summary([7]) == (7, 0.0, 1)


@pytest.mark.parametrize(("tps", "met"), [(5500, True), (5499, False)])
def test_a_bar_is_met_or_missed_by_the_ratio_in_the_same_run(tps: float, met: bool) -> None:
    run = raw(("point", "simple/8", "gateway", {"tps": tps}), ("point", "simple/8", "pgbouncer", {"tps": 10000}))
    assert line(run, "point query, durable, simple, 8").met is met


def test_what_was_not_measured_is_neither() -> None:
    """No figure passes by being left out."""
    found = report.lines(raw())
    assert len(found) > 15 and all(one.met is None and one.value is None for one in found)
    assert report.table(raw()).count("not measured") == len(found)


@pytest.mark.parametrize(("p50", "met"), [(800, True), (801, False)])
def test_added_latency_is_held_against_one_commit_and_twice_pgbouncers(p50: float, met: bool) -> None:
    """200 direct, 150 added by pgbouncer, 300 for the commit: 600 may be added."""
    samples = [("point", "prepared/1", name, {"p50": value}) for name, value in (("direct", 200), ("pgbouncer", 350), ("gateway", p50))]
    assert line(raw(*samples), "point query, durable, prepared, 1").met is met


@pytest.mark.parametrize(("beside", "errors", "met"), [(30, 0, True), (31, 0, False), (10, 1, False)])
def test_a_crowd_may_neither_slow_nor_fail(beside: float, errors: int, met: bool) -> None:
    numbers = {"p99_alone": 10, "p99_beside": beside, "errors": errors}
    assert line(raw(("crowd", "9 idle, 1 busy", "gateway", numbers)), "9 idle").met is met


def test_speed_is_the_others_time_over_ours() -> None:
    """Twice as slow is 0.5, so that all bars of speed point upward."""
    run = raw(("bulk", "clear/select", "haproxy", {"wall": 1.0, "cpu": 1.0}), ("bulk", "clear/select", "gateway", {"wall": 2.0, "cpu": 1.0}))
    assert line(run, "bulk select, nothing masked: speed").value == 0.5


def test_noise_is_the_worst_of_the_direct_ones() -> None:
    quiet = [("point", "simple/1", "direct", {"tps": tps}) for tps in (100, 100, 100)]
    loud = [("point", "simple/8", "direct", {"tps": tps}) for tps in (50, 100, 150)]
    assert report.point_noise(raw(*quiet)) == 0 and report.point_noise(raw(*quiet, *loud)) == 0.5


@pytest.mark.parametrize(
    ("number", "old", "new", "word"),
    [("tps", 100, 150, "better"), ("tps", 100, 50, "WORSE"), ("p50", 100, 50, "better"), ("p50", 100, 150, "WORSE"), ("p50", 100, 105, "noise")],
)
def test_what_moved_is_named_by_its_direction(number: str, old: float, new: float, word: str) -> None:
    """More is better of some numbers, less of others; within the spread it is neither."""
    before = raw(*[("point", "simple/8", "gateway", {number: old * wobble}) for wobble in (0.9, 1, 1.1)])
    after = raw(*[("point", "simple/8", "gateway", {number: new * wobble}) for wobble in (0.9, 1, 1.1)])
    assert word in compare.compared(before, after)[-1]


def test_a_bar_that_is_lost_is_said() -> None:
    def run(tps: float) -> dict[str, Any]:
        return raw(("point", "simple/8", "gateway", {"tps": tps}), ("point", "simple/8", "pgbouncer", {"tps": 100}))

    assert "LOST" in compare.bars(run(60), run(50))[-1] and "won" in compare.bars(run(50), run(60))[-1]


def test_every_peer_has_its_turn_in_every_round_and_not_always_the_same() -> None:
    ran: list[str] = []
    measure.interleaved(["a", "b", "c"], 20, ran.append, random.Random(3))
    rounds = [tuple(ran[at : at + 3]) for at in range(0, 60, 3)]
    assert {tuple(sorted(one)) for one in rounds} == {("a", "b", "c")} and len(set(rounds)) > 2


def test_processor_time_is_the_kernels_count() -> None:
    """As much as this process knows of itself, to a tick."""
    before, mine = measure.cpu_seconds([os.getpid()]), time.process_time()
    while time.process_time() - mine < 0.1:
        pass
    assert measure.cpu_seconds([os.getpid()]) - before == pytest.approx(0.1, abs=0.05)
    assert measure.cpu_seconds([]) == 0


def test_a_meter_leaves_out_what_came_before() -> None:
    """The logins of clients are not their queries'."""
    with measure.Meter([os.getpid()], every=0.01) as meter:
        mine = time.process_time()
        while time.process_time() - mine < 0.2:
            pass
        moment = time.time()
    assert meter.since(0) >= 0.15 and meter.since(moment) <= 0.1


def test_the_floor_is_measured_and_leaves_nothing(tmp_path: Path) -> None:
    assert all(value > 0 for value in measure.fsync_floor(tmp_path, 5).values()) and not list(tmp_path.iterdir())


def test_a_page_gets_the_newest_table_between_its_marks() -> None:
    """What stands around it stays; a page without marks is not written."""
    page = "above\n<!-- measured -->\nold\n<!-- end of measured -->\nbelow\n"
    once = report.placed(page, "new")
    assert once == report.placed(once, "new") == "above\n<!-- measured -->\n\nnew\n\n<!-- end of measured -->\nbelow\n"
    with pytest.raises(ValueError, match="has no"):
        report.placed("nothing", "new")


def test_what_comes_first_is_the_gateway_beside_its_peers_and_how_many_bars_are_missed() -> None:
    """A reader has it in a minute; what was not measured stays empty."""
    run = raw(*(("point", "prepared/8", peer, {"tps": tps}) for peer, tps in (("direct", 30000), ("pgbouncer", 20000), ("gateway", 5000))))
    said = report.brief(run)
    assert "| prepared point queries a second, 8 clients | 30,000 | 20,000 | 5,000 |" in said and "| a million rows selected, s |  |  |  |" in said
    assert said.endswith("0 of 1 bars are met and 1 missed, of which 1 are point queries'.")


def test_a_run_that_was_too_noisy_says_so() -> None:
    """It is reported only when that is asked for."""
    run = raw(*(("point", "prepared/8", "direct", {"tps": tps}) for tps in (100, 200, 300)))
    assert "(over 10 %: reported by --noisy)" in report.table(run) and "--noisy" not in report.table(raw())


def grown(*samples: tuple[str, str, int, dict[str, float]]) -> dict[str, Any]:
    """A run of benchmarks.scale that measured only this."""
    when = {"commit": "c" * 40, "date": "2026-01-01T00:00Z", "load": 0.5}
    return raw() | {"samples": [{"figure": f, "case": c, "at": at, **when, "numbers": n} for f, c, at, n in samples]}


def test_a_cost_is_shown_by_size_and_only_where_it_was_measured() -> None:
    """A line per size; a number that is not there is an empty cell, and a figure that is not there is no table."""
    text = scalepage.table(grown(("records", "store", 10, {"append_us": 4.0}), ("records", "store", 1000, {"append_us": 5.0})))
    assert "| 10 | 4.0 |" in text and "| 1,000 | 5.0 |" in text and "Policy rules" not in text
    assert "Commit cccccccccccc, 2026-01-01T00:00Z, load 0.5 to 0.5." in text
    assert scalepage.series(grown(("rules", "x", 100, {"simple_us": 2}), ("rules", "x", 1, {"simple_us": 1}))["samples"], "rules", "simple_us") == [(1, 1), (100, 2)]


def test_sessions_per_gib_are_what_one_takes_turned_round() -> None:
    assert "| plain | 16.0 | 65,536 |" in scalepage.table(grown(("idle", "plain", 150, {"kib": 16.0})))


def test_more_sessions_than_a_worker_has_descriptors_for_get_more_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for the one that gets more than its share."""
    monkeypatch.setattr(growth, "most_sessions", lambda: 1000 + growth.WARM)
    assert growth.by_workers([1, 10, 1000]) == [(1, [1, 10, 1000])]
    assert growth.by_workers([1001, 1]) == [(1, [1]), (2, [1001])] and growth.by_workers([2000]) == [(3, [2000])]


def test_growth_of_a_store_is_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    """Records written through the journal, verified whole, searched through: each says its time, its processor time, its memory."""
    found = growth.records(tmp_path, 200)
    assert {f"{name}_{unit}" for name in ("append", "verify", "search") for unit in ("s", "us", "mib")} <= set(found)
    assert all(value > 0 for value in found.values())


def test_what_a_batch_and_a_record_take_is_the_line_through_the_sizes() -> None:
    batch, record = notary.line([(size, 200 + 10 * size) for size in (1, 2, 8, 32)])
    assert (batch, record) == (pytest.approx(200), pytest.approx(10))


def test_a_disturbed_stretch_says_nothing_of_a_batch_and_other_threads_count_whole() -> None:
    rounds = [{"stretches": [100.0] * 9 + [9000.0], "others": 10.0}, {"stretches": [120.0] * 10, "others": 30.0}]
    assert notary.cost(rounds) == (100.0, 20.0)
