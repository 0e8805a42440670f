"""Control and its workers over real sockets: two workers, strangers, restarts."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredList

from gateway.config import Audit, Config
from gateway.control.caller import os_user
from gateway.control.client import ControlClient, _Dialled, _Joining
from gateway.control.errors import BadCall, ControlUnavailable, LoginRefused, NotAllowed, NotFound
from gateway.control.process import Control, admin_socket
from gateway.seated import told_of
from protocols.session import Identity
from tests_people import ADA, GRACE, PEOPLE

Asked = Callable[..., dict[str, Any]]
PATIENCE = 20.0  # seconds before a test that waits for an event gives up


def config_of(state: Path) -> Config:
    return Config(
        file=state / "ostiary.toml", name="gw", state=state, workers=2, drain=1.0, certificate=state / "none",
        key=state / "none", audit=Audit(state / "audit"), control_listen="tcp:0:interface=127.0.0.1", listens=(),
        targets={}, identities=PEOPLE, addons=(), spool=state / "spool", spool_bytes=1 << 20,
    )


class House:
    """Control with as many workers as a test wants; `kill` ends it as kill -9 would."""

    def __init__(self, state: Path, notary: Any) -> None:
        self.state, self.notary = state, notary
        self.clients: list[ControlClient] = []
        self.start()

    def start(self) -> None:
        self.control = Control(config_of(self.state), self.notary, reactor, api=False)
        self.control.startService()
        self.control.listen(self.path, {"right": "worker-1", "also": "worker-2"}.get)

    @property
    def path(self) -> Path:
        return self.state / "run" / "workers.sock"

    async def worker(self, token: str = "right") -> ControlClient:
        client = ControlClient(reactor)
        joined: Deferred[None] = Deferred()
        client.on_joined = lambda: joined.called or joined.callback(None)
        client.connect(self.path, token)
        self.clients.append(client)
        await joined.addTimeout(PATIENCE, reactor)
        return client

    async def rejoin(self, client: ControlClient) -> None:
        joined: Deferred[None] = Deferred()
        client.on_joined = lambda: joined.called or joined.callback(None)
        await joined.addTimeout(PATIENCE, reactor)

    async def stop(self) -> None:
        for client in self.clients:
            client.stop()
        await self.control.stopService()


@pytest_twisted.async_yield_fixture
async def house(state: Path, notary: Any) -> AsyncIterator[House]:
    house = House(state, notary)
    yield house
    await house.stop()


def token(house: House, subject: str) -> str:
    office = house.control.office
    with office.store.write() as txn:
        return office.tokens.issue(txn, subject, 3600.0)[0]


def event() -> tuple[Deferred[Any], Callable[..., None]]:
    happened: Deferred[Any] = Deferred()
    happened.addTimeout(PATIENCE, reactor)
    return happened, lambda *said: happened.callback(said)


@pytest_twisted.ensureDeferred
async def test_a_login_and_a_secret(house: House) -> None:
    worker = await house.worker()
    good = token(house, ADA)
    told = await worker.authenticate(ADA, good, "127.0.0.1:5000")
    assert told["subject"] == ADA and told["proof"] == "token" and told["groups"] == ["approvers", "engineers"]
    with pytest.raises(LoginRefused):
        await worker.authenticate(GRACE, good, "127.0.0.1:5000")
    with pytest.raises(NotFound, match="the password of clinic\\+rw"):
        await worker.secret("clinic", "rw")
    with house.control.office.store.write() as txn:
        house.control.office.vault.put(txn, "clinic", "rw", "pa55")
    assert await worker.secret("clinic", "rw") == {"password": "pa55"}
    assert worker.leased


@pytest_twisted.ensureDeferred
async def test_hold_and_approve_reaches_the_worker_that_waits(house: House, asked: Asked) -> None:
    first, second = await house.worker(), await house.worker("also")
    pending = await first.submit(asked())
    assert pending["state"] == "pending"
    waiting = first.answer(pending["request"])
    house.control.office.requests.approve(pending["request"], GRACE)
    answer = await waiting
    assert answer["state"] == "granted" and answer["grant"] == house.notary.grants[0]["grant"]
    with pytest.raises(ControlUnavailable):
        await second.answer(pending["request"])


@pytest_twisted.ensureDeferred
async def test_retry_passes_once_across_workers(house: House, asked: Asked) -> None:
    first, second = await house.worker(), await house.worker("also")
    pending = await first.submit(asked(mode="retry"))
    house.control.office.requests.approve(pending["request"], GRACE)
    both = [await second.submit(asked(mode="retry")), await first.submit(asked(mode="retry"))]
    assert [one["state"] for one in both] == ["granted", "pending"]


@pytest_twisted.ensureDeferred
async def test_a_worker_that_dies_takes_its_questions_along(house: House, asked: Asked) -> None:
    """And only its own."""
    first, second = await house.worker(), await house.worker("also")
    mine, other = await first.submit(asked()), await second.submit(asked(text="other"))
    lost = house.control.office.requests
    gone, happened = event()
    house.control.office.on_answered = happened
    ended = first.answer(mine["request"])
    ended.addErrback(lambda failure: failure.trap(CancelledError))
    first.stop()
    await gone
    assert lost.get(mine["request"])["state"] == "withdrawn"
    assert lost.get(other["request"])["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_a_worker_cannot_withdraw_anothers_request(house: House, asked: Asked) -> None:
    first, second = await house.worker(), await house.worker("also")
    pending = await first.submit(asked())
    second.withdraw(pending["request"], "mischief")
    await second.count("x", 0)  # answered after the withdrawal was refused
    assert house.control.office.requests.get(pending["request"])["state"] == "pending"
    first.withdraw(pending["request"], "the client is gone")
    await first.count("x", 0)
    assert house.control.office.requests.get(pending["request"])["state"] == "withdrawn"


@pytest_twisted.ensureDeferred
async def test_a_question_cancelled_before_its_id_is_known_is_withdrawn(house: House, asked: Asked) -> None:
    worker = await house.worker()
    submitting = worker.submit(asked())
    submitting.addErrback(lambda failure: failure.trap(CancelledError))
    submitting.cancel()
    while (await worker.count("x", 0)) == 0 and not house.control.office.requests.listed(everything=True):
        pass
    await worker.count("x", 0)
    [record] = house.control.office.requests.listed(everything=True)
    assert record["state"] == "withdrawn"


def of(subject: str, session: str) -> dict[str, Any]:
    """What a worker says of a session."""
    return {"id": session, **told_of(Identity(subject, PEOPLE[subject].kind, PEOPLE[subject].groups, on_behalf_of=PEOPLE[subject].on_behalf_of))}


@pytest_twisted.ensureDeferred
async def test_cancel_is_routed_to_the_worker_that_owns_the_key(house: House) -> None:
    first, second = await house.worker(), await house.worker("also")
    first.session_opened(of(ADA, "s-1"))
    first.cancel_key("s-1", 4711, b"secret")
    cancelled, happened = event()
    first.on_cancel = happened
    await first.count("x", 0)
    assert await second.cancel(4711, b"wrong!") is False
    assert await second.cancel(1, b"secret") is False
    assert await second.cancel(4711, b"secret") is True
    assert await cancelled == ("s-1",)
    first.session_closed("s-1")
    await first.count("x", 0)
    assert await second.cancel(4711, b"secret") is False


@pytest_twisted.ensureDeferred
async def test_a_session_is_killed_by_its_own_worker(house: House) -> None:
    first, second = await house.worker(), await house.worker("also")
    first.session_opened(of(ADA, "s-1"))
    second.session_opened(of(GRACE, "s-2"))
    killed, happened = event()
    first.on_kill, second.on_kill = happened, lambda *said: pytest.fail("the wrong worker")
    await DeferredList([first.count("x", 0), second.count("x", 0)])
    assert [s["id"] for s in house.control.office.sessions.listed()] == ["s-1", "s-2"]
    house.control.office.sessions.kill("s-1", "enough")
    assert await killed == ("s-1", "enough")


@pytest_twisted.ensureDeferred
async def test_counts_are_shared_by_workers(house: House) -> None:
    first, second = await house.worker(), await house.worker("also")
    assert [await first.count(ADA, 3), await second.count(ADA, 4), await first.count(GRACE, 1)] == [3, 7, 1]


@pytest_twisted.ensureDeferred
async def test_an_answer_given_while_control_was_away_arrives(house: House, asked: Asked) -> None:
    """Control dies with a held request and comes back; the session still waits and gets its answer."""
    worker = await house.worker()
    worker.session_opened(of(ADA, "s-1"))
    worker.cancel_key("s-1", 7, b"key")
    pending = await worker.submit(asked())
    waiting = worker.answer(pending["request"])
    await house.control.stopService()
    with pytest.raises(ControlUnavailable):
        await worker.authenticate(ADA, "x", "y")
    house.start()
    await house.rejoin(worker)
    assert not waiting.called and [s["id"] for s in house.control.office.sessions.listed()] == ["s-1"]
    assert house.control.office.sessions.cancel(7, b"key")
    house.control.office.requests.approve(pending["request"], GRACE)
    assert (await waiting)["state"] == "granted"


@pytest_twisted.ensureDeferred
async def test_an_answer_that_was_stored_but_not_told_is_told_at_joining(house: House, asked: Asked) -> None:
    worker = await house.worker()
    pending = await worker.submit(asked())
    waiting = worker.answer(pending["request"])
    house.control._waiting.clear()  # control dies between storing the answer and sending it
    house.control.office.requests.approve(pending["request"], GRACE)
    await house.control.stopService()
    assert not waiting.called
    house.start()
    assert (await waiting)["state"] == "granted"


@pytest_twisted.ensureDeferred
async def test_a_withdrawal_while_control_was_away_is_said_at_joining(house: House, asked: Asked) -> None:
    worker = await house.worker()
    pending = await worker.submit(asked())
    house.control._waiting.clear()
    await house.control.stopService()
    worker.withdraw(pending["request"], "the client is gone")
    house.start()
    await house.rejoin(worker)
    assert house.control.office.requests.get(pending["request"])["state"] == "withdrawn"


@pytest_twisted.ensureDeferred
async def test_every_other_worker_knows_of_a_commit_before_it_is_sent(house: House) -> None:
    """And of its end, behind the news of the change."""
    first, second = await house.worker(), await house.worker("also")
    heard: list[tuple[str, ...]] = []
    first.on_commit = lambda *said: pytest.fail("its own")
    second.on_commit = lambda *said: heard.append(said)
    second.on_catalog, second.on_committed = (lambda *said: heard.append(said)), lambda key: heard.append((key,))
    await first.commit_begins("s-1", "clinic", "db")
    assert heard == [("s-1", "clinic", "db")]
    first.catalog_changed("clinic", "db")
    first.commit_ended("s-1")
    await first.count("x", 0)
    await second.count("x", 0)
    assert heard[1:] == [("clinic", "db"), ("s-1",)]


@pytest_twisted.ensureDeferred
async def test_a_commit_that_a_worker_does_not_hear_of_may_not_be_sent(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.commits.ANSWER", 0.01)
    first, second = await house.worker(), await house.worker("also")
    second.on_commit = lambda *said: Deferred()
    with pytest.raises(ControlUnavailable, match="another worker"):
        await first.commit_begins("s-1", "clinic", "db")


@pytest_twisted.ensureDeferred
async def test_a_worker_that_comes_is_told_what_others_are_committing(house: House) -> None:
    """Also when control died meanwhile."""
    first, second = await house.worker(), await house.worker("also")
    await first.commit_begins("s-1", "clinic", "db")
    await house.control.stopService()
    house.start()
    await house.rejoin(first)
    await house.rejoin(second)
    told: list[list[list[str]]] = []
    first.on_back = second.on_back = told.append
    second._link.transport.loseConnection()
    await house.rejoin(second)
    assert told == [[["s-1", "clinic", "db"]]]


@pytest_twisted.ensureDeferred
async def test_a_commit_waits_for_the_workers_that_control_has_not_seen_since_its_start(house: House) -> None:
    first = await house.worker()
    waiting = first.commit_begins("s-1", "clinic", "db")
    await first.count("x", 0)
    assert not waiting.called
    second = await house.worker("also")
    heard: list[tuple[str, ...]] = []
    second.on_commit = lambda *said: heard.append(said)
    await waiting


@pytest_twisted.ensureDeferred
async def test_what_a_dead_worker_was_committing_counts_as_changed(house: House) -> None:
    first, second = await house.worker(), await house.worker("also")
    await first.commit_begins("s-1", "clinic", "db")
    heard: list[tuple[str, ...]] = []
    over, happened = event()
    second.on_catalog, second.on_committed = (lambda *said: heard.append(said)), happened
    first.stop()
    assert await over == ("s-1",) and heard == [("clinic", "db")]


@pytest_twisted.ensureDeferred
async def test_revoked_while_control_was_away_ends_at_joining(house: House) -> None:
    worker = await house.worker()
    killed, happened = event()
    worker.on_kill = happened
    worker.session_opened(of(ADA, "s-1"))
    await worker.count("x", 0)
    await house.control.stopService()
    house.start()
    with house.control.office.store.write() as txn:
        house.control.office.identities.revoke(txn, ADA, "local", "")
    assert (await killed)[0] == "s-1"


@pytest_twisted.ensureDeferred
async def test_a_process_without_the_supervisors_token_gets_nothing(house: House) -> None:
    """Nothing can be called before the right hello."""
    links: list[Any] = []

    def made() -> Any:
        link = _Joining({})
        link.begin = lambda: links.append(link) or arrived.callback(None)
        return link

    calls = (
        ("hello", {"token": "wrong"}, NotAllowed, "did not start this process"),
        ("secret", {"target": "c", "account": "a"}, BadCall, "no method secret"),
    )
    for call, arguments, error, text in calls:
        arrived: Deferred[None] = Deferred()
        reactor.connectUNIX(str(house.path), _Dialled(made, lambda: None))
        await arrived.addTimeout(PATIENCE, reactor)
        with pytest.raises(error, match=text):
            await links[-1].call(call, **arguments)
        links[-1].transport.abortConnection()
    [refused] = [facts for kind, facts in house.notary.notes if kind == "control.refused"]
    assert (refused["tried"], refused["channel"], refused["os_user"]) == ("worker", "worker", os_user(os.getuid()))


@pytest_twisted.ensureDeferred
async def test_sockets_are_for_their_owner_only(house: House) -> None:
    """0600, in a directory that is 0700."""
    for path in (house.path, admin_socket(config_of(house.state))):
        assert path.stat().st_mode & 0o777 == 0o600
    assert house.path.parent.stat().st_mode & 0o777 == 0o700


@pytest_twisted.ensureDeferred
async def test_inline_over_a_socketpair(house: House) -> None:
    """workers = "inline": the same desk, no path and no token."""
    ours, theirs = socket.socketpair()
    house.control.adopt(ours)
    client = ControlClient(reactor)
    joined, happened = event()
    client.on_joined = happened
    client.adopt(theirs)
    house.clients.append(client)
    await joined
    assert await client.count(ADA, 2) == 2 and client.leased


@pytest_twisted.ensureDeferred
async def test_held_requests_whose_session_did_not_come_back(house: House, asked: Asked) -> None:
    worker = await house.worker()
    pending = await worker.submit(asked())
    house.control._waiting.clear()
    house.control._withdraw_orphans()
    assert house.control.office.requests.get(pending["request"])["state"] == "withdrawn"


@pytest_twisted.ensureDeferred
async def test_a_catalog_that_changed_in_one_worker_is_news_to_the_others(house: House) -> None:
    """And not to the one that said so, which would begin again."""
    one, other = await house.worker(), await house.worker("also")
    heard, hear = event()
    echoed: list[tuple[str, str]] = []
    one.on_catalog = lambda target, database: echoed.append((target, database))
    other.on_catalog = hear
    one.catalog_changed("clinic", "clinicdb")
    assert await heard == ("clinic", "clinicdb")
    assert echoed == []
