"""By which configuration a session was judged: found with it, once, and shown whole when it is asked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from recorded import Told, allowed, journal, new_store, session

from gateway.cli.main import main
from gateway.notary.record import Kind, event, pack
from gateway.notary.store import Store


def configured(store: Store, what: str, revision: int) -> None:
    facts = {"revision": str(revision), "sha256": "ab" * 32, "text": f"[gateway]\nname = \"gw-{revision}\"\n"}
    store.commit([store.own(event(Kind.ADMIN, what, 1, 1), pack([facts]))])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A session that began under revision 2, and met revision 3; starts before and after it."""
    folder = tmp_path_factory.mktemp("configured")
    store = new_store(folder)
    for what, revision in (("config.started", 1), ("config.reloaded", 2), ("config.started", 2)):
        configured(store, what, revision)
    ada, book = session(policy_revision=2), journal(store)
    book.opened(ada, {}, Told())
    book.intend(ada, 1, allowed("SELECT 1"), Told())
    book.flush()
    configured(store, "config.reloaded", 3)
    book.intend(replace(ada, policy_revision=3), 2, allowed("SELECT 2"), Told())
    book.closed(ada, "bye")
    book.flush()
    configured(store, "config.reloaded", 4)
    store.close()
    return folder, ada.id


def ostiary(place: tuple[Path, str], *words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words, "--store", str(place[0] / "audit")], catch_exceptions=False)


def test_a_session_comes_with_the_configurations_that_it_was_judged_by(place: tuple[Path, str]) -> None:
    """Each once, whatever was started how often under it; no other."""
    found = [json.loads(line) for line in ostiary(place, "search", "--session", place[1], "--json").stdout.splitlines()]
    told = [one["body"]["facts"]["revision"] for one in found if one["kind"] == "admin"]
    assert told == ["2", "3"] and [one["kind"] for one in found][:2] == ["admin", "opened"]


def test_a_session_names_its_configuration_whose_record_shows_it(place: tuple[Path, str]) -> None:
    shown = ostiary(place, "show", place[1]).stdout
    [first, _] = [line.split()[-1] for line in shown.splitlines() if line.split()[:2] == ["configuration", "ostiary"]]
    assert "gw-2" not in shown
    assert '[gateway]\nname = "gw-2"\n' in ostiary(place, "show", first).stdout
    assert "gw-2" not in ostiary(place, "search", "--text", "config.reloaded").stdout


def test_a_search_for_a_text_is_not_answered_by_configurations_unless_they_are_asked_for(place: tuple[Path, str]) -> None:
    """A file names every target and table; what was done to them is what is looked for. That it was left out is said."""
    alone = ostiary(place, "search", "--text", "GW-2", "--json")
    assert alone.stdout == "" and "2 configurations hold it too and are left out here: --kind admin" in alone.stderr
    asked = ostiary(place, "search", "--text", "gw-2", "--kind", "admin", "--json")
    assert len(asked.stdout.splitlines()) == 2 and "left out" not in asked.stderr
    assert len(ostiary(place, "search", "--text", "config.reloaded", "--json").stdout.splitlines()) == 3
    assert "left out" not in ostiary(place, "search", "--text", "SELECT 1").stderr
