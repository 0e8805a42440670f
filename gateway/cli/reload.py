"""`ostiary reload`: the running gateway reads its configuration again, and says whether it took it. Exit 1 if not."""

from __future__ import annotations

import json

import click

from gateway.cli.door import Door, configured


@click.command()
@configured
def reload(door: Door, as_json: bool) -> None:
    """Have the running gateway read its configuration again."""
    revision = door.call("config_reload")["revision"]
    click.echo(json.dumps({"revision": revision}) if as_json else f"revision {revision} is in force")
