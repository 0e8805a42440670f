"""The file anchor: what is kept, and what it catches."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.notary import anchor
from gateway.notary.merkle import leaf_hash, root_of
from gateway.notary.note import Checkpoint, NoteError, Signer

SIGNER = Signer.generate("log")
HASHES = [leaf_hash(b"%d" % i) for i in range(20)]


def kept(size: int, hashes: list[bytes] = HASHES) -> str:
    return SIGNER.sign(Checkpoint("log", size, root_of(hashes[:size])).text)


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "anchor"
    for size in (1, 5, 9):
        anchor.append(file, kept(size))
    checkpoints = anchor.parse(file.read_text(), SIGNER.verifier)
    assert [c.size for c in checkpoints] == [1, 5, 9] and anchor.check(checkpoints, HASHES) == 9
    assert anchor.parse(kept(7), SIGNER.verifier)[0].size == 7  # a single note is one too


def test_a_torn_last_note_is_left_out_but_a_forged_one_is_not(tmp_path: Path) -> None:
    text = kept(1) + "\n" + kept(5) + "\n"
    for cut in (10, 40, 90):
        assert [c.size for c in anchor.parse(text[:-cut], SIGNER.verifier)] == [1]
    forged = text.replace("log\n1\n", "log\n2\n")
    with pytest.raises(NoteError):
        anchor.parse(forged, SIGNER.verifier)


def test_rollback_and_fork_are_told_apart() -> None:
    checkpoints = anchor.parse(kept(9), SIGNER.verifier)
    with pytest.raises(anchor.AnchorMismatch, match="rolled back"):
        anchor.check(checkpoints, HASHES[:8])
    with pytest.raises(anchor.AnchorMismatch, match="forked"):
        anchor.check(checkpoints, [leaf_hash(b"other"), *HASHES[1:]])
    assert anchor.check([], HASHES) == 0


def test_the_writer_of_anchors_reports_failure_and_goes_on(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    failures: list[OSError] = []
    writer = anchor.FileAnchor(blocked / "anchor", failures.append)
    writer.append(kept(1))
    writer.append(kept(2))
    writer.close()
    assert len(failures) == 2
    writer = anchor.FileAnchor(tmp_path / "anchor", failures.append)
    writer.append(kept(3))
    writer.close()
    assert anchor.parse((tmp_path / "anchor").read_text(), SIGNER.verifier)[0].size == 3
