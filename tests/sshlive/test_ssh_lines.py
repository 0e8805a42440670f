"""Line rules through a whole gateway: a mistake is stopped, told and recorded, and the shell goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "terminal"))

from programs import Program  # noqa: E402

from tests.house import until  # noqa: E402
from tests.ssh_house import SshHouse  # noqa: E402
from tests.sshd import Sshd  # noqa: E402

pytestmark = pytest.mark.live

RULES = {
    "use": "addons.ssh.Ssh", "default": {"exec": "allow", "shell": "allow"},
    "typed": [{"name": "no-rm", "programs": ["rm"], "hint": "use trash"}],
}


def test_a_mistake_in_a_shell_is_stopped_told_and_recorded(sshd: Sshd, tmp_path: Path) -> None:
    """Behind a real prompt; the next line works, and so does the exit status."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    with SshHouse(tmp_path / "h", sshd, addons=[RULES]) as house:
        with Program(house.line("-tt", "127.0.0.1", "exec env PS1='demo$ ' bash --norc --noprofile"), tmp_path) as terminal:
            terminal.until(b"demo$ ")
            terminal.send(f"rm {victim}\r".encode())
            said = terminal.until(b"use trash")
            assert b"Rule no-rm refuses this line" in said and b"OST-203" in said
            terminal.send(b"echo still-$((1+1))\r")
            terminal.until(b"still-2")
            terminal.send(b"exit 4\r")
            assert terminal.exit() == 4
        assert victim.read_text() == "kept"
        until(lambda: house.records("--kind", "recorded"), "the recording has ended")
        [refusal] = house.records("--kind", "refusal")
        assert refusal["fields"]["path"] == "line" and refusal["fields"]["rule"] == "no-rm"
        assert refusal["body"]["text"] == f"rm {victim}"
