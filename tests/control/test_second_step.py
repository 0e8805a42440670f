"""Who has to give a one-time code at SSH's listeners, what a code is worth, and how guessing at it ends."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.config import IdentityEntry, SecondStep
from gateway.control.admin import Admin
from gateway.control.commits import Commits
from gateway.control.desk import Desk
from gateway.control.errors import CodesShut, CodeUsed, Conflict, LoginRefused, NoApp, NotFound
from gateway.control.identity.codes import GUESSES, SHUT, SHUT_LIMIT
from gateway.control.identity.second import ALWAYS, BY_RULES, GIVEN
from gateway.control.identity.totp import STEP, hotp
from gateway.control.office import Office
from tests_people import ADA, GRACE, JOAN, PEOPLE

PEER, KEY = "10.0.0.7:5000", b"blob of a key"


@pytest.fixture
def admin(office: Office) -> Admin:
    return Admin(office, None)


@pytest.fixture
def desk(office: Office) -> Desk:
    """Ada has a key."""
    office.identities.reload({**PEOPLE, ADA: IdentityEntry(ADA, "human", frozenset({"engineers"}), ssh_keys=frozenset({KEY}))})
    return Desk(office, {}, lambda *_: None, Commits((), Clock(), 1))


def enrolled(admin: Admin, subject: str = ADA) -> bytes:
    """The secret in an app."""
    return base64.b32decode(admin.methods["otp_enroll"](subject)["secret"])


def wrong(secret: bytes, clock: Clock) -> str:
    near = {hotp(secret, int(clock.seconds() // STEP) + drift) for drift in range(-3, 4)}
    return next(code for n in range(10) if (code := f"{n:06d}") not in near)


def code(secret: bytes, clock: Clock) -> str:
    return hotp(secret, int(clock.seconds() // STEP))


def first(desk: Desk, second: str = BY_RULES) -> Any:
    return desk.ssh_key_result(ADA, KEY, True, PEER, second)["second"]


# -- who --------------------------------------------------------------------------------------------


def test_nobody_is_asked_unless_something_says_so(desk: Desk) -> None:
    assert first(desk) is False


def test_whoever_has_an_app_is_asked(desk: Desk, admin: Admin) -> None:
    enrolled(admin)
    assert first(desk) is True
    admin.methods["otp_remove"](ADA)
    assert first(desk) is False


@pytest.mark.parametrize("rule", [SecondStep(kinds=frozenset({"human"})), SecondStep(groups=frozenset({"engineers"}))], ids=["kind", "group"])
def test_whoever_a_rule_names_must_have_an_app(office: Office, desk: Desk, admin: Admin, rule: SecondStep) -> None:
    """Who has none is told what to do, and does not come in."""
    office.second.rule = rule
    with pytest.raises(NoApp, match=f"ostiary otp enroll {ADA}"):
        first(desk)
    enrolled(admin)
    assert first(desk) is True


@pytest.mark.parametrize("rule", [SecondStep(kinds=frozenset({"agent"})), SecondStep(groups=frozenset({"approvers"}))], ids=["kind", "group"])
def test_a_rule_about_others_says_nothing(office: Office, desk: Desk, rule: SecondStep) -> None:
    office.second.rule = rule
    assert first(desk) is False


def test_an_identity_may_be_named_by_itself(office: Office, desk: Desk) -> None:
    office.identities.reload({ADA: IdentityEntry(ADA, ssh_keys=frozenset({KEY}), second_step=True)})
    with pytest.raises(NoApp):
        first(desk)


def test_a_listener_may_ask_everybody(desk: Desk) -> None:
    with pytest.raises(NoApp):
        first(desk, ALWAYS)


def test_what_was_given_outside_is_not_asked_for_inside(desk: Desk, admin: Admin) -> None:
    """A code is good once, and a jump would need two."""
    enrolled(admin)
    assert first(desk, GIVEN) is False


def test_certificates_and_tokens_are_first_steps_too(office: Office, desk: Desk, admin: Admin) -> None:
    enrolled(admin)
    token = admin.token_issue(ADA, 60.0)["token"]
    assert desk.ssh_token(ADA, token, PEER)["second"] is True
    badge = {"authority": admin.ssh_ca("people"), "serial": 7, "after": 5, "key_id": "x"}
    assert desk.ssh_certificate_result(ADA, badge, True, PEER)["second"] is True


def test_whoever_fails_the_first_step_hears_nothing_of_a_second(office: Office, desk: Desk) -> None:
    """Neither that it is wanted, nor that there is no app: whoever asks has proved nothing."""
    office.second.rule = SecondStep(kinds=frozenset({"human"}))
    for method in (lambda: desk.ssh_key_result(ADA, KEY, False, PEER), lambda: desk.ssh_token(ADA, "ost_wrong", PEER)):
        with pytest.raises(LoginRefused):
            method()


@pytest.mark.parametrize("step", ["key", "token"])
def test_half_a_login_forgives_nothing(office: Office, desk: Desk, admin: Admin, step: str) -> None:
    """A stolen key or token does not wipe out what was counted for the name."""
    secret, token = enrolled(admin), admin.token_issue(ADA, 60.0)["token"]
    for _ in range(9):
        with pytest.raises(LoginRefused):
            desk.ssh_key_result(ADA, b"another", True, PEER)
    assert (first(desk) if step == "key" else desk.ssh_token(ADA, token, PEER)["second"]) is True
    assert office.throttle.failed(ADA, "10.9.9.9:1") is True  # the tenth
    assert desk.ssh_code(ADA, code(secret, office.codes._clock), PEER) is True
    assert office.throttle.wait(ADA, "10.9.9.9:1") == 0


# -- codes -------------------------------------------------------------------------------------------


def test_a_code_is_spent_once_over_all_workers(office: Office, desk: Desk, admin: Admin, clock: Clock) -> None:
    secret = enrolled(admin)
    assert desk.ssh_code(ADA, code(secret, clock), PEER) is True
    other = Desk(office, {}, lambda *_: None, Commits((), Clock(), 1))
    with pytest.raises(LoginRefused):
        other.ssh_code(ADA, code(secret, clock), PEER)
    clock.advance(STEP)
    assert other.ssh_code(ADA, code(secret, clock), PEER) is True


def test_a_spent_code_stays_spent_over_a_restart(open_office: Callable[[], Office], clock: Clock) -> None:
    office = open_office()
    secret = enrolled(Admin(office, None))
    office.login.ssh_code(ADA, code(secret, clock), PEER)
    office = open_office()
    with pytest.raises(LoginRefused):
        office.login.ssh_code(ADA, code(secret, clock), PEER)


def test_a_spent_code_is_told_apart_from_a_wrong_one(desk: Desk, admin: Admin, clock: Clock) -> None:
    """However often it is shown, it shuts nobody out; a right one still lets in, and only once."""
    secret = enrolled(admin)
    desk.ssh_code(ADA, code(secret, clock), PEER)
    for _ in range(2 * GUESSES):
        with pytest.raises(CodeUsed):
            desk.ssh_code(ADA, code(secret, clock), PEER)
    clock.advance(STEP)
    assert desk.ssh_code(ADA, code(secret, clock), PEER) is True


def test_a_spent_code_forgives_no_guess(desk: Desk, admin: Admin, clock: Clock) -> None:
    """Shown between wrong ones, it does not begin their count anew."""
    secret = enrolled(admin)
    desk.ssh_code(ADA, spent := code(secret, clock), PEER)
    for _ in range(GUESSES - 1):
        for given, refusal in ((wrong(secret, clock), LoginRefused), (spent, CodeUsed)):
            with pytest.raises(refusal):
                desk.ssh_code(ADA, given, PEER)
    with pytest.raises(CodesShut):
        desk.ssh_code(ADA, wrong(secret, clock), PEER)


def test_a_code_older_than_a_spent_one_is_a_wrong_one(desk: Desk, admin: Admin, clock: Clock) -> None:
    secret = enrolled(admin)
    older = code(secret, clock)
    clock.advance(STEP)
    desk.ssh_code(ADA, code(secret, clock), PEER)
    with pytest.raises(LoginRefused) as caught:
        desk.ssh_code(ADA, older, PEER)
    assert not isinstance(caught.value, CodeUsed)


def test_a_code_may_be_written_as_apps_show_it(desk: Desk, admin: Admin, clock: Clock) -> None:
    text = code(enrolled(admin), clock)
    assert desk.ssh_code(ADA, f"{text[:3]} {text[3:]}", PEER) is True


def test_a_code_is_its_owners_only(desk: Desk, admin: Admin, clock: Clock) -> None:
    enrolled(admin)
    other = enrolled(admin, GRACE)
    with pytest.raises(LoginRefused):
        desk.ssh_code(ADA, code(other, clock), PEER)


def test_who_has_no_app_has_no_code(desk: Desk) -> None:
    with pytest.raises(LoginRefused):
        desk.ssh_code(JOAN, "000000", PEER)


def test_a_revoked_identity_has_no_code(desk: Desk, admin: Admin, clock: Clock) -> None:
    secret = enrolled(admin)
    admin.identity_revoke(ADA)
    with pytest.raises(LoginRefused):
        desk.ssh_code(ADA, code(secret, clock), PEER)


# -- guesses -----------------------------------------------------------------------------------------


def guessed(desk: Desk, secret: bytes, clock: Clock) -> float:
    """Wrong codes until no more are looked at; for how long that is."""
    for _ in range(GUESSES - 1):
        with pytest.raises(LoginRefused):
            desk.ssh_code(ADA, wrong(secret, clock), PEER)
    with pytest.raises(CodesShut) as caught:
        desk.ssh_code(ADA, wrong(secret, clock), PEER)
    return float(caught.value.why.rpartition("in ")[2].removesuffix(" s")) - 1


def test_wrong_codes_shut_an_identity_and_say_for_how_long(desk: Desk, admin: Admin, clock: Clock, notary: Any) -> None:
    """Then neither a right code nor another first step helps, until the time is over."""
    secret = enrolled(admin)
    assert guessed(desk, secret, clock) == SHUT
    assert dict(notary.notes)["login.shut"]["subject"] == ADA
    for attempt in (lambda: desk.ssh_code(ADA, code(secret, clock), PEER), lambda: first(desk)):
        with pytest.raises(CodesShut, match=r"try again in \d+ s"):
            attempt()
    clock.advance(SHUT)
    assert desk.ssh_code(ADA, code(secret, clock), PEER) is True


def test_each_time_it_is_shut_for_longer(desk: Desk, admin: Admin, clock: Clock) -> None:
    """A right code in between begins anew."""
    secret, waits = enrolled(admin), []
    for _ in range(9):
        waits.append(guessed(desk, secret, clock))
        clock.advance(waits[-1] + 61)  # and the brake on addresses lets go too
    assert waits == [min(SHUT * 2**n, SHUT_LIMIT) for n in range(9)] and waits[-1] == SHUT_LIMIT
    assert desk.ssh_code(ADA, code(secret, clock), PEER) is True
    assert guessed(desk, secret, clock) == SHUT


def test_guesses_are_counted_over_a_restart(open_office: Callable[[], Office], clock: Clock) -> None:
    office = open_office()
    secret = enrolled(Admin(office, None))
    for _ in range(GUESSES - 1):
        with pytest.raises(LoginRefused):
            office.login.ssh_code(ADA, wrong(secret, clock), PEER)
    with pytest.raises(CodesShut):
        open_office().login.ssh_code(ADA, wrong(secret, clock), PEER)


def test_wrong_codes_count_for_their_address(desk: Desk, admin: Admin, clock: Clock, office: Office) -> None:
    secret = enrolled(admin)
    guessed(desk, secret, clock)
    assert office.throttle._failures["peer 10.0.0.7"][1] == GUESSES


# -- enrolment ----------------------------------------------------------------------------------------


def test_a_secret_is_given_out_once_and_never_again(admin: Admin, clock: Clock, notary: Any) -> None:
    secret = enrolled(admin)
    told = repr([admin.methods["otp_list"](), admin.identity_list(), notary.notes])
    assert base64.b32encode(secret).decode() not in told and repr(secret) not in told
    with pytest.raises(Conflict, match=f"ostiary otp remove {ADA}"):
        enrolled(admin)
    assert {"subject": ADA, "channel": "cli"}.items() <= dict(notary.notes)["otp.enrolled"].items()


def test_a_secret_is_sealed_in_the_store(office: Office, admin: Admin, state: Any) -> None:
    secret = enrolled(admin)
    assert secret not in (state / "control" / "data.mdb").read_bytes()


def test_a_removed_app_lets_nobody_in(desk: Desk, admin: Admin, clock: Clock, notary: Any) -> None:
    secret = enrolled(admin)
    assert admin.methods["otp_remove"](ADA) == {"subject": ADA, "required": False}
    with pytest.raises(LoginRefused):
        desk.ssh_code(ADA, code(secret, clock), PEER)
    assert "otp.removed" in notary.kinds()
    with pytest.raises(NotFound):
        admin.methods["otp_remove"](ADA)


def test_nobody_unknown_is_enrolled(admin: Admin) -> None:
    with pytest.raises(NotFound):
        enrolled(admin, "eve")


def test_the_list_says_who_has_one_who_must_and_who_is_shut(office: Office, desk: Desk, admin: Admin, clock: Clock) -> None:
    office.second.rule = SecondStep(groups=frozenset({"approvers"}))
    secret = enrolled(admin)
    desk.ssh_code(ADA, code(secret, clock), PEER)
    guessed(desk, secret, clock)
    found = {one["subject"]: one for one in admin.methods["otp_list"]()}
    assert {"enrolled": True, "required": False, "last_used": clock.seconds(), "shut_until": clock.seconds() + SHUT}.items() <= found[ADA].items()
    assert (found[GRACE]["enrolled"], found[GRACE]["required"]) == (False, True) and JOAN not in found
