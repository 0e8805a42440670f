"""OpenSSH's sftp, scp and ssh under addons.ssh.Ssh: each operation recorded, refused ones answered, the session goes on."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ssh_house import ADA, WEB, SshHouse
from tests.sshd import Sshd

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def area(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the target's files are."""
    return tmp_path_factory.mktemp("area").resolve()


@pytest.fixture(scope="module")
def filed(sshd: Sshd, area: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshHouse]:
    rules = [
        {"name": "secret", "commands": ["exec", "file"], "paths": [f"{area}/home/secret/**"], "verdict": "deny"},
        {"name": "keep", "actions": ["remove", "rename"], "paths": [f"{area}/kept*"], "verdict": "deny"},
        {"name": "asked", "modes": ["write"], "paths": [f"{area}/asked*"], "verdict": "approve", "approvers": ["approvers"]},
        {"name": "area", "paths": [f"{area}/**"], "commands": ["file"], "verdict": "allow"},
        {"name": "echo", "programs": ["echo"], "verdict": "allow"},
        {"name": "reach", "destinations": ["127.0.0.1:*"], "verdict": "allow"},
    ]
    addon = {"use": "addons.ssh.Ssh", "default": {"subsystem": "allow"}, "rules": rules}
    with SshHouse(tmp_path_factory.mktemp("filed") / "h", sshd, addons=[addon]) as house:
        yield house


def sftp(house: SshHouse, *commands: str) -> subprocess.CompletedProcess[str]:
    """A batch that goes on behind what fails."""
    line = ["sftp", *house.options(), "-P", str(house.ssh_port), "-b", "-", "-o", f"User={ADA}@{WEB}", "127.0.0.1"]
    return subprocess.run(line, input="\n".join(f"-{c}" for c in commands), capture_output=True, text=True, timeout=120, check=False)


def operations(house: SshHouse, kind: str, area: Path) -> list[dict[str, Any]]:
    """Records of file operations below a folder, in order."""
    found = [r for r in house.records("--kind", kind) if r["fields"].get("path") == "file"]
    return [r for r in found if str(area) in r["body"]["text"]]


def test_a_session_of_sftp_is_recorded_operation_by_operation(filed: SshHouse, area: Path, tmp_path: Path) -> None:
    """The golden list; totals and digests of what moved are in the outcome of each opening."""
    data = os.urandom(300_000)
    (tmp_path / "up").write_bytes(data)
    here = area / "one"
    done = sftp(
        filed, f"mkdir {here}", f"put {tmp_path}/up {here}/a", f"get {here}/a {tmp_path}/down", f"chmod 600 {here}/a",
        f"rename {here}/a {here}/b", f"ln -s {here}/b {here}/s", f"ln {here}/b {here}/h", f"rm {here}/h", f"ls {here}", f"rmdir {here}/x",
    )
    assert done.returncode == 0 and (tmp_path / "down").read_bytes() == data, done.stderr
    said = [r["body"]["text"].replace(str(here), "") for r in operations(filed, "intent", here)]
    assert said == [
        "mkdir  mode=777", "open /a for write, create, truncate mode=644", "open /a for read",
        "setstat /a mode=600", "rename /a to /b", "symlink /b to /s", "hardlink /b to /h", "remove /h", "list /", "rmdir /x",
    ]
    session = operations(filed, "intent", here)[0]["session"]
    filed.recorded("--session", session, "--kind", "closed")
    facts = [r["body"]["facts"] for r in filed.records("--session", session, "--kind", "outcome")]
    digest = hashlib.sha256(data).hexdigest()
    assert {"written_bytes": "300000", "written_sha256": digest} in facts
    assert {"read_bytes": "300000", "read_sha256": digest} in facts


def test_a_refused_operation_changes_nothing_and_the_session_goes_on(filed: SshHouse, area: Path) -> None:
    kept = area / "kept"
    kept.write_text("x")
    done = sftp(filed, f"rm {kept}", f"rename {kept} {area}/gone", "rm /etc/hostname", f"mkdir {area}/after")
    assert kept.exists() and (area / "after").is_dir() and done.returncode == 0
    assert "ermission denied" in done.stderr and "[OST-203]" in done.stderr and "[OST-211]" in done.stderr
    refused = [r["body"]["text"] for r in operations(filed, "refusal", kept)]
    assert refused == [f"remove {kept}", f"rename {kept} to {area}/gone"]


def test_what_is_denied_is_not_read_by_a_new_name_of_its_parent(filed: SshHouse, area: Path, tmp_path: Path) -> None:
    secret = area / "home/secret"
    secret.mkdir(parents=True)
    (secret / "a").write_text("precious")
    (area / "box").mkdir()
    moves = [f"rename {area}/home {area}/home.x", f"rename -l {area}/home {area}/home.x", f"ln -s {area}/home {area}/home.x", f"rename {area}/box {area}/home"]
    links = [f"ln -s home {area}/home.x", f"ln -s ../home {area}/box/l"]
    done = sftp(filed, *moves, *links, *(f"get {area}/{each}/secret/a {tmp_path}/got" for each in ("home", "home.x", "box/l", "box/../home")), f"rename {area}/box {area}/box2")
    assert (secret / "a").exists() and (area / "box2").is_dir() and not (area / "home.x").exists() and not (tmp_path / "got").exists(), done.stderr
    assert "[OST-203]" in done.stderr and len(operations(filed, "refusal", area / "home")) >= len(moves)


def test_scp_in_its_sftp_mode_keeps_to_the_paths(filed: SshHouse, area: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")

    def scp(where: Path) -> subprocess.CompletedProcess[str]:
        line = ["scp", *filed.options(), "-P", str(filed.ssh_port), "-o", f"User={ADA}@{WEB}", str(tmp_path / "f"), f"127.0.0.1:{where}"]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)

    assert scp(area / "copied").returncode == 0 and (area / "copied").read_bytes() == b"data"
    outside = tmp_path / "outside"
    done = scp(outside)
    assert done.returncode != 0 and not outside.exists() and "OST-211" in done.stderr


def test_a_write_waits_for_a_person_and_the_transfer_goes_on(filed: SshHouse, area: Path, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"data")
    line = ["sftp", *filed.options(), "-P", str(filed.ssh_port), "-b", "-", "-o", f"User={ADA}@{WEB}", "127.0.0.1"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        client.stdin.write(f"put {tmp_path}/f {area}/asked\nls {area}\n")
        client.stdin.close()
        [request] = filed.asked()
        assert request["text"].startswith(f"open {area}/asked for write") and not (area / "asked").exists()
        filed.approve(request["id"] if "id" in request else request["request"])
        assert client.wait(60) == 0 and (area / "asked").read_bytes() == b"data"
        assert "waits for approval by approvers [OST-300]" in client.stderr.read()


def test_a_refused_line_says_why_and_ends_like_a_command_that_may_not_run(filed: SshHouse) -> None:
    done = filed.ssh("echo a; id")
    assert (done.stdout, done.returncode) == (b"", 126) and done.stderr.startswith(b"ostiary: No rule allows this command line here [OST-211]")
    done = filed.ssh("echo", "fine")
    assert (done.stdout, done.returncode) == (b"fine\n", 0)


def test_a_refused_shell_says_so_on_the_terminal(filed: SshHouse) -> None:
    done = filed.ssh(client=("-tt",))
    assert done.returncode == 126 and b"[OST-211]" in done.stdout


def test_the_way_around_a_targets_own_listener_is_closed(filed: SshHouse, sshd: Sshd) -> None:
    """-W to the registered target itself is refused by name, though a rule allows the place."""
    assert filed.ssh(client=("-W", f"127.0.0.1:{sshd.port}")).returncode != 0
    refused = [r for r in filed.records("--kind", "refusal") if r["fields"]["path"] == "forward"]
    assert [(r["body"]["text"], r["fields"]["code"]) for r in refused] == [(f"direct 127.0.0.1:{sshd.port}", "OST-212")]
