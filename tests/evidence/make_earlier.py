"""
A store, and a bundle of it, as the version at hand makes them: `python tests/evidence/make_earlier.py` puts them into `earlier/`
under today's date, for every later version to read. Run it when records, segments, the ledger or bundles change their form;
what is there already is never made again.
"""

from __future__ import annotations

import datetime
import json
import sys
import tarfile
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent / "notary")]

from recorded import (  # noqa: E402
    BINDING_OF_TESTS, DONE, ORIGIN, DirectView, Told, allowed, denied, export, fill, journal, new_store, seal_all, session,
)

from gateway.evidence.query import Query, Search, search  # noqa: E402
from gateway.notary import anchor, keys  # noqa: E402
from gateway.notary.record import Kind, event, pack  # noqa: E402
from gateway.notary.store import Store  # noqa: E402
from protocols.recording import Chunk, Code, Recorded  # noqa: E402

FOLDER = HERE / "earlier"


def make(folder: Path) -> None:
    """
    A sealed segment and an open one whose notary was killed; every kind of record that a session or control makes; and what a search shows of it.
    """
    store, told = new_store(folder), Told()
    fill(store, 3)
    store.commit([store.own(event(Kind.APPROVAL, "g-1", BINDING_OF_TESTS, 1 << 62, 1, "r-1"), pack([{"approvers": "grace@clinic.example"}]))])
    store.commit([store.own(event(Kind.ADMIN, "request.submitted", 1, 1), pack([{"request": "r-1", "target": "clinic", "subject": "ada"}]))])
    store.rotate("kept")
    seal_all(store)
    _session(store, told)
    export(folder, DirectView(store), folder / "bundle")
    export(folder, DirectView(store), folder / "part", Query(identity="bob@clinic.example"))
    found = search(DirectView(store), Search(Query(), keys.load(folder, ORIGIN).bodies))
    (folder / "records.jsonl").write_text("".join(f"{json.dumps(each.shown(), sort_keys=True)}\n" for each in found))
    anchor.append(folder / "kept", store.ledger.checkpoint)
    store.abandon()


def _session(store: Store, told: Told) -> None:
    book, bob, output = journal(store), session("bob@clinic.example"), b"hello \x1b[1mworld\r\n"
    book.opened(bob, {"tls": "verify"}, told)
    book.refuse(bob, 1, denied("DROP TABLE patients"))
    granted = replace(allowed("UPDATE t SET a = 'ünïcode'", b"\xff\0"), grant="g-1", request="r-1", binding=BINDING_OF_TESTS)
    book.intend(bob, 2, granted, told)
    book.flush()
    book.report(bob, 2, granted, DONE, 900)
    book.chunk(bob, Chunk(1, 0, 0, 3, ((0, Code.RESIZE, b"80x24"), (10, Code.OUTPUT, output))), told)
    book.recorded(bob, Recorded(1, 0, 3, 1, len(output), 0, 20, sha256(output).digest()), told)
    book.note(None, "login.failed", {"subject": "eve", "peer": "10.0.0.66"})
    book.flush()
    book.closed(bob, "bye")
    book.flush()


def main() -> None:
    out = FOLDER / f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "store")
        with tarfile.open(out, "x:xz") as made:
            made.add(Path(folder) / "store", "store")
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
