"""`ostiary audit export --what-is-left`: of a damaged store the rest, and whoever verifies it hears what was lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded import ORIGIN, DirectView, fill, new_store, seal_all, session
from test_missing import changed_body, damage, remove_bodies, remove_segment

from gateway.cli.main import main
from gateway.evidence import bundle, standalone
from gateway.evidence.order import Chosen
from gateway.evidence.query import Query, Search, search
from gateway.notary import keys
from gateway.notary.layout import Layout
from gateway.notary.seal import bodies_file, leaves_file

ADA, BOB = "ada@clinic.example", "bob@clinic.example"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ada's records in the first segments, Bob's in later ones, all sealed; and checkpoints that an auditor kept."""
    folder = tmp_path_factory.mktemp("whole")
    for subject in (ADA, BOB):
        store = new_store(folder, segment_records=8)
        fill(store, 4, session(subject))
        seal_all(store)
        checkpoint = store.ledger.checkpoint
        store.close()
    auditors(folder).mkdir()
    (auditors(folder) / "anchor").write_text(checkpoint)
    return folder


def auditors(whole: Path) -> Path:
    """What she keeps lies elsewhere."""
    return whole.with_name(f"{whole.name}-auditor")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole / "audit", tmp_path / "copy" / "audit")).parent


def cut(file: Path) -> None:
    file.chmod(0o600)
    with open(file, "r+b") as opened:
        opened.truncate(8192)


def ostiary(whole: Path, folder: Path, *words: str) -> Result:
    where = ["--store", str(folder / "audit"), "--state", str(whole)]
    return CliRunner().invoke(main, ["audit", "export", "--out", str(folder / "bundle"), *words, *where], catch_exceptions=False)


def verdict(whole: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = standalone.main([str(folder / "bundle"), "--key", str(whole / keys.FOLDER / keys.PUBLIC), "--anchor", str(auditors(whole) / "anchor")])
    return code, capsys.readouterr().out


HARMS: dict[str, tuple[Callable[[Path], object], str, bool, bool]] = {  #: what is done, what is said; whether records of the segment are left, and bodies
    "removed": (lambda folder: remove_segment(Layout(folder / "audit")), "segment 1 was removed", False, False),
    "leaves damaged": (lambda folder: damage(leaves_file(Layout(folder / "audit").sealed(1))), "segment 1: ", False, False),
    "leaves cut": (lambda folder: cut(leaves_file(Layout(folder / "audit").sealed(1))), "segment 1: truncated", False, False),
    "bodies removed": (lambda folder: remove_bodies(Layout(folder / "audit")), "bodies were removed", True, False),
    "bodies cut": (lambda folder: cut(bodies_file(Layout(folder / "audit").sealed(1))), "segment 1: truncated", True, False),
    "a body changed": (changed_body, "segment 1: the body of record ", True, True),
}


@pytest.mark.parametrize("name", HARMS)
def test_the_rest_of_a_damaged_store_is_handed_out_and_is_never_sound(whole: Path, folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """What can be proved is, with the bodies that are there; the bundle says what is missing, and so does its verifier, with 2."""
    harm, said, records, bodies = HARMS[name]
    harm(folder)
    refused = ostiary(whole, folder)
    assert refused.exit_code == 1 and not (folder / "bundle").exists()
    made = ostiary(whole, folder, "--what-is-left", "--json")
    assert made.exit_code == 0 and f"MISSING: {json.loads(made.stdout)['missing']['1']}\n" in made.stderr, made.stderr
    told = json.loads((folder / "bundle" / "MANIFEST.json").read_text())["missing"]
    assert list(told) == ["1"] and said in told["1"]
    lines = [json.loads(line) for line in (folder / "bundle" / "readable" / "records.jsonl").read_text().splitlines()]
    first = [line for line in lines if line["segment"] == 1]
    assert (bool(first), any("body" in line for line in first)) == (records, bodies)
    assert BOB in {line.get("body", {}).get("identity") for line in lines}
    code, text = verdict(whole, folder, capsys)
    assert code == 2 and f"INCOMPLETE: the store had lost a part of segment 1 when this was exported, which is only claimed, by MANIFEST.json: {told['1']}" in text, text
    assert "TAMPERED" not in text and "SOUND, but incomplete" in text


def test_of_a_sound_store_what_is_left_is_all_of_it(whole: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ostiary(whole, folder, "--what-is-left").exit_code == 0
    assert "missing" not in json.loads((folder / "bundle" / "MANIFEST.json").read_text())
    assert verdict(whole, folder, capsys)[0] == 0


@pytest.mark.parametrize(("claimed", "code", "finding"), [
    ({"1": "segment 1 was removed"}, 2, "lost a part of segment 1 when this was exported, as the log recorded: segment 1 was removed"),
    ({}, 1, "MANIFEST.json says that a part was lost of no segment, the log's record of this export says segment 1"),
    ({"1": "segment 1 was removed", "2": "too"}, 1, "MANIFEST.json says that a part was lost of segment 1, 2, the log's record of this export says segment 1"),
    ({"1": 7}, 1, "MANIFEST.json is malformed: missing holds what is no segment and a text"),
    ({"99": "none"}, 1, "MANIFEST.json says that a part was lost of segment 99, the log's record of this export says segment 1"),
], ids=["as recorded", "hidden", "more", "malformed", "no segment"])  # fmt: skip
def test_what_was_lost_is_what_the_log_recorded_of_the_export(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], claimed: dict[str, object], code: int, finding: str
) -> None:
    """On a live store nobody who hands a bundle on can say that more had been lost, or less."""
    folder = Path(shutil.copytree(whole, tmp_path / "live"))
    remove_segment(Layout(folder / "audit"))
    store = new_store(folder)
    view, bodies, missing = DirectView(store), keys.load(folder, ORIGIN).bodies, {1: "segment 1 was removed"}
    upto = view.end()
    chosen = Chosen.of(search(view, Search(Query(), bodies), sorted(view.present() - {1}), upto=upto))
    chosen.ordered(view, bodies, {"by": "ada", "out": "bundle", **chosen.facts(upto, {}, missing)}, upto)
    bundle.export(view, keys.load_public(folder), chosen, bodies, {}, folder / "bundle", missing=missing)
    store.close()
    manifest = folder / "bundle" / "MANIFEST.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "missing": claimed} if claimed else {name: value for name, value in told.items() if name != "missing"}))
    found, text = verdict(whole, folder, capsys)
    assert (found, finding in text) == (code, True), text
