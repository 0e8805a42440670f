"""`ostiary token`: passwords for stock clients, shown once."""

from __future__ import annotations

import click

from gateway.cli.door import Door, configured
from gateway.cli.show import as_text, one, rows, say
from gateway.cli.span import SPAN

COLUMNS = ("id", "subject", "state", "created", "expires", "last_used", "note")


@click.group()
def token() -> None:
    """Tokens: what psql and ssh send as a password."""


@token.command()
@click.argument("subject", metavar="NAME")
@click.option("--ttl", type=SPAN, default="8h", show_default=True, help="How long it is good: 30m, 8h, 7d.")
@click.option("--note", default="", help="What it is for.")
@configured
def issue(door: Door, as_json: bool, subject: str, ttl: float, note: str) -> None:
    """Make a token for an identity. It is shown this once and kept as a hash."""
    made = door.call("token_issue", subject=subject, ttl=ttl, note=note)
    if as_json:
        say(made)
        return
    # stdout holds the token and nothing else, so that it can be piped.
    click.echo(f"Token {made['id']} of {subject}, good until {as_text('expires', made['expires'])}. Shown once:", err=True)
    click.echo(made["token"])


@token.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """All tokens, without what would let anybody in."""
    rows(door.call("token_list"), COLUMNS, as_json, "There are none. Make one with `ostiary token issue NAME`.")


@token.command()
@click.argument("identifier", metavar="ID")
@configured
def revoke(door: Door, as_json: bool, identifier: str) -> None:
    """End a token and the sessions that it opened."""
    one(door.call("token_revoke", token=identifier), as_json, (*COLUMNS, "ended"))
