"""OpenSSH 10 at both ends, whose first choice is an exchange of keys that a quantum computer does not undo."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ROOT
from tests.ssh_house import SshHouse
from tests.sshd import SSHD, Sshd

UNPACKED = ROOT / ".venv" / "openssh"  # by `deploy/prepare servers`, where the system's own is older
SSH = UNPACKED / "usr" / "bin" / "ssh" if UNPACKED.exists() else Path(shutil.which("ssh") or "")
EXCHANGE = "mlkem768x25519-sha256"

known = subprocess.run([SSH, "-Q", "kex"], capture_output=True, text=True, check=False).stdout.split() if SSH.name else []
pytestmark = [pytest.mark.live, pytest.mark.skipif(EXCHANGE not in known, reason="no OpenSSH 9.9 or newer: deploy/prepare servers, on Debian")]


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    folder, options, program = tmp_path_factory.mktemp("newer"), {}, SSHD
    if UNPACKED.exists():
        program, there = UNPACKED / "usr" / "sbin" / "sshd", UNPACKED / "usr" / "lib" / "openssh"
        options = {"SshdSessionPath": str(there / "sshd-session"), "SshdAuthPath": str(there / "sshd-auth")}
    with Sshd(folder / "sshd", options, program) as server, SshHouse(folder / "h", server, workers=1) as house:
        yield house


def test_the_post_quantum_exchange_is_what_openssh_10_gets_on_both_legs(newer: SshHouse) -> None:
    """Without being asked for; keys change by it too."""
    data = bytes(range(256)) * (12 << 10)
    line = newer.line("-v", "-o", "RekeyLimit=1M", "127.0.0.1", "cat")
    line[0], line[line.index("LogLevel=ERROR")] = str(SSH), "LogLevel=DEBUG1"
    done = subprocess.run(line, input=data, capture_output=True, timeout=120, check=False)
    assert done.stdout == data and done.stderr.count(f"kex: algorithm: {EXCHANGE}".encode()) >= 4, done.stderr
    facts = newer.records("--kind", "opened")[-1]["body"]["facts"]
    assert facts["client_exchange"] == facts["target_exchange"] == EXCHANGE

