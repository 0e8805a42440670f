"""Ansible, run as a program: facts, ping, copy, template, become by su and by sudo, fetch, over connections that stay or do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ssh_house import ADA, PATIENCE, WEB, SshHouse

pytestmark = pytest.mark.live

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or "python3"  # one that everybody may run, unlike the environment's

PLAY = """
- hosts: web
  tasks:
    - ping:
    - copy: {content: "hello", dest: "DIR/copied", mode: "0640"}
    - template: {src: "DIR/page.j2", dest: "DIR/page"}
    - command: id -un
      become: true
      become_user: nobody
      become_method: su
      become_flags: -s /bin/sh
      register: who
    - command: id -un
      become: true
      become_user: nobody
      register: sudone
    - copy: {content: "{{ who.stdout }} {{ sudone.stdout }}", dest: "DIR/who"}
    - fetch: {src: "DIR/page", dest: "DIR/fetched", flat: true}
"""


def play(house: SshHouse, tmp_path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """One playbook with a host that ssh's own configuration names, as docs/ssh.md advises."""
    words = house.options()[2:]
    told = [word.replace("=", " ", 1) for word in words if word != "-o"]
    host = ["Host web", "HostName 127.0.0.1", f"Port {house.ssh_port}", f"User {ADA}@{WEB}", *told]
    (tmp_path / "config").write_text("\n".join(host) + "\n")
    (tmp_path / "hosts").write_text(f"web ansible_ssh_common_args='-F {tmp_path}/config'\n")
    (tmp_path / "page.j2").write_text("{{ ansible_system }} {{ 6 * 7 }}")
    (tmp_path / "play.yml").write_text(PLAY.replace("DIR", str(tmp_path)))
    here = {**os.environ, "HOME": str(tmp_path), "ANSIBLE_HOME": str(tmp_path / "ansible"), "ANSIBLE_REMOTE_TMP": f"{tmp_path}/remote",
            "ANSIBLE_PYTHON_INTERPRETER": PYTHON, "ANSIBLE_SSH_CONTROL_PATH_DIR": str(house.client), **settings}  # fmt: skip
    line = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(tmp_path / "hosts"), str(tmp_path / "play.yml")]
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE * 2, check=False, env=here, cwd=tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else without a password")
@pytest.mark.parametrize("settings", [
    {"ANSIBLE_PIPELINING": "True"},
    pytest.param({"ANSIBLE_PIPELINING": "False"}, marks=pytest.mark.soak),
    pytest.param({"ANSIBLE_PIPELINING": "False", "ANSIBLE_SSH_TRANSFER_METHOD": "scp"}, marks=pytest.mark.soak),
    pytest.param({"ANSIBLE_PIPELINING": "False", "ANSIBLE_SSH_TRANSFER_METHOD": "piped"}, marks=pytest.mark.soak),
    pytest.param({"ANSIBLE_PIPELINING": "True", "ANSIBLE_SSH_ARGS": "-o ControlMaster=no -o ControlPath=none"}, marks=pytest.mark.soak),
], ids=["pipelining", "no pipelining", "scp", "piped", "no ControlPersist"])  # fmt: skip
def test_ansible_plays(ssh_house: SshHouse, tmp_path: Path, settings: dict[str, str]) -> None:
    done = play(ssh_house, tmp_path, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name: (tmp_path / name).read_text() for name in ("copied", "page", "who", "fetched")} == {
        "copied": "hello", "page": "Linux 42", "who": "nobody nobody", "fetched": "Linux 42",
    }  # fmt: skip
