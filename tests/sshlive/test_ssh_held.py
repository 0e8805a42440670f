"""A shell, a forward and a command that wait for people: yes, no, and nobody answers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import Program  # noqa: E402

from tests.house import until  # noqa: E402
from tests.servers import free_port  # noqa: E402
from tests.ssh_house import SshHouse  # noqa: E402
from tests.sshd import Sshd  # noqa: E402
from tests.sshlive.test_ssh_tools import echo, forwarding  # noqa: E402

pytestmark = pytest.mark.live

PATIENT, BRIEF = 300, 2  # seconds that rules wait for an answer


@pytest.fixture(scope="module")
def house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    asks = {"verdict": "approve", "approvers": ["approvers"], "timeout": PATIENT}
    rules = [
        {"name": "brief", "lines": ["echo brief"], **asks, "timeout": BRIEF},
        {"name": "all", "commands": ["exec", "shell", "forward"], **asks},
    ]
    addon = {"use": "addons.ssh.Ssh", "default": {}, "rules": rules}
    with SshHouse(tmp_path_factory.mktemp("held") / "h", sshd, workers=1, addons=[addon]) as house:
        yield house


def answered(house: SshHouse, word: str, text: str) -> None:
    """Grace says yes or no to the one question there is, which is about this."""
    [request] = house.asked()
    assert text in request["text"]
    (house.approve if word == "approve" else house.deny)(request["id"])


def heard(connection: socket.socket) -> bytes:
    """All that comes; nothing, where it is only turned away."""
    try:
        return b"".join(iter(lambda: connection.recv(65536), b""))
    except ConnectionError:
        return b""


def test_a_shell_waits_on_its_terminal_and_begins_with_a_yes(house: SshHouse) -> None:
    """What was typed meanwhile reaches it then."""
    with Program(house.line("-tt", "127.0.0.1"), house.client) as terminal:
        terminal.until(b"waits for approval by approvers [OST-300]")
        terminal.send(b"echo in-$((40+2)); exit 5\r")
        answered(house, "approve", "shell")
        terminal.until(b"in-42")
        assert terminal.exit() == 5


def test_a_shell_that_is_refused_says_so_and_ends(house: SshHouse, tmp_path: Path) -> None:
    with Program(house.line("-tt", "127.0.0.1"), house.client) as terminal:
        terminal.until(b"waits for approval by approvers [OST-300]")
        terminal.send(f"touch {tmp_path}/mark\r".encode())
        answered(house, "deny", "shell")
        terminal.until(b"OST-30")
        assert terminal.exit() == 126 and not (tmp_path / "mark").exists()


def test_a_held_shell_is_given_up_with_ctrl_c(house: SshHouse) -> None:
    """The notice says so; nobody is asked any more."""
    with Program(house.line("-tt", "127.0.0.1"), house.client) as terminal:
        terminal.until(b"leave with Ctrl-C")
        terminal.send(b"\x03")
        terminal.until(b"OST-304")
        assert terminal.exit() == 126
    until(lambda: not house.requests(), "the question withdrawn")


@pytest.mark.parametrize("word", ["approve", "deny"])
def test_a_forward_waits_for_its_yes(house: SshHouse, word: str) -> None:
    """The client's program waits with it: it is connected then, or turned away."""
    port = free_port()
    with echo() as there, forwarding(house, "-L", f"{port}:127.0.0.1:{there}") as client:
        assert client.stdout is not None and client.stdout.readline() == b"ready\n"
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            connection.sendall(b"again")
            connection.shutdown(socket.SHUT_WR)
            answered(house, word, f"direct 127.0.0.1:{there}")
            assert heard(connection) == (b"hello\nagain" if word == "approve" else b"") and client.poll() is None


def test_a_command_that_nobody_answers_fails_cleanly(house: SshHouse) -> None:
    """A script gets the status of a command that may not run, nothing on standard output, and why on standard error."""
    done = house.ssh("echo brief")
    assert (done.returncode, done.stdout) == (126, b"") and b"OST-300" in done.stderr and b"OST-30" in done.stderr.partition(b"OST-300")[2]
    line = house.line("127.0.0.1", "echo other")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        answered(house, "deny", "echo other")
        out, err = client.communicate(timeout=60)
    assert (client.returncode, out) == (126, b"") and b"OST-30" in err.partition(b"OST-300")[2]
