"""Where a jump leads: registered names and addresses as they are written, and nowhere else."""

from __future__ import annotations

import pytest

from gateway.config import Account, TargetEntry
from gateway.ssh.doors import account, door

ACCOUNTS = (Account("root", "root"), Account("app", "deploy"), Account("blue", "www"), Account("green", "www"))


def entry(name: str, host: str, port: int = 22, protocol: str = "ssh") -> TargetEntry:
    return TargetEntry(name, protocol, host, port, "", (), ACCOUNTS)


TARGETS = (
    entry("web1", "10.0.0.5"), entry("Web2", "web2.corp.example", 2222), entry("db", "10.0.0.9", 5432, "postgres"),
    entry("twin", "one.example"), entry("TWIN", "two.example"), entry("a", "127.0.0.1", 2200), entry("b", "127.0.0.1", 2201),
)


@pytest.mark.parametrize(("host", "port", "name"), [
    ("web1", 22, "web1"), ("WEB1", 22, "web1"), ("10.0.0.5", 22, "web1"), ("web2", 22, "Web2"), ("web2", 2222, "Web2"),
    ("web2.corp.example", 2222, "Web2"), ("127.0.0.1", 2200, "a"), ("127.0.0.1", 2201, "b"), ("one.example", 22, "twin"),
])  # fmt: skip
def test_a_name_or_an_address_leads_to_its_target(host: str, port: int, name: str) -> None:
    found = door("ada", TARGETS, host, port)
    assert found is not None and (found.subject, found.entry.name, found.host) == ("ada", name, host.lower())


@pytest.mark.parametrize(("host", "port"), [
    ("web3", 22), ("web1", 2222), ("web1.", 22), ("10.0.0.5.", 22), ("167772165", 22), ("0x0a000005", 22), ("::ffff:10.0.0.5", 22),
    ("[10.0.0.5]", 22), ("10.5", 22), ("10.0.0.5", 2222), ("web2.corp.example", 22), ("db", 22), ("db", 5432), ("10.0.0.9", 5432), ("twin", 22),
    ("localhost", 2200), ("127.1", 2200), ("127.0.0.1", 22), ("", 22), ("web1\0", 22), (" web1", 22), ("ada@web1", 22),
])  # fmt: skip
def test_any_other_spelling_leads_nowhere(host: str, port: int) -> None:
    """A name of two targets too, and a target of another protocol."""
    assert door("ada", TARGETS, host, port) is None


@pytest.mark.parametrize(("user", "name"), [("root", "root"), ("app", "app"), ("deploy", "app"), ("www", "www"), ("ada", "ada")])
def test_the_user_inside_is_an_account_or_the_login_of_just_one(user: str, name: str) -> None:
    assert account(TARGETS[0], user) == name
