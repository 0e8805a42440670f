"""One reload step by step, on seats that a test answers for: what may go wrong, and what then stays."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from household import Household
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from gateway.config import Config
from gateway.lasting import KEYS, lasting
from gateway.parts import CannotSwitch
from gateway.reload import DEADLINE, Reload
from gateway.revision import Revision, first

IDENTITY = '[[identity]]\nsubject = "ada@clinic.example"\n'


class FakeSeat:
    """Answers at once, or as a test says; remembers what it was asked."""

    def __init__(self, name: str, told: list[str]) -> None:
        self.name, self._told = name, told
        self.answers: dict[str, Deferred[None]] = {}
        self.replaced = 0

    def ask(self, what: str, revision: int, text: bytes = b"") -> Deferred[None]:
        self._told.append(f"{what} {revision} {self.name}")
        return self.answers.get(what) or succeed(None)

    def replace(self) -> None:
        self.replaced += 1

    def start(self) -> None: ...
    def ready(self) -> Deferred[None]: ...
    def peers(self, tokens: Mapping[str, str]) -> None: ...
    def stop(self, patience: float) -> Deferred[None]: ...


class Trial:
    """A house of fakes under revision 1, whose file has changed."""

    def __init__(self, directory: Path) -> None:
        self.files = Household(directory)
        self.old = first(self.files.file)
        self.files.write(IDENTITY)
        self.told: list[str] = []
        self.seats = {name: FakeSeat(name, self.told) for name in ("notary", "control", "worker-1")}
        self.clock = Clock()
        self.adopted: list[Revision] = []
        self.ended: list[Any] = []

    def run(self) -> None:
        """Once."""
        Reload(self.old, self.seats, "SIGHUP", self.clock).run(self._adopt).addBoth(self.ended.append)

    def _adopt(self, revision: Revision) -> None:
        self.told.append("adopt")
        self.adopted.append(revision)

    @property
    def why(self) -> str:
        """Why it was refused."""
        (failure,) = self.ended
        assert isinstance(failure, Failure) and failure.check(CannotSwitch)
        return str(failure.value)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_everybody_prepares_before_it_is_recorded_and_before_anybody_switches(trial: Trial) -> None:
    """The order is the promise."""
    trial.run()
    names = ["notary", "control", "worker-1"]
    prepared, switched = [f"prepare 2 {name}" for name in names], [f"switch 2 {name}" for name in names]
    assert trial.told == [*prepared, "record 2 control", "adopt", *switched]
    assert "ada@clinic.example" in trial.adopted[0].config.identities and trial.ended == [None]


def test_one_that_cannot_prepare_keeps_everybody(trial: Trial) -> None:
    """Nothing is recorded, nobody switches, and the reason is said."""
    trial.seats["worker-1"].answers["prepare"] = fail(CannotSwitch("worker-1: addon[0].rules: no"))
    trial.run()
    assert trial.why == "worker-1: addon[0].rules: no" and trial.adopted == []
    assert not [step for step in trial.told if not step.startswith("prepare")]


def test_what_cannot_be_recorded_does_not_hold(trial: Trial) -> None:
    """With the notary down a new policy does not come into force."""
    trial.seats["control"].answers["record"] = fail(CannotSwitch("control: nothing can be recorded"))
    trial.run()
    assert "recorded" in trial.why and trial.adopted == []


def test_one_that_does_not_answer_keeps_everybody(trial: Trial) -> None:
    """Not for ever."""
    trial.seats["notary"].answers["prepare"] = Deferred()
    trial.run()
    assert trial.ended == []
    trial.clock.advance(DEADLINE)
    assert "no answer" in trial.why and trial.adopted == []


def test_one_that_cannot_switch_is_replaced(trial: Trial) -> None:
    """It came after the preparation; its successor starts under the new revision."""
    trial.seats["worker-1"].answers["switch"] = fail(CannotSwitch("revision 2 was not prepared"))
    trial.run()
    assert [seat.replaced for seat in trial.seats.values()] == [0, 0, 1]
    assert trial.ended == [None] and len(trial.adopted) == 1


@pytest.mark.parametrize("answer", [None, fail(CannotSwitch("control is not there"))], ids=["there", "gone"])
def test_an_unchanged_file_is_no_revision_and_the_log_says_again_what_does_not_fit(trial: Trial, answer: Deferred[None] | None) -> None:
    """Targets may have changed. Where nobody can look, nothing is refused."""
    trial.files.write()
    if answer is not None:
        trial.seats["control"].answers["look"] = answer
    trial.run()
    assert trial.told == ["look 1 control"] and trial.ended == [None] and trial.adopted == []


def test_a_file_that_is_gone(trial: Trial) -> None:
    """The path and the mend."""
    trial.files.file.unlink()
    trial.run()
    assert str(trial.files.file) in trial.why and trial.told == []


def test_what_the_house_is_built_on_takes_a_restart(trial: Trial) -> None:
    """Each such key as the file has it; anything else may change."""
    config = trial.old.config
    assert {field.name for field in fields(Config)} >= {*KEYS, "listens"}
    assert [one.key for one in lasting(config, replace(config, state=Path("/elsewhere"), workers=7))] == ["gateway.state", "gateway.workers"]
    assert [one.key for one in lasting(config, replace(config, listens=()))] == ["listen"]
    more = replace(config, listens=(*config.listens, replace(config.listens[0], endpoint="tcp:1")))
    assert [one.key for one in lasting(config, more)] == [f"listen[{len(config.listens)}]"]
    assert [one.key for one in lasting(more, config)] == ["listen"]
    assert [*lasting(config, replace(config, addons=(), targets={}, identities={}, drain=1.0))] == []


def test_a_reload_that_takes_a_restart_is_refused_with_the_files_line(trial: Trial) -> None:
    """Every such key, not the first alone."""
    file = trial.files.file
    text = file.read_text().replace("workers = 2", "workers = 9").replace(f"tcp:{trial.files.port}", "tcp:1")
    file.write_text(text)
    trial.run()
    listen = text[: text.index("[[listen]]")].count("\n") + 1
    assert f"{file}:4: gateway.workers: differs from what the gateway runs with, and takes a restart; " in trial.why
    assert f"\n{file}:{listen}: listen[0]: listeners differ from those that are open, and take a restart; " in trial.why
    assert trial.told == [] and trial.adopted == []


def test_numbers_go_on_across_restarts(trial: Trial) -> None:
    """The same bytes keep their number, others get the next; nobody else may write the memory."""
    again = first(trial.files.file)
    assert (trial.old.number, again.number) == (1, 1)
    again.remember()
    assert first(trial.files.file).number == 1
    trial.files.write()
    assert first(trial.files.file).number == 2
    assert not stat.S_IMODE((trial.files.state / "revision").stat().st_mode) & 0o022
