"""`ostiary audit tail -f` over what may become of a notary: it waits, says so, and leaves nothing out."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_twisted
from recorded import Told, allowed, fill, new_store, session
from test_notary_process import Rig, short, until
from twisted.internet.threads import deferToThread

from gateway.cli import following
from gateway.cli.following import Following, behind
from gateway.evidence.query import Found, Query, Search
from gateway.evidence.view import StoppedView, View
from gateway.notary.record import Kind

__all__ = ["short"]


class Enough(Exception):
    """Ends a following; people press Ctrl-C."""


class Heard:
    """What a follower was told, from another thread."""

    def __init__(self, store: Path, start: tuple[int, int]) -> None:
        self.seen: list[int] = []
        self.said: list[str] = []
        self.began = 0
        self.ends = threading.Event()
        self.follower = Following(store, Search(Query(kind="intent"), None), start, self.show, self.said.append, self.begin, told=False)

    def show(self, found: Found) -> None:
        self.seen.append(found.record.get("command"))
        if self.ends.is_set():
            raise Enough

    def begin(self, view: View) -> None:
        self.began += 1
        assert view.record_viewing("viewed", {"by": "ada", "how": "tail"})

    def run(self) -> None:
        with pytest.raises(Enough):
            self.follower.run()


@pytest_twisted.ensureDeferred
async def test_following_goes_on_over_a_stopped_a_refusing_and_a_restarted_notary(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason is said once, then that it is over; every record comes once; each notary records that somebody looks."""
    monkeypatch.setattr(following, "BEAT", 0.02)
    store = new_store(short)
    fill(store, 1)
    store.close()
    view = StoppedView(short / "audit")
    start = behind(view)
    view.close()
    heard = Heard(short / "audit", start)
    running = deferToThread(heard.run)
    await until(lambda: any(said.endswith("; waiting") for said in heard.said))
    rig = Rig(short)

    async def record(number: int) -> None:
        book = await rig.journal()
        book.intend(session(), number, allowed("SELECT 1"), Told())
        book.flush()

    rig.notary.listen(short / "n.sock")
    await record(1)
    await until(lambda: heard.seen == [1])
    assert heard.said[-1] == "the notary records again" and heard.began == 1
    rig.notary.writer._give_up(OSError(28, "No space left on device", "/evidence"))
    await until(lambda: heard.said[-1] == "the notary: /evidence: No space left on device; waiting")
    rig.notary.writer._thread(rig.notary.writer._open_it, "notary-opener")
    await until(lambda: heard.said[-1] == "the notary records again")
    await record(2)
    await until(lambda: heard.seen == [1, 2])
    await rig.stop()
    await until(lambda: heard.said[-1].endswith("; waiting"))
    rig.start()
    rig.notary.listen(short / "n.sock")
    await record(3)
    await until(lambda: heard.seen == [1, 2, 3])
    heard.ends.set()
    await record(4)
    await running
    found = [record.get("what") for record in await rig.records() if record.kind == Kind.ADMIN]
    assert found == ["viewed"] * 3 and heard.seen == [1, 2, 3, 4] and heard.began == 3
    assert all(one != other for one, other in pairwise(heard.said)) and heard.said.count("the notary records again") == 3, heard.said
