"""PuTTY, libssh2 and AsyncSSH as clients: three more implementations of everything, AsyncSSH beside a direct connection."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncssh
import pytest
from ssh2.session import Session

from tests.ssh_house import ADA, PATIENCE, WEB, SshHouse
from tests.sshd import USER

pytestmark = pytest.mark.live

Facts = dict[str, object]


# -- PuTTY -----------------------------------------------------------------------------------------


def putty(house: SshHouse, tmp_path: Path, program: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`words` come after the host; the key in PuTTY's own format, the gateway's host key by its fingerprint."""
    subprocess.run(["puttygen", house.key, "-O", "private", "-o", tmp_path / "ada.ppk"], check=True, capture_output=True)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", house.directory / "state" / "ssh" / "host_ed25519.pub"], check=True, capture_output=True, text=True,
    )  # fmt: skip
    line = [program, "-batch", "-hostkey", shown.stdout.split()[1], "-i", str(tmp_path / "ada.ppk"), "-P", str(house.ssh_port), "-l", f"{ADA}@{WEB}"]
    here = {**os.environ, "HOME": str(tmp_path)}
    return subprocess.run([*line, "127.0.0.1", *words], input=stdin, capture_output=True, timeout=PATIENCE, check=False, env=here)


def test_plink_runs_commands(ssh_house: SshHouse, tmp_path: Path) -> None:
    """Input, both outputs, the exit status, and the signal that ended one."""
    done = putty(ssh_house, tmp_path, "plink", "cat; echo err >&2; exit 7", stdin=b"abc" * 100000)
    assert (done.stdout, done.returncode) == (b"abc" * 100000, 7) and b"err" in done.stderr
    assert b'signal "TERM"' in putty(ssh_house, tmp_path, "plink", "-v", "kill -TERM $$").stderr


def test_psftp_moves_files(ssh_house: SshHouse, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(os.urandom(1 << 20))
    batch = f"put {tmp_path}/up {tmp_path}/a\nmv {tmp_path}/a {tmp_path}/b\nget {tmp_path}/b {tmp_path}/down\nmkdir {tmp_path}/d\ndel {tmp_path}/b\n"
    (tmp_path / "batch").write_text(batch)
    done = putty(ssh_house, tmp_path, "psftp", "-b", str(tmp_path / "batch"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()
    assert (tmp_path / "d").is_dir() and not (tmp_path / "b").exists()


# -- libssh2 ---------------------------------------------------------------------------------------


def test_libssh2_runs_commands_and_moves_files(ssh_house: SshHouse, tmp_path: Path) -> None:
    session = Session()
    with socket.create_connection(("127.0.0.1", ssh_house.ssh_port), 60) as connection:
        session.handshake(connection)
        session.userauth_publickey_fromfile(f"{ADA}@{WEB}", str(ssh_house.key), "", f"{ssh_house.key}.pub")
        channel = session.open_session()
        channel.execute("cat; echo err >&2; exit 7")
        channel.write(b"abc" * 10000)
        channel.send_eof()
        assert b"".join(iter(lambda: channel.read()[1], b"")) == b"abc" * 10000 and channel.read_stderr()[1] == b"err\n"
        channel.close()
        channel.wait_closed()
        assert channel.get_exit_status() == 7
        files, data = session.sftp_init(), os.urandom(1 << 20)
        with files.open(str(tmp_path / "a"), 0x1A, 0o600) as file:  # WRITE, CREAT and TRUNC
            file.write(data)
        assert (tmp_path / "a").read_bytes() == data
        files.symlink(str(tmp_path / "a"), str(tmp_path / "s"))
        assert os.readlink(tmp_path / "s") == str(tmp_path / "a")
        session.disconnect()


# -- AsyncSSH --------------------------------------------------------------------------------------


def connected(house: SshHouse, through: bool, **more: object) -> Awaitable[asyncssh.SSHClientConnection]:
    """Through the gateway as Ada, or to its target as that knows it."""
    if not through:
        known = asyncssh.import_known_hosts(f"[127.0.0.1]:{house.sshd.port} {house.sshd.host_key}\n")
    facts: Facts = (
        {"port": house.ssh_port, "username": f"{ADA}@{WEB}", "client_keys": [str(house.key)], "known_hosts": str(house.client / "known_hosts")}
        if through
        else {"port": house.sshd.port, "username": USER, "client_keys": [str(house.sshd.key)], "known_hosts": known}
    )
    return asyncssh.connect("127.0.0.1", agent_path=None, config=None, **facts, **more)


def both(house: SshHouse, script: Callable[[asyncssh.SSHClientConnection], Awaitable[Facts]], **more: object) -> tuple[Facts, Facts]:
    """What a script finds out directly and through the gateway."""

    async def one(through: bool) -> Facts:
        async with connected(house, through, **more) as connection:
            return await script(connection)

    return tuple(asyncio.run(asyncio.wait_for(one(through), PATIENCE)) for through in (False, True))


async def commands(connection: asyncssh.SSHClientConnection) -> Facts:
    """Everything that is to be known about a few commands, with and without a terminal."""
    found: Facts = {}
    for line in ("cat; echo err >&2; exit 7", "kill -TERM $$", "true", "no-such-command"):
        done = await connection.run(line, input="x" * 300000)
        found[line] = (done.stdout, done.stderr, done.exit_status, done.exit_signal)
    terminal = await connection.run("stty -a; echo $TERM", term_type="xterm-256color", term_size=(91, 37))
    found["terminal"] = terminal.stdout
    found["environment"] = (await connection.run("env | grep ^LC_", env={"LC_SITE": "1"})).stdout
    return found


async def sizes(connection: asyncssh.SSHClientConnection) -> Facts:
    """A terminal that changes its size, and a break, which Linux answers with nothing."""
    line = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done"
    process = await connection.create_process(line, term_type="xterm", term_size=(80, 24))
    await process.stdout.readline()
    process.send_break(100)
    process.change_terminal_size(132, 50)
    return {"size": await process.stdout.read(), "status": (await process.wait()).exit_status}


@pytest.mark.parametrize("more", [
    {"rekey_bytes": 100000}, {"encryption_algs": ["aes128-gcm@openssh.com"], "compression_algs": ["zlib@openssh.com"]},
    pytest.param({}, marks=pytest.mark.soak),
], ids=["keys change on the way", "AES-GCM, compressed", "as it comes"])  # fmt: skip
def test_asyncssh_finds_commands_as_directly(ssh_house: SshHouse, more: Facts) -> None:
    direct, through = both(ssh_house, commands, **more)
    assert through == direct


def test_asyncssh_finds_terminals_as_directly(ssh_house: SshHouse) -> None:
    direct, through = both(ssh_house, sizes)
    assert through == direct == {"size": "50 132\r\n", "status": 3}


def test_the_post_quantum_exchange_with_asyncssh(ssh_house: SshHouse) -> None:
    async def one() -> str:
        async with connected(ssh_house, True, kex_algs=["mlkem768x25519-sha256"]) as connection:
            return (await connection.run("echo in")).stdout

    assert asyncio.run(asyncio.wait_for(one(), PATIENCE)) == "in\n"


async def answer(what: Awaitable[object]) -> object:
    """Its result, or how it failed."""
    try:
        return await what
    except asyncssh.SFTPError as error:
        return type(error).__name__, error.reason


def test_asyncssh_finds_files_as_directly(ssh_house: SshHouse, tmp_path: Path) -> None:
    """Every operation that its client has, its failures too."""
    (tmp_path / "up").write_bytes(os.urandom(2 << 20))

    async def files(connection: asyncssh.SSHClientConnection) -> Facts:
        there = tmp_path / "there"
        async with connection.start_sftp_client() as sftp:
            await sftp.mkdir(there)
            await sftp.put(tmp_path / "up", there / "a", max_requests=64)
            await sftp.get(there / "a", tmp_path / "down", max_requests=64)
            asked = {
                "rename": sftp.posix_rename(there / "a", there / "b"), "link": sftp.link(there / "b", there / "c"),
                "symlink": sftp.symlink("b", there / "s"), "readlink": sftp.readlink(there / "s"),
                "chmod": sftp.chmod(there / "b", 0o600), "truncate": sftp.truncate(there / "b", 10),
                "size": sftp.getsize(there / "b"), "none": sftp.stat(there / "none"), "full": sftp.rmdir(there),
                "realpath": sftp.realpath("."), "copy": sftp.copy(there / "b", there / "k", remote_only=True),
                "over": sftp.mkdir(there), "times": sftp.utime(there / "b", (1, 2)), "modified": sftp.getmtime(there / "b"),
            }  # fmt: skip
            found = {name: await answer(one) for name, one in asked.items()}
            found["names"] = sorted(await sftp.listdir(there))
            found["down"] = (tmp_path / "down").read_bytes() == (tmp_path / "up").read_bytes()
            await sftp.rmtree(there)
        return found

    direct, through = both(ssh_house, files)
    assert through == direct and through["down"]


def test_a_symlink_points_where_its_client_meant(ssh_house: SshHouse, tmp_path: Path) -> None:
    """OpenSSH's server takes the two paths the other way round than the draft; clients look for its name to know."""

    async def one() -> None:
        async with connected(ssh_house, True) as connection, connection.start_sftp_client() as sftp:
            await sftp.symlink("where", tmp_path / "link")

    asyncio.run(asyncio.wait_for(one(), PATIENCE))
    assert os.readlink(tmp_path / "link") == "where"


def test_asyncssh_forwards(ruled_house: SshHouse) -> None:
    """To a port, from here and from there."""

    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n" + await reader.read(5))
        await writer.drain()
        writer.close()

    async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"again")
        heard = await reader.read()
        writer.close()
        return heard

    async def one() -> list[bytes]:
        server = await asyncio.start_server(hello, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, connected(ruled_house, True) as connection:
            heard = []
            async with connection.forward_local_port("127.0.0.1", 0, "127.0.0.1", port) as here:
                heard.append(await says(*await asyncio.open_connection("127.0.0.1", here.get_port())))
            async with connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", port) as there:
                heard.append(await says(*await asyncio.open_connection("127.0.0.1", there.get_port())))
            return heard

    assert asyncio.run(asyncio.wait_for(one(), PATIENCE)) == [b"hello\nagain"] * 2
