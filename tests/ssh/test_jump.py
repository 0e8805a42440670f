"""Who jumps: what opens a way, what does not, and what ends with it. No sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from gateway.config import Account, TargetEntry
from gateway.control.errors import ControlUnavailable
from gateway.ssh.jump import IDLE, JUMPS_OF_ONE, Jump, Jumps
from protocols.session import Identity
from protocols.ssh import messages as m
from protocols.ssh.certificate import USER, Certificate
from protocols.verdict import Allow, Deny
from tests.ssh.test_ways import opening

WEB = TargetEntry("web1", "ssh", "10.0.0.5", 22, "", (), (Account("root", "root"), Account("app", "app")))


class Client:
    """The outer leg, as far as a jump uses it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.gone = ""

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def watch(self, full: Any) -> None:
        self.full = full

    def disconnect(self, code: int, why: str) -> None:
        self.gone = why

    def prove_host_keys(self, details: bytes) -> bytes:
        return b"\x51proved " + details


class Inside(Protocol):
    """What answers in a way."""

    def __init__(self) -> None:
        self.heard, self.lost = b"", 0

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: object = None) -> None:
        self.lost += 1


class Control:
    """What control has been told of."""

    def __init__(self) -> None:
        self.listed: dict[str, Any] = {}

    def session_opened(self, session: Any) -> None:
        self.listed[session["id"]] = session

    def session_closed(self, session: str) -> None:
        del self.listed[session]


class Hall:
    """A jump, its client and what is around them."""

    def __init__(self, *, admits: tuple[str, ...] = ("root", "app"), certificate: Certificate | None = None) -> None:
        self.clock, self.client, self.over = Clock(), Client(), 0
        self.asked: list[str] = []
        self.broken: list[str] = []
        self.inside: list[tuple[Any, Inside]] = []
        self.certified: Deferred[Any] | None = None

        def admit(session: Any) -> Any:
            self.asked.append(session.account)
            return Allow() if session.account in admits else Deny("not for you")

        self.worker = SimpleNamespace(
            reactor=self.clock, refusing="", jumps={}, control=Control(), config=SimpleNamespace(targets={"web1": WEB}, device=None), revision=1, new_id=lambda: "s",
            pipeline=SimpleNamespace(admit=admit),
        )
        self.jump = Jump(
            self.worker, self.client, "peer:1", Identity("ada"), certificate, id="j", token="t", inside=self._inside,  # type: ignore[arg-type]
            certificates=lambda name: self.certified or succeed({b"ssh-ed25519": name.encode()}), broken=self.broken.append, over=self._over,
        )
        self.jump.begin()

    def _inside(self, door: Any, certificates: Any) -> Inside:
        self.inside.append((door, Inside()))
        return self.inside[-1][1]

    def _over(self, why: str) -> None:
        self.over += 1

    def hears(self, payload: bytes) -> bytes:
        """A message of the client's; the last that it is told."""
        self.client.on_payload(payload)
        return self.client.sent[-1] if self.client.sent else b""


def refused(said: bytes) -> str:
    """Why a way was not opened."""
    assert said[0] == m.OPEN_FAILURE
    fields = m.Reader(said)
    fields.u32(), fields.u32()
    return fields.string().decode()


def test_a_way_leads_to_what_answers_as_the_target() -> None:
    hall = Hall()
    assert hall.hears(opening())[0] == m.OPEN_CONFIRMATION
    [(door, inside)] = hall.inside
    assert (door.subject, door.entry, door.host) == ("ada", WEB, "web1")
    hall.hears(m.write_data(0, b"SSH-2.0-x\r\n"))
    inside.transport.write(b"SSH-2.0-y\r\n")
    assert inside.heard == b"SSH-2.0-x\r\n" and hall.client.sent[-1] == m.write_data(7, b"SSH-2.0-y\r\n")


@pytest.mark.parametrize("admits", [("app",), ("root",)])
def test_one_account_is_enough_for_a_way(admits: tuple[str, ...]) -> None:
    assert Hall(admits=admits).hears(opening())[0] == m.OPEN_CONFIRMATION


def test_a_forbidden_target_is_as_unknown_as_any_other() -> None:
    """Word for word, and nothing answers there."""
    hall = Hall(admits=())
    said = [refused(hall.hears(opening(host))) for host in (b"web1", b"web2", b"10.0.0.5", b"10.0.0.6")]
    assert len(set(said)) == 1 and "OST-101" in said[0] and not hall.inside


def test_a_certificate_that_permits_no_forwarding_opens_no_way() -> None:
    bare = Certificate(b"", USER, "", ("ada",), 0, 0, b"")
    assert "OST-633" in refused(Hall(certificate=bare).hears(opening()))


def test_no_way_opens_while_no_session_may_begin() -> None:
    hall = Hall()
    hall.worker.refusing = "nothing can be recorded"
    assert "nothing can be recorded (OST-632)" in refused(hall.hears(opening())) and not hall.asked


def test_a_way_without_a_certificate_does_not_open() -> None:
    """Control cannot be asked: the client is told, and others may be tried."""
    hall = Hall()
    hall.certified = Deferred()
    hall.hears(opening())
    hall.certified.errback(ControlUnavailable("control is away"))
    assert "control is away" in refused(hall.client.sent[-1]) and not hall.client.gone


def test_a_client_that_closes_or_goes_ends_what_it_had() -> None:
    hall = Hall()
    hall.hears(opening())
    hall.hears(opening(sender=8))
    hall.hears(m.write_bare(m.CLOSE, 0))
    hall.client.on_lost("gone")
    hall.client.on_lost("gone")
    hall.clock.advance(0)
    assert [inside.lost for _, inside in hall.inside] == [1, 1] and hall.over == 1
    assert not hall.clock.getDelayedCalls()


def test_a_client_that_leaves_while_its_way_is_looked_for_gets_none() -> None:
    hall = Hall()
    hall.certified = Deferred()
    hall.hears(opening())
    hall.client.on_lost("gone")
    assert not hall.inside and not hall.client.sent


def test_who_breaks_the_rules_is_told_and_recorded_and_loses_every_way() -> None:
    hall = Hall()
    hall.hears(opening())
    hall.hears(m.write_data(9, b"x"))
    hall.clock.advance(0)
    assert "never opened" in hall.client.gone and hall.inside[0][1].lost == 1 and hall.over == 1
    assert hall.broken == [hall.client.gone]
    hall.client.on_broken("once more")
    assert len(hall.broken) == 1


def test_nobody_stands_there_for_long_without_a_way() -> None:
    """Time runs again when the last one is closed."""
    hall = Hall()
    hall.clock.advance(IDLE - 1)
    hall.hears(opening())
    hall.clock.advance(IDLE * 3)
    assert not hall.client.gone
    hall.hears(m.write_bare(m.CLOSE, 0))
    hall.clock.advance(IDLE - 1)
    assert not hall.client.gone
    hall.clock.advance(1)
    assert "no way was opened" in hall.client.gone and hall.over == 1


def test_who_is_killed_outside_loses_every_way_and_is_told_why() -> None:
    """By the id and with the token that control has of it; nothing is left in any list."""
    hall = Hall()
    hall.hears(opening())
    hall.hears(opening(sender=8))
    [listed] = hall.worker.control.listed.values()
    assert (listed["subject"], listed["token"], listed["target"]) == ("ada", "t", "")
    hall.worker.jumps[listed["id"]].kill("the token was revoked")
    hall.clock.advance(0)
    assert hall.client.gone == "the token was revoked" and [inside.lost for _, inside in hall.inside] == [1, 1] and hall.over == 1
    assert not hall.worker.jumps and not hall.worker.control.listed


def test_nothing_is_sent_to_a_client_that_takes_nothing() -> None:
    hall = Hall()
    hall.hears(opening())
    hall.client.full(True)
    before = len(hall.client.sent)
    hall.inside[0][1].transport.write(b"later")
    assert len(hall.client.sent) == before
    hall.client.full(False)
    assert hall.client.sent[-1] == m.write_data(7, b"later")


def test_host_keys_are_proved_to_who_jumps() -> None:
    assert Hall().hears(m.GlobalRequest("hostkeys-prove-00@openssh.com", True, b"k").write()) == b"\x51proved k"


def test_one_identity_takes_its_share_of_jumps_and_no_more() -> None:
    jumps = Jumps()
    assert all(jumps.enter("ada") for _ in range(JUMPS_OF_ONE)) and not jumps.enter("ada")
    assert jumps.enter("grace")
    jumps.leave("ada")
    assert jumps.enter("ada") and not jumps.enter("ada")
