"""
The demo's database as its users see it: start it, fill it once, look into its log, stop it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import gateway
from gateway.demo.patients import PATIENTS, Clinic
from gateway.demo.place import CannotServe, Place, prepare

NAME = "clinicdb"
APPLICATION, CATALOG = "clinic_app", "clinic_catalog"  #: the roles that the gateway logs in as
ROOT = Path(gateway.__path__[0]).parent  #: what has to be on a child's import path
_SCHEMA = Path(__file__).with_name("clinic.sql")


class Database:
    """
    A running embedded PostgreSQL with the clinic in it.

    :param directory: keeps everything; the same directory is the same database next time.
    :param port: where its TLS front listens on 127.0.0.1; 0 takes a free one.
    :param patients: how many, when the clinic is loaded (the first time only).
    :raises CannotServe: it is not installed, does not start, or the port is taken.
    """

    def __init__(self, directory: Path, port: int = 0, patients: int = PATIENTS) -> None:
        self.place: Place = prepare(directory)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway.demo.server", str(directory), str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(), start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        if word != "ready":
            self.stop()
            raise CannotServe(rest or "the database process ended at once")
        bound, _, self._sockets = rest.partition(" ")
        self.port = int(bound)
        if not self.place.loaded.exists():
            self._load(patients)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it with its sessions; what is in it stays."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, script: Iterable[str], database: str = NAME, role: str = "postgres") -> str:
        """
        Run a psql script on the server itself, past the gateway; what it printed, unaligned.

        :raises CannotServe: it failed, with psql's words.
        """
        words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self._sockets, "-U", role, "-d", database]
        done = subprocess.run(
            [str(self.place.program("psql")), *words], input="".join(script), capture_output=True, text=True,
            env={**os.environ, "PGPASSWORD": self.place.password(role)}, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise CannotServe(f"psql: {done.stderr.strip()}")
        return done.stdout

    def log(self) -> str:
        """Everything the server logged; every statement it was sent is there."""
        return self.place.log.read_text(errors="replace")

    def _load(self, patients: int) -> None:
        roles = [self._role(APPLICATION), self._role(CATALOG), f"DROP DATABASE IF EXISTS {NAME};\n"]
        self.run([*roles, f"CREATE DATABASE {NAME} OWNER {APPLICATION};\n"], database="postgres")
        self.run(["BEGIN;\n", _SCHEMA.read_text(), *Clinic(patients).copy_script(), "COMMIT;\n"], role=APPLICATION)
        self.run(["VACUUM ANALYZE;\n"])
        self.place.loaded.touch()

    def _role(self, name: str) -> str:
        """Made, or given its password again after a load that was cut short."""
        word = self.place.password(name)  # urlsafe characters: nothing to quote
        made = f"SELECT 'CREATE ROLE {name}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec\n"
        return f"SET log_statement = 'none';\n{made}ALTER ROLE {name} LOGIN PASSWORD '{word}';\n"


def environment() -> dict[str, str]:
    """Ours, with the gateway importable by a child wherever it starts."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), known] if known else [str(ROOT)])}
