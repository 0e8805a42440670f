"""The commands while control runs: over its socket, from another thread than control's."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import capturedLogs, formatEvent

from gateway.cli import door
from gateway.config import Config
from gateway.control.client import ControlClient
from gateway.control.looks import Looks
from gateway.control.office import Office
from gateway.control.process import Control, admin_socket
from gateway.parts import CannotSwitch
from gateway.revision import WrongConfig, first
from gateway.toml import load
from tests.fired import got

ADA, GRACE = "ada@clinic.example", "grace@clinic.example"
PATIENCE = 20.0

LISTENER = """
[[listen]]
protocol = "ssh"
endpoint = "tcp:0"

"""

STRANGERS = """
[[addon]]
use = "addons.access.Access"
rules = [
  { name = "theirs", groups = ["enginers", "jobs"], identities = ["ada@clinic.exmaple", "night"], targets = ["clinic"] },
]

[[addon]]
use = "addons.masking.Masking"
columns = [{ relation = "public.patients", column = "ssn", strategy = "redact" }]
"""


class Notary:
    """Takes everything, and knows what was refused."""

    def __init__(self) -> None:
        self.refused: list[dict[str, str]] = []

    def grant(self, *said: Any) -> Deferred[None]:
        return succeed(None)

    def note(self, kind: str, facts: Any) -> Deferred[None]:
        self.refused += [facts] if kind == "control.refused" else []
        return succeed(None)


class Live:
    """Control, one worker, and the tool."""

    def __init__(self, tool: Any) -> None:
        self.tool, config = tool, load(tool.config)
        self.notary = Notary()
        self.control = Control(config, self.notary, reactor)
        self.control.startService()
        ours, theirs = socket.socketpair()
        self.control.adopt(ours)
        self.worker = ControlClient(reactor)
        self.joined: Deferred[Any] = Deferred()
        self.worker.on_joined = lambda: self.joined.callback(None)
        self.worker.adopt(theirs)

    def __call__(self, *words: str, **more: Any) -> Deferred[Any]:
        return deferToThread(self.tool, *words, **more)

    def json(self, *words: str, **more: Any) -> Deferred[Any]:
        return deferToThread(self.tool.json, *words, **more)


@pytest_twisted.async_yield_fixture
async def live(tool: Any) -> AsyncIterator[Live]:
    live = Live(tool)
    await live.joined.addTimeout(PATIENCE, reactor)
    yield live
    live.worker.stop()
    await live.control.stopService()


def asked() -> dict[str, Any]:
    return {
        "session": "s-1", "subject": ADA, "on_behalf_of": None, "kind": "human", "target": "clinic", "database": "clinicdb",
        "account": "rw", "peer": "127.0.0.1:5", "rule": "privileged", "why": "all rows", "mode": "hold",
        "text": "UPDATE patients SET ssn = $1", "sent": "UPDATE patients SET ssn = $1",
        "parameters": [[25, 0, b"123"], [17, 1, b"\xff"], [25, 0, None]], "approvers": ["approvers"], "quorum": 1,
        "timeout": 300.0, "lifetime": 300.0, "binding": b"b" * 32,
    }


@pytest_twisted.ensureDeferred
async def test_a_held_command_is_shown_and_approved_from_another_terminal(live: Live) -> None:
    token = (await live.json("token", "issue", GRACE))["token"]
    pending = await live.worker.submit(asked())
    waiting = live.worker.answer(pending["request"])
    [listed] = await live.json("request", "list")
    assert listed["id"] == pending["request"] and listed["text"] == asked()["text"]
    shown = (await live("request", "show", listed["id"])).output
    for said in (ADA, "clinic", "privileged", "all rows", "UPDATE patients SET ssn = $1", "$1 (type 25): 123", "\\xff", "NULL"):
        assert said in shown
    told = await live("request", "approve", listed["id"], "--as", GRACE, token=token)
    assert "approved and released" in told.output and token not in told.output
    assert (await waiting)["state"] == "granted"
    again = await live("request", "approve", listed["id"], "--as", GRACE, token=token, code=1)
    assert "approved already, by grace@clinic.example" in again.stderr
    [refused] = live.notary.refused
    assert (refused["by"], refused["request"], refused["tried"]) == (GRACE, listed["id"], "request approve")


@pytest_twisted.ensureDeferred
async def test_a_hosts_command_is_shown_without_words_of_sql(live: Live) -> None:
    pending = await live.worker.submit({**asked(), "text": "reboot", "sent": "", "path": "exec", "parameters": [[0, 0, b"LANG=C.UTF-8"]]})
    shown = (await live("request", "show", pending["request"])).output
    assert "\nvariable LANG=C.UTF-8\n" in shown and "$1" not in shown and "type" not in shown


@pytest_twisted.ensureDeferred
async def test_denied_from_another_terminal(live: Live) -> None:
    token = (await live.json("token", "issue", GRACE))["token"]
    pending = await live.worker.submit(asked())
    waiting = live.worker.answer(pending["request"])
    await live("request", "deny", pending["request"], "--as", GRACE, "--why", "no", token=token)
    assert {k: v for k, v in (await waiting).items() if k in ("state", "by", "reason")} == {"state": "denied", "by": GRACE, "reason": "no"}


@pytest_twisted.ensureDeferred
async def test_what_expired_is_listed_below_what_waits(live: Live) -> None:
    """Whoever missed it is told, in words; scripts get what waits and nothing else."""
    pending = await live.worker.submit(asked() | {"timeout": 0.05})
    assert (await live.worker.answer(pending["request"]))["state"] == "expired"
    listed = await live("request", "list")
    assert f"{pending['request']} of {ADA} expired at 2" in listed.stderr and "nobody answered in time" in listed.stderr
    again = await live.worker.submit(asked() | {"timeout": 0.05})
    assert (await live.worker.answer(again["request"]))["state"] == "expired"
    listed = await live("request", "list")
    assert len([line for line in listed.stderr.splitlines() if "expired at" in line]) == 1 and "(and 1 before it: --all)" in listed.stderr
    assert await live.json("request", "list") == []


async def opened(live: Live, **more: Any) -> None:
    """A session of Ada's, as its worker tells of it."""
    ada = await live.json("identity", "show", ADA)
    live.worker.session_opened({"id": "s-1", **{name: ada[name] for name in ("subject", "kind", "groups", "on_behalf_of")}, **more})


@pytest_twisted.ensureDeferred
async def test_sessions_are_listed_shown_and_killed(live: Live) -> None:
    killed: Deferred[Any] = Deferred()
    live.worker.on_kill = lambda *said: killed.callback(said)
    assert await live.json("session", "list") == []
    await opened(live, target="clinic", opened=1.7e9)
    await live.worker.count(ADA, 0)
    assert [one["id"] for one in await live.json("session", "list")] == ["s-1"]
    assert "2023-11" in (await live("session", "list")).output
    assert (await live.json("session", "show", "s-1"))["subject"] == ADA
    assert f"Ended session s-1 of {ADA} on clinic." in (await live("session", "kill", "s-1", "--why", "enough")).output
    assert await killed.addTimeout(PATIENCE, reactor) == ("s-1", "an operator ended this session: enough [OST-650]")
    assert "ostiary session list" in (await live("session", "kill", "s-9", code=1)).stderr


@pytest_twisted.ensureDeferred
async def test_revoking_a_token_ends_its_session(live: Live) -> None:
    killed: Deferred[Any] = Deferred()
    live.worker.on_kill = lambda *said: killed.callback(said)
    token = (await live.json("token", "issue", ADA))["token"]
    proved = await live.worker.authenticate(ADA, token, "127.0.0.1:1")
    await opened(live, token=proved["token"])
    await live.worker.count(ADA, 0)
    assert (await live.json("token", "revoke", proved["token"]))["ended"] == ["s-1"]
    assert (await killed.addTimeout(PATIENCE, reactor))[0] == "s-1"


@pytest_twisted.ensureDeferred
async def test_what_is_entered_is_used_at_once(live: Live) -> None:
    await live("account", "secret", "clinic", "rw", stdin="pa55\n")
    assert await live.worker.secret("clinic", "rw") == {"password": "pa55"}
    await live("identity", "add", "night", "--kind", "workload")
    assert (await live.worker.identity("night"))["kind"] == "workload"


@pytest_twisted.ensureDeferred
async def test_a_target_that_cannot_be_reached(live: Live) -> None:
    """Control dials it, since control holds its password."""
    told = await live("target", "check", "clinic", "--account", "open", code=1)
    assert "cannot be used" in told.stderr


@pytest_twisted.ensureDeferred
async def test_a_check_says_that_the_file_is_not_what_is_in_force(live: Live) -> None:
    """It looks at what the gateway knows; an edit counts once it is reloaded."""
    first(live.tool.config).remember()
    told = await live("target", "check", "clinic", "--account", "open", code=1)
    assert "differs" not in told.stderr
    live.tool.config.write_text(live.tool.config.read_text() + "# edited\n")
    told = await live("target", "check", "clinic", "--account", "open", code=1)
    assert "checked against revision 1; ostiary.toml differs: run ostiary reload first" in told.stderr


@pytest_twisted.ensureDeferred
async def test_a_reload_warns_of_misspelt_people_and_of_a_floor_that_nobody_can_log_in_to(live: Live) -> None:
    """By what the store has too: whom it knows is no stranger, and a secret that was entered is not asked for."""
    file = live.tool.config
    live.control.office.on_reload = lambda by: succeed(live.control.reload(load(file)) or 2)
    text = file.read_text().replace('\n  user = "clinic_app"', '\n  user = "clinic_app"\n  floor = "floor"\n\n  [[target.account]]\n  name = "floor"\n  user = "f"')
    file.write_text(text + STRANGERS)
    await live("account", "secret", "clinic", "rw", stdin="pa55\n")
    await live("identity", "add", "night", "--kind", "workload", "--group", "jobs")
    with capturedLogs() as logged:
        said = (await live("reload")).stderr
    wanted = {
        "addons.access.Access, theirs: addon[2].rules[0].groups: nobody has the group 'enginers' (did you mean 'engineers'?)": "theirs",
        "addons.access.Access, theirs: addon[2].rules[0].identities: there is no identity 'ada@clinic.exmaple'": "theirs",
        "clinic, floor: target[0].account[1]: the gateway was not given the password of clinic+floor": '  name = "floor"',
    }
    for words, line in wanted.items():
        number = next(n for n, one in enumerate(file.read_text().splitlines(), 1) if line in one) - (line.startswith(" "))
        assert f"{file}:{number}: warning: {words}" in said, said
    assert "run: ostiary account secret clinic floor" in said and "jobs" not in said and "night" not in said and "clinic+rw" not in said
    assert said.splitlines() == [formatEvent(one) for one in logged if one["log_namespace"].endswith("Looks")], "SIGHUP is answered in the log"
    told = (await live.json("reload"))["warnings"]
    assert len(told) == len([line for line in said.splitlines() if ": warning: " in line]) and told == (await live.json("check"))["warnings"]
    assert {"line", "in", "key", "wrong", "mend"} == set(told[0])


@pytest_twisted.ensureDeferred
async def test_a_check_of_targets_dials_none_that_is_not_in_force_as_the_file_has_it(live: Live) -> None:
    """A secret goes only where the gateway was told to send it, by a file that it took."""
    live.tool.config.write_text(live.tool.config.read_text() + STRANGERS)
    await live("account", "secret", "clinic", "rw", stdin="pa55\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        text = live.tool.config.read_text()
        live.tool.config.write_text(text.replace("127.0.0.1:1\"", f"127.0.0.1:{listening.getsockname()[1]}\""))
        told = await live("check", "--targets")
        assert "clinic: whether it has the columns that masking names was not seen" in told.stderr and "a reload looks at it then" in told.stderr
        with pytest.raises(BlockingIOError):
            listening.accept()
    assert "nobody has the group 'enginers'" in told.stderr and not live.notary.refused


@pytest_twisted.ensureDeferred
async def test_what_only_a_restart_takes_is_foreseen(live: Live) -> None:
    """A reload would refuse the file for it."""
    assert "takes a restart" not in (await live("check", "--targets")).stderr
    text = live.tool.config.read_text()
    live.tool.config.write_text(f"{text}\n[[listen]]\nprotocol = \"postgres\"\nendpoint = \"tcp:5999:interface=127.0.0.1\"\n")
    told = await live("check", "--targets")
    assert f"{live.tool.config}:{text.count(chr(10)) + 2}: warning: listen[1]: listeners differ from those that are open, and take a restart; " in told.stderr


@pytest_twisted.ensureDeferred
async def test_a_policy_is_tested_as_somebody_whom_the_store_has(live: Live) -> None:
    """Her groups and her kind are what the rules go by; who is nowhere is said with all who are."""
    rules = '[{ name = "jobs-stop", groups = ["jobs"], classes = ["write"], verdict = "deny", reason = "no" }]'
    template = live.tool.config.read_text()
    head, _, rest = template.partition('rules = [\n  { name = "privileged-writes"')
    live.tool.config.write_text(f"{head}rules = {rules}{rest.partition(chr(10) + ']')[2]}")
    words = ("policy", "test", "-", "--target", "clinic", "--json", "--as")
    await live("identity", "add", "night", "--kind", "workload", "--group", "jobs")
    told = await live(*words, "night", stdin="INSERT INTO t VALUES (1)")
    assert json.loads(told.stdout.splitlines()[0])["rule"] == "jobs-stop"
    told = await live(*words, ADA, stdin="INSERT INTO t VALUES (1)")
    assert json.loads(told.stdout.splitlines()[0])["rule"] != "jobs-stop"
    told = await live(*words, "nigth", code=1)
    assert "no [[identity]] with subject = 'nigth'; there are: " in told.stderr and "night" in told.stderr and "only while" not in told.stderr


@pytest_twisted.ensureDeferred
async def test_a_policy_is_tested_by_the_file_alone_while_the_gateway_is_down(tool: Any) -> None:
    told = await deferToThread(tool, "policy", "test", "-", "--target", "clinic", "--as", "night", code=1)
    assert "whom `ostiary identity add` added is known only while the gateway runs" in told.stderr


def test_a_start_says_in_the_log_what_a_reload_would_say(tool: Any) -> None:
    """What the file shows at once; what targets show when they were looked at, and nothing twice."""
    tool.config.write_text(tool.config.read_text() + STRANGERS)
    config = load(tool.config)
    office = Office.of(config, Clock())
    looks = Looks(office, Clock())

    def logged(tell: Callable[[Config], None]) -> list[str]:
        with capturedLogs() as events:
            tell(config)
        return [str(formatEvent(one)) for one in events]

    try:
        begun, settled, again, reloaded = map(logged, (looks.begin, looks.settle, looks.settle, looks.log))
    finally:
        office.close()
    assert any("nobody has the group 'enginers'" in line for line in begun) and not any("not seen" in line for line in begun)
    [unseen] = settled
    assert unseen.startswith("clinic: whether it has the columns that masking names was not seen") and again == []
    assert reloaded == [unseen, *begun]


def test_who_asked_about_a_configuration_that_another_one_overtook_hears_of_that(tool: Any) -> None:
    """A reload whose answer never came would seem to have failed."""
    tool.config.write_text(tool.config.read_text() + STRANGERS)
    older, newer = load(tool.config), load(tool.config)
    office = Office.of(older, Clock())
    looks, dialled = Looks(office, Clock()), []
    looks._accounts = SimpleNamespace(fit=lambda entry, addons: dialled.append(Deferred()) or dialled[-1])  # type: ignore[assignment]
    try:
        told = [looks.look(one) for one in (older, newer, newer)]
        dialled[0].errback(ConnectionError())
        assert not any(one.called for one in told)
        dialled[1].errback(ConnectionError())
        assert [got(one)["not_looked_at"] for one in told] == [["clinic"]] * 3
    finally:
        office.close()


def test_who_closes_the_office_waits_for_no_target(tool: Any) -> None:
    """It is hung up, and nothing is said of it."""
    tool.config.write_text(tool.config.read_text() + STRANGERS)
    config = load(tool.config)
    office = Office.of(config, Clock())
    looks, answer, hung_up = Looks(office, Clock()), Deferred(lambda _: hung_up.append(True)), []
    looks._accounts = SimpleNamespace(fit=lambda entry, addons: answer)  # type: ignore[assignment]
    with capturedLogs() as events:
        looks.settle(config)
        looks.close()
        office.close()
    assert hung_up == [True] and events == []


@pytest_twisted.ensureDeferred
async def test_a_port_of_the_api_that_another_has_is_said_with_the_line_to_change(tool: Any) -> None:
    """Sessions go on without it, so the log is where it is said."""
    with socket.create_server(("127.0.0.1", 0)) as taken, capturedLogs() as logged:
        tool.config.write_text(tool.config.read_text().replace('"tcp:0:', f'"tcp:{taken.getsockname()[1]}:'))
        control = Control(load(tool.config), Notary(), reactor)
        control.startService()
        await control.stopService()
    [line] = [number for number, text in enumerate(tool.config.read_text().splitlines(), 1) if "API for approvers" in text]
    [said] = [text for text in map(formatEvent, logged) if text and "the API does not listen" in text]
    assert said.startswith(f"{tool.config}:{line}: control.listen: ") and "write another port" in said


@pytest_twisted.ensureDeferred
async def test_a_mistake_in_the_file_keeps_nobody_from_ending_a_session(live: Live) -> None:
    """Nor from seeing what is not about the place of the mistake."""
    live.tool.config.write_text(live.tool.config.read_text().replace("drain = 30", "drian = 30"))
    live.worker.on_kill = lambda *said: None
    await opened(live)
    await live.worker.count(ADA, 0)
    await live("session", "kill", "s-1")
    text = live.tool.config.read_text().replace("[control]", LISTENER + "[control]")
    live.tool.config.write_text(text + '\n[[addon]]\nuse = "site.nowhere.Importable"\n\n[[addon]]\nuse = "addons.policy.Policy"\ndefault = { read = "alow" }\n')
    assert {one["account"] for one in await live.json("account", "list")} == {"rw", "open"}
    assert "ssh-ed25519" in (await live("ssh", "known-hosts", "--host", "gw")).stdout


@pytest_twisted.ensureDeferred
async def test_what_a_reload_found_wrong_is_told_to_programs_as_a_check_tells_it(live: Live) -> None:
    """By key, words and mend; what only the gateway finds, such as an addon that this shell can import and it cannot, by its words."""
    text = live.tool.config.read_text()
    live.tool.config.write_text(text.replace('auth = "trust"', 'auth = "trusd"'))
    ours = (await live.json("check", code=1))["problems"]
    theirs = f"{live.tool.config}:7: addon[0].use: there is no module site; write a class"
    with pytest.raises(WrongConfig) as wrong:
        load(live.tool.config)
    live.control.office.on_reload = lambda by: fail(CannotSwitch(f"{wrong.value}\n{theirs}"))
    told = await live.json("reload", code=1)
    assert told["error"]["code"] == "OST-606" and theirs in told["error"]["text"]
    other = {"line": 7, "in": [], "key": None, "wrong": "addon[0].use: there is no module site", "mend": "write a class"}
    assert ours[0]["key"] == "target[0].account[1].auth" and told["problems"] == [*ours, other]


@pytest_twisted.ensureDeferred
async def test_another_users_socket_is_not_trusted(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said to who is not the gateway: a token would be lost to it."""
    monkeypatch.setattr(door, "peer_credentials", lambda connection: (1, os.getuid() + 1, 1))
    assert "served by another user" in (await live("token", "list", code=1)).stderr


@pytest_twisted.ensureDeferred
async def test_another_user_is_not_served(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.control.process.peer_credentials", lambda connection: (1, os.getuid() + 4711, 1))
    assert "did not answer" in (await live("token", "list", code=1)).stderr
    [refused] = live.notary.refused
    assert (refused["tried"], refused["channel"], refused["os_user"]) == ("connect", "cli", f"uid {os.getuid() + 4711}")


@pytest_twisted.ensureDeferred
async def test_a_wrong_token_on_the_command_line_is_recorded_also_where_no_gateway_runs(live: Live) -> None:
    """Then it waits in control's store for the next one."""
    await live("request", "approve", "r-0000000000", "--as", GRACE, token="ost_0000000000_wrong", code=1)
    assert [(one["subject"], one["request"], one["code"]) for one in live.notary.refused] == [(GRACE, "r-0000000000", "OST-601")]
    await live.control.stopService()
    await live("session", "watch", "00000000-0000-4000-8000-000000000000", "--as", ADA, token="wrong", code=1)
    assert len(live.notary.refused) == 1
    live.control.startService()
    assert [(one["subject"], one["session"]) for one in live.notary.refused[1:]] == [(ADA, "00000000-0000-4000-8000-000000000000")]


@pytest_twisted.ensureDeferred
async def test_a_stale_socket_is_no_control(live: Live) -> None:
    """kill -9 leaves the file behind: commands work on the store, and the next start takes its place."""
    path = admin_socket(load(live.tool.config))
    await live.control.stopService()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    assert await live.json("request", "list") == []
    live.control.startService()
    assert live.control.office is not None and await live.json("session", "list") == []


@pytest_twisted.ensureDeferred
async def test_an_unrecorded_yes_is_said_to_be_one(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The notary is down: the answer is kept, and the approver is told that nothing runs yet."""
    from gateway.control.errors import ControlUnavailable

    monkeypatch.setattr(Notary, "grant", lambda *said: fail(ControlUnavailable("down")))
    token = (await live.json("token", "issue", GRACE))["token"]
    pending = await live.worker.submit(asked())
    waiting = live.worker.answer(pending["request"])
    told = await live("request", "approve", pending["request"], "--as", GRACE, token=token)
    assert "as soon as the evidence can be written" in told.output and not waiting.called
    monkeypatch.setattr(Notary, "grant", lambda *said: succeed(None))
    assert (await waiting.addTimeout(PATIENCE, reactor))["state"] == "granted"
