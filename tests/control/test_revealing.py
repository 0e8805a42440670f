"""Reveals at control: who lets whom see what, for how long, how often, and what ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.config import AddonEntry
from gateway.control import request as shape
from gateway.control.errors import BadCall, Conflict, NotAllowed
from gateway.control.office import Office
from gateway.control.reveals import binding
from test_requests import ADA, GRACE, JOAN, MARY
from tests.fired import got
from tests_people import MASKED

SSN = "public.patients.ssn"
RULE = {"approvers": ["approvers"], "quorum": 1, "lifetime": 3600, "uses": 5}
PLACE = (JOAN, "clinic", "rw", "clinicdb")


def submitted(office: Office, uses: int = 1, subject: str = JOAN, columns: list[str] | None = None, **changes: Any) -> str:
    asked = {
        "target": "clinic", "account": "rw", "database": "clinicdb", "why": "a call", "approvers": ["approvers"], "quorum": 1,
        "timeout": 300.0, "lifetime": 600.0, **changes,
    }  # fmt: skip
    told = office.requests.reveals.submit(subject, asked, columns or [SSN], uses)
    return told["id"]


def seen(office: Office, rule: dict[str, Any] = RULE, place: tuple[str, ...] = PLACE) -> list[str]:
    return [one["request"] for one in office.requests.reveals.found(*place, rule)]


def test_a_reveal_is_told_to_the_notary_before_anybody_may_use_it(office: Office, notary: Any) -> None:
    request = submitted(office, 3)
    assert seen(office) == [] and office.requests.reveals.live() == []
    got(office.requests.approve(request, GRACE))
    (grant,) = notary.grants
    assert (grant["uses"], grant["binding"]) == (3, binding(JOAN, None, "clinic", "rw", "clinicdb", [SSN]))
    (found,) = office.requests.reveals.found(*PLACE, RULE)
    assert (found["grant"], found["columns"]) == (grant["grant"], [SSN])
    assert office.requests.reveals.live() == [[request, *PLACE]]


@pytest.mark.parametrize("place", [(ADA, "clinic", "rw", "clinicdb"), (JOAN, "other", "rw", "clinicdb"), (JOAN, "clinic", "ro", "clinicdb"), (JOAN, "clinic", "rw", "x")])
def test_a_reveal_is_for_one_identity_target_account_and_database(office: Office, place: tuple[str, ...]) -> None:
    got(office.requests.approve(submitted(office), GRACE))
    assert seen(office, place=place) == []


@pytest.mark.parametrize("change", [{"approvers": ["privacy"]}, {"quorum": 2}, {"lifetime": 599}, {"uses": 4}])
def test_the_configuration_decides_whose_yes_counts_and_for_how_much(office: Office, change: dict[str, Any]) -> None:
    got(office.requests.approve(submitted(office, 5), GRACE))
    assert seen(office) and not seen(office, RULE | change)
    assert seen(office, RULE | {"uses": 0})


def test_any_number_of_uses_needs_a_rule_that_says_so(office: Office) -> None:
    got(office.requests.approve(submitted(office, 0), GRACE))
    assert not seen(office) and seen(office, RULE | {"uses": 0})


def test_the_one_who_asked_and_who_acts_for_whom_do_not_count(office: Office) -> None:
    with pytest.raises(NotAllowed):
        office.requests.approve(submitted(office, subject=GRACE), GRACE)
    with pytest.raises(NotAllowed):
        office.requests.approve(submitted(office, subject="claude"), ADA)


def test_a_quorum_counts_people(office: Office) -> None:
    request = submitted(office, quorum=2)
    got(office.requests.approve(request, GRACE))
    assert seen(office) == []
    got(office.requests.approve(request, MARY))
    assert seen(office, RULE | {"quorum": 2}) == [request]


def test_what_was_used_is_not_offered_again(office: Office) -> None:
    request = submitted(office, 2)
    got(office.requests.approve(request, GRACE))
    office.requests.reveals.used(request)
    assert seen(office) == [request]
    assert [shape.summary(one)["state"] for one in office.requests.listed()] == ["granted"]
    office.requests.reveals.used(request)
    assert seen(office) == []


def test_a_reveal_without_a_use_left_counts_nowhere_but_for_the_statement_that_it_still_answers(office: Office) -> None:
    told: list[Any] = []
    request = submitted(office, 1)
    got(office.requests.approve(request, GRACE))
    office.requests.reveals.changed = lambda: told.append(office.requests.reveals.live())
    office.requests.reveals.used(request)
    assert told == [[[request]]]


def test_a_reveal_without_a_use_left_is_listed_as_spent(office: Office) -> None:
    """Also while it is kept until its time ends; one for any number of statements never is."""
    for uses, state in ((1, "spent"), (0, "granted")):
        request = submitted(office, uses)
        got(office.requests.approve(request, GRACE))
        office.requests.reveals.used(request)
        record = office.requests.get(request)
        assert shape.summary(record)["state"] == shape.shown(record)["state"] == state
        assert [one["id"] for one in office.requests.listed()] == ([request] if state == "granted" else [])
        assert request in [one["id"] for one in office.requests.listed(True)]


@pytest.mark.parametrize("after", ["in time", "after a restart"])
def test_what_is_spent_stays_spent_and_is_not_said_to_have_expired(
    open_office: Callable[[], Office], clock: Clock, notary: Any, after: str
) -> None:
    """Its time ends as well: no expiry is in the evidence, and it shows nothing any more."""
    office = open_office()
    spent, unspent = (submitted(office, uses) for uses in (1, 2))
    for request in (spent, unspent):
        got(office.requests.approve(request, GRACE))
        office.requests.reveals.used(request)
    if after == "after a restart":
        office.requests.stop()
        clock.advance(3601)
        office = open_office()
        clock.advance(0)
    else:
        clock.advance(3601)
    assert {one["id"]: shape.summary(one)["state"] for one in office.requests.listed(True)} == {spent: "spent", unspent: "expired"}
    assert [one["id"] for one in office.requests.expired()] == [unspent] and office.requests.reveals.live() == []
    assert [facts["request"] for kind, facts in notary.notes if kind == "request.expired"] == [unspent]


def test_time_ends_it(office: Office, clock: Clock) -> None:
    told: list[bool] = []
    office.requests.reveals.changed = lambda: told.append(True)
    got(office.requests.approve(submitted(office, 0), GRACE))
    clock.advance(601)
    assert office.requests.reveals.live() == [] and len(told) == 2


def test_revoking_ends_it_at_once(office: Office, notary: Any) -> None:
    request = submitted(office, 0)
    with pytest.raises(Conflict):
        office.requests.reveals.revoke(request, GRACE, "")
    got(office.requests.approve(request, GRACE))
    with pytest.raises(NotAllowed):
        office.requests.reveals.revoke(request, "claude", "")
    office.requests.reveals.revoke(request, MARY, "enough")
    assert seen(office, RULE | {"uses": 0}) == [] and office.requests.reveals.live() == []
    assert "reveal.revoked" in notary.kinds()


def test_a_revoked_identity_sees_nothing(office: Office) -> None:
    got(office.requests.approve(submitted(office), GRACE))
    with office.store.write() as txn:
        office.identities.revoke(txn, JOAN, "local", "")
    assert seen(office) == []


def test_kill_9_forgets_neither_a_reveal_nor_its_uses(open_office: Callable[[], Office]) -> None:
    office = open_office()
    request = submitted(office, 2)
    office = open_office()
    got(office.requests.approve(request, GRACE))
    office = open_office()
    assert seen(office) == [request]
    office.requests.reveals.used(request)
    office = open_office()
    office.requests.reveals.used(request)
    office = open_office()
    assert seen(office) == []


def test_a_yes_that_the_notary_has_not_heard_reveals_nothing(open_office: Callable[[], Office], notary: Any) -> None:
    office = open_office()
    request = submitted(office)
    notary.down = True
    office.requests.approve(request, GRACE)
    assert seen(office) == []
    notary.down = False
    office = open_office()
    assert seen(office) == [request] and len(notary.grants) == 1


def ruled(office: Office, **rule: Any) -> None:
    """The configuration says so from here on."""
    options = dict(MASKED.options) | {"reveal": dict(MASKED.options["reveal"]) | rule}
    office.requests.reveals.addons = [AddonEntry(MASKED.use, options)]


BEYOND: dict[str, tuple[dict[str, Any], str]] = {
    "too often": ({"uses": 5}, "uses: 5 is more than masking's `reveal` allows; ask for 3 or fewer"),
    "any number": ({"uses": 0}, "uses: any number is more than"),
    "too long": ({"lifetime": 3601.0}, "lifetime: 3601 s is longer than masking's `reveal` allows; ask for 3600 s or less"),
    "too few people": ({"quorum": 1}, "wants 2 people to say yes"),
    "others' yes": ({"approvers": ["engineers"]}, "the yes of engineers does not count for masking's `reveal`; ask approvers"),
    "misspelt": ({"columns": ["public.patients.snn"]}, "public.patients.snn is no declared masked column of clinic, database clinicdb; there are: public.patients.ssn"),
    "another target's": ({"columns": ["public.staff.ssn"]}, "public.staff.ssn is no declared masked column of clinic"),
}  # fmt: skip


@pytest.mark.parametrize("name", BEYOND)
def test_a_reveal_that_could_show_nothing_is_refused_when_it_is_asked_for(name: str, office: Office) -> None:
    ruled(office, uses=3, quorum=2)
    asked, said = BEYOND[name]
    with pytest.raises(BadCall) as refused:
        submitted(office, **({"uses": 3, "quorum": 2} | asked))
    assert said in str(refused.value) and office.requests.listed(True) == []
    assert submitted(office, 3, quorum=2)


def test_nobody_says_yes_to_a_reveal_that_would_show_nothing_by_now(office: Office) -> None:
    request = submitted(office, 5)
    ruled(office, uses=3)
    with pytest.raises(Conflict, match=f"{request} would show nothing: uses: 5 is more"):
        office.requests.approve(request, GRACE)
    office.requests.reveals.addons = ()
    with pytest.raises(Conflict, match="there are: none"):
        office.requests.approve(request, GRACE)
    ruled(office)
    got(office.requests.approve(request, GRACE))
    assert seen(office) == [request]


def test_where_masking_has_no_rule_nobody_asks_for_a_reveal(office: Office) -> None:
    office.requests.reveals.addons = [AddonEntry(MASKED.use, {"columns": MASKED.options["columns"]})]
    with pytest.raises(BadCall, match="masking has no `reveal` for public.patients.ssn"):
        submitted(office)


@pytest.mark.parametrize(("columns", "uses"), [([], 1), (["ssn"], 1), ([SSN] * 2 + ["a.b"], 1), ([SSN], -1), ([SSN], True), ([SSN], 10**6)])
def test_what_cannot_be_a_reveal(office: Office, columns: list[str], uses: int) -> None:
    with pytest.raises(BadCall):
        office.requests.reveals.submit(JOAN, {"target": "t", "account": "a", "database": "d", "why": "", "approvers": ["approvers"], "quorum": 1, "timeout": 1.0, "lifetime": 1.0}, columns, uses)


def test_which_columns_for_how_long_and_how_often_is_recorded_when_it_is_asked(office: Office, notary: Any) -> None:
    submitted(office, 3)
    [told] = [facts for kind, facts in notary.notes if kind == "request.submitted"]
    assert (told["columns"], told["uses"], told["lifetime"], told["why"]) == ([SSN], "3", "600.0", "a call")
    assert told["binding"] == binding(JOAN, None, "clinic", "rw", "clinicdb", [SSN]).hex()
