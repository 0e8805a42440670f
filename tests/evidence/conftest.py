"""The builder of stores is shared with the notary's tests."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "notary"))


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose paths fit into a UNIX socket's name."""
    folder = Path(f"/tmp/ost-cli-{os.getpid()}-{time.monotonic_ns() % 10**9}")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
