"""
A kernel compiled and the same text interpreted, to be asked the same questions.

Both are made here from the text in the checkout, so that neither an older build nor an installed one is tried.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from protocols.errors import WireError

ROOT = Path(__file__).parent.parent
COMPILER = shutil.which("cc") or shutil.which("gcc")
HEADERS = Path(sysconfig.get_path("include"), "Python.h").exists()
NEEDED = (
    "setup.py", "setup.cfg", "pyproject.toml", "LICENSE", "protocols/__init__.py", "protocols/kernel.py",
    "gateway/__init__.py", "gateway/notary/__init__.py", "gateway/notary/kernel.py", "gateway/notary/system.pxd",
    "gateway/notary/appended.py", "gateway/notary/signing.py",
)  # fmt: skip

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Twins(NamedTuple):
    compiled: ModuleType
    interpreted: ModuleType

    def agree(self, name: str, *arguments: Any) -> object:
        """What both answer; fails when they differ."""
        one, other = (said(getattr(module, name), *arguments) for module in self)
        assert one == other
        return one


def said(call: Callable[..., object], *arguments: Any) -> object:
    """Its result, or what it raised, in full."""
    try:
        return call(*arguments)
    except (WireError, ValueError, OSError) as error:
        return type(error), str(error), getattr(error, "offset", None)


def load(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(source: Path, out: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """setup.py on a copy of what it needs; the files that it made are below `out`."""
    for name in NEEDED:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    (source / "README.md").write_text("Ostiary\n")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(out), "--build-temp", str(source / "tmp")]
    return subprocess.run(
        command, cwd=source, env={**os.environ, "OSTIARY_PURE": "", **environment}, text=True, capture_output=True, check=False
    )


def twins(factory: pytest.TempPathFactory, name: str) -> Twins:
    """By its dotted name, e.g. "protocols.kernel"; the build is shared by all processes of a run."""
    if not (COMPILER and HEADERS and importlib.util.find_spec("Cython")):
        pytest.skip("no compiler, no Python headers or no Cython: the kernel runs interpreted here, which is tried elsewhere")
    shared = factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        shared = shared.parent
    out = shared / "kernels"
    with open(shared / "kernels.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            done = build(shared / "kernels-source", out)
            assert done.returncode == 0, done.stdout + done.stderr
    package, _, module = name.rpartition(".")
    made = list((out / package.replace(".", "/")).glob(f"_{module}*.so"))
    assert len(made) == 1, f"{name} was not compiled"
    return Twins(load(f"{package}._{module}", made[0]), interpreted(name))


def beside(patch: pytest.MonkeyPatch, name: str, *kept: str) -> tuple[ModuleType, ModuleType]:
    """The text as a process has it where an older build is installed that has only these functions, and that build."""
    package, _, module = name.rpartition(".")
    older = ModuleType(f"{package}._{module}")
    for function in kept:
        setattr(older, function, getattr(interpreted(name), function))
    patch.setattr(importlib.import_module(package), f"_{module}", older, raising=False)
    patch.delenv("OSTIARY_PURE", raising=False)
    return load("newer_kernel", ROOT / (name.replace(".", "/") + ".py")), older


def interpreted(name: str) -> ModuleType:
    """The text as it stands, whatever was built."""
    before = os.environ.get("OSTIARY_PURE")
    os.environ["OSTIARY_PURE"] = "1"
    try:
        return load("interpreted_kernel", ROOT / (name.replace(".", "/") + ".py"))
    finally:
        os.environ.pop("OSTIARY_PURE")
        os.environ.update({} if before is None else {"OSTIARY_PURE": before})


def started(twins: Twins, program: str, **environment: str) -> str:
    """What a process of its own prints that has the compiled one where an installed one would be."""
    name = twins.compiled.__name__
    package = name.rpartition(".")[0]
    load = (
        f"import sys, importlib.util as u; import {package}; spec = u.spec_from_file_location({name!r}, sys.argv[1])\n"
        f"sys.modules[spec.name] = made = u.module_from_spec(spec); setattr({package}, {name.rpartition('.')[2]!r}, made)\n"
        "spec.loader.exec_module(made)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", load + program, str(twins.compiled.__file__)], cwd=ROOT, env={**os.environ, "OSTIARY_PURE": "", **environment},
        text=True, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout
