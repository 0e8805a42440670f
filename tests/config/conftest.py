"""The example configuration, and a place for changed ones where all the files are that it names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.certificates import authority, issue, write_pair

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "examples" / "clinic.toml"

Write = Callable[[str], Path]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, made once: an authority, a server's, and another server's."""
    directory = tmp_path_factory.mktemp("pairs")
    ca = authority("test")
    for name in ("server", "other"):
        write_pair(directory / f"{name}.pem", directory / f"{name}.key", issue(ca, ["localhost"]), chain=[ca.certificate])
    write_pair(directory / "db-ca.pem", directory / "db-ca.key", ca)
    return directory


@pytest.fixture
def write(tmp_path: Path, pairs: Path) -> Write:
    """Puts a configuration beside all the files that the example names."""
    tls = tmp_path / "state" / "tls"
    tls.mkdir(parents=True, mode=0o700)
    os.chmod(tmp_path / "state", 0o700)
    for file in pairs.iterdir():
        (tls / file.name).write_bytes(file.read_bytes())
        (tls / file.name).chmod(0o600)

    def put(text: str) -> Path:
        path = tmp_path / "ostiary.toml"
        path.write_text(text)
        path.chmod(0o600)
        return path

    return put
