"""Tokens, SCRAM and the brake on guessing."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.control.admin import Admin
from gateway.control.errors import BadCall, LoginRefused, NotAllowed, NotFound, Throttled
from gateway.control.identity import throttle
from gateway.control.identity.token import split
from gateway.control.office import Office
from tests_people import ADA, GRACE, JOAN

PEER = "10.0.0.7:5000"


@pytest.fixture
def admin(office: Office) -> Admin:
    return Admin(office, None)


def issue(admin: Admin, subject: str = ADA, ttl: float = 3600.0) -> str:
    return str(admin.token_issue(subject, ttl)["token"])


# -- tokens --------------------------------------------------------------------------


def test_a_token_is_long_random_and_works(office: Office, admin: Admin, clock: Clock) -> None:
    tokens = {issue(admin) for _ in range(50)}
    assert len(tokens) == 50
    for token in tokens:
        assert len(base64.urlsafe_b64decode(split(token)[1] + "=")) == 32
    told = office.login.authenticate(ADA, tokens.pop(), PEER)
    assert told == {
        "subject": ADA, "kind": "human", "groups": ["approvers", "engineers"], "on_behalf_of": None, "proof": "token",
        "token": told["token"], "expires": clock.seconds() + 3600.0,
    }


def wrong_tokens(admin: Admin) -> dict[str, tuple[str, str]]:
    """(subject, what it sends), each wrong in its own way."""
    good, other = issue(admin), issue(admin, GRACE)
    revoked = issue(admin)
    admin.token_revoke(split(revoked)[0])
    return {
        "unknown subject": ("eve", good),
        "another's token": (ADA, other),
        "wrong secret": (ADA, good[:-1] + ("A" if good[-1] != "A" else "B")),
        "right id of another": (ADA, f"ost_{split(other)[0]}_{split(good)[1]}"),
        "no token": (ADA, "password"),
        "empty": (ADA, ""),
        "no such id": (ADA, "ost_ffffffffff_" + "A" * 43),
        "the decoy": (ADA, "ost_0000000000_" + "A" * 43),
        "the decoy's subject": ("", "ost_0000000000_" + "A" * 43),
        "revoked": (ADA, revoked),
        "very long": ("x" * 5000, "y" * 5000),
        "surrogates": (ADA, "ost_\udc80\udc80\udc80\udc80\udc80\udc80\udc80\udc80\udc80\udc80_" + "A" * 43),
        "with a newline": (ADA, good + "\n"),
    }


def test_whatever_is_wrong_gets_the_same_answer(office: Office, admin: Admin, clock: Clock) -> None:
    """Who listens to refusals learns neither names nor states."""
    said = set()
    for kind, (subject, token) in wrong_tokens(admin).items():
        with pytest.raises(LoginRefused) as caught:
            office.login.authenticate(subject, token, PEER)
        said.add(caught.value.why)
        assert token not in caught.value.why or not token, kind
        clock.advance(61)
    assert len(said) == 1


def test_every_refusal_does_the_same_work(office: Office, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known or not, right or not: one digest is compared and one value unsealed, so time tells nothing."""
    work: list[str] = []
    compare, unseal = hmac.compare_digest, type(office.store.seal).open
    cases = wrong_tokens(admin)
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: work.append("compare") or compare(a, b))
    monkeypatch.setattr(type(office.store.seal), "open", lambda *args: work.append("unseal") or unseal(*args))
    done = {}
    for kind, (subject, token) in cases.items():
        work.clear()
        assert office.tokens.prove(subject, token) is None
        done[kind] = tuple(work)
    assert set(done.values()) == {("unseal", "compare", "compare")}, done


def test_a_token_ends_with_its_time(office: Office, admin: Admin, clock: Clock) -> None:
    token = issue(admin, ttl=60.0)
    clock.advance(59)
    office.login.authenticate(ADA, token, PEER)
    clock.advance(2)
    with pytest.raises(LoginRefused):
        office.login.authenticate(ADA, token, PEER)
    assert [one["state"] for one in admin.token_list()] == ["expired"]


@pytest.mark.parametrize("ttl", [0, -1, 1e12])
def test_a_token_has_a_sensible_life(admin: Admin, ttl: float) -> None:
    with pytest.raises(BadCall):
        admin.token_issue(ADA, ttl)


def test_last_use_is_remembered(open_office: Callable[[], Office], clock: Clock) -> None:
    office = open_office()
    token = issue(Admin(office, None))
    clock.advance(5)
    office.login.authenticate(ADA, token, PEER)
    used = clock.seconds()
    clock.advance(1)  # when it is flushed
    [shown] = Admin(open_office(), None).token_list()
    assert shown["last_used"] == used


def test_revoking_ends_sessions(office: Office, admin: Admin) -> None:
    """Those of the token; those of the identity and of who acts for it; and nobody else's."""

    class Worker:
        pushed: list[Any] = []

        def push(self, name: str, value: Any) -> None:
            self.pushed.append((name, value["session"]))

    worker, identifier = Worker(), split(issue(admin))[0]
    for name, subject, person, token in (("1", ADA, None, identifier), ("2", ADA, None, "t"), ("3", "claude", ADA, "u"), ("4", GRACE, None, "v")):
        office.sessions.opened(worker, {"id": name, "subject": subject, "on_behalf_of": person, "token": token})
    assert admin.token_revoke(identifier)["ended"] == ["1"]
    assert admin.identity_revoke(ADA)["ended"] == ["1", "2", "3"]
    assert ("kill", "4") not in worker.pushed
    with pytest.raises(NotFound):
        admin.token_revoke("none")


def test_an_agent_of_a_revoked_person_is_refused(office: Office, admin: Admin) -> None:
    token = issue(admin, "claude")
    assert office.login.authenticate("claude", token, PEER)["on_behalf_of"] == ADA
    admin.identity_revoke(ADA)
    with pytest.raises(LoginRefused):
        office.login.authenticate("claude", token, PEER)
    with pytest.raises(LoginRefused):
        office.login.identity("claude")
    admin.identity_restore(ADA)
    assert office.login.identity("claude")["kind"] == "agent"


def test_a_bearer_token_says_whose_it_is(office: Office, admin: Admin) -> None:
    assert office.login.bearer(issue(admin, JOAN), PEER)["subject"] == JOAN
    with pytest.raises(LoginRefused):
        office.login.bearer("ost_ffffffffff_" + "A" * 43, PEER)


@pytest.mark.parametrize("subject", ["", "a b", "a/b", "x" * 256, "ö" * 200, "@a", "a\0b"])
def test_who_cannot_be_an_identity(admin: Admin, subject: str) -> None:
    with pytest.raises(NotAllowed):
        admin.identity_add(subject, "human", [])


# -- SCRAM ---------------------------------------------------------------------------


def proof_fits(verifier: dict[str, Any], keys: dict[str, Any], password: str) -> bool:
    """As RFC 5802, section 3 computes it, from the client's side."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), verifier["salt"], verifier["iterations"])
    client = hmac.digest(salted, b"Client Key", "sha256")
    server = hmac.digest(salted, b"Server Key", "sha256")
    return (hashlib.sha256(client).digest(), server) == (keys["stored_key"], keys["server_key"])


def test_every_good_token_works_as_a_scram_password(office: Office, admin: Admin, clock: Clock) -> None:
    first = issue(admin)
    clock.advance(1)
    second = issue(admin)
    gone = issue(admin)
    admin.token_revoke(split(gone)[0])
    verifier = office.login.scram(ADA)
    assert verifier["iterations"] >= 4096 and len(verifier["salt"]) == 16
    assert [keys["token"] for keys in verifier["keys"]] == [split(second)[0], split(first)[0]]
    assert proof_fits(verifier, verifier["keys"][0], second) and proof_fits(verifier, verifier["keys"][1], first)
    assert verifier["stored_key"] == verifier["keys"][0]["stored_key"]
    told = office.login.scram_result(ADA, True, PEER, split(first)[0])
    assert (told["proof"], told["token"]) == ("scram", split(first)[0])


def test_a_subject_that_does_not_exist_is_challenged_the_same_way(open_office: Callable[[], Office]) -> None:
    """Twice, and after a restart, the same salt: as it is for those who exist. A new token changes no salt."""
    office = open_office()
    unknown, known = office.login.scram("eve"), office.login.scram(ADA)
    assert unknown.keys() == known.keys() and len(unknown["keys"]) == len(known["keys"]) == 1
    assert [len(unknown[k]) for k in ("salt", "stored_key", "server_key")] == [16, 32, 32]
    issue(Admin(office, None))
    assert office.login.scram(ADA)["salt"] == known["salt"] != unknown["salt"]
    again = open_office().login.scram("eve")
    assert again == unknown


@pytest.mark.parametrize("subject", ["eve", ADA, "", "x" * 3000])
def test_nothing_proves_a_decoy(office: Office, subject: str) -> None:
    """A worker that says yes for who has no token is not believed."""
    keys = office.login.scram(subject)["keys"][0]
    assert keys["token"] == ""
    for token in ("", "none", "0000000000"):
        with pytest.raises(LoginRefused):
            office.login.scram_result(subject, True, PEER, token)


def test_a_token_revoked_during_the_exchange_is_refused(office: Office, admin: Admin) -> None:
    token = split(issue(admin))[0]
    office.login.scram(ADA)
    admin.token_revoke(token)
    with pytest.raises(LoginRefused):
        office.login.scram_result(ADA, True, PEER, token)


# -- throttling ----------------------------------------------------------------------


def fail(office: Office, times: int, subject: str = ADA, peer: str = PEER) -> None:
    for _ in range(times):
        with pytest.raises(LoginRefused):
            office.login.authenticate(subject, "wrong", peer)


@pytest.mark.parametrize("subject", [ADA, "eve"])
def test_a_subject_is_braked_whether_it_exists_or_not(office: Office, admin: Admin, clock: Clock, subject: str) -> None:
    """And while it is, the right token gets the same answer as a wrong one."""
    token = issue(admin)
    for number in range(throttle.SUBJECT_FAILURES):
        fail(office, 1, subject, f"10.0.1.{number}:1")
    for secret in ("wrong", token):
        with pytest.raises(Throttled, match=r"try again in \d+ s"):
            office.login.authenticate(subject, secret, "10.0.2.1:1")
    with pytest.raises(Throttled):
        office.login.scram(subject, "10.0.2.1:1")
    clock.advance(throttle.WINDOW)
    if subject == ADA:
        assert office.login.authenticate(ADA, token, "10.0.2.1:1")["subject"] == ADA
    else:
        fail(office, 1, subject, "10.0.2.1:1")


def test_an_address_is_braked_over_all_subjects_and_ports(office: Office, admin: Admin) -> None:
    token = issue(admin)
    for number in range(throttle.PEER_FAILURES):
        fail(office, 1, f"guess{number}", f"10.0.0.7:{number}")
    with pytest.raises(Throttled):
        office.login.authenticate(ADA, token, "10.0.0.7:999")
    assert office.login.authenticate(ADA, token, "10.0.0.8:1")["subject"] == ADA


def test_a_good_token_does_not_buy_guesses_at_others(office: Office, admin: Admin) -> None:
    """A login forgives the subject's failures, not the address's."""
    token = issue(admin)
    for number in range(throttle.PEER_FAILURES):
        fail(office, 1, f"guess{number}")
        if number % 5 == 0:
            office.login.authenticate(ADA, token, PEER)
    with pytest.raises(Throttled):
        office.login.authenticate(ADA, token, PEER)


def test_a_stranger_cannot_lock_somebody_out(office: Office, admin: Admin, clock: Clock) -> None:
    """An address that the subject came in from lately is braked as an address only."""
    token = issue(admin, ttl=1e6)
    office.login.authenticate(ADA, token, "10.0.0.1:1")
    fail(office, throttle.SUBJECT_FAILURES, ADA, "6.6.6.6:1")
    with pytest.raises(Throttled):
        office.login.authenticate(ADA, token, "10.0.0.2:1")
    assert office.login.authenticate(ADA, token, "10.0.0.1:2")["subject"] == ADA
    clock.advance(throttle.FAMILIAR)
    fail(office, throttle.SUBJECT_FAILURES, ADA, "6.6.6.6:1")
    with pytest.raises(Throttled):
        office.login.authenticate(ADA, token, "10.0.0.1:2")


def test_the_brake_survives_a_restart(open_office: Callable[[], Office], clock: Clock) -> None:
    office = open_office()
    fail(office, throttle.SUBJECT_FAILURES)
    clock.advance(1)
    with pytest.raises(Throttled):
        open_office().login.authenticate(ADA, "x", PEER)


def test_closing_the_door_is_recorded_once(office: Office, notary: Any) -> None:
    fail(office, throttle.SUBJECT_FAILURES)
    for _ in range(3):
        with pytest.raises(Throttled):
            office.login.authenticate(ADA, "wrong", PEER)
    assert [facts for kind, facts in notary.notes if kind == "login.throttled"] == [
        {"subject": ADA, "peer": "10.0.0.7", "at": notary.notes[-1][1]["at"], "number": notary.notes[-1][1]["number"]}
    ]


def test_scram_failures_count_too(office: Office) -> None:
    for _ in range(throttle.SUBJECT_FAILURES):
        with pytest.raises(LoginRefused):
            office.login.scram_result(ADA, False, PEER)
    with pytest.raises(Throttled):
        office.login.scram(ADA, PEER)


def test_the_brake_forgets_the_oldest_first(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded however many names are tried."""
    monkeypatch.setattr(throttle, "REMEMBERED", 10)
    brake = throttle.Throttle(clock)
    for number in range(100):
        brake.failed(f"s{number}", f"10.0.0.{number}:1")
    assert len(brake.dump()["failures"]) == 10


@pytest.mark.parametrize(
    ("peer", "address"), [("10.0.0.7:5", "10.0.0.7"), ("[::1]:5", "[::1]"), ("local", "local")]
)
def test_addresses(peer: str, address: str) -> None:
    assert throttle.address(peer) == address
