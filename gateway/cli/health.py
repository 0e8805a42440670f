"""`ostiary audit status`: whether evidence is being recorded, and what of the store a person should look after."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import click

from gateway.cli.place import DAMAGED, Place, located
from gateway.cli.show import record
from gateway.evidence.missing import lacking
from gateway.evidence.readable import clean, counted, moment
from gateway.evidence.view import open_view, reach
from gateway.notary.layout import Layout
from gateway.notary.rounds import kept


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


_REFUSED = "OST-802"
"""What new sessions are refused with meanwhile; docs/errors.md."""


def _asked(place: Place) -> dict[str, Any]:
    """What the notary says; of a store that none writes, what is missing, and what the last one knew."""
    link = reach(place.store)
    if link is not None:
        with closing(link):
            (told,) = link.ask("health")
        return {name.removesuffix("_ns"): _moment(told[name]) if name.endswith("_ns") else told[name] for name in told} | {
            "code": _REFUSED if told["why"] else None, "damaged": [_noticed(one) for one in told["damaged"]],
        }
    with closing(open_view(place.store)) as view:
        gone = {number: {"segment": number, "what": what, "noticed": None} for number, what in lacking(view)}
    known = ({"segment": number, "what": what, "noticed_ns": noticed} for number, noticed, what in kept(Layout(place.store).damaged))
    damaged = [*gone.values(), *(_noticed(one) for one in known if one["segment"] not in gone)]
    return {"why": "no notary runs on this store", "code": _REFUSED, "damaged": damaged, "checked": None, "anchor": ""}


def _noticed(one: dict[str, Any]) -> dict[str, Any]:
    return {"segment": one["segment"], "what": one["what"], "noticed": _moment(one["noticed_ns"])}


def _moment(at_ns: int) -> str | None:
    return moment(at_ns) if at_ns else None


def _words(found: dict[str, Any]) -> Iterator[str]:
    yield f"NOTHING IS RECORDED: {found['why']}: everything is refused ({found['code']})" if found["why"] else "evidence is recorded"
    if "segment" in found:
        counts = counted(found["records"], "record"), counted(found["ledger_entries"], "ledger entry", "ledger entries")
        yield f"segment {found['segment']} is open, with {counts[0]}; {counts[1]}"
    for one in found["damaged"]:
        yield f"DAMAGED: {one['what']}" + (f" (noticed {one['noticed'][:19]}Z)" if one["noticed"] else "")
    if found["anchor"]:
        yield f"NOT ANCHORED: {found['anchor']}"
    if not found["why"]:
        part = f"not read whole since this start yet, only {found['read']} of {counted(found['sealed'], 'segment')}"
        yield f"what is sealed was {'last read whole until ' + found['checked'] if found['checked'] else part}"
