"""
Ways past rules and records on the wire, by clients that send what OpenSSH's does not; and that the rules they try leave stock clients alone.

Whatever is tried, nothing but what a rule allows is in the evidence as an intent, and what was tried leaves no mark at the target.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import psutil
import pytest
from paramiko.common import MSG_CHANNEL_FAILURE, cMSG_CHANNEL_OPEN, cMSG_CHANNEL_REQUEST, cMSG_GLOBAL_REQUEST

from tests.house import until
from tests.ssh_house import SshHouse
from tests.sshd import Sshd
from tests.sshlive.test_ssh_paramiko import connected
from tests.sshlive.test_ssh_tools import remote, run

pytestmark = pytest.mark.live

ALLOWED = {"echo a", "printenv", "printf precious", "sleep 60"}


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("area").resolve()


@pytest.fixture(scope="module")
def strict(sshd: Sshd, area: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    rules = [
        {"name": "harmless", "programs": ["echo", "printenv", "sleep"], "verdict": "allow"},
        {"name": "precious", "lines": ["printf precious"], "verdict": "approve", "approvers": ["approvers"]},
        {"name": "copies", "commands": ["exec"], "transfers": ["scp-in", "scp-out", "rsync-in", "rsync-out", "git-in", "git-out"], "paths": [f"{area}/**"], "verdict": "allow"},
        {"name": "files", "commands": ["file"], "paths": [f"{area}/**"], "verdict": "allow"},
    ]  # fmt: skip
    addon = {"use": "addons.ssh.Ssh", "default": {"subsystem": "allow"}, "rules": rules}
    with SshHouse(tmp_path_factory.mktemp("strict") / "h", sshd, workers=1, addons=[addon]) as house:
        yield house


@pytest.fixture
def transport(strict: SshHouse) -> Iterator[paramiko.Transport]:
    """Of a client that is logged in."""
    client = connected(strict, key_filename=str(strict.key))
    transport = client.get_transport()
    assert transport is not None
    transport._channel_handler_table = {**transport._channel_handler_table, MSG_CHANNEL_FAILURE: lambda channel, message: None}  # Paramiko would close it
    yield transport
    client.close()


def request(channel: paramiko.Channel, kind: str, *details: str | bytes | int | bool, reply: bool = False) -> None:
    """As it is written here, in no order that a client would keep."""
    message = paramiko.Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(reply)
    add(message, *details)
    channel.transport._send_user_message(message)


def add(message: paramiko.Message, *details: str | bytes | int | bool) -> None:
    for each in details:
        match each:
            case bool():
                message.add_boolean(each)
            case int():
                message.add_int(each)
            case _:
                message.add_string(each)


def output(channel: paramiko.Channel) -> bytes:
    """All that comes until it is over."""
    channel.settimeout(30)
    return b"".join(iter(lambda: channel.recv(65536), b""))


TERMINAL = ("xterm", 80, 24, 0, 0, b"")
BEHIND = {
    "another command": ("exec", "touch {mark}"), "a shell": ("shell",), "a subsystem": ("subsystem", "sftp"), "a terminal": ("pty-req", *TERMINAL),
    "a variable": ("env", "LC_ALL", "C"), "an agent": ("auth-agent-req@openssh.com",), "a display": ("x11-req", False, "MIT-MAGIC-COOKIE-1", "00", 0),
}  # fmt: skip


@pytest.mark.parametrize("what", BEHIND)
def test_a_channel_is_for_one_command(transport: paramiko.Transport, area: Path, what: str) -> None:
    """Whatever is asked behind its start fails, with or without an answer wanted, also while its verdict is out."""
    kind, *details = BEHIND[what]
    told = [each.format(mark=area / "mark") if isinstance(each, str) else each for each in details]
    channel = transport.open_session()
    request(channel, "exec", "echo a")
    request(channel, kind, *told)
    request(channel, kind, *told, reply=True)
    if kind == "shell":
        channel.sendall(f"touch {area}/mark\n".encode())
    channel.shutdown_write()
    assert output(channel) == b"a\n" and not (area / "mark").exists()


@pytest.mark.parametrize("line", [
    "touch {mark}", "echo a; touch {mark}", "echo a\ntouch {mark}", "echo a\0\ntouch {mark}", "", "echo " + "a" * 200_000,
], ids=["another", "two", "a line break", "a NUL", "nothing", "too long"])  # fmt: skip
def test_a_refused_line_that_wants_no_answer_does_not_run(transport: paramiko.Transport, area: Path, line: str) -> None:
    channel = transport.open_session()
    request(channel, "exec", line.format(mark=area / "mark"))
    assert output(channel) == b"" and not (area / "mark").exists()


def test_what_is_typed_behind_a_refused_shell_reaches_nobody(transport: paramiko.Transport, area: Path) -> None:
    for start in (("shell",), ("exec", "sh"), ("exec", "bash -s"), ("exec", "/bin/sh -c sh")):
        channel = transport.open_session(timeout=30)
        channel.settimeout(30)
        request(channel, "pty-req", *TERMINAL)
        request(channel, *start)
        try:
            channel.sendall(f"touch {area}/mark\n".encode())
        except OSError:  # it is closed already
            continue
    channel = transport.open_session()
    request(channel, "exec", "echo a")
    assert output(channel) == b"a\n" and not (area / "mark").exists()


def test_no_variable_reaches_a_program_but_by_the_list(transport: paramiko.Transport) -> None:
    channel = transport.open_session()
    tries = {"LD_PRELOAD": "/x", "BASH_ENV": "/x", "ENV": "/x", "GIT_SSH_COMMAND": "x", "PATH": "/x", "LC_ALL": "ja_JP.SJIS", "LC_X=1\nLD_PRELOAD": "/x", "LC_Y": "a\0b", "SECRET_X": "y", "BASH_FUNC_echo%%": "() { :; }"}
    for name, value in (*tries.items(), ("LC_GOOD", "fine")):
        request(channel, "env", name, value)
    request(channel, "exec", "printenv")
    seen = dict(line.split(b"=", 1) for line in output(channel).splitlines() if b"=" in line)
    assert seen[b"LC_GOOD"] == b"fine" and not {name.encode() for name in tries if name != "PATH"} & set(seen) and seen[b"PATH"] != b"/x"


def opened(transport: paramiko.Transport, kind: str, *details: str | int) -> bool:
    """Whether a channel of this kind comes to be."""
    with transport.lock:
        number = transport._next_channel()
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_OPEN)
        message.add_string(kind)
        add(message, number, 1 << 20, 32768, *details)
        channel = paramiko.Channel(number)
        transport._channels.put(number, channel)
        transport.channel_events[number] = event = threading.Event()
        transport.channels_seen[number] = True
        channel._set_transport(transport)
        channel._set_window(1 << 20, 32768)
    transport._send_user_message(message)
    assert event.wait(60)
    return transport._channels.get(number) is not None


def test_no_kind_of_channel_leads_around(transport: paramiko.Transport, strict: SshHouse, sshd: Sshd) -> None:
    """The gateway's own doors, its target's, what clouds tell about themselves, and kinds that only a server opens."""
    doors = [strict.ssh_port, strict.control_port, sshd.port, 65536 + sshd.port, 80, 0]
    hosts = ["127.0.0.1", "localhost", "0x7f000001", "::1", "::ffff:127.0.0.1", "169.254.169.254", "", "\0"]
    assert not any(opened(transport, "direct-tcpip", host, door, "localhost", 1) for host in hosts for door in doors)
    for path in ("/var/run/docker.sock", "\0abstract", f"{strict.directory}/state/run/control.sock", ""):
        assert not opened(transport, "direct-streamlocal@openssh.com", path, "", 0)
    for kind in ("auth-agent@openssh.com", "forwarded-tcpip", "x11", "tun@openssh.com", "direct-tcpip@x"):
        assert not opened(transport, kind)


def test_no_listener_is_made(transport: paramiko.Transport, sshd: Sshd, area: Path) -> None:
    """Neither on a port of its own choice, nor on a socket, whether an answer is wanted or not."""
    for kind, *details in (("tcpip-forward", "", 0), ("tcpip-forward", "127.0.0.1", 65536 + 8080), ("streamlocal-forward@openssh.com", f"{area}/mark"), ("cancel-tcpip-forward", "", 22)):
        for reply in (False, True):
            message = paramiko.Message()
            message.add_byte(cMSG_GLOBAL_REQUEST)
            add(message, kind, reply, *details)
            transport._send_user_message(message)
    channel = transport.open_session()
    request(channel, "exec", "echo a")
    assert output(channel) == b"a\n" and not (area / "mark").exists()
    assert not any(c.status == psutil.CONN_LISTEN for process in sshd.connections() for c in process.net_connections())


def test_a_yes_is_good_for_one_command_of_a_shared_connection(transport: paramiko.Transport, strict: SshHouse) -> None:
    """Two channels ask for the same line; what is approved is one of them, and a third is asked about anew."""
    channels = [transport.open_session() for _ in range(2)]
    for channel in channels:
        request(channel, "exec", "printf precious")
    until(lambda: len(strict.requests()) == 2, "two questions")
    first, second = strict.requests()
    strict.approve(first["id"])
    until(lambda: any(channel.recv_ready() for channel in channels), "one that runs")
    assert [r["id"] for r in strict.requests()] == [second["id"]]
    again = transport.open_session()
    request(again, "exec", "printf precious")
    until(lambda: len(strict.requests()) == 2, "a question about the third")
    assert sum(r["body"]["text"] == "printf precious" for r in strict.records("--kind", "intent")) == 1
    for channel in (*channels, again):
        channel.close()
    until(lambda: not strict.requests(), "nobody asks any more")


# -- files ------------------------------------------------------------------------------------------


def test_no_path_of_sftp_leaves_the_folder(strict: SshHouse, area: Path, tmp_path: Path) -> None:
    """Read, written, linked to or renamed: `secret` lies outside, and stays as it is and unknown."""
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    (area / "mine").write_text("mine")
    (area / "d").mkdir(exist_ok=True)
    client = connected(strict, key_filename=str(strict.key))
    with client.open_sftp() as sftp:
        out = f"{area}/../../../../../../{secret}"
        for path in (str(secret), out, f"{area}/d/../../{secret.parent.name}/secret", f"/proc/self/root{secret}", f"{area}\0/../{secret}", os.path.relpath(secret, Path.home())):
            for mode in ("r", "w", "a", "r+", "x"):
                with pytest.raises(OSError):
                    sftp.open(path, mode)
            tries = (lambda: sftp.rename(path, f"{area}/x"), lambda: sftp.rename(f"{area}/mine", path), lambda: sftp.posix_rename(path, f"{area}/x"), lambda: sftp.symlink(path, f"{area}/x"),
                     lambda: sftp.remove(path), lambda: sftp.chmod(path, 0o777), lambda: sftp.truncate(path, 0), lambda: sftp.mkdir(f"{path}.d"), lambda: sftp.listdir(os.path.dirname(path)))  # fmt: skip
            for attempt in tries:
                with pytest.raises(OSError):
                    attempt()
        assert sftp.open(f"{area}/mine").read() == b"mine"
    client.close()
    assert secret.read_text() == "s3cret" and sorted(os.listdir(area)) == ["d", "mine"] and os.listdir(tmp_path) == ["secret"]


def test_copies_keep_to_the_folder(strict: SshHouse, area: Path, tmp_path: Path) -> None:
    """scp in its old mode and rsync, there and back, as stock clients write them; and not by their detours."""
    (tmp_path / "up").write_bytes(b"data")
    (area / "tool").write_text("#!/bin/sh\ntouch " + str(tmp_path / "mark"))
    (area / "tool").chmod(0o755)
    shell = " ".join(["ssh", *strict.options(), "-p", str(strict.ssh_port)])
    scp = ["scp", "-O", *strict.options(), "-P", str(strict.ssh_port)]
    rsync = ["rsync", "-a", "-e", shell]
    assert run(*scp, str(tmp_path / "up"), remote(strict, area / "copied")).returncode == 0
    assert run(*scp, remote(strict, area / "copied"), str(tmp_path / "down")).returncode == 0
    assert run(*rsync, "--delete", "--partial", "-z", str(tmp_path / "up"), remote(strict, f"{area}/synced/")).returncode == 0
    assert run(*rsync, remote(strict, f"{area}/synced/up"), str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "down").read_bytes() == (tmp_path / "back").read_bytes() == b"data"
    (tmp_path / "evil.conf").write_text(f"[m]\npath = {area}\n")
    for line in (
        [*scp, str(tmp_path / "up"), remote(strict, f"{area}/../out")], [*scp, remote(strict, "/etc/passwd"), str(tmp_path / "got")], [*scp, "-r", remote(strict, area.parent), str(tmp_path / "got")],
        [*rsync, remote(strict, "/etc/passwd"), str(tmp_path / "got")], [*rsync, "-s", remote(strict, "/etc/passwd"), str(tmp_path / "got")], [*rsync, "--rsync-path", f"{area}/tool", remote(strict, area / "copied"), str(tmp_path / "got")],
        [*rsync, "--rsync-path", "sh -c 'rsync \"$@\"' x", remote(strict, area / "copied"), str(tmp_path / "got")], [*rsync, "-M--log-file=" + str(tmp_path / "mark"), str(tmp_path / "up"), remote(strict, f"{area}/x")],
        [*rsync, "--files-from", f":{area}/tool", remote(strict, area), str(tmp_path / "got")], [*rsync, "--backup", f"--backup-dir={tmp_path}/mark", str(tmp_path / "up"), remote(strict, f"{area}/synced/")],
        [*rsync, "--temp-dir", str(tmp_path), str(tmp_path / "up"), remote(strict, f"{area}/synced/")], [*rsync, "--remove-source-files", remote(strict, area / "copied"), str(tmp_path / "got")],
        [*scp, "-S", shell.partition(" ")[0], remote(strict, f"{area}/copied /etc/passwd"), str(tmp_path / "got")],
    ):  # fmt: skip
        assert run(*line).returncode != 0, line
    assert not any((tmp_path / name).exists() for name in ("got", "mark")) and not (area.parent / "out").exists() and (area / "copied").exists()


def test_git_reaches_one_repository_and_no_other(strict: SshHouse, area: Path, tmp_path: Path) -> None:
    here = {**os.environ, "GIT_SSH_COMMAND": " ".join(["ssh", *strict.options(), "-p", str(strict.ssh_port)]), "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
    for place in (area / "r.git", tmp_path / "other.git"):
        subprocess.run(["git", "init", "-q", "--bare", str(place)], check=True, env=here)
    assert run("git", "clone", "-q", remote(strict, area / "r.git"), str(tmp_path / "a"), env=here).returncode == 0
    for pack, place in ((f"touch {tmp_path}/mark; git-upload-pack", area / "r.git"), (f"{area}/tool", area / "r.git"), ("git-upload-pack", tmp_path / "other.git"), ("git-upload-pack", area / "../other.git")):
        assert run("git", "clone", "-q", "-u", pack, remote(strict, place), str(tmp_path / "b"), env=here).returncode != 0
    assert not (tmp_path / "mark").exists() and not (tmp_path / "b").exists()


def test_what_nobody_allowed_is_in_the_evidence_as_refused_and_nothing_else_ran(strict: SshHouse, area: Path) -> None:
    """Each try above, by its own text: what has no rule is no intent."""
    assert strict.ssh(f"touch {area}/mark").returncode == 126
    assert strict.records("--kind", "refusal")[-1]["body"]["text"] == f"touch {area}/mark"
    left = [r["body"]["text"] for r in strict.records("--kind", "intent") if r["fields"]["path"] in ("exec", "shell", "forward", "agent", "x11")]
    copies = ("scp ", "rsync --server ", "git-upload-pack ")
    assert [line for line in left if line not in ALLOWED and not (line.startswith(copies) and str(area) in line)] == []
    assert "SOUND" in strict.verify().stdout
