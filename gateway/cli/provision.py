"""
`ostiary target provision`: the floor of an account as SQL to review and run on the target, and what differs there.

The gateway never runs it: whoever administers the server does. It is written from this file and from the server's catalog.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.cli.door import Door, configured
from gateway.cli.left import leave
from gateway.cli.show import say
from gateway.config import MASKING, Account, Config, TargetEntry


@click.command()
@click.argument("name")
@click.option("--account", default="", help="Whose floor; the first account that has one if not given.")
@click.option("--database", default="", help="Which of the target's databases; its default one if not given.")
@click.option("--print", "printing", is_flag=True, help="Print the SQL.")
@click.option("--check", "checking", is_flag=True, help="Say what differs on the server; exit 1 when anything does.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the SQL there.")
@configured
def provision(
    door: Door, as_json: bool, name: str, account: str, database: str, printing: bool, checking: bool, out: Path | None
) -> None:
    """
    The SQL of target NAME's floor: masked views, and a role that cannot read masked columns.

    Needs `floor = "ACCOUNT"` at an account of the target. Run it again whenever tables or masking's columns change.
    """
    if not (printing or checking or out):
        leave("say what is wanted: --print or --out FILE for the SQL, --check for what differs on the server")
    if not door.runs:
        leave("no gateway runs on this configuration; start it, since it is what logs in to targets")
    config = door.config()
    asked = _asked(config, name, account, database)
    told = door.call("target_floor", **asked)
    if out is not None:
        out.write_text(told["sql"])
    if as_json:
        say(told)
    elif printing:
        click.echo(told["sql"], nl=False)
    elif checking:
        click.echo("\n".join(told["differences"]) or f"the floor {told['floor']} stands as this configuration wants it")
    if not printing:
        _warn_of_secret(door, config.targets[name], asked["name"])
    if checking and told["differences"]:
        raise SystemExit(1)


def _warn_of_secret(door: Door, target: TargetEntry, name: str) -> None:
    """A floor that stands and that the gateway cannot log in to refuses everybody who sees masks."""
    from gateway.warnings import unentered  # with all that reads a configuration

    account, secrets = target.account(name), {(one["target"], one["account"]) for one in door.call("account_list")}
    for why, mend in unentered(secrets, target.name, name, account.auth if account else ""):
        click.echo(f"ostiary: warning: {why}; {mend}", err=True)


def _asked(config: Config, name: str, account: str, database: str) -> dict[str, Any]:
    """Everything that control needs of the file, which may be newer than the one in force."""
    entry = config.targets.get(name)
    if entry is None:
        leave(f"the file has no target {name}. `ostiary target list` shows them.")
    chosen = _chosen(entry, account)
    masking = [addon.options for addon in config.addons if addon.use == MASKING]
    if not masking:
        leave(f"the file has no addon {MASKING}, so nothing is masked and there is nothing to build a floor for")
    floor = entry.account(chosen.floor)
    return {
        "target": name, "database": database or entry.database, "account": chosen.user, "floor": floor.user if floor else "",
        "others": [one.user for one in entry.accounts if not entry.is_floor(one.name)],
        "name": chosen.floor,
        "columns": [column for options in masking for column in options.get("columns", ())],
        "functions": [function for options in masking for function in options.get("functions", ())],
    }


def _chosen(entry: TargetEntry, account: str) -> Account:
    found = entry.account(account) if account else next((one for one in entry.accounts if one.floor), None)
    if found is None or not found.floor:
        leave(
            f'{f"account {account}" if account else "no account"} of target {entry.name} has a floor: add [[target.account]] with a name '
            f'and user for it, and floor = "that name" at the account that it stands for'
        )
    return found
