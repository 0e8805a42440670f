"""A worker by itself: why it refuses, how it drains, what control's pushes do. Nobody answers on its sockets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from household import Household
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from gateway import worker as module
from gateway.boot import Boot
from gateway.config import AddonEntry
from gateway.parts import CannotSwitch
from gateway.revision import first
from gateway.worker import LAST_WORD, Worker


class Live:
    """A session that ends when it is killed, unless it is deaf."""

    def __init__(
        self, worker: Worker, name: str, *, target: str = "clinic", account: str = "rw", deaf: bool = False
    ) -> None:
        self.session = SimpleNamespace(target=SimpleNamespace(name=target), account=account)
        self.killed, self.cancelled, self.reconsidered = "", 0, 0
        self._worker, self._name, self._deaf = worker, name, deaf
        worker.sessions[name] = self

    def kill(self, why: str) -> None:
        self.killed = why
        if not self._deaf:
            self._worker.sessions.pop(self._name, None)

    def reconsider(self) -> None:
        self.reconsidered += 1

    def cancel(self) -> None:
        self.cancelled += 1


class Dialling(Clock):
    """A clock for a reactor whose connections never come about."""

    def connectUNIX(self, *_: Any, **__: Any) -> None:
        """Nobody there."""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    """Built, connected to nobody, then made to look as if it were."""
    revision = first(Household(tmp_path).file)
    boot = Boot(
        name="worker-1", part="gateway.worker.worker", token="t", file=str(revision.config.file), text=revision.text,
        revision=1, sockets={"notary": "/nowhere/n", "control": "/nowhere/c"},
        options={"gate": "echo_gate.factory_for"},
    )
    made = Worker(boot, replace(revision.config, listens=()), Dialling())
    made.notary.worker = 1
    made.control._joined, made.control._lease_ends = True, 1e9
    yield made


def drained(worker: Worker, patience: float) -> list[None]:
    """Begins; holds something once it is over."""
    over: list[None] = []
    worker.drain(patience).addCallback(over.append)
    return over


def test_it_refuses_for_a_reason(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that a session cannot do without, in words for a client."""
    assert worker.refusing == ""
    Live(worker, "a")
    monkeypatch.setattr(module, "most_sessions", lambda: 1)
    assert "as many sessions" in worker.refusing
    worker.control._lease_ends = 0.0
    assert "control" in worker.refusing
    worker.notary.worker = None
    assert "nothing can be recorded" in worker.refusing
    worker.drain(10)
    assert "shutting down" in worker.refusing


def test_drain_is_over_when_the_last_session_ends(worker: Worker) -> None:
    """Not before, and nobody is killed."""
    live = Live(worker, "a")
    over = drained(worker, 30)
    worker.reactor.pump([1.0] * 5)
    assert over == [] and live.killed == ""
    del worker.sessions["a"]
    worker.reactor.pump([0.1] * 2)
    assert over == [None]


def test_drain_ends_those_that_stay(worker: Worker) -> None:
    """When the time is up; one that will not go is not waited for long."""
    polite, deaf = Live(worker, "a"), Live(worker, "b", deaf=True)
    over = drained(worker, 30)
    worker.reactor.pump([0.5] * 61)
    assert polite.killed and deaf.killed and over == []
    worker.reactor.pump([0.1] * int(LAST_WORD * 10 + 2))
    assert over == [None]


def test_drain_waits_for_the_cancels_of_those_it_ended(worker: Worker) -> None:
    """What ran for them would run on; a target that takes none is not waited for long."""
    taken: Deferred[None] = Deferred()
    worker.cancels.add(taken)
    over = drained(worker, 0)
    worker.reactor.pump([0.1] * 3)
    assert over == []
    worker.cancels.discard(taken)
    worker.reactor.pump([0.1] * 2)
    assert over == [None]


def test_a_second_drain_hurries_the_first(worker: Worker) -> None:
    """And never lengthens it."""
    live = Live(worker, "a")
    first_over, second_over = drained(worker, 3600), drained(worker, 0)
    drained(worker, 3600)
    worker.reactor.pump([0.1] * 3)
    assert live.killed and first_over == [None] and second_over == [None]
    assert drained(worker, 3600) == [None]


def test_control_ends_and_cancels_sessions(worker: Worker) -> None:
    """Those it names; a session that is gone by now is no error."""
    one, other = Live(worker, "a"), Live(worker, "b")
    worker.control.on_cancel("a")
    worker.control.on_kill("a", "revoked")
    worker.control.on_kill("a", "revoked")
    worker.control.on_cancel("a")
    assert (one.killed, one.cancelled, other.killed, other.cancelled) == ("revoked", 1, "", 0)


def test_switch_takes_only_what_was_prepared(worker: Worker) -> None:
    """A part that missed the preparation says so, and is replaced."""
    pipeline = worker.pipeline
    with pytest.raises(CannotSwitch):
        worker.switch(2)
    worker.prepare(2, worker.config)
    with pytest.raises(CannotSwitch):
        worker.switch(3)
    assert (worker.revision, worker.pipeline) == (1, pipeline)
    worker.switch(2)
    assert worker.revision == 2 and worker.pipeline is not pipeline


def test_switch_ends_sessions_whose_target_or_account_is_gone(worker: Worker) -> None:
    """The others meet the new revision, with what waits for an answer too."""
    stays, target, account = (
        Live(worker, "a"), Live(worker, "b", target="removed"), Live(worker, "c", account="removed"),
    )
    worker.prepare(2, worker.config)
    worker.switch(2)
    assert (stays.killed, bool(target.killed), bool(account.killed)) == ("", True, True)
    assert (stays.reconsidered, target.reconsidered, account.reconsidered) == (1, 0, 0)


def test_an_addon_that_cannot_be_built_keeps_the_chain(worker: Worker) -> None:
    """By file, position and reason."""
    wrong = replace(worker.config, addons=(AddonEntry("addons.nowhere.Nothing", {}),))
    with pytest.raises(CannotSwitch, match=r"ostiary\.toml: addon\[0\]"):
        worker.prepare(2, wrong)
    assert worker.revision == 1
