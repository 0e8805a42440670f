"""Requests: who may answer, what passes, and that it passes once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gateway.cli.show import as_text
from gateway.control.caller import Caller
from gateway.control.errors import BadCall, Conflict, ControlError, NotAllowed, NotFound
from gateway.control.office import Office
from gateway.control.request import same_text, shown, summary, trace
from gateway.control.requests import PENDING_PER_SUBJECT
from tests.fired import got

Asked = Callable[..., dict[str, Any]]
ADA, GRACE, MARY, JOAN = (f"{name}@clinic.example" for name in ("ada", "grace", "mary", "joan"))


def waits(deferred: Deferred[Any]) -> bool:
    return not deferred.called


@pytest.fixture
def answers(office: Office) -> list[dict[str, Any]]:
    got: list[dict[str, Any]] = []
    office.on_answered = got.append
    return got


def test_a_held_command_is_granted_to_the_session_that_waits(
    office: Office, answers: list[Any], asked: Asked, notary: Any, clock: Clock
) -> None:
    """One yes of somebody else: the notary has the grant before the worker has its name."""
    pending = got(office.requests.submit(asked()))
    assert pending["state"] == "pending" and not answers
    notary.slow = True
    approved = office.requests.approve(pending["request"], GRACE, "go on")
    assert waits(approved) and not answers and notary.grants[0]["request"] == pending["request"]
    notary.held[0].callback(None)
    assert got(approved)["state"] == "released"
    [answer] = answers
    assert answer == {
        "request": pending["request"], "state": "granted", "grant": notary.grants[0]["grant"], "by": GRACE, "reason": "",
    }
    assert notary.grants == [{
        "request": pending["request"], "grant": answer["grant"], "binding": asked()["binding"],
        "expires": clock.seconds() + 600, "uses": 1, "approvers": [GRACE],
    }]
    assert notary.kinds() == ["request.submitted", "request.approved", "request.granted"]


@pytest.mark.parametrize(
    ("requester", "approver", "why"),
    [
        (ADA, ADA, "yourself"),
        ("claude", ADA, "on your behalf"),
        (ADA, "bot", "no person"),
        (ADA, JOAN, "none of them"),
        (ADA, "nobody", "may not answer"),
    ],
)
def test_who_does_not_count(office: Office, asked: Asked, requester: str, approver: str, why: str, notary: Any) -> None:
    """The requester, whom it acts for, machines, outsiders and strangers."""
    request = got(office.requests.submit(asked(subject=requester)))["request"]
    with pytest.raises(NotAllowed, match=why):
        office.requests.approve(request, approver)
    with pytest.raises(NotAllowed, match=why):
        office.requests.deny(request, approver)
    assert office.requests.get(request)["state"] == "pending" and not notary.grants


def test_the_person_an_agent_acts_for_is_controls_knowledge_not_the_workers(office: Office, asked: Asked) -> None:
    """A worker that claims claude acts for grace does not make ada a stranger."""
    request = got(office.requests.submit(asked(subject="claude", on_behalf_of=GRACE, kind="human")))["request"]
    assert office.requests.get(request)["on_behalf_of"] == ADA
    with pytest.raises(NotAllowed):
        office.requests.approve(request, ADA)


def test_a_revoked_approver_does_not_count(office: Office, asked: Asked) -> None:
    request = got(office.requests.submit(asked()))["request"]
    with office.store.write() as txn:
        office.identities.revoke(txn, GRACE, "local", "left")
    with pytest.raises(NotAllowed):
        office.requests.approve(request, GRACE)


def test_quorum_counts_distinct_people(office: Office, answers: list[Any], asked: Asked, notary: Any) -> None:
    request = got(office.requests.submit(asked(quorum=2)))["request"]
    assert got(office.requests.approve(request, GRACE))["yes"] == 1
    with pytest.raises(Conflict, match="answered .* already; 1 more"):
        office.requests.approve(request, GRACE)
    assert not notary.grants and not answers
    assert got(office.requests.approve(request, MARY))["state"] == "released"
    assert answers[0]["by"] == f"{GRACE}, {MARY}" and notary.grants[0]["approvers"] == [GRACE, MARY]


def test_one_no_is_enough_even_after_a_yes(office: Office, answers: list[Any], asked: Asked, notary: Any) -> None:
    request = got(office.requests.submit(asked(quorum=2)))["request"]
    office.requests.approve(request, GRACE)
    office.requests.deny(request, MARY, "not today")
    assert answers == [{"request": request, "state": "denied", "grant": "", "by": MARY, "reason": "not today"}]
    assert not notary.grants


def test_a_question_that_nobody_could_answer_is_refused_at_once(office: Office, asked: Asked) -> None:
    with pytest.raises(NotAllowed, match="needs 3 of approvers, and only 2 could answer"):
        office.requests.submit(asked(quorum=3))


@pytest.mark.parametrize("how", ["approve", "deny"])
def test_too_late_says_what_happened(office: Office, asked: Asked, clock: Clock, how: str) -> None:
    """Twice, after a no, after the client left, after the time: nothing changes and the text says why."""
    ended: list[tuple[str, str]] = []
    for finish, text in (
        (lambda r: office.requests.approve(r, GRACE), "approved already, by grace"),
        (lambda r: office.requests.deny(r, GRACE), "denied already, by grace"),
        (lambda r: office.requests.withdraw(r, "the client is gone"), "withdrawn: the client is gone"),
        (lambda r: clock.advance(301), "has expired"),
    ):
        request = got(office.requests.submit(asked()))["request"]
        finish(request)
        ended.append((request, text))
    for request, text in ended:
        before = dict(office.requests.get(request))
        with pytest.raises(Conflict, match=text):
            getattr(office.requests, how)(request, MARY)
        assert office.requests.get(request) == before


def test_nobody_answers_in_time(office: Office, answers: list[Any], asked: Asked, clock: Clock, notary: Any) -> None:
    request = got(office.requests.submit(asked(timeout=5.0)))["request"]
    clock.advance(4.9)
    assert not answers
    clock.advance(0.2)
    assert answers[0]["request"] == request and answers[0]["state"] == "expired"
    assert notary.kinds()[-1] == "request.expired"


def test_a_client_that_leaves_while_the_notary_works_gets_nothing(
    office: Office, answers: list[Any], asked: Asked, notary: Any
) -> None:
    """The grant stays unreleased: no worker ever hears its name."""
    request = got(office.requests.submit(asked()))["request"]
    notary.slow = True
    office.requests.approve(request, GRACE)
    office.requests.withdraw(request, "the client is gone")
    notary.held[0].callback(None)
    assert office.requests.get(request)["state"] == "withdrawn" and office.requests.get(request)["grant"] == ""
    assert [answer["state"] for answer in answers] == ["withdrawn"]


# -- retry ---------------------------------------------------------------------------


def test_retry_passes_once_in_any_session_of_the_identity(office: Office, asked: Asked) -> None:
    first = got(office.requests.submit(asked(mode="retry")))
    again = got(office.requests.submit(asked(mode="retry", session="s-2")))
    assert first["state"] == again["state"] == "pending" and first["request"] == again["request"]
    office.requests.approve(first["request"], GRACE)
    passed = got(office.requests.submit(asked(mode="retry", session="s-3")))
    assert passed["state"] == "granted" and passed["grant"] and passed["request"] == first["request"]
    third = got(office.requests.submit(asked(mode="retry")))
    assert third["state"] == "pending" and third["request"] != first["request"]


@pytest.mark.parametrize("change", [{"text": "UPDATE patients SET seen = null"}, {"subject": GRACE}])
def test_retry_does_not_pass_for_another_command_or_identity(office: Office, asked: Asked, change: Any) -> None:
    first = got(office.requests.submit(asked(mode="retry")))["request"]
    office.requests.approve(first, MARY)
    other = got(office.requests.submit(asked(mode="retry", **change)))
    assert other["state"] == "pending" and other["request"] != first


def test_retry_expires_unused(office: Office, asked: Asked, clock: Clock) -> None:
    first = got(office.requests.submit(asked(mode="retry", lifetime=60.0)))["request"]
    office.requests.approve(first, GRACE)
    clock.advance(61)
    assert office.requests.get(first)["state"] == "expired"
    assert [record["id"] for record in office.requests.expired()] == [first]
    again = got(office.requests.submit(asked(mode="retry")))
    assert again["state"] == "pending" and again["reason"] == f"{first} was approved, but not used in time"
    assert not got(office.requests.submit(asked(mode="retry")))["reason"], "it is said once"


def test_a_released_retry_that_was_not_used_may_be_used_again(office: Office, asked: Asked) -> None:
    """The client left between the answer and the command; the notary still lets the grant through only once."""
    first = got(office.requests.submit(asked(mode="retry")))["request"]
    office.requests.approve(first, GRACE)
    grant = got(office.requests.submit(asked(mode="retry")))["grant"]
    office.requests.withdraw(first, "the client is gone")
    assert got(office.requests.submit(asked(mode="retry")))["grant"] == grant


def test_a_denied_retry_is_not_asked_again_at_once(office: Office, asked: Asked, clock: Clock) -> None:
    first = got(office.requests.submit(asked(mode="retry", lifetime=60.0)))["request"]
    office.requests.deny(first, GRACE, "no")
    told = got(office.requests.submit(asked(mode="retry")))
    assert (told["state"], told["by"], told["reason"], told["grant"]) == ("denied", GRACE, "no", "")
    clock.advance(61)
    assert got(office.requests.submit(asked(mode="retry")))["state"] == "pending"


# -- lists ---------------------------------------------------------------------------

MIGRATION = ["ALTER TABLE visits ADD note text", "UPDATE visits SET note = ''"]
AHEAD = {
    "target": "clinic", "account": "rw", "database": "clinicdb", "why": "migration 12", "approvers": ["approvers"],
    "quorum": 1, "timeout": 3600.0, "lifetime": 3600.0,
}


def test_a_list_is_granted_whole_and_released_in_its_order(office: Office, asked: Asked, notary: Any) -> None:
    """Each statement gets a grant of its own, bound to what the worker is about to run."""
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    first, second = (asked(text=text + ";", parameters=[]) for text in MIGRATION)
    assert got(office.requests.submit(first))["request"] != request
    assert got(office.requests.approve(request, GRACE))["state"] == "granted" and not notary.grants
    assert got(office.requests.submit(second))["state"] == "pending"
    passed = [got(office.requests.submit(one)) for one in (first, second)]
    assert [one["state"] for one in passed] == ["granted", "granted"]
    assert [one["request"] for one in passed] == [request, request]
    assert [grant["binding"] for grant in notary.grants] == [first["binding"], second["binding"]]
    assert office.requests.get(request)["state"] == "released"
    assert got(office.requests.submit(first))["state"] == "pending"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("SELECT 1", "SELECT 1;", True),
        ("SELECT 1", "\n -- twelve\n /* a */SELECT 1 ; \n", True),
        ("SELECT 1", "SELECT 1 -- x", False),
        ("SELECT 1", "SELECT  1", False),
        ("SELECT 1", "SELECT 2", False),
        ("SELECT 1", "/* /* */ */ SELECT 1", False),
        ("SELECT ';'", "SELECT ''", False),
        ("-- a", "-- b", False),
    ],
)
def test_what_counts_as_the_same_statement(one: str, other: str, same: bool) -> None:
    """Comments before and semicolons after may differ, nothing else."""
    assert same_text(one, other) is same


def test_whoever_ran_a_list_too_late_is_told(office: Office, asked: Asked, clock: Clock) -> None:
    """Its next statement is asked about anew, with why; the one after it was not waited for."""
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    got(office.requests.approve(request, GRACE))
    clock.advance(AHEAD["lifetime"] + 1)
    first, second = (got(office.requests.submit(asked(text=text, parameters=[], mode="retry"))) for text in MIGRATION)
    assert first["state"] == "pending" and first["reason"] == f"{request} was approved, but not used in time"
    assert not second["reason"]


def test_a_lists_yes_must_come_from_whom_the_rule_wants(office: Office, asked: Asked, notary: Any) -> None:
    """Who asks ahead chose whom to ask; the rule is not bound by that."""
    request = office.requests.submit_list(ADA, AHEAD | {"approvers": ["engineers"]}, MIGRATION)["id"]
    office.requests.approve(request, JOAN)
    assert got(office.requests.submit(asked(text=MIGRATION[0], parameters=[])))["state"] == "pending"
    two = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    office.requests.approve(two, GRACE)
    assert got(office.requests.submit(asked(text=MIGRATION[0], parameters=[], quorum=2)))["state"] == "pending"
    assert not notary.grants
    assert got(office.requests.submit(asked(text=MIGRATION[0], parameters=[])))["request"] == two


@pytest.mark.parametrize(
    "change", [{"subject": GRACE}, {"target": "other"}, {"account": "ro"}, {"database": "x"}, {"parameters": [[25, 0, b"x"]]}]
)
def test_a_list_is_for_one_identity_and_place(office: Office, asked: Asked, change: Any) -> None:
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    office.requests.approve(request, MARY)
    asks = asked(text=MIGRATION[0], parameters=[]) | change
    assert got(office.requests.submit(asks))["state"] == "pending"


PREPARED = "PREPARE q AS UPDATE visits SET note = 'seen'"
OTHER = "PREPARE q AS UPDATE visits SET note = 'EVIL'"


@pytest.mark.parametrize(
    ("named", "before", "passes"),
    [
        ([["q", trace(f"-- it\n{PREPARED};")]], [PREPARED, "PREPARE q2 AS SELECT 1"], True),
        ([["q", trace(OTHER)]], [PREPARED], False),
        ([["q", trace(PREPARED)], ["q", trace(OTHER)]], [PREPARED], False),
        ([["q", trace(PREPARED)]], [PREPARED, OTHER], False),
        ([["q", trace(PREPARED)]], [PREPARED, 'PREPARE U&"\\0071" AS SELECT 1'], False),
        ([["q", trace(PREPARED)]], [], False),
        (None, [PREPARED], False),
        ([["q"]], [PREPARED], False),
    ],
    ids=["said before", "another text", "also another text", "said twice", "maybe said twice", "not said", "not known", "malformed"],
)
def test_a_lists_yes_is_for_what_its_own_statements_say_that_a_name_stands_for(
    office: Office, asked: Asked, named: Any, before: list[str], passes: bool
) -> None:
    """Nobody said yes to what a session prepared under that name otherwise, be it by the protocol."""
    request = granted_list(office, *before, "EXECUTE q")
    for text in before:
        office.requests.lists.passed(ran(text))
    answered = got(office.requests.submit(asked(text="EXECUTE q", parameters=[], named=named)))
    assert (answered["request"] == request, answered["state"]) == (passes, "granted" if passes else "pending")


def test_a_statement_of_a_list_waits_for_the_notary(office: Office, asked: Asked, notary: Any) -> None:
    """When it is down the statement stays the next one."""
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    office.requests.approve(request, GRACE)
    notary.down = True
    with pytest.raises(ControlError):
        got(office.requests.submit(asked(text=MIGRATION[0], parameters=[])))
    notary.down = False
    assert got(office.requests.submit(asked(text=MIGRATION[0], parameters=[])))["state"] == "granted"


def ran(text: str, session: str = "s-1", **where: str) -> dict[str, str]:
    """What a worker says of a statement that needs no list's yes."""
    return {"subject": ADA, "target": "clinic", "account": "rw", "database": "clinicdb"} | where | {"session": session, "text": text}


def granted_list(office: Office, *statements: str) -> str:
    request: str = office.requests.submit_list(ADA, AHEAD, statements)["id"]
    got(office.requests.approve(request, GRACE))
    return request


def stands(office: Office, request: str) -> tuple[str, int]:
    record = office.requests.get(request)
    return record["state"], record["next"]


def test_what_is_allowed_anyway_moves_a_list_on_and_ends_it(office: Office, asked: Asked, notary: Any) -> None:
    """A migration's BEGIN and COMMIT spend nothing; what its rule holds, between them, finds its turn."""
    request = granted_list(office, "begin", MIGRATION[0], "commit")
    told: list[list[Any]] = []
    office.requests.lists.changed = lambda: told.append(office.requests.lists.live())  # type: ignore[assignment,return-value]
    office.requests.lists.passed(ran("begin;"))
    assert got(office.requests.submit(asked(text=MIGRATION[0], parameters=[])))["request"] == request
    assert stands(office, request) == ("granted", 2) and len(notary.grants) == 1
    office.requests.lists.passed(ran("commit;", "s-2"))
    assert stands(office, request) == ("released", 3) and office.requests.lists.live() == []
    assert [[one[0] for one in live] for live in told] == [[request], [request], []]
    passed = noted(notary, "request.passed")
    assert [(one["request"], one["statement"], one["session"], one["text"]) for one in passed] == [
        (request, "1", "s-1", "begin;"), (request, "3", "s-2", "commit;"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "run", [ran(MIGRATION[1]), ran(MIGRATION[0] + " "), *(ran(MIGRATION[0], **{where: "other"}) for where in ("subject", "target", "account", "database"))],
    ids=["later", "next", "subject", "target", "account", "database"],
)  # fmt: skip
def test_only_the_next_statement_of_a_list_moves_it_and_only_where_it_was_asked_for(office: Office, run: dict[str, str]) -> None:
    request = granted_list(office, *MIGRATION)
    office.requests.lists.passed(run)
    assert stands(office, request) == ("granted", int(run == ran(MIGRATION[0] + " ")))


def test_a_statement_of_a_list_that_is_being_released_is_not_passed_too(office: Office, asked: Asked, notary: Any) -> None:
    """Two sessions at once: the list moves by one."""
    request = granted_list(office, "SELECT 1", "SELECT 1", "SELECT 1")
    notary.slow = True
    released = office.requests.submit(asked(text="SELECT 1", parameters=[]))
    office.requests.lists.passed(ran("SELECT 1", "s-2"))
    assert waits(released) and stands(office, request) == ("granted", 0)
    notary.held[0].callback(None)
    assert got(released)["request"] == request and stands(office, request) == ("granted", 1)


def test_a_statement_that_is_allowed_anyway_moves_every_list_that_waits_for_it(office: Office, asked: Asked) -> None:
    """Two migrations that begin alike: whichever is run, its own statement is next."""
    first, second = granted_list(office, "begin", MIGRATION[0]), granted_list(office, "begin", MIGRATION[1])
    office.requests.lists.passed(ran("begin"))
    assert [got(office.requests.submit(asked(text=text, parameters=[])))["request"] for text in reversed(MIGRATION)] == [second, first]


def test_nothing_moves_a_list_that_nobody_has_said_yes_to_or_whose_asker_was_revoked(office: Office) -> None:
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    office.requests.lists.passed(ran(MIGRATION[0]))
    assert stands(office, request) == ("pending", 0) and office.requests.lists.live() == []
    got(office.requests.approve(request, GRACE))
    with office.store.write() as txn:
        office.identities.revoke(txn, ADA, "local", "left")
    office.requests.lists.passed(ran(MIGRATION[0]))
    assert stands(office, request) == ("granted", 0)


def test_where_a_list_stands_survives_kill_9(open_office: Callable[[], Office]) -> None:
    office = open_office()
    request = granted_list(office, "begin", *MIGRATION)
    office.requests.lists.passed(ran("begin"))
    office = open_office()
    assert stands(office, request) == ("granted", 1)
    [[name, *where, _]] = office.requests.lists.live()
    assert (name, where) == (request, [ADA, "clinic", "rw", "clinicdb"])


# -- crashes -------------------------------------------------------------------------


def test_every_answer_survives_kill_9(open_office: Callable[[], Office], asked: Asked, clock: Clock) -> None:
    office = open_office()
    pending = got(office.requests.submit(asked()))["request"]
    retry = got(office.requests.submit(asked(mode="retry")))["request"]
    denied = got(office.requests.submit(asked(text="x")))["request"]
    half = got(office.requests.submit(asked(text="y", quorum=2)))["request"]
    office.requests.approve(retry, GRACE)
    office.requests.deny(denied, GRACE)
    office.requests.approve(half, GRACE)
    office = open_office()
    states = {name: office.requests.get(name)["state"] for name in (pending, retry, denied, half)}
    assert states == {pending: "pending", retry: "granted", denied: "denied", half: "pending"}
    assert got(office.requests.approve(half, MARY))["state"] == "released"
    assert got(office.requests.submit(asked(mode="retry")))["state"] == "granted"
    office = open_office()
    assert got(office.requests.submit(asked(mode="retry")))["state"] == "pending", "it passed before the crash"
    clock.advance(301)
    assert office.requests.get(pending)["state"] == "expired"


def test_a_yes_without_a_notary_is_kept_and_granted_when_it_is_back(
    office: Office, answers: list[Any], asked: Asked, notary: Any, clock: Clock
) -> None:
    request = got(office.requests.submit(asked()))["request"]
    notary.down = True
    assert got(office.requests.approve(request, GRACE))["state"] == "granting"
    assert not answers
    notary.down = False
    clock.advance(1)
    assert answers[0]["state"] == "granted"


def test_a_crash_between_yes_and_notary_is_made_good(
    open_office: Callable[[], Office], asked: Asked, notary: Any
) -> None:
    office = open_office()
    request = got(office.requests.submit(asked()))["request"]
    notary.down = True
    office.requests.approve(request, GRACE)
    notary.down = False
    office = open_office()
    assert office.requests.get(request)["state"] == "released" and len(notary.grants) == 1


# -- what is refused -----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"binding": b"short"}, {"binding": "text"}, {"mode": "maybe"}, {"quorum": 0}, {"quorum": True}, {"timeout": 0},
        {"timeout": 1e9}, {"lifetime": -1.0}, {"approvers": []}, {"approvers": [1]}, {"text": None},
        {"text": "x" * ((1 << 20) + 1)}, {"parameters": "x"},
    ],
)
def test_what_cannot_be_a_request(office: Office, asked: Asked, change: Any) -> None:
    with pytest.raises(BadCall):
        office.requests.submit(asked() | change)
    assert office.requests.listed(everything=True) == []


def test_an_agent_in_a_loop_cannot_bury_the_others(office: Office, asked: Asked) -> None:
    for number in range(PENDING_PER_SUBJECT):
        office.requests.submit(asked(subject="claude", text=f"q{number}"))
    with pytest.raises(NotAllowed, match="waiting already"):
        office.requests.submit(asked(subject="claude", text="one more"))
    assert got(office.requests.submit(asked()))["state"] == "pending"


def test_unknown_requests(office: Office) -> None:
    for name in ("r-none", "", "x" * 600):
        with pytest.raises(NotFound):
            office.requests.approve(name, GRACE)


def test_an_unknown_or_revoked_identity_asks_for_nothing(office: Office, asked: Asked) -> None:
    with office.store.write() as txn:
        office.identities.revoke(txn, JOAN, "local", "")
    for subject in (JOAN, "nobody"):
        with pytest.raises(NotAllowed):
            office.requests.submit(asked(subject=subject))


def test_finished_requests_are_forgotten_after_a_month(
    open_office: Callable[[], Office], asked: Asked, clock: Clock
) -> None:
    office = open_office()
    old = got(office.requests.submit(asked()))["request"]
    clock.advance(301)
    clock.advance(31 * 86400)
    office = open_office()
    with pytest.raises(NotFound):
        office.requests.get(old)


# -- what the evidence holds of it ---------------------------------------------------


def noted(notary: Any, kind: str) -> list[dict[str, Any]]:
    return [facts for what, facts in notary.notes if what == kind]


def test_all_that_an_approver_could_read_is_recorded_before_anybody_answers(office: Office, asked: Asked, notary: Any) -> None:
    """Also of what never runs: who asked, where, the exact texts and values, and why."""
    long, spooled = b"x" * 5000, hashlib.sha256(b"y").digest()
    values = [[25, 0, b"x"], [17, 1, b"\x00\xff"], [25, 0, None], [25, 0, long], [25, 0, None, 1 << 30, spooled]]
    got(office.requests.submit(asked(subject="claude", sent="UPDATE masked", parameters=values)))
    [told] = noted(notary, "request.submitted")
    assert (told["subject"], told["on_behalf_of"], told["why"], told["rule"]) == ("claude", ADA, "writes to everybody", "privileged-writes")
    assert (told["text"], told["sent"], told["binding"]) == (asked()["text"], "UPDATE masked", asked()["binding"].hex())
    assert (told["target"], told["account"], told["database"], told["session"], told["channel"]) == ("clinic", "rw", "clinicdb", "s-1", "session")
    assert (told["approvers"], told["quorum"], told["lifetime"]) == (["approvers"], "1", "600.0")
    digests = [[25, 0, None, 5000, hashlib.sha256(long).digest()], [25, 0, None, 1 << 30, spooled]]
    assert told["parameters"] == [[25, 0, "x"], [17, 1, b"\x00\xff"], [25, 0, None], *digests]


def test_what_belongs_to_a_hosts_command_is_shown_by_name(office: Office, asked: Asked) -> None:
    """It has no numbered parameters, as a statement has."""
    surroundings = [[0, 0, b"on a terminal"], [0, 0, b"LANG=C.UTF-8"], [0, 1, b"ls \xff"]]
    request = got(office.requests.submit(asked(path="exec", parameters=surroundings)))["request"]
    told = [(one["name"], one.get("value", one.get("hex"))) for one in shown(office.requests.get(request))["parameters"]]
    assert told == [("terminal", "on a terminal"), ("variable", "LANG=C.UTF-8"), ("exact bytes", b"ls \xff".hex())]


def test_what_refused_or_left_commands_were_is_in_the_evidence(office: Office, asked: Asked, notary: Any, clock: Clock) -> None:
    """Denied, withdrawn or expired, each names the request and who asked; the request holds the text."""
    texts = [f"DELETE FROM visits WHERE id = {n}" for n in range(3)]
    requests = [got(office.requests.submit(asked(text=text, sent=text)))["request"] for text in texts]
    office.requests.deny(requests[0], GRACE, "use the report", Caller("https", "t-1", "10.0.0.9"))
    office.requests.withdraw(requests[1], "the client is gone")
    clock.advance(301)
    ended = [noted(notary, f"request.{how}")[0] for how in ("denied", "withdrawn", "expired")]
    assert [(told["request"], told["subject"]) for told in ended] == [(request, ADA) for request in requests]
    assert [(told["request"], told["text"]) for told in noted(notary, "request.submitted")] == list(zip(requests, texts, strict=True))
    assert (ended[0]["by"], ended[0]["channel"], ended[0]["with_token"], ended[0]["address"]) == (GRACE, "https", "t-1", "10.0.0.9")


def test_a_list_is_recorded_whole_and_each_statement_with_what_it_is_bound_to(office: Office, asked: Asked, notary: Any) -> None:
    request = office.requests.submit_list(ADA, AHEAD, MIGRATION)["id"]
    office.requests.approve(request, GRACE)
    ran = [asked(text=text + ";", sent="", parameters=[]) for text in MIGRATION]
    for one in ran:
        got(office.requests.submit(one))
    [told] = noted(notary, "request.submitted")
    assert (told["statements"], told["why"]) == (MIGRATION, "migration 12") and "text" not in told and "binding" not in told
    released = noted(notary, "request.released")
    assert [(one["statement"], one["text"], one["binding"]) for one in released] == [
        (str(n), one["text"], one["binding"].hex()) for n, one in enumerate(ran, 1)
    ]


@pytest.mark.parametrize(("text", "listed"), [
    ("touch a\ntouch b", r"touch a\ntouch b"), ("select 1 -- no more\n  \n\tdrop  table t;\n", r"select 1 -- no more\ndrop table t;"), ("touch a #\rb", r"touch a #\rb"),
    ("rm\xa0a\u2028b", r"rm\xa0a\u2028b"), ("  select\t 1 ", "select 1"),
], ids=["two lines", "behind a comment", "a carriage return", "no blank", "blanks"])  # fmt: skip
def test_two_commands_are_not_listed_as_one(office: Office, asked: Asked, text: str, listed: str) -> None:
    """Who skims the list before a yes sees where a line ends."""
    got(office.requests.submit(asked(text=text)))
    [record] = office.requests.listed()
    assert as_text("text", summary(record)["text"]) == listed
