"""A test that waits for ever fails, alone, and says where it stood; one that cannot even fail takes its process along."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = str(Path(__file__).parent.parent)

HANGING = '''
import select, signal
import pytest, pytest_twisted
from twisted.internet.defer import Deferred
from tests import limit

def soon():
    signal.setitimer(signal.ITIMER_REAL, 0.1)

def test_a_call():
    soon()
    select.select([], [], [])

@pytest_twisted.ensureDeferred
async def test_a_deferred():
    pytest_twisted._instances.reactor.callLater(0, soon)
    await Deferred()

@pytest_twisted.ensureDeferred
async def test_a_loop():
    soon()
    while True:
        pass

@pytest.fixture
def begun():
    soon()
    select.select([], [], [])

def test_a_beginning(begun):
    pass

@pytest.fixture
def ended():
    yield
    soon()
    select.select([], [], [])

def test_an_end(ended):
    pass

@pytest_twisted.ensureDeferred
async def test_the_next():
    done = Deferred()
    pytest_twisted._instances.reactor.callLater(0, done.callback, None)
    await done
'''
DEAF = '''
import signal
from tests import limit

def test_deaf(pytestconfig):
    limit.GRACE = 0.1
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    limit.arm(0.1, pytestconfig.stash[limit.STDERR])
    signal.sigwait({signal.SIGUSR1})
'''


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Tests of another pytest, under the limit."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.limit", "-p", "no:cacheprovider", "-rA", "--tb=short", "test_it.py"],
        cwd=folder, env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=120, check=False,
    )


def test_whatever_hangs_fails_and_what_comes_next_does_not(tmp_path: Path) -> None:
    ran = run(tmp_path, HANGING)
    told = [line.partition(" - ")[0] for line in ran.stdout.splitlines() if line.startswith(("PASSED", "FAILED", "ERROR test"))]
    assert sorted(told) == [
        "ERROR test_it.py::test_a_beginning", "ERROR test_it.py::test_an_end", "FAILED test_it.py::test_a_call",
        "FAILED test_it.py::test_a_deferred", "FAILED test_it.py::test_a_loop", "PASSED test_it.py::test_an_end", "PASSED test_it.py::test_the_next",
    ], ran.stdout  # fmt: skip
    failures = ran.stdout.partition("short test summary info")[0]  # which says all of it again where CI is set
    assert failures.count("the test did not end\nMainThread:\n") == 5 and "  test_a_deferred at " in failures


def test_where_nothing_hears_the_alarm_the_process_ends_with_its_stacks(tmp_path: Path) -> None:
    ran = run(tmp_path, DEAF)
    assert ran.returncode == 1 and "in test_deaf" in ran.stderr, ran.stdout + ran.stderr
