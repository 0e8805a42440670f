"""
Access: which identities reach which targets, with which accounts and databases. Nothing is dialled before it says yes.

An unknown target and a forbidden one get the same answer, so that nobody can list targets by asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from protocols.hooks import SessionHook
from protocols.verdict import Allow, Deny, Verdict

from addons.sql.conditions import Conditions, Now, Table, all_of, conditions

REFUSED = Deny(
    "there is no such target, account or database for you",
    "OST-101",
    hint="ask the gateway's operator for access",
    sqlstate="28000",
)
"""Also what the gateway answers for a target, account or database that it does not know."""


class Access:
    """
    :param rules: tables of groups, identities, kinds, targets, accounts, databases, hours, days; one that fits lets in.
    :param now: needed by rules with hours.
    """

    def __init__(self, *, rules: Iterable[Mapping[str, object]], now: Now | None = None) -> None:
        self._rules = all_of(lambda table: _rule(table, now), rules, "rules")
        self._now = now

    def on_session(self, hook: SessionHook) -> Verdict:
        for name, fits in self._rules:
            if fits.fits(hook.session) and (not fits.timed or fits.holds(self._now())):
                return Allow(name, remember=False)
        return REFUSED


def _rule(table: Table, now: Now | None) -> tuple[str, Conditions]:
    table.only(Conditions, "name")
    name, fits = table.text("name", f"access{table.where.removeprefix('rules')}"), conditions(table)
    if not (fits.groups or fits.identities or fits.kinds):
        table.missing("say who the rule is for: groups, identities or kinds", "groups", "identities", "kinds")
    if fits.timed and now is None:
        table.wrong("hours", "no clock was given")
    table.end()
    return name, fits
