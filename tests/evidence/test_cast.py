"""Recordings as asciicast: they play, they show what was shown, and the bundle's verifier makes them again from the proven chunks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).parent.parent / "terminal"), str(Path(__file__).parent.parent / "notary")]

from auditor import verifier  # noqa: E402
from programs import EDITOR, Program  # noqa: E402
from recorded import export, new_store  # noqa: E402
from test_bundle import edit, key, remanifest, run  # noqa: E402
from theatre import Stage  # noqa: E402

from gateway.evidence import bundle  # noqa: E402
from gateway.evidence.cast import FORMATS, Recording, cast  # noqa: E402
from gateway.evidence.order import Chosen  # noqa: E402
from gateway.evidence.query import Query, Search, search  # noqa: E402
from gateway.evidence.view import StoppedView  # noqa: E402
from gateway.notary import keys  # noqa: E402
from protocols.recording import CHUNK_LIMIT, Code, Input, Settings  # noqa: E402
from protocols.screen import Screen  # noqa: E402

ASCIINEMA = str(Path(sys.executable).parent / "asciinema")

PLAYS = {
    "bash": (["bash", "--norc"], [b"echo gr\xc3\xbc\xc3\x9fe\r", b"seq 40\r", (100, 30), b"printf '\\033[1mbold\\n'\r", b"exit\r"]),
    "an editor": ([EDITOR, "-u", "NONE", "-N"], [b"iline one\x1b", b"yy5p", b":set number\r", (60, 12), b"ggdd", b":q!\r"]),
}


@pytest.fixture(scope="module", params=PLAYS)
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Stage, bytes]:
    """The store's folder, the session, and what was seen."""
    folder = tmp_path_factory.mktemp("played")
    store = new_store(folder)
    stage = Stage(store)
    words, pressed = PLAYS[request.param]
    shown = stage.plays(words, folder, pressed, Settings(input=Input.ECHOED))
    store.close()
    return folder, stage, shown


def exported(folder: Path, out: Path, form: str, query: Query = Query()) -> Path:
    view = StoppedView(folder / "audit")
    try:
        export(folder, view, out, query, form)
    finally:
        view.close()
    return out


def replayed(file: Path) -> dict[int, list[list[str]]]:
    """From the cast alone: what the screen is when so many bytes were shown; a window's size may change meanwhile."""
    head, *lines = map(json.loads, file.read_text().splitlines())
    screen = Screen(*((head["width"], head["height"]) if head["version"] == 2 else (head["term"]["cols"], head["term"]["rows"])))
    count, screens = 0, defaultdict(list)
    for _, code, text in lines:
        if code == "o":
            screen.feed(text.encode())
            count += len(text.encode())
        elif code == "r":
            screen.resize(*map(int, text.split("x")))
        screens[count].append(screen.display())
    return screens


@pytest.mark.parametrize("form", FORMATS)
def test_a_recording_replays_to_the_screen_that_was_live(played: tuple[Path, Stage, bytes], tmp_path: Path, form: str) -> None:
    """Byte for byte what was seen, at the same sizes; and the bundle proves it."""
    folder, stage, shown = played
    out = exported(folder, tmp_path / "out", form)
    (file,) = (out / "readable" / "sessions").iterdir()
    assert file.name == f"{stage.session.id}-1.cast"
    lines = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert "".join(text for _, code, text in lines if code == "o").encode() == shown
    screens = replayed(file)
    assert len(stage.moments) > 4 and len({*map(tuple, map(lambda moment: moment[1], stage.moments))}) > 3
    for count, live in stage.moments:
        assert live in screens[count]
    code, text = run(out, "--key", key(folder))
    assert code == 0 and f"recording 1 of session {stage.session.id}: complete" in text, text


def test_asciinema_plays_it(played: tuple[Path, Stage, bytes], tmp_path: Path) -> None:
    """To the last byte, in a terminal of its own."""
    folder, _, shown = played
    (file,) = (exported(folder, tmp_path / "out", "asciicast") / "readable" / "sessions").iterdir()
    ran = subprocess.run([ASCIINEMA, "cat", str(file)], capture_output=True, check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert ran.stdout == shown
    with Program([ASCIINEMA, "play", "-i", "0.01", "-s", "100", str(file)], tmp_path, HOME=str(tmp_path)) as player:
        player.until(shown[-20:].splitlines()[-1])


def test_times_are_those_of_the_keys(played: tuple[Path, Stage, bytes], tmp_path: Path) -> None:
    """Version 2 counts from the beginning, version 3 from the event before."""
    folder, *_ = played
    at = {}
    for form in FORMATS:
        (file,) = (exported(folder, tmp_path / form, form) / "readable" / "sessions").iterdir()
        at[form] = [json.loads(line)[0] for line in file.read_text().splitlines()[1:]]
    assert sum(at["asciicast-v3"]) == pytest.approx(at["asciicast"][-1]) and at["asciicast"] == sorted(at["asciicast"])
    assert 3 <= at["asciicast"][-1] <= 6


@pytest.mark.parametrize("attack, why", [
    (lambda f: edit(next((f / "readable/sessions").iterdir()).relative_to(f).as_posix(), b'"o", "', b'"o", "x')(f), "does not follow"),
    (lambda f: next((f / "readable/sessions").iterdir()).unlink(), "is missing"),
    (lambda f: (f / "readable/sessions/made-up-1.cast").write_text("{}\n"), "does not follow"),
], ids=["a word of the screen", "gone", "added"])
def test_a_doctored_recording_is_found(played: tuple[Path, Stage, bytes], tmp_path: Path, attack: object, why: str) -> None:
    """Also with a manifest that agrees."""
    folder, *_ = played
    out = exported(folder, tmp_path / "out", "asciicast")
    attack(out)  # type: ignore[operator]
    remanifest(out)
    code, text = run(out, "--key", key(folder))
    assert code == 1 and why in text, text


def test_a_missing_chunk_is_told(tmp_path: Path) -> None:
    """A query may leave it out; the verifier says so."""
    store = new_store(tmp_path)
    stage = Stage(store)
    stage.tape()
    for n in range(5):
        stage.outputs(b"line %d\r\n" % n)
        stage.clock.advance(1)
    stage.ends()
    store.close()
    view = StoppedView(tmp_path / "audit")
    bodies = keys.load(tmp_path, "test-gw").bodies
    found = [f for f in search(view, Search(Query(), bodies)) if not f.shown()["fields"].get("chunk") == 2]
    bundle.export(view, keys.load_public(tmp_path), Chosen.of(found), bodies, {"text": "some"}, tmp_path / "out", "asciicast")
    view.close()
    code, text = run(tmp_path / "out", "--key", key(tmp_path))
    assert code == 2 and "INCOMPLETE, without chunk 2 of 5" in text


EVENTS = st.lists(st.tuples(st.integers(0, 5_000_000), st.sampled_from([c.value for c in Code if c is not Code.RESIZE]), st.binary(max_size=9)))


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine making examples may take as long as it likes
@given(EVENTS, st.sampled_from([2, 3]))
def test_the_verifier_s_rules_are_the_product_s(events: list[tuple[int, str, bytes]], version: int) -> None:
    """Two copies on purpose: whatever bytes came, both make the same file of them, and it is JSON."""
    events = [(0, "r", b"80x24"), *sorted(events, key=lambda e: e[0]), (5_000_000, "r", b"81x25")]
    recording = Recording(bytes(16), 1, 1_700_000_000_000_000_000)
    recording.add(0, recording.time_ns, events)
    ours = cast(recording, version)
    assert verifier.cast([list(event) for event in events], recording.time_ns, version) == ours
    assert all(json.loads(line) for line in ours.split("\n")[:-1])
    assert verifier.CASTS == FORMATS


def test_a_large_output_is_many_chunks_and_one_recording(tmp_path: Path) -> None:
    """In order, whatever the size."""
    store = new_store(tmp_path)
    stage = Stage(store)
    stage.tape()
    text = "".join(f"line {n} ünï\r\n" for n in range(20_000)).encode()
    stage.outputs(text)
    stage.ends()
    store.close()
    assert b"".join(stage.shown) == text and len(text) > 5 * CHUNK_LIMIT
    out = exported(tmp_path, tmp_path / "out", "asciicast")
    (file,) = (out / "readable" / "sessions").iterdir()
    assert "".join(json.loads(line)[2] for line in file.read_text().splitlines()[1:]).encode() == text
    assert run(out, "--key", key(tmp_path))[0] == 0
    shutil.rmtree(out)


def test_a_terminal_without_a_size_plays_in_the_usual_one() -> None:
    """Some clients say 0x0; a player would refuse it."""
    recording = Recording(bytes(16), 1, 1_700_000_000_000_000_000)
    recording.add(0, recording.time_ns, [(0, "r", b"0x0"), (1, "o", b"hello")])
    made = cast(recording, 2)
    assert json.loads(made.splitlines()[0])["width"] == 80
    assert made == verifier.cast([[0, "r", b"0x0"], [1, "o", b"hello"]], recording.time_ns, 2)
