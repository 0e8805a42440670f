"""A journal in front of a notary that a test plays; the builder of sessions and decisions is shared with the notary's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from gateway.journal import Journal

sys.path.insert(0, str(Path(__file__).parent.parent / "notary"))

from scribe import Client  # noqa: E402


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(client: Client, clock: Clock) -> Journal:
    return Journal(client, clock, 2.0)
