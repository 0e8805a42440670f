"""
`ostiary audit tail -f`: new records as the notary tells of them, over its restarts and whatever keeps it from recording.

Where it tells nothing, that is said, and looked again every second. The store itself is not opened meanwhile: that would keep a
notary from starting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from gateway.evidence.query import Found, Place, Search
from gateway.evidence.view import Damaged, LiveView, Unreadable, View, live
from gateway.notary.lives import by_segment

BEAT = 1.0  # seconds between two looks for a notary


class Patience:
    """Waits for a notary, and says why: once of each reason, and when it is over."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._why = say, ""

    def wait(self, why: Unreadable) -> None:
        if str(why) != self._why:
            self._say(f"{why}; waiting")
        self._why = str(why)
        time.sleep(BEAT)

    def over(self) -> None:
        if self._why:
            self._say("the notary records again")
        self._why = ""


class Following:
    """
    :param finder: has been fed all that came before `start`.
    :param show: told what matches. :param say: told what is waited for, and that it is over.
    :param began: told of each notary that is followed, before anything of it is shown; the first was told of already if `told`.
    """

    def __init__(
        self, store: Path, finder: Search, start: Place, show: Callable[[Found], None], say: Callable[[str], None],
        began: Callable[[View], object], told: bool,
    ) -> None:
        self._store, self._finder, self._place = store.resolve(), finder, start
        self._show, self._say, self._began, self._told = show, say, began, told

    def run(self) -> None:
        """Until interrupted."""
        patience = Patience(self._say)
        while True:
            try:
                with closing(live(self._store)) as view:
                    self._follow(view, patience)
            except Damaged:
                raise
            except Unreadable as e:
                patience.wait(e)
            self._told = False  # the next one hears anew that somebody looks

    def _follow(self, view: LiveView, patience: Patience) -> None:
        for newest, _ in view.follow():
            if not self._told:
                self._began(view)
                self._told = True
            patience.over()
            self._read(view, newest)

    def _read(self, view: LiveView, newest: int) -> None:
        """Everything up to here."""
        while True:
            number, index = self._place
            page, _ = view.page(number, index)
            for row in page:
                found, self._place = self._finder.feed(row), (number, row[0] + 1)
                if found is not None:
                    self._show(found)
            if not page and number >= newest:
                return
            if not page:
                self._place = number + 1, 0


def behind(view: View) -> Place:
    """Where the next notary of a stopped store will record: in a segment of its own. Raises Damaged."""
    return max(by_segment(view.events()), default=0) + 1, 0
