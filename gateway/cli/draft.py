"""
What `ostiary policy` needs of a configuration: its policy addon, and sessions as its entries describe them.

Nothing else of the file is looked at, so a draft that names certificates or keys of another machine will do.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from addons.policy import Policy
from gateway.cli.door import Door
from gateway.cli.left import NO_FILE
from protocols.session import Identity, Session, Target

_POLICY = "addons.policy.Policy"


def _here() -> datetime.datetime:
    return datetime.datetime.now().astimezone()


def read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise click.ClickException(f"{config}: {(error.strerror or 'cannot be read').lower()}; {NO_FILE}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{config}: {error}") from None


def policy_of(config: Path, entries: dict[str, Any], now: Callable[[], datetime.datetime] = _here) -> Policy:
    """
    :param now: what rules with hours go by.
    :raises click.ClickException: there is none, or it is wrong.
    """
    for index, entry in enumerate(entries.get("addon", [])):
        if entry.get("use") == _POLICY:
            options = {key: value for key, value in entry.items() if key != "use"}
            try:
                return Policy(**options, now=now)
            except (ValueError, TypeError) as error:
                raise click.ClickException(f"{config}: addon[{index}].{error}") from None
    raise click.ClickException(f"{config}: no [[addon]] uses {_POLICY}")


def session_of(config: Path, entries: dict[str, Any], subject: str, target: str) -> Session:
    name, _, account = target.partition("+")
    who = _person(config, entries, subject)
    where = _entry(config, entries, "target", "name", name)
    accounts = [a["name"] for a in where.get("account", [])] or [""]
    if account and account not in accounts:
        raise click.ClickException(f"{config}: target {name} has no account {account!r}; it has {', '.join(accounts)}")
    identity = Identity(subject, who.get("kind", "human"), frozenset(who.get("groups", ())), on_behalf_of=who.get("on_behalf_of") or None)
    host, _, port = where.get("address", "localhost:5432").rpartition(":")
    return Session(
        "policy-test", identity, Target(name, where.get("protocol", "postgres"), host, int(port)),
        account or accounts[0], where.get("database", ""), "policy-test",
    )


def _person(config: Path, entries: dict[str, Any], subject: str) -> dict[str, Any]:
    """The file's, which wins, or one that `ostiary identity add` made; that only a running gateway tells, since nothing else of the file may be right."""
    named = entries.get("identity", [])
    if any(entry.get("subject") == subject for entry in named):
        return _entry(config, entries, "identity", "subject", subject)
    listed = Door(config).heard("identity_list")
    people = {"identity": [*named, *(one for one in listed or () if one["from"] == "store")]}
    more = "" if listed is not None else "; whom `ostiary identity add` added is known only while the gateway runs"
    return _entry(config, people, "identity", "subject", subject, more)


def _entry(config: Path, entries: dict[str, Any], table: str, key: str, value: str, more: str = "") -> dict[str, Any]:
    known = entries.get(table, [])
    found = next((e for e in known if e.get(key) == value), None)
    if found is None:
        names = ", ".join(sorted(e.get(key, "?") for e in known))
        raise click.ClickException(f"{config}: no [[{table}]] with {key} = {value!r}; there are: {names}{more}")
    return found
