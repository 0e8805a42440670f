"""The embedded PostgreSQL: reached over verified TLS only, kept between runs, gone when its parent is."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

import pytest

from gateway.demo.database import APPLICATION, Database, environment
from gateway.demo.place import CannotServe, Place, _reachable, prepare

pytestmark = pytest.mark.live
SSL_REQUEST = Struct("!II").pack(8, 80877103)
STARTUP = Struct("!II").pack(8, 196608)


@pytest.fixture(scope="module")
def database(module_directory: Path) -> Iterator[Database]:
    with Database(module_directory / "postgres", patients=50) as running:
        yield running


def connect(database: Database) -> socket.socket:
    return socket.create_connection(("127.0.0.1", database.port), timeout=30)


def read_all(sock: socket.socket) -> bytes:
    """Until the other side closes, however it does."""
    got = b""
    try:
        while more := sock.recv(4096):
            got += more
    except ConnectionResetError:
        pass
    return got


def test_the_clinic_is_in_it(database: Database) -> None:
    """Loaded by the role that owns it, views included."""
    assert database.run(["SELECT count(*) FROM patients;"]) == "50\n"
    assert database.run(["SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public';"]) == f"{APPLICATION}\n"
    assert int(database.run(["SELECT count(*) FROM patient_directory;"])) == 50


def test_roles_are_ordinary(database: Database) -> None:
    """What the gateway logs in as is no superuser."""
    who = database.run(["SELECT rolname FROM pg_roles WHERE rolsuper OR rolcreaterole OR rolbypassrls ORDER BY 1;"])
    assert who.split() == ["postgres"]


def test_the_front_is_verified_tls(database: Database) -> None:
    """A client that trusts the demo's authority, and no other, gets through."""
    with connect(database) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        context = ssl.create_default_context(cafile=str(database.place.authority))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            secure.sendall(Struct("!II").pack(8 + 13, 196608) + b"user\0nobody\0\0")
            assert secure.recv(1) == b"R"  # AuthenticationSASL: nobody is let in unasked


def test_a_stranger_to_the_authority_does_not_trust_it(database: Database) -> None:
    """The certificate is real: without the authority the handshake fails."""
    with connect(database) as plain:
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize("sent", [STARTUP, SSL_REQUEST + b"x", b"GET / HTTP/1.0\r\n\r\n"])
def test_nothing_gets_through_in_clear(database: Database, sent: bytes) -> None:
    """No startup, no bytes behind the request, no other protocol."""
    with connect(database) as plain:
        plain.sendall(sent)
        assert read_all(plain) == b""


def test_secrets_are_not_in_the_log(database: Database) -> None:
    """Every statement is logged there, except those that set passwords."""
    log = database.log()
    assert "COPY patients FROM STDIN" in log
    for role in ("postgres", "clinic_app", "clinic_catalog"):
        assert database.place.password(role) not in log


def test_secrets_are_readable_by_their_owner_only(database: Database) -> None:
    """Passwords and the key of the front."""
    files = [*(database.place.directory / "passwords").iterdir(), database.place.key]
    assert len(files) == 4
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_a_failing_script_says_so(database: Database) -> None:
    """Past the gateway, but not past its errors."""
    with pytest.raises(CannotServe, match="no_such_table"):
        database.run(["SELECT * FROM no_such_table;"])


def test_a_taken_port_is_named(open_directory: Path, database: Database) -> None:
    """It is not silently another one: the gateway's configuration names the port."""
    with pytest.raises(CannotServe, match=f"port {database.port} is in use"):
        Database(open_directory / "postgres", port=database.port)


def test_the_same_directory_is_the_same_database(open_directory: Path) -> None:
    """Stopped, started again: what was written is there, and the clinic is not loaded twice."""
    with Database(open_directory / "postgres", patients=3) as first:
        first.run(["CREATE TABLE kept (n int);"])
    with Database(open_directory / "postgres", patients=3) as second:
        assert second.run(["SELECT count(*) FROM kept;"]) == "0\n"
        assert second.run(["SELECT count(*) FROM patients;"]) == "3\n"


def test_nothing_outlives_a_killed_parent(open_directory: Path) -> None:
    """kill -9 of whoever started it closes the pipe, and the pipe's end is the order to stop."""
    code = (
        "import sys; from pathlib import Path; from gateway.demo.database import Database\n"
        "d = Database(Path(sys.argv[1]), patients=1); print(d.port, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(open_directory / "postgres")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert parent.stdout is not None and int(parent.stdout.readline())
    postmaster = int((open_directory / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    gone = os.pidfd_open(postmaster)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert wait_end(gone)


def test_a_leftover_server_is_ended_first(open_directory: Path) -> None:
    """Even when the database process itself was killed: the next one takes the data over."""
    first = Database(open_directory / "postgres", patients=1)
    first._process.kill()
    first._process.wait()
    with Database(open_directory / "postgres", patients=1) as second:
        assert second.run(["SELECT count(*) FROM patients;"]) == "1\n"
    first.stop()


def wait_end(handle: int) -> bool:
    """Wait for a process that is not our child."""
    import select

    ready, _, _ = select.select([handle], [], [], 30)
    os.close(handle)
    return bool(ready)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's server runs as that user, wherever it is")
def test_root_below_a_closed_directory(tmp_path: Path) -> None:
    """A checkout in /root cannot be reached by `nobody`: the place moves, and a link says where."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not _reachable(closed / "run" / "postgres")
    link = closed / "run" / "postgres"
    try:
        with Database(link, patients=2) as database:
            assert link.is_symlink() and str(database.place.directory).startswith("/var/tmp/ostiary-demo-")
            assert database.run(["SELECT count(*) FROM patients;"]) == "2\n"
        again: Place = prepare(link)
        assert again.loaded.exists()
    finally:
        subprocess.run(["rm", "-rf", str(link.resolve())], check=True)
    assert prepare(link).data.exists() is False  # swept: begun anew
    subprocess.run(["rm", "-rf", str(link.resolve())], check=True)
