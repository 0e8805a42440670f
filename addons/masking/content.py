"""
Content: identifiers in what a database answers, found by their form wherever no declaration names their column.

The last layer. It sees what all others have let pass: cells, COPY data, results of the fast path, errors, notices,
notifications, reported settings. What it finds says that a declaration is missing, so each find is an alarm in the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from addons.masking.sought import FORMS, Found, sought
from addons.needs import Sink
from addons.sql.conditions import Conditions, Now, Table, conditions
from protocols.hooks import ContentHook, TextHook
from protocols.session import Session

_QUOTES = frozenset("MDHWqpcn") | {"payload", "value"}
"""Fields of errors, notices, notifications and parameters that may quote a value; the others are ours or the server's words."""


class Content:
    """
    :param mask: names of the detectors whose finds are starred out, letter for letter.
    :param alarm: of those whose finds are only recorded; all that know a form, unless anything is said.
    :param records: the site's own forms, such as { chart = 'CH-[0-9]{7}' }; named in `mask` or `alarm`, else in `mask`.
    :param clear: groups whose members see what comes as it is.
    :param where: conditions of a session, such as { targets = ["clinic"] }; every one, unless said.
    :param now: needed where they name hours or days.
    """

    def __init__(
        self, *, mask: Iterable[str] = (), alarm: Iterable[str] = (), records: Mapping[str, str] | None = None,
        clear: Iterable[str] = (), where: Mapping[str, object] | None = None, sink: Sink | None = None, now: Now | None = None,
    ) -> None:
        table = Table({"mask": mask, "alarm": alarm, "clear": clear}, "")
        own = table.faults.of(lambda: _records(records), {})
        known = (*FORMS, *own)
        masks, alarms = table.texts("mask", known, "detector"), table.texts("alarm", known, "detector")
        self._clear = table.texts("clear")
        if both := sorted(masks & alarms):
            table.wrong("alarm", f"{both[0]} is in mask too, where its finds are recorded anyway")
        masks |= own.keys() - alarms
        if not mask and not alarm:
            alarms = frozenset(FORMS)
        self._where: Conditions = table.faults.of(lambda: _where(where, now), Conditions())
        table.end()
        self._sought = sought(sorted(masks), sorted(alarms), own)
        self._sink = sink
        self._now = now

    def on_content(self, hook: ContentHook) -> Found | None:
        """What people were granted to see is shown, and counted all the same."""
        return Found(self._sought, only_alarm=hook.decision.reveal is not None) if self._looks(hook.session) else None

    def on_text(self, hook: TextHook) -> dict[str, str] | None:
        """Whatever other addons left of a text."""
        if not self._looks(hook.session):
            return None
        found, fields = Found(self._sought), dict(hook.fields)
        for name in _QUOTES & fields.keys():
            fields[name] = found.starred(fields[name].encode("utf-8", "surrogateescape"))[0].decode("utf-8", "surrogateescape")
        if found.alarm and self._sink is not None:
            self._sink.note(hook.session, "masking.content", {"alarm": found.alarm, "where": hook.kind})
        return fields if fields != hook.fields else None

    def _looks(self, session: Session) -> Any:
        if self._clear & session.identity.groups or not self._where.fits(session):
            return False
        return not self._where.timed or self._now is None or self._where.holds(self._now())


def _where(given: Mapping[str, object] | None, now: Now | None) -> Conditions:
    table = Table(dict(given or {}), "where")
    found = conditions(table)
    if found.timed and now is None:
        table.faults.wrong("where: it names hours or days, and no clock was given")
    table.end()
    return found


def _records(given: object) -> dict[str, str]:
    own = given if given is not None else {}
    if (
        not isinstance(own, Mapping) or not all(isinstance(text, str) for pair in own.items() for text in pair)
        or not own.keys().isdisjoint(FORMS)
    ):
        raise ValueError("records: names of your own to patterns, such as { chart = 'CH-[0-9]{7}' }")
    return dict(own)
