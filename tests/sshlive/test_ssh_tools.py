"""What people use SSH for, through a gateway: scp, sftp, rsync, git, forwards, much data, many channels."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.house import until
from tests.servers import free_port
from tests.ssh_house import ADA, PATIENCE, WEB, SshHouse

pytestmark = pytest.mark.live


def run(*words: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False, **more)  # type: ignore[call-overload]


def remote(house: SshHouse, path: Path | str) -> str:
    return f"{ADA}@{WEB}@127.0.0.1:{path}"


@pytest.mark.parametrize("mode", [("-s",), ("-O",)], ids=["sftp", "scp"])
def test_scp_both_ways(ssh_house: SshHouse, tmp_path: Path, mode: tuple[str, ...]) -> None:
    """In the new mode and in the old one; a target in the user name needs no option."""
    (tmp_path / "up").write_bytes(os.urandom(3 << 20))
    words = ["scp", *ssh_house.options(), "-P", str(ssh_house.ssh_port), *mode, "-p"]
    done = run(*words, str(tmp_path / "up"), remote(ssh_house, tmp_path / "there"))
    assert done.returncode == 0, done.stderr
    assert run(*words, remote(ssh_house, tmp_path / "there"), str(tmp_path / "down")).returncode == 0
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()


def test_sftp_batch(ssh_house: SshHouse, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(os.urandom(1 << 20))
    batch = f"mkdir {tmp_path}/d\nput {tmp_path}/up {tmp_path}/d/a\nrename {tmp_path}/d/a {tmp_path}/d/b\nget {tmp_path}/d/b {tmp_path}/down\nls {tmp_path}/d\n"
    words = ["sftp", *ssh_house.options(), "-P", str(ssh_house.ssh_port), "-b", "-", f"{ADA}@{WEB}@127.0.0.1"]
    done = run(*words, input=batch.encode())
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()


def test_rsync_both_ways(ssh_house: SshHouse, tmp_path: Path) -> None:
    """Two hundred files there, one changed, and back."""
    (tmp_path / "a").mkdir()
    for n in range(200):
        (tmp_path / "a" / str(n)).write_bytes(os.urandom(n * 20))
    shell = " ".join(["ssh", *ssh_house.options(), "-p", str(ssh_house.ssh_port)])
    there = remote(ssh_house, tmp_path)
    assert run("rsync", "-a", "-e", shell, f"{tmp_path}/a/", f"{there}/b/").returncode == 0
    (tmp_path / "a" / "7").write_text("changed")
    assert run("rsync", "-a", "-e", shell, f"{tmp_path}/a/", f"{there}/b/").returncode == 0
    assert run("rsync", "-a", "-e", shell, f"{there}/b/", f"{tmp_path}/c/").returncode == 0
    assert run("diff", "-r", str(tmp_path / "a"), str(tmp_path / "c")).returncode == 0


def test_git_clones_and_pushes(ssh_house: SshHouse, tmp_path: Path) -> None:
    here = {**os.environ, "GIT_SSH_COMMAND": " ".join(["ssh", *ssh_house.options(), "-p", str(ssh_house.ssh_port)]),
            "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
            "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(tmp_path)}  # fmt: skip

    def git(*words: str, cwd: Path = tmp_path) -> None:
        done = run("git", *words, cwd=cwd, env=here)
        assert done.returncode == 0, done.stderr

    git("init", "-q", "--bare", "origin")
    git("clone", "-q", remote(ssh_house, tmp_path / "origin"), "work")
    (tmp_path / "work" / "file").write_text("text\n" * 10000)
    git("add", "file", cwd=tmp_path / "work")
    git("commit", "-q", "-m", "a file", cwd=tmp_path / "work")
    git("push", "-q", "origin", "HEAD:main", cwd=tmp_path / "work")
    git("clone", "-q", "-b", "main", remote(ssh_house, tmp_path / "origin"), "again")
    assert (tmp_path / "again" / "file").read_text() == "text\n" * 10000


@pytest.mark.soak
def test_300_mb_of_input(ssh_house: SshHouse, tmp_path: Path) -> None:
    """All of it arrives, and the worker holds no more than before."""
    piece = os.urandom(1 << 20)
    expected = hashlib.sha256()
    file = tmp_path / "input"
    with file.open("wb") as out:
        for _ in range(300):
            out.write(piece)
            expected.update(piece)
    workers = ssh_house.workers()
    before = sum(map(ssh_house.resident, workers))
    with file.open("rb") as stdin:
        done = subprocess.run([*ssh_house.line("127.0.0.1", "sha256sum")], stdin=stdin, capture_output=True, timeout=PATIENCE, check=False)
    assert done.stdout.split()[0].decode() == expected.hexdigest()
    assert sum(map(ssh_house.resident, workers)) - before < 32 << 20


# -- forwards --------------------------------------------------------------------------------------


@contextmanager
def echo() -> Iterator[int]:
    """A server that says first who it is, then what it hears; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"hello\n")
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def forwarding(house: SshHouse, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """An ssh that runs nothing; once it says that it is ready."""
    line = house.line("-o", "ExitOnForwardFailure=yes", "-o", "PermitLocalCommand=yes", "-o", "LocalCommand=echo ready", *words, "-N", "127.0.0.1")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        try:
            yield client
        finally:
            client.kill()


def says(port: int, text: bytes = b"again") -> bytes:
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def hears(connection: socket.socket, length: int) -> bytes:
    """So many bytes, fewer if it ends."""
    connection.settimeout(60)
    heard = b""
    while len(heard) < length and (data := connection.recv(length - len(heard))):
        heard += data
    return heard


def hears_nothing(port: int) -> bool:
    """The connection ends without a byte."""
    try:
        return says(port) == b""
    except ConnectionError:
        return True


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


def test_a_local_forward(ruled_house: SshHouse) -> None:
    """-L; the server speaks first."""
    port = free_port()
    with echo() as there, forwarding(ruled_house, "-L", f"{port}:127.0.0.1:{there}"):
        until(lambda: listens(port), "the forward")
        assert says(port) == b"hello\nagain"
    assert [r for r in ruled_house.records("--kind", "intent") if f"direct 127.0.0.1:{there}" in r["body"]["text"]]


def test_a_remote_forward(ruled_house: SshHouse) -> None:
    """-R: the target listens, the client's side answers; each connection is a command, recorded with who came."""
    port = free_port()
    with echo() as here, forwarding(ruled_house, "-R", f"{port}:127.0.0.1:{here}"):
        until(lambda: listens(port), "the forward")
        assert says(port) == says(port) == b"hello\nagain"
    came = [r["body"]["text"] for r in ruled_house.records("--kind", "intent") if f"incoming localhost:{port} from " in r["body"]["text"]]
    assert len(set(came)) >= 2


def test_a_socks_proxy(ruled_house: SshHouse) -> None:
    """-D, by SOCKS 5 without names."""
    port = free_port()
    with echo() as there, forwarding(ruled_house, "-D", f"127.0.0.1:{port}"):
        until(lambda: listens(port), "the proxy")
        with socket.create_connection(("127.0.0.1", port), 30) as connection:
            connection.sendall(b"\x05\x01\x00")
            assert hears(connection, 2) == b"\x05\x00"
            connection.sendall(b"\x05\x01\x00\x01\x7f\x00\x00\x01" + there.to_bytes(2))
            assert hears(connection, 10)[1] == 0
            assert hears(connection, 6) == b"hello\n"


def test_forwards_are_off_unless_a_rule_allows_them(ssh_house: SshHouse) -> None:
    """The client is told in its own words, and its session goes on."""
    port = free_port()
    with echo() as there, forwarding(ssh_house, "-L", f"{port}:127.0.0.1:{there}") as client:
        until(lambda: listens(port), "the client")
        assert hears_nothing(port) and client.poll() is None
    refused = [r for r in ssh_house.records("--kind", "refusal") if f"direct 127.0.0.1:{there}" in r["body"]["text"]]
    assert refused and refused[0]["fields"]["code"] == "OST-210"
    done = ssh_house.ssh("true", client=("-R", f"{free_port()}:127.0.0.1:{there}", "-o", "ExitOnForwardFailure=yes"))
    assert done.returncode == 255


def test_two_hundred_channels_at_once(ruled_house: SshHouse) -> None:
    """Over one connection; each gets its own bytes."""
    port = free_port()
    with echo() as there, forwarding(ruled_house, "-L", f"{port}:127.0.0.1:{there}"):
        until(lambda: listens(port), "the forward")
        every = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(200)]
        try:
            for n, one in enumerate(every):
                one.sendall(b"%03d" % n)
            for n, one in enumerate(every):
                assert hears(one, 9) == b"hello\n%03d" % n
        finally:
            for one in every:
                one.close()


# -- rules -----------------------------------------------------------------------------------------


def test_a_denied_line_never_runs_and_says_why(ruled_house: SshHouse, tmp_path: Path) -> None:
    done = ruled_house.ssh(f"touch {tmp_path}/forbidden")
    assert done.returncode != 0 and not (tmp_path / "forbidden").exists()
    assert b"forbidden here" in done.stderr and b"SITE-001" in done.stderr


def test_a_held_line_runs_when_somebody_says_yes(ruled_house: SshHouse, tmp_path: Path) -> None:
    """The notice is on stderr; standard output is only the command's."""
    line = ruled_house.line("127.0.0.1", f"echo done > {tmp_path}/precious; echo out")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        [request] = ruled_house.asked()
        assert not (tmp_path / "precious").exists()
        ruled_house.approve(request["id"] if "id" in request else request["request"])
        out, err = client.communicate(timeout=60)
    assert (out, client.returncode) == (b"out\n", 0) and b"waits for approval" in err
    assert (tmp_path / "precious").exists()


def test_a_client_that_leaves_takes_its_held_line_along(ruled_house: SshHouse, tmp_path: Path) -> None:
    line = ruled_house.line("127.0.0.1", f"touch {tmp_path}/precious")
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
        ruled_house.asked()
        client.kill()
        client.communicate(timeout=30)
    until(lambda: not ruled_house.requests(), "the request's end")
    assert not (tmp_path / "precious").exists()
