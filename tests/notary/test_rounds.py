"""The watchman's rounds: what is damaged or missing among what is sealed is noticed, said, and recorded, and nothing waits for it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from recorded import fill, new_store, records, seal_all
from test_notary_process import Rig, until

from gateway.notary.layout import Layout
from gateway.notary.record import Kind
from gateway.notary.rounds import Rounds
from gateway.notary.seal import bodies_file, leaves_file
from gateway.notary.store import Store


@dataclass
class Made:
    """Of a store, what a round looks at."""

    layout: Layout
    happened: list[list[Any]]

    def copy(self, folder: Path) -> Made:
        return Made(Layout(Path(shutil.copytree(self.layout.root, folder / "copy" / "audit"))), list(self.happened))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two sealed segments or more, and an open one."""
    folder = tmp_path_factory.mktemp("made")
    store = new_store(folder, segment_records=12)
    fill(store, 6)
    seal_all(store)
    happened = store.happened
    store.close()
    shutil.rmtree(store.layout.spare, ignore_errors=True)
    return Made(store.layout, happened)


@pytest.fixture
def store(made: Made, tmp_path: Path) -> Made:
    return made.copy(tmp_path)


def truncate(file: Path) -> None:
    file.chmod(0o600)
    with open(file, "r+b") as opened:
        opened.truncate(8192)


def flip(file: Path) -> None:
    """One bit of its last byte, which no record may be in: the file's hash covers it all the same."""
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)


def remove_both(layout: Layout) -> None:
    leaves_file(layout.sealed(1)).unlink()
    bodies_file(layout.sealed(1)).unlink()


SEEN = {
    "leaves gone": (lambda layout: leaves_file(layout.sealed(1)).unlink(), "segment 1 was removed: it is in the ledger and not here"),
    "both gone": (remove_both, "segment 1 was removed: it is in the ledger and not here"),
    "bodies gone": (lambda layout: bodies_file(layout.sealed(1)).unlink(), "segment 1: its bodies were removed"),
    "leaves cut": (lambda layout: truncate(leaves_file(layout.sealed(1))), "segment 1: truncated: 8192 bytes"),
    "bodies cut": (lambda layout: truncate(bodies_file(layout.sealed(1))), "segment 1: its bodies are truncated: 8192 bytes"),
    "no store's file": (lambda layout: (leaves_file(layout.sealed(1)).unlink(), leaves_file(layout.sealed(1)).write_text("none")), "segment 1: not an LMDB"),
}
HASHED = {
    "leaves": (lambda layout: flip(leaves_file(layout.sealed(1))), "segment 1: its file is not the one that was sealed"),
    "bodies": (lambda layout: flip(bodies_file(layout.sealed(1))), "segment 1: its bodies are not the file that was sealed"),
}


class Heard:
    """Rounds without a thread, and what they say."""

    def __init__(self, store: Made) -> None:
        self.said: list[tuple[str, str]] = []
        self.rounds = Rounds(lambda what, why: self.said.append((what, why)), pace=0.0)
        self.store = store

    def look(self) -> list[tuple[str, str]]:
        self.said.clear()
        self.rounds.look(self.store)
        return list(self.said)

    def hash(self, number: int) -> list[tuple[str, str]]:
        self.said.clear()
        self.rounds.hash(self.store, number)
        return list(self.said)


def test_a_sound_store_is_not_talked_about(store: Made) -> None:
    heard = Heard(store)
    assert heard.look() == heard.hash(1) == heard.hash(2) == [] and heard.rounds.wrong == {}


@pytest.mark.parametrize("harm, said", SEEN.values(), ids=SEEN)
def test_what_is_gone_or_cut_is_seen_at_a_look_and_said_once(store: Made, harm: Callable[[Layout], object], said: str) -> None:
    heard = Heard(store)
    harm(heard.store.layout)
    ((what, why),) = heard.look()
    assert what == "damaged" and why.startswith(said) and heard.rounds.wrong == {1: why}
    assert heard.look() == []


@pytest.mark.parametrize("harm, said", HASHED.values(), ids=HASHED)
def test_one_changed_bit_of_a_sealed_file_is_found_by_the_round(store: Made, harm: Callable[[Layout], object], said: str) -> None:
    heard = Heard(store)
    harm(heard.store.layout)
    assert heard.look() == [] and heard.hash(2) == []
    assert heard.hash(1) == [("damaged", said)] and heard.look() == []


@pytest.mark.parametrize("harm", [*(one for one, _ in SEEN.values()), *(one for one, _ in HASHED.values())], ids=[*SEEN, *(f"changed {n}" for n in HASHED)])
def test_what_was_put_back_is_said_to_be_whole_only_once_it_was_read(store: Made, made: Made, harm: Callable[[Layout], object]) -> None:
    heard = Heard(store)
    harm(heard.store.layout)
    heard.look(), heard.hash(1)
    assert 1 in heard.rounds.wrong
    for file in (leaves_file, bodies_file):
        file(heard.store.layout.sealed(1)).unlink(missing_ok=True)
        shutil.copy2(file(made.layout.sealed(1)), file(heard.store.layout.sealed(1)))
    assert heard.look() == [("mended", "segment 1 is as it was sealed again")] and heard.rounds.wrong == {}


def test_a_file_that_was_away_and_came_back_changed_is_still_damaged(store: Made) -> None:
    """Its being there again is not its being whole."""
    heard = Heard(store)
    file = leaves_file(heard.store.layout.sealed(1))
    away = file.rename(store.layout.root / "away")
    assert [what for what, _ in heard.look()] == ["damaged"]
    flip(away)
    away.rename(file)
    assert heard.look() == [("damaged", "segment 1: its file is not the one that was sealed")]


def test_a_restart_forgets_no_damage(store: Made, made: Made) -> None:
    """What only reading shows too. The next start says it from the beginning, reads it first, and says when it is whole again."""
    first = Heard(store)
    first.rounds._store = store
    flip(leaves_file(store.layout.sealed(1)))
    ((_, why),) = first.hash(1)
    [known] = first.rounds.health()["damaged"]
    again = Heard(store)
    again.rounds._store = store
    with store.layout.damaged.open("a") as file:
        file.write('no line of ours\n[2, "x"]\n[999999, 5, "no such segment"]\n' + "[" * 200_000 + f'\n[1, {10**30}, "x"]\n[{10**30}, 1, "x"]\n[1, -1, "x"]\n')
    again.rounds.recall(store)
    assert again.said == [("damaged", why)] and again.rounds.health()["damaged"] == [known] and known["noticed_ns"] > 0 and known["what"] == why
    assert again.look() == [], "read again, and as bad"
    shutil.copyfile(leaves_file(made.layout.sealed(1)), leaves_file(store.layout.sealed(1)))
    third = Heard(store)
    third.rounds._store = store
    third.rounds.recall(store)
    assert third.look() == [("mended", "segment 1 is as it was sealed again")] and third.rounds.health()["damaged"] == []
    assert store.layout.damaged.read_text() == ""


def test_bodies_that_were_let_expire_are_not_missed(store: Made) -> None:
    heard = Heard(store)
    store.happened.append(["body.expire", 1, 0, 1, "ada"])
    bodies_file(heard.store.layout.sealed(1)).unlink()
    assert heard.look() == heard.hash(1) == []


def test_a_round_hashes_all_and_says_what_came_of_it(store: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its thread, in any order."""
    monkeypatch.setattr("gateway.notary.rounds._SETTLED", 0.0)
    said, ended = list[tuple[str, str]](), threading.Event()
    sealed = sum(entry[0] == "seg.seal" for entry in store.happened)
    flip(leaves_file(store.layout.sealed(1)))

    def say(what: str, why: str) -> None:
        said.append((what, why))
        if what == "checked":
            ended.set()

    rounds = Rounds(say, pace=0.0)
    rounds.watch(store)
    assert ended.wait(60)
    rounds.stop()
    assert said == [("damaged", "segment 1: its file is not the one that was sealed"), ("checked", f"{sealed} sealed segments, 1 damaged or missing")]
    assert rounds.checked_ns > 0


def remarks(store: Store | None) -> list[tuple[str, str]]:
    """What the notary noticed, in the open segment."""
    found = records(store, store.segment.number) if store is not None else []
    return [(record.get("what"), record.get("why")) for record in found if record.kind == Kind.NOTARY]


@pytest_twisted.ensureDeferred
async def test_a_notary_over_a_store_that_lost_a_segment_goes_on_and_records_that_it_did(made: Made, tmp_path: Path) -> None:
    """Refusing would not bring it back; what is recorded from now on is proved all the same. What cannot be recorded now is later."""
    folder = Path(shutil.copytree(made.layout.root.parent, tmp_path / "whole"))
    remove_both(Layout(folder / "audit"))
    rig = Rig(folder, segment_records=1000)
    await rig.journal()
    await until(lambda: ("damaged", "segment 1 was removed: it is in the ledger and not here") in remarks(rig.notary.writer.store))
    rig.notary.writer._give_up(OSError(28, "No space left on device"))
    rig.notary._remark("damaged", "segment 2 was removed")
    assert rig.notary._unsaid == [("damaged", "segment 2 was removed")]
    rig.notary.writer._thread(rig.notary.writer._open_it, "notary-opener")
    await until(lambda: ("damaged", "segment 2 was removed") in remarks(rig.notary.writer.store))
    assert rig.notary._unsaid == []
    await rig.stop()
