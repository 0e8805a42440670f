"""One sshd and one gateway in front of it, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ssh_house import SshHouse
from tests.sshd import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with Sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="session")
def ssh_house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    with SshHouse(tmp_path_factory.mktemp("ssh") / "h", sshd) as house:
        yield house


@pytest.fixture(scope="session")
def ruled_house(sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    """One whose site has rules of its own: `tests.ssh_rules`."""
    with SshHouse(tmp_path_factory.mktemp("ruled") / "h", sshd, addons=[{"use": "tests.ssh_rules.Forwards"}]) as house:
        yield house
