"""`ostiary check [CONFIG]`: every problem of a configuration, with its key path and how to mend it. Exit 1 if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.show import say
from gateway.config import MASKING, Config
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
            said = [{"line": p.line, "in": list(p.names), "key": p.key, "wrong": p.wrong, "mend": p.mend} for p in error.problems]
            say({"file": str(config), "problems": said})
        else:
            click.echo(str(error), err=True)
        raise SystemExit(1) from None
    warnings = [*lonely(read), *unanswered(read)]
    if as_json:
        say({"file": str(config), "problems": [], "warnings": warnings})
        return
    click.echo(
        f"{config}: right. {_counted(len(read.listens), 'listener')}, {_counted(len(read.targets), 'target')}, "
        f"{_counted(len(read.identities), 'identity', 'identities')}, {_counted(len(read.addons), 'addon')}."
    )
    for warning in warnings:
        click.echo(f"{config}: warning: {warning}", err=True)


def lonely(config: Config) -> Iterator[str]:
    """Groups that are asked for approval and in which the file has too few people; control's store may have more."""
    people = [one for one in config.identities.values() if one.kind == "human"]
    for group in sorted({name for addon in config.addons for name in _asked(addon.options)}):
        able = [one.subject for one in people if group in one.groups]
        mend = "add people to it here or with `ostiary identity add`"
        if not able:
            yield f"nobody in this file is in {group}, which approves; {mend}"
        elif len(able) == 1:
            yield f"only {able[0]} is in {group}, which approves, and nobody approves their own; {mend}"


def unanswered(config: Config) -> Iterator[str]:
    """Look-ups that masking permits where a floor refuses them."""
    columns = [one for addon in config.addons if addon.use == MASKING for one in addon.options.get("columns", ())]
    for entry in config.targets.values():
        floored = [account.name for account in entry.accounts if account.floor]
        sought = [
            f"{one['relation']}.{one['column']}" for one in columns
            if one.get("lookup") and entry.name in (one.get("targets") or [entry.name])
            and (not one.get("databases") or set(one["databases"]) & set(entry.databases))
        ]
        if floored and sought:
            yield (
                f"target {entry.name} has a floor for {', '.join(floored)}, where nothing is looked up by a masked column: `lookup` of "
                f"{', '.join(sought)} serves only sessions without a floor; whoever looks up needs an account without one"
            )


def _asked(options: Any) -> Iterator[str]:
    """The groups under every `approvers` of an addon's options."""
    if isinstance(options, Mapping):
        named = options.get("approvers", ())
        yield from (name for name in named if isinstance(name, str)) if isinstance(named, list | tuple) else ()
    inside = options.values() if isinstance(options, Mapping) else options if isinstance(options, list | tuple) else ()
    for one in inside:
        yield from _asked(one)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
