"""
kill -9 at random moments, under load: nothing ran that has no record, nothing acknowledged is lost, nothing stays behind.

The short profile kills twice each of a worker, the notary, control, the supervisor and everything at once;
the long one two hundred times in all. The seed is in the test's name and in what it prints.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from clamour import Clamour, run_texts
from reckoning import ROLE, asked_of, endings, intended, settled, unrecorded

from tests.house import BENCH, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

VICTIMS = ("worker", "notary", "control", "supervisor", "everything") * 2
SOUND = (0, 2)  # 2: sound, but nobody else keeps its checkpoints
LIVES = 20  # of ten kills each: the long profile


@pytest.mark.parametrize("seed", [20260718, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, LIVES))])
def test_kill_9_under_load(server: PostgresServer, directory: Path, seed: int, tell: Callable[[str], None]) -> None:
    """Ten kills of one gateway, then the reckoning."""
    tell(f"{len(VICTIMS)} kills, seed {seed}")
    chance, database = random.Random(seed), f"bench_{seed}"
    server.sql(f"CREATE DATABASE {database} OWNER {ROLE}")
    house = House(directory, server, database=database, user=ROLE, gateway={"drain": 1})
    with house, Clamour(house) as load:
        for victim in chance.sample(VICTIMS, len(VICTIMS)):
            load.await_more(chance.randrange(5, 150))
            _strike(house, victim, chance)
            load.await_more(1)
    _reckon(house, load, database)


def _strike(house: House, victim: str, chance: random.Random) -> None:
    match victim:
        case "worker":
            _kill_a_worker(house, chance.choice(house.workers()))
        case "notary" | "control":
            _kill_a_server(house, victim)
        case "supervisor":
            _kill_the_supervisor(house, wait=chance.random() < 0.5)
        case "everything":
            _kill_everything(house)


def _kill_a_worker(house: House, worker: str) -> None:
    """Its sessions end; the others' answer before and after. Another takes its seat at once."""
    begun, pid = house.log_file.stat().st_size, house.pid(worker)
    standing = [_arrive(house) for _ in range(4)]
    ports = {one.raddr.port for one in psutil.Process(pid).net_connections("tcp") if one.raddr}
    doomed = [one for one in standing if _port(one) in ports]
    house.kill(worker)
    house.heard(rf"{worker} ended \(signal 9\); another in 0\.\d s", begun)
    house.heard(rf"{worker} is process \d+", begun)
    for one in standing:
        if one in doomed:
            with pytest.raises(psycopg.OperationalError):
                one.execute("SELECT 'is anybody there?'")
        else:
            assert one.execute("SELECT 'still here'").fetchone() == ("still here",)
        one.close()
    assert not psutil.pid_exists(pid)


def _arrive(house: House) -> psycopg.Connection:
    """A new session; whoever comes too early, behind an earlier kill, is told so and comes again."""
    came: list[psycopg.Connection] = []

    def tried() -> bool:
        try:
            came.append(house.connect(BENCH))
        except psycopg.OperationalError as error:
            assert "OST-" in str(error) or "closed the connection unexpectedly" in str(error), str(error)
        return bool(came)

    until(tried, "new sessions are let in again")
    return came[0]


def _port(connection: psycopg.Connection) -> int:
    """The client's end."""
    with socket.socket(fileno=os.dup(connection.fileno())) as view:
        return int(view.getsockname()[1])


def _kill_a_server(house: House, name: str) -> None:
    """Notary or control: whoever has a session keeps it, and is served again by the next one."""
    begun = house.log_file.stat().st_size
    with _arrive(house) as standing:
        house.kill(name)
        house.heard(rf"{name} is process \d+", begun)
        until(lambda: _answers(standing), f"a session goes on without and with {name}")


def _answers(standing: psycopg.Connection) -> bool:
    """Right or, in the protocol's words, not now; a broken session raises."""
    try:
        return standing.execute("SELECT 'again'").fetchone() == ("again",)
    except psycopg.errors.IoError as error:  # 58030
        assert "OST-801" in str(error)
        return False


def _kill_the_supervisor(house: House, *, wait: bool) -> None:
    """All of it leaves; the next one waits for the evidence store until it has."""
    family = house.family()
    house.kill("supervisor")
    if wait:
        until(lambda: all(_gone(one) for one in family), "no process is left behind")
        _free(house)
    house.start()
    assert all(_gone(one) for one in family)
    assert house.verify().returncode in SOUND


def _kill_everything(house: House) -> None:
    family = house.family()
    for one in family:
        one.kill()
    psutil.wait_procs(family, timeout=10)
    _free(house)
    assert house.verify().returncode in SOUND, "a store nobody has recovered"
    house.start()


def _gone(process: psutil.Process) -> bool:
    """A zombie waits for its parent only; it holds nothing."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _free(house: House) -> None:
    """Nobody has the doors any more."""
    for port in (house.port, house.control_port):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))


def _reckon(house: House, load: Clamour, database: str) -> None:
    """The house is stopped. The server's log, the table, the clients' memory and the evidence agree."""
    records, asked = house.records(), asked_of(house.server.log, database)
    print(f"{asked.total()} ran, {len(load.acknowledged)} acknowledged, {len(records)} records")
    assert asked.total() > len(load.acknowledged) > 0
    assert not unrecorded(asked, records)
    assert run_texts(load.acknowledged) <= set(intended(records)), "acknowledged, and not in the evidence"
    assert load.acknowledged <= load.stored(), "acknowledged, and not in the database"
    wrong = {intent: ends for intent, ends in endings(records).items() if not settled(ends)}
    assert not wrong, "every intent has one outcome"
    verdict = house.verify()
    assert verdict.returncode in SOUND and "SOUND" in verdict.stdout, verdict.stdout
    said = house.text()
    assert "Traceback" not in said and "by a bug" not in said


def test_the_reckoning_can_fail(tmp_path: Path) -> None:
    """Texts of several lines, programs and counts are told apart; one run too many is seen."""
    log = tmp_path / "log"
    log.write_text(
        "2026-07-18 10:00:00.1 UTC [7] app@d/psql LOG:  statement: SELECT 1;\n\tSELECT 2\n"
        "2026-07-18 10:00:00.1 UTC [7] app@d/[unknown] LOG:  execute P_1/portal: SELECT ':  '\n"
        "2026-07-18 10:00:00.1 UTC [7] app@d/[unknown] DETAIL:  parameters: $1 = 'LOG:  statement: no'\n"
        "2026-07-18 10:00:00.1 UTC [8] app@d/ostiary catalog LOG:  statement: SELECT 3\n"
        "2026-07-18 10:00:00.1 UTC [9] postgres@d/psql LOG:  statement: SELECT 4\n"
        "2026-07-18 10:00:00.1 UTC [7] app@e/psql LOG:  statement: SELECT ':  '\n"
        "2026-07-18 10:00:00.1 UTC [1] LOG:  checkpoint starting: time\n"
    )
    asked = asked_of(log)
    assert asked == {"SELECT 1;\nSELECT 2": 1, "SELECT ':  '": 2}
    assert asked_of(log, "d") == {"SELECT 1;\nSELECT 2": 1, "SELECT ':  '": 1}
    intent = {"kind": "intent", "worker": 1, "sequence": 2, "fields": {"path": "bind"}, "body": {"text": "SELECT ':  '", "sent": None}}
    parse, outcome = {**intent, "fields": {"path": "parse"}}, {"kind": "outcome", "ref": [1, 2], "fields": {"ending": "complete"}}
    assert unrecorded(asked, [intent, parse, outcome]) == {"SELECT 1;\nSELECT 2": 1, "SELECT ':  '": 1}
    assert endings([intent, outcome, outcome]) == {(1, 2): ["complete", "complete"]}
