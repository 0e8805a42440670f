"""docs/ssh-policy.md: its example is a configuration that loads and decides as it says, and its tables have every key."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from addons.ssh import Ssh
from addons.ssh.rules import KINDS, OPEN_MODES, Rule
from addons.sql.conditions import Conditions
from protocols.command import Exec, FileAction, FileOperation, Forward, ForwardKind
from protocols.hooks import CommandHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny, Hold

PAGE = (Path(__file__).parents[2] / "docs" / "ssh-policy.md").read_text()
SHARED = {"name", "verdict", "commands", "conditions", "reason", "hint", "approvers", "quorum", "mode", "timeout", "lifetime"}


def example() -> Ssh:
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    [options] = tomllib.loads(block)["addon"]
    assert options.pop("use") == "addons.ssh.Ssh"
    return Ssh(**options)


def said(command: object, group: str, kind: str = "human") -> object:
    session = Session("s", Identity("x", kind, frozenset({group})), Target("web1", "ssh", "h", 22), "a", "", "p")
    return type(example().on_command(CommandHook(session, command)))


def test_the_example_decides_as_its_rules_are_called() -> None:
    assert said(Exec(b"cat ~/.ssh/id_ed25519", 0), "ops") is Deny
    assert said(FileOperation(FileAction.OPEN, b"/etc/ssh/sshd_config", 0, flags=1), "ops") is Deny
    assert said(FileOperation(FileAction.OPEN, b"/srv/x", 0, flags=10), "auditors") is Deny
    assert said(FileOperation(FileAction.OPEN, b"/srv/x", 0, flags=1), "auditors") is Allow
    assert said(Exec(b"rsync --server -e.LsfxCIvu . /srv/app/", 0), "ci", "workload") is Allow
    assert said(Exec(b"systemctl restart app; uptime", 0), "ops") is Hold
    assert said(Exec(b"bash", 0), "ops") is Deny
    assert said(Forward(ForwardKind.DIRECT, "10.1.1.1", 9090, 0), "ops") is Allow
    assert said(Forward(ForwardKind.DIRECT, "10.1.1.1", 22, 0), "ops") is Deny


def test_every_key_and_kind_is_said() -> None:
    rows = {row for line in re.findall(r"^\| (`.*?) \|", PAGE, re.M) for row in re.findall(r"`(\S+?)`", line)}
    assert set(Rule.__dataclass_fields__) - SHARED <= rows and set(KINDS.values()) <= rows
    assert all(f"`{name}`" in PAGE for name in (*OPEN_MODES, *ForwardKind, "groups", "hours"))
    assert {"groups", "identities", "kinds", "targets", "accounts", "hours", "days"} <= set(Conditions.__dataclass_fields__)
