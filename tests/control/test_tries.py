"""What control refuses somebody is recorded: who, from where, what, why; and no flood of it fills the evidence or hides anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.control.admin import Admin
from gateway.control.caller import Caller
from gateway.control.errors import ControlError, LoginRefused, NotAllowed, StoreRefused
from gateway.control.office import FLUSH, Office
from gateway.control.tries import EACH, REFUSED, STRANGERS, WINDOW, Try
from tests_people import ADA, GRACE, JOAN, MARY

Asked = Callable[..., dict[str, Any]]
STRANGER = Try("GET /api/requests", Caller("https", address="192.0.2.7"))


def told(notary: Any) -> list[dict[str, str]]:
    return [facts for kind, facts in notary.notes if kind == REFUSED]


def new(notary: Any) -> dict[str, str]:
    """The one that was recorded since the last look."""
    found = told(notary)
    notary.notes.clear()
    assert len(found) == 1, found
    return found[0]


class Person:
    """`ostiary … --as`, on the office itself."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.admin = Admin(office, None, lambda: 0)
        self.tokens: dict[str, str] = {}

    def token(self, subject: str) -> str:
        if subject not in self.tokens:
            self.tokens[subject] = self.admin.token_issue(subject, 3600.0)["token"]
        return self.tokens[subject]

    def __call__(self, method: str, subject: str, token: str | None = None, **given: Any) -> str:
        """The code that it is refused with; "" for an answer."""
        token = self.token(subject) if token is None else token
        try:
            self.admin.methods[method](subject=subject, token=token, **given)
        except ControlError as error:
            return error.code
        return ""


@pytest.fixture
def person(office: Office) -> Person:
    return Person(office)


@pytest.fixture
def held(office: Office, asked: Asked, person: Person, notary: Any) -> Callable[..., str]:
    """A request that waits; everybody has a token."""

    def submitted(**changes: Any) -> str:
        out: list[Any] = []
        office.requests.submit(asked(**changes)).addCallback(out.append)
        notary.notes.clear()
        return str(out[0]["request"])

    for subject in (ADA, GRACE, JOAN, MARY, "bot"):
        person.token(subject)
    return submitted


@pytest.mark.parametrize(("who", "asker", "why"), [
    (ADA, {}, "you asked for this yourself"), (ADA, {"subject": "claude", "on_behalf_of": ADA}, "on your behalf"),
    ("bot", {}, "is no person"), (JOAN, {}, "you are in none of them"),
], ids=["ones own", "as on_behalf_of", "no person", "in no group"])  # fmt: skip
def test_approving_what_one_may_not_is_recorded(person: Person, held: Callable[..., str], notary: Any, who: str, asker: Any, why: str) -> None:
    request = held(**asker)
    assert person("request_approve", who, request=request) == "OST-605"
    facts = new(notary)
    assert facts["by"] == who and "subject" not in facts and facts["request"] == request and why in facts["why"]
    assert (facts["tried"], facts["code"], facts["channel"], facts["os_user"]) == ("request approve", "OST-605", "cli", "root (uid 0)")
    assert facts["with_token"] == person.token(who).split("_")[1]


def test_answering_too_late_twice_or_what_is_not_there_is_recorded(person: Person, held: Callable[..., str], clock: Clock, notary: Any) -> None:
    """Expired, withdrawn, answered by the same person or by others, never asked."""
    expired, withdrawn, twice, done = held(), held(text="SELECT 1"), held(text="SELECT 2", quorum=2), held(text="SELECT 3", timeout=900.0)
    person.office.requests.withdraw(withdrawn, "the session ended")
    assert [person("request_approve", GRACE, request=request) for request in (twice, done)] == ["", ""]
    notary.notes.clear()
    for request, why in ((withdrawn, "was withdrawn"), (twice, "you answered"), (done, "was approved already"), ("r-0000000000", "there is no request")):
        assert person("request_approve", GRACE, request=request) in ("OST-606", "OST-604")
        facts = new(notary)
        assert (facts["by"], facts["request"]) == (GRACE, request) and why in facts["why"]
    clock.advance(301.0)
    notary.notes.clear()
    assert person("request_deny", GRACE, request=expired) == "OST-606"
    facts = new(notary)
    assert (facts["tried"], facts["request"]) == ("request deny", expired) and "has expired" in facts["why"]


def test_a_wrong_token_is_recorded_with_what_it_was_and_is_told_to_nobody(person: Person, held: Callable[..., str], clock: Clock, notary: Any) -> None:
    """Whoever tries gets one text for all; the record says whether it was expired, revoked, of another or none."""
    request, good, other = held(timeout=9000.0), person.token(GRACE), person.token(MARY)
    identifier = good.split("_")[1]
    said: set[str] = set()

    def refused(token: str, subject: str = GRACE) -> dict[str, str]:
        with pytest.raises(LoginRefused) as caught:
            person.admin.methods["request_approve"](request=request, subject=subject, token=token)
        said.add(caught.value.why)
        facts = new(notary)
        assert (facts["code"], facts["request"], facts["subject"]) == ("OST-601", request, subject)
        assert not any(part in str(facts) for part in (token, good, token[15:]) if part), facts
        return facts

    assert refused("hunter2")["why"] == "what was shown is no token of this gateway"
    assert refused(f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}")["why"] == f"the secret of token {identifier} is another"
    facts = refused(other)
    assert (facts["why"], facts["by"], facts["with_token"]) == ("the token is another identity's", MARY, other.split("_")[1])
    person.admin.identity_revoke(MARY)
    notary.notes.clear()
    assert refused(other, MARY)["why"] == "the identity may not come in any more"
    person.admin.token_revoke(identifier)
    notary.notes.clear()
    facts = refused(good)
    assert (facts["why"], facts["with_token"]) == ("the token was revoked", identifier) and "by" not in facts
    ada = person.token(ADA)
    clock.advance(3601.0)
    notary.notes.clear()
    facts = refused(ada, ADA)
    assert (facts["why"], facts["with_token"]) == ("the token has expired", ada.split("_")[1]) and "by" not in facts
    assert len(said) == 1


def test_watching_a_session_without_its_right_is_recorded(person: Person, notary: Any) -> None:
    assert person("identity_check", GRACE, "wrong", session="s-1") == "OST-601"
    facts = new(notary)
    assert (facts["tried"], facts["session"], facts["subject"]) == ("identity check", "s-1", GRACE)
    assert person("session_observe", GRACE, "wrong", session="s-1") == "OST-601"
    assert new(notary)["tried"] == "session observe"


def test_sessions_are_observed_by_people(person: Person, notary: Any) -> None:
    """Whoever acts for the person that is watched has that person's interest, and a job watches nothing."""
    for name in ("bot", "claude"):
        assert person("session_observe", name, person.token(name), session="s-1") == "OST-605"


def test_a_token_in_the_wrong_place_is_not_recorded(person: Person, held: Callable[..., str], notary: Any) -> None:
    """As a name, as a request, in the middle of either; whole or cut."""
    good, request = person.token(GRACE), held()
    for name in (good, f"me-{good}", good[:40]):
        assert person("request_approve", name, good, request=request) == "OST-601"
        assert person("request_approve", GRACE, request=name) == "OST-604"
    assert len(told(notary)) == 6 and good[15:30] not in str(notary.notes)
    assert good[:14] in str(notary.notes)  # the id is no secret


def test_an_answer_that_counts_is_recorded_as_ever_and_not_as_a_refusal(person: Person, held: Callable[..., str], notary: Any) -> None:
    request = held()
    assert person("request_approve", GRACE, request=request) == ""
    assert notary.kinds() == ["request.approved", "request.granted"]


# -- floods ------------------------------------------------------------------------------------


def test_ten_thousand_wrong_tokens_are_a_few_records_that_count_them_all(office: Office, clock: Clock, notary: Any) -> None:
    for _ in range(10_000):
        office.tries.refused(STRANGER, LoginRefused("no"))
    assert len(told(notary)) == EACH
    clock.advance(WINDOW + FLUSH)
    *each, summed = told(notary)
    assert len(each) == EACH and all("times" not in facts for facts in each)
    assert (summed["times"], summed["code"], summed["why"]) == (str(10_000 - EACH), "OST-601", f"OST-601: {10_000 - EACH}")
    assert (summed["address"], summed["tried"], summed["since"]) == ("192.0.2.7", "GET /api/requests", "2023-11-14T22:13:20Z")
    clock.advance(WINDOW)
    assert len(told(notary)) == EACH + 1


def test_strangers_from_ten_thousand_addresses_are_a_few_records_too(office: Office, clock: Clock, notary: Any) -> None:
    for number in range(10_000):
        office.tries.refused(replace(STRANGER, via=Caller("https", address=f"2001:db8::{number:x}")), LoginRefused("no"))
    clock.advance(WINDOW + FLUSH)
    found = told(notary)
    assert STRANGERS <= len(found) <= 2 * STRANGERS + 1
    assert sum(int(facts.get("times", "1")) for facts in found) == 10_000


def test_no_flood_of_strangers_hides_what_a_known_one_tries(office: Office, person: Person, held: Callable[..., str], notary: Any) -> None:
    request = held()
    for number in range(1_000):
        office.tries.refused(replace(STRANGER, via=Caller("https", address=f"2001:db8::{number:x}")), LoginRefused("no"))
        office.tries.refused(replace(STRANGER, via=Caller("cli", os_user="eve"), subject=f"n{number}"), LoginRefused("no"))
    notary.notes.clear()
    assert person("request_approve", ADA, request=request) == "OST-605"
    assert new(notary)["by"] == ADA


def test_what_a_known_one_tries_often_is_summed_with_every_request(office: Office, clock: Clock, notary: Any) -> None:
    for number in range(EACH + 5):
        via = Caller("https", "t-1", f"192.0.2.{number}")
        office.tries.refused(Try(f"POST /api/requests/r-{number}/approve", via, ADA, request=f"r-{number}"), NotAllowed("no"))
    clock.advance(WINDOW + FLUSH)
    summed = told(notary)[-1]
    assert (summed["by"], summed["times"], summed["requests"]) == (ADA, "5", " ".join(f"r-{EACH + n}" for n in range(5)))
    assert summed["address"] == ", ".join(f"192.0.2.{EACH + n}" for n in range(5))


def test_a_flood_fills_no_store_while_the_notary_is_away(office: Office, clock: Clock, notary: Any) -> None:
    notary.down = True
    for _ in range(20):
        for number in range(200):
            office.tries.refused(replace(STRANGER, via=Caller("https", address=f"2001:db8::{number:x}")), LoginRefused("no"))
        clock.advance(1.0)
    with office.store.read() as txn:
        assert len(list(office.store["outbox"].items(txn))) <= STRANGERS + 1


def test_a_crash_loses_no_count_that_was_flushed(open_office: Callable[[], Office], clock: Clock, notary: Any) -> None:
    office = open_office()
    for _ in range(EACH + 7):
        office.tries.refused(STRANGER, LoginRefused("no"))
    clock.advance(FLUSH)
    open_office()
    clock.advance(WINDOW + FLUSH)
    assert [facts["times"] for facts in told(notary) if "times" in facts] == ["7"]


def test_a_stop_tells_what_was_counted(open_office: Callable[[], Office], notary: Any) -> None:
    office = open_office()
    for _ in range(EACH + 3):
        office.tries.refused(STRANGER, LoginRefused("no"))
    office.tries.flush(over=True)
    assert told(notary)[-1]["times"] == "3"


# -- what cannot be recorded -------------------------------------------------------------------


@contextmanager
def full(office: Office, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store that takes nothing."""

    def refuse(*_: Any) -> Any:
        raise StoreRefused("control's store cannot be written: MapFullError")

    with monkeypatch.context() as patched:
        patched.setattr(office.store, "write", refuse)
        yield


def test_a_refusal_stays_one_where_it_cannot_be_recorded(
    office: Office, person: Person, held: Callable[..., str], clock: Clock, notary: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is told of in a sum, once it can."""
    request = held()
    with full(office, monkeypatch):
        assert person("request_approve", ADA, request=request) == "OST-605"
        assert person("request_approve", GRACE, "wrong", request=request) == "OST-601"
        clock.advance(WINDOW + FLUSH)
        assert told(notary) == []
    assert office.requests.get(request)["state"] == "pending"
    clock.advance(FLUSH)
    assert [(facts.get("by"), facts.get("subject"), facts["requests"], facts["times"]) for facts in told(notary)] == [
        (ADA, None, request, "1"), (None, GRACE, request, "1"),
    ]  # fmt: skip
