"""Access: who reaches what; unknown and forbidden are one answer."""

from __future__ import annotations

import datetime

import pytest

from addons.access import REFUSED, Access
from protocols.hooks import SessionHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow

RULES = [
    {"groups": ["engineers"], "targets": ["clinic"], "accounts": ["rw"]},
    {"name": "night", "identities": ["nightly"], "targets": ["clinic"], "databases": ["reports"]},
    {"groups": ["agents"], "kinds": ["agent"]},
]


def ask(access: Access, subject: str = "ada", kind: str = "human", groups: tuple[str, ...] = (), *, target: str = "clinic", account: str = "rw", database: str = "d") -> object:
    who = Identity(subject, kind, frozenset(groups))
    return access.on_session(SessionHook(Session("s", who, Target(target, "postgres", "h", 5432), account, database, "p")))


@pytest.mark.parametrize(("who", "where", "rule"), [
    ({"groups": ("engineers",)}, {}, "access[0]"), ({"groups": ("engineers",)}, {"account": "ro"}, None), ({"groups": ("engineers",)}, {"target": "x"}, None),
    ({}, {}, None), ({"subject": "nightly"}, {"database": "reports"}, "night"), ({"subject": "nightly"}, {"database": "d"}, None),
    ({"groups": ("agents",), "kind": "agent"}, {"target": "any", "account": "any"}, "access[2]"), ({"groups": ("agents",)}, {}, None),
])
def test_one_rule_that_fits_lets_in(who: dict[str, object], where: dict[str, str], rule: str | None) -> None:
    answer = ask(Access(rules=RULES), **who, **where)
    assert answer == (Allow(rule, remember=False) if rule else REFUSED)


def test_without_rules_nobody_enters() -> None:
    assert ask(Access(rules=[]), groups=("engineers",)) is REFUSED


def test_hours() -> None:
    rules = [{"groups": ["e"], "hours": "08:00-18:00"}]
    for hour, allowed in ((9, True), (20, False)):
        access = Access(rules=rules, now=lambda hour=hour: datetime.datetime(2026, 11, 23, hour))
        assert isinstance(ask(access, groups=("e",)), Allow) is allowed


@pytest.mark.parametrize(("rule", "complaint"), [
    ({"targets": ["clinic"]}, r"rules\[0\].groups: say who the rule is for"), ({"groups": ["e"], "target": ["x"]}, r"rules\[0\].target: unknown key"),
    ({"groups": ["e"], "hours": "08:00-18:00"}, r"rules\[0\].hours: no clock"), ({"kinds": ["x"]}, r"rules\[0\].kinds: unknown kind"),
])
def test_wrong_rules_are_named(rule: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Access(rules=[rule])


def test_the_answer_names_no_target() -> None:
    assert REFUSED.code == "OST-101" and "clinic" not in repr(REFUSED)
