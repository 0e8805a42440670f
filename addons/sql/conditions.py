"""
Tables of `ostiary.toml` to the conditions of a rule: who, where, when. Refuses keys it does not know, by key path.

It lies on the shelf that the addons share; it knows no SQL and no addon.
"""

from __future__ import annotations

import datetime
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

from protocols.session import KINDS, Session

from addons.sql.complaints import Gathering

T = TypeVar("T")

Now = Callable[[], datetime.datetime]
"""The wall clock where the gateway's operator lives."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class Table:
    """
    One TOML table, taken apart key by key. What is wrong is kept until its `end`, so that all of it is said at once; a key
    at fault has its default.

    :param where: its key path, which begins every complaint; "" for the addon's own table.
    """

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, Mapping):
            raise ValueError(f"{where}: must be a table, such as {{ groups = [\"dba\"] }}")
        self._rest, self.where, self.faults = dict(table), where, Gathering()
        self._meant: set[str] = set()
        self._at = f"{where}." if where else ""

    def wrong(self, key: str, what: str) -> None:
        """Note what is wrong with a key, and how to mend it."""
        self._meant.add(key)
        self.faults.wrong(f"{self._at}{key}: {what}")

    def missing(self, what: str, *keys: str) -> None:
        """Note that one of these keys is needed; only a consequence, and left out, where one is wrong or probably misspelt."""
        if self._meant.isdisjoint(keys):
            self.wrong(keys[0], what)

    def texts(self, key: str, known: Iterable[str] | None = None, what: str = "value") -> frozenset[str]:
        """A list of strings, all of them in `known` when it is given."""
        value = self._rest.pop(key, ())
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
            self.wrong(key, "must be a list of strings")
            return frozenset()
        wrong = sorted(set(value) - set(known)) if known is not None else ()
        if wrong:
            named = [f"unknown {what} {text!r}{near(text, known)}" for text in wrong]
            self.wrong(key, f"{', '.join(named)}; known: {', '.join(sorted(known))}")
        return frozenset(value)

    def text(self, key: str, default: str = "", known: Iterable[str] | None = None) -> str:
        value = self._rest.pop(key, default)
        if not isinstance(value, str):
            self.wrong(key, "must be a string")
            return default
        if known is not None and value not in known:
            known = sorted(filter(None, known))
            self.wrong(key, f"unknown value {value!r}{near(value, known)}; known: {', '.join(known)}")
            return default
        return value

    def number(self, key: str, default: float | None = None, least: float = 0) -> float | None:
        value = self._rest.pop(key, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value <= least):
            self.wrong(key, f"must be a number above {least:g}")
            return default
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        value = self._rest.pop(key, default)
        if not isinstance(value, bool):
            self.wrong(key, "must be true or false")
        return value is True

    def has(self, key: str) -> bool:
        return key in self._rest

    def only(self, kind: type, *more: str) -> None:
        """Complain, before any value is looked at, about keys that are no field of a dataclass or of its conditions."""
        known = {field.name for each in (kind, Conditions) for field in fields(each)} - {"conditions"} | set(more)
        for key in [key for key in self._rest if key not in known]:
            del self._rest[key]
            self._meant.update(difflib.get_close_matches(key, list(known), 1))
            self.wrong(key, f"unknown key{near(key, known)}; take it out or correct its name")

    def end(self) -> None:
        """
        Nobody takes anything more.

        :raises Wrong: what nobody took, and whatever else was wrong.
        """
        for key in self._rest:
            self.wrong(key, "unknown key; take it out or correct its name")
        self._rest.clear()
        self.faults.end()


def near(text: str, known: Iterable[str]) -> str:
    """What was probably meant, as words in brackets; "" when nothing is like it."""
    found = difflib.get_close_matches(text, list(known), 1)
    return f" (did you mean {found[0]!r}?)" if found else ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Who, where and when. What is empty is not asked."""

    groups: frozenset[str] = frozenset()
    identities: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    databases: frozenset[str] = frozenset()
    hours: tuple[int, int] | None = None  #: minutes of the day; an end before the start is next morning's
    days: frozenset[str] = frozenset()

    def fits(self, session: Session) -> bool:
        """Whether a session is one of those meant, at any time."""
        identity = session.identity
        return (
            (not self.groups or not self.groups.isdisjoint(identity.groups))
            and (not self.identities or identity.subject in self.identities)
            and (not self.kinds or identity.kind in self.kinds)
            and (not self.targets or session.target.name in self.targets)
            and (not self.accounts or session.account in self.accounts)
            and (not self.databases or session.database in self.databases)
        )

    @property
    def timed(self) -> bool:
        return self.hours is not None or bool(self.days)

    def holds(self, now: datetime.datetime) -> bool:
        """Whether it is the time that is meant."""
        minute, day = now.hour * 60 + now.minute, now.weekday()
        start, end = self.hours or (0, 24 * 60)
        if end <= start and minute < end:
            day = (day - 1) % 7  # the night that began yesterday
        inside = start <= minute < end if start < end else minute >= start or minute < end
        return inside and (not self.days or DAYS[day] in self.days)


def conditions(table: Table) -> Conditions:
    """The conditions that a table names; takes their keys."""
    hours = table.text("hours")
    return Conditions(
        groups=table.texts("groups"),
        identities=table.texts("identities"),
        kinds=table.texts("kinds", KINDS, "kind"),
        targets=table.texts("targets"),
        accounts=table.texts("accounts"),
        databases=table.texts("databases"),
        hours=table.faults.of(lambda: _hours(hours, table.where), None) if hours else None,
        days=table.texts("days", DAYS, "day"),
    )


def _hours(text: str, where: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError(f"{where}.hours: must be written as \"08:00-18:00\"")
    a, b, c, d = map(int, found.groups())
    start, end = a * 60 + b, c * 60 + d
    if start == end or max(start, end) > 24 * 60:
        raise ValueError(f"{where}.hours: must name two different times of a day")
    return start, end


def all_of(make: Callable[[Table], T], value: object, where: str) -> list[T]:
    """
    What is made of every table of a list.

    :raises Wrong: all that is wrong with all of them.
    """
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: must be a list of tables")
    faults = Gathering()
    made = [faults.of(lambda at=at, item=item: (make(Table(item, f"{where}[{at}]")),), ()) for at, item in enumerate(value)]
    faults.end()
    return [one for found in made for one in found]
