"""
OpenSSH's server on a free loopback port, with its own host keys, one user (whoever runs the tests) and one key.
"""

from __future__ import annotations

import getpass
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from tests.servers import free_port

SSHD = Path("/usr/sbin/sshd")
USER = getpass.getuser()

DEFAULTS = {
    "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "prohibit-password", "AcceptEnv": "LANG LC_* SECRET_*", "MaxStartups": "1000", "MaxSessions": "2000",
    "AllowTcpForwarding": "yes", "AllowStreamLocalForwarding": "yes", "PermitTTY": "yes", "PrintMotd": "no",
    "PrintLastLog": "no", "LogLevel": "VERBOSE", "X11Forwarding": "no", "GatewayPorts": "no", "UseDNS": "no",
    "Subsystem": "sftp /usr/lib/openssh/sftp-server", "PidFile": "none",
}  # fmt: skip


def keygen(path: Path, kind: str = "ed25519") -> Path:
    """A key pair without a passphrase; the public one lies beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "test", "-f", str(path)], check=True)
    return path


class Sshd:
    """
    One server, stopped by `stop`.

    :param options: over DEFAULTS.
    :ivar key: the private key that it lets in, and whose account that is: USER.
    :ivar host_key: its host key's public line.
    """

    def __init__(self, folder: Path, options: Mapping[str, str] | None = None, program: Path = SSHD) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self._options, self._program = folder, free_port(), {**DEFAULTS, **(options or {})}, program
        self.key = keygen(folder / "user")
        self.log = folder / "sshd.log"
        self.new_host_key()
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        self._process: subprocess.Popen[bytes] | None = None

    def new_host_key(self) -> None:
        """Another one from its next start on."""
        for name in ("host", "host.pub"):
            (self.folder / name).unlink(missing_ok=True)
        keygen(self.folder / "host")
        self.host_key = " ".join((self.folder / "host.pub").read_text().split()[:2])

    def __enter__(self) -> Sshd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Sshd:
        """Run it, until it takes connections."""
        assert self._program.exists(), "run deploy/prepare servers"
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own, which its service would make
        told = {"Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": self.folder / "host",
                "AuthorizedKeysFile": self.folder / "authorized", **self._options}  # fmt: skip
        file = self.folder / "sshd_config"
        file.write_text("".join(f"{name} {value}\n" for name, value in told.items()))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(self._program), "-D", "-e", "-f", str(file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while not self._answers():
            assert self._process.poll() is None and time.monotonic() < end, self.log.read_text()
            select.select([], [], [], 0.02)
        return self

    def stop(self) -> None:
        """End it; connections that it has forked go on, as sshd's do."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    @property
    def pid(self) -> int:
        """Of the process that accepts."""
        assert self._process is not None
        return self._process.pid

    def connections(self) -> list[psutil.Process]:
        """The processes that serve its clients."""
        return psutil.Process(self.pid).children(recursive=True)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False
