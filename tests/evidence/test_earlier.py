"""Evidence that earlier versions made is read, verified, gone on with, and never silently less."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded import BINDING_OF_TESTS, ORIGIN, Told, allowed, checked, fill, journal, new_store, session
from test_audit_cli import lines, ostiary

from gateway.evidence import standalone
from gateway.evidence.readable import printed
from gateway.notary import keys

MADE = sorted((Path(__file__).parent / "earlier").glob("*.tar.xz"))


@pytest.fixture(params=MADE, ids=[made.name.partition(".")[0] for made in MADE])
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store of that day, as its killed notary left it."""
    with tarfile.open(request.param) as made:
        made.extractall(tmp_path, filter="tar")
    return tmp_path / "store"


def _of_then(folder: Path) -> list[dict[str, Any]]:
    """What was shown then, each moment and binding in the form in which they are printed since."""
    return [printed(json.loads(line)) for line in (folder / "records.jsonl").read_text().splitlines()]


def test_there_is_a_store_of_an_earlier_version() -> None:
    """Else everything here would pass by looking at nothing."""
    assert MADE


def test_every_record_of_an_earlier_version_is_still_shown_as_it_was(earlier: Path) -> None:
    """More fields may be shown of it; what was shown then still is, to the last value."""
    now = {(one["segment"], one["index"]): one for one in lines(ostiary("search", "--store", earlier / "audit", "--json"))}
    then = _of_then(earlier)
    assert len(then) > 15 and {"opened", "intent", "outcome", "refusal", "chunk", "recorded", "note", "approval", "admin"} <= {one["kind"] for one in then}
    for one in then:
        found = now[one["segment"], one["index"]]
        for part in ("fields", "body"):
            assert found.get(part, {}).items() >= one.pop(part, {}).items()
        assert found.items() >= one.items()


def test_a_store_of_an_earlier_version_verifies_and_a_notary_goes_on_with_it(earlier: Path, tmp_path: Path) -> None:
    """Also after the kill that ended it; its anchor still holds, its grants are still spent once."""
    kept = Path(shutil.copy(earlier / "kept", tmp_path / "kept"))
    shown = json.loads(ostiary("verify", earlier / "audit", "--anchor", kept, "--json").stdout)
    assert (shown["code"], shown["problems"], shown["gaps"]) == (0, [], [])
    store, told, again = new_store(earlier), Told(), session("bob@clinic.example")
    fill(store, 2)
    book = journal(store)
    book.opened(again, {}, told)
    book.intend(again, 1, replace(allowed("UPDATE t SET a = 1"), grant="g-1", request="r-1", binding=BINDING_OF_TESTS), told)
    book.flush()
    assert ("refused", 2, "the grant is spent") in told.told
    store.close()
    report = checked(earlier)
    assert not report.problems and report.records > len(_of_then(earlier))
    assert ostiary("verify", earlier / "audit", "--anchor", kept).exit_code == 0


@pytest.mark.parametrize("name", ["bundle", "part"])
def test_a_bundle_of_an_earlier_version_verifies_with_this_one_s_verifier(earlier: Path, tmp_path: Path, name: str) -> None:
    kept = str(shutil.copy(earlier / "kept", tmp_path / "kept"))
    code = standalone.main([str(earlier / name), "--key", str(keys.load_public(earlier)), "--anchor", kept])
    assert code == 0 and keys.load_public(earlier).name == ORIGIN
