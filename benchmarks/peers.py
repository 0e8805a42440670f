"""
Starts what is compared, all in front of one throwaway PostgreSQL 15: nothing (direct), haproxy, pgbouncer
in session mode, a stock Twisted forwarder, and the gateway.

haproxy and pgbouncer are Debian's: apt-get install --no-install-recommends haproxy pgbouncer
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import house as houses
from tests.house import BENCH, TARGET, House, table
from tests.servers import POSTGRES_15, SUPERUSER, Certificates, PostgresServer, free_port

ROOT = Path(__file__).parent.parent
ROWS = 1_000_000
SETTINGS = {
    "shared_buffers": "256MB", "max_connections": "400", "log_statement": "none", "log_min_messages": "warning",
    "max_wal_size": "2GB",
}  # fmt: skip
RULES = (
    {"name": "privileged", "classes": ["write-unfiltered", "ddl"], "verdict": "approve", "approvers": ["approvers"]},
    {"name": "agents", "kinds": ["agent"], "relations": ["pgbench_accounts"], "verdict": "deny"},
    {"name": "no-drop", "classes": ["ddl-destructive"], "verdict": "deny"},
)
MASKED = {"public.big": ["email", "digest"], "public.vault": ["filler"]}
COPY_IN = "copy sink from stdin where false"
"""The server reads each row and keeps none: what it takes to write them is not what is compared."""

SECRET = "bench"  # pgbouncer's client password; nothing behind it is worth one


@dataclass
class Peer:
    """One way to the database."""

    name: str
    facts: Mapping[str, str]  #: libpq's words
    processes: Callable[[], list[int]]  #: what stands between; nothing for direct


def programs() -> list[str]:
    """Those that are missing."""
    return [name for name in ("haproxy", "pgbouncer", "pgbench") if not _where(name)]


def _where(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/lib/postgresql/15/bin") or ""


def database(stack: ExitStack, certificates: Certificates, rows: int) -> PostgresServer:
    """pgbench's tables, and `big` and `clear` of so many rows: an id, an address, a digest, a time, padding."""
    server = PostgresServer(POSTGRES_15, SETTINGS, certificates=certificates).start()
    stack.callback(server.stop)
    subprocess.run(
        [_where("pgbench"), "-i", "-q", "-s", "10", "-h", "127.0.0.1", "-p", str(server.port), "-U", SUPERUSER, "postgres"],
        check=True, capture_output=True,
    )  # fmt: skip
    server.sql(
        f"create table big as select i as id, 'user' || i || '@example.com' as email, md5(i::text) as digest,"
        f" now() as at, repeat('x', 20) as pad from generate_series(1, {rows}) i; create table clear as table big;"
        " create table sink (like clear); create table vault as table pgbench_accounts; alter table vault add primary key (aid);"
        " vacuum analyze vault; vacuum analyze big; vacuum analyze clear; checkpoint"
    )
    return server


def copied_rows(server: PostgresServer, folder: Path) -> Path:
    """A file with what COPY gives of `clear`."""
    file = folder / "rows"
    with psycopg.connect(**_facts(server.port)) as connection, connection.cursor() as cursor, file.open("wb") as out:
        with cursor.copy("copy clear to stdout") as copy:
            for piece in copy:
                out.write(piece)
    return file


def snapshot(folder: Path) -> Path:
    """This checkout's `site`, which houses are started from."""
    houses.ROOT = made = site(folder / "site", ROOT)
    return made


def site(site: Path, checkout: Path) -> Path:
    """A checkout's code with its kernels compiled, so that nobody's edit meets a running gateway."""
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.c", "dropin.cache")
    for name in ("protocols", "addons", "gateway", "twisted", "tests", "benchmarks"):
        shutil.copytree(checkout / name, site / name, ignore=ignore)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "LICENSE"):
        shutil.copy(checkout / name, site)
    (site / "README.md").touch()
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=site, check=True, capture_output=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], check=True)  # as pip does where it installs
    return site


def kernel(site: Path) -> str:
    """Which of the two a process started from there uses."""
    program = "from protocols import kernel; print(kernel.mask_rows.__module__)"
    said = subprocess.run([sys.executable, "-c", program], cwd=site, check=True, capture_output=True, text=True)
    return "compiled" if said.stdout.strip().endswith("_kernel") else "interpreted"


def direct(server: PostgresServer) -> Peer:
    return Peer("direct", _facts(server.port), list)


def haproxy(stack: ExitStack, folder: Path, server: PostgresServer) -> Peer:
    port, file = free_port(), folder / "haproxy.cfg"
    file.write_text(
        "global\n nbthread 1\n maxconn 2000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
        f"listen pg\n bind 127.0.0.1:{port}\n server pg 127.0.0.1:{server.port}\n"
    )
    process = _spawn(stack, [_where("haproxy"), "-f", str(file), "-db"], port)
    return Peer("haproxy", _facts(port), lambda: [process.pid])


def pgbouncer(stack: ExitStack, folder: Path, server: PostgresServer, certificates: Certificates) -> Peer:
    """Session mode; clients prove a password by SCRAM, as they do to the gateway."""
    port, place = free_port(), folder / "pgbouncer"
    place.mkdir()
    (place / "users").write_text(f'"{SUPERUSER}" "{SECRET}"\n')
    for kind in ("pem", "key"):
        shutil.copy(certificates.folder / f"good.{kind}", place)
    (place / "ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user={SUPERUSER}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
        f"auth_file = {place}/users\npool_mode = session\nmax_client_conn = 1000\ndefault_pool_size = 300\n"
        "ignore_startup_parameters = extra_float_digits\nserver_tls_sslmode = disable\nclient_tls_sslmode = allow\n"
        f"client_tls_cert_file = {place}/good.pem\nclient_tls_key_file = {place}/good.key\n"
        "log_connections = 0\nlog_disconnections = 0\n"
    )
    command = [_where("pgbouncer"), "-q", str(place / "ini")]
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        for path in (place, *place.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
        command = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]
    process = _spawn(stack, command, port)
    return Peer("pgbouncer", _facts(port, password=SECRET), lambda: [process.pid])


def pump(stack: ExitStack, site: Path, server: PostgresServer, certificates: Certificates) -> Peer:
    port = free_port()
    command = [
        sys.executable, "-m", "benchmarks.pump", str(port), str(server.port),
        str(certificates.certificate("good")), str(certificates.key("good")),
    ]  # fmt: skip
    process = _spawn(stack, command, port, cwd=site)
    return Peer("stock Twisted", _facts(port), lambda: [process.pid])


def stub(stack: ExitStack, site: Path) -> int:
    port = free_port()
    _spawn(stack, [sys.executable, "-m", "benchmarks.stub", str(port)], port, cwd=site)
    return port


class BenchHouse(House):
    """A house with TLS to its target, or with a stub as one more target, or as several of that many names."""

    target_tls: Certificates | None = None
    stub_port = 0
    stubs: tuple[str, ...] = ("stub",)

    def write(self) -> None:
        self.addons[0]["rules"][0]["targets"] = [TARGET, *self.stubs] if self.stub_port else [TARGET]
        for declared in self.addons[1]["columns"]:
            declared["targets"] = [TARGET]  # a stub has no catalog to read
        super().write()
        text = self.file.read_text()
        if self.target_tls:
            text = text.replace('tls = "off"', f'tls = "verify"\ntls_ca = "{self.target_tls.ca}"')
        if self.stub_port:
            account = [{"name": "app", "user": SUPERUSER, "auth": "trust"}]
            facts = {"protocol": "postgres", "address": f"127.0.0.1:{self.stub_port}", "database": "postgres", "tls": "off", "account": account}
            named = [table("[[target]]", {"name": name, **facts}) for name in self.stubs]
            text = text.replace("[[identity]]", "\n".join([*named, "[[identity]]"]), 1)
        self.file.write_text(text)


def house(
    folder: Path, server: PostgresServer, workers: int, masked: Mapping[str, list[str]] = MASKED, rules: Sequence[Mapping[str, object]] = RULES,
) -> BenchHouse:
    """Policy and masking on, evidence in `folder`."""
    return BenchHouse(folder, server, workers=workers, masked=masked, rules=rules)


def gateway(stack: ExitStack, name: str, made: House) -> Peer:
    made.start()
    stack.callback(made.stop)
    return Peer(name, made.facts(BENCH), lambda: [one.pid for one in made.family()])


def _facts(port: int, **more: str) -> dict[str, str]:
    known = {"host": "127.0.0.1", "port": str(port), "user": SUPERUSER, "dbname": "postgres", "sslmode": "disable"}
    return {**known, "password": "unused", **more}


def _spawn(stack: ExitStack, command: list[str], port: int, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """Run it until the stack is left; returns when it accepts connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=cwd)
    stack.callback(_end, process)
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not serve") from None
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
