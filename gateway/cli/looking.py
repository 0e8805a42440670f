"""
An open store that a command looks at: that somebody looks is recorded first, and what cannot be looked at is said.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import click

from gateway.cli.place import DAMAGED, Place
from gateway.cli.show import record
from gateway.evidence.missing import missing
from gateway.evidence.named import session_meant, unnamed
from gateway.evidence.order import told
from gateway.evidence.query import Found, Query, Search, search
from gateway.evidence.readable import clean
from gateway.evidence.view import View, open_view
from gateway.notary.body import Bodies


@dataclass(frozen=True, slots=True)
class Looking:
    """
    An open store.

    :param upto: where it ended before somebody began to look; None where nobody writes it.
    :param unsearched: what could not be looked at: what its ledger names and is not here; what is not as it was recorded.
    """

    view: View
    bodies: Bodies | None
    upto: tuple[int, int] | None
    unsearched: list[str]

    def meant(self, query: Query) -> Query:
        """The same query with the whole id of the session that it names."""
        return replace(query, session=session_meant(query.session, self.view)) if query.session else query

    def find(self, finder: Search) -> Iterator[Found]:
        """What matches, without the record of this looking."""
        here = [number for number in sorted(self.view.present()) if self.view.files(number) is not None]  # of the others `missing` tells
        return search(self.view, finder, [number for number in here if not self._unfit(number)], upto=self.upto)

    def _unfit(self, number: int) -> bool:
        """Whether a segment is not what was sealed; said once."""
        why = self.view.unfit(number)
        if why:
            self.note([f"segment {number}: {why}"])
        return bool(why)

    def note(self, unsearched: Iterable[str]) -> None:
        """Say what could not be looked at, each once."""
        for what in unsearched:
            if what not in self.unsearched:
                click.echo(f"NOT SEARCHED: {what}", err=True)
                self.unsearched.append(what)

    def unnamed(self, query: Query) -> None:
        """Say what no record names: it is mistyped, probably."""
        for what in unnamed(query, self.find, self.bodies):
            click.echo(f"no record names {clean(what)}", err=True)

    def told(self) -> dict[str, list[str]]:
        """As programs are told what could not be looked at."""
        return {"not_searched": self.unsearched} if self.unsearched else {}

    def finish(self, finder: Search, as_json: bool) -> None:
        """Last, what could not be looked at."""
        self.note_changed(finder)
        if as_json and self.unsearched:
            record(self.told())

    def note_changed(self, finder: Search) -> None:
        """Bodies that are not those that were recorded, said as `verify` says it."""
        self.note(f"segment {number}: the body of record {index} was changed" for number, index in finder.changed)


@contextmanager
def opened(place: Place) -> Iterator[Looking]:
    """An open store, of which nothing is shown yet."""
    view = open_view(place.store)
    try:
        bodies = place.bodies()
        if bodies is None:
            click.echo("bodies stay closed: no body key here (--state DIR)", err=True)
        looking = Looking(view, bodies, view.end(), [])
        looking.note(missing(view))
        yield looking
    finally:
        view.close()


@contextmanager
def viewing(place: Place, how: str, query: dict[str, str]) -> Iterator[Looking]:
    """An open store; that it is looked at is recorded first, where a notary is there to do so."""
    with opened(place) as looking:
        if looking.bodies is not None and not looking.view.record_viewing("viewed", viewed(how, query)):
            click.echo("the store is stopped: this viewing is not recorded in it", err=True)
        yield looking
    if looking.unsearched:
        sys.exit(DAMAGED)


def viewed(how: str, query: dict[str, str]) -> dict[str, str]:
    """What is recorded of a looking."""
    return {"by": who(), "how": how, **({"query": told(query)} if query else {})}


def who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
