"""`ostiary check [CONFIG]`: every problem of a configuration, with its key path and how to mend it. Exit 1 if there are any."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.toml import WrongConfig, load

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
            said = [{"key": p.key, "wrong": p.wrong, "mend": p.mend} for p in error.problems]
            click.echo(json.dumps({"file": str(config), "problems": said}, ensure_ascii=False, indent=2))
        else:
            click.echo(str(error), err=True)
        raise SystemExit(1) from None
    if as_json:
        click.echo(json.dumps({"file": str(config), "problems": []}, indent=2))
        return
    click.echo(
        f"{config}: right. {_counted(len(read.listens), 'listener')}, {_counted(len(read.targets), 'target')}, "
        f"{_counted(len(read.identities), 'identity', 'identities')}, {_counted(len(read.addons), 'addon')}."
    )


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
