"""
What the configuration lets people reveal: masking's columns at a target, on whose word, how often, and for how long at most.

Asked when a reveal is submitted and again at each yes, so that nobody approves what would show nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.config import MASKING, AddonEntry

if TYPE_CHECKING:
    from addons.masking.reveals import Rule


def barred(addons: Sequence[AddonEntry], asked: Mapping[str, Any]) -> str:
    """
    Why a reveal would show nothing, and what can be asked for instead; "" where it would.

    :param asked: target, database, columns, uses (0 is any number), lifetime (seconds), approvers, quorum.
    :raises ValueError: the configuration is not understood, with the way to mend it.
    """
    offered = _offered(addons, asked["target"], asked["database"])
    for column in asked["columns"]:
        if column not in offered:
            there = ", ".join(sorted(offered)) or "none"
            return f"{column} is no declared masked column of {asked['target']}, database {asked['database']}; there are: {there}"
        for rule in offered[column]:
            why = _beyond(asked, rule) if rule else f"masking has no `reveal` for {column}, so nobody may let others see it"
            if why:
                return why
    return ""


def _offered(addons: Sequence[AddonEntry], target: str, database: str) -> dict[str, list[Rule | None]]:
    """The rule of each addon that masks it there, by column."""
    from addons.masking.declared import declarations  # with the parser, which control loads where it is asked for
    from addons.masking.reveals import rule

    found: dict[str, list[Rule | None]] = {}
    for entry in addons:
        if entry.use != MASKING:
            continue
        terms = rule(entry.options.get("reveal"))
        for declared in declarations(entry.options.get("columns", ())):
            if declared.holds(target, database):
                found.setdefault(declared.label, []).append(terms)
    return found


def _beyond(asked: Mapping[str, Any], rule: Rule) -> str:
    """What of it the rule does not allow."""
    if rule.uses and not 0 < asked["uses"] <= rule.uses:
        return f"uses: {asked['uses'] or 'any number'} is more than masking's `reveal` allows; ask for {rule.uses} or fewer"
    if asked["lifetime"] > rule.lifetime:
        return f"lifetime: {asked['lifetime']:g} s is longer than masking's `reveal` allows; ask for {rule.lifetime:g} s or less"
    if asked["quorum"] < rule.quorum:
        return f"quorum: masking's `reveal` wants {rule.quorum} people to say yes; ask for {rule.quorum} or more"
    if strangers := set(asked["approvers"]) - rule.approvers:
        may = ", ".join(sorted(rule.approvers))
        return f"approvers: the yes of {', '.join(sorted(strangers))} does not count for masking's `reveal`; ask {may}"
    return ""
