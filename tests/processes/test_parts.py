"""Control's words to the notary's, and both as parts of a house: what they record, what they refuse to switch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from household import Household
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from gateway.boot import Boot, Peers
from gateway.config import Config, IdentityEntry
from gateway.control.part import ControlPart, Evidence
from gateway.notary.part import NotaryPart
from gateway.parts import CannotSwitch
from gateway.revision import first
from tests.house import ROOT


class FakeClient:
    """The notary's client as far as control uses it."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def grant(self, *arguments: Any) -> Deferred[list[Any]]:
        self.said.append(("grant", *arguments))
        return succeed([])

    def admin(self, what: str, facts: Mapping[str, str]) -> Deferred[list[Any]]:
        self.said.append(("admin", what, dict(facts)))
        return succeed([])

    def close(self) -> None:
        self.said.append(("close",))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return first(Household(tmp_path).file).config


def boot(name: str, config: Config) -> Boot:
    """Of a house that is not there."""
    sockets = {"notary": str(config.state / "run" / "n"), "control": str(config.state / "run" / "c")}
    return Boot(name=name, part="", token="t", file=str(config.file), text=b"", revision=7, sockets=sockets)


def test_a_grant_in_the_notarys_words() -> None:
    """Name, binding, nanoseconds, uses, request; approvers are facts."""
    client = FakeClient()
    Evidence(client).grant("R", "G", b"b" * 32, 1_700_000_000.5, 1, ["grace", "mary"])
    assert client.said == [("grant", "G", b"b" * 32, 1_700_000_000_500_000_000, 1, "R", {"approvers": "grace, mary"})]


def test_a_note_in_the_notarys_words() -> None:
    """As something done to settings."""
    client = FakeClient()
    Evidence(client).note("token.issued", {"subject": "ada"})
    assert client.said == [("admin", "token.issued", {"subject": "ada"})]


def unasked(by: str) -> Deferred[int]:
    """Nobody here has the file read again."""
    raise AssertionError(by)


class Told(FakeClient):
    """Stands in for control's service, too."""

    def reload(self, config: Config) -> None:
        self.said.append(("reload", sorted(config.identities)))

    def stopService(self) -> Deferred[None]:
        self.said.append(("stopService",))
        return succeed(None)


@pytest.fixture
def control(config: Config) -> ControlPart:
    """With everything behind it replaced by one that listens."""
    part = ControlPart(boot("control", config), config, Peers({}), unasked, Clock())
    told = Told()
    part._client = part._control = told  # type: ignore[assignment]
    part._evidence = Evidence(told)
    return part


def test_control_records_a_revision_before_it_switches(control: ControlPart, config: Config) -> None:
    """Number, digest, file and what it says, without the options of a stranger's addon."""
    changed = replace(config, identities={"ada": IdentityEntry("ada")}, digest=b"\xab" * 32, text=b"[gateway]\nname = \"gw\"\n")
    control.prepare(8, changed)
    control.record(8, "ada@clinic.example")
    control.switch(8)
    facts = {"revision": "8", "sha256": "ab" * 32, "file": str(config.file), "text": '[gateway]\nname = "gw"\n', "by": "ada@clinic.example"}
    assert control._client.said == [("admin", "config.reloaded", facts), ("reload", ["ada"])]


def test_control_neither_records_nor_switches_what_it_has_not_prepared(control: ControlPart, config: Config) -> None:
    """One that started in between says so."""
    control.prepare(8, config)
    for step, words in ((control.record, (9, "SIGHUP")), (control.switch, (9,))):
        with pytest.raises(CannotSwitch, match="9 was not prepared"):
            step(*words)
    assert control._client.said == []


def test_a_refused_reload_is_told_with_who_asked_and_why_and_not_at_any_length(control: ControlPart, config: Config) -> None:
    """A file may have a thousand mistakes; control's store keeps what it is told until the notary has it."""
    told: list[tuple[str, dict[str, str]]] = []
    control._control.office = SimpleNamespace(outbox=SimpleNamespace(tell=lambda kind, facts: told.append((kind, facts))))  # type: ignore[attr-defined]
    control.refuse(7, "ada@clinic.example\ngw.toml:1: no\ngw.toml:2: no")
    control.refuse(7, "the system, by SIGHUP\n" + "no\n" * 5000)
    (first, second) = [facts for kind, facts in told if kind == "config.refused"]
    assert first == {"revision": "7", "file": str(config.file), "by": "ada@clinic.example", "why": "gw.toml:1: no\ngw.toml:2: no"}
    assert second["by"] == "the system, by SIGHUP" and len(second["why"]) < 4200


def test_control_stops_once_however_often_it_is_told(control: ControlPart) -> None:
    """And lets go of the notary after it has stored everything."""
    fired: list[None] = []
    for _ in range(3):
        control.drain(0.0).addCallback(fired.append)
    assert control._client.said == [("stopService",), ("close",)] and fired == [None] * 3


def test_the_notary_records_nothing_of_its_own(config: Config) -> None:
    """A reload's record comes from control."""
    part = NotaryPart(boot("notary", config), config, Peers({}), reactor)
    part.prepare(8, config)
    part.switch(8)
    with pytest.raises(CannotSwitch):
        part.record(8, "SIGHUP")


@pytest.mark.parametrize(
    ("part", "without"),
    [("gateway.notary.part", ("postgast", "addons", "twisted.web", "gateway.control.process")), ("gateway.control.part", ("postgast", "addons.masking"))],
)
def test_a_server_of_the_house_loads_nothing_that_only_workers_need(part: str, without: tuple[str, ...]) -> None:
    """Neither parses a statement: their processes start, and stay, without the parser and the addons."""
    program = f"import sys, gateway.child, {part}; print([name for name in {without!r} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
