"""`ostiary identity`: who is known, from the file and from control's store."""

from __future__ import annotations

import click

from gateway.cli.door import Door, configured, secret
from gateway.cli.show import one, rows
from protocols.session import KINDS

COLUMNS = ("subject", "kind", "groups", "on_behalf_of", "from", "revoked")


@click.group()
def identity() -> None:
    """People, jobs and agents."""


@identity.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """All identities."""
    rows(door.call("identity_list"), COLUMNS, as_json, "There are none. Add an [[identity]] to the file.")


@identity.command()
@click.argument("subject")
@configured
def show(door: Door, as_json: bool, subject: str) -> None:
    """One identity and its tokens."""
    shown = door.call("identity_show", subject=subject)
    one(shown, as_json, COLUMNS)
    if not as_json:
        rows(shown["tokens"], ("id", "state", "expires", "last_used", "note"), False, "It has no tokens.")


@identity.command()
@click.argument("subject")
@configured
def check(door: Door, as_json: bool, subject: str) -> None:
    """Whether a token (asked for) would let this identity in, and as whom."""
    shown = door.call("identity_check", subject=subject, token=secret(f"Token of {subject}"))
    shown["token_id"] = shown.pop("token")
    one(shown, as_json, ("subject", "kind", "groups", "on_behalf_of", "expires"))


@identity.command()
@click.argument("subject")
@click.option("--kind", type=click.Choice(KINDS), default="human", show_default=True)
@click.option("--group", "groups", multiple=True, help="Once per group.")
@click.option("--on-behalf-of", help="The person an agent or job acts for.")
@configured
def add(door: Door, as_json: bool, subject: str, kind: str, groups: tuple[str, ...], on_behalf_of: str | None) -> None:
    """Add an identity to control's store. One in the file wins over it."""
    shown = door.call("identity_add", subject=subject, kind=kind, groups=list(groups), on_behalf_of=on_behalf_of)
    one(shown, as_json, COLUMNS)


@identity.command()
@click.argument("subject")
@click.option("--why", default="", help="What the evidence is told.")
@configured
def revoke(door: Door, as_json: bool, subject: str, why: str) -> None:
    """Refuse it from now on and end its sessions, whatever the file says."""
    one(door.call("identity_revoke", subject=subject, why=why), as_json, (*COLUMNS, "ended"))


@identity.command()
@click.argument("subject")
@configured
def restore(door: Door, as_json: bool, subject: str) -> None:
    """Undo `revoke`. Tokens that were revoked stay so."""
    one(door.call("identity_restore", subject=subject), as_json, COLUMNS)
