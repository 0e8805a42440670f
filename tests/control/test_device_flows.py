"""Logins by a browser in control: who may begin one, how the provider is polled, and that what it proves is told once, to whom it belongs."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from gateway.config import Device, IdentityEntry, SecondStep
from gateway.control.commits import Commits
from gateway.control.desk import Desk
from gateway.control.device.answers import PENDING, SLOW_DOWN, Proof, Unreachable, opened_by, refused
from gateway.control.device.flows import BACKOFF_LONGEST, FLOWS, FROM_ONE, LOOK, SLOWER, STARTS_FROM_ONE, WINDOW, Flows
from gateway.control.device.provider import Begun
from gateway.control.errors import DeviceRefused, LoginRefused, NoApp, Throttled
from gateway.control.identity.login import REFUSED
from gateway.control.identity.throttle import SUBJECT_FAILURES
from gateway.control.office import Office
from tests_people import ADA, PEOPLE
from tests.fired import got

PEER, ISSUER = "10.0.0.7:5000", "https://login.example"
ENTRY = Device(ISSUER, "ostiary")
ME = Proof(ISSUER, "u-1", ADA)


class Fake:
    """A provider that says what a test wants."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.polls: list[str] = []
        self.begun: Any = None
        self.asked: list[Deferred[Any]] = []
        self.codes = 0

    def begin(self) -> Deferred[Any]:
        self.codes += 1
        return self.begun if self.begun is not None else succeed(Begun(f"d{self.codes}", "ABCD", "https://login.example/device", "", 60.0, 5.0))

    def poll(self, code: str) -> Deferred[Any]:
        self.polls.append(code)
        answer = self.answers.pop(0) if self.answers else PENDING
        if isinstance(answer, Deferred):
            self.asked.append(answer)
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


@pytest.fixture
def provider() -> Fake:
    return Fake()


@pytest.fixture
def flows(clock: Clock, provider: Fake) -> Flows:
    return Flows(ENTRY, clock, lambda entry: provider)


@pytest.fixture
def desk(office: Office, flows: Flows) -> Desk:
    office.flows = flows
    return Desk(office, {}, lambda *_: None, Commits((), Clock(), 1))


def begun(flows: Flows, name: str = "f", owner: Any = "w", subject: str = ADA, peer: str = PEER) -> Any:
    return got(flows.start(owner, name, subject, peer))


def look(flows: Flows, clock: Clock, name: str = "f", owner: Any = "w", subject: str = ADA, peer: str = PEER) -> Any:
    looked = flows.look(owner, name, subject, peer)
    clock.advance(LOOK)
    return got(looked)


# -- polling -----------------------------------------------------------------------------------------


def test_a_person_is_shown_where_to_go(flows: Flows) -> None:
    assert begun(flows) == {"url": "https://login.example/device", "code": "ABCD", "complete": "", "seconds": 60.0}


def test_what_the_provider_proves_is_told_once(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [PENDING, ME]
    begun(flows)
    assert look(flows, clock) is None
    assert look(flows, clock) == ME and flows.running == 0
    with pytest.raises(DeviceRefused, match="over"):
        look(flows, clock)
    clock.advance(600)
    assert provider.polls == ["d1", "d1"]


def test_who_asks_too_early_hears_what_the_next_poll_says(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [ME]
    begun(flows)
    clock.advance(4)
    looked = flows.look("w", "f", ADA, PEER)
    clock.advance(1)
    assert got(looked) == ME


def test_slow_down_adds_five_seconds_for_good(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [SLOW_DOWN]
    begun(flows)
    clock.advance(5)
    assert len(provider.polls) == 1
    clock.advance(5 + SLOWER - 0.1)
    assert len(provider.polls) == 1
    clock.advance(0.1)
    clock.advance(5 + SLOWER)
    assert len(provider.polls) == 3


def test_told_to_slow_down_again_it_is_slower_still_and_who_leaves_meanwhile_is_polled_for_no_more(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [SLOW_DOWN, SLOW_DOWN]
    begun(flows)
    clock.advance(5)
    clock.advance(5 + SLOWER)
    assert len(provider.polls) == 2
    clock.advance(5 + 2 * SLOWER - 0.1)
    assert len(provider.polls) == 2
    flows.end("w", "f")
    assert not clock.getDelayedCalls()
    clock.advance(600)
    assert len(provider.polls) == 2 and flows.running == 0


def test_a_code_whose_provider_slows_it_down_still_ends_with_its_time(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [SLOW_DOWN] * 20
    begun(flows)
    for _ in range(60):
        clock.advance(1)
    with pytest.raises(DeviceRefused, match="expired"):
        look(flows, clock)
    assert len(provider.polls) == 4  # after 5, 10, 15 and 20 seconds; the next would be too late


def test_a_provider_that_is_away_is_asked_less_often_and_may_come_back(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.answers = [Unreachable("down"), Unreachable("down"), ME]
    begun(flows)
    for wait in (5, 10, 20):
        clock.advance(wait - 0.1)
        before = len(provider.polls)
        clock.advance(0.1)
        assert len(provider.polls) == before + 1
    assert look(flows, clock) == ME and BACKOFF_LONGEST >= 20


def test_a_code_ends_with_its_time(flows: Flows, clock: Clock, provider: Fake) -> None:
    begun(flows)
    for _ in range(13):
        clock.advance(5)
    asked = len(provider.polls)
    with pytest.raises(DeviceRefused, match="expired"):
        look(flows, clock)
    clock.advance(600)
    assert len(provider.polls) == asked == 11


@pytest.mark.parametrize("answer", [refused("declined"), RuntimeError("a bug with a secret")], ids=["declined", "bug"])
def test_whatever_else_comes_ends_it_and_proves_nobody(flows: Flows, clock: Clock, provider: Fake, answer: Exception) -> None:
    provider.answers = [answer]
    begun(flows)
    with pytest.raises(DeviceRefused) as caught:
        look(flows, clock)
    assert "secret" not in caught.value.why
    clock.advance(600)
    assert len(provider.polls) == 1


def test_a_client_that_leaves_ends_the_polling_at_once(flows: Flows, clock: Clock, provider: Fake) -> None:
    cancelled: list[Any] = []
    provider.answers = [Deferred(cancelled.append)]
    begun(flows)
    clock.advance(5)
    flows.end("w", "f")
    assert cancelled and flows.running == 0 and not clock.getDelayedCalls()
    with pytest.raises(DeviceRefused):
        look(flows, clock)


def test_a_client_that_leaves_before_it_has_a_code_is_not_polled_for(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.begun = Deferred()
    started = flows.start("w", "f", ADA, PEER)
    flows.end("w", "f")
    with pytest.raises(DeviceRefused, match="given up"):
        got(started)
    clock.advance(600)
    assert not provider.polls and flows.running == 0


def test_a_provider_that_gives_no_code_leaves_nothing_behind(flows: Flows, clock: Clock, provider: Fake) -> None:
    provider.begun = fail(refused("it is down"))
    with pytest.raises(DeviceRefused, match="down"):
        begun(flows)
    assert flows.running == 0 and not clock.getDelayedCalls()


# -- whose -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [
    {"owner": "another worker"}, {"subject": "grace@clinic.example"}, {"peer": "10.0.0.8:5000"}, {"name": "another connection"},
], ids=lambda other: next(iter(other)))  # fmt: skip
def test_nobody_else_may_use_what_was_proved(flows: Flows, clock: Clock, provider: Fake, other: dict[str, str]) -> None:
    provider.answers = [ME]
    begun(flows)
    clock.advance(5)
    with pytest.raises(DeviceRefused):
        look(flows, clock, **other)
    assert look(flows, clock) == ME


def test_an_identity_has_one_at_a_time_from_an_address(flows: Flows, clock: Clock, provider: Fake) -> None:
    begun(flows, "old")
    begun(flows, "new")
    begun(flows, "elsewhere", peer="10.0.0.8:1")
    assert flows.running == 2
    with pytest.raises(DeviceRefused):
        look(flows, clock, "old")
    clock.advance(5)
    assert "d1" not in provider.polls and "d2" in provider.polls


def test_starts_are_braked_by_address_and_in_all(flows: Flows, clock: Clock) -> None:
    for number in range(STARTS_FROM_ONE):
        begun(flows, f"f{number}")
    with pytest.raises(DeviceRefused, match="too many"):
        flows.start("w", "more", ADA, PEER)
    begun(flows, "elsewhere", peer="10.0.0.8:1")
    clock.advance(WINDOW)
    begun(flows, "later")


def test_there_is_room_for_a_bounded_number(flows: Flows) -> None:
    for number in range(FLOWS):
        flows._starts.clear()  # the brake on starts is slower than this test
        begun(flows, f"f{number}", subject=f"p{number}", peer=f"10.0.1.{number}:1")
    flows._starts.clear()
    with pytest.raises(DeviceRefused, match="too many"):
        flows.start("w", "more", ADA, PEER)


def test_one_address_does_not_take_everybodys_room(flows: Flows) -> None:
    """Whoever begins logins and never ends them keeps out nobody but those at its address."""
    for number in range(FROM_ONE):
        flows._starts.clear()
        begun(flows, f"f{number}", subject=f"p{number}")
    flows._starts.clear()
    with pytest.raises(DeviceRefused, match="too many"):
        flows.start("w", "more", "grace", PEER)
    begun(flows, "elsewhere", subject="grace", peer="10.0.0.8:1")


def test_a_worker_that_is_gone_and_another_provider_end_them(flows: Flows, clock: Clock, provider: Fake) -> None:
    begun(flows, owner="w1")
    begun(flows, owner="w2", subject="grace")
    flows.left("w1")
    assert flows.running == 1
    flows.reload(ENTRY)
    assert flows.running == 1
    flows.reload(None)
    assert not clock.getDelayedCalls()
    with pytest.raises(DeviceRefused, match="no identity provider"):
        flows.start("w2", "g", ADA, PEER)


# -- what control says of the identity ------------------------------------------------------------------


def proved(desk: Desk, clock: Clock, provider: Fake, proof: Proof, subject: str = ADA, second: str = "rules") -> Any:
    provider.answers = [proof]
    got(desk.ssh_device("f", subject, PEER))
    looked = desk.ssh_device_result("f", subject, PEER, second)
    clock.advance(5)
    return got(looked)


def test_a_person_is_let_in_and_the_provider_named(desk: Desk, clock: Clock, provider: Fake) -> None:
    told = proved(desk, clock, provider, ME)
    assert {"subject": ADA, "proof": "oidc", "second": False, "issuer": ISSUER, "issuer_subject": "u-1"}.items() <= told.items()


def test_not_yet_is_no_proof(desk: Desk, clock: Clock) -> None:
    got(desk.ssh_device("f", ADA, PEER))
    looked = desk.ssh_device_result("f", ADA, PEER)
    clock.advance(5)
    assert got(looked) == {}


def test_who_proves_to_be_somebody_else_is_refused_and_recorded(desk: Desk, clock: Clock, provider: Fake, notary: Any) -> None:
    with pytest.raises(DeviceRefused, match="somebody else than"):
        proved(desk, clock, provider, Proof(ISSUER, "u-2", ADA.upper()))
    [facts] = [facts for kind, facts in notary.notes if kind == "login.mismatched"]
    assert {"subject": ADA, "proved": ADA.upper(), "issuer": ISSUER, "issuer_subject": "u-2", "peer": "10.0.0.7"}.items() <= facts.items()


@pytest.mark.parametrize(("subject", "why"), [
    ("nobody@clinic.example", "the gateway knows no such identity"), ("claude", "the identity is no person, but of kind agent"),
    ("mary@clinic.example", "the identity was revoked"),
], ids=["unknown", "agent", "revoked"])  # fmt: skip
def test_a_proof_lets_in_nobody_who_is_no_person_of_the_gateway_and_the_record_says_who_it_was(
    office: Office, desk: Desk, clock: Clock, provider: Fake, notary: Any, subject: str, why: str
) -> None:
    """Whoever tries hears what a wrong token hears."""
    with office.store.write() as txn:
        office.identities.revoke(txn, "mary@clinic.example", "local", "")
    with pytest.raises(LoginRefused) as caught:
        proved(desk, clock, provider, Proof(ISSUER, "u-3", subject), subject)
    assert caught.value.why == REFUSED
    [facts] = [facts for kind, facts in notary.notes if kind == "login.unknown"]
    told = {"subject": subject, "why": why, "issuer": ISSUER, "issuer_subject": "u-3", "peer": "10.0.0.7"}
    assert {name: facts[name] for name in told} == told


def test_a_one_time_code_has_to_follow_here_too(office: Office, desk: Desk, clock: Clock, provider: Fake) -> None:
    office.second.rule = SecondStep(kinds=frozenset({"human"}))
    with pytest.raises(NoApp):
        proved(desk, clock, provider, ME)


def test_who_is_braked_begins_nothing(office: Office, desk: Desk, provider: Fake) -> None:
    for _ in range(SUBJECT_FAILURES):
        office.throttle.failed(ADA, PEER)
    with pytest.raises(Throttled):
        desk.ssh_device("f", ADA, PEER)
    assert not provider.codes


def test_a_session_ends_when_its_provider_is_taken_out(office: Office, desk: Desk) -> None:
    session = {"subject": ADA, "token": opened_by(ISSUER)}
    assert office.may_go_on(session)
    office.flows.reload(Device("https://other.example", "ostiary"))
    assert not office.may_go_on(session)
    office.flows.reload(ENTRY)
    office.identities.reload({**PEOPLE, ADA: IdentityEntry(ADA, "agent")})
    assert not office.may_go_on(session)


def test_a_worker_that_is_lost_leaves_no_polling_behind(desk: Desk, flows: Flows) -> None:
    got(desk.ssh_device("f", ADA, PEER))
    desk.lost()
    assert flows.running == 0
