"""What pip builds: every module, the plugin, the data files; nothing of the tests; and it runs from elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from household import PATIENCE, ROOT

RINGS = ("protocols", "addons", "gateway")
SHIPPED = {".py", ".sql", ".html", ".css", ".js", ".txt"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, without network; in haste, for how fast its kernels are is nothing here."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__", "*.c", "*.so")
    for name in (*RINGS, "twisted"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    (copy / "README.md").write_text("Ostiary\n")
    pip("wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy), CFLAGS="-O0")
    (built,) = out.glob("ostiary-*.whl")
    return built


def pip(*words: str, **environment: str) -> None:
    """Run it; what it says is shown when it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_wheel_holds_the_whole_product(wheel: Path) -> None:
    """Modules and data files of the three rings, and the plugin without an __init__.py beside it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        str(path.relative_to(ROOT))
        for ring in RINGS
        for path in (ROOT / ring).rglob("*")
        if path.is_file() and path.suffix in SHIPPED and "newsfragments" not in path.parts
    }
    assert ours - names == set()
    assert {name for name in names if name.startswith("twisted/")} == {"twisted/plugins/ostiary_plugin.py"}
    assert not [name for name in names if name.startswith(("tests", "docs", "benchmarks", "deploy"))]


def test_the_installed_package_is_what_twistd_finds(wheel: Path, tmp_path: Path) -> None:
    """Installed, without the checkout on the path: the plugin, its options, and the command."""
    site = tmp_path / "site"
    pip("install", "-q", "--no-deps", "--target", str(site), str(wheel))
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(program: str, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=tmp_path, env=environment, text=True, capture_output=True,
            timeout=PATIENCE, check=True,
        )
        return ended.stdout

    assert "--config" in run("from twisted.scripts.twistd import run; run()", "ostiary", "--help")
    assert "audit" in run("from gateway.cli.main import main; main()", "--help")
    assert str(site) in run("import gateway; print(gateway.__file__)")
