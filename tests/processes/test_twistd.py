"""`twistd ostiary` itself: the plugin is found, wrong configurations end it at once, right ones serve."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from struct import Struct

import pytest
from household import PATIENCE, ROOT, Household, until

pytestmark = pytest.mark.live

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
SSL_REQUEST = Struct("!II").pack(8, 80877103)  # PostgreSQL 18 manual, 54.7: length, request code


def twistd(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run it to its end, from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*TWISTD, *words], cwd=cwd, env=environment, text=True, capture_output=True, timeout=PATIENCE, check=False,
    )


def greets(port: int) -> bool:
    """Whether a PostgreSQL that speaks TLS is there."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(SSL_REQUEST)
        return client.recv(1) == b"S"


def test_twistd_knows_ostiary() -> None:
    """The plugin is found through the import path; no __init__.py stands in its way."""
    assert "ostiary" in twistd("--help").stdout


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, ["ostiary.toml", "ostiary init"]),
        ("[gateway\n", ["ostiary.toml", "not TOML"]),
        ('[gateway]\nname = "x"\nstate = "nowhere"\n', ["gateway.state", "nowhere"]),
        ('[gateway]\nworkers = "many"\n', ["gateway.workers", "inline"]),
    ],
)
def test_a_wrong_configuration_is_said_before_anything_happens(
    tmp_path: Path, background: bool, text: str | None, says: list[str]
) -> None:
    """File, key path and mend on stderr; exit code 1; no traceback, no process left behind."""
    file = tmp_path / "ostiary.toml"
    if text is not None:
        file.write_text(text)
    mode = [f"--pidfile={tmp_path}/pid"] if background else ["-n", "--pidfile="]
    ended = twistd(*mode, "ostiary", "--config", str(file))
    assert ended.returncode == 1
    assert all(word in ended.stderr for word in says), ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout and not (tmp_path / "pid").exists()


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """Which listener, and that it is in use; in the log, which twistd has begun by then."""
    house = Household(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", house.port))
        taken.listen()
        ended = twistd("-n", f"--pidfile={tmp_path}/pid", "ostiary", "--config", str(house.file))
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1 and "Traceback" not in said and not (tmp_path / "pid").exists(), "a failed start leaves no process's number"
    assert "listen[0].endpoint" in said and "in use" in said


@pytest.mark.parametrize("workers", [1, "inline"])
def test_twistd_serves_the_real_gate(tmp_path: Path, workers: int | str) -> None:
    """Foreground, stopped by SIGTERM with code 0."""
    command = [*TWISTD, "-n", "--pidfile=", "ostiary", "--config", str(tmp_path / "ostiary.toml")]
    with Household(tmp_path, workers=workers, command=command) as house:
        assert greets(house.port)
        house.signal(signal.SIGTERM)
        assert house.code() == 0, house.rest()


def test_one_process_that_cannot_start_ends_with_1(tmp_path: Path) -> None:
    """What restarts failed services sees that it failed, and nothing is left behind."""
    house = Household(tmp_path, workers="inline")
    (house.state / "keys" / "control.key").write_bytes(b"not a key")
    ended = twistd("-n", f"--pidfile={tmp_path}/pid", "ostiary", "--config", str(house.file))
    assert ended.returncode == 1 and re.search("cannot start: .*control.key", ended.stdout), ended
    assert not (tmp_path / "pid").exists() and "Traceback" not in ended.stdout + ended.stderr


def test_twistd_in_the_background(tmp_path: Path) -> None:
    """Daemonised: it serves, logs to its file, and leaves nothing when it is told to go."""
    house = Household(tmp_path, workers=1)
    pidfile, log = tmp_path / "pid", tmp_path / "log"
    started = twistd(f"--pidfile={pidfile}", f"--logfile={log}", "ostiary", "--config", str(house.file))
    assert started.returncode == 0, started.stderr
    until(pidfile.exists, "there is a pid file")
    pid = int(pidfile.read_text())
    try:
        until(lambda: log.exists() and "serving revision 1" in log.read_text(), "it serves")
        assert greets(house.port)
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not pidfile.exists(), "it has left")
    assert "Traceback" not in log.read_text()
