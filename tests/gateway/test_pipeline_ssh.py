"""Commands of SSH in the pipeline: their own hooks, what needs a rule by name, what a grant is bound to, several at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from addons.approval import Approval
from addons.limits import Limits
from gateway.opinions import Opinions
from gateway.pipeline import Pipeline
from gateway.request import binding
from protocols.command import AgentForward, Exec, FileAction, FileOperation, Forward, ForwardKind, Pty, Shell, Statement, X11Forward
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold

SESSION = Session("0190-s", Identity("ada"), Target("web1", "ssh", "web1", 22), "root", "", "127.0.0.1:1")
EXEC = Exec(b"id", 0)
FORWARD = Forward(ForwardKind.DIRECT, "10.0.0.1", 80, 3)


class Judge:
    """Answers commands as told, and would fail on a statement."""

    def __init__(self, answer: Any = None) -> None:
        self.answer, self.heard = answer, []

    def on_judge(self, hook: Any) -> Any:
        raise AssertionError("a command of SSH is no statement")

    on_rewrite = on_ask = on_judge

    def on_command(self, hook: Any) -> Any:
        self.heard.append(hook.command)
        return self.answer


class Approvers:
    """Waits for people."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []

    def submit(self, request: Any) -> Deferred[Any]:
        self.submitted.append(request)
        return succeed({"state": "pending", "request": f"r{len(self.submitted)}"})

    def answer(self, request: str) -> Deferred[Any]:
        return Deferred()

    def withdraw(self, request: str, why: str) -> None: ...


def decided(command: Any, *addons: object) -> Decision:
    decision = Pipeline(addons, Approvers(), Clock()).decide(SESSION, command, lambda *_: None)
    assert isinstance(decision, Decision)
    return decision


def test_commands_have_hooks_of_their_own() -> None:
    judge = Judge(Allow("r"))
    decision = decided(EXEC, judge)
    assert (decision.verdict, decision.sent, judge.heard) == (Allow("r"), "id", [EXEC])
    assert decided(EXEC, Judge(Deny("no"))).verdict == Deny("no")


def test_an_addon_that_fails_on_a_command_refuses_it() -> None:
    assert decided(EXEC, Judge("nonsense")).verdict.code == "OST-901"


@pytest.mark.parametrize("command", [FORWARD, AgentForward(0), X11Forward(0, 0)])
def test_what_widens_a_sessions_reach_needs_a_rule_that_allows_it(command: Any) -> None:
    """Agent, X11 and ports are closed until somebody opens them."""
    assert decided(command).verdict.code == "OST-210"
    assert decided(command, Judge(Allow())).verdict.code == "OST-210"
    assert decided(command, Judge(Allow("tunnels"))).verdict == Allow("tunnels")


def test_a_grant_is_bound_to_what_an_approver_saw() -> None:
    """In another session and on another channel the identical command passes; nothing else does."""
    bound = binding(SESSION, EXEC, "id")
    assert binding(replace(SESSION, id="0190-t"), replace(EXEC, channel=9), "id") == bound
    others = [
        Exec(b"id ", 0), replace(EXEC, pty=Pty("xterm", 80, 24)), replace(EXEC, environment=((b"LANG", b"C"),)), Shell(0),
        Statement("id"), FileOperation(FileAction.REMOVE, b"id", 0),
    ]
    assert len({bound, *(binding(SESSION, other, other.text) for other in others)}) == len(others) + 1


def test_bytes_that_look_alike_are_bound_apart() -> None:
    """The text of b"\\xff" and of the four characters is the same; the commands are not."""
    odd, plain = Exec(b"rm \xff", 0), Exec(rb"rm \xff", 0)
    assert odd.text == plain.text and binding(SESSION, odd, odd.text) != binding(SESSION, plain, plain.text)


def test_a_terminals_size_is_nobodys_question() -> None:
    assert binding(SESSION, Shell(0, Pty("xterm", 80, 24)), "") == binding(SESSION, Shell(0, Pty("xterm", 132, 50)), "")


def test_several_commands_of_one_session_are_judged_again_after_a_reload() -> None:
    """Both that wait, not only the last."""
    hold = Hold("r", "why", frozenset({"leads"}))
    old, new = (Pipeline([Judge(answer)], Approvers(), Clock()) for answer in (hold, Deny("closed now")))
    current = [old]
    opinions, said = Opinions(lambda: (current[0], 1), SESSION), []
    for line in (b"one", b"two"):
        opinions.decide(Exec(line, 0), lambda *_: None).addCallback(lambda decision: said.append(decision.verdict))
    current[0] = new
    opinions.reconsider()
    assert said == [Deny("closed now")] * 2


def test_approval_asks_about_what_runs_and_not_about_each_file() -> None:
    asks = Approval(rules=[{"name": "always", "approvers": ["leads"]}])
    approvers = Approvers()
    chain = Pipeline([asks], approvers, Clock())
    assert isinstance(chain.decide(SESSION, EXEC, lambda *_: None), Deferred)
    assert approvers.submitted[0]["text"] == "id"
    assert decided(FileOperation(FileAction.REMOVE, b"/x", 0), asks).verdict == Allow()


def test_limits_count_what_runs_and_not_each_file() -> None:
    limits = Limits(per_minute=1, clock=Clock())
    chain = Pipeline([limits], Approvers(), Clock())
    operation = FileOperation(FileAction.REMOVE, b"/x", 0)
    said = [chain.decide(SESSION, command, lambda *_: None).verdict for command in (EXEC, operation, operation, EXEC)]
    assert [getattr(verdict, "code", "") for verdict in said] == ["", "", "", "OST-404"]


def test_variables_outside_a_short_list_need_an_addon() -> None:
    """What a loader or an interpreter obeys is not in it."""
    chain = Pipeline([], Approvers(), Clock())
    assert chain.accepts_variable("LANG", "C") and chain.accepts_variable("LC_ALL", "C")
    assert not any(chain.accepts_variable(name, "x") for name in ("LD_PRELOAD", "BASH_ENV", "PATH", "PYTHONSTARTUP", "LC"))

    class Strict:
        def accepts_variable(self, name: str, value: str) -> bool:
            if name == "BROKEN":
                raise RuntimeError("a bug")
            return name == "FOO"

    chain = Pipeline([Strict()], Approvers(), Clock())
    assert chain.accepts_variable("FOO", "x") and not chain.accepts_variable("LANG", "C") and not chain.accepts_variable("BROKEN", "x")


def test_what_comes_to_a_listener_was_named_with_it() -> None:
    """Whoever allowed the listener by name has allowed what comes; a refusal still refuses."""
    came = Forward(ForwardKind.INCOMING, "localhost", 8080, originator=("1.2.3.4", 9))
    assert isinstance(decided(came, Judge()).verdict, Allow)
    assert isinstance(decided(came, Judge(Deny("no", "SITE-1"))).verdict, Deny)
    assert isinstance(decided(Forward(ForwardKind.REMOTE, "localhost", 8080), Judge()).verdict, Deny)
