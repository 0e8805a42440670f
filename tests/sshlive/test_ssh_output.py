"""Output masking through a whole gateway: identifiers are starred on terminals and in recordings, and files stay what they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.house import as_recorded, until
from tests.ssh_house import SshHouse
from tests.sshd import Sshd

pytestmark = pytest.mark.live

TEXT = "name,ssn\r\nAnn,123-45-6789\r\nBob,\x1b[1m987-65-4321\x1b[m 4111 1111 1111 1111\r\n"


def test_identifiers_are_starred_on_terminals_and_files_are_copied_as_they_are(sshd: Sshd, tmp_path: Path) -> None:
    """The recording holds what was seen; cat without a terminal, and scp, give the original."""
    file = tmp_path / "patients.csv"
    file.write_text(TEXT)
    with SshHouse(tmp_path / "h", sshd, addons=[{"use": "addons.masking.Output", "detectors": ["ssn", "card"]}]) as house:
        shown = subprocess.run(house.line("-tt", "127.0.0.1", f"cat {file}; exit 3"), capture_output=True, timeout=100, check=False)
        assert shown.returncode == 3
        assert shown.stdout.replace(b"\r\r\n", b"\r\n") == TEXT.replace("123-45-6789", "*" * 11).replace("4111 1111 1111 1111", "*" * 19).encode()
        assert house.ssh(f"cat {file}").stdout == TEXT.encode()
        until(lambda: house.records("--kind", "recorded"), "the recording has ended")
        events = [event for record in house.records("--kind", "chunk") for event in record["body"]["events"]]
        recorded = b"".join(as_recorded(event[2]) for event in events if event[1] == "o")
        assert recorded == shown.stdout
