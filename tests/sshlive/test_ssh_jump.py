"""`ssh -J gateway account@target`: the gateway answers inside, as the target, and all that holds for other sessions holds there."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.ssh import lines
from tests.house import until
from tests.ssh_house import ADA, GRACE, HOPE, WEB, SshHouse
from tests.sshd import USER, Sshd, keygen
from tests.sshlive.test_ssh_sessions import noted, notes

pytestmark = pytest.mark.live


@dataclass
class Jumper:
    """OpenSSH's client with a file of its own: `gw` is the gateway, whatever else is a target behind it."""

    house: SshHouse
    folder: Path
    hosts: str  #: the gateway's line for known_hosts

    def config(self, *, outside: Path | None = None, inside: Path | None = None, user: str = ADA, hosts: str | None = None, more: str = "") -> Path:
        known = self.folder / "known_hosts"
        known.write_text((self.house.client / "known_hosts").read_text() + (self.hosts if hosts is None else hosts))
        every = (
            f"UserKnownHostsFile {known}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\nBatchMode yes\nIdentityAgent none\n"
            f"IdentitiesOnly yes\nLogLevel INFO\n{more}\n"
        )
        file = self.folder / "config"
        gateway = f"Host gw\nHostName 127.0.0.1\nPort {self.house.ssh_port}\nUser {user}\nIdentityFile {outside or self.house.key}\n{every}"
        file.write_text(f"{gateway}\nHost * !gw\nProxyJump gw\nIdentityFile {inside or self.house.key}\n{every}")
        return file

    def ssh(self, *words: str, stdin: bytes = b"", **how: object) -> subprocess.CompletedProcess[bytes]:
        """Options, the host and what to run there."""
        line = ["ssh", "-F", str(self.config(**how)), *words]  # type: ignore[arg-type]
        return subprocess.run(line, input=stdin, capture_output=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def jumper(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jumper]:
    folder = tmp_path_factory.mktemp("jump")
    with SshHouse(folder / "h", sshd, workers=1, addons=[{"use": "tests.ssh_rules.Forwards"}, {"use": "tests.ssh_rules.NotHope"}]) as house:
        yield Jumper(house, folder, house.ostiary_ok("ssh", "known-hosts"))


def test_a_command_behind_a_jump_is_decided_and_recorded_as_any_other(jumper: Jumper) -> None:
    """Its session's record says how it came, and the jump has a record of its own."""
    assert jumper.ssh(f"app@{WEB}", "echo in").stdout == b"in\n"
    opened = jumper.house.records("--kind", "opened")[-1]
    facts = opened["body"]["facts"]
    assert opened["body"]["identity"] == ADA and facts["jump"] == WEB and facts["client_host_key"] == "ssh-ed25519-cert-v01@openssh.com"
    assert jumper.house.records("--kind", "intent")[-1]["session"] == opened["session"]
    assert notes(jumper.house, "jump.opened")[-1]["subject"] == ADA


def test_a_jump_that_offers_another_key_first_is_told_nothing(jumper: Jumper) -> None:
    """It succeeds with the next one, so there was nothing to mend in how it was asked for."""
    other = keygen(jumper.folder / "another")
    done = jumper.ssh(f"app@{WEB}", "echo in", outside=other, more=f"IdentityFile {jumper.house.key}")
    assert (done.stdout, done.stderr) == (b"in\n", b"")


def test_much_goes_through_a_jump_both_ways(jumper: Jumper) -> None:
    """And an account's login names it as well as its own name."""
    data = bytes(range(256)) * (16 << 10)
    assert jumper.ssh(f"{USER}@{WEB}", "cat", stdin=data).stdout == data


@pytest.mark.soak
def test_files_behind_a_jump_are_decided_one_by_one(jumper: Jumper, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"report")
    subprocess.run(["scp", "-q", "-F", str(jumper.config()), str(tmp_path / "here"), f"app@{WEB}:{tmp_path}/there"], check=True, timeout=60)
    assert (tmp_path / "there").read_bytes() == b"report"
    assert any(r["fields"].get("path") == "file" for r in jumper.house.records("--kind", "intent")[-6:])


def test_a_rule_refuses_behind_a_jump_too(jumper: Jumper) -> None:
    done = jumper.ssh(f"app@{WEB}", "echo forbidden")
    assert (done.returncode, done.stdout) == (126, b"") and b"SITE-001" in done.stderr


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name (108 bytes, unix(7))."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_one_jump_carries_several_sessions(jumper: Jumper, short: Path) -> None:
    """The outer connection is shared; each inner one proves and is recorded by itself."""
    master = f"ControlMaster auto\nControlPersist 60\nControlPath {short}/m\n"
    before = len(notes(jumper.house, "jump.opened"))
    try:
        for n in range(2):
            file = jumper.config()
            text = file.read_text()
            file.write_text(text.replace("Host gw\n", f"Host gw\n{master}", 1))
            done = subprocess.run(["ssh", "-F", str(file), f"app@{WEB}", f"echo {n}"], capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
            assert done.stdout == b"%d\n" % n, done.stderr
        sessions = {r["session"] for r in jumper.house.records("--kind", "opened")[-2:]}
        assert len(sessions) == 2 and len(notes(jumper.house, "jump.opened")) == before + 1
    finally:
        subprocess.run(["ssh", "-F", str(jumper.config(more=master)), "-O", "exit", "gw"], capture_output=True, timeout=60, check=False)


# -- who ------------------------------------------------------------------------------------------


def signed(house: SshHouse, folder: Path, subject: str) -> Path:
    """A new key that the gateway certifies for this identity."""
    key = keygen(folder / subject.partition("@")[0])
    made = house.call("ssh_sign", subject=subject, public=key.with_suffix(".pub").read_text(), ttl=3600.0)
    (folder / f"{key.name}-cert.pub").write_text(lines.line(made["certificate"]))
    return key


def test_nobody_becomes_somebody_else_inside(jumper: Jumper, tmp_path: Path) -> None:
    """What proves grace proves nothing behind ada's jump, and is recorded as ada's failure."""
    grace = signed(jumper.house, tmp_path, GRACE)
    assert jumper.ssh(f"app@{WEB}", "echo in", outside=grace, inside=grace, user=GRACE).stdout == b"in\n"
    done = jumper.ssh(f"app@{WEB}", "echo in", inside=grace)
    assert done.returncode == 255 and b"Permission denied" in done.stderr
    noted(jumper.house, "login.failed", lambda facts: facts["subject"] == ADA)


def test_a_jump_alone_lets_nobody_in(jumper: Jumper, tmp_path: Path) -> None:
    """The inner login stands by itself: a key of nobody's is refused there as outside."""
    stranger = keygen(tmp_path / "stranger")
    assert jumper.ssh(f"app@{WEB}", "echo in", inside=stranger).returncode == 255
    before = len(notes(jumper.house, "jump.opened"))
    assert jumper.ssh(f"app@{WEB}", "echo in", outside=stranger).returncode == 255
    assert len(notes(jumper.house, "jump.opened")) == before


def test_a_certificate_that_permits_no_forwarding_opens_no_way(jumper: Jumper, tmp_path: Path) -> None:
    authority, key = keygen(tmp_path / "authority"), keygen(tmp_path / "key")
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "b", "-n", ADA, "-V", "-5m:+1h", "-O", "no-port-forwarding", f"{key}.pub"], check=True)
    before, jumper.house.user_ca = jumper.house.user_ca, [authority.with_suffix(".pub").read_text().strip()]
    try:
        jumper.house.reload()
        done = jumper.ssh(f"app@{WEB}", "echo in", outside=key)
        assert done.returncode == 255 and b"OST-633" in done.stderr
    finally:
        jumper.house.user_ca = before
        jumper.house.reload()


# -- where ----------------------------------------------------------------------------------------


def answers(jumper: Jumper, host: str, port: int, **how: object) -> bytes:
    """The first line of what is there through the jump, or why there is nothing."""
    line = ["ssh", "-F", str(jumper.config(**how)), "-W", f"[{host}]:{port}", "gw"]  # type: ignore[arg-type]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        assert client.stdout is not None and client.stderr is not None
        said = client.stdout.readline()
        client.kill()
        return said or client.stderr.read()


def test_no_spelling_of_a_target_leads_around_the_gateway(jumper: Jumper) -> None:
    """Its registered name and address lead to the gateway's own answer; whatever else means the same host leads nowhere."""
    port = jumper.house.sshd.port
    for host, there in ((WEB.upper(), 22), ("127.0.0.1", port)):
        assert answers(jumper, host, there).startswith(b"SSH-2.0-Ostiary"), (host, there)
    for host in ("localhost", "2130706433"):  # the others: tests/ssh/test_doors.py
        assert b"OST-101" in answers(jumper, host, port), host
    assert b"OST-101" in answers(jumper, "127.0.0.1", jumper.house.ssh_port)


def test_the_certificate_is_for_the_name_that_was_asked_for(jumper: Jumper) -> None:
    """A client that expects another host, or trusts another authority, does not go on."""
    known = jumper.hosts
    other = jumper.ssh("-o", "HostKeyAlias=other", f"app@{WEB}", "echo in", hosts=known.replace("@cert-authority ", "@cert-authority other,"))
    assert other.returncode == 255 and b"name is not a listed principal" in other.stderr
    wrong = re.sub(r" ssh-ed25519 \S+", " " + jumper.house.sshd.host_key, known)
    assert jumper.ssh(f"app@{WEB}", "echo in", hosts=wrong).returncode == 255


def test_a_target_that_is_forbidden_is_as_unknown_as_one_that_is_not_there(jumper: Jumper, tmp_path: Path) -> None:
    hope = signed(jumper.house, tmp_path, HOPE)
    forbidden, unknown = (answers(jumper, host, 22, outside=hope, user=HOPE) for host in (WEB, "nowhere"))
    assert b"OST-101" in forbidden and forbidden == unknown


def test_a_shell_without_a_target_says_how_to_name_one(jumper: Jumper) -> None:
    done = jumper.ssh("gw", "echo in")
    assert done.returncode == 255 and done.stdout == b"" and b"IDENTITY@TARGET" in done.stderr


def test_an_account_that_is_not_there_is_refused_inside(jumper: Jumper) -> None:
    done = jumper.ssh(f"nobody@{WEB}", "echo in")
    assert done.returncode == 255 and b"OST-101" in done.stderr


# -- ends -----------------------------------------------------------------------------------------


def test_a_session_behind_a_jump_is_killed_and_its_client_told(jumper: Jumper) -> None:
    line = ["ssh", "-F", str(jumper.config()), f"app@{WEB}", "echo begun; exec sleep 600"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        assert client.stdout is not None and client.stdout.readline() == b"begun\n"
        [live] = [each for each in jumper.house.call("session_list") if each["target"]]
        jumper.house.ostiary_ok("session", "kill", live["id"])
        assert client.wait(30) == 255 and client.stderr is not None and b"an operator ended this session [OST-650]" in client.stderr.read()


def test_what_proved_the_outer_login_ends_everything_behind_it_when_it_is_revoked(jumper: Jumper, tmp_path: Path) -> None:
    """Also where the inner login was proved by something else, which is still good; the records name the connection."""
    badge = signed(jumper.house, tmp_path, ADA)
    line = ["ssh", "-F", str(jumper.config(outside=badge)), f"app@{WEB}", "echo begun; exec sleep 600"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        assert client.stdout is not None and client.stdout.readline() == b"begun\n"
        outer, inner = sorted(jumper.house.call("session_list"), key=lambda each: each["target"])
        assert outer["application"] == "jump" and inner["target"] == WEB and outer["token"] != inner["token"]
        jumper.house.call("ssh_revoke", kind="serial", which=outer["token"].split(" ")[1])
        assert client.wait(30) == 255 and client.stderr is not None and b"its certificate was revoked" in client.stderr.read()
    until(lambda: not jumper.house.call("session_list"), "the end of both")
    opened = jumper.house.records("--session", inner["id"], "--kind", "opened")[-1]["body"]["facts"]
    assert opened["jump_id"] == outer["id"]
    noted(jumper.house, "jump.closed", lambda facts: facts["jump_id"] == outer["id"])
    assert jumper.ssh(f"app@{WEB}", "echo in").stdout == b"in\n"


def test_a_connection_that_only_jumps_is_listed_and_killed(jumper: Jumper, short: Path) -> None:
    """With no session in it, and with all that are."""
    line = ["ssh", "-F", str(jumper.config()), "-MN", "-S", f"{short}/m", "gw"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as master:
        until(lambda: jumper.house.call("session_list"), "the jump")
        [live] = jumper.house.call("session_list")
        jumper.house.ostiary_ok("session", "kill", live["id"])
        assert master.wait(30) == 255 and master.stderr is not None and b"an operator ended this session [OST-650]" in master.stderr.read()


@pytest.mark.soak
def test_a_client_that_dies_frees_what_it_had_behind_its_jump(jumper: Jumper) -> None:
    line = ["ssh", "-F", str(jumper.config()), f"app@{WEB}", "echo begun; exec sleep 600"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as client:
        assert client.stdout is not None and client.stdout.readline() == b"begun\n"
        client.kill()
    until(lambda: not jumper.house.call("session_list"), "the end of the session and of the jump")
