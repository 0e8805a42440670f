"""No name and no address leads a forward around a registered target's listener; what cannot be told is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from addons.ssh.ssh import Ssh
from protocols.command import Forward, ForwardKind
from protocols.hooks import CommandHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny

WEB = Target("web1", "ssh", "web1.corp", 22)
SESSION = Session("s", Identity("ada"), WEB, "root", "", "p")
REGISTRY = [WEB, Target("clinic", "postgres", "db.corp", 5432), Target("other", "postgres", "10.0.0.8", 5432), Target("lost", "postgres", "gone.corp", 6432)]
HOSTS = {
    "web1.corp": ["10.0.0.1"], "db.corp": ["10.0.0.9", "2001:db8::9"], "alias.corp": ["10.0.0.9"], "six.corp": ["2001:db8::9"],
    "mapped.corp": ["::ffff:10.0.0.8"], "me.corp": ["127.0.0.1"], "free.corp": ["10.0.0.77"], "two.corp": ["10.0.0.77", "10.0.0.8"],
}  # fmt: skip


class Resolver:
    """Knows a few names."""

    def __init__(self, hosts: Mapping[str, list[str]] = HOSTS) -> None:
        self._hosts, self.asked = hosts, []

    def addresses(self, name: str) -> Deferred[Any]:
        self.asked.append(name)
        return succeed(frozenset(self._hosts.get(name, ())))


def judged(host: str, port: int = 5432, resolver: Resolver | None = None, **how: Any) -> str:
    addon = Ssh(default={"forward": "allow"}, registry=REGISTRY, names=resolver or Resolver(), **how)
    verdict = addon.on_command(CommandHook(SESSION, Forward(ForwardKind.DIRECT, host, port, 0)))
    if isinstance(verdict, Deferred):
        verdict = verdict.result
    return "allow" if isinstance(verdict, Allow) else verdict.code if isinstance(verdict, Deny) else repr(verdict)


@pytest.mark.parametrize("host", ["alias.corp", "ALIAS.corp.", "six.corp", "mapped.corp", "two.corp", "10.0.0.9", "167772169", "::ffff:10.0.0.9", "[2001:db8::9]", "db.corp"])
def test_another_name_or_address_of_a_registered_target_is_that_target(host: str) -> None:
    """Also one of several, and where the target is registered by its name."""
    assert judged(host) == "OST-212"


def test_a_name_for_this_very_host_is_the_sessions_own() -> None:
    assert judged("me.corp", 22) == "OST-212" and judged("localhost", 22) == "OST-212" and judged("10.0.0.1", 22) == "OST-212"


@pytest.mark.parametrize("host", ["free.corp", "10.0.0.77", "me.corp"])
def test_what_leads_elsewhere_passes(host: str) -> None:
    assert judged(host) == "allow"


def test_a_name_that_cannot_be_looked_up_is_refused_unless_a_rule_has_it() -> None:
    """The target may know it. A glob is not its name."""
    rule = {"name": "r", "verdict": "allow", "destinations": ["inner.corp:5432"]}
    assert judged("inner.corp") == "OST-212"
    assert judged("inner.corp", rules=[rule]) == "allow"
    assert judged("inner.corp", rules=[{**rule, "destinations": ["*.corp:5432"]}]) == "OST-212"
    assert judged("alias.corp", rules=[{**rule, "destinations": ["alias.corp:5432"]}]) == "OST-212"


def test_a_target_that_cannot_be_looked_up_may_be_anywhere() -> None:
    assert judged("free.corp", 6432) == "OST-212" and judged("10.0.0.77", 6432) == "OST-212"


def test_nothing_is_looked_up_where_no_target_has_that_port() -> None:
    resolver = Resolver()
    assert judged("inner.corp", 8080, resolver) == "allow" and not resolver.asked
    assert judged("alias.corp", registered="allow", resolver=resolver) == "allow" and not resolver.asked
