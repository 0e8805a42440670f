"""A directory that `nobody` can reach, which pytest's own temporary ones are not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def _directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="ostiary-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


open_directory = pytest.fixture(_directory, name="open_directory")
module_directory = pytest.fixture(_directory, scope="module", name="module_directory")
