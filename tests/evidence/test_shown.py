"""`--text` finds what was on a screen, in the chunk that brought it there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent.parent / "terminal"), str(Path(__file__).parent.parent / "notary")]

from recorded import new_store  # noqa: E402
from theatre import Stage  # noqa: E402

from gateway.evidence.query import Query, Search, search  # noqa: E402
from gateway.evidence.shown import KEPT, Shown  # noqa: E402
from gateway.evidence.view import StoppedView  # noqa: E402
from gateway.notary import keys  # noqa: E402

Chunks = list[list[tuple[str, bytes]]]

LOOKS: dict[str, tuple[str, Chunks, list[int]]] = {
    "plainly, in any case": ("Secret", [[("o", b"nothing")], [("o", b"a SECRET\r\n")], [("o", b"more")]], [1]),
    "in two colours": ("secret", [[("o", b"se\x1b[31mcr\x1b[0met")]], [0]),
    "across two chunks": ("secret", [[("o", b"sec")], [("o", b"ret")], [("o", b".")]], [1]),
    "across two chunks, inside a letter": ("groß", [[("o", b"gro\xc3")], [("o", b"\x9f")]], [1]),
    "written from right to left": ("secret", [[("o", b"\x1b[1;4Hret\x1b[1;1H")], [("o", b"sec")]], [1]),
    "wrapped at the edge": ("secret", [[("r", b"10x5"), ("o", b"12345678secret")]], [0]),
    "gone again in the same chunk": ("secret", [[("o", b"secret\x1b[2J\x1b[H")]], [0]),
    "scrolled away": ("secret", [[("o", b"sec\x1b[1mret\r\n" + b"x\r\n" * 50)]], [0]),
    "typed": ("secret", [[("i", b"sec"), ("i", b"ret\r")]], [0]),
    "not a title": ("secret", [[("o", b"\x1b]0;secret\x07")]], []),
    "there already, and something else is written": ("secret", [[("o", b"secret\r\n")], [("o", b"else")]], [0]),
}


@pytest.mark.parametrize("text, chunks, wanted", LOOKS.values(), ids=LOOKS)
def test_what_was_shown_is_found(text: str, chunks: Chunks, wanted: list[int]) -> None:
    """In the chunk that brought it, and in no other."""
    shown = Shown(text)
    found = [shown.feed(b"s", 1, n, [(0, *event) for event in events]) for n, events in enumerate(chunks)]
    assert [n for n, is_there in enumerate(found) if is_there] == wanted


def test_many_recordings_at_once_are_kept_apart_and_bounded() -> None:
    """What one shows is not another's; who was quiet longest is forgotten."""
    shown = Shown("secret")
    for recording in range(KEPT + 5):
        assert not shown.feed(b"s", recording, 0, [(0, "o", b"sec")])
    assert shown.feed(b"s", KEPT + 4, 1, [(0, "o", b"ret")])
    assert not shown.feed(b"s", 0, 1, [(0, "o", b"ret")])
    assert len(shown._terminals) <= KEPT


def test_a_search_finds_screens_and_respects_other_filters(tmp_path: Path) -> None:
    """The bodies are encrypted: without the key nothing is found."""
    store = new_store(tmp_path)
    stages = [Stage(store), Stage(store)]
    for stage in stages:
        stage.tape()
        stage.outputs(b"the \x1b[1mpat")
        stage.outputs(b"ient\x1b[m is Ann\r\n")
        stage.outputs(b"bye")
        stage.ends()
    store.close()
    bodies = keys.load(tmp_path, "test-gw").bodies
    view = StoppedView(tmp_path / "audit")

    def found(opened: bool = True, **filters: str) -> list[tuple[str, int]]:
        matches = search(view, Search(Query(text="THE PATIENT IS", **filters), bodies if opened else None))
        return [(str(f.shown()["session"]), f.shown()["fields"]["chunk"]) for f in matches]

    assert found() == [(stage.session.id, 1) for stage in stages]
    assert found(session=stages[1].session.id) == [(stages[1].session.id, 1)]
    assert found(kind="intent") == found(opened=False) == []
    view.close()
