"""
What policy says to whom it refuses something: stable codes, reasons and what to do next. No value is in it.
"""

from __future__ import annotations

from protocols.command import Command, Statement
from protocols.verdict import Deny

from addons.sql.assess import UNSETTLED
from addons.sql.prepared import STRANGER, UNTOLD
from addons.sql.rules import Ruling
from addons.sql.samples import WHY

VAGUE = "which is without its schema"
"""What a reason ends in where a rule allows one schema's relation, and the name may be another's."""

_CODES = {
    "unparsable": "OST-201", "unknown": "OST-202", "write-unfiltered": "OST-204", "function-unlisted": "OST-205",
    "server-config": "OST-206", "dynamic": "OST-209",
}
_HINTS = {
    "write-unfiltered": "Compare a key of the written table with constants: WHERE id = …, or id IN (…).",
    "function-unlisted": "Ask the gateway's operator to add the function to Policy's `functions`.",
    "unparsable": "Correct the statement; PostgreSQL's own grammar refuses it.",
    "dynamic": "Prepare the statement in this session with PREPARE, and run it as it is written.",
}
_SETTING = "Do without, or ask the gateway's operator to allow it: `search_paths` names search paths, `session_settings` other settings."
_SETTLE = "Commit first, or change it outside of this transaction: what it means now is not in the catalog yet."

OVERTAKES = Deny(
    "The statement changes what a portal may call that is still open in this session.", "OST-217",
    hint="Read the portal to its end or close it, and send it again.",
)  # fmt: skip

LOST = Deny(f"EXECUTE is refused: {UNTOLD}.", "OST-209", hint="Prepare it again.", sqlstate="26000")
BLINDS = Deny(
    "The statement sets what would make text ambiguous (standard_conforming_strings, client_encoding): no other could be judged.",
    "OST-207", hint="Leave standard_conforming_strings on, and client_encoding at UTF8 or a single-byte one.",
)  # fmt: skip

MOVED = Deny(
    "The search path changed while the statement was looked at.", "OST-219", hint="Send it again.", sqlstate="40001",
)  # fmt: skip

CLOSED = Deny(
    "What the cursor was opened for is not simply allowed any more.", "OST-218", hint="Open it again.", sqlstate="0A000",
)  # fmt: skip

_ASK = "Ask the gateway's operator for a rule about this class, or do without."
_PLACE = "Write the schema before the relation's name: a rule allows it by that, and only the search path says which one the name alone is."


def named(ruling: Ruling, command: Command) -> tuple[tuple[str, str], ...]:
    """What of a rule's relations and columns the command's text has, which its client so knows already: key, names. What is only behind them is not told."""
    text = command.text.lower() if isinstance(command, Statement) else ""
    known = ((key, [name for name in sorted(names) if name.rpartition(".")[2].lower() in text]) for key, names in ruling.names)
    return tuple((key, ", ".join(names)) for key, names in known if names)


def naming(ruling: Ruling, command: Command) -> str:
    """The same as words behind a reason; "" for none."""
    found = ", ".join(names for _, names in named(ruling, command))
    return f" ({'it names' if ruling.rule is not None else 'no rule allows'} {found})" if found else ""


def denied(ruling: Ruling, name: str, command: Command) -> Deny:
    """What is said where a rule refuses, or nothing allows. :param name: the rule's, "" for none."""
    code = _CODES.get(ruling.kind, "OST-200")
    if ruling.rule is not None:
        code = "OST-203"
        own = ruling.rule.reason and WHY in ruling.why and f"{ruling.rule.reason} (the statement {ruling.why})"
        reason = own or ruling.rule.reason or f"Rule {name} refuses it: the statement {ruling.why}."
    else:
        reason = f"Policy refuses class {ruling.kind}: the statement {ruling.why}."
    usual = _SETTING if ruling.kind == "server-config" and ruling.why.startswith("sets ") else _HINTS.get(ruling.kind, _ASK if code == "OST-200" else "")
    hint = (ruling.rule.hint if ruling.rule else "") or usual
    if VAGUE in ruling.why:
        hint = _PLACE
    if UNSETTLED in ruling.why:
        code, hint = code if ruling.rule is not None else "OST-217", _SETTLE
    unknown = code == "OST-209" and ruling.why == STRANGER
    return Deny(
        reason + naming(ruling, command), code, rule=name, hint=hint, sqlstate="42601" if code == "OST-201" else "26000" if unknown else "42501",
        facts=(("class", ruling.kind), *named(ruling, command)),
    )
