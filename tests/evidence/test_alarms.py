"""Layers of masking that disagree: each such record is found, shown, and tells no value."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from recorded import DONE, Told, allowed, journal, new_store, session

from gateway.evidence.query import Query, Search, search
from gateway.evidence.readable import summary
from gateway.evidence.view import StoppedView
from gateway.notary import keys
from gateway.notary.record import Kind

WIRE = "public.patients.ssn came back although the statement was thought clean of it"
CONTENT = "found in what no declaration covers: ssn 2 masked"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("alarms")
    store = new_store(made)
    said, told, book = session(), Told(), journal(store)
    book.opened(said, {}, told)
    for number, alarm in enumerate(("", WIRE, CONTENT, f"{WIRE}; {CONTENT}"), 1):
        book.intend(said, number, allowed("SELECT 1"), told)
        book.flush()
        book.report(said, number, allowed(""), replace(DONE, alarm=alarm), 1500)
    book.note(said, "masking.content", {"alarm": CONTENT, "where": "notice"})
    book.note(said, "other", {"where": "notice"})
    book.flush()
    store.close()
    return made


def found(folder: Path, *, opened: bool = True, **filters: object) -> list[tuple[Kind, str]]:
    view = StoppedView(folder / "audit")
    try:
        bodies = keys.load(folder, "test-gw").bodies if opened else None
        return [(Kind(f.record.kind), summary(f.shown())) for f in search(view, Search(Query(**filters), bodies))]  # type: ignore[arg-type]
    finally:
        view.close()


def test_a_search_for_alarms_brings_back_every_layers_and_nothing_else(folder: Path) -> None:
    """What the wire named, what a detector found, both at once, and what was found in a text."""
    alarms = found(folder, alarm=True)
    assert [kind for kind, _ in alarms] == [Kind.OUTCOME] * 3 + [Kind.NOTE]
    for (_, shown), wanted in zip(alarms, (WIRE, CONTENT, f"{WIRE}; {CONTENT}", CONTENT), strict=True):
        assert wanted in shown


def test_listings_show_an_alarm_and_only_where_there_is_one(folder: Path) -> None:
    assert ["ALARM" in shown for _, shown in found(folder, kind="outcome")] == [False, True, True, True]


def test_alarms_lie_in_bodies_and_filters_add_up(folder: Path) -> None:
    assert not found(folder, alarm=True, opened=False) and not found(folder, alarm=True, kind="intent")
    assert Query().described() == {} and Query(alarm=True).described() == {"alarm": "True"}
