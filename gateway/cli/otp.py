"""`ostiary otp`: authenticator apps, whose one-time codes SSH asks for behind a key, a certificate or a token."""

from __future__ import annotations

import io
import sys

import click

from gateway.cli.door import Door, configured
from gateway.cli.show import rows, say


@click.group()
def otp() -> None:
    """One-time codes of authenticator apps, SSH's second step."""


@otp.command()
@click.argument("subject", metavar="IDENTITY")
@configured
def enroll(door: Door, as_json: bool, subject: str) -> None:
    """Make a secret for an identity's authenticator app. It is shown this once; a QR code of it too, on a terminal."""
    made = door.call("otp_enroll", subject=subject)
    if as_json:
        say(made)
        return
    click.echo(f"For the authenticator app of {subject}. Shown once; to type it in: {made['secret']}", err=True)
    if sys.stderr.isatty():
        click.echo(_picture(made["uri"]), err=True)
    click.echo(made["uri"])  # stdout holds it and nothing else, so that it can be piped


@otp.command()
@click.argument("subject", metavar="IDENTITY")
@configured
def remove(door: Door, as_json: bool, subject: str) -> None:
    """Forget an identity's authenticator app, lost or replaced. What it shows from then on lets nobody in."""
    done = door.call("otp_remove", subject=subject)
    if as_json:
        say(done)
    elif done["required"]:
        click.echo(f"Removed. {subject} has to give a code, and comes in by SSH no more until: ostiary otp enroll {subject}")
    else:
        click.echo(f"Removed. {subject} is asked for no code any more, but where a listener asks everybody.")


@otp.command("list")
@configured
def list_(door: Door, as_json: bool) -> None:
    """Who has an authenticator app, and who has to have one."""
    columns = ("subject", "enrolled", "required", "created", "last_used", "shut_until")
    rows(door.call("otp_list"), columns, as_json, "Nobody has one, and nobody has to. Make one with `ostiary otp enroll IDENTITY`.")


def _picture(uri: str) -> str:
    """A QR code in characters, two rows to a line."""
    import segno  # only this needs it

    drawn = io.StringIO()
    segno.make_qr(uri, error="m").terminal(out=drawn, compact=True)
    return drawn.getvalue()
