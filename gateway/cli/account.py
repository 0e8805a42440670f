"""`ostiary account`: service logins at targets. Their secrets go in and are never shown."""

from __future__ import annotations

import click

from gateway.cli.door import Door, configured, key, secret
from gateway.cli.left import leave
from gateway.cli.show import rows
from gateway.config import Account, Config, TargetEntry

COLUMNS = ("target", "account", "user", "auth", "secret", "changed", "catalog")


@click.group()
def account() -> None:
    """The logins that clients never see."""


@account.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """
    All accounts, and whether their secrets are entered.

    CATALOG: which account reads the database's catalog for policy and masking; where none is marked, the first one does.
    """
    config, secrets = door.config("target"), {(s["target"], s["account"]): s for s in door.call("account_list")}
    found = [
        {
            "target": target.name, "account": one.name, "user": one.user, "auth": one.auth, "catalog": _catalog(target, one, as_json),
            "secret": _state(one, (target.name, one.name) in secrets),
            "changed": secrets.get((target.name, one.name), {}).get("changed"),
        }
        for target in config.targets.values() for one in target.accounts
    ]
    rows(found, COLUMNS, as_json, "There are none. Add a [[target]] with a [[target.account]] to the file.")


@account.command("secret")
@click.argument("target")
@click.argument("name", metavar="ACCOUNT")
@configured
def secret_(door: Door, as_json: bool, target: str, name: str) -> None:
    """Enter an account's password, from a prompt or the first line of stdin; or its private key, all of stdin."""
    auth = _find(door.config("target"), target, name).auth
    if auth not in ("password", "key"):
        leave(f"{target}+{name} does not log in with a password; see its `auth` in the file")
    entered = secret(f"Password of {target}+{name}") if auth == "password" else key(f"{target}+{name}")
    door.call("account_secret", target=target, account=name, password=entered)
    click.echo(f"The secret of {target}+{name} is stored. Try it with: ostiary target check {target} --account {name}", err=True)


@account.command()
@click.argument("target")
@click.argument("name", metavar="ACCOUNT")
@configured
def forget(door: Door, as_json: bool, target: str, name: str) -> None:
    """Delete an account's password."""
    door.call("account_forget", target=target, account=name)
    click.echo(f"The secret of {target}+{name} is deleted.", err=True)


def _catalog(target: TargetEntry, account: Account, as_json: bool) -> bool | str | None:
    """Whether this account reads the catalog; people are told which one does instead. None of a host, which has none."""
    if target.protocol == "ssh":
        return None
    reader = target.catalog_account
    if as_json:
        return account is reader
    return "read by this" if account is reader else f"read by {reader.name}"


def _state(account: Account, entered: bool) -> str:
    if account.auth not in ("password", "key"):
        return "not needed"
    return "entered" if entered else "MISSING"


def _find(config: Config, target: str, name: str) -> Account:
    entry = config.targets.get(target)
    found = entry.account(name) if entry else None
    if found is None:
        leave(f"the file has no account {target}+{name}. `ostiary account list` shows them.")
    return found
