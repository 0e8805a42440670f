"""The guided tour, taken for real; and that it notices a gateway which does not do what it says."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo.chapters import CHAPTERS
from gateway.demo.configuration import Ports
from gateway.demo.database import environment
from gateway.demo.site import Site

pytestmark = pytest.mark.live


def take(*words: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """`ostiary demo`, without a terminal."""
    env = environment() | ({"PATH": path} if path is not None else {})
    return subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "demo", *words],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_claim_holds(open_directory: Path) -> None:
    """Exit 0, every chapter shown, every check right, and the site is kept where it was asked for."""
    done = take("--yes", "--dir", str(open_directory / "site"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    assert re.findall(r"^── (\d+) of", done.stdout, re.M) == [str(n) for n in range(1, len(CHAPTERS) + 1)]
    right, total = re.findall(r"(\d+) of (\d+) checks were right", done.stdout)[0]
    assert right == total == str(done.stdout.count("✓") - 1) and int(total) >= 40
    assert (open_directory / "site" / "evidence" / "verify.py").exists()
    assert "\x1b" not in done.stdout


def test_it_needs_no_psql_and_leaves_nothing(open_directory: Path) -> None:
    """A machine with the few tools that every Debian has: the built-in client stands in."""
    tools = open_directory / "bin"
    tools.mkdir()
    for name in ("sed", "sh", "kill", "rm"):
        found = next(Path(d) / name for d in ("/bin", "/usr/bin") if (Path(d) / name).exists())
        (tools / name).symlink_to(found)
    done = take("--yes", path=str(tools))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no psql here" in done.stdout
    (place,) = re.findall(r"/tmp/ostiary-demo-[^,.\s]+", done.stdout.partition("── 1")[0])
    assert not Path(place).exists()


def test_a_gateway_that_masks_nothing_is_noticed(open_directory: Path) -> None:
    """The tour can fail: with the masking addon's columns taken out it names what is wrong and exits 1."""
    site = open_directory / "site"
    with Site(site, Ports(0, 0, 0)) as made:
        text = made.file.read_text()
        made.file.write_text(re.sub(r"^  \{ relation = .*\n", "", text, flags=re.M))
    done = take("--yes", "--dir", str(site))
    assert done.returncode == 1
    wrong = set(re.findall(r"✗ WRONG: (.*)", done.stdout))
    assert "none of them shows a raw value" in wrong
    assert any("OST-510" in what for what in wrong)
    assert any("checks were right" in what for what in wrong)
    assert "it ran" not in wrong


def test_a_wrong_configuration_is_named(open_directory: Path) -> None:
    """By key path, not by a traceback."""
    site = open_directory / "site"
    with Site(site, Ports(0, 0, 0), patients=1) as made:
        made.file.write_text(made.file.read_text().replace('name = "clinic-gw"', 'nome = "clinic-gw"'))
    done = take("--yes", "--dir", str(site))
    assert done.returncode == 1
    assert "gateway.nome" in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_a_port_that_somebody_else_has_is_named_before_anything_starts(open_directory: Path) -> None:
    """With the file to change."""
    site = open_directory / "site"
    with Site(site, Ports(0, 0, 0), patients=1) as made:
        port = made.ports.gateway
    with socket.create_server(("127.0.0.1", port)):
        done = take("--yes", "--dir", str(site))
    assert done.returncode == 1
    assert str(port) in done.stderr and "ostiary.toml" in done.stderr and "Traceback" not in done.stdout + done.stderr


def test_without_a_terminal_it_wants_yes() -> None:
    """It would wait for Enter forever."""
    done = take()
    assert done.returncode == 2 and "--yes" in done.stderr
