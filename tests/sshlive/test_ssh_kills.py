"""
kill -9 at random moments, under load of SSH: nothing ran at the target that has no record, nothing that a client was told is lost.

The target's word is its own: a shell history that its sshd's ForceCommand writes before each command, and its log of who came in.
The short profile kills twice, the long one sixty times; the seed is in what it prints.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import psutil
import pytest

from tests.house import PATIENCE, as_recorded
from tests.ssh_house import ADA, SshHouse
from tests.sshd import Sshd
from tests.sshlive.test_ssh_paramiko import connected

pytestmark = pytest.mark.live

VICTIMS = ("worker", "notary", "control", "supervisor", "everything")
SHORT = ("worker", "notary")
HISTORY = """#!/bin/sh
printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >> {history}
exec sh -c "$SSH_ORIGINAL_COMMAND"
"""
_PAUSE = 0.05  # seconds before a client that was turned away comes again


class Clamour:
    """
    Clients that never stop: one after the other commands of their own names, and a terminal on which numbers go by.

    :ivar acknowledged: lines of which a client was told that they ran. :ivar shown: what was on the terminals.
    """

    def __init__(self, house: SshHouse) -> None:
        self._house, self._over, self._heard = house, threading.Event(), threading.Condition()
        self.acknowledged: set[str] = set()
        self.shown: set[str] = set()
        lives = [lambda client, n=n: self._commands(client, n) for n in range(3)] + [self._terminal]
        self._threads = [threading.Thread(target=self._again, args=(life,), daemon=True) for life in lives]
        self._count = 0

    def __enter__(self) -> Clamour:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def await_more(self, count: int) -> None:
        """Until so many more commands have been acknowledged."""
        with self._heard:
            goal = len(self.acknowledged) + count
            assert self._heard.wait_for(lambda: len(self.acknowledged) >= goal, PATIENCE), "nobody is served any more"

    def _again(self, life: Callable[[paramiko.SSHClient], None]) -> None:
        while not self._over.is_set():
            try:
                client = connected(self._house, key_filename=str(self._house.key))
            except (OSError, EOFError, paramiko.SSHException):
                self._over.wait(_PAUSE)
                continue
            try:
                life(client)
            except (OSError, EOFError, paramiko.SSHException):
                pass
            finally:
                client.close()

    def _commands(self, client: paramiko.SSHClient, number: int) -> None:
        while not self._over.is_set():
            with self._heard:
                self._count += 1
                line = f"echo {number}-{self._count}"
            channel = client.get_transport().open_session(timeout=20)  # type: ignore[union-attr]
            channel.settimeout(20)
            channel.exec_command(line)
            out = channel.makefile("rb").read()
            if out == line.removeprefix("echo ").encode() + b"\n" and channel.recv_exit_status() == 0:
                with self._heard:
                    self.acknowledged.add(line)
                    self._heard.notify_all()
            channel.close()

    def _terminal(self, client: paramiko.SSHClient) -> None:
        channel = client.get_transport().open_session(timeout=20)  # type: ignore[union-attr]
        channel.settimeout(5)
        channel.get_pty()
        with self._heard:
            self._count += 1
            channel.exec_command(f"i=0; while [ $i -lt 4000 ]; do echo {self._count}-$i.; i=$((i+1)); sleep 0.02; done")
        seen = b""
        try:
            while not self._over.is_set() and (data := channel.recv(4096)):
                seen += data
        finally:
            self.shown.update(re.findall(r"\d+-\d+\.", seen.decode()))


@pytest.mark.parametrize("seed, victims", [
    (20261126, SHORT), *(pytest.param(seed, VICTIMS * 4, marks=pytest.mark.soak) for seed in range(1, 4)),
], ids=lambda value: str(value) if isinstance(value, int) else str(len(value)))  # fmt: skip
def test_kill_9_under_load_of_ssh(tmp_path: Path, seed: int, victims: tuple[str, ...], tell: Callable[[str], None]) -> None:
    """Then the reckoning."""
    tell(f"{len(victims)} kills, seed {seed}")
    chance, history, ca = random.Random(seed), tmp_path / "history", tmp_path / "trusted"
    (tmp_path / "remember").write_text(HISTORY.format(history=history))
    (tmp_path / "remember").chmod(0o755)
    ca.write_text("")
    options = {"TrustedUserCAKeys": str(ca), "AuthorizedKeysFile": "none", "ForceCommand": str(tmp_path / "remember")}
    with Sshd(tmp_path / "sshd", options) as sshd:
        house = SshHouse(tmp_path / "h", sshd, account={"auth": "certificate"}, gateway={"drain": 1})
        ca.write_text(house.ostiary_ok("ssh", "ca"))
        with house, Clamour(house) as load:
            for victim in chance.sample(victims, len(victims)):
                load.await_more(chance.randrange(5, 60 if len(victims) > len(SHORT) else 20))
                _strike(house, victim, chance)
                load.await_more(1)
        tell(_reckon(house, load, history.read_text().splitlines(), sshd.log.read_text()))


def _strike(house: SshHouse, victim: str, chance: random.Random) -> None:
    begun = house.log_file.stat().st_size
    match victim:
        case "everything" | "supervisor":
            family = house.family()
            for one in family if victim == "everything" else [psutil.Process(house.pid("supervisor"))]:
                one.kill()
            psutil.wait_procs(family, timeout=30)
            house.start()
        case _:
            part = chance.choice(house.workers()) if victim == "worker" else victim
            house.kill(part)
            house.heard(rf"{part} is process \d+", begun)


def _reckon(house: SshHouse, load: Clamour, ran: list[str], log: str) -> str:
    """The house is stopped. The target's history and log, the clients' memory and the evidence agree."""
    records = house.records()
    intended = Counter(r["body"]["text"] for r in records if r["kind"] == "intent")
    assert len(ran) >= len(load.acknowledged) > 0 and load.shown
    assert not Counter(ran) - intended, "ran, and not in the evidence"
    assert load.acknowledged <= set(ran) & set(intended), "acknowledged, and not at the target or in the evidence"
    came = re.findall(rf"Accepted publickey for \S+ .* ID {re.escape(ADA)}@(\S+) \(serial", log)
    signed = {r["body"]["facts"].get("key_id", "") for r in records if r["kind"] in ("note", "admin") and r["fields"].get("what") == "certificate.signed"}
    assert came and {f"{ADA}@{session}" for session in came} <= signed, "logged in at the target, and not in the evidence"
    recorded = set(re.findall(r"\d+-\d+\.", "".join(_written(r) for r in records if r["kind"] == "chunk")))
    assert load.shown <= recorded, "shown, and not recorded"
    ends = Counter(tuple(r["ref"]) for r in records if r["kind"] == "outcome" and r["fields"]["ending"] != "unknown")
    known = {tuple(r["ref"]) for r in records if r["kind"] == "outcome"}
    assert all((r["worker"], r["sequence"]) in known for r in records if r["kind"] == "intent") and set(ends.values()) <= {1}, "every intent has one outcome"
    verdict = house.verify()
    assert verdict.returncode in (0, 2) and "SOUND" in verdict.stdout, verdict.stdout
    said = house.text()
    assert "Traceback" not in said and "by a bug" not in said
    return f"{len(ran)} ran, {len(load.acknowledged)} acknowledged, {len(came)} logins, {len(load.shown)} lines shown, {len(records)} records"


def _written(record: dict[str, Any]) -> str:
    """Of a chunk, what a terminal was shown."""
    return "".join(as_recorded(event[2]).decode(errors="replace") for event in record["body"]["events"] if event[1] == "o")
