"""`make run`'s program: what it prints can be pasted, Ctrl-C ends all of it, and the next start finds everything again."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.database import environment
from gateway.demo.host import available

pytestmark = [pytest.mark.live, pytest.mark.skipif(shutil.which("psql") is None, reason="the lines are psql's")]
PATIENCE = 60  # seconds until what does not come fails a test


class Running:
    """The demo in the foreground, its output read up to the end of its instructions."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway.demo.run"], cwd=directory, env=environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C stops everything"):
                return
        raise AssertionError(self.said)

    def lines(self, having: str) -> list[str]:
        """Commands that were printed, as one would paste them."""
        return [line.strip()[2:] for line in self.said.splitlines() if line.startswith("  $ ") and having in line]

    def paste(self, *commands: str) -> subprocess.CompletedProcess[str]:
        """One after the other in a shell where the demo was started."""
        return subprocess.run(
            ["bash", "-c", "\n".join(commands)], cwd=self.directory, env=environment(), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    @property
    def ports(self) -> list[int]:
        text = (self.directory / "run" / "ostiary.toml").read_text()
        return [int(port) for port in re.findall(r'"(?:tcp:|127\.0\.0\.1:)(\d+)', text)]

    def stop(self) -> int:
        """Ctrl-C, once."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        self.said += self.process.stdout.read()
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def running(module_directory: Path) -> Iterator[Running]:
    found = Running(module_directory)
    yield found
    found.stop()


def test_its_lines_can_be_pasted(running: Running) -> None:
    """Look as Ada, be held, approve as Grace, audit: every command as printed, with a statement added to psql's."""
    ada, claude = running.lines("psql ")
    look = running.paste(f'{ada} -X -c "SELECT ssn, dob FROM patients WHERE id = 1"')
    assert "***" in look.stdout and "-01-01" in look.stdout, look.stderr
    asked = running.paste(f'{claude} -X -c "UPDATE providers SET accepting = true WHERE id = 1"')
    request = re.findall(r"r-[0-9a-f]+", asked.stderr)[0]
    export, listing, approve = (running.lines(word)[0] for word in ("OSTIARY_CONFIG", "request list", "request approve"))
    assert shlex.split(export)[1] == f"OSTIARY_CONFIG={running.directory / 'run' / 'ostiary.toml'}"  # in whichever directory one is later
    answered = running.paste(export, listing, approve.replace(" ID ", f" {request} "))
    assert request in answered.stdout and "approved" in answered.stdout, answered.stderr
    tail, bundle, verify = (running.lines(word)[0] for word in ("audit tail", "audit export", "verify.py"))
    audited = running.paste(tail, bundle, verify)
    assert audited.returncode == 0 and "SOUND" in audited.stdout, audited.stderr


@pytest.mark.skipif(not available(), reason="no sshd here")
def test_its_lines_for_ssh_can_be_pasted_and_its_rules_do_what_is_said(running: Running) -> None:
    """Straight and through a jump; what is refused, is so before the host hears of it."""
    token = re.findall(r"Her token: (\S+)", running.said)[0]
    (running.directory / "askpass").write_text(f"#!/bin/sh\necho {token}\n")
    (running.directory / "askpass").chmod(0o700)
    ask = "export SSH_ASKPASS_REQUIRE=force SSH_ASKPASS=$PWD/askpass"
    straight, jump = running.lines("uname -a")
    assert [running.paste(ask, line).stdout.split()[0] for line in (straight, jump)] == ["Linux", "Linux"]
    tries = re.findall(r"^  … (.*?) +# (refused|waits)", running.said, re.M)
    assert [promise for _, promise in tries] == ["refused", "refused", "waits"]
    for line in (straight, jump):
        for command, _ in tries[:2]:
            done = running.paste(ask, line.replace("uname -a", shlex.quote(command)))
            assert (done.returncode, done.stdout) == (126, "") and "OST-203" in done.stderr
        assert running.paste(ask, line.replace("uname -a", "id -un")).returncode == 0


def test_statements_to_try_do_what_is_said_of_them(running: Running) -> None:
    """But for the last, which waits for somebody."""
    (ada, *_), tries = running.lines("psql "), re.findall(r"^  (\w.*;) +-- (.*)$", running.said, re.M)
    assert len(tries) == 5
    for statement, promise in tries[:-1]:
        done = running.paste(f"{ada} -X -c {shlex.quote(statement)}")
        assert ("OST-" in done.stderr) == promise.startswith("refused"), (statement, done.stderr)
        assert ("***" in done.stdout) == ("masked" in promise)


def test_ctrl_c_ends_everything_and_the_next_start_finds_it_again(open_directory: Path) -> None:
    """Nothing listens afterwards; ports, patients and evidence are those of before."""
    first = Running(open_directory)
    (ada, *_), ports = first.lines("psql "), first.ports
    first.paste(f'{ada} -X -c "UPDATE departments SET beds = 77 WHERE id = 1"')
    assert first.stop() == 0 and len(set(ports)) == len(ports) >= 3  # a host's two more where there is an sshd
    for port in ports:
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            pass
    second = Running(open_directory)
    try:
        assert second.ports == ports
        (ada, *_), tail = second.lines("psql "), second.lines("audit tail")[0]
        kept = second.paste(f'{ada} -X -At -c "SELECT beds FROM departments WHERE id = 1"', tail.replace("tail", "search"))
        assert kept.stdout.startswith("77\n") and "SET beds = 77" in kept.stdout
    finally:
        second.stop()
    refuses_to_run_over_a_store_that_is_not_its_own(open_directory)


def refuses_to_run_over_a_store_that_is_not_its_own(directory: Path) -> None:
    """It does not say that it runs while it would refuse everything: it says why, what to do, and ends."""
    ledger = directory / "run" / "state" / "audit" / "ledger" / "data.mdb"
    with open(ledger, "r+b") as opened:
        opened.truncate(8192)
    third = subprocess.run(
        [sys.executable, "-m", "gateway.demo.run"], cwd=directory, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert third.returncode == 1 and "is running" not in third.stdout and "Nothing can be recorded: ledger: " in third.stdout
    assert re.search(r"^ostiary: nothing can be recorded, so .*: ledger: truncated.*\n.* audit verify --config run/ostiary.toml", third.stderr), third.stderr


def test_a_second_one_in_the_same_directory_ends(running: Running) -> None:
    """It says what stands in its way, and the first goes on undisturbed."""
    second = subprocess.run(
        [sys.executable, "-m", "gateway.demo.run"], cwd=running.directory, env=environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert second.returncode == 1 and "in use" in second.stderr and "Traceback" not in second.stderr
    (ada, *_) = running.lines("psql ")
    assert running.paste(f'{ada} -X -c "SELECT count(*) FROM departments"').returncode == 0
