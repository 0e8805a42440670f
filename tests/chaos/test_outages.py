"""
Where evidence or control is full, gone, frozen or dead: nothing is forwarded, clients are told why in the protocol's
own words, their sessions outlive it, nobody new comes in, and it ends by itself. The server's log proves the first.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from reckoning import ROLE, asked_of, endings, settled, unrecorded

from tests.house import ADA, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

REFUSED = psycopg.errors.IoError  # 58030
RULES = [{"name": "two persons", "classes": ["write-unfiltered"], "verdict": "approve", "approvers": ["approvers"],
          "mode": "hold", "kinds": ["human"]}]
TURNED_AWAY = {"full_disk": r"OST-(632|802)", "vanished": r"OST-(632|802)", "frozen": r"OST-(632|802|801)"}
"""A worker with nobody at work notices a frozen notary at the first command only."""
SMALL = {"segment_records": 150, "segment_bytes": 2 << 20, "timeout": 0.5}


@pytest.fixture(scope="module")
def house(server: PostgresServer, lasting_directory: Path) -> Iterator[House]:
    """Its evidence is on a small disk of its own where we may mount one."""
    server.sql(f"CREATE DATABASE outages OWNER {ROLE}")
    made = House(lasting_directory, server, database="outages", user=ROLE, rules=RULES, audit=SMALL)
    store = lasting_directory / "state" / "audit"
    aside = store.with_name("aside")
    store.rename(aside)
    store.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=120m,mode=0700", "ostiary-test", str(store)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    for one in aside.iterdir():
        shutil.move(one, store / one.name)
    try:
        with made:
            yield made
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(store)], check=True)


@contextmanager
def full_disk(house: House) -> Iterator[None]:
    """Not a byte of room; what is reserved is still there."""
    store = house.directory / "state" / "audit"
    if not store.is_mount():
        pytest.skip("cannot mount a tmpfs here")
    with open(store / "ballast", "wb", buffering=0) as ballast, suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    yield
    (store / "ballast").unlink()


@contextmanager
def vanished(house: House) -> Iterator[None]:
    """Another file system is where the evidence was: a disk that fell out."""
    store = house.directory / "state" / "audit"
    if store.is_mount():
        elsewhere = house.directory / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        subprocess.run(["mount", "--move", str(store), str(elsewhere)], check=True)
        yield
        subprocess.run(["mount", "--move", str(elsewhere), str(store)], check=True)
    else:
        store.rename(store.with_name("elsewhere"))
        yield
        store.with_name("elsewhere").rename(store)


@contextmanager
def frozen(house: House) -> Iterator[None]:
    """It takes bytes, as the kernel does, and answers nothing."""
    house.kill("notary", signal.SIGSTOP)
    yield
    house.kill("notary", signal.SIGCONT)


def goes_on(connection: psycopg.Connection[Any], text: str = "SELECT 'goes on'") -> bool:
    """An answer, or the refusal that an outage gives."""
    try:
        connection.execute(text)
    except REFUSED as error:
        assert "OST-801" in str(error)
        return False
    return True


@pytest.mark.parametrize("outage", [full_disk, vanished, frozen])
def test_without_evidence_nothing_happens(house: House, outage: Callable[[House], Any]) -> None:
    """Simple, extended, pipelined and inside a transaction; then all of it goes on in the same sessions."""
    name = outage.__name__
    plain, piped, inside = (house.connect(ADA) for _ in range(3))
    plain.execute(f"CREATE TABLE {name} (what text)")
    inside.execute("BEGIN")
    inside.execute(f"INSERT INTO {name} VALUES ('first half')")
    with outage(house):
        count = 0
        while goes_on(plain, f"SELECT 'before {name} {count}'"):
            count += 1
        before = set(asked_of(house.server.log))
        for text in (f"INSERT INTO {name} VALUES ('simple')", "COMMIT"):
            with pytest.raises(REFUSED, match="OST-801"):
                plain.execute(text)
        with pytest.raises(REFUSED, match="OST-801"):
            inside.execute(f"INSERT INTO {name} VALUES (%s)", ("second half",))
        with pytest.raises(REFUSED, match="OST-801"), piped.pipeline():
            for number in range(20):
                piped.execute(f"INSERT INTO {name} VALUES (%s)", (f"piped {number}",))
        with pytest.raises(psycopg.OperationalError, match=TURNED_AWAY[name]), house.connect(ADA) as late:
            late.execute("SELECT 'too late'")
        assert set(asked_of(house.server.log)) == before, "something was forwarded"
    until(lambda: goes_on(plain), "it recovers by itself")
    until(lambda: goes_on(piped), "a pipeline's session survives")
    assert inside.info.transaction_status == psycopg.pq.TransactionStatus.INERROR
    inside.execute("COMMIT")  # of a transaction that was refused something: the server rolls back
    assert plain.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,)
    with house.connect(ADA) as another:
        assert another.execute("SELECT 'new'").fetchone() == ("new",)
    for one in (plain, piped, inside):
        one.close()


def test_a_frozen_notary_does_not_hurry_a_refused_command_later(house: House) -> None:
    """What was refused while it slept is on its way to it: recorded as refused when it wakes, and never run."""
    with house.connect(ADA) as connection:
        connection.execute("CREATE TABLE slept (what text)")
        with frozen(house):
            until(lambda: not goes_on(connection, "INSERT INTO slept VALUES ('while it slept')"), "refused")
        until(lambda: goes_on(connection), "it is awake")
        assert connection.execute("SELECT count(*) FROM slept").fetchone() == (0,)
    assert "INSERT INTO slept VALUES ('while it slept')" not in asked_of(house.server.log)
    records = house.records()
    late = [(one["worker"], one["sequence"]) for one in records
            if one["kind"] == "intent" and "while it slept" in one["body"]["text"]]
    assert [endings(records)[one] for one in late] == [["refused"]] * len(late)


def test_what_ends_during_an_outage_is_recorded_after_it(house: House) -> None:
    """With its real outcome, and the end of a session whose client left meanwhile."""
    with psycopg.connect(house.direct(user="postgres"), autocommit=True) as lock, house.connect(ADA) as waits, house.connect(ADA) as plain:
        lock.execute("SELECT pg_advisory_lock(77)")
        leaves = house.connect(ADA, application_name="leaves")
        assert leaves.execute("SELECT 'here'").fetchone() == ("here",)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(lambda: waits.execute("SELECT 'released', pg_advisory_lock(77)").fetchone())
            until(lambda: lock.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone() == (1,), "it waits")
            with vanished(house):
                until(lambda: not goes_on(plain), "nothing is recorded")
                lock.execute("SELECT pg_advisory_unlock(77)")
                assert running.result(60)[0] == "released"
                leaves.close()
            until(lambda: goes_on(plain), "it recovers by itself")
    records = house.records()
    [intent] = [one for one in records if one["kind"] == "intent" and "released" in one["body"]["text"]]
    assert endings(records)[intent["worker"], intent["sequence"]][-1] == "complete"
    [opened] = [one for one in records if one["kind"] == "opened" and one["body"]["application"] == "leaves"]
    assert [one["kind"] for one in records if one.get("session") == opened["session"]][-1] == "closed"


def test_without_control_sessions_go_on(house: House) -> None:
    """Nobody new, no approval; both with a reason. Then as before, in the same session."""
    standing = house.connect(ADA)
    standing.execute("CREATE TABLE stands (what text)")
    house.kill("control", signal.SIGSTOP)
    try:
        assert standing.execute("SELECT 'still'").fetchone() == ("still",)
        with pytest.raises(psycopg.OperationalError, match=r"OST-(603|632)"):
            house.connect(ADA)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-305"):
            standing.execute("DELETE FROM stands")
        assert standing.execute("SELECT 'still'").fetchone() == ("still",)
    finally:
        house.kill("control", signal.SIGCONT)
    until(lambda: _lets_in(house), "new sessions are let in again")
    assert "DELETE FROM stands" not in asked_of(house.server.log)
    standing.close()


def _lets_in(house: House) -> bool:
    try:
        house.connect(ADA).close()
    except psycopg.OperationalError:
        return False
    return True


def test_afterwards_the_evidence_is_whole(house: House) -> None:
    """Every statement that the server ran is in it, each intent has an outcome, and it verifies."""
    house.restart()
    records = house.records()
    assert not unrecorded(asked_of(house.server.log, "outages"), records)
    texts = {(one["worker"], one["sequence"]): one["body"]["text"] for one in records if one["kind"] == "intent"}
    wrong = {texts[intent]: ends for intent, ends in endings(records).items() if not settled(ends)}
    assert not wrong, "every intent has one outcome"
    verdict = house.verify()
    assert verdict.returncode == 2 and "SOUND\n" in verdict.stdout, verdict.stdout
    assert "Traceback" not in house.text() and "by a bug" not in house.text()
