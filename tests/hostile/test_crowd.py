"""
Very many who come and say nothing: those who have a token are served meanwhile, and all of it is given back.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import psutil
import pytest
from bystanders import Others
from rough import SSL_REQUEST

from tests.house import ADA, House, until

pytestmark = pytest.mark.live

CROWD = 5_000 if os.environ.get("OSTIARY_PROFILE") == "soak" else 800


@pytest.fixture
def room() -> Iterator[None]:
    """Descriptors for all of them in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < CROWD + 500:
        pytest.skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CROWD + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("word", [b"", b"\0", SSL_REQUEST], ids=["silent", "one byte", "TLS wanted"])
@pytest.mark.usefixtures("room")
def test_a_crowd_that_does_not_come_in(house: House, others: Others, word: bytes) -> None:
    descriptors = _descriptors(house)
    crowd = [socket.create_connection(("127.0.0.1", house.port)) for _ in range(CROWD)]
    for one in crowd:
        one.sendall(word)
    until(lambda: _descriptors(house) >= descriptors + CROWD, "all of them stand inside the door")
    with house.connect(ADA) as person:
        assert person.execute("SELECT 'served'").fetchone() == ("served",)
    others.check()
    for one in crowd:
        one.close()
    until(lambda: _descriptors(house) <= descriptors, "everything is given back")


def _descriptors(house: House) -> int:
    return sum(psutil.Process(house.pid(worker)).num_fds() for worker in house.workers())
