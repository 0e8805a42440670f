"""Whose yes counts: today's people, for as long as nobody has taken it away, and never somebody whom the requester stands behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.config import IdentityEntry
from gateway.control.admin import Admin
from gateway.control.errors import Conflict, NotAllowed
from gateway.control.office import Office
from tests.fired import got
from tests_people import ADA, GRACE, JOAN, MARY, PEOPLE

Asked = Callable[..., dict[str, Any]]


def take_away(office: Office, how: str, who: str = GRACE) -> None:
    """Somebody answers no requests any more."""
    if how == "revoked":
        with office.store.write() as txn:
            office.identities.revoke(txn, who, "local", "laptop stolen")
    else:
        office.identities.reload({**PEOPLE, who: replace(PEOPLE[who], groups=frozenset({"engineers"}))})


@pytest.mark.parametrize("how", ["revoked", "out of the group"])
def test_a_yes_of_somebody_who_may_not_say_it_any_more_is_not_counted(office: Office, asked: Asked, notary: Any, how: str) -> None:
    office.identities.reload(people := {**PEOPLE, JOAN: replace(PEOPLE[JOAN], groups=frozenset({"approvers"}))})
    request = got(office.requests.submit(asked(quorum=2)))["request"]
    office.requests.approve(request, GRACE)
    if how == "revoked":
        take_away(office, how)
    else:
        office.identities.reload({**people, GRACE: replace(PEOPLE[GRACE], groups=frozenset())})
    told = got(office.requests.approve(request, MARY))
    assert (told["state"], told["yes"]) == ("pending", 1) and not notary.grants
    with pytest.raises(Conflict, match="1 more"):
        office.requests.approve(request, MARY)
    assert got(office.requests.approve(request, JOAN))["state"] == "released"
    assert notary.grants[0]["approvers"] == [MARY, JOAN]
    [recounted] = [facts for kind, facts in notary.notes if kind == "request.recounted"]
    assert (recounted["request"], recounted["no_longer"]) == (request, GRACE)


def test_who_comes_back_says_yes_once_more_and_counts_once(office: Office, asked: Asked, notary: Any) -> None:
    request = got(office.requests.submit(asked(quorum=2)))["request"]
    office.requests.approve(request, GRACE)
    take_away(office, "revoked")
    office.requests.approve(request, MARY)
    with office.store.write() as txn:
        office.identities.restore(txn, GRACE)
    assert not notary.grants
    assert got(office.requests.approve(request, GRACE))["state"] == "released" and notary.grants[0]["approvers"] == [MARY, GRACE]


@pytest.mark.parametrize("how", ["revoked", "out of the group"])
def test_a_yes_that_was_not_used_yet_ends_with_who_said_it(office: Office, asked: Asked, notary: Any, how: str) -> None:
    """The identical command waits for somebody else's word, and passes once with it."""
    command = asked(mode="retry")
    request = got(office.requests.submit(command))["request"]
    assert got(office.requests.approve(request, GRACE))["state"] == "granted"
    take_away(office, how)
    again = got(office.requests.submit(command))
    assert again["state"] == "pending" and again["request"] == request and not again["grant"]
    assert got(office.requests.approve(request, MARY))["state"] == "granted"
    passed = got(office.requests.submit(command))
    assert passed["state"] == "granted" and passed["by"] == MARY and passed["grant"] == notary.grants[1]["grant"]


def test_a_yes_that_waits_for_the_notary_is_not_granted_once_its_person_is_revoked(office: Office, asked: Asked, notary: Any, clock: Clock) -> None:
    answered: list[Any] = []
    office.on_answered = answered.append
    request = got(office.requests.submit(asked()))["request"]
    notary.down = True
    assert got(office.requests.approve(request, GRACE))["state"] == "granting"
    take_away(office, "revoked")
    notary.down = False
    clock.advance(1)
    assert not answered and not notary.grants and office.requests.get(request)["state"] == "pending"


def test_a_yes_is_not_granted_where_its_person_is_revoked_while_the_notary_writes(office: Office, asked: Asked, notary: Any) -> None:
    answered: list[Any] = []
    office.on_answered = answered.append
    request = got(office.requests.submit(asked()))["request"]
    notary.slow = True
    office.requests.approve(request, GRACE)
    take_away(office, "revoked")
    notary.held[0].callback(None)
    assert not answered and office.requests.get(request)["state"] == "pending"
    notary.slow = False
    assert got(office.requests.approve(request, MARY))["state"] == "released" and answered[0]["by"] == MARY
    assert answered[0]["grant"] == notary.grants[1]["grant"]


def test_a_yes_that_an_agent_for_the_asker_would_be_today_is_not_counted(office: Office, asked: Asked, notary: Any) -> None:
    """Whoever was a person when saying it, and by the file is somebody's agent now."""
    request = got(office.requests.submit(asked(quorum=2)))["request"]
    office.requests.approve(request, GRACE)
    office.identities.reload({**PEOPLE, GRACE: IdentityEntry(GRACE, "agent", frozenset({"approvers"}), ADA)})
    assert got(office.requests.approve(request, MARY))["state"] == "pending" and not notary.grants


# -- who stands behind whom ----------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "person", "why"),
    [("agent", "claude", "claude is no person"), ("workload", "bot", "bot is no person"), ("human", ADA, "acts for nobody else"), ("agent", "eve", "no identity eve")],
)
def test_an_added_identity_acts_for_a_person_or_for_nobody(office: Office, kind: str, person: str, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        Admin(office, None).identity_add("bot2", kind, ["x"], person)
    assert office.identities.get("bot2") is None


def test_who_acts_for_somebody_that_became_no_person_does_not_come_in(office: Office) -> None:
    """Also one that an older release has let into the store: a person for a person, an agent for an agent."""
    Admin(office, None).identity_add("bot2", "agent", [], GRACE)
    assert office.identities.live("bot2") is not None
    office.identities.reload({**PEOPLE, GRACE: IdentityEntry(GRACE, "agent", frozenset(), ADA)})
    assert office.identities.live("bot2") is None
    with office.store.write() as txn:
        office.store["identities"].put(txn, "ada2", {"kind": "human", "groups": ["approvers"], "on_behalf_of": ADA, "added": 0.0})
    assert office.identities.live("ada2") is None
    assert all(person.subject != "ada2" for person in office.identities.people(frozenset({"approvers"})))


def test_the_evidence_of_an_added_identity_says_for_whom_it_acts(office: Office, notary: Any) -> None:
    Admin(office, None).identity_add("bot2", "agent", ["x"], ADA)
    [facts] = [facts for kind, facts in notary.notes if kind == "identity.added"]
    assert {name: facts[name] for name in ("subject", "identity_kind", "groups", "on_behalf_of")} == {
        "subject": "bot2", "identity_kind": "agent", "groups": "x", "on_behalf_of": ADA,
    }  # fmt: skip
