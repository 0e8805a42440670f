"""The file anchor: what is kept, and what it catches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.notary import anchor
from gateway.notary.merkle import leaf_hash, root_of
from gateway.notary.note import Checkpoint, NoteError, Signer

SIGNER = Signer.generate("log")
ENTRIES = [b"%d" % i for i in range(20)]


def kept(size: int, entries: list[bytes] = ENTRIES) -> str:
    return SIGNER.sign(Checkpoint("log", size, root_of(map(leaf_hash, entries[:size]))).text)


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "anchor"
    for size in (1, 5, 9):
        anchor.append(file, kept(size))
    checkpoints = anchor.parse(file.read_text(), SIGNER.verifier)
    assert [c.size for c in checkpoints] == [1, 5, 9] and anchor.check(checkpoints, ENTRIES) == 9
    assert anchor.parse(kept(7), SIGNER.verifier)[0].size == 7  # a single note is one too


@pytest.mark.parametrize("harm, said", [(Path.unlink, "removed"), (lambda file: file.write_bytes(b""), "cut short")], ids=["removed", "cut short"])
def test_what_is_taken_from_the_file_while_it_is_written_is_said_and_it_is_begun_anew(tmp_path: Path, harm: Callable[[Path], object], said: str) -> None:
    file, failed, lost = tmp_path / "anchor", list[OSError](), list[str]()
    held = anchor.FileAnchor(file, failed.append, lost.append)
    held._size = anchor.append(file, kept(1))
    held._look()
    assert lost == []
    harm(file)
    held.append(kept(5))
    held.close(30)
    assert lost == [f"anchor_file was {said} while the notary ran, and is begun anew"] and failed == []
    assert [one.size for one in anchor.newest(file, SIGNER.verifier)] == [5]


def test_a_torn_last_note_is_left_out_but_a_forged_one_is_not(tmp_path: Path) -> None:
    text = kept(1) + "\n" + kept(5) + "\n"
    for cut in (10, 40, 90):
        assert [c.size for c in anchor.parse(text[:-cut], SIGNER.verifier)] == [1]
    forged = text.replace("log\n1\n", "log\n2\n")
    with pytest.raises(NoteError):
        anchor.parse(forged, SIGNER.verifier)


def test_a_torn_note_costs_no_note_behind_it(tmp_path: Path) -> None:
    """A crash or a full disk may end a write anywhere."""
    file, whole = tmp_path / "anchor", kept(1) + "\n"
    for cut in range(1, len((kept(5) + "\n").encode())):
        file.write_bytes(whole.encode() + (kept(5) + "\n").encode()[:-cut])
        anchor.append(file, kept(9))
        assert {1, 9} <= {c.size for c in anchor.parse(file.read_text("utf-8", "replace"), SIGNER.verifier)}, cut


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, int]:
    """A file that is longer than what a start reads of it, and how many notes it has."""
    monkeypatch.setattr(anchor, "_NEWEST", 2000)
    (tmp_path / "long").write_text("".join(kept(size) + "\n" for size in range(1, 21)))
    return tmp_path / "long", 20


def test_a_start_reads_the_newest_of_a_long_file_wherever_its_reading_begins(long: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    file, size = long
    note = len(kept(size).encode()) + 1
    for room in range(anchor._NEWEST - note, anchor._NEWEST + 1):
        monkeypatch.setattr(anchor, "_NEWEST", room)
        found = [c.size for c in anchor.newest(file, SIGNER.verifier)]
        assert found == list(range(size - len(found) + 1, size + 1)) and room // note - 2 <= len(found) < size


def test_a_forged_checkpoint_among_the_newest_stops_a_start(long: tuple[Path, int], tmp_path: Path) -> None:
    """An older one is found by `verify`, which reads all."""
    text, (_, size) = long[0].read_text(), long
    for forged, found_at_start in ((size - 3, True), (2, False)):
        (tmp_path / "anchor").write_text(text.replace(f"log\n{forged}\n", f"log\n{size + 7}\n"))
        with pytest.raises(NoteError):
            anchor.parse((tmp_path / "anchor").read_text(), SIGNER.verifier)
        if found_at_start:
            with pytest.raises(NoteError):
                anchor.newest(tmp_path / "anchor", SIGNER.verifier)
        else:
            assert anchor.newest(tmp_path / "anchor", SIGNER.verifier)[-1].size == size


def test_rollback_and_fork_are_told_apart() -> None:
    checkpoints = anchor.parse(kept(9), SIGNER.verifier)
    with pytest.raises(anchor.AnchorMismatch, match="rolled back"):
        anchor.check(checkpoints, ENTRIES[:8])
    with pytest.raises(anchor.AnchorMismatch, match="forked"):
        anchor.check(checkpoints, [b"other", *ENTRIES[1:]])
    assert anchor.check([], ENTRIES) == 0


def test_the_writer_of_anchors_reports_failure_and_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    failures: list[OSError] = []
    writer = anchor.FileAnchor(blocked / "anchor", failures.append, failures.append)
    writer.append(kept(1))
    writer.append(kept(2))
    writer.close()
    assert len(failures) == 2
    writer = anchor.FileAnchor(tmp_path / "anchor", failures.append, failures.append)
    writer.append(kept(3))
    writer.close()
    assert anchor.parse((tmp_path / "anchor").read_text(), SIGNER.verifier)[0].size == 3


def test_that_an_anchor_is_written_again_is_said_once(tmp_path: Path) -> None:
    """After a failure, not after each checkpoint; else nobody knows whether the trouble that was said is over."""
    blocked, said = tmp_path / "disk", list[str]()
    blocked.write_text("")
    failed = threading.Event()
    writer = anchor.FileAnchor(blocked / "anchor", lambda e: failed.set(), said.append, lambda: said.append("written"))
    writer.append(kept(1))
    assert failed.wait(30)
    blocked.unlink()
    writer.append(kept(5))
    writer.append(kept(9))
    writer.close(30)
    assert said == ["written"] and writer.trouble is None
