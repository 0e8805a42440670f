"""`ostiary session`: who is connected to what, now, and what they see."""

from __future__ import annotations

import click

from gateway.cli.door import Door, configured
from gateway.cli.left import leave
from gateway.cli.show import as_text, one, rows
from gateway.cli.watch import watch
from gateway.control.opener import shown

COLUMNS = ("id", "subject", "on_behalf_of", "target", "protocol", "account", "database", "peer", "opened")


@click.group()
def session() -> None:
    """Live sessions. Past ones are in the evidence: `ostiary audit search`."""


session.add_command(watch)


@session.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """Live sessions of all workers."""
    found = door.call("session_list") if door.runs else []
    nothing = "There are none." if door.runs else "The gateway does not run, so there are none."
    rows([shown(one) for one in found], COLUMNS, as_json, nothing)


@session.command()
@click.argument("identifier", metavar="ID")
@configured
def show(door: Door, as_json: bool, identifier: str) -> None:
    """One live session. The beginning of its ID is enough, where no other begins so."""
    one(shown(_running(door).call("session_show", session=identifier)), as_json)


@session.command()
@click.argument("identifier", metavar="ID")
@click.option("--why", default="", help="What its client and the evidence are told.")
@configured
def kill(door: Door, as_json: bool, identifier: str, why: str) -> None:
    """End a session. The beginning of its ID is enough, where no other begins so."""
    ended = _running(door).call("session_kill", session=identifier, why=why)
    if as_json:
        one(shown(ended), as_json)
    else:
        click.echo(f"Ended session {ended['id']} of {as_text('subject', ended['subject'])} on {as_text('target', ended['target'])}.")


def _running(door: Door) -> Door:
    if not door.runs:
        leave("the gateway does not run, so there are no live sessions")
    return door
