"""What OpenSSH's client does besides running commands: agents, displays, sockets, a thousand channels, readers that stall."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.house import until
from tests.servers import free_port
from tests.ssh_house import ADA, SshHouse
from tests.sshd import Sshd
from tests.sshlive.test_ssh_tools import echo, forwarding, hears, listens

pytestmark = pytest.mark.live


# -- agents and displays ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def agent(ruled_house: SshHouse) -> Iterator[str]:
    """The socket of an agent that holds Ada's key."""
    said = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    told = dict(re.findall(r"(SSH_\w+)=([^;]+);", said))
    subprocess.run(["ssh-add", "-q", str(ruled_house.key)], env={**os.environ, **told}, check=True, capture_output=True)
    yield told["SSH_AUTH_SOCK"]
    os.kill(int(told["SSH_AGENT_PID"]), 15)


def with_agent(house: SshHouse, agent: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    line = [word.replace("IdentityAgent=none", f"IdentityAgent={agent}") for word in house.line("-A", "127.0.0.1", *words)]
    return subprocess.run(line, capture_output=True, timeout=120, check=False)


def test_an_agent_is_reached_where_a_rule_allows_it(ruled_house: SshHouse, agent: str) -> None:
    """By several programs at once."""
    done = with_agent(ruled_house, agent, "for n in 1 2 3 4 5; do ssh-add -l & done; wait")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", ruled_house.key], capture_output=True, check=True).stdout
    assert done.stdout == shown * 5, done.stderr


def test_agents_and_displays_are_off_unless_a_rule_allows_them(ssh_house: SshHouse, agent: str) -> None:
    """There is no socket at the target, no variable, and the session goes on."""
    assert with_agent(ssh_house, agent, "echo -$SSH_AUTH_SOCK-; ssh-add -l").stdout == b"--\n"
    assert ssh_house.ssh("echo -$DISPLAY-", client=("-Y",)).stdout == b"--\n"


@contextmanager
def display() -> Iterator[str]:
    """The name of a screen that nobody sees."""
    read, write = os.pipe()
    line = ["Xvfb", "-displayfd", str(write), "-screen", "0", "640x480x8", "-nolisten", "tcp"]
    with subprocess.Popen(line, pass_fds=[write], stderr=subprocess.DEVNULL) as server, open(read) as told:
        os.close(write)
        try:
            yield f":{told.readline().strip()}"
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def lively_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    """Its target takes displays, and asks every second whether somebody is there."""
    options = {"X11Forwarding": "yes", "ClientAliveInterval": "1", "ClientAliveCountMax": "2"}
    rules = [{"use": "tests.ssh_rules.Forwards"}]
    folder = tmp_path_factory.mktemp("lively")
    with Sshd(folder / "sshd", options) as server, SshHouse(folder / "h", server, addons=rules, workers=1) as house:
        yield house


@pytest.mark.soak
@pytest.mark.parametrize("trust", ["-X", "-Y"])
def test_a_display_is_reached_where_a_rule_allows_it(lively_house: SshHouse, tmp_path: Path, trust: str) -> None:
    with display() as name:
        line = lively_house.line(trust, "127.0.0.1", "xdpyinfo")
        here = {**os.environ, "DISPLAY": name, "XAUTHORITY": str(tmp_path / "xauthority")}
        done = subprocess.run(line, capture_output=True, timeout=120, check=False, env=here)
    assert b"vendor string:    The X.Org Foundation" in done.stdout, done.stderr


def test_a_display_that_the_target_refuses_is_said_and_the_command_runs(ruled_house: SshHouse, tmp_path: Path) -> None:
    """A rule allows it, the target's sshd does not: the offer ends, and nothing stands open."""
    line = ruled_house.line("-Y", "-o", "LogLevel=INFO", "127.0.0.1", "echo ran")
    line[line.index("LogLevel=ERROR")] = "LogLevel=INFO"
    here = {**os.environ, "DISPLAY": ":99", "XAUTHORITY": str(tmp_path / "xauthority")}
    done = subprocess.run(line, capture_output=True, timeout=120, check=False, env=here, stdin=subprocess.DEVNULL)
    assert done.stdout == b"ran\n" and b"X11 forwarding request failed" in done.stderr, done.stderr
    [asked] = [r for r in ruled_house.records("--kind", "intent") if r["fields"]["path"] == "x11"]
    ruled_house.recorded("--session", asked["session"], "--kind", "closed")
    [ended] = [r for r in ruled_house.records("--session", asked["session"], "--kind", "outcome") if r["fields"].get("command") == asked["fields"].get("command")]
    assert ended["body"]["facts"]["connections"] == "0"


@pytest.mark.soak
def test_who_asks_whether_somebody_is_there_is_answered(lively_house: SshHouse) -> None:
    """Client and target ask every second and give up after two; the command takes longer, in silence."""
    asking = ("-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2")
    assert lively_house.ssh("sleep 5; echo on", client=asking).stdout == b"on\n"


# -- ways in ---------------------------------------------------------------------------------------


def test_a_proxy_command_leads_to_the_gateway(ssh_house: SshHouse) -> None:
    proxy = 'ProxyCommand=bash -c "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3"'
    assert ssh_house.ssh("echo in", client=("-o", proxy)).stdout == b"in\n"


@pytest.mark.parametrize(("user", "said"), [
    ("nobody@web", b"Permission denied"), (ADA, b"OST-625"), (f"{ADA}@nowhere", b"OST-101"), (f"{ADA}@web+root", b"OST-101"),
], ids=["nobody", "no target", "an unknown target", "an unknown account"])  # fmt: skip
def test_a_script_that_may_not_in_fails_without_a_question(ssh_house: SshHouse, user: str, said: bytes) -> None:
    done = ssh_house.ssh("true", user=user, client=("-o", "LogLevel=INFO"))
    assert (done.returncode, done.stdout) == (255, b"") and said in done.stderr


# -- forwards --------------------------------------------------------------------------------------


def test_sockets_are_forwarded_both_ways(ruled_house: SshHouse, tmp_path: Path) -> None:
    """The target listens on one; it is reached there through another forward, from a socket here."""
    with echo() as port, forwarding(ruled_house, "-R", f"{tmp_path}/there:127.0.0.1:{port}"):
        until((tmp_path / "there").exists, "the target's socket")
        with forwarding(ruled_house, "-L", f"{tmp_path}/here:{tmp_path}/there"):
            until((tmp_path / "here").exists, "the client's socket")
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(tmp_path / "here"))
                connection.sendall(b"again")
                assert hears(connection, 11) == b"hello\nagain"


@pytest.mark.soak
def test_a_thousand_channels_at_once(ruled_house: SshHouse) -> None:
    """Over one connection; each gets its own bytes."""
    port = free_port()
    with echo() as there, forwarding(ruled_house, "-L", f"{port}:127.0.0.1:{there}"), ExitStack() as opened:
        until(lambda: listens(port), "the forward")
        every = [opened.enter_context(socket.create_connection(("127.0.0.1", port), 60)) for _ in range(1000)]
        for n, one in enumerate(every):
            one.sendall(b"%04d" % n)
        assert [hears(one, 10) for one in every] == [b"hello\n%04d" % n for n in range(1000)]


# -- readers that stall ----------------------------------------------------------------------------


def test_readers_that_stall_hold_up_nobody_and_hold_no_memory(ruled_house: SshHouse, tell: Callable[[str], None]) -> None:
    """Two ask for endless output and take one byte of it; a third's keystrokes come back all the while."""
    workers = ruled_house.workers()
    with ExitStack() as opened:
        typist = started(ruled_house, opened, "cat")
        answered(typist, 1)
        before = sum(map(ruled_house.resident, workers))
        for _ in range(2):
            stalled = started(ruled_house, opened, "cat /dev/zero")
            assert stalled.stdout is not None and stalled.stdout.read(1) == b"\0"
        answered(typist, 300)
        grown = sum(map(ruled_house.resident, workers)) - before
        tell(f"the workers grew by {grown >> 10} KiB")
        assert grown < 24 << 20


def started(house: SshHouse, opened: ExitStack, *words: str) -> subprocess.Popen[bytes]:
    """A command, ended with `opened`."""
    line = house.line("127.0.0.1", *words)
    client = opened.enter_context(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
    opened.callback(client.kill)
    return client


def answered(client: subprocess.Popen[bytes], times: int) -> None:
    """What goes in comes back, one at a time."""
    assert client.stdin is not None and client.stdout is not None
    for n in range(times):
        client.stdin.write(b"%04d" % n)
        heard = b""
        while len(heard) < 4 and (data := client.stdout.read(4 - len(heard))):
            heard += data
        assert heard == b"%04d" % n
