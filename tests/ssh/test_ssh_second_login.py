"""A login's second step between the wire and control: what the client is told, what the record, and what time does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway.control.errors import CodesShut, CodeUsed, ControlUnavailable, LoginRefused, NoApp, Throttled
from gateway.control.identity.second import ALWAYS, BY_RULES, GIVEN
from gateway.ssh.doors import Door
from gateway.ssh.entrance import LOGIN_DEADLINE, Entrance
from gateway.ssh.inner import Inner
from gateway.ssh.leg import SERVICE_ACCEPT
from gateway.ssh.login import Login
from protocols.errors import PeerError
from protocols.ssh.auth import BANNER, FAILURE, INFO_REQUEST, INFO_RESPONSE, REQUEST
from protocols.ssh.messages import string, u32

USER = b"ada@web"
PROVED = {"subject": "ada", "kind": "human", "groups": [], "on_behalf_of": None, "proof": "token", "token": "t1", "expires": None}


class Control:
    """Says that a first step is proved and a code has to follow; then whatever a test wants."""

    def __init__(self) -> None:
        self.first: Deferred[Any] = succeed({**PROVED, "second": True})
        self.code: Deferred[Any] = succeed(True)
        self.asked: list[tuple[str, ...]] = []

    def ssh_token(self, subject: str, secret: str, peer: str, second: str) -> Deferred[Any]:
        self.asked.append(("token", subject, second))
        return self.first

    def ssh_code(self, subject: str, code: str, peer: str) -> Deferred[Any]:
        self.asked.append(("code", subject, code))
        return self.code


class Desk:
    """A login with all that it says."""

    def __init__(self, **more: Any) -> None:
        self.control = Control()
        self.sent: list[bytes] = []
        self.proven: list[Any] = []
        self.failed: list[str] = []
        self.refused: list[tuple[str, str]] = []
        worker: Any = SimpleNamespace(control=self.control, config=SimpleNamespace(targets={"web": None}), reactor=Clock())
        self.login = Login(
            worker, "10.0.0.7:5", ("publickey", "password"), proven=lambda *told: self.proven.append(told),
            failed=lambda subject, why: self.failed.append(why), refused=lambda code, why: self.refused.append((code, why)), **more,
        )  # fmt: skip
        self.login.transport = SimpleNamespace(send=self.sent.append)  # type: ignore[assignment]

    def token(self) -> None:
        self.login.packetReceived(REQUEST, string(USER) + string(b"ssh-connection") + string(b"password") + b"\0" + string(b"ost_x"))

    def answer(self, code: bytes = b"123456") -> None:
        self.login.packetReceived(REQUEST, string(USER) + string(b"ssh-connection") + string(b"keyboard-interactive") + string(b"") * 2)
        self.login.packetReceived(INFO_RESPONSE, u32(1) + string(code))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_half_a_login_is_none(desk: Desk) -> None:
    desk.token()
    assert desk.sent == [bytes([FAILURE]) + string(b"keyboard-interactive") + b"\1"] and not desk.proven and not desk.failed


def test_a_right_code_is_the_other_half(desk: Desk) -> None:
    desk.token()
    desk.answer()
    [(selection, proof, method)] = desk.proven
    assert (selection.identity, proof["second"], method) == ("ada", True, "password")
    assert desk.sent[1][0] == INFO_REQUEST and b"One-time code: " in desk.sent[1]


def test_a_wrong_code_is_asked_for_again_and_recorded(desk: Desk) -> None:
    desk.token()
    desk.control.code = fail(LoginRefused("no"))
    desk.answer(b"000000")
    assert desk.failed == ["a wrong one-time code"] and not desk.proven and not desk.refused
    assert desk.sent[-1] == bytes([FAILURE]) + string(b"keyboard-interactive") + b"\0"


def test_a_used_code_is_called_so_and_asked_for_again(desk: Desk) -> None:
    """In the record and by the next prompt; the one behind a wrong code is plain again."""
    desk.token()
    desk.control.code = fail(CodeUsed("used"))
    desk.answer()
    assert desk.failed == ["a one-time code that was used already"] and not desk.proven and not desk.refused
    desk.control.code = fail(LoginRefused("no"))
    desk.answer(b"000000")
    assert b"That code was used already: wait for the next. One-time code: " in desk.sent[-2]
    desk.answer(b"000000")
    assert desk.sent[-2][0] == INFO_REQUEST and b"used already" not in desk.sent[-2]


@pytest.mark.parametrize("error", [
    CodesShut("try again in 60 s (OST-611)"), Throttled("try again (OST-602)"), ControlUnavailable("control is away (OST-603)"),
], ids=["shut", "braked", "control away"])  # fmt: skip
def test_what_cannot_be_checked_lets_nobody_in(desk: Desk, error: Any) -> None:
    desk.token()
    desk.control.code = fail(error)
    desk.answer()
    assert desk.refused == [(error.code, error.why)] and not desk.proven


def test_an_answer_that_is_not_yes_is_no(desk: Desk) -> None:
    desk.token()
    desk.control.code = succeed("yes")
    desk.answer()
    assert not desk.proven and desk.failed == ["a wrong one-time code"]


def test_who_must_have_an_app_is_told_and_the_connection_ends(desk: Desk) -> None:
    desk.control.first = fail(NoApp("you have no app (OST-610)"))
    desk.token()
    assert desk.refused == [("OST-610", "you have no app (OST-610)")]


HINT = b"ssh IDENTITY@TARGET@GATEWAY, or ssh -J IDENTITY@GATEWAY ACCOUNT@TARGET"


def test_whoever_names_no_target_and_fails_is_shown_how_once(desk: Desk) -> None:
    """In words that are right for a jump too. A key that is not theirs is no failure yet, for another may follow."""
    desk.login._settled_whom, desk.control.first = True, fail(LoginRefused("no"))
    head = string(b"ada") + string(b"ssh-connection")
    desk.login.packetReceived(REQUEST, head + string(b"publickey") + b"\0" + string(b"ssh-ed25519") + string(b"no key"))
    assert [payload[0] for payload in desk.sent] == [FAILURE]
    for _ in range(2):
        desk.login.packetReceived(REQUEST, head + string(b"password") + b"\0" + string(b"ost_x"))
    assert [payload[0] for payload in desk.sent] == [FAILURE, BANNER, FAILURE, FAILURE] and HINT in desk.sent[1]


def test_whoever_named_a_target_and_fails_is_not_told_to(desk: Desk) -> None:
    desk.control.first = fail(LoginRefused("no"))
    desk.token()
    assert [payload[0] for payload in desk.sent] == [FAILURE]


def test_a_code_that_is_not_text_is_asked_about_all_the_same(desk: Desk) -> None:
    desk.token()
    desk.answer(b"\xff\xfe")
    assert desk.control.asked[-1] == ("code", "ada", "��")


@pytest.mark.parametrize("said", [ALWAYS, BY_RULES, GIVEN], ids=str)
def test_control_hears_what_the_connection_says(said: str) -> None:
    desk = Desk(second=said)
    desk.token()
    assert desk.control.asked[0] == ("token", "ada", said)


# -- the connection -----------------------------------------------------------------------------------


class House:
    """A gate with nobody else at it."""

    def __init__(self, second_step: bool = False) -> None:
        self.notes: list[tuple[str, dict[str, str]]] = []
        self.listen = SimpleNamespace(auth=("publickey",), second_step=second_step)
        journal = SimpleNamespace(note=lambda session, what, facts: self.notes.append((what, facts)))
        self.worker = SimpleNamespace(reactor=Clock(), control=Control(), config=SimpleNamespace(targets={}, device=None), journal=journal)
        self.algorithms = [b"ssh-ed25519"]
        self.inside = 0

    def entered(self, entrance: Any) -> bool:
        self.inside += 1
        return True

    def left(self, entrance: Any) -> None:
        self.inside -= 1


class Wire(StringTransport):
    """As TCP's, it does not mind having no producer, and may be paused as often as one likes."""

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        """There is nothing to pause."""

    def resumeProducing(self) -> None:
        """Nor to resume."""


def inner(house: Any, given: str = "") -> Inner:
    door: Any = Door("ada", SimpleNamespace(name="web", account=lambda name: None, accounts=()), "web")  # type: ignore[arg-type]
    return Inner(house, "10.0.0.7:5", door, {}, "j-1", given)


def test_whoever_leaves_a_prompt_unanswered_is_a_stranger_until_the_time_is_over() -> None:
    """Room at the door is taken from the first byte until a session begins, and for two minutes at most."""
    house: Any = House()
    entrance = inner(house)
    entrance.factory = SimpleNamespace()  # type: ignore[assignment]
    entrance.makeConnection(Wire())
    login = entrance.login()
    login.transport = SimpleNamespace(send=lambda payload: None)  # type: ignore[assignment]
    head = string(b"app") + string(b"ssh-connection")
    login._login._methods = ("password",)
    login.packetReceived(REQUEST, head + string(b"password") + b"\0" + string(b"ost_x"))
    login.packetReceived(REQUEST, head + string(b"keyboard-interactive") + string(b"") * 2)
    house.worker.reactor.advance(LOGIN_DEADLINE - 1)
    assert house.inside == 1 and not house.notes
    house.worker.reactor.advance(1)
    assert house.inside == 0
    assert [(what, facts["code"], facts["subject"]) for what, facts in house.notes] == [("login.refused", "OST-630", "ada")]


def test_a_refusal_on_record_says_who_it_was_about() -> None:
    """As far as the client had said it; who said nothing readable is nobody."""
    for user, subject in ((b"app", "ada"), (b"\xff", None)):
        house: Any = House()
        entrance = inner(house)
        entrance.factory = SimpleNamespace()  # type: ignore[assignment]
        entrance.makeConnection(Wire())
        login = entrance.login()
        if subject is not None:
            house.worker.control.first = fail(NoApp("you have no app (OST-610)"))
        login._login._methods = ("password",)
        login.packetReceived(REQUEST, string(user) + string(b"ssh-connection") + string(b"password") + b"\0" + string(b"ost_x"))
        [(what, facts)] = house.notes
        assert what == "login.refused" and facts.get("subject") == subject


@pytest.mark.parametrize(("listener", "given", "said"), [
    (False, "", BY_RULES), (True, "", ALWAYS), (True, "one-time code of the jump", GIVEN),
], ids=["rules", "listener", "jump"])  # fmt: skip
def test_a_connection_says_who_is_asked_on_it(listener: bool, given: str, said: str) -> None:
    assert inner(House(listener), given).login()._step == said


def test_no_connection_of_its_own_was_given_anything() -> None:
    assert Entrance.given == ""


def test_asking_for_the_login_again_is_accepted_and_counts_nothing_anew() -> None:
    """Paramiko does, before each step; any other service there breaks the rules."""
    entrance, sent = inner(House()), []
    login = entrance.service = entrance.login()
    entrance.send = sent.append  # type: ignore[method-assign]
    entrance.ssh_SERVICE_REQUEST(string(b"ssh-userauth"))
    assert sent == [bytes([SERVICE_ACCEPT]) + string(b"ssh-userauth")] and entrance.service is login
    for other in (b"ssh-connection", b"ssh-userauth\0"):
        with pytest.raises(PeerError):
            entrance.ssh_SERVICE_REQUEST(string(other))
