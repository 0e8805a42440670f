"""
What the records of a command hold: fields in clear, and what goes into the encrypted body (`gateway.notary.record`, FIELDS and BODY_FIELDS).
"""

from __future__ import annotations

from typing import Any

from gateway.values import asked, short
from protocols.result import Outcome
from protocols.verdict import Decision, Deny

Contents = tuple[list[Any], list[Any]]
"""Fields and body."""


def intent(who: list[str | None], number: int, decision: Decision, revision: str) -> Contents:
    """
    Of a command that is about to leave.

    :param who: the session's: identity, on_behalf_of, account, database, peer.
    :param revision: of the policy.
    """
    command = decision.command
    text, name, oid, values = asked(command)
    sent = None if decision.sent in ("", text) else decision.sent
    fields = [
        number, command.path, decision.rule and short(decision.rule), decision.grant and short(decision.grant),
        decision.request and short(decision.request), decision.binding, sent is not None, len(values), len(decision.columns), revision,
    ]
    body = [*who, text, sent, values, decision.columns, decision.addon, name, oid]
    if decision.seen is not None and decision.seen.clear:
        body.append(decision.seen.clear)
    return fields, body


def refusal(who: list[str | None], number: int, decision: Decision, revision: str) -> Contents:
    """Of a command that was denied; as `intent`."""
    command, verdict = decision.command, decision.verdict
    text, name, oid, values = asked(command)
    deny = verdict if isinstance(verdict, Deny) else Deny("")
    sent = None if decision.sent in ("", text) else decision.sent
    fields = [
        number, command.path.value, short(decision.rule or deny.rule), short(deny.code), short(decision.request), short(decision.addon), revision,
    ]
    return fields, [*who, text, sent, values, deny.reason, deny.hint, deny.sqlstate, name, oid]


def outcome(number: int, ending: str, found: Outcome | None, micros: int) -> Contents:
    """Of a command that ended; None where nothing is known of it but how."""
    if found is None:
        return [number, ending, "", 0, 0, 0, 0, 0, ""], [(), (), "", {}, b""]
    fields = [
        number, ending, found.sqlstate and short(found.sqlstate), found.rows, found.bytes, found.cells_masked, found.copied_bytes, micros, found.transaction,
    ]
    facts = dict(sorted(found.facts.items())) if found.facts else {}
    return fields, [found.tags, found.columns, found.alarm, facts, found.copied_sha256]
