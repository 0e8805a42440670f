"""
What addons answered: whether it has the form that it must have, and what stands in its place where it has not.
"""

from __future__ import annotations

from typing import Any

from protocols.hooks import AskCommandHook, AskHook, CommandHook, Hook, JudgeHook, LeavingHook, RewriteHook, SessionHook
from protocols.result import MaskPlan
from protocols.verdict import Allow, Deny, Hold, Replace, Verdict

ANSWERS: dict[str, tuple[type, ...]] = {
    SessionHook.method: (Allow, Deny),
    RewriteHook.method: (Allow, Deny, Replace),
    JudgeHook.method: (Allow, Deny, Hold),
    AskHook.method: (Allow, Deny, Hold),
    CommandHook.method: (Allow, Deny, Hold),
    AskCommandHook.method: (Allow, Deny, Hold),
    LeavingHook.method: (Allow, Deny),
}


_NOTHING = Allow()


def verdict_of(name: str, hook: Hook, answer: Any) -> Verdict:
    """An addon's answer, if it is one that this hook may have."""
    if answer is None:
        return _NOTHING
    if isinstance(answer, ANSWERS[hook.method]):
        return answer
    return broken(name, "gave an answer that is no verdict here")


def broken(name: str, what: str) -> Deny:
    return Deny(f"the addon {name} {what}, so nothing passes", code="OST-901", hint="tell the gateway's operator")


def sendable(answer: Any, fields: dict[str, str]) -> bool:
    """Whether an addon's text has the form of the message that it stands for."""
    if not isinstance(answer, dict) or not all(isinstance(v, str) and "\0" not in v for v in answer.values()):
        return False
    if any(len(key) > 1 for key in fields):  # a notification or a parameter: the names are ours
        return answer.keys() == fields.keys()
    return all(isinstance(key, str) and len(key) == 1 and key.isalpha() and key.isascii() for key in answer)


_PLAIN = frozenset({"S", "V", "C", "channel", "name"})  # fields that name something and quote nothing


def withheld(fields: dict[str, str]) -> dict[str, str]:
    """A message of the same form that tells nothing."""
    shown = {k: v if k in _PLAIN else "" for k, v in fields.items() if k in _PLAIN or len(k) > 1}
    return shown if any(len(key) > 1 for key in fields) else shown | {"M": "text withheld (OST-901)"}


def both(one: MaskPlan | None, other: MaskPlan | None) -> MaskPlan | None:
    """Masks only add up: where either masks, the cell is masked; the first one's way wins."""
    if one is None or other is None:
        return one or other
    cells = tuple(b if a is None else a for a, b in zip(one.cells, other.cells, strict=True))
    return MaskPlan(cells, "; ".join(filter(None, (one.alarm, other.alarm))), one.withheld or other.withheld)
