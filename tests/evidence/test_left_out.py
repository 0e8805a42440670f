"""What is left out of a bundle is found: records, segments, bodies, the asking itself; and so is what an anchor says of it."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from auditor import verifier
from recorded import BINDING_OF_TESTS, DirectView, Told, allowed, export, fill, journal, new_store, seal_all, session
from test_bundle import auditors, key, remanifest

from gateway.evidence import standalone
from gateway.evidence.query import Query
from gateway.evidence.view import StoppedView
from gateway.notary import anchor, keys
from gateway.notary.record import Kind, event, pack

Doctor = Callable[[Path], None]
ADA = "ada@clinic.example"
HIDDEN = session(ADA)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    Two segments, the second still open, and bundles made while they were written: `all`, `ada`, `one` (a session with
    a grant), `intents`; and `stopped` and `stopped-one`, which no record of the log speaks of.
    """
    made = tmp_path_factory.mktemp("store")
    store = new_store(made)
    fill(store, 4)
    packed = event(Kind.APPROVAL, "g-1", BINDING_OF_TESTS, 1 << 62, 1, "request-1")
    asked = [("request.submitted", {"session": HIDDEN.id}), ("request.approved", {"by": "grace"})]
    notes = [store.own(event(Kind.ADMIN, what, 1, 1), pack([{"request": "request-1", **facts}])) for what, facts in asked]
    store.commit([*notes, store.own(packed, pack([{"approvers": "grace"}]))])
    store.rotate("test")
    seal_all(store)
    told, book = Told(), journal(store)
    book.opened(HIDDEN, {}, told)
    book.intend(HIDDEN, 1, replace(allowed("SELECT 'a deed to hide'"), grant="g-1", request="request-1", binding=BINDING_OF_TESTS), told)
    book.flush()
    book.closed(HIDDEN, "bye")
    book.flush()
    fill(store, 3, session("bob@clinic.example"))
    view = DirectView(store)
    for name, query in (("early", Query()), ("all", Query()), ("ada", Query(identity=ADA)), ("one", Query(session=HIDDEN.id)), ("intents", Query(kind="intent"))):
        export(made, view, made / name, query)
    anchor.append(auditors(made) / "kept", store.ledger.checkpoint)
    store.close()
    stopped = StoppedView(made / "audit")
    export(made, stopped, made / "stopped")
    export(made, stopped, made / "stopped-ada", Query(identity=ADA))
    export(made, stopped, made / "stopped-one", Query(session=HIDDEN.id))
    export(made, stopped, made / "closed", closed=True)
    stopped.close()
    (made / "auditor.py").write_bytes(standalone.joined())
    anchor.append(auditors(made) / "later", store.ledger.checkpoint)
    anchor.append(auditors(made) / "both", (auditors(made) / "kept").read_text() + store.ledger.checkpoint)
    return made


def verdict(folder: Path, bundle: Path, *options: str | Path) -> tuple[int, str]:
    """The auditor's own verifier, as `python3 -I`."""
    command = [sys.executable, "-I", folder / "auditor.py", bundle, "--key", key(folder), *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    return ran.returncode, ran.stdout + ran.stderr


# --- what somebody who hands a bundle on can do to it ------------------------------------


def framed(file: Path) -> list[tuple[int, bytes]]:
    return list(verifier.framed_by_index(file.read_bytes())) if file.exists() else []


def frame(file: Path, items: list[tuple[int, bytes]]) -> None:
    if file.exists():
        file.write_bytes(b"".join(struct.pack("!QI", index, len(data)) + data for index, data in items))


def lines(bundle: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (bundle / "readable" / "records.jsonl").read_text().splitlines()]


def write_lines(bundle: Path, kept: list[dict[str, Any]]) -> None:
    (bundle / "readable" / "records.jsonl").write_text("".join(verifier.canonical(line) + "\n" for line in kept))


def drop(is_gone: Callable[[dict[str, Any]], bool]) -> Doctor:
    """Records, without a trace in any file."""

    def doctor(bundle: Path) -> None:
        gone = {(line["segment"], line["index"]) for line in lines(bundle) if is_gone(line)}
        assert gone
        write_lines(bundle, [line for line in lines(bundle) if not is_gone(line)])
        for number in {segment for segment, _ in gone}:
            for name in ("leaves.bin", "bodies.bin", "proofs.bin"):
                file = bundle / "segments" / str(number) / name
                frame(file, [item for item in framed(file) if (number, item[0]) not in gone])

    return doctor


def close(is_shut: Callable[[dict[str, Any]], bool]) -> Doctor:
    """Bodies, as if they had never been opened."""

    def doctor(bundle: Path) -> None:
        shut = {(line["segment"], line["index"]) for line in lines(bundle) if "body" in line and is_shut(line)}
        assert shut
        places = [(line["segment"], line["index"]) for line in lines(bundle)]
        bare = [{name: value for name, value in line.items() if name != "body"} for line in lines(bundle)]
        write_lines(bundle, [b if at in shut else line for at, b, line in zip(places, bare, lines(bundle), strict=True)])
        for number in {segment for segment, _ in shut}:
            file = bundle / "segments" / str(number) / "bodies.bin"
            frame(file, [item for item in framed(file) if (number, item[0]) not in shut])

    return doctor


def without_segment(*numbers: int) -> Doctor:
    def doctor(bundle: Path) -> None:
        for number in numbers:
            shutil.rmtree(bundle / "segments" / str(number))
        write_lines(bundle, [line for line in lines(bundle) if line["segment"] not in numbers])

    return doctor


def manifest(**changes: Any) -> Doctor:
    def doctor(bundle: Path) -> None:
        told = json.loads((bundle / "MANIFEST.json").read_text()) | changes
        (bundle / "MANIFEST.json").write_text(json.dumps({name: value for name, value in told.items() if value is not None}))

    return doctor


def also(*doctors: Doctor) -> Doctor:
    def doctor(bundle: Path) -> None:
        for one in doctors:
            one(bundle)

    return doctor


def is_order(line: dict[str, Any]) -> bool:
    return line["kind"] == "admin" and line["segment"] == 2


def is_note(line: dict[str, Any]) -> bool:
    """Of control's, the configuration's and the record of the export among them."""
    return line["kind"] == "admin"


def is_hidden(line: dict[str, Any]) -> bool:
    return line.get("session") == HIDDEN.id


NO_ORDER = also(drop(is_order), manifest(export=None))

ATTACKS: dict[str, tuple[str, Doctor, int, str]] = {
    "a whole session": ("all", drop(is_hidden), 1, "the log recorded an export of"),
    "a whole session, of a stopped store": ("stopped", drop(is_hidden), 1, "records of segment 2: without "),
    "one record": ("all", drop(lambda r: is_hidden(r) and r["kind"] == "intent"), 1, "the log recorded an export of"),
    "one record, of a stopped store": ("stopped", drop(lambda r: is_hidden(r) and r["kind"] == "intent"), 1, "records of segment 2: without "),
    "the end of the log": ("stopped", drop(lambda r: r["segment"] == 2 and r["index"] >= 5), 1, "records of segment 2: without 5, 6"),
    "the newest segment": ("stopped", without_segment(2), 1, "segment 2, which the ledger has, is not in this bundle"),
    "the oldest segment": ("stopped", without_segment(1), 1, "segment 1, which the ledger has, is not in this bundle"),
    "all segments": ("stopped", without_segment(1, 2), 1, "segment 1, which the ledger has, is not in this bundle"),
    "the newest segment, and the record of the export": ("all", also(without_segment(2), manifest(export=None)), 1, "segment 2, which the ledger has"),
    "the record of the export": ("all", drop(is_order), 1, "the log's record of this export, "),
    "a filtered bundle said to be the whole log": ("ada", manifest(query={}), 1, "the query was the whole log, the log's record of this export says"),
    "a filtered one, and no record of it": ("ada", also(NO_ORDER, manifest(query={})), 1, "records of segment 1: without"),
    "what was asked and answered, and the record of the export of a session": ("one", also(drop(is_note), manifest(export=None)), 2, "only claimed"),
    "the record of the export of a session": ("one", NO_ORDER, 2, "only claimed"),
    "another query": ("ada", manifest(query={"identity": "bob"}), 1, "MANIFEST.json says that the query was"),
    "another query, and no record of it": ("ada", also(NO_ORDER, manifest(query={"identity": "bob"})), 2, "only claimed"),
    "one of the records that matched": ("ada", drop(lambda r: is_hidden(r) and r["kind"] == "intent"), 1, "the log recorded an export of"),
    "another record as that of the export": ("all", manifest(export="2/0"), 1, "record of this export, 2/0, is not in"),
    "the middle of a session": ("stopped-one", drop(lambda r: r["kind"] == "intent"), 2, "INCOMPLETE, without record 1"),
    "the end of a session": ("stopped-one", drop(lambda r: r["kind"] == "closed"), 2, "but no close"),
    "a session but one record": ("stopped-one", drop(lambda r: r["kind"] != "approval"), 2, "none of its records is in this bundle"),
    "the approval": ("stopped-one", drop(lambda r: r["kind"] == "approval"), 2, "grant g-1, which the session spent, is not in this bundle"),
    "the end of a session, recorded": ("one", drop(lambda r: r["kind"] == "closed"), 1, "the log recorded an export of"),
    "bodies of statements": ("all", close(lambda r: r["kind"] == "intent"), 1, "bodies are opened here, the log recorded an export with"),
    "the approver's name": ("stopped", close(lambda r: r["kind"] == "approval"), 1, "1 body is withheld, and no record of this export says so"),
    "all bodies": ("stopped", close(lambda r: True), 1, "bodies are withheld, and no record of this export says so"),
    "bodies of a filtered bundle": ("stopped-ada", close(lambda r: r["kind"] == "intent"), 2, "bodies are withheld, and no record"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_left_out_of_a_bundle_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    source, doctor, code, finding = ATTACKS[name]
    copy = Path(shutil.copytree(folder / source, tmp_path / "copy"))
    doctor(copy)
    remanifest(copy)
    said, text = verdict(folder, copy, "--anchor", auditors(folder) / "both")
    assert (said, finding in text) == (code, True), text
    assert "SOUND\n" not in text


def test_what_is_left_out_of_a_recorded_bundle_is_named_where_the_tree_or_a_sessions_numbers_tell_it(folder: Path, tmp_path: Path) -> None:
    """Not only how many are gone: which places of the log, or of the session."""
    place = next(line["index"] for line in lines(folder / "all") if is_hidden(line) and line["kind"] == "intent")
    for source, says in (
        ("all", rf"TAMPERED: \d+ of \d+ records of segment 2: without {place}\n"),
        ("one", rf"INCOMPLETE: session {HIDDEN.id}: INCOMPLETE, without record 1 of 0..3\n"),
    ):
        copy = Path(shutil.copytree(folder / source, tmp_path / source))
        drop(lambda r: is_hidden(r) and r["kind"] == "intent")(copy)
        remanifest(copy)
        code, text = verdict(folder, copy, "--anchor", auditors(folder) / "both")
        assert code == 1 and "TAMPERED: this bundle has " in text and re.search(says, text), text
        assert "bodies are opened here" not in text  # it follows from the rest, and says less


@pytest.mark.parametrize(("source", "code", "tells"), [
    ("all", 0, ["records of segment 1\n", "records of segment 2\n", " 0 withheld", "query: the whole log\n"]),
    ("early", 0, ["records of segment 2\n"]),
    ("ada", 0, ['query: identity ada@clinic.example\n', "exactly those that the log recorded as this query's"]),
    ("one", 0, ["complete, records 0..3"]),
    ("stopped-one", 2, ["INCOMPLETE: what was asked for is only claimed", "complete, records 0..3"]),
    ("stopped-ada", 2, ["INCOMPLETE: what was asked for is only claimed", "what was left out is not proved"]),
    ("closed", 1, ["withheld: the body of approval 1/"]),
])  # fmt: skip
def test_an_untouched_bundle_says_how_much_of_the_log_it_is(folder: Path, source: str, code: int, tells: list[str]) -> None:
    stopped = source.startswith(("stopped", "closed"))
    said, text = verdict(folder, folder / source, "--anchor", auditors(folder) / ("later" if stopped else "kept"))
    assert said == code and all(told in text for told in tells), text
    assert "0 records came after the newest checkpoint" in text or not stopped
    assert "the newest of 20" in text


def test_what_a_recorded_filter_left_out_is_called_that_and_never_incomplete(folder: Path, tmp_path: Path) -> None:
    """The log recorded the query, and that exactly these records are its answer; with one less, they are not."""
    code, text = verdict(folder, folder / "intents", "--anchor", auditors(folder) / "kept")
    assert code == 0 and f"session {HIDDEN.id} of {HIDDEN.identity.subject}: 1 record of it; the others up to 1 were left out by the query, as the log recorded\n" in text, text
    assert "INCOMPLETE" not in text
    copy = Path(shutil.copytree(folder / "intents", tmp_path / "copy"))
    gone = [line["index"] for line in lines(copy) if line["kind"] == "intent" and line["segment"] == 1][1]
    drop(lambda r: (r["segment"], r["index"]) == (1, gone))(copy)
    remanifest(copy)
    code, text = verdict(folder, copy, "--anchor", auditors(folder) / "kept")
    assert code == 1 and "INCOMPLETE, without record" in text and "as the log recorded" not in text, text


def test_a_bundle_older_than_the_anchor_is_never_sound(folder: Path) -> None:
    """It was made before, or cut back to an older checkpoint: nobody can tell which."""
    for kept in ("later", "both"):
        code, text = verdict(folder, folder / "all", "--anchor", auditors(folder) / kept)
        assert code == 2 and "INCOMPLETE: your anchor has seen " in text and "older than your checkpoint, or was cut" in text
        assert "SOUND\n" not in text


def cut_back(folder: Path) -> Doctor:
    """The ledger ends where an older checkpoint did."""

    def doctor(bundle: Path) -> None:
        older = (auditors(folder) / "kept").read_text().strip() + "\n"
        entries = list(verifier.framed((bundle / "ledger" / "entries.bin").read_bytes()))[: int(older.split("\n")[1])]
        (bundle / "ledger" / "entries.bin").write_bytes(b"".join(struct.pack("!I", len(e)) + e for e in entries))
        (bundle / "ledger" / "checkpoint").write_text(older)

    return doctor


def test_a_ledger_cut_back_to_an_older_checkpoint_is_found_by_a_newer_one(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "stopped", tmp_path / "copy"))
    cut_back(folder)(copy)
    remanifest(copy)
    code, text = verdict(folder, copy, "--anchor", auditors(folder) / "later")
    assert code == 2 and "or was cut" in text, text


# --- anchors --------------------------------------------------------------------------------


def checkpoint(folder: Path) -> str:
    return (auditors(folder) / "later").read_text().strip() + "\n"


def edited(text: str) -> str:
    """Its root is another."""
    lines_ = text.split("\n")
    lines_[2] = ("A" if lines_[2][0] != "A" else "B") + lines_[2][1:]
    return "\n".join(lines_)


def folded(text: str) -> str:
    """As a mailer wraps it."""
    name, size, root, _, signature = text.strip().split("\n")
    return "\n".join([name, size, root, "", *signature.split(" ")])


HOLDS_NONE: dict[str, Callable[[str], str]] = {
    "nothing": lambda text: "", "junk": lambda text: "hello\nworld\n\n- and more of it than one line\n",
    "a key": lambda text: "test-gw+00000000+AAAA\n", "half": lambda text: text[:60], "no signature": lambda text: text.split("\n\n")[0],
    "one line": lambda text: text.split("\n")[4],
}  # fmt: skip
HOLDS_ONE: dict[str, Callable[[str], str]] = {
    "alone": str, "windows": lambda text: text.replace("\n", "\r\n"),
    "in a mail": lambda text: f"From: ops\nSubject: checkpoint\n\nHello,\n\n{text}\n-- \nregards - ops\nhttps://clinic.example/{'a' * 99}\n",
    "quoted": lambda text: "> > " + text.replace("\n", "\n> > "), "quoted as text": lambda text: "".join(f"    {line}\n" for line in text.split("\n")),
    "wrapped": folded, "another dash": lambda text: text.replace("\u2014", "--"),
    "a second signature": lambda text: text + "\u2014 witness " + "A" * 104 + "\n",
    "a witness first": lambda text: text.replace("\u2014", "\u2014 witness " + "A" * 104 + "\n\u2014"),
}  # fmt: skip
HOLDS_A_WRONG_ONE: dict[str, Callable[[str], str]] = {
    "edited": edited, "a good one and an edited": lambda text: text + "\n" + edited(text), "edited size": lambda text: text.replace("\n", "\n1", 1),
    "another log": lambda text: text.replace("test-gw", "else-gw"), "a root that is none": lambda text: "\n".join([*text.split("\n")[:2], "!", *text.split("\n")[3:]]),
}  # fmt: skip
ANCHORS = (
    [(name, made, 3, "holds no checkpoint") for name, made in HOLDS_NONE.items()] + [(name, made, 0, "SOUND\n") for name, made in HOLDS_ONE.items()]
    + [(name, made, 1, "ANCHOR: the anchor file's checkpoint is not signed by this log's key") for name, made in HOLDS_A_WRONG_ONE.items()]
)


@pytest.mark.parametrize(("name", "made", "code", "finding"), ANCHORS, ids=[name for name, *_ in ANCHORS])
def test_both_verifiers_judge_an_anchor_alike(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, made: Callable[[str], str], code: int, finding: str
) -> None:
    """What holds no checkpoint is a mistake of whoever gave it; what the log did not sign is found, and is not the log's fault."""
    from test_audit_cli import ostiary  # where commands are run

    kept = tmp_path / "kept"
    kept.write_text(made(checkpoint(folder)))
    assert standalone.main([str(folder / "stopped"), "--key", key(folder), "--anchor", str(kept)]) == code
    told = capsys.readouterr()
    assert finding in told.out + told.err and "TAMPERED" not in told.out
    judged = ostiary("verify", folder / "audit", "--key", folder / keys.FOLDER / keys.PUBLIC, "--anchor", kept)
    assert judged.exit_code == code and finding in judged.output and "TAMPERED" not in judged.output, judged.output


def test_the_product_and_the_verifier_find_the_same_checkpoints(folder: Path) -> None:
    for _, made, *_ in ANCHORS:
        text = made(checkpoint(folder))
        assert verifier.kept_notes(text) == anchor.notes(text)


def test_the_docs_name_the_verifier_that_is_shipped() -> None:
    """Whoever got a bundle compares its verify.py with this; `ostiary audit verifier` prints it and its digest."""
    from test_audit_cli import ostiary

    digest = sha256(standalone.joined()).hexdigest()
    assert digest in (Path(__file__).parents[2] / "docs" / "evidence.md").read_text(), f"the verifier's SHA-256 is now {digest}"
    assert ostiary("verifier", "--sha256").stdout == f"{digest}\n"
    assert sha256(ostiary("verifier").stdout_bytes).hexdigest() == digest


def test_the_verifier_says_for_whom_an_agent_acted_what_floor_was_in_force_and_what_was_disclosed() -> None:
    """An agent for Ada, who approved herself: three sentences that an auditor looks for."""
    who, body = b"s" * 16, ["claude", "ada", "", "", ""]
    opened = [10, who, 0, "", 0, None, "postgres", 1], [*body, "agent", [], "", "", {"floor": "verified"}]
    note = [30, who, 1, "", 0, None, "disclosure.revealed"], [{"columns": "public.patients.ssn", "request": "r-1"}]
    place = {"segment": 3, "index": 17, "time": 1764180000 * 10**9}
    session_line, floor, disclosed = verifier.told_sessions(verifier.sessions_of([opened, note], places=[place, place]))
    assert " of claude for ada: " in session_line
    assert floor.endswith("the floor in force: verified") and disclosed.endswith("DISCLOSED public.patients.ssn under r-1, at 2025-11-26 18:00:00 UTC (record 3/17)")
    withheld = [30, who, 2, "", 0, None, "disclosure.withheld"], note[1]
    assert [len(verifier.sessions_of([opened, *notes])[0]["disclosed"]) for notes in ([note, withheld], [note, note, withheld], [note])] == [0, 1, 1]
    intent = [20, who, 2, "", 1, None, 1, "", "", "g", "r", BINDING_OF_TESTS], body
    for approver, distinct in (("grace", "yes"), ("grace, ada", "NO"), ("claude", "NO")):
        approval = [40, b"", 0, "", 0, None, "g", BINDING_OF_TESTS, 1, 1, "r"], [{"approvers": approver}]
        (line,) = verifier.told_grants(verifier.grants_of([approval, intent]))
        assert line.endswith(f"spent 1 time: asked by claude for ada; approved by {approver}; distinct: {distinct}")


@pytest.mark.parametrize(("numbers", "said"), [
    ((0, 1, 1, 2, 3), "more than one record has the number 1, and so it was recorded"),
    ((0, 1, 3), "INCOMPLETE, without record 2 of 0..3; all of the log is here, so it was never recorded"), ((0, 1, 2, 3), ""),
], ids=["twice", "a gap", "as ever"])  # fmt: skip
def test_a_number_of_a_session_s_that_two_records_have_or_none_is_told(tmp_path: Path, numbers: tuple[int, ...], said: str) -> None:
    """No gateway records so; the log was not changed, so a bundle of it is sound. One of a part of the log may have a gap."""
    store, who = new_store(tmp_path), b"s" * 16
    opening = ["ada@clinic.example", "", "rw", "clinicdb", "10.0.0.9", "human", [], "token", "", {}]
    kinds = [(Kind.OPENED, ("postgres", 1), opening), *[(Kind.NOTE, ("login",), [{}])] * (len(numbers) - 2), (Kind.CLOSED, (1,), ["bye"])]
    for number, (kind, fields, body) in zip(numbers, kinds, strict=True):
        store.commit([store.own(event(kind, *fields, session=who, number=number), pack(body))])
    whole, part = export(tmp_path, DirectView(store), tmp_path / "whole"), export(tmp_path, DirectView(store), tmp_path / "part", Query(kind="note"))
    store.close()
    found = [verifier.examined(str(out), (tmp_path / keys.FOLDER / keys.PUBLIC).read_text(), verifier.Anchors(), standalone.digest()) for out in (whole, part)]
    remarks = [remark for remark in found[0]["remarks"] if remark.startswith("session ")]
    assert found[0]["problems"] == [] and (said in remarks[0] if said else not remarks), found[0]
    assert not [remark for remark in found[1]["remarks"] if "never recorded" in remark]


def test_a_verifier_that_came_with_the_bundle_and_is_another_is_told(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder / "all", tmp_path / "copy"))
    assert "NOTE" not in verdict(folder, copy, "--anchor", auditors(folder) / "kept")[1]
    (copy / "verify.py").write_text("print('SOUND')\n")
    remanifest(copy)
    code, text = verdict(folder, copy, "--anchor", auditors(folder) / "kept")
    assert code == 0 and "NOTE: the bundle's own verify.py is not this one" in text
