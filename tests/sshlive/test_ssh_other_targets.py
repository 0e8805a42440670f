"""A target that is no OpenSSH: AsyncSSH's server, which changes keys often and speaks in its own rhythm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.ssh_house import ADA, WEB, SshHouse
from tests.sshd import keygen

pytestmark = [pytest.mark.live, pytest.mark.soak]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    folder = tmp_path_factory.mktemp("other")
    host, user = keygen(folder / "host"), keygen(folder / "user")
    (folder / "authorized").write_text(user.with_suffix(".pub").read_text())
    (folder / "files").mkdir()
    words = [sys.executable, str(Path(__file__).with_name("asyncssh_target.py")), str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            target = SimpleNamespace(port=port, host_key=" ".join(host.with_suffix(".pub").read_text().split()[:2]), key=user, folder=folder)
            with SshHouse(folder / "h", target, workers=1) as house:  # type: ignore[arg-type]
                yield house
        finally:
            server.terminate()


def test_commands_of_another_server(other: SshHouse) -> None:
    """Input, both outputs, a status and a signal, while its keys change."""
    done = other.ssh("hello there", stdin=b"x" * 1_000_000)
    assert (done.stdout, done.stderr, done.returncode) == (b"hello there\n" + b"X" * 1_000_000, b"to stderr\n", 5)
    assert other.ssh("signal").returncode == 255
    outcomes = other.recorded("--kind", "outcome", count=2)
    assert outcomes[-1]["body"]["facts"]["signal"] == "TERM"


def test_files_of_another_server(other: SshHouse, tmp_path: Path) -> None:
    data = os.urandom(700_000)
    (tmp_path / "up").write_bytes(data)
    (tmp_path / "batch").write_text(f"put {tmp_path}/up there\nrename there here\nget here {tmp_path}/down\nls\n-rm none\n")
    line = ["sftp", "-q", *other.options(), "-P", str(other.ssh_port), "-o", f"User={ADA}@{WEB}", "-b", str(tmp_path / "batch"), "127.0.0.1"]
    done = subprocess.run(line, capture_output=True, timeout=100, check=False)
    assert done.returncode == 0 and b"here" in done.stdout, done.stderr
    assert (tmp_path / "down").read_bytes() == data
