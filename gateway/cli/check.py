"""`ostiary check [CONFIG]`: every problem of a configuration, with its key path and how to mend it. Exit 1 if there are any."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.door import Door
from gateway.cli.show import clean, say
from gateway.control.fitting import names
from gateway.toml import WrongConfig, load
from gateway.warnings import Known, for_programs, in_words, warnings

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("config", metavar="[CONFIG]", type=_FILE, required=False)
@click.option(
    "--config", "named", type=_FILE, envvar="OSTIARY_CONFIG", default="ostiary.toml", show_default=True,
    help="The same, as the other commands take it.",
)
@click.option("--targets", is_flag=True, help="Log in to the targets too: what masking and rules name must be there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config: Path | None, named: Path, targets: bool, as_json: bool) -> None:
    """
    Validate a configuration without starting anything.

    With --targets it says beforehand what a reload says of targets: which of masking's columns one has not, and so refuses everybody
    (exit 1), and which relations, columns and functions of rules. A target is dialled as it is in force, never as only the file has it.
    """
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
    if targets:
        found = door.call("config_look", file=str(config.resolve()))
    else:
        found = {"warnings": for_programs(warnings(read, Known.of(read, door.heard("identity_list"), door.heard("account_list"))))}
    refusing = found.get("refusing", {})
    if as_json:
        say({"file": str(config), "problems": [], **found})
    else:
        click.echo(
            f"{config}: {'right' if not refusing else 'its targets have not what it names'}. "
            f"{_counted(len(read.listens), 'listener')}, {_counted(len(read.targets), 'target')}, "
            f"{_counted(len(read.identities), 'identity', 'identities')}, {_counted(len(read.addons), 'addon')}."
        )
        if not targets and any(names(read.addons, entry) for entry in read.targets.values()):
            click.echo("Whether its targets have the columns that masking names was not looked at: ostiary check --targets")
        for line in in_words(config, {"refusing": {}, "not_looked_at": [], **found}, now=False):
            click.echo(clean(line), err=True)
    if refusing:
        raise SystemExit(1)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
