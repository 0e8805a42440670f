"""`ostiary target`: databases and hosts of the file, and whether the gateway can log in to them."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.discover import discover
from gateway.cli.door import Door, configured
from gateway.cli.left import leave
from gateway.cli.provision import provision
from gateway.cli.show import one, rows
from gateway.config import TargetEntry
from gateway.ssh.lines import read

COLUMNS = ("name", "protocol", "address", "database", "tls", "host_key", "accounts", "labels")


@click.group()
def target() -> None:
    """Registered targets."""


target.add_command(discover)
target.add_command(provision)


@target.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """
    All targets.

    TLS is about databases; HOST KEY is how a host of SSH proves itself: one that the file registers, or one certified by an authority.
    """
    found = [_shown(entry) for entry in door.config("target").targets.values()]
    rows(found, COLUMNS, as_json, "There are none. Add a [[target]] to the file.")


@target.command()
@click.argument("name")
@configured
def show(door: Door, as_json: bool, name: str) -> None:
    """One target."""
    entry = door.config("target").targets.get(name)
    if entry is None:
        leave(f"the file has no target {name}. `ostiary target list` shows them.")
    one(_shown(entry), as_json)


@target.command()
@click.argument("name")
@click.option("--account", default="", help="Which login; the first one if not given.")
@configured
def check(door: Door, as_json: bool, name: str, account: str) -> None:
    """Log in to a target as the gateway would, and leave again. What masking declares there must be there."""
    behind = door.behind()
    if behind is not None:
        click.echo(f"checked against revision {behind}; {door.file} differs: run ostiary reload first", err=True)
    found = door.call("target_check", target=name, account=account)
    one({"target": found["target"], "account": found["account"], "login": "works", **found["facts"]}, as_json)
    if found["facts"].get("masked_columns") == 0:
        click.echo(f"nothing is masked on {name}: no column is declared for it. `ostiary target discover {name}` proposes some", err=True)


@target.command()
@click.argument("name")
@configured
def trust(door: Door, as_json: bool, name: str) -> None:
    """
    Look at a host's key, and print the line with which the file trusts it.

    Nothing is trusted by looking: compare the fingerprint with what the host itself says (ssh-keygen -lf
    /etc/ssh/ssh_host_ed25519_key.pub), write the line, and reload. The target must be in the file, without `host_keys`
    if need be; it need not be in force.
    """
    entry = door.config("target").targets.get(name)
    if entry is None or entry.protocol != "ssh":
        leave(f"the file has no SSH target {name}. `ostiary target list` shows its targets.")
    seen = door.call("target_host_key", target=name, host=entry.host, port=entry.port)
    if as_json:
        one(seen, as_json)
        return
    state = "NOT registered: compare it at the host before you write it"
    if seen["registered"]:
        state = "registered already"
    elif read(seen["line"]) in entry.host_keys:
        state = "in the file already: `ostiary reload` puts it in force"
    click.echo(f"{name} shows {seen['key']}, {state}. Below [[target]]:", err=True)
    click.echo(f'host_keys = ["{seen["line"]}"]')


def _shown(entry: TargetEntry) -> dict[str, Any]:
    host = f"[{entry.host}]" if ":" in entry.host else entry.host
    return {
        "name": entry.name, "protocol": entry.protocol, "address": f"{host}:{entry.port}", "database": entry.database,
        "databases": list(entry.databases), **_proof(entry), "revocation": entry.revocation,
        "accounts": [account.name for account in entry.accounts],
        "floors": [f"{one.name}={one.floor}" for one in entry.accounts if one.floor],
        "labels": [f"{name}={value}" for name, value in entry.labels.items()],
    }


def _proof(entry: TargetEntry) -> dict[str, Any]:
    """By what the gateway knows that it is the target; a host of SSH is encrypted without TLS."""
    if entry.protocol != "ssh":
        ca = str(entry.tls_ca) if entry.tls_ca else None
        return {"tls": entry.tls, "tls_name": entry.tls_name, "tls_ca": ca, "host_key": None, "host_name": None}
    ways = [way for way, given in (("registered", entry.host_keys), ("certified", entry.host_ca)) if given]
    name = entry.tls_name if entry.host_ca else None
    return {"tls": None, "tls_name": None, "tls_ca": None, "host_key": " or ".join(ways), "host_name": name}
