"""A login by a browser between the wire and control: what the client is shown, what ends it, and how long it may take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from gateway.control.errors import ControlUnavailable, DeviceRefused, LoginRefused, Throttled
from gateway.ssh.entrance import LOGIN_DEADLINE
from gateway.ssh.login import NOBODY, Login, instruction
from protocols.ssh.auth import (
    FAILURE, INFO_REQUEST, INFO_RESPONSE, PROBES, REQUEST, BeginBrowser, CheckBrowser, CheckSecret, Failed, GiveUp, Proven, Send, ServerLogin,
)
from protocols.ssh.messages import Reader, string, u32
from tests.ssh.test_ssh_second_login import House, inner

TOLD = {"url": "https://login.example/go", "code": "ABCD", "complete": "https://login.example/go?c=ABCD", "seconds": 300.0}
PROVED = {
    "subject": "ada", "kind": "human", "groups": [], "on_behalf_of": None, "proof": "oidc", "token": "idp x", "expires": None, "second": False,
    "issuer": "https://login.example", "issuer_subject": "u-1",
}  # fmt: skip
PROMPT_ME = bytes([REQUEST]) + string(b"ada@web") + string(b"ssh-connection") + string(b"keyboard-interactive") + string(b"") * 2
ENTER = bytes([INFO_RESPONSE]) + u32(1) + string(b"")


def prompt(payload: bytes) -> tuple[str, str, bool]:
    """(instruction, prompt, whether the answer is shown)"""
    fields = Reader(payload)
    _, said, _, count = fields.string(), fields.string().decode(), fields.string(), fields.u32()
    asked, echo = fields.string().decode(), fields.flag()
    fields.end()
    assert count == 1
    return said, asked, echo


# -- the exchange ------------------------------------------------------------------------------------


def browsing() -> ServerLogin:
    login = ServerLogin(browser=True)
    login.from_client(PROMPT_ME)
    assert login.from_client(ENTER) == [BeginBrowser("ada@web")]
    return login


def test_an_empty_answer_begins_it_and_a_token_is_a_token() -> None:
    login = ServerLogin(browser=True)
    [sent] = login.from_client(PROMPT_ME)
    assert isinstance(sent, Send) and prompt(sent.payload) == ("", "Ostiary token (empty: log in by your browser): ", False)
    token = bytes([INFO_RESPONSE]) + u32(1) + string(b"ost_x")
    assert login.from_client(token) == [CheckSecret("ada@web", b"ost_x", "keyboard-interactive")]


def test_where_there_is_no_provider_nothing_is_offered() -> None:
    login = ServerLogin()
    [sent] = login.from_client(PROMPT_ME)
    assert isinstance(sent, Send) and prompt(sent.payload) == ("", "Ostiary token: ", False)
    assert login.from_client(ENTER) == [CheckSecret("ada@web", b"", "keyboard-interactive")]


def test_enter_too_early_asks_again_and_when_done_proves() -> None:
    login = browsing()
    for said in ("Go", "Not yet. Go"):
        [sent] = login.shown(said)
        assert isinstance(sent, Send) and prompt(sent.payload) == (said, "Press Enter when done: ", True)
        assert login.from_client(ENTER) == [CheckBrowser("ada@web")]
    assert login.settled(True) == [Proven("ada@web", "keyboard-interactive")]


def test_a_code_follows_in_the_same_exchange() -> None:
    login = browsing()
    login.shown("Go")
    login.from_client(ENTER)
    [sent] = login.settled(True, further=True)
    assert isinstance(sent, Send) and prompt(sent.payload)[1] == "One-time code: "


def test_it_begins_once_on_a_connection() -> None:
    login = browsing()
    assert login.settled(False)[0] == Failed("ada@web", "keyboard-interactive")
    [sent] = login.from_client(PROMPT_ME)
    assert isinstance(sent, Send) and prompt(sent.payload)[1] == "Ostiary token: "
    assert login.from_client(ENTER) == [CheckSecret("ada@web", b"", "keyboard-interactive")]


def test_what_came_meanwhile_and_is_no_message_is_the_clients_fault() -> None:
    login = browsing()
    assert login.from_client(bytes([INFO_RESPONSE]) + u32(2)) == []
    assert login.shown("Go")[-1] == GiveUp("one answer was asked for")


def test_whoever_begins_anew_meanwhile_answers_for_a_token() -> None:
    """An answer is to what was asked last."""
    login = browsing()
    login.shown("Go")
    login.from_client(PROMPT_ME)
    assert isinstance(login.from_client(ENTER)[0], CheckSecret)


def test_enter_is_not_pressed_without_end() -> None:
    login, told = browsing(), []
    for _ in range(PROBES):
        told = login.shown("Go")
        login.from_client(ENTER)
    assert told == [GiveUp("too many prompts are left without an answer")]


# -- with control ------------------------------------------------------------------------------------


class Control:
    """Says what a test wants, and keeps what it was asked."""

    def __init__(self) -> None:
        self.begun: Deferred[Any] = succeed(TOLD)
        self.results: list[Deferred[Any]] = []
        self.asked: list[tuple[str, ...]] = []

    def ssh_device(self, flow: str, subject: str, peer: str) -> Deferred[Any]:
        self.asked.append(("begin", flow, subject, peer))
        return self.begun

    def ssh_device_result(self, flow: str, subject: str, peer: str, second: str) -> Deferred[Any]:
        self.asked.append(("result", flow, subject, peer))
        return self.results.pop(0)

    def ssh_device_end(self, flow: str) -> None:
        self.asked.append(("end", flow))


class Desk:
    """A login with all that it says."""

    def __init__(self) -> None:
        self.control = Control()
        self.sent: list[bytes] = []
        self.proven: list[Any] = []
        self.failed: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.patience: list[float] = []
        worker: Any = SimpleNamespace(
            control=self.control, config=SimpleNamespace(targets={"web": None}), reactor=Clock(), new_id=lambda: "flow-1",
        )
        self.login = Login(
            worker, "10.0.0.7:5", ("keyboard-interactive",), browser=True, patient=self.patience.append,
            proven=lambda *told: self.proven.append(told), failed=lambda subject, why: self.failed.append(why),
            refused=lambda code, why: self.refused.append((code, why)),
        )  # fmt: skip
        self.login.transport = SimpleNamespace(send=self.sent.append)  # type: ignore[assignment]

    def begin(self) -> None:
        self.login.packetReceived(REQUEST, PROMPT_ME[1:])
        self.enter()

    def enter(self) -> None:
        self.login.packetReceived(INFO_RESPONSE, ENTER[1:])


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_person_reads_where_to_go_and_whose_login_it_is(desk: Desk) -> None:
    desk.begin()
    said, asked, echo = prompt(desk.sent[-1])
    assert said == instruction("ada", "10.0.0.7:5", TOLD) and (asked, echo) == ("Press Enter when done: ", True)
    assert "Open https://login.example/go and enter ABCD\n" in said and TOLD["complete"] in said and "ada from 10.0.0.7;" in said
    assert desk.patience == [300.0]


def test_not_yet_is_said_and_asked_again_until_it_is_proved(desk: Desk) -> None:
    desk.control.results = [succeed({}), succeed(PROVED)]
    desk.begin()
    desk.enter()
    assert prompt(desk.sent[-1])[0].startswith("Not yet. Open ") and not desk.proven
    desk.enter()
    [(selection, proof, _)] = desk.proven
    assert (selection.identity, proof["issuer_subject"]) == ("ada", "u-1")
    assert desk.control.asked == [("begin", "flow-1", "ada", "10.0.0.7:5")] + [("result", "flow-1", "ada", "10.0.0.7:5")] * 2


@pytest.mark.parametrize("error", [DeviceRefused("no (OST-612)"), Throttled("wait (OST-602)"), ControlUnavailable("away (OST-603)")], ids=["provider", "braked", "control"])
@pytest.mark.parametrize("when", ["begin", "result"])
def test_what_cannot_be_proved_lets_nobody_in_and_is_recorded(desk: Desk, error: Any, when: str) -> None:
    if when == "begin":
        desk.control.begun = fail(error)
        desk.begin()
    else:
        desk.control.results = [fail(error)]
        desk.begin()
        desk.enter()
    assert desk.refused == [(error.code, error.why)] and not desk.proven


def test_an_identity_that_is_none_gets_the_answer_of_a_wrong_secret_and_the_record_says_by_what(desk: Desk) -> None:
    desk.control.results = [fail(LoginRefused("no"))]
    desk.begin()
    desk.enter()
    assert desk.failed == [NOBODY] and desk.sent[-1][0] == FAILURE and not desk.proven
    desk.control.ssh_token = lambda *told: fail(LoginRefused("no"))  # type: ignore[attr-defined]
    desk.login.packetReceived(REQUEST, PROMPT_ME[1:])
    desk.enter()  # an empty token: a browser is offered once
    assert desk.failed[1:] == ["a wrong keyboard-interactive"]


def test_a_client_that_leaves_ends_it_at_control_too(desk: Desk) -> None:
    """Also before control has answered: it goes by the name that the worker gave it."""
    desk.control.begun = Deferred()
    desk.begin()
    desk.login.serviceStopped()
    assert desk.control.asked[-1] == ("end", "flow-1") and not desk.refused and desk.sent[-1][0] == INFO_REQUEST


def test_who_began_none_ends_none(desk: Desk) -> None:
    desk.login.packetReceived(REQUEST, PROMPT_ME[1:])
    desk.login.serviceStopped()
    assert not desk.control.asked


# -- the connection -----------------------------------------------------------------------------------


def test_a_person_in_a_browser_has_longer_and_stays_a_stranger() -> None:
    """As long as the code lasts and a login's time for what follows; until then its place at the door is taken."""
    house: Any = House()
    entrance = inner(house)
    entrance.transport = SimpleNamespace(abortConnection=lambda: None)  # type: ignore[assignment]
    entrance.disconnect = lambda *_: None  # type: ignore[assignment, method-assign]
    house.entered(entrance)
    entrance._within(LOGIN_DEADLINE)
    house.worker.reactor.advance(LOGIN_DEADLINE - 1)
    entrance._patient(300.0)
    house.worker.reactor.advance(300.0 + LOGIN_DEADLINE - 1)
    assert house.inside == 1 and not house.notes
    house.worker.reactor.advance(1)
    assert house.inside == 0 and [facts["code"] for _, facts in house.notes] == ["OST-630"]
    entrance._patient(300.0)
    assert not house.worker.reactor.getDelayedCalls()


@pytest.mark.parametrize(("device", "offers"), [(None, False), (object(), True)], ids=["off", "on"])
def test_a_browser_is_offered_where_the_file_names_a_provider(device: Any, offers: bool) -> None:
    house: Any = House()
    house.worker.config.device = device
    assert inner(house).login()._login._offers is offers
