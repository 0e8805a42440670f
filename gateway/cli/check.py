"""`ostiary check [CONFIG]`: every problem of a configuration, with its key path and how to mend it. Exit 1 if there are any."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.door import Door
from gateway.cli.show import say
from gateway.toml import WrongConfig, load
from gateway.warnings import Known, for_people, for_programs, warnings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("config", metavar="[CONFIG]", type=_FILE, required=False)
@click.option(
    "--config", "named", type=_FILE, envvar="OSTIARY_CONFIG", default="ostiary.toml", show_default=True,
    help="The same, as the other commands take it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config: Path | None, named: Path, as_json: bool) -> None:
    """Validate a configuration without starting anything."""
    config = config or named
    try:
        read = load(config)
    except WrongConfig as error:
        if as_json:
            say({"file": str(config), "problems": for_programs(error.problems)})
        else:
            click.echo(str(error), err=True)
        raise SystemExit(1) from None
    door = Door(config)
    found = for_programs(warnings(read, Known.of(read, door.heard("identity_list"), door.heard("account_list"))))
    if as_json:
        say({"file": str(config), "problems": [], "warnings": found})
        return
    click.echo(
        f"{config}: right. {_counted(len(read.listens), 'listener')}, {_counted(len(read.targets), 'target')}, "
        f"{_counted(len(read.identities), 'identity', 'identities')}, {_counted(len(read.addons), 'addon')}."
    )
    for line in for_people(config, found):
        click.echo(line, err=True)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
