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
    """
    Have the running gateway read its configuration again, and say what is hardly meant in it.

    `ostiary check` says beforehand what is wrong with the file and what is hardly meant, and changes nothing.
    """
    told = door.call("config_reload")
    if as_json:
        say(told)
    else:
        from gateway.warnings import in_words  # with all that reads a configuration

        click.echo(f"revision {told['revision']} is in force")
        for line in in_words(door.path, told):
            click.echo(clean(line), err=True)
    if told["refusing"]:
        raise SystemExit(REFUSING)
