"""
A whole gateway in a directory, in front of a real sshd, with OpenSSH's clients on free loopback ports.

Ada may come in with a key and with her token; everybody may reach the target `web`.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.house import ADA, CLAUDE, GRACE, HOPE, PEOPLE, House, table
from tests.servers import free_port
from tests.sshd import USER, Sshd, keygen

WEB = "web"
PATIENCE = 120.0  # seconds that one client may take

__all__ = ["ADA", "CLAUDE", "GRACE", "HOPE", "WEB", "SshHouse"]


class SshHouse(House):
    """
    :param addons: tables of addons, besides one that lets everybody reach the target.
    :param account: over the target's account. :param host_keys: registered for the target, instead of its own.
    :param host_ca: authorities of the target's host key, instead of it. :param recording: the target's settings.
    :ivar section: of `[ssh]`, besides its authorities. :ivar listen: of `[[listen]]`, besides what it needs.
    :ivar admitted: who may reach the target. :ivar groups: of people, besides those that they have. :param user_ca: lines of authorities whose certificates let people in.
    """

    def __init__(
        self, directory: Path, sshd: Sshd, *, account: Mapping[str, Any] | None = None, host_keys: Sequence[str] = (),
        recording: Mapping[str, str] | None = None, user_ca: Sequence[str] = (),
        host_ca: Sequence[str] = (), **more: Any,
    ) -> None:
        self.sshd, self.ssh_port = sshd, free_port()
        directory.mkdir(parents=True, exist_ok=True)
        self.client = directory.parent / f"{directory.name}-client"
        self.client.mkdir()
        self.key = keygen(self.client / "ada")
        self._account = {"name": "app", "user": USER, "auth": "key", **(account or {})}
        self.pins, self._own = list(host_keys), len(more.get("addons", ()))
        self.recording, self.user_ca = dict(recording or {}), list(user_ca)
        self.host_ca, self.groups = list(host_ca), dict.fromkeys(PEOPLE, ())
        self.section: dict[str, Any] = {}
        self.listen: dict[str, Any] = {}
        self.admitted = {"kinds": ["human", "workload", "agent"]}
        super().__init__(directory, SimpleNamespace(port=1), **more)
        if self._account["auth"] == "key":
            self.ostiary_ok("account", "secret", WEB, "app", stdin=sshd.key.read_text())
        hosts = (self.directory / "state" / "ssh" / "host_ed25519.pub").read_text()
        (self.client / "known_hosts").write_text(f"[127.0.0.1]:{self.ssh_port} {hosts}")

    def write(self) -> None:
        pub = self.key.with_suffix(".pub").read_text().strip()
        addons = [{"use": "addons.access.Access", "rules": [{**self.admitted, "targets": [WEB]}]}]
        people = {name: {**facts, "groups": [*facts["groups"], *self.groups[name]]} for name, facts in PEOPLE.items()}
        people[ADA]["ssh_keys"] = [pub]
        tables = [
            table("[gateway]", {"name": "house", "state": "state", "workers": self._workers, "drain": 5, **self._gateway}),
            table("[tls]", {"certificate": "state/tls/server.pem", "key": "state/tls/server.key"}),
            table("[audit]", {"directory": "state/audit", "segment_bytes": 16 << 20,
                              "anchor_file": "state/anchor/checkpoints", **self._audit}),
            table("[control]", {"listen": f"tcp:{self.control_port}:interface=127.0.0.1"}),
            table("[ssh]", {"user_ca": self.user_ca, **self.section}),
            table("[[listen]]", {"protocol": "ssh", "endpoint": f"tcp:{self.ssh_port}:interface=127.0.0.1", **self.listen}),
            table("[[target]]", {"name": WEB, "protocol": "ssh", "address": f"127.0.0.1:{self.sshd.port}",
                                 **self._known(), "account": [self._account],
                                 "recording": self.recording}),
            *(table("[[identity]]", {"subject": subject, **facts}) for subject, facts in people.items()),
            *(table("[[addon]]", addon) for addon in (*addons, *self.addons[-self._own:][:self._own])),
        ]  # fmt: skip
        self.file.write_text("\n".join(tables))

    def _known(self) -> dict[str, list[str]]:
        return {"host_ca": self.host_ca} if self.host_ca else {"host_keys": self.pins or [self.sshd.host_key]}

    def ostiary_ok(self, *words: str, stdin: str = "") -> str:
        done = self.ostiary(*words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def options(self, key: bool = True) -> list[str]:
        """For ssh, scp and sftp: nothing of the machine's own."""
        told = {
            "UserKnownHostsFile": self.client / "known_hosts", "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes",
            "IdentityFile": self.key if key else "none", "BatchMode": "yes" if key else "no", "LogLevel": "ERROR",
            "PasswordAuthentication": "no" if key else "yes", "IdentityAgent": "none", "GSSAPIAuthentication": "no",
            "GlobalKnownHostsFile": "/dev/null", "NumberOfPasswordPrompts": "1",
        }  # fmt: skip
        return ["-F", "none", *(word for name, value in told.items() for word in ("-o", f"{name}={value}"))]

    def line(self, *words: str, user: str = f"{ADA}@{WEB}", key: bool = True) -> list[str]:
        """The command line of an ssh; options of the client come before what it runs."""
        return ["ssh", *self.options(key), "-p", str(self.ssh_port), "-l", user, *words]

    def ssh(self, *words: str, user: str = f"{ADA}@{WEB}", stdin: bytes = b"", client: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        """Run a command line on the target; `client`: more options."""
        return subprocess.run(
            [*self.line(*client, user=user), "127.0.0.1", *words], input=stdin, capture_output=True, timeout=PATIENCE, check=False,
        )

    def with_token(self, subject: str, *words: str, method: str = "password", user: str = "", token: str = "") -> subprocess.CompletedProcess[bytes]:
        """The same, logged in with a token that ssh asks for."""
        ask = self.client / "askpass"
        ask.write_text('#!/bin/sh\nprintf %s "$OSTIARY_TEST_TOKEN"\n')
        ask.chmod(0o700)
        environment = {**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force",
                       "OSTIARY_TEST_TOKEN": token or self.token(subject)}  # fmt: skip
        line = self.line("-o", f"PreferredAuthentications={method}", user=user or f"{subject}@{WEB}", key=False)
        return subprocess.run(
            [*line, "127.0.0.1", *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False, env=environment,
        )
