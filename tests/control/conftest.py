"""An office of its own for each test: a clock that only the test moves, a notary that keeps what it is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from gateway.control.errors import ControlUnavailable
from gateway.control.office import Office, key_file
from gateway.control.seal import write_key
from tests_people import MASKED, PEOPLE

class FakeNotary:
    """Keeps grants and notes; refuses them while `down`; holds its answer back while `slow`."""

    def __init__(self) -> None:
        self.grants: list[dict[str, Any]] = []
        self.notes: list[tuple[str, dict[str, str]]] = []
        self.down = self.slow = False
        self.held: list[Deferred[Any]] = []

    def grant(
        self, request_id: str, grant_id: str, binding: bytes, expires: float, uses: int, approvers: list[str]
    ) -> Deferred[Any]:
        if self.down:
            return fail(ControlUnavailable("the notary is down"))
        self.grants.append({
            "request": request_id, "grant": grant_id, "binding": binding, "expires": expires, "uses": uses,
            "approvers": approvers,
        })
        if self.slow:
            self.held.append(Deferred())
            return self.held[-1]
        return succeed(None)

    def note(self, kind: str, facts: Mapping[str, str]) -> Deferred[Any]:
        if self.down:
            return fail(ControlUnavailable("the notary is down"))
        self.notes.append((kind, dict(facts)))
        return succeed(None)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.notes]


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.advance(1_700_000_000.0)
    return clock


@pytest.fixture
def notary() -> FakeNotary:
    return FakeNotary()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with a key."""
    state = tmp_path / "state"
    key_file(state).parent.mkdir(parents=True)
    write_key(key_file(state))
    return state


@pytest.fixture
def open_office(state: Path, clock: Clock, notary: FakeNotary) -> Iterator[Callable[[], Office]]:
    """Opens the office again and again, as after a crash: nothing of the last one is written."""
    opened: list[Office] = []

    def once() -> Office:
        if opened:
            last = opened.pop()
            last.outbox.disconnect()
            last.requests.stop()
            last._flushing.stop()
            last.store.close()
        office = Office(state, PEOPLE, clock, addons=[MASKED])
        office.start(notary)
        opened.append(office)
        return office

    yield once
    for office in opened:
        office.close()


@pytest.fixture
def office(open_office: Callable[[], Office]) -> Office:
    return open_office()


def asked(**changes: Any) -> dict[str, Any]:
    """A worker's request, as the pipeline makes it."""
    text = changes.get("text", "UPDATE patients SET seen = now()")
    return {
        "session": "s-1", "subject": "ada@clinic.example", "on_behalf_of": None, "kind": "human", "target": "clinic",
        "database": "clinicdb", "account": "rw", "peer": "127.0.0.1:5123", "rule": "privileged-writes",
        "why": "writes to everybody", "mode": "hold", "text": text, "sent": text, "parameters": [[25, 0, b"x"]],
        "approvers": ["approvers"], "quorum": 1, "timeout": 300.0, "lifetime": 600.0,
        "binding": hashlib.sha256(text.encode()).digest(), "named": [], **changes,
    }


@pytest.fixture(name="asked")
def asked_fixture() -> Callable[..., dict[str, Any]]:
    return asked
