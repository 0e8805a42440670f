"""
A driver's own test suite, run against a server directly and through a gateway, and what of it differs.

A difference is expected when a committed file lists it with its reason:

    always     tests/test_x.py::TestX::test_y    # why
    sometimes  tests/test_x.py::TestX::test_z    # why it depends on timing
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

WORDS = ("always", "sometimes")


@dataclass(frozen=True)
class Expected:
    """The committed list. A test that is listed as `always` and does not fail is worth a look: the list is too long."""

    always: frozenset[str] = frozenset()
    sometimes: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)


def expected(file: Path) -> Expected:
    """
    :raises ValueError: a line without one of the two words, a test's name or a reason.
    """
    listed: dict[str, set[str]] = {word: set() for word in WORDS}
    reasons = {}
    for number, line in enumerate(file.read_text().splitlines(), 1):
        said, _, reason = line.partition("#")
        words = said.split()
        if not words:
            continue
        if len(words) != 2 or words[0] not in WORDS or not reason.strip():
            raise ValueError(f"{file}:{number}: write: always|sometimes TEST # why")
        listed[words[0]].add(words[1])
        reasons[words[1]] = reason.strip()
    return Expected(frozenset(listed["always"]), frozenset(listed["sometimes"]), reasons)


@dataclass(frozen=True)
class Run:
    """What came of every test: "passed", "failed" or "skipped"."""

    results: Mapping[str, str]
    said: str

    @property
    def failed(self) -> frozenset[str]:
        return frozenset(name for name, result in self.results.items() if result == "failed")


def results(report: Path) -> dict[str, str]:
    """A JUnit file, by the names that pytest takes."""
    found = {}
    for case in xml.parse(report).iter("testcase"):
        module, _, rest = case.get("classname", "").partition(".Test")
        name = "::".join(filter(None, (f"{module.replace('.', '/')}.py", f"Test{rest}" if rest else "", case.get("name", ""))))
        bad = case.find("failure") is not None or case.find("error") is not None
        found[name] = "failed" if bad else "skipped" if case.find("skipped") is not None else "passed"
    return found


@dataclass
class Suite:
    """
    :param folder: the checkout, or what was unpacked of it; tests are named from here.
    :param options: for pytest.
    """

    folder: Path
    options: tuple[str, ...] = ()

    def start(self, environment: Mapping[str, str], where: Path, tests: Iterable[str] = ("tests",)) -> Running:
        """Begin; two can run at once."""
        report = where / "report.xml"
        where.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:pytest_twisted", "-o", f"cache_dir={where / 'cache'}",
                   "-p", "no:randomly", f"--junitxml={report}", *self.options, *tests]  # fmt: skip
        with (where / "said").open("w") as said:
            process = subprocess.Popen(
                command, cwd=self.folder, env={**clean, **environment}, stdout=said, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        return Running(process, report, where / "said")


@dataclass
class Running:
    """A suite under way."""

    process: subprocess.Popen[bytes]
    report: Path
    said: Path

    def done(self, timeout: float) -> Run:
        """Waits for its end."""
        try:
            self.process.wait(timeout)
        finally:
            self.process.kill()
            self.process.wait()
        said = self.said.read_text(errors="replace")
        if not self.report.exists():
            raise AssertionError(f"the suite did not run:\n{said[-4000:]}")
        return Run(results(self.report), said)


def unexplained(direct: Run, through: Run, known: Expected) -> frozenset[str]:
    """Tests that fail only through the gateway and are on no list."""
    return through.failed - direct.failed - known.always - known.sometimes


def source_of(name: str, cache: Path) -> Path:
    """The tests of an installed distribution, from the source package of the same version; kept in `cache`."""
    version = importlib.metadata.version(name)
    folder = cache / f"{name}-{version}"
    if not (folder / "tests").exists():
        cache.mkdir(parents=True, exist_ok=True)
        archive = cache / f"{name}-{version}.tar.gz"
        if not archive.exists():
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--no-binary", name,
                 "--dest", str(cache), f"{name}=={version}"],
                check=True, timeout=300, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        with tarfile.open(archive) as source:
            wanted = [one for one in source.getmembers() if one.name.startswith(f"{name}-{version}/tests/")]
            source.extractall(cache, wanted, filter="data")
    return folder
