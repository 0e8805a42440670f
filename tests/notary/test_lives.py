"""What a ledger tells of segments: one pass says what a look through all entries for each segment would."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from recorded import checked, fill, new_store

from gateway.notary.ledger import named
from gateway.notary.lives import lives

LUCK = random.Random(11)


def written(segments: int, heads: int) -> list[list[Any]]:
    """A ledger's entries: segments follow one another, with heads, and are sealed some time later."""
    entries: list[list[Any]] = [["genesis", 1, "log", "key", 1]]
    unsealed: list[list[Any]] = []
    for number in range(1, segments + 1):
        entries.append(["seg.open", 2, 0, number, b"public", bytes(32), "boot"])
        size = 0
        for _ in range(LUCK.randrange(heads)):
            size += LUCK.randrange(3)
            entries.append(["head", 3, 0, number, size, b"root of %d" % size])
            if unsealed and LUCK.random() < 0.2:
                entries.append(unsealed.pop())
        if number < segments:
            entries.append(["seg.close", 4, 0, number, size, b"root of %d" % size, "rotated"])
            unsealed.append(["seg.seal", 5, 0, number, size, b"root of %d" % size, b"leaves", b"bodies"])
    return entries


def test_each_segment_s_life_is_what_all_entries_say_of_it() -> None:
    raw = written(12, 30)
    entries = list(map(named, raw))
    found = lives(raw)
    assert list(found) == list(range(1, 13))
    for number, life in found.items():
        own = [e for e in entries if e.get("segment") == number]
        assert life.events == {e["what"]: e for e in own if e["what"] != "head"}
        assert life.opened == own[0] and life.closed == next((e for e in own if e["what"] == "seg.close"), None)
        assert set(life.promised) == {(e["size"], e["root"]) for e in own if "size" in e}
        for place in range(0, len(raw) + 1, 5):
            sizes = [e["size"] for e in entries[:place] if e.get("segment") == number and "size" in e]
            assert life.size_at(place) == (sizes[-1] if sizes else 0)


def test_entries_of_a_later_version_are_passed_over() -> None:
    assert lives([["something.new", 1, 0, 7], ["head", 1, 0, 3, 9, b"root", "and more"]])[3].promised == ((9, b"root"),)


def test_a_notary_starts_on_an_old_ledger_keeps_none_of_its_heads_and_proves_it(tmp_path: Path) -> None:
    """Every thirty seconds has one: a year of them must not stay in memory."""
    store = new_store(tmp_path)
    fill(store, 3)
    segment = store.segment
    store.ledger.append([["head", 5, 0, segment.number, segment.size, segment.root]] * 5000)
    size = store.ledger.size
    store.abandon()
    again = new_store(tmp_path)
    assert len(again.ledger.events) < 10 and again.ledger.size > size > 5000
    again.close()
    report = checked(tmp_path)
    assert report.problems == [] and report.entries > 5000


@pytest.mark.parametrize("before", [0, 1000])
@pytest.mark.parametrize("wrong", ["size", "root"])
def test_one_false_head_among_thousands_is_found(tmp_path: Path, wrong: str, before: int) -> None:
    """Also where a true one of the same size follows."""
    store = new_store(tmp_path)
    fill(store, 3)
    segment = store.segment
    true = ["head", 5, 0, segment.number, segment.size, segment.root]
    false = [*true[:4], segment.size + 1, segment.root] if wrong == "size" else [*true[:5], bytes(32)]
    store.ledger.append([*[true] * before, false, *[true] * 1000])
    store.close()
    assert "segment 1" in "\n".join(checked(tmp_path).problems)
