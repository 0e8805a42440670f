"""Paramiko as the client: another implementation of keys, windows, SFTP and rekeying than OpenSSH's."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator

import paramiko
import pytest

from tests.ssh_house import ADA, GRACE, WEB, SshHouse

pytestmark = pytest.mark.live


@pytest.fixture()
def client(ssh_house: SshHouse) -> Iterator[paramiko.SSHClient]:
    """Logged in with Ada's key."""
    made = connected(ssh_house, key_filename=str(ssh_house.key))
    yield made
    made.close()


def connected(house: SshHouse, user: str = f"{ADA}@{WEB}", **more: str) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.load_host_keys(str(house.client / "known_hosts"))
    client.connect(
        "127.0.0.1", house.ssh_port, user, allow_agent=False, look_for_keys=False, timeout=60, banner_timeout=60, auth_timeout=60, **more,
    )  # fmt: skip
    return client


def test_commands_with_input_and_exit_codes(client: paramiko.SSHClient) -> None:
    stdin, out, err = client.exec_command("cat; echo err >&2; exit 9", timeout=60)
    stdin.write(b"abc" * 100000)
    stdin.channel.shutdown_write()
    assert out.read() == b"abc" * 100000 and err.read() == b"err\n" and out.channel.recv_exit_status() == 9


def test_files(client: paramiko.SSHClient, tmp_path: object) -> None:
    """Pipelined reads and writes, and the calls around them."""
    data, at = os.urandom(2 << 20), f"{tmp_path}/file"
    with client.open_sftp() as sftp:
        assert sftp.putfo(io.BytesIO(data), at).st_size == len(data)
        back = io.BytesIO()
        sftp.getfo(at, back)
        assert back.getvalue() == data
        sftp.chmod(at, 0o600)
        sftp.rename(at, f"{at}2")
        assert sftp.listdir(str(tmp_path)) == ["file2"]
        sftp.remove(f"{at}2")
        with pytest.raises(FileNotFoundError):
            sftp.stat(at)


def test_reads_from_everywhere_at_once(client: paramiko.SSHClient, tmp_path: object) -> None:
    """As sshfs reads: many ranges of several handles asked for before any has come, none of them in order."""
    data, at, chance = os.urandom(1 << 20), f"{tmp_path}/file", random.Random(7)
    with open(at, "wb") as file:
        file.write(data)
    with client.open_sftp() as sftp:
        asked = [[(chance.randrange(len(data) - 32768), chance.randrange(1, 32768)) for _ in range(60)] for _ in range(4)]
        handles = [sftp.open(at) for _ in asked]
        coming = [handle.readv(ranges) for handle, ranges in zip(handles, asked, strict=True)]
        for ranges, pieces in zip(asked, coming, strict=True):
            assert list(pieces) == [data[start:start + size] for start, size in ranges]


def test_a_shell_on_a_terminal(client: paramiko.SSHClient) -> None:
    channel = client.invoke_shell("xterm", 91, 37)
    channel.settimeout(60)
    channel.sendall(b"stty size; exit 4\n")
    heard = b""
    while data := channel.recv(65536):
        heard += data
    assert b"37 91" in heard and channel.recv_exit_status() == 4


def test_keys_change_on_the_way(client: paramiko.SSHClient) -> None:
    """In the life of one channel: Paramiko cannot hear the end of one while it exchanges keys."""
    transport = client.get_transport()
    assert transport is not None
    stdin, out, _ = client.exec_command("cat", timeout=60)
    for n in range(5):
        transport.renegotiate_keys()
        stdin.write(b"%d" % n * 50000)
        stdin.flush()
        assert out.read(50000) == b"%d" % n * 50000


def test_a_token_as_the_password(ssh_house: SshHouse) -> None:
    client = connected(ssh_house, f"{GRACE}@{WEB}", password=ssh_house.token(GRACE))
    assert client.exec_command("echo in", timeout=60)[1].read() == b"in\n"
    client.close()
    with pytest.raises(paramiko.AuthenticationException):
        connected(ssh_house, f"{GRACE}@{WEB}", password="wrong")


def test_a_forward_that_no_rule_allows_is_prohibited(client: paramiko.SSHClient) -> None:
    transport = client.get_transport()
    assert transport is not None
    with pytest.raises(paramiko.ChannelException) as caught:
        transport.open_channel("direct-tcpip", ("127.0.0.1", 1), ("127.0.0.1", 2), timeout=60)
    assert caught.value.code == 1  # administratively prohibited
    assert client.exec_command("echo on", timeout=60)[1].read() == b"on\n"
