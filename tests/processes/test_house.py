"""The supervisor and its children as the operating system sees them: real processes, real signals."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from household import Caller, Household, until

from gateway.control.caller import os_user
from gateway.revision import first
from gateway.rundir import Rundir
from gateway.supervisor import Supervisor

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    """The same for tests that only look, or that leave it as they found it."""
    with Household(tmp_path_factory.mktemp("standing")) as running:
        yield running


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    """Two workers that echo."""
    with Household(tmp_path) as running:
        yield running


def listening(process: psutil.Process, port: int) -> bool:
    """Whether that process holds a listening socket of this port open."""
    connections = process.net_connections("tcp")
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def bindable(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def gone(pids: list[int]) -> bool:
    """Whether all of them have ended (a zombie has)."""
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids
    )


def callers_on_both(house: Household) -> tuple[Caller, Caller]:
    """One caller on each of two workers."""
    callers = [house.connect()]
    end = time.monotonic() + 30
    while len({caller.worker for caller in callers}) < 2:
        assert time.monotonic() < end, "one worker takes everything"
        callers.append(house.connect())
    return callers[0], next(caller for caller in callers if caller.worker != callers[0].worker)


def test_every_worker_serves_the_same_socket(standing: Household) -> None:
    """And nobody else but the supervisor holds it open."""
    first, second = callers_on_both(standing)
    assert first.ask("hello") == "hello" and second.ask("hello") == "hello"
    pids = standing.pids()
    holders = {pid for pid in [*pids.values(), standing.root.pid] if listening(psutil.Process(pid), standing.port)}
    assert holders == {pids["worker-1"], pids["worker-2"], standing.root.pid}


def test_children_are_spawned_into_groups_of_their_own(standing: Household) -> None:
    """A terminal's Ctrl-C reaches the supervisor alone; nobody runs a copy of its memory."""
    for pid in standing.pids().values():
        assert os.getpgid(pid) == pid
        assert "gateway.child" in psutil.Process(pid).cmdline()


def test_tokens_are_not_in_the_process_list(standing: Household) -> None:
    """Nothing that looks like 256 bits is in anybody's arguments or environment."""
    for pid in [standing.root.pid, *standing.pids().values()]:
        for name in ("cmdline", "environ"):
            words = Path(f"/proc/{pid}/{name}").read_bytes().replace(b"=", b"\0").split(b"\0")
            assert not [word for word in words if len(word) >= 64 and not word.strip(b"0123456789abcdef")]


def test_own_sockets_are_private(standing: Household) -> None:
    """Directory 0700, sockets 0600."""
    run = standing.state / "run"
    assert run.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in run.glob("*.sock")} == {0o600}


def test_a_stranger_without_token_is_not_let_in(standing: Household) -> None:
    """The file's mode is not the only check: notary and control ask for the supervisor's token."""
    from gateway.frame import pack

    hello = {"notary.sock": ["hello", "0" * 64], "workers.sock": ["call", 1, "hello", {"token": "0" * 64}]}
    for name, greeting in hello.items():
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(30)
            stranger.connect(str(standing.state / "run" / name))
            stranger.sendall(pack(greeting))
            heard = b"".join(iter(lambda: stranger.recv(4096), b""))
            assert b"up" not in heard[:8] and b"answer" not in heard


def test_a_killed_worker_takes_only_its_own_sessions(house: Household) -> None:
    """Callers during its replacement wait; none is refused; its successor serves."""
    victim, bystander = callers_on_both(house)
    psutil.Process(victim.worker).kill()
    during = [house.connect() for _ in range(20)]
    assert victim.line() == "" and bystander.ask("still") == "still"
    assert all(caller.ask("in") == "in" for caller in during)
    house.heard(r"worker-\d ended \(signal 9\); another in 0\.0 s")
    fresh = int(house.heard(r"worker-\d is process (\d+)").group(1))
    until(lambda: house.connect().worker == fresh, "the successor serves")


def test_with_all_workers_dead_callers_wait(house: Household) -> None:
    """The supervisor's copy of the socket keeps the queue open."""
    workers = [pid for name, pid in house.pids().items() if name.startswith("worker")]
    for pid in workers:
        psutil.Process(pid).kill()
    caller = house.connect()
    assert caller.worker not in workers and caller.ask("back") == "back"


@pytest.mark.parametrize("server", ["notary", "control"])
def test_a_killed_server_is_replaced(house: Household, server: str) -> None:
    """Sessions live on; new ones are refused until it is back, with the reason; its successor knows the workers."""
    before = house.connect()
    psutil.Process(house.pids()[server]).kill()
    house.heard(rf"{server} ended \(signal 9\)")
    assert before.ask("here") == "here"
    until(lambda: not house.connect().greeting.startswith("refused"), f"{server} is back")
    assert before.ask("here") == "here"


def test_without_the_supervisor_nothing_stays(house: Household) -> None:
    """Killed with -9: the port is free at once, sessions finish, then every process leaves by itself."""
    caller, pids = house.connect(), list(house.pids().values())
    house.root.kill()
    house.code()
    until(lambda: bindable(house.port), "the port is free")
    assert caller.ask("finishing") == "finishing"
    caller.ask("bye")
    until(lambda: gone(pids), "all children leave")


def test_a_successor_waits_for_the_store(tmp_path: Path) -> None:
    """Killed with -9 while a session runs: the next supervisor serves once the old notary has left."""
    with Household(tmp_path) as house:
        caller, pids = house.connect(), list(house.pids().values())
        house.root.kill()
        house.code()
        until(lambda: bindable(house.port), "the port is free")
        caller.ask("bye")
        house.start()
        assert gone(pids)
        assert house.connect().ask("hello") == "hello"


def test_a_second_gateway_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """One store, one notary."""
    one, second = Rundir(tmp_path), Rundir(tmp_path)
    one.take(patience=0)
    with pytest.raises(SystemExit, match="another gateway runs"):
        second.take(patience=-10)
    assert second._holder() == f" (pid {os.getpid()})"
    one.release()
    second.take(patience=-10)
    second.release()


def test_a_port_that_another_has_is_said_with_the_line_to_change(tmp_path: Path) -> None:
    """And nothing is kept: whoever starts again after it was mended finds the state free."""
    house = Household(tmp_path)
    with socket.create_server(("127.0.0.1", house.port)):
        with pytest.raises(SystemExit) as refused:
            Supervisor(first(house.file), None).privilegedStartService()
    [line] = [number for number, text in enumerate(house.file.read_text().splitlines(), 1) if "endpoint" in text]
    assert str(refused.value).startswith(f"ostiary: {house.file}:{line}: listen[0].endpoint: 'tcp:{house.port}:")
    assert "Address already in use; stop what listens there (`make run`" in str(refused.value)
    again = Rundir(house.state)
    again.take(patience=-10)
    again.release()


def test_sigterm_drains(house: Household) -> None:
    """No new session, the running one ends by itself, then all is over with code 0, and the log says so last."""
    caller, pids = house.connect(), list(house.pids().values())
    house.signal(signal.SIGTERM)
    until(lambda: bindable(house.port), "nobody listens")
    assert caller.ask("draining") == "draining"
    caller.ask("bye")
    assert house.code() == 0 and gone(pids)
    assert house.rest().rstrip().endswith("everything has ended")


def test_drain_ends_what_does_not_end(tmp_path: Path) -> None:
    """After gateway.drain the session is closed, and told."""
    with Household(tmp_path, drain=0.3) as house:
        caller = house.connect()
        house.signal(signal.SIGTERM)
        assert caller.line() == "killed: the gateway is shutting down [OST-652]"
        assert house.code() == 0


def test_a_second_sigterm_waits_for_nothing(tmp_path: Path) -> None:
    """An hour's patience ends at once; what was recorded stays recorded."""
    with Household(tmp_path, drain=3600) as house:
        caller, pids = house.connect(), list(house.pids().values())
        house.signal(signal.SIGTERM)
        house.heard("draining")
        house.signal(signal.SIGTERM)
        assert caller.line() == "killed: the gateway is shutting down [OST-652]"
        assert house.code() == 0 and gone(pids)
        assert "is killed" not in house.rest()


def test_sighup_switches_everybody(house: Household) -> None:
    """Both workers, without losing a session; the number survives a restart."""
    first, second = callers_on_both(house)
    house.write(IDENTITY)
    house.signal(signal.SIGHUP)
    house.heard("revision 2, is in force")
    assert (first.ask("revision"), second.ask("revision")) == ("2", "2")
    psutil.Process(first.worker).kill()
    fresh = int(house.heard(r"worker-\d is process (\d+)").group(1))
    until(lambda: house.connect().worker == fresh, "the successor serves")
    assert (house.state / "revision").read_text().startswith("2 ")


def test_a_reload_ends_what_was_removed(house: Household) -> None:
    """A session whose target is no longer there is closed, and told."""
    caller = house.connect()
    house.write(target="other")
    house.signal(signal.SIGHUP)
    assert caller.line() == "killed: this target or account is no longer configured [OST-651]"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[gateway\n", "not TOML"),
        ('[[addon]]\nuse = "addons.nowhere.Nothing"\n', r"addon\[0\]"),
        ('[[listen]]\nprotocol = "postgres"\nendpoint = "tcp:1:interface=127.0.0.1"\n', "restart"),
        ("[gatewya]\nname = 1\n", "gatewya"),
    ],
)
def test_sighup_with_a_bad_file_keeps_the_old_one(standing: Household, text: str, says: str) -> None:
    """The log names the key; sessions and the revision go on. The next good file is taken."""
    caller = standing.connect()
    before = caller.ask("revision")
    standing.write(text)
    standing.signal(signal.SIGHUP)
    standing.heard(f"reload refused, revision {before} stays: .*{says}")
    assert caller.ask("revision") == before and standing.connect().ask("revision") == before
    standing.write(f'[[identity]]\nsubject = "person-{before}@clinic.example"\n')
    standing.signal(signal.SIGHUP)
    standing.heard(f"revision {int(before) + 1}, is in force")


@pytest.mark.parametrize("workers", [2, "inline"])
def test_a_reload_by_command_says_what_became_of_it(tmp_path: Path, workers: int | str) -> None:
    """The number that is in force, or why nothing has changed; the evidence says who asked."""
    with Household(tmp_path, workers=workers) as house:
        caller = house.connect()
        house.write(IDENTITY)
        taken = house.ostiary("reload", "--json")
        assert (taken.returncode, json.loads(taken.stdout)) == (0, {"revision": 2, "refusing": {}, "not_looked_at": [], "warnings": []}), taken.stderr
        assert caller.ask("revision") == "2"
        house.write("[gatewya]\nname = 1\n[[identity]]\nsubject = 1\n")
        refused = house.ostiary("reload")
        assert refused.returncode == 1 and refused.stdout == ""
        heading, *problems = refused.stderr.splitlines()
        assert heading == "ostiary: nothing has changed [OST-606]:" and len(problems) == 2, refused.stderr
        assert "gatewya: unknown key" in problems[0] and "identity[0].subject" in problems[1]
        assert caller.ask("revision") == "2" and house.connect().ask("revision") == "2"
        told = json.loads(house.ostiary("reload", "--json").stdout)["error"]
        assert told == {"code": "OST-606", "text": "\n".join(["nothing has changed:", *problems])}
        house.write("[gateway\n")
        torn = house.ostiary("reload")
        _, problem = torn.stderr.splitlines()
        assert torn.returncode == 1 and re.match(rf"{re.escape(str(house.file))}:\d+: not TOML: ", problem), torn.stderr
        house.heard(f"reload refused, revision 2 stays: {re.escape(problem)}")
        house.write(IDENTITY)
        assert house.ostiary("reload").stdout == "revision 2 is in force\n"
        house.write("[gateway\n")
        house.signal(signal.SIGHUP)
        house.heard("reload refused, revision 2 stays")
        house.write(IDENTITY)
        refusals = until_told(house, "config.refused", 4)
        me = os_user(os.getuid())
        assert [one["by"] for one in refusals] == [me, me, me, "the system, by SIGHUP"]
        assert "gatewya: unknown key" in refusals[0]["why"] and "not TOML" in refusals[3]["why"] and {one["revision"] for one in refusals} == {"2"}
        (started,), (reloaded,) = until_told(house, "config.started", 1), until_told(house, "config.reloaded", 1)
        assert (started["by"], started["revision"], reloaded["by"], reloaded["revision"]) == (me, "1", me, "2")


def test_a_reload_that_is_refused_while_there_is_no_control_is_told_when_there_is_one(tmp_path: Path) -> None:
    """It ends while it is asked, and the next one is about to start."""
    with Household(tmp_path) as house:
        house.write("[gateway\n")
        control = house.pids()["control"]
        os.kill(control, signal.SIGSTOP)
        house.signal(signal.SIGHUP)
        house.heard("reload refused, revision 1 stays")
        os.kill(control, signal.SIGKILL)
        house.heard("that a reload was refused is not in the evidence yet: control ended before it answered")
        house.signal(signal.SIGHUP)
        house.heard("reload refused, revision 1 stays")
        house.write(IDENTITY)
        refusals = until_told(house, "config.refused", 2)
        assert [one["by"] for one in refusals] == ["the system, by SIGHUP"] * 2


def until_told(house: Household, kind: str, count: int) -> list[dict[str, Any]]:
    """Facts of so many notes of control's, once they are in the evidence."""
    told: list[dict[str, Any]] = []

    def there() -> bool:
        found = house.ostiary("audit", "search", "--json", "--kind", kind)
        told[:] = [json.loads(line)["body"]["facts"] for line in found.stdout.splitlines()]
        return len(told) >= count

    until(there, f"{count} of {kind} in the evidence")
    return told


def test_a_reload_by_command_needs_a_gateway_that_runs(tmp_path: Path) -> None:
    house = Household(tmp_path)
    refused = house.ostiary("reload")
    assert refused.returncode == 1 and "no gateway runs" in refused.stderr


def test_a_bad_file_cannot_kill_a_restarting_worker(house: Household) -> None:
    """Between an edit and its reload a dead worker is replaced under the revision in force."""
    house.write("[gateway\n")
    psutil.Process(house.pids()["worker-1"]).kill()
    fresh = int(house.heard(r"worker-1 is process (\d+)").group(1))
    until(lambda: house.connect().worker == fresh, "the successor serves")


def test_inline_is_one_process(tmp_path: Path) -> None:
    """The same classes without children; SIGTERM drains them too."""
    with Household(tmp_path, workers="inline") as house:
        caller = house.connect()
        assert caller.worker == house.root.pid and house.children() == []
        assert caller.ask("hello") == "hello"
        house.write(IDENTITY)
        house.signal(signal.SIGHUP)
        house.heard("revision 2, is in force")
        assert caller.ask("revision") == "2"
        house.signal(signal.SIGTERM)
        until(lambda: bindable(house.port), "nobody listens")
        assert caller.ask("draining") == "draining"
        caller.ask("bye")
        assert house.code() == 0


IDENTITY = '[[identity]]\nsubject = "ada@clinic.example"\n'


def test_random_deaths_refuse_nobody(house: Household, tell: Callable[[str], None]) -> None:
    """Whoever is killed, in whatever order: every caller is connected and told something, and the house recovers."""
    rounds = 200 if os.environ.get("OSTIARY_PROFILE") == "soak" else 10
    chance = random.Random(7)
    tell(f"{rounds} deaths, seed 7")
    for number in range(rounds):
        if number % 50 == 49:
            tell(f"{number + 1} deaths")
        name = chance.choice(["notary", "control", "worker-1", "worker-2"])
        psutil.Process(house.pids()[name]).kill()
        connected = [socket.create_connection(("127.0.0.1", house.port), timeout=30) for _ in range(5)]
        for one in connected:
            one.close()
        house.heard(rf"{name} is process \d+")
    until(lambda: house.connect().greeting.startswith("worker-"), "sessions begin again")
    until(lambda: len(house.children()) == 4, "every seat has one occupant")
