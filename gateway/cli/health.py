"""`ostiary audit status`: whether evidence is being recorded, and what of the store a person should look after."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from gateway.cli.place import DAMAGED, Place, located
from gateway.cli.show import record
from gateway.evidence.missing import missing
from gateway.evidence.readable import clean, counted, moment
from gateway.evidence.view import open_view, reach


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@located
def status(place: Place, as_json: bool) -> None:
    """Whether evidence is recorded now, and whether all of it is still there. Exit 1 where a person should look."""
    found = _asked(place)
    if as_json:
        record(found)
    else:
        for line in _words(found):
            click.echo(clean(line))
    if found["why"] or found["damaged"] or found["anchor"]:
        sys.exit(DAMAGED)


def _asked(place: Place) -> dict[str, Any]:
    """What the notary says; of a store that none writes, what is missing."""
    link = reach(place.store)
    if link is not None:
        with closing(link):
            (told,) = link.ask("health")
        checked = told.pop("checked_ns")
        return {**told, "checked": moment(checked) if checked else None}
    with closing(open_view(place.store)) as view:
        return {"why": "no notary runs on this store", "damaged": missing(view), "checked": None, "anchor": ""}


def _words(found: dict[str, Any]) -> Iterator[str]:
    yield f"NOTHING IS RECORDED: {found['why']}" if found["why"] else "evidence is recorded"
    if "segment" in found:
        counts = counted(found["records"], "record"), counted(found["ledger_entries"], "ledger entry", "ledger entries")
        yield f"segment {found['segment']} is open, with {counts[0]}; {counts[1]}"
    for what in found["damaged"]:
        yield f"DAMAGED: {what}"
    if found["anchor"]:
        yield f"NOT ANCHORED: {found['anchor']}"
    if not found["why"]:
        last = f"last read whole until {found['checked']}" if found["checked"] else "not read whole since this start yet"
        yield f"what is sealed was {last}"
