"""From the first byte to the end of a session: who comes in, what ends it, and what is recorded of both."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.house import until
from tests.ssh_house import ADA, CLAUDE, GRACE, HOPE, WEB, SshHouse
from tests.sshd import Sshd, keygen

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def own_house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    """One to change."""
    with SshHouse(tmp_path_factory.mktemp("own") / "h", sshd, workers=1) as house:
        yield house


@contextmanager
def sitting(house: SshHouse, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A session in which something runs until it is ended; once it is listed."""
    line = house.line("-o", "LogLevel=INFO", "127.0.0.1", *(words or ("echo begun; exec sleep 600",)))
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        try:
            assert client.stdout is not None and client.stdout.readline() == b"begun\n"
            yield client
        finally:
            client.kill()
            until(lambda: not house.call("session_list"), "the end of the session")


def notes(house: SshHouse, what: str) -> list[dict[str, str]]:
    return [r["body"]["facts"] for r in house.records("--kind", "note") if r["fields"]["what"] == what]


def noted(house: SshHouse, what: str, fits: Callable[[dict[str, str]], object], last: int = 1) -> None:
    """One of the last such notes says this; a client may be told before it is durable."""
    until(lambda: any(fits(facts) for facts in notes(house, what)[-last:]), f"a note of {what}")


# -- logins --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["password", "keyboard-interactive"])
def test_a_token_is_a_password(own_house: SshHouse, method: str) -> None:
    assert own_house.with_token(GRACE, "echo in", method=method).stdout == b"in\n"
    opened = own_house.records("--kind", "opened", "--identity", GRACE)[-1]["body"]["facts"]
    assert opened["client_token"] == own_house.token(GRACE).split("_")[1]


def test_a_wrong_token_is_refused_and_recorded(own_house: SshHouse) -> None:
    done = own_house.with_token(GRACE, "echo in", token="ost_0000000000_" + "x" * 43)
    assert done.returncode == 255 and b"Permission denied" in done.stderr
    noted(own_house, "login.failed", lambda facts: {"subject": GRACE, "why": "a wrong password"}.items() <= facts.items())


def test_a_token_of_somebody_else_is_refused(own_house: SshHouse) -> None:
    assert own_house.with_token(GRACE, "echo in", token=own_house.token(ADA)).returncode == 255


def test_a_key_of_nobody_is_refused(own_house: SshHouse, tmp_path: Path) -> None:
    stranger = keygen(tmp_path / "stranger")
    line = [word.replace(str(own_house.key), str(stranger)) for word in own_house.line("127.0.0.1", "echo in")]
    assert subprocess.run(line, capture_output=True, check=False, timeout=60).returncode == 255


def test_a_key_proves_only_whose_it_is(own_house: SshHouse) -> None:
    assert own_house.ssh("echo in", user=f"{GRACE}@{WEB}").returncode == 255


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_keys_of_every_kind(own_house: SshHouse, tmp_path: Path, kind: str) -> None:
    """RSA by SHA-2; the key is in the session's record."""
    key = keygen(tmp_path / "key", kind)
    before, own_house.key = own_house.key, key
    try:
        own_house.reload()
        assert own_house.ssh("echo in").stdout == b"in\n"
    finally:
        own_house.key = before
        own_house.reload()
    opened = own_house.records("--kind", "opened")[-1]["body"]
    shown = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True).stdout
    assert opened["proof"] == "key" and opened["facts"]["client_key"] == shown.split()[1]


def test_an_agent_comes_in_on_somebodys_behalf(own_house: SshHouse) -> None:
    assert own_house.with_token(CLAUDE, "echo in").stdout == b"in\n"
    opened = own_house.records("--kind", "opened")[-1]["body"]
    assert (opened["identity"], opened["on_behalf_of"]) == (CLAUDE, ADA)


# -- targets ---------------------------------------------------------------------------------------


@contextmanager
def facing(house: SshHouse, sshd: Sshd, *pins: str) -> Iterator[None]:
    """The house's target is another server, or has other host keys registered."""
    before = house.sshd, house.pins
    house.sshd, house.pins = sshd, list(pins)
    house.reload()
    try:
        yield
    finally:
        house.sshd, house.pins = before
        house.reload()


def test_a_target_with_another_host_key_is_refused_and_recorded(own_house: SshHouse, sshd: Sshd, tmp_path: Path) -> None:
    """Nothing is said to it; the client is told which code, the record which key."""
    keygen(tmp_path / "other")
    pin = " ".join((tmp_path / "other.pub").read_text().split()[:2])
    with facing(own_house, sshd, pin):
        before = sshd.log.read_text().count("Accepted")
        done = own_house.ssh("echo in", client=("-o", "LogLevel=INFO"))
        assert done.returncode == 255 and b"OST-646" in done.stderr
        noted(own_house, "session.refused", lambda facts: "SHA256:" in facts["why"] and facts["target"] == "web")
        assert sshd.log.read_text().count("Accepted") == before


def test_a_target_that_is_gone_and_a_key_that_it_does_not_take(own_house: SshHouse, sshd: Sshd, tmp_path: Path) -> None:
    """Each has its code; neither tells the client where the target is."""
    with Sshd(tmp_path / "strict") as strict, facing(own_house, strict):
        refused = own_house.ssh("echo in", client=("-o", "LogLevel=INFO"))
        strict.stop()
        gone = own_house.ssh("echo in", client=("-o", "LogLevel=INFO"))
    assert refused.returncode == gone.returncode == 255
    assert b"OST-643" in refused.stderr and b"OST-640" in gone.stderr
    assert str(strict.port).encode() not in refused.stderr + gone.stderr


def test_an_operator_can_try_a_target(own_house: SshHouse) -> None:
    said = own_house.ostiary_ok("target", "check", WEB)
    assert "works" in said and "SHA256:" in said


# -- ends --------------------------------------------------------------------------------------------


def test_a_session_is_listed_and_killed(own_house: SshHouse) -> None:
    """The client is told why."""
    with sitting(own_house) as client:
        [live] = own_house.call("session_list")
        assert (live["subject"], live["target"], live["account"]) == (ADA, WEB, "app")
        own_house.ostiary_ok("session", "kill", live["id"])
        assert client.wait(30) == 255
        assert client.stderr is not None and b"an operator ended this session [OST-650]" in client.stderr.read()
    [closed] = own_house.recorded("--session", live["id"], "--kind", "closed")
    assert "an operator ended this session [OST-650]" in closed["body"]["why"]


def test_a_session_ends_when_its_key_is_taken_out(own_house: SshHouse, tmp_path: Path) -> None:
    with sitting(own_house) as client:
        before, own_house.key = own_house.key, keygen(tmp_path / "another")
        try:
            own_house.reload()
            assert client.wait(30) == 255
        finally:
            own_house.key = before
            own_house.reload()


@pytest.mark.parametrize("what", ["access", "groups"])
def test_a_session_ends_when_a_reload_takes_away_what_let_it_in(own_house: SshHouse, what: str) -> None:
    """A rule of access, or a group that rules may ask for; nobody keeps by staying what others cannot get any more."""
    own_house.groups[ADA] = ("night",)
    own_house.reload()
    try:
        with sitting(own_house) as client:
            if what == "access":
                own_house.admitted = {"groups": ["approvers"]}
            else:
                own_house.groups[ADA] = ()
            own_house.reload()
            assert client.wait(30) == 255 and client.stderr is not None and b"a reload" in client.stderr.read()
    finally:
        own_house.groups[ADA], own_house.admitted = (), {"kinds": ["human", "workload", "agent"]}
        own_house.reload()


def test_a_session_ends_when_its_token_is_revoked(own_house: SshHouse) -> None:
    token = own_house.call("token_issue", subject=GRACE, ttl=600.0, note="")
    ask = {"SSH_ASKPASS": str(own_house.client / "askpass"), "SSH_ASKPASS_REQUIRE": "force", "OSTIARY_TEST_TOKEN": token["token"]}
    own_house.with_token(GRACE, "true")  # makes the askpass
    line = own_house.line("-o", "PreferredAuthentications=password", "127.0.0.1", "echo begun; exec sleep 600", user=f"{GRACE}@{WEB}", key=False)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, env={**os.environ, **ask}) as client:
        assert client.stdout is not None and client.stdout.readline() == b"begun\n"
        own_house.call("token_revoke", token=token["token"].split("_")[1])
        assert client.wait(30) == 255


def test_a_client_that_dies_frees_its_target(own_house: SshHouse) -> None:
    """What ran there gets its hangup, and the outcome says that nobody knows."""
    with sitting(own_house) as client:
        [live] = own_house.call("session_list")
        client.kill()
        until(lambda: not own_house.call("session_list"), "the end of the session")
    [outcome] = own_house.recorded("--session", live["id"], "--kind", "outcome")
    assert outcome["fields"]["ending"] == "unknown"


def test_a_target_that_dies_is_told_to_the_client(own_house: SshHouse, sshd: Sshd, tmp_path: Path) -> None:
    with Sshd(tmp_path / "dying") as dying:
        (dying.folder / "authorized").write_text((sshd.folder / "user.pub").read_text())
        with facing(own_house, dying), sitting(own_house) as client:
            for child in dying.connections():
                child.kill()
            assert client.wait(30) == 255
            assert client.stderr is not None and b"target" in client.stderr.read()


def test_a_stop_of_the_gateway_ends_sessions_after_their_time(tmp_path: Path, sshd: Sshd) -> None:
    house = SshHouse(tmp_path / "h", sshd, workers=1, gateway={"drain": 0.5})
    house.start()
    try:
        line = house.line("-o", "LogLevel=INFO", "127.0.0.1", "echo begun; exec sleep 600")
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
            assert client.stdout is not None and client.stdout.readline() == b"begun\n"
            house.stop()
            assert client.wait(30) == 255 and client.stderr is not None and b"shutting down" in client.stderr.read()
    finally:
        house.stop()


# -- strangers -------------------------------------------------------------------------------------


def test_a_flood_from_one_address_leaves_room_for_its_neighbours(own_house: SshHouse) -> None:
    """Three hundred connections that say nothing: those over the limit are closed, and a user still comes in."""
    from gateway.ssh.gate import FROM_ONE_ADDRESS

    flood = []
    try:
        for _ in range(300):
            flood.append(socket.create_connection(("127.0.0.1", own_house.ssh_port), 30))
        said = 0
        for one in flood:
            one.settimeout(30)
            try:
                said += one.recv(4) == b"SSH-"
            except ConnectionError:
                pass
        assert said <= FROM_ONE_ADDRESS
        own_house.ssh("true", client=("-b", "127.0.0.2"))
        assert own_house.ssh("echo in", client=("-b", "127.0.0.2")).stdout == b"in\n"
    finally:
        for one in flood:
            one.close()
    until(lambda: own_house.ssh("echo in").stdout == b"in\n", "room where the flood came from")


@pytest.mark.parametrize("said", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 64, b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x04\x02" + bytes(10), b"\x16\x03\x01\x02\x00\x01",
], ids=["HTTP", "a length", "IGNORE first", "TLS"])  # fmt: skip
def test_rubbish_ends_its_own_connection_and_is_recorded(own_house: SshHouse, said: bytes) -> None:
    before = len(notes(own_house, "malformed"))
    with socket.create_connection(("127.0.0.1", own_house.ssh_port), 30) as connection:
        connection.sendall(said)
        with suppress(ConnectionError):  # it may be hung up on with some of that unread
            while connection.recv(65536):
                pass
    assert own_house.ssh("echo in").stdout == b"in\n"
    until(lambda: len(notes(own_house, "malformed")) == before + 1, "its note")
    assert "Traceback" not in own_house.text()


def test_guesses_are_braked_over_all_connections(own_house: SshHouse) -> None:
    """As for PostgreSQL: after ten wrong tokens nobody looks at the eleventh."""
    for _ in range(10):
        own_house.with_token(HOPE, "true", token="wrong")
    done = own_house.with_token(HOPE, "true")
    assert done.returncode == 255 and b"OST-602" in done.stderr


def test_what_was_done_at_a_host_is_told_in_the_words_of_ssh(own_house: SshHouse) -> None:
    """In lists and whole, and which protocol a live session speaks."""
    own_house.ssh("printf abc; exit 3", client=("-o", "SetEnv=LANG=C"))
    session = own_house.records("--kind", "intent", "--text", "printf abc; exit 3")[-1]["session"]
    until(lambda: own_house.records("--kind", "closed", "--session", session), "the end of the session")
    listed = own_house.ostiary_ok("audit", "search", "--session", session)
    assert "exit 3, 3 bytes out" in listed and "the client left" in listed and " rows" not in listed
    whole = own_house.ostiary_ok("audit", "show", session)
    assert "          variable  LANG=C\n" in whole and "              exit  3\n" in whole and "transaction" not in whole
    with subprocess.Popen(own_house.line("127.0.0.1", "echo on; cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdin is not None and client.stdout is not None and client.stdout.readline() == b"on\n"
        assert {each["protocol"] for each in json.loads(own_house.ostiary_ok("session", "list", "--json"))} == {"ssh"}
        client.stdin.close()
