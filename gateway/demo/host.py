"""
The demo's host: OpenSSH's server on loopback, where this machine has one, with one account that only the gateway can use.

What runs there has no way to more rights. For root it runs as `nobody`, in a home that goes with it; for anybody
else as themselves, for there is nobody else they could be. It ends with whoever started it.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from gateway.demo.home import Home, sweep
from gateway.demo.place import CannotServe, runner

SSHD = Path("/usr/sbin/sshd")
PATIENCE = 30.0  # seconds

_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/account.pub
ForceCommand /bin/sh {folder}/sandbox
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
AllowTcpForwarding no
AllowStreamLocalForwarding no
X11Forwarding no
AllowAgentForwarding no
AcceptEnv LANG LC_*
Subsystem sftp {sftp}
PidFile none
UseDNS no
"""

_SANDBOX = """\
#!/bin/sh
# sshd runs this instead of what was asked for, which is in SSH_ORIGINAL_COMMAND.
cd {home} && export HOME={home} USER={user} LOGNAME={user} SHELL=/bin/sh PATH=/usr/local/bin:/usr/bin:/bin
set -- /bin/sh
[ -z "$SSH_ORIGINAL_COMMAND" ] || set -- /bin/sh -c "$SSH_ORIGINAL_COMMAND"
unset SSH_ORIGINAL_COMMAND SSH_CLIENT SSH_CONNECTION
exec setpriv --no-new-privs {drop} -- "$@"
"""

_SFTP = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")


def available() -> bool:
    """Whether this machine has what it takes."""
    return SSHD.exists() and all(shutil.which(name) for name in ("setpriv", "ssh-keygen"))


class Host:
    """
    One server.

    :ivar user: the account that the gateway logs in to.
    :raises CannotServe: it does not start; says what its log said last.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port, self.user = folder.resolve(), port, getpass.getuser()
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Home | None = None
        self._make()
        self._start()

    @property
    def host_key(self) -> str:
        """As the configuration registers it."""
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    @property
    def secret(self) -> str:
        """The account's private key, for control's vault."""
        return (self.folder / "account").read_text()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            self._process = None
        if self._home is not None:
            self._home.remove()
            self._home = None

    def _make(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        for name in ("host", "account"):
            if not (self.folder / name).exists():
                words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(self.folder / name)]
                subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        sftp = next((path for path in _SFTP if Path(path).exists()), "internal-sftp")
        text = _CONFIG.format(port=self.port, folder=self.folder, user=self.user, sftp=sftp)
        (self.folder / "sshd_config").write_text(text)
        home, drop = self._visitors()
        (self.folder / "sandbox").write_text(_SANDBOX.format(home=home, user="visitor", drop=drop))

    def _visitors(self) -> tuple[Path, str]:
        """Where visitors are, and how they become nobody."""
        who, kept = runner(), self.folder / "home"
        if who is None:
            kept.mkdir(mode=0o700, exist_ok=True)
            return kept, ""
        sweep(who)
        if kept.exists():
            self._home = Home.kept(kept)
        else:  # a checkout below /root cannot be entered by nobody
            self._home = Home.make(who)
            kept.unlink(missing_ok=True)
            kept.symlink_to(self._home.path)
        return kept.resolve(), f"--reuid {who.uid} --regid {who.gid} --clear-groups --inh-caps=-all --bounding-set=-all"

    def _start(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd separates its privileges there
        words = ["setpriv", "--pdeathsig", "TERM", "--", str(SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        log = self.folder / "sshd.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                last = log.read_text(errors="replace").strip().rpartition("\n")[2]
                raise CannotServe(f"the demo's sshd does not start: {last}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False
