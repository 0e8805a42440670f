"""A login by a browser through a whole gateway, against an identity provider on loopback: OpenSSH, Paramiko and scripts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import Program  # noqa: E402

from tests.house import until  # noqa: E402
from tests.idp import Idp  # noqa: E402
from tests.ssh_house import ADA, GRACE, HOPE, WEB, SshHouse  # noqa: E402
from tests.sshd import Sshd  # noqa: E402
from tests.sshlive.test_ssh_second_step import App, asked, opened  # noqa: E402
from tests.sshlive.test_ssh_sessions import notes  # noqa: E402

pytestmark = pytest.mark.live
OFFER, DONE = b"Ostiary token (empty: log in by your browser): ", b"Press Enter when done: "


@pytest.fixture(scope="module")
def running() -> Iterator[Idp]:
    with Idp() as made:
        yield made


@pytest.fixture
def idp(running: Idp) -> Iterator[Idp]:
    running.reset()
    yield running


@pytest.fixture(scope="module")
def house(running: Idp, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    made = SshHouse(tmp_path_factory.mktemp("device") / "h", sshd)
    made.section = {"device": running.section()}
    made.write()
    with made:
        yield made


def by_browser(house: SshHouse, subject: str) -> list[str]:
    return asked(house, "-o", "PreferredAuthentications=keyboard-interactive", user=f"{subject}@{WEB}", key=False)


def press(ssh: Program, wanted: bytes) -> bytes:
    """Enter, again whenever it was too early, until this is shown; what came since the last prompt."""
    ssh.send(b"\r")
    came = b""
    while wanted not in came:
        if came.endswith(DONE):
            came = b""
            ssh.send(b"\r")
        data = ssh.read(60.0)
        assert data, f"{wanted!r} did not come, but {came[-300:]!r}"
        came += data
    return came


def paramiko_login(house: SshHouse, subject: str, enter: Callable[[str, str], None]) -> bool:
    """Whether Paramiko came in, answering every prompt with nothing; `enter` is called with (instructions, prompt) before each."""
    transport = paramiko.Transport(("127.0.0.1", house.ssh_port))

    def answer(title: str, instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        enter(instructions, prompts[0][0])
        return [""]

    try:
        transport.start_client(timeout=60)
        transport.auth_interactive(f"{subject}@{WEB}", answer)
        return transport.is_authenticated()
    finally:
        transport.close()


def test_openssh_comes_in_by_a_browser_and_the_record_says_who_proved_it(house: SshHouse, idp: Idp) -> None:
    with Program(by_browser(house, GRACE), house.client) as ssh:
        ssh.until(OFFER)
        ssh.send(b"\r")
        shown = ssh.until(DONE)
        assert f"Open {idp.issuer}/activate and enter {idp.code()}".encode() in shown and GRACE.encode() in shown
        ssh.send(b"\r")  # too early
        assert b"Not yet. Open " in ssh.until(DONE)
        idp.approve(GRACE)
        press(ssh, b"in-42")
        assert ssh.exit() == 0
    facts = opened(house)
    assert (facts["client_proof"], facts["client_issuer"], facts["client_issuer_subject"]) == ("oidc", idp.issuer, "u-1")
    assert "client_token" not in facts and idp.token().split(".")[0] not in house.text() + repr(house.records("--identity", GRACE))


def test_paramiko_comes_in_and_a_one_time_code_still_follows(house: SshHouse, idp: Idp) -> None:
    shown: list[str] = []

    def enter(instructions: str, prompt: str) -> None:
        shown.append(prompt)
        if prompt == DONE.decode():
            idp.approve(HOPE)

    assert paramiko_login(house, HOPE, enter)
    with App(house, HOPE), pytest.raises(paramiko.AuthenticationException):
        paramiko_login(house, HOPE, enter)
    assert shown[:2] == [OFFER.decode(), DONE.decode()] and shown[-1] == "One-time code: "


@pytest.mark.parametrize(("answer", "says"), [
    ((400, {"error": "access_denied"}), "declined"), ((302, b"<html>"), "it redirects (status 302)"), ("mallory@clinic.example", "somebody else than"),
], ids=["declined", "redirect", "another"])  # fmt: skip
def test_who_is_not_let_in_is_told_why_and_it_is_recorded(house: SshHouse, idp: Idp, answer: object, says: str) -> None:
    with Program(by_browser(house, ADA), house.client) as ssh:
        ssh.until(OFFER)
        ssh.send(b"\r")
        ssh.until(DONE)
        if isinstance(answer, str):
            idp.approve(answer)
        else:
            idp.answer = answer
        said = press(ssh, b"OST-612")
        assert says.encode() in said and b"in-42" not in said
        assert ssh.exit() == 255
    until(lambda: any(facts.get("code") == "OST-612" and says in facts["why"] for facts in notes(house, "login.refused")), "its record")


def test_a_client_that_leaves_is_polled_for_no_more(house: SshHouse, idp: Idp) -> None:
    with Program(by_browser(house, ADA), house.client) as ssh:
        ssh.until(OFFER)
        ssh.send(b"\r")
        ssh.until(DONE)
        left = f"device-{idp.started}"
        idp.polled()
    until(lambda: any("left before" in facts.get("why", "") and facts.get("subject") == ADA for facts in notes(house, "login.abandoned")), "its record")
    asked_for = idp.polls.count(left)
    with Program(by_browser(house, HOPE), house.client) as ssh:  # another, whose polls show that time has passed
        ssh.until(OFFER)
        ssh.send(b"\r")
        ssh.until(DONE)
        idp.polled(2)
    assert idp.polls.count(left) <= asked_for + 1  # one that was on its way


def test_a_script_that_cannot_be_asked_fails_at_once(house: SshHouse, idp: Idp) -> None:
    before = idp.started
    done = house.ssh("echo in", user=f"{GRACE}@{WEB}")
    assert (done.returncode, done.stdout) == (255, b"") and re.search(rb"Permission denied \(.*keyboard-interactive", done.stderr)
    assert idp.started == before
