"""One segment and the ledger: what a commit puts on disk, and what reads it back."""

from __future__ import annotations

import threading
from pathlib import Path

import lmdb
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.notary import environment, ledger
from gateway.notary.ledger import Ledger, LedgerError
from gateway.notary.merkle import leaf_hash, root_of
from gateway.notary.note import Checkpoint, Signer
from gateway.notary.record import pack
from gateway.notary.segment import SealedSegment, Segment, origin_of, reserve

SIZE = 8 << 20


def segment(folder: Path, size: int = SIZE) -> Segment:
    reserve(folder / "s", size)
    return Segment(folder / "s", 4, "log", size)


def test_every_commit_is_covered_by_a_signed_head(tmp_path: Path) -> None:
    """Read by another process's eyes after each commit: records and head agree, always."""
    one = segment(tmp_path)
    leaves: list[bytes] = []
    for count in (1, 3, 1, 500):
        rows = [(b"leaf %d" % (len(leaves) + i), b"body" if i % 2 else None) for i in range(count)]
        one.commit(rows)
        leaves += [leaf for leaf, _ in rows]
        page = one.page(0, 1 << 30)
        head = Checkpoint.parse(one.signer.verifier.open(page.head))
        assert head == Checkpoint(origin_of("log", 4), len(leaves), root_of(map(leaf_hash, leaves)))
        assert [leaf for _, leaf, _ in page.rows] == leaves
    one.close()
    assert one.page(0, 10).rows == []


def test_pages_are_short_and_follow_one_another(tmp_path: Path) -> None:
    one = segment(tmp_path)
    one.commit([(b"%04d" % i, b"b" * 100) for i in range(1000)])
    start, seen = 0, []
    while rows := one.page(start, 5000).rows:
        assert len(rows) <= 50
        seen += rows
        start = rows[-1][0] + 1
    assert [index for index, _, _ in seen] == list(range(1000)) and {body for _, _, body in seen} == {b"b" * 100}
    one.close()


def test_readers_in_other_threads_see_whole_commits_only(tmp_path: Path) -> None:
    one = segment(tmp_path)
    one.commit([(b"first", None)])
    wrong: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            page = one.page(0, 1 << 30)
            size = Checkpoint.parse(one.signer.verifier.open(page.head)).size
            if len(page.rows) != size:
                wrong.append(size)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        one.commit([(b"%d" % number, b"x" * 50)] * 3)
    done.set()
    reader.join()
    one.close()
    assert not wrong


def test_a_commit_that_does_not_fit_leaves_the_segment_as_it_was(tmp_path: Path) -> None:
    one = segment(tmp_path, 1 << 20)
    one.commit([(b"kept", None)])
    root = one.root
    with pytest.raises(lmdb.MapFullError):
        one.commit([(b"too much", bytes(2 << 20))])
    assert (one.size, one.root) == (1, root) and len(one.page(0, 1 << 20).rows) == 1
    one.close()


def test_each_segment_has_a_key_of_its_own_that_is_not_on_disk(tmp_path: Path) -> None:
    one = segment(tmp_path)
    one.commit([(b"leaf", None)])
    private = seed(one.signer)
    one.close()
    assert private not in (tmp_path / "s" / "data.mdb").read_bytes()
    (tmp_path / "other").mkdir()
    two = segment(tmp_path / "other")
    assert two.signer.public != one.signer.public
    two.close()


@pytest.mark.parametrize("secret", [bytearray(range(64)), None], ids=["libsodium's", "OpenSSL's"])
def test_a_closed_segments_key_is_gone_from_memory(tmp_path: Path, secret: bytearray | None) -> None:
    one = segment(tmp_path)
    one.signer = Signer("log", secret or Ed25519PrivateKey.generate())
    one.close()
    assert one.signer._private is one.signer._signature is None and secret in (None, bytearray(64))


def seed(signer: Signer) -> bytes:
    """Whichever library signs."""
    private = signer._private
    return bytes(private[:32]) if isinstance(private, bytearray) else private.private_bytes_raw()


def test_bodies_may_be_gone_where_leaves_are_not(tmp_path: Path) -> None:
    env = environment.create_compact(tmp_path / "leaves.mdb", SIZE)
    with env.begin(write=True) as txn:
        txn.put(b"r" + bytes(8) + b"\0", b"leaf")
    env.close()
    sealed = SealedSegment(tmp_path / "leaves.mdb", tmp_path / "no-bodies.mdb")
    assert sealed.page(0, 100).rows == [(0, b"leaf", None)]
    sealed.close()


SIGNER = Signer.generate("log")


def test_a_ledger_grows_and_is_read_back(tmp_path: Path) -> None:
    book = Ledger.create(tmp_path / "l", SIGNER, 7)
    book.append([["head", 8, 0, 1, 5, bytes(32)], ["seg.close", 9, 0, 1, 5, bytes(32), "test"]])
    entries, checkpoint = book.page(0, 10)
    assert ledger.check(entries, checkpoint, SIGNER.verifier).size == 3 == book.size
    assert book.page(1, 1)[0] == entries[1:2] and book.page(2, 10)[0] == entries[2:] and book.page(3, 10) == ([], checkpoint)
    assert (tmp_path / "l" / "checkpoint").read_text() == checkpoint
    root = book.root
    book.close()
    again = Ledger(tmp_path / "l", SIGNER)
    assert again.root == root and ledger.named(again.events[-1])["reason"] == "test"
    again.close()


def test_a_ledger_of_another_identity_is_not_opened(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "l", SIGNER, 7).close()
    with pytest.raises(LedgerError, match="trusted key"):
        Ledger(tmp_path / "l", Signer.generate("log"))


def test_what_a_ledger_must_begin_with() -> None:
    """A valid signature over entries without our genesis is no ledger of ours."""
    entries = [pack(["genesis", 1, "log", "another+key", 1])]
    note = SIGNER.sign(Checkpoint("log", 1, root_of(map(leaf_hash, entries))).text)
    with pytest.raises(LedgerError, match="genesis"):
        ledger.check(entries, note, SIGNER.verifier)
    with pytest.raises(LedgerError, match="1 entries, 0"):
        ledger.check([], note, SIGNER.verifier)


def test_the_ledgers_room_is_written_ahead(tmp_path: Path) -> None:
    """So that a rotation into a reserved segment does not fail for one ledger entry on a full disk."""
    book = Ledger.create(tmp_path / "l", SIGNER, 7)
    stat = (tmp_path / "l" / "data.mdb").stat()
    assert stat.st_blocks * 512 >= 1 << 20
    for number in range(3000):
        book.append([["head", number, 0, 1, 5, bytes(900)]])
        assert (tmp_path / "l" / "data.mdb").stat().st_size >= stat.st_size
        if number > 300:
            break
    book.close()
    environment.check(tmp_path / "l" / "data.mdb")
    Ledger(tmp_path / "l", SIGNER).close()
