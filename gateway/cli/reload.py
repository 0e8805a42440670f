"""
`ostiary reload`: the running gateway reads its configuration again, and says whether it took it.

Exit 1 if it did not; 2 if it did, and a target refuses everybody under it, since masking names what is not there.
"""

from __future__ import annotations

import click

from gateway.cli.door import Door, configured
from gateway.cli.show import clean, say

REFUSING = 2


@click.command()
@configured
def reload(door: Door, as_json: bool) -> None:
    """Have the running gateway read its configuration again."""
    told = door.call("config_reload")
    from gateway.cli.warnings import for_programs, warn, warnings  # with all that reads a configuration

    found = warnings(door.config(vetted=True), door)
    if as_json:
        say(told | {"warnings": for_programs(found)})
    else:
        click.echo(f"revision {told['revision']} is in force")
        for name in told["not_looked_at"]:
            click.echo(f"{name}: whether it has the columns that masking names was not seen; ostiary target check {name} says why", err=True)
        for name, wrong in told["refusing"].items():
            for why in wrong:
                click.echo(f"{name} NOW REFUSES EVERYBODY who sees a column masked (OST-520): {clean(why)}", err=True)
        warn(door.path, found)
    if told["refusing"]:
        raise SystemExit(REFUSING)
