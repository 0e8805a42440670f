"""Bundles: what is exported verifies with plain Python alone, and every change of it is found."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from struct import pack

import pytest
from auditor import verifier
from recorded import DirectView, Told, allowed, denied, export, fill, journal, new_store, seal_all, session

from gateway.evidence import bundle, standalone
from gateway.evidence.query import Query
from gateway.evidence.readable import canonical
from gateway.evidence.view import StoppedView
from gateway.notary import anchor, keys
from gateway.notary.merkle import leaf_hash
from gateway.notary.note import Checkpoint
from gateway.notary.record import BODY_FIELDS, FIELDS, VERDICTS, Kind

OTHERS = [str(path) for path in Path.home().glob(".pyenv/versions/3.[89]*/bin/python")] + ["/usr/bin/python3"]
PYTHONS = [sys.executable, *(path for path in OTHERS if Path(path).exists())]
"""Ours, and whatever else this machine has; 3.8 is the oldest that must do."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Ada and Bob in two segments, the first sealed; the second is large, so that proofs are worth their room.
    And two bundles of it, made while it was written: of all, and of Bob.
    """
    made = tmp_path_factory.mktemp("store")
    store = new_store(made)
    fill(store, 5)
    store.rotate("test")
    seal_all(store)
    fill(store, 60)
    told, book, bob = Told(), journal(store), session("bob@clinic.example")
    book.opened(bob, {}, told)
    book.refuse(bob, 1, denied("DROP TABLE patients\x1b[2J"))
    book.intend(bob, 2, allowed("SELECT 'ünïcode \U0001f600'", "ä".encode(), b"\xff\x00"), told)
    book.closed(bob, "bye")
    book.flush()
    export(made, DirectView(store), made / "whole")
    export(made, DirectView(store), made / "bobs", Query(identity="bob@clinic.example"))
    anchor.append(auditors(made) / "anchor", store.ledger.checkpoint)
    store.close()
    anchor.append(auditors(made) / "later", store.ledger.checkpoint)
    return made


def auditors(folder: Path) -> Path:
    """Where somebody else keeps checkpoints."""
    there = folder.with_name(f"{folder.name}-auditor")
    there.mkdir(exist_ok=True)
    return there


def exported(folder: Path, out: Path, query: Query = Query()) -> Path:
    view = StoppedView(folder / "audit")
    try:
        export(folder, view, out, query)
    finally:
        view.close()
    return out


@pytest.fixture(scope="module")
def whole(folder: Path) -> Path:
    return folder / "whole"


@pytest.fixture(scope="module")
def bobs(folder: Path) -> Path:
    return folder / "bobs"


def run(bundle_folder: Path, *options: str, python: str = sys.executable) -> tuple[int, str]:
    """The bundle's own verifier, isolated from everything installed."""
    ran = subprocess.run(
        [python, "-I", "-S", str(bundle_folder / "verify.py"), *options],
        capture_output=True, text=True, check=False, cwd="/",
    )
    return ran.returncode, ran.stdout + ran.stderr


def key(folder: Path) -> str:
    return str(keys.load_public(folder))


@pytest.mark.parametrize("python", PYTHONS)
def test_a_bundle_verifies_with_plain_python_and_the_key(folder: Path, whole: Path, bobs: Path, python: str) -> None:
    for one in (whole, bobs):
        code, text = run(one, "--key", key(folder), "--anchor", str(auditors(folder) / "anchor"), python=python)
        assert code == 0 and "SOUND" in text, text


def test_few_matches_come_with_proofs_and_many_with_all_hashes(whole: Path, bobs: Path) -> None:
    assert (bobs / "segments" / "2" / "proofs.bin").exists() and not (bobs / "segments" / "1").exists()
    assert (whole / "segments" / "2" / "level0.bin").exists()


def test_without_the_key_it_is_self_consistent_only(whole: Path) -> None:
    code, text = run(whole)
    assert code == 2 and "SELF-CONSISTENT ONLY" in text


def test_the_key_comes_from_a_file_too_and_nonsense_is_usage(folder: Path, whole: Path) -> None:
    assert run(whole, "--key", str(folder / keys.FOLDER / keys.PUBLIC))[0] == 0
    assert run(whole, "--key", "nonsense")[0] == 3
    assert run(whole, "--no-such-option")[0] == 3


def test_another_logs_key_refuses_it(whole: Path, tmp_path: Path) -> None:
    other = keys.create(tmp_path, "test-gw").identity.verifier
    code, text = run(whole, "--key", str(other))
    assert code == 1 and "no good signature" in text


def test_the_same_store_and_query_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    whole, again = exported(folder, tmp_path / "whole"), exported(folder, tmp_path / "again")
    files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    assert all((whole / f).read_bytes() == (again / f).read_bytes() for f in files)


def test_an_existing_directory_is_not_written_over(folder: Path, whole: Path) -> None:
    with pytest.raises(bundle.ExportError):
        exported(folder, whole)


def test_what_people_read_is_all_there(bobs: Path) -> None:
    lines = [json.loads(line) for line in (bobs / "readable" / "records.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["opened", "refusal", "intent", "outcome", "closed", "admin"]
    assert lines[1]["body"]["text"] == "DROP TABLE patients\x1b[2J" and lines[1]["verdict"] == "deny"
    assert lines[2]["body"]["parameters"][0][2] == "ä" and lines[2]["body"]["identity"] == "bob@clinic.example"
    assert lines[2]["body"]["parameters"][1][2] == {"base64": "/wA="}


def change_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def remanifest(folder: Path) -> None:
    """What a forger does after any change: MANIFEST.json agrees again."""
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "MANIFEST.json"]
    manifest["files"] = {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in files}
    lines = [json.loads(line) for line in (folder / "readable" / "records.jsonl").read_text().splitlines()]
    manifest["records"] = sum(f"{line['segment']}/{line['index']}" != manifest.get("export") for line in lines)
    segments = folder / "segments"
    manifest["segments"] = sorted(int(one.name) for one in segments.iterdir()) if segments.exists() else []
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))


def edit(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new, 1))

    return change


def drop_first_line(folder: Path) -> None:
    file = folder / "readable" / "records.jsonl"
    file.write_text("".join(file.read_text().splitlines(keepends=True)[1:]))


def drop_record(folder: Path) -> None:
    """From leaves and readable alike: a record without its body is left over."""
    file = folder / "segments" / "2" / "leaves.bin"
    data = file.read_bytes()
    length = int.from_bytes(data[8:12], "big")
    file.write_bytes(data[12 + length:])


def swap_body(folder: Path) -> None:
    file = folder / "segments" / "2" / "bodies.bin"
    data = file.read_bytes()
    length = int.from_bytes(data[8:12], "big")
    plain = data[12 + 32 : 12 + length].replace(b"bob", b"eve")
    file.write_bytes(data[:8] + pack("!I", 32 + len(plain)) + data[12 : 12 + 32] + plain + data[12 + length:])


def manifested(field: str, value: object) -> Callable[[Path], None]:
    """MANIFEST.json says something else of the bundle; None is that it says nothing."""

    def change(folder: Path) -> None:
        manifest = json.loads((folder / "MANIFEST.json").read_text()) | {field: value}
        (folder / "MANIFEST.json").write_text(json.dumps({name: told for name, told in manifest.items() if told is not None}))

    return change


ATTACKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "readable text": (edit("readable/records.jsonl", b"DROP TABLE", b"SELECT FRO"), "does not follow"),
    "readable line gone": (drop_first_line, "does not follow"),
    "leaf": (lambda f: change_byte(f / "segments/2/leaves.bin"), ""),
    "record gone": (drop_record, "body without a record"),
    "body": (swap_body, "not the one that was recorded"),
    "proof": (lambda f: change_byte(f / "segments/2/proofs.bin"), "was changed"),
    "head": (edit("segments/2/head.note", b"\n1", b"\n2"), "no good signature"),
    "ledger entry": (lambda f: change_byte(f / "ledger/entries.bin"), ""),
    "checkpoint": (edit("ledger/checkpoint", b"\n", b"\n1"), "no good signature"),
    "segment as another": (lambda f: (f / "segments/2").rename(f / "segments/1"), ""),
    "unknown segment": (lambda f: (f / "segments/2").rename(f / "segments/7"), "not in the ledger"),
    **{f"manifest, {field} {value}": (manifested(field, value), says) for field, value, says in (
        ("records", 6, "the records are"), ("segments", [1, 2], "the segments are"), ("segments", [], "the segments are"),
        ("format", "ostiary-bundle-0", "this is no ostiary-bundle-1"), ("format", None, "format is missing"),
        ("key", "test-gw+00000000+AA==", "MANIFEST.json is malformed: key is not an Ed25519 verifier key"),
        ("key", "test-gw+00000000+A!", "key is not a key: what follows its second + is no base64"),
        ("key", "test-gw", "key is not a key: it must read name+hash+base64"), ("key", None, "key is missing"),
        ("key", "test-gw+00000000+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "key is not a key: its hash is of another name or another key"),
        ("segments", ["2"], "segments holds what is no int"), ("query", {"identity": 1}, "query holds what is no str"),
        ("records", True, "records is no int"), ("export", 7, "export is no str"), ("readable", "pdf", "names a form"), ("note", "all is well", "has a field that no bundle has"),
    )},
    "manifest broken": (lambda f: (f / "MANIFEST.json").write_text("{"), "MANIFEST.json is malformed"),
}


@pytest.mark.parametrize("manifest", ["old", "forged"])
@pytest.mark.parametrize("name", ATTACKS)
def test_every_change_is_found(folder: Path, bobs: Path, tmp_path: Path, name: str, manifest: str) -> None:
    """With the old manifest the file is named; with a forged one the contradiction is."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    attack, why = ATTACKS[name]
    attack(copy)
    if manifest == "forged" and not name.startswith("manifest"):
        remanifest(copy)
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and "TAMPERED" in text, text
    assert why in text or (manifest == "old" and not name.startswith("manifest"))


def test_an_added_or_missing_file_is_found(folder: Path, bobs: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    (copy / "readable" / "more.csv").write_text("made up\n")
    assert "not listed" in run(copy, "--key", key(folder))[1]
    (copy / "readable" / "more.csv").unlink()
    (copy / "README.txt").unlink()
    assert "README.txt is missing" in run(copy, "--key", key(folder))[1]


def test_a_changed_byte_of_the_manifest_blames_no_innocent_file(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """Nothing proves it, so what contradicts it is named with it: in its digests, names, key, query and counts."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    manifest = copy / "MANIFEST.json"
    whole = manifest.read_bytes()
    for at in range(3, len(whole), 37):
        changed = bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]])
        manifest.write_bytes(changed)
        found = verifier.looked_at(str(copy), key(folder), verifier.Anchors(), standalone.digest())
        blamed = [problem for problem in found["problems"] if "MANIFEST.json" not in problem]
        assert found["code"] == 1 and not blamed, (changed[max(0, at - 20) : at + 20], found["problems"])


def relisted(copy: Path, *gone: str, **added: bytes) -> None:
    """A forger's MANIFEST.json: it lists what is there."""
    told = json.loads((copy / "MANIFEST.json").read_text())
    for name in gone:
        (copy / name).unlink()
        del told["files"][name]
    for name, data in added.items():
        (copy / name.replace("_", ".")).write_bytes(data)
        told["files"][name.replace("_", ".")] = sha256(data).hexdigest()
    (copy / "MANIFEST.json").write_text(json.dumps(told))


def test_what_is_no_part_of_a_bundle_is_found_though_it_is_listed(folder: Path, bobs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing proves MANIFEST.json, so what it may list is known: an approval that somebody has added is none."""
    copy = Path(shutil.copytree(bobs, tmp_path / "added"))
    relisted(copy, approvals_csv=b"ada,approved\n")
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and "approvals.csv is no part of a bundle" in text
    for name in ("README.txt", "verify.py"):
        copy = Path(shutil.copytree(bobs, tmp_path / f"without-{name}"))
        relisted(copy, name)
        assert standalone.main([str(copy), "--key", key(folder)]) == 1
        assert f"{name} is missing" in capsys.readouterr().out


def test_what_is_neither_there_nor_listed_is_missing(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """A bundle with a part cut out can be read: it is tampered with, not unreadable. An empty folder more is no part either."""
    copy = Path(shutil.copytree(bobs, tmp_path / "cut"))
    (gone,) = [name for name in json.loads((copy / "MANIFEST.json").read_text())["files"] if name.endswith("bodies.bin")]
    relisted(copy, gone)
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and f"{gone} is missing" in text
    copy = Path(shutil.copytree(bobs, tmp_path / "more"))
    (copy / "more").mkdir()
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and "more is an empty folder" in text


def test_words_that_nothing_proves_are_said_to_be_somebody_elses(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """README.txt may be another version's; it is no evidence either way."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    assert json.loads(run(copy, "--key", key(folder), "--json")[1])["remarks"] == []
    relisted(copy, README_txt=b"Trust the key beside this file.\n")
    told = json.loads(run(copy, "--key", key(folder), "--json")[1])
    assert len(told["remarks"]) == 1 and "README.txt is not the one" in told["remarks"][0]


def test_a_link_is_no_file_of_a_bundle(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """It may show something else tomorrow."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    shutil.move(copy / "readable" / "records.jsonl", tmp_path / "elsewhere")
    (copy / "readable" / "records.jsonl").symlink_to(tmp_path / "elsewhere")
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and "is a link" in text


@pytest.mark.parametrize("value", [None, [], {}, 1], ids=repr)
@pytest.mark.parametrize("field", ["key", "query", "records", "segments", "readable", "export", "files", "format"])
def test_a_manifest_of_other_kinds_is_tampered_with(folder: Path, bobs: Path, tmp_path: Path, field: str, value: object) -> None:
    """One line, and one JSON object; no traceback, with a key and without."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    told = json.loads((copy / "MANIFEST.json").read_text()) | {field: value}
    (copy / "MANIFEST.json").write_text(json.dumps(told))
    for options in (("--key", key(folder)), ()) if field == "key" else ((),):
        code, text = run(copy, *options, "--json")
        told = json.loads(text)
        assert code == told["code"] == 1 and told["problems"], text


def test_an_anchor_of_another_history_refuses_it(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """The same identity key, another ledger: what a thief of the key would make."""
    identity = keys.load(folder, "test-gw").identity
    (tmp_path / "anchor").write_text(identity.sign(Checkpoint("test-gw", 2, bytes(32)).text))
    code, text = run(bobs, "--key", key(folder), "--anchor", str(tmp_path / "anchor"))
    assert code == 1 and "not the one that was anchored" in text


def test_a_bundles_own_checkpoint_is_no_independent_anchor(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """Under whichever name; a copy that was kept elsewhere is one, also beside it."""
    own, linked, hard = bobs / "ledger" / "checkpoint", tmp_path / "linked", tmp_path / "hard"
    linked.symlink_to(own)
    hard.hardlink_to(own)
    for given in (own, linked, hard):
        code, text = run(bobs, "--key", key(folder), "--anchor", str(given))
        assert code == 2 and "same file as in the bundle" in text and "no independent anchor" in text and "no anchor given" not in text, text
    kept = shutil.copy(own, tmp_path / "kept")
    code, text = run(bobs, "--key", key(folder), "--anchor", str(own), "--anchor", str(kept))
    assert code == 0 and "anchor:" not in text and "no independent" not in text


def test_a_checkpoint_kept_beside_the_evidence_is_no_independent_anchor(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """In the folder of the key that signs, under whichever name: who can write there can change both. It must fit all the same."""
    beside, linked = folder / "anchors" / "newest", tmp_path / "linked"
    beside.parent.mkdir()
    shutil.copy(auditors(folder) / "anchor", beside)
    linked.symlink_to(beside)
    for given in (beside, linked):
        code, text = run(bobs, "--key", key(folder), "--anchor", str(given))
        assert code == 2 and f"NOT INDEPENDENT: {given} is kept beside the evidence" in text and f"own {folder.resolve()}: " in text, text
        assert "SOUND (no independent anchor" in text
    told = json.loads(run(bobs, "--key", key(folder), "--anchor", str(beside), "--json")[1])
    assert (told["anchor"], told["kept_beside"], told["code"]) == ("same administration", {str(beside): str(folder.resolve())}, 2)
    code, text = run(bobs, "--key", key(folder), "--anchor", str(beside), "--anchor", str(auditors(folder) / "anchor"))
    assert code == 0 and "SOUND\n" in text
    beside.write_text(keys.load(folder, "test-gw").identity.sign(Checkpoint("test-gw", 2, bytes(32)).text))
    code, text = run(bobs, "--key", key(folder), "--anchor", str(beside))
    assert code == 1 and "not the one that was anchored" in text


def test_a_missing_bundle_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "verify.py").write_bytes(standalone.joined())
    assert run(tmp_path)[0] == 4


def test_the_verifier_imports_nothing_but_the_standard_library() -> None:
    """It must run where nothing is installed, and share no code with what it checks."""
    tree = ast.parse(standalone.joined(), feature_version=(3, 8))
    names = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {(n.module or "").split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names) | {"__future__"}


def test_the_parts_of_the_verifier_are_one_program_that_is_always_the_same() -> None:
    """Joined in another process, the same bytes; no name of one part hides another's, and each finds what it uses above it."""
    again = subprocess.run([sys.executable, "-c", "from gateway.evidence import standalone; print(standalone.digest())"], capture_output=True, text=True, check=True)
    assert again.stdout.strip() == standalone.digest() == sha256(standalone.joined.__wrapped__()).hexdigest()
    top = [node for node in ast.parse(standalone.joined()).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    assert len({node.name for node in top}) == len(top) > 50
    assert set(standalone.PARTS) == {part.stem for part in standalone.FOLDER.glob("*.py")} - {"__init__"}


def test_another_log_s_key_in_the_manifest_is_found(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """A tool that reads MANIFEST.json would trust it."""
    copy, other = Path(shutil.copytree(bobs, tmp_path / "copy")), keys.create(tmp_path / "other", "test-gw").identity.verifier
    manifested("key", str(other))(copy)
    code, text = run(copy, "--key", key(folder))
    assert code == 1 and "names another key" in text


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["words", "json"])
def test_a_reader_that_stops_early_is_no_verdict(folder: Path, whole: Path, options: tuple[str, ...]) -> None:
    """`verify.py … | head`: neither sound, nor unreadable, nor a traceback."""
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-I", str(whole / "verify.py"), "--key", key(folder), *options]
    ran = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert (ran.returncode, ran.stderr) == (141, "")


def test_the_last_line_and_the_help_say_what_the_exit_code_means(folder: Path, bobs: Path, tmp_path: Path) -> None:
    """Whoever runs it in a script meets the code there, and not in our documentation."""
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    change_byte(copy / "README.txt")
    for given, options, wanted in ((bobs, ("--key", key(folder)), 0), (copy, ("--key", key(folder)), 1), (bobs, (), 2)):
        code, text = run(given, *options)
        assert code == wanted and text.splitlines()[-1] == f"exit code {code}: {verifier.CODES[code]}", text
    helped = " ".join(run(bobs, "--help")[1].split())
    assert all(f"{code} {what}" in helped for code, what in verifier.CODES.items()), helped


def test_json_says_what_the_words_say(folder: Path, whole: Path, bobs: Path, tmp_path: Path) -> None:
    """Facts for programs: docs/evidence.md names each field."""
    code, text = run(bobs, "--key", key(folder), "--anchor", str(auditors(folder) / "anchor"), "--json")
    found = json.loads(text)
    assert (code, found["code"], found["problems"], found["gaps"], found["anchor"]) == (0, 0, [], [], "independent")
    assert found["query"] == {"identity": "bob@clinic.example"} and found["query_recorded"] is True and found["trusted_key"] is True
    (session_of_bob,) = [one for one in found["sessions"] if one["identity"] == "bob@clinic.example"]
    assert (session_of_bob["state"], session_of_bob["records"]) == ("complete", 5)
    assert found["bodies"]["opened"] == found["bodies"]["committed"] and found["bodies"]["withheld"] == []
    of_all = json.loads(run(whole, "--key", key(folder), "--json")[1])
    assert [(one["segment"], one["here"] == one["of"]) for one in of_all["coverage"]] == [(1, True), (2, True)] and of_all["anchor"] == "none"
    documented = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
    assert [name for name in (*found, *session_of_bob, *found["bodies"], *of_all["coverage"][0]) if f"`{name}`" not in documented] == []
    copy = Path(shutil.copytree(bobs, tmp_path / "copy"))
    change_byte(copy / "README.txt")
    code, text = run(copy, "--key", key(folder), "--json")
    assert code == 1 and json.loads(text)["problems"] == ["README.txt is not what MANIFEST.json says it is: one of the two was changed"] and json.loads(text)["code"] == 1


def test_the_verifiers_tables_are_those_of_the_product() -> None:
    """Two copies on purpose; this is what keeps them alike."""
    assert verifier.KINDS == {kind.value: kind.name.lower() for kind in Kind}
    assert verifier.FIELDS == {kind: list(names) for kind, names in FIELDS.items()}
    assert verifier.BODIES == {kind: list(names) for kind, names in BODY_FIELDS.items()}
    assert verifier.VERDICTS == VERDICTS


def test_the_verifier_s_roots_of_many_prefixes_are_each_prefix_s_root() -> None:
    hashes = [leaf_hash(b"%d" % number) for number in range(70)]
    roots = verifier.prefix_roots(hashes, set(range(90)))
    assert roots == {size: verifier.tree_root(hashes[:size]) for size in range(71)}


def test_the_verifiers_json_is_that_of_the_product() -> None:
    shown = {"b": "ünï\u2028\x1b\U0001f600", "a": [1, None, True, {"base64": "AA=="}]}
    assert verifier.canonical(shown) == canonical(shown)


# RFC 8032, section 7.1, tests 1 to 3
ED25519 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), ED25519)
def test_the_verifiers_ed25519_is_rfc_8032s(public: str, message: str, signature: str) -> None:
    key_bytes, text, signed = (bytes.fromhex(part) for part in (public, message, signature))
    assert verifier.ed25519_verify(key_bytes, text, signed)
    assert not verifier.ed25519_verify(key_bytes, text + b"!", signed)
    for place in (0, 31, 32, 63):
        damaged = bytearray(signed)
        damaged[place] ^= 1
        assert not verifier.ed25519_verify(key_bytes, text, bytes(damaged))
    high = int.from_bytes(signed[32:], "little") + verifier.ORDER  # the malleable twin of the same signature
    if high < 1 << 256:
        assert not verifier.ed25519_verify(key_bytes, text, signed[:32] + high.to_bytes(32, "little"))


def test_bundles_hold_no_key_and_no_ciphertext(folder: Path, whole: Path) -> None:
    body = keys.load_body(folder)
    for file in whole.rglob("*"):
        if file.is_file():
            assert body not in file.read_bytes() and body.hex().encode() not in file.read_bytes()
    assert os.listdir(whole / "segments" / "1")


def test_a_bundle_is_its_makers_alone_unless_he_made_the_folder(folder: Path, tmp_path: Path) -> None:
    """What is encrypted in the store lies open in it."""
    before = os.umask(0o022)
    try:
        own = tmp_path / "own"
        own.mkdir(0o750)
        modes = [exported(folder, out).stat().st_mode & 0o777 for out in (tmp_path / "new", own)]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o750]
