"""A key and a one-time code: what OpenSSH's client, Paramiko and scripts meet, and what the record says of it."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import Program  # noqa: E402

from gateway.control.identity.codes import GUESSES  # noqa: E402
from gateway.control.identity.totp import STEP, hotp  # noqa: E402
from gateway.ssh import lines  # noqa: E402
from tests.house import until  # noqa: E402
from tests.ssh_house import ADA, GRACE, HOPE, WEB, SshHouse  # noqa: E402
from tests.sshd import Sshd, keygen  # noqa: E402
from tests.sshlive.test_ssh_sessions import notes  # noqa: E402

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    """Engineers have to give a code; Ada is one. Two workers, so that a code is spent in another than it is tried again in."""
    made = SshHouse(tmp_path_factory.mktemp("second") / "h", sshd)
    made.section = {"second_step": {"groups": ["engineers"]}}
    made.write()
    with made:
        yield made


@pytest.fixture
def app(house: SshHouse) -> Iterator[App]:
    with App(house, ADA) as made:
        yield made


class App:
    """Somebody's authenticator app, for one test: a code is good once, and nobody here waits for the next."""

    def __init__(self, house: SshHouse, subject: str) -> None:
        self._house, self._subject = house, subject
        self._secret = base64.b32decode(house.call("otp_enroll", subject=subject)["secret"])

    def __enter__(self) -> App:
        return self

    def __exit__(self, *_: object) -> None:
        self._house.call("otp_remove", subject=self._subject)

    def code(self) -> str:
        return hotp(self._secret, int(time.time() // STEP))

    def wrong(self) -> str:
        near = {hotp(self._secret, int(time.time() // STEP) + drift) for drift in range(-9, 10)}
        return next(code for n in range(20) if (code := f"{n:06d}") not in near)


def asked(house: SshHouse, *options: str, user: str = f"{ADA}@{WEB}", key: bool = True) -> list[str]:
    """OpenSSH's command line that may ask on its terminal, and runs one command."""
    told = {"LogLevel=ERROR": "LogLevel=VERBOSE", "NumberOfPasswordPrompts=1": "NumberOfPasswordPrompts=3", "BatchMode=yes": "BatchMode=no"}
    return [*(told.get(word, word) for word in house.line(*options, user=user, key=key)), "127.0.0.1", "echo in-$((40+2))"]


def opened(house: SshHouse) -> dict[str, str]:
    return house.records("--kind", "opened")[-1]["body"]["facts"]


def prompted(transport: paramiko.Transport, *codes: str) -> list[str]:
    """What Paramiko shows while these are answered, one after the other."""
    shown: list[str] = []
    for code in codes:
        def answer(title: str, instructions: str, prompts: list[tuple[str, bool]], code: str = code) -> list[str]:
            shown.extend(f"{text}{'' if echoed else '*'}" for text, echoed in prompts)
            return [code]

        transport.auth_interactive(f"{ADA}@{WEB}", answer)
    return shown


@pytest.fixture
def half(house: SshHouse) -> Iterator[paramiko.Transport]:
    """Paramiko's connection, where Ada has proved her key."""
    transport = paramiko.Transport(("127.0.0.1", house.ssh_port))
    try:
        transport.start_client(timeout=60)
        yield transport
    finally:
        transport.close()


def key_of(house: SshHouse) -> paramiko.Ed25519Key:
    return paramiko.Ed25519Key.from_private_key_file(str(house.key))


# -- who comes in -----------------------------------------------------------------------------------


def test_a_key_and_a_code_let_in_and_the_record_names_both(house: SshHouse, app: App) -> None:
    """Stock OpenSSH says that it is half in, asks for the code without showing it, and is in."""
    with Program(asked(house), house.client) as ssh:
        shown = ssh.until(b"One-time code: ")
        assert b"partial success" in shown
        code = app.code().encode()
        ssh.send(code + b"\r")
        assert code not in ssh.until(b"in-42")
        assert ssh.exit() == 0
    facts = opened(house)
    assert (facts["client_proof"], facts["client_second_step"]) == ("key", "one-time code") and facts["client_key"].startswith("SHA256:")


def test_a_certificate_and_a_code_let_in(house: SshHouse, app: App, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key")
    made = house.call("ssh_sign", subject=ADA, public=key.with_suffix(".pub").read_text(), ttl=3600.0)
    (tmp_path / "key-cert.pub").write_text(lines.line(made["certificate"], ADA))
    with Program([word.replace(str(house.key), str(key)) for word in asked(house)], house.client) as ssh:
        ssh.until(b"One-time code: ")
        ssh.send(app.code().encode() + b"\r")
        ssh.until(b"in-42")
    assert (opened(house)["client_proof"], opened(house)["client_second_step"]) == ("certificate", "one-time code")


@pytest.mark.parametrize(("method", "prompt"), [("password", b"password: "), ("keyboard-interactive", b"Ostiary token: ")], ids=["password", "prompts"])
def test_a_token_is_a_first_step_too(house: SshHouse, app: App, method: str, prompt: bytes) -> None:
    """Else whoever has one would pass the second step by."""
    line = asked(house, "-o", f"PreferredAuthentications={method},keyboard-interactive", key=False)
    with Program(line, house.client) as ssh:
        ssh.until(prompt)
        ssh.send(house.token(ADA).encode() + b"\r")
        ssh.until(b"One-time code: ")
        ssh.send(app.code().encode() + b"\r")
        ssh.until(b"in-42")
    assert (opened(house)["client_proof"], opened(house)["client_second_step"]) == ("token", "one-time code")


def test_who_enrolled_is_asked_without_a_rule(house: SshHouse) -> None:
    with App(house, GRACE) as app, Program(asked(house, user=f"{GRACE}@{WEB}", key=False), house.client) as ssh:
        ssh.until(b"Ostiary token: ")
        ssh.send(house.token(GRACE).encode() + b"\r")
        ssh.until(b"One-time code: ")
        ssh.send(app.code().encode() + b"\r")
        ssh.until(b"in-42")


def test_who_is_not_asked_comes_in_with_a_token_alone(house: SshHouse) -> None:
    assert house.with_token(HOPE, "echo in").stdout == b"in\n"
    assert "client_second_step" not in opened(house)


# -- who does not ------------------------------------------------------------------------------------


def test_who_must_have_an_app_and_has_none_is_told_so(house: SshHouse) -> None:
    done = house.ssh("echo in")
    assert done.returncode == 255 and not done.stdout
    assert b"OST-610" in done.stderr and f"ostiary otp enroll {ADA}".encode() in done.stderr
    until(lambda: any((facts["code"], facts["subject"]) == ("OST-610", ADA) for facts in notes(house, "login.refused")), "its record")


def test_a_script_that_cannot_be_asked_fails_at_once(house: SshHouse, app: App) -> None:
    """BatchMode: nothing waits, and ssh says what was still wanted."""
    done = house.ssh("echo in")
    assert (done.returncode, done.stdout) == (255, b"") and b"Permission denied (keyboard-interactive)" in done.stderr
    assert app.code()  # it was asked for one that it could have


def test_a_wrong_code_is_refused_recorded_and_asked_for_again(house: SshHouse, app: App) -> None:
    with Program(asked(house), house.client) as ssh:
        for answer in (app.wrong(), app.code()):
            ssh.until(b"One-time code: ")
            ssh.send(answer.encode() + b"\r")
        ssh.until(b"in-42")
    until(lambda: any({"subject": ADA, "why": "a wrong one-time code"}.items() <= facts.items() for facts in notes(house, "login.failed")), "its record")


def test_a_code_lets_in_once(house: SshHouse, app: App, half: paramiko.Transport) -> None:
    """Whichever worker it is tried at, and however often."""
    code = app.code()
    assert half.auth_publickey(f"{ADA}@{WEB}", key_of(house)) == ["keyboard-interactive"]
    assert prompted(half, code) == ["One-time code: *"] and half.is_authenticated()
    for _ in range(3):
        again = paramiko.Transport(("127.0.0.1", house.ssh_port))
        try:
            again.start_client(timeout=60)
            again.auth_publickey(f"{ADA}@{WEB}", key_of(house))
            with pytest.raises(paramiko.AuthenticationException):
                prompted(again, code)
        finally:
            again.close()
    until(lambda: any({"subject": ADA, "why": "a one-time code that was used already"}.items() <= facts.items() for facts in notes(house, "login.failed")), "its record")


def test_guesses_shut_the_identity_and_say_for_how_long(house: SshHouse, app: App, half: paramiko.Transport) -> None:
    """A right code and another connection do not help; OpenSSH shows the seconds."""
    half.auth_publickey(f"{ADA}@{WEB}", key_of(house))
    for _ in range(GUESSES - 1):
        with pytest.raises(paramiko.AuthenticationException):
            prompted(half, app.wrong())
    with pytest.raises(paramiko.SSHException):
        prompted(half, app.wrong())
    done = house.ssh("echo in")
    assert done.returncode == 255 and b"OST-611" in done.stderr and b"try again in " in done.stderr
    until(lambda: "login.shut" in repr(house.records("--kind", "admin")), "the record of control's")


def test_the_first_step_proved_twice_is_no_second_step(house: SshHouse, app: App, half: paramiko.Transport) -> None:
    half.auth_publickey(f"{ADA}@{WEB}", key_of(house))
    with pytest.raises(paramiko.BadAuthenticationType) as caught:
        half.auth_publickey(f"{ADA}@{WEB}", key_of(house))
    assert caught.value.allowed_types == ["keyboard-interactive"] and not half.is_authenticated()
    with pytest.raises(paramiko.SSHException):
        half.open_session(timeout=20)


# -- jumps -------------------------------------------------------------------------------------------


def test_a_jump_is_asked_once(house: SshHouse, app: App, tmp_path: Path) -> None:
    """What was given outside counts for what is inside of that connection, and the records say so."""
    hosts = f"@cert-authority {WEB} {lines.line(house.call('ssh_ca', name='hosts'))}\n"
    (tmp_path / "known").write_text((house.client / "known_hosts").read_text() + hosts)
    every = f"UserKnownHostsFile {tmp_path}/known\nStrictHostKeyChecking yes\nIdentityAgent none\nIdentitiesOnly yes\nIdentityFile {house.key}\n"
    (tmp_path / "config").write_text(f"Host gw\nHostName 127.0.0.1\nPort {house.ssh_port}\nUser {ADA}\n{every}\nHost {WEB}\nProxyJump gw\n{every}")
    with Program(["ssh", "-F", str(tmp_path / "config"), f"app@{WEB}", "echo in-$((40+2))"], house.client) as ssh:
        ssh.until(b"One-time code: ")
        ssh.send(app.code().encode() + b"\r")
        assert b"One-time code" not in ssh.until(b"in-42")
    assert notes(house, "jump.opened")[-1]["second_step"] == "one-time code"
    assert opened(house)["client_second_step"] == "one-time code of the jump"


# -- nothing leaks -------------------------------------------------------------------------------------


def test_a_secret_is_in_no_log_and_no_record(house: SshHouse) -> None:
    """What was enrolled, used and removed leaves neither secret nor code behind."""
    made = house.call("otp_enroll", subject=HOPE)
    try:
        secret, code = made["secret"], hotp(base64.b32decode(made["secret"]), int(time.time() // STEP))
        with Program(asked(house, user=f"{HOPE}@{WEB}", key=False), house.client) as ssh:
            ssh.until(b"Ostiary token: ")
            ssh.send(house.token(HOPE).encode() + b"\r")
            ssh.until(b"One-time code: ")
            ssh.send(code.encode() + b"\r")
            ssh.until(b"in-42")
    finally:
        house.call("otp_remove", subject=HOPE)
    until(lambda: "otp.removed" in repr(house.records("--kind", "admin")), "the record of control's")
    told = repr(house.records("--identity", HOPE)) + repr(house.records("--kind", "admin")) + house.text()
    assert secret not in told and f"'{code}'" not in told
    assert not any(secret.encode() in file.read_bytes() for file in (house.directory / "state").rglob("*.mdb"))
