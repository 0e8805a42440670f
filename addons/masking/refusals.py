"""
What a refused statement is told: which column or name, why, and what to ask for. One function a reason.

Codes are stable; `docs/errors.md` explains each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from addons.sql.lineage import Use
from addons.sql.prepared import UNTOLD
from protocols.verdict import Deny

RULE = "masking"
SUBSCRIPTIONS = "pg_catalog.pg_subscription"


def _deny(code: str, reason: str, hint: str, *facts: tuple[str, str], sqlstate: str = "42501") -> Deny:
    return Deny(reason, code=code, rule=RULE, hint=hint, facts=facts, sqlstate=sqlstate)


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(sorted(labels))


def _are(labels: Iterable[str]) -> str:
    """Names and their verb."""
    named = sorted(labels)
    return f"{', '.join(named)} {'is' if len(named) == 1 else 'are'}"


def unparsable(why: str) -> Deny:
    return _deny("OST-501", f"the statement could not be read: {why}", "mend the statement", sqlstate="42601")


def opaque_kind(kind: str) -> Deny:
    return _deny(
        "OST-502",
        f"{kind} is refused while you see masked columns: what it would do cannot be seen from here",
        "ask somebody with clear access to run it",
    )


def untold_name() -> Deny:
    return _deny("OST-502", f"EXECUTE is refused: {UNTOLD}", "prepare it again", sqlstate="26000")


def unlisted(call: str, vouchable: bool) -> Deny:
    """:param vouchable: it is a user's function, which the gateway's operator may list."""
    listing = "ask the gateway's operator to add it to the masking addon's \"functions\", if it returns none"
    return _deny(
        "OST-503",
        f"{call} is not known to be free of masked values",
        listing if vouchable else "leave it out, or ask somebody with clear access to run it",
        ("call", call),
    )


def unsettled(call: str) -> Deny:
    return _deny(
        "OST-527",
        f"{call} was made or changed by this transaction, so it is not known yet to be free of masked values",
        "commit first, or change it outside of this transaction",
        ("call", call),
    )


def overtaken(why: str) -> Deny:
    return _deny("OST-528", f"what the statement would show is not known any more: {why}", "run it again")


def untold() -> Deny:
    return _deny(
        "OST-531",
        "another worker of the gateway cannot be told that names are about to change their meaning, and would show rows as if they did not",
        "try again shortly",
    )


def ambiguous(name: str, meanings: Sequence[str]) -> Deny:
    return _deny(
        "OST-504",
        f'"{name}" may be {" or ".join(meanings)}, and one of them is masked',
        "write the schema before the name",
        ("name", name),
    )


def holds_values(relation: str) -> Deny:
    return _deny(
        "OST-505",
        f"{relation} may hold values of masked columns or secrets",
        "pg_dump leaves it out with --no-subscriptions" if relation == SUBSCRIPTIONS else "ask for clear access",
        ("relation", relation),
    )


def changed(name: str) -> Deny:
    return _deny(
        "OST-529",
        f'what "{name}" stands for may be masked in another way now than when it was given that name: masks, views or the search path changed',
        "prepare or declare it again, under another name",
        sqlstate="0A000",
    )


def unknown(names: Iterable[str]) -> Deny:
    named = _listed(names)
    return _deny("OST-506", f'relation "{named}" does not exist', "", ("relation", named), sqlstate="42P01")


def decided_by_mask(use: Use) -> Deny:
    columns = _listed(use.taint)
    if use.where == "a system column":
        return _deny(
            "OST-511",
            f"{columns}: system columns of a masked relation are not offered",
            "leave it out",
            ("columns", columns),
        )
    return _deny(
        "OST-510",
        f"{_are(use.taint)} masked for you and would decide in {use.where}, where only masks would be compared",
        f"leave it out of {use.where}, or ask for clear access to {columns}",
        ("columns", columns),
        ("position", use.where),
    )


def too_many_lookups(limit: int) -> Deny:
    return _deny(
        "OST-518",
        f"more than {limit} values of masked columns were looked up in a minute",
        "wait a minute, or ask for clear access",
        sqlstate="53400",
    )


_COMPARES = ("OST-510", "OST-514")
"""Refusals of comparisons, some of which would be answered without a floor."""


def on_floor(deny: Deny) -> Deny:
    """A refusal, said to who is on an account's floor: that may be why nothing is compared, not even what may be looked up."""
    if deny.code not in _COMPARES:
        return deny
    said = "this session is on the target's floor, whose role reads no masked column: there nothing is compared with one, nor looked up by one"
    return replace(deny, hint=f"{said}; {deny.hint}, or choose an account without a floor")


def below_floor(what: str, columns: Iterable[str]) -> Deny:
    named = _listed(columns)
    return _deny(
        "OST-519",
        f"{what} needs {named} itself, which this session's role on the target may not read",
        "leave it out, or ask for clear access",
        ("columns", named),
    )


def cannot_mask(what: str, relation: str) -> Deny:
    return _deny(
        "OST-512",
        f"{what} reaches {relation}, which has columns masked for you, and cannot be masked",
        "use a plain SELECT, or ask for clear access",
        ("relation", relation),
    )


def writes_masked(columns: Iterable[str]) -> Deny:
    columns = list(columns)
    named = _listed(columns)
    return _deny(
        "OST-513",
        f"{_are(columns)} masked for you, so you may not write it: a mask could replace the real value",
        f"write only other columns, or ask for clear access to {named}",
        ("columns", named),
    )


def saves_mask(column: str) -> Deny:
    return _deny(
        "OST-526",
        f"a mask of {column} would be written to it, in the place of the real value",
        "write other columns, or the value itself; if masks are meant, ask the gateway's operator for `refuse_masks = false`",
        ("columns", column),
    )


def write_reads_masked(columns: Iterable[str]) -> Deny:
    columns = list(columns)
    named = _listed(columns)
    return _deny(
        "OST-514",
        f"{_are(columns)} masked for you and would be read by a write or returned from it",
        "leave it out, or ask for clear access",
        ("columns", named),
    )


def answers(relation: str) -> Deny:
    return _deny(
        "OST-523",
        f"{relation} compares columns that are masked for you with what may be written: its rows would answer guesses",
        "read its tables instead, or ask for clear access",
        ("relation", relation),
    )


def tied(relation: str, columns: Iterable[str]) -> Deny:
    columns = list(columns)
    return _deny(
        "OST-524",
        f"{_are(columns)} masked for you, and whether this write of {relation} succeeds would tell of it: a constraint,"
        " an index, a generated column or a foreign key compares the two",
        "write other columns, or ask for clear access",
        ("columns", _listed(columns)),
    )


def partition(relation: str) -> Deny:
    return _deny(
        "OST-525",
        f"{relation} is a partition by a column that is masked for you: which rows are in it would tell of that",
        "name the whole table",
        ("relation", relation),
    )


def unproven(why: str) -> Deny:
    return _deny("OST-515", f"the statement could not be masked with certainty: {why}", "write it more simply")


def undermines(what: str) -> Deny:
    return _deny(
        "OST-516", f"{what} would change what masking is declared for", "ask somebody with clear access to run it"
    )


def settings(name: str) -> Deny:
    return _deny(
        "OST-517", f"{name} may not be off: statements would mean something else than they say", "leave it on"
    )


def computed_setting() -> Deny:
    return _deny(
        "OST-517",
        "set_config() with a computed name may set standard_conforming_strings, under which statements mean something else",
        "write the setting's name as a literal",
    )


def misdeclared(why: str) -> Deny:
    return _deny(
        "OST-520", f"everything on this target is refused: {why}", "the gateway's operator must mend `columns`; `ostiary target check NAME` says the same without a session"
    )


def no_catalog() -> Deny:
    return _deny(
        "OST-521", "the target's catalog cannot be read now, so nothing can be masked with certainty", "try again later"
    )


def fastpath(function: str) -> Deny:
    return _deny("OST-530", f"{function} may not be called by the fast path while you see masked columns", "use SELECT")
