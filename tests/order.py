"""
Where processes share the tests, a file at a time: the files that take longest come first, so that none of them is left to one
process while the others have nothing to do.

A pytest plugin, for pytest-xdist's `--dist=loadfile`. Left to itself that hands out the files with the most tests first, and a
file whose one test takes a minute and a half comes last.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent

LONGEST = (
    "suites/test_asyncpg.py", "masking/test_attempts.py", "processes/test_house.py", "demo/test_tour.py", "masking/test_floor.py",
    "ssh/test_guard.py", "notary/test_notary_kernel.py", "live/test_gui_queries.py", "chaos/test_kills.py", "live/test_corpus_live.py",
    "chaos/test_outages.py", "live/test_approvals.py", "sshlive/test_ssh_certificates.py", "sshlive/test_ssh_recording.py",
    "sshlive/test_ssh_sessions.py", "live/test_relay_truth.py",
)  # fmt: skip
"""25 s or more each on two quiet cores, the longest first. One that is missing here only makes the end later."""


def pytest_configure(config: pytest.Config) -> None:
    """The order is ours."""
    config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In each of several processes alike; alone, pytest's own order stays."""
    if hasattr(config, "workerinput"):
        ranks = {HERE / name: rank for rank, name in enumerate(LONGEST)}
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
