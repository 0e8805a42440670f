"""
What control refused somebody, into the evidence: who tried what, from where, and why not.

Of each caller so many in a window are recorded each for itself, what is over that as one sum when the window ends. What
strangers try takes no room from those who proved who they are, so no flood of guesses hides what a known one tries. Sums
are kept with the counts of failed logins, so that a crash loses a second of them; what cannot be recorded now is in a sum later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from addons.needs import Clock
from gateway.control.caller import HTTPS, Caller
from gateway.control.errors import ControlError, StoreRefused
from gateway.control.outbox import Outbox
from gateway.control.when import iso

REFUSED = "control.refused"

WINDOW = 60.0  # seconds
EACH = 10  # of one caller in one window that are recorded each for itself
STRANGERS = 60  # of all strangers of one channel in one window; as many have a sum of their own, and the others one for them all
NAMED = 20  # requests, things tried and places they came from that a sum names
LONGEST = 200  # characters of what one caller said

_TOKEN = re.compile(r"(ost_[0-9a-f]{10})_[A-Za-z0-9_-]+")
_Key = tuple[str, str, str, str]  # channel, by, and of strangers from where, and subject; of those beyond the room, the channel alone


@dataclass(frozen=True, slots=True)
class Try:
    """
    :ivar tried: in the words of the command or the call. :ivar by: who proved to be who it is.
    :ivar subject: whose name, or whose token of the past, it came with where that proves nothing.
    """

    tried: str
    via: Caller
    by: str = ""
    subject: str = ""
    request: str = ""
    session: str = ""


@dataclass(slots=True)
class _Told:
    """What one caller tried in its window: how often each for itself, and what a sum is yet to tell."""

    since: float
    each: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, tried: Try, code: str) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        for names, name in ((self.tried, tried.tried), (self.requests, tried.request), (self.places, _place(tried.via))):
            if name and safe(name) not in names and len(names) < NAMED:
                names.append(safe(name))


class Tries:
    """
    Counts them and has them recorded.

    :ivar changed: whether `dump` says another thing than the last time.
    """

    def __init__(self, outbox: Outbox, clock: Clock) -> None:
        self._outbox, self._clock = outbox, clock
        self._told: dict[_Key, _Told] = {}
        self.changed = False

    def refused(self, tried: Try, error: ControlError, why: str = "", *, each: bool = True) -> None:
        """
        Somebody was told `error`. Never fails: a refusal stays one whether or not it can be recorded now.

        :param why: for the evidence, where it may know more than whoever tried. :param each: False for what only sums tell of.
        """
        told = self._of(tried)
        if each and told.each < EACH and (tried.by or sum(one.each for one in self._strangers(tried.via.channel)) < STRANGERS):
            told.each += 1
            if self._tell(_one(tried, error.code, why or error.record or error.why)):
                self.changed = True
                return
        told.add(tried, error.code)
        self.changed = True

    def flush(self, *, over: bool = False) -> None:
        """Tell the sums whose window has ended; `over`: all of them."""
        now = self._clock.seconds()
        for key, told in list(self._told.items()):
            if (over or now - told.since >= WINDOW) and (not told.codes or self._tell(_sum(key, told))):
                del self._told[key]
                self.changed = True

    def dump(self) -> list[Any]:
        """What must survive a restart."""
        self.changed = False
        return [[list(key), *astuple(told)] for key, told in self._told.items()]

    def load(self, dumped: list[Any]) -> None:
        for (channel, by, where, subject), *told in dumped:
            self._told[channel, by, where, subject] = _Told(*told)

    def _of(self, tried: Try) -> _Told:
        """What is known of the caller; strangers beyond the room for them share."""
        channel = tried.via.channel
        key = (channel, tried.by, "", "") if tried.by else (channel, "", _place(tried.via), safe(tried.subject))
        if key not in self._told and not tried.by and len(self._strangers(channel)) >= STRANGERS:
            key = (channel, "", "", "")
        return self._told.setdefault(key, _Told(self._clock.seconds()))

    def _strangers(self, channel: str) -> list[_Told]:
        return [told for key, told in self._told.items() if key[:2] == (channel, "")]

    def _tell(self, facts: Mapping[str, str]) -> bool:
        """Whether it is on its way into the evidence."""
        try:
            self._outbox.tell(REFUSED, facts)
        except StoreRefused:
            return False
        return True


def _one(tried: Try, code: str, why: str) -> dict[str, str]:
    facts = {"tried": tried.tried, "by": tried.by, "subject": tried.subject, "request": tried.request, "session": tried.session, "why": why}
    return {**{name: safe(value) for name, value in facts.items()}, "code": code, **tried.via.facts()}


def _sum(key: _Key, told: _Told) -> dict[str, str]:
    channel, by, _, subject = key
    return {
        "tried": ", ".join(told.tried), "by": by, "subject": subject, "requests": " ".join(told.requests),
        "times": str(sum(told.codes.values())), "since": iso(told.since), "code": " ".join(sorted(told.codes)),
        "why": ", ".join(f"{code}: {count}" for code, count in sorted(told.codes.items())),
        "channel": channel, "address" if channel == HTTPS else "os_user": ", ".join(told.places),
    }  # fmt: skip


def _place(via: Caller) -> str:
    """From where: an address, or whose process on this machine."""
    return via.address or via.os_user


def safe(text: str) -> str:
    """Without the secret of a token that somebody gave in the wrong place, and not longer than it is worth."""
    return _TOKEN.sub(r"\1_…", text)[:LONGEST]
