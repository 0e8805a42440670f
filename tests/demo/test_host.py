"""The demo's host: a real sshd whose visitors have no rights, and the lines that lead to it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.ssh import Ssh
from gateway.demo.configuration import HOST_TARGET, HostFacts, Ports, text
from gateway.demo.home import PREFIX, Home, sweep
from gateway.demo.host import Host, available
from gateway.demo.place import Runner, runner
from protocols.command import Exec, FileAction, FileOperation, SshCommand
from protocols.hooks import CommandHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny, Hold, Verdict
from tests.servers import free_port


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    assert available(), "run deploy/prepare servers"
    made = Host(tmp_path_factory.mktemp("host") / "host", free_port())
    yield made
    made.stop()


def visit(host: Host, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    line = [
        "ssh", "-F", "none", "-i", str(host.folder / "account"), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none",
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
        "-p", str(host.port), *options, f"{host.user}@127.0.0.1", *words,
    ]  # fmt: skip
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def test_a_visitor_has_no_rights(host: Host) -> None:
    """No way to more of them, no root where root runs the demo, and a home to write in."""
    done = visit(host, "id -u; grep NoNewPrivs /proc/self/status; touch here && pwd")
    uid, new, home = done.stdout.split("\n")[:3]
    assert uid != "0" and new.split() == ["NoNewPrivs:", "1"] and Path(home).is_dir(), done.stderr


def test_a_visitor_cannot_forward(host: Host) -> None:
    """Not even to the sshd itself, which would say its version at once."""
    done = visit(host, options=("-W", f"127.0.0.1:{host.port}"))
    assert done.returncode != 0 and done.stdout == ""


def test_keys_are_kept_for_the_next_start(host: Host) -> None:
    before = host.host_key
    host.stop()
    again = Host(host.folder, host.port)
    try:
        assert again.host_key == before and visit(again, "echo in").stdout == "in\n"
    finally:
        again.stop()


def test_a_home_goes_with_its_demo(tmp_path: Path) -> None:
    """Where it is not in the demo's own directory, which people remove themselves."""
    host = Host(tmp_path / "host", free_port())
    home = (host.folder / "home").resolve()
    assert visit(host, "touch here").returncode == 0 and (home / "here").exists()
    host.stop()
    assert not home.exists() or home == host.folder / "home"


MAKE = """
import os, sys
from pathlib import Path
from gateway.demo.home import Home
from gateway.demo.place import Runner
print(Home.make(Runner(int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[1])).path, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_demo_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """Not one in use, not another user's, nor what only has the name."""
    who = runner() or Runner(os.getuid(), os.getgid())
    told = subprocess.run([sys.executable, "-c", MAKE, str(tmp_path), *map(str, who)], capture_output=True, text=True, check=False)
    left, used, link = Path(told.stdout.strip()), Home.make(who, tmp_path), tmp_path / f"{PREFIX}link"
    link.symlink_to(tmp_path)
    sweep(Runner(who.uid + 1, who.gid), tmp_path)
    assert left.parent == tmp_path and left.is_dir(), told.stderr
    sweep(who, tmp_path)
    assert not left.exists() and used.path.is_dir() and link.is_symlink()
    used.remove()
    assert not used.path.exists()


def test_the_hosts_rules_decide_as_the_printed_lines_say() -> None:
    """As a command, by sftp and typed in a shell, where nothing can wait."""
    [options] = [one for one in tomllib.loads(text(Ports(1, 2, 3, 4, 5), 2, HostFacts("me", "ssh-ed25519 AAAA")))["addon"] if one.pop("use") == "addons.ssh.Ssh"]
    addon, ada = Ssh(**options), Session("s", Identity("ada", "human", frozenset({"engineers"})), Target(HOST_TARGET, "ssh", "h", 22), "visitor", "", "p")
    commands: dict[SshCommand, type[Verdict]] = {
        Exec(b"uname -a", 0): Allow, Exec(b"rm -rf reports", 0): Deny, Exec(b"cat /etc/shadow", 0): Deny, Exec(b"systemctl restart app", 0): Hold,
        FileOperation(FileAction.REMOVE, b"/reports/june", 0): Deny, FileOperation(FileAction.OPEN, b"/etc/shadow", 0, flags=1): Deny,
        FileOperation(FileAction.OPEN, b"/reports/june", 0, flags=1): Allow,
    }
    for command, verdict in commands.items():
        assert type(addon.on_command(CommandHook(ada, command))) is verdict, command
    refused = {line: addon.refuses_line(ada, line) is not None for line in ("rm -rf reports", "systemctl restart app", "cat /etc/shadow", "ls")}
    assert refused == {"rm -rf reports": True, "systemctl restart app": True, "cat /etc/shadow": False, "ls": False}


def test_the_file_has_a_listener_only_where_there_is_a_host() -> None:
    ports = Ports(1, 2, 3, 4, 5)
    without = tomllib.loads(text(ports, 2))
    having = tomllib.loads(text(ports, 2, HostFacts("me", "ssh-ed25519 AAAA")))
    assert [one["protocol"] for one in without["listen"]] == ["postgres"] and len(without["target"]) == 1
    assert [one["protocol"] for one in having["listen"]] == ["postgres", "ssh"]
    assert [a["use"] for a in having["addon"]][-1] == "addons.ssh.Ssh" and len(having["addon"]) == len(without["addon"]) + 1
    assert having["target"][1]["name"] == HOST_TARGET and having["target"][1]["address"] == "127.0.0.1:5"
