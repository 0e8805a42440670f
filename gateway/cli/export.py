"""
`ostiary audit export`: a bundle for whoever has to be shown. What cannot be proved is not handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from gateway.cli.filters import filtered
from gateway.cli.looking import Looking, opened, who
from gateway.cli.place import DAMAGED, PATH, UNREADABLE, Place, leave, located, trusted
from gateway.cli.show import record
from gateway.evidence import bundle
from gateway.evidence.cast import FORMATS
from gateway.evidence.left import left, unproved
from gateway.evidence.order import Chosen, by_number, told
from gateway.evidence.query import Query, Search
from gateway.evidence.readable import counted
from gateway.evidence.view import View
from gateway.notary import ledger
from gateway.notary.environment import Unfit
from gateway.notary.ledger import LedgerError
from gateway.notary.note import Verifier
from gateway.notary.record import BadRecord
from gateway.notary.verify import Report, check_copy, read_copy


def _ledger(view: View, public: Verifier, out: Path) -> list[bytes]:
    """
    Its entries. Leaves where they are not what the log's key signed: whoever verifies a bundle on them finds it tampered with. No bundle carries the
    copy of its checkpoint; what is wrong with that is said.
    """
    report = Report()
    copy = read_copy(report, view)
    try:
        packed, checkpoint = view.ledger()
        ledger.check(packed, checkpoint, public)
    except (Unfit, LedgerError, BadRecord) as e:
        leave(DAMAGED, f"{out} was not made: ledger: {e}: nothing can be proved of what is left: run `ostiary audit verify`")
    if copy is not None:
        check_copy(report, copy, packed, public)
    for what in (*report.problems, *report.gaps):
        click.echo(f"NOTE: {what}; the bundle has the ledger's own checkpoint", err=True)
    return packed


def _exported_whole(looking: Looking, out: Path) -> None:
    """Leaves where something could not be searched."""
    if looking.unsearched:
        leave(DAMAGED, f"{out} was not made: nobody could tell what is missing from what did not match: run `ostiary audit verify`; "
                       "--what-is-left exports the rest, and says in it what is missing", looking.told())


def _what_is_left(looking: Looking, packed: Sequence[bytes], public: Verifier) -> tuple[Looking, dict[int, str]]:
    """The same store without what cannot be proved, and what that is, of each segment."""
    rest = left(looking.view, packed, public.name)
    for what in rest.missing.values():
        click.echo(f"MISSING: {what}", err=True)
    return replace(looking, view=rest, unsearched=[]), dict(rest.missing)


@click.command()
@click.option("--out", required=True, type=PATH, help="A new directory.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--format", "form", type=click.Choice(["jsonl", *FORMATS]), default="jsonl", show_default=True,
    help="What to add to the records: asciicast also has recordings of terminals, for `asciinema play`.",
)
@click.option("--what-is-left", is_flag=True, help="Of a damaged store the rest; the bundle says what is missing, and is INCOMPLETE to who verifies it.")
@filtered
@located
def export(place: Place, query: Query, out: Path, form: str, as_json: bool, what_is_left: bool) -> None:
    """Write a bundle that verifies offline: the records that match, and what proves them."""
    public = trusted("", place)
    bundle.check_new(out)
    with opened(place) as looking:
        packed = _ledger(looking.view, public, out)
        missing: dict[int, str] = {}
        if what_is_left:
            looking, missing = _what_is_left(looking, packed, public)
        else:
            looking.note(unproved(looking.view, packed, public.name))
        _exported_whole(looking, out)
        query = looking.meant(query)
        asked = query.described()
        if looking.bodies is None and not asked:
            leave(UNREADABLE, "a bundle of the whole log without the body key could not be told from one whose bodies were taken out: "
                              "give --state DIR, or ask for less than the whole log")
        finder = Search(query, looking.bodies)
        chosen = Chosen.of(looking.find(finder))
        if not what_is_left:
            looking.note_changed(finder)
        _exported_whole(looking, out)
        if not chosen.records:
            looking.view.record_viewing("viewed", {"by": who(), "how": "export", "query": told(asked)})  # that it answered is recorded too
            looking.unnamed(query)
            leave(1, f"nothing matched, so {out} was not made; `ostiary audit search` takes the same filters")
        if looking.upto is not None and looking.bodies is not None:
            facts = {"by": who(), "out": out.name, **chosen.facts(looking.upto, asked, missing)}
            chosen.ordered(looking.view, looking.bodies, facts, looking.upto)
        else:
            click.echo("this export is not recorded in the log, so the bundle can only claim what was asked for", err=True)
        bundle.export(looking.view, public, chosen, looking.bodies, asked, out, form, missing)
    if as_json:
        recorded = chosen.order and f"{chosen.order[0]}/{chosen.order[1]}"
        record({"bundle": str(out), "query": asked, "records": chosen.records, "bodies": chosen.opened, "recorded": recorded, **({"missing": by_number(missing)} if missing else {})})
        return
    own = " and that of this export" if chosen.order else ""
    click.echo(f"{counted(chosen.records, 'record')}{own} in {out}; whoever gets it checks it with: ostiary audit verify {out} --key PUB")
