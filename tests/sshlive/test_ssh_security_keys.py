"""Security keys, with OpenSSH's own client and software in the place of the device: `authenticator.c`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ssh_house import ADA, SshHouse
from tests.sshd import Sshd
from tests.sshlive.test_ssh_sessions import noted

pytestmark = pytest.mark.live

SOURCE = Path(__file__).with_name("authenticator.c")


@dataclass
class Touched:
    """A house whose Ada has a security key."""

    house: SshHouse
    provider: Path

    def ssh(self, *words: str, flags: int = 1, key: Path | None = None) -> subprocess.CompletedProcess[bytes]:
        """With the device, which says these flags of who was there."""
        line = [word.replace(str(self.house.key), str(key or self.house.key)) for word in self.house.line("-o", f"SecurityKeyProvider={self.provider}")]
        here = {**os.environ, "OSTIARY_TEST_SK_FLAGS": str(flags)}
        return subprocess.run([*line, "127.0.0.1", *words], capture_output=True, check=False, timeout=60, env=here, stdin=subprocess.DEVNULL)

    def keygen(self, path: Path, *more: str) -> Path:
        """A key on the device."""
        words = ["ssh-keygen", "-q", "-t", "ed25519-sk", "-w", str(self.provider), "-N", "", "-f", str(path), *more]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        return path


@pytest.fixture(scope="module")
def touched(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Touched]:
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler for the authenticator")
    folder = tmp_path_factory.mktemp("touched")
    provider = folder / "authenticator.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(provider), str(SOURCE), "-l:libcrypto.so.3"], check=True)
    house = SshHouse(folder / "h", sshd, workers=1)
    made = Touched(house, provider)
    house.key = made.keygen(folder / "key")
    house.write()
    with house:
        yield made


def test_a_security_key_lets_in_when_somebody_was_there(touched: Touched) -> None:
    assert touched.ssh("echo in").stdout == b"in\n"
    assert touched.house.records("--kind", "opened")[-1]["body"]["proof"] == "key"


def test_a_security_key_that_nobody_touched_lets_nobody_in(touched: Touched) -> None:
    """The signature is right, and says that nobody was there."""
    assert touched.ssh("echo in", flags=0).returncode == 255
    noted(touched.house, "login.failed", lambda facts: facts["why"] == "a wrong publickey")


def test_a_certificate_of_a_security_key(touched: Touched, tmp_path: Path) -> None:
    """Signed by the gateway; the touch counts here too."""
    key = touched.keygen(tmp_path / "key")
    (tmp_path / "key-cert.pub").write_text(touched.house.ostiary_ok("ssh", "sign", "--identity", ADA, f"{key}.pub"))
    assert touched.ssh("echo in", key=key).stdout == b"in\n"
    assert touched.house.records("--kind", "opened")[-1]["body"]["proof"] == "certificate"
    assert touched.ssh("echo in", key=key, flags=0).returncode == 255
