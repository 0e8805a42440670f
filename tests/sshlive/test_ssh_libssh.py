"""libssh (not libssh2), through its C interface: it puts a symlink's two paths in the order that the server's name asks for."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ssh_house import ADA, WEB, SshHouse

pytestmark = pytest.mark.live

HOST, PORT, USER = 0, 1, 4  # enum ssh_options_e, libssh.h


def library() -> ctypes.CDLL:
    """With the types of what is called; what is not said is an int."""
    made = ctypes.CDLL("libssh.so.4")
    pointers = {
        "ssh_new": 0, "sftp_new": 1, "sftp_readlink": 2, "ssh_connect": 1, "ssh_userauth_publickey": 3, "ssh_pki_import_privkey_file": 5,
        "sftp_init": 1, "sftp_symlink": 3, "ssh_free": 1, "sftp_free": 1, "ssh_disconnect": 1,
    }  # fmt: skip
    for name, count in pointers.items():
        getattr(made, name).argtypes = [ctypes.c_void_p] * count
    made.ssh_options_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    made.ssh_new.restype = made.sftp_new.restype = ctypes.c_void_p
    made.sftp_readlink.restype = ctypes.c_char_p
    return made


@contextmanager
def sftp(house: SshHouse) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    """A session of SFTP, by Ada's key."""
    ssh, key, port = library(), ctypes.c_void_p(), ctypes.c_uint(house.ssh_port)
    session = ssh.ssh_new()
    try:
        for option, value in ((HOST, b"127.0.0.1"), (USER, f"{ADA}@{WEB}".encode())):
            assert ssh.ssh_options_set(session, option, ctypes.cast(ctypes.c_char_p(value), ctypes.c_void_p)) == 0
        assert ssh.ssh_options_set(session, PORT, ctypes.addressof(port)) == 0
        assert ssh.ssh_connect(session) == 0
        path = ctypes.cast(ctypes.c_char_p(str(house.key).encode()), ctypes.c_void_p)
        assert ssh.ssh_pki_import_privkey_file(path, None, None, None, ctypes.addressof(key)) == 0
        assert ssh.ssh_userauth_publickey(session, None, key) == 0
        files = ssh.sftp_new(session)
        assert files and ssh.sftp_init(files) == 0
        yield ssh, files
        ssh.sftp_free(files)
        ssh.ssh_disconnect(session)
    finally:
        ssh.ssh_free(session)


def text(value: str) -> ctypes.c_void_p:
    """As C takes it."""
    return ctypes.cast(ctypes.c_char_p(value.encode()), ctypes.c_void_p)


def test_libssh_makes_and_reads_a_symlink(ssh_house: SshHouse, tmp_path: Path) -> None:
    with sftp(ssh_house) as (ssh, files):
        assert ssh.sftp_symlink(files, text("where"), text(f"{tmp_path}/link")) == 0
        assert ssh.sftp_readlink(files, text(f"{tmp_path}/link")) == b"where"
    assert os.readlink(tmp_path / "link") == "where"
    made = [r["body"]["text"] for r in ssh_house.records("--kind", "intent") if r["fields"]["path"] == "file"]
    assert made[-1].startswith("symlink") and made[-1].index("where") < made[-1].index(f"{tmp_path}/link")
