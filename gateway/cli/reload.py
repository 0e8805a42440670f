"""
`ostiary reload`: the running gateway reads its configuration again, and says whether it took it.

Exit 1 if it did not; 2 if it did, and a target refuses everybody under it, since masking names what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.door import Door, Said, configured
from gateway.cli.left import leave
from gateway.cli.show import clean, say

REFUSING = 2


@click.command()
@configured
def reload(door: Door, as_json: bool) -> None:
    """
    Have the running gateway read its configuration again, and say what is hardly meant in it.

    `ostiary check` says beforehand what is wrong with the file and what is hardly meant, and changes nothing.
    """
    try:
        told = door.ask("config_reload")
    except Said as refusal:
        leave(str(refusal), refusal.code, more={"file": str(door.path), "problems": list(_problems(door.path, str(refusal)))} if as_json else None)
    if as_json:
        say(told)
    else:
        from gateway.warnings import in_words  # with all that reads a configuration

        click.echo(f"revision {told['revision']} is in force")
        for line in in_words(door.path, told):
            click.echo(clean(line), err=True)
    if told["refusing"]:
        raise SystemExit(REFUSING)


def _problems(path: Path, said: str) -> Iterator[dict[str, Any]]:
    """
    As `ostiary check` has them: those lines of what the gateway said that are about the file. The gateway found them, where it runs; what
    this process finds too is known by its parts, and of the rest, such as an addon that only the gateway can import, the words.
    """
    from gateway.toml import WrongConfig, load, told  # with all that reads a configuration
    from gateway.warnings import for_programs

    file = path.resolve()
    try:
        load(path)
        known = {}
    except WrongConfig as error:
        known = dict(zip((told(file, one) for one in error.problems), for_programs(error.problems), strict=True))
    for line in said.splitlines():
        at = re.fullmatch(rf"{re.escape(str(file))}(?::(\d+))?: (.+)", line)
        if at is not None:
            wrong, _, mend = at[2].partition("; ")
            yield known.get(line) or {"line": int(at[1]) if at[1] else None, "in": [], "key": "", "wrong": wrong, "mend": mend}
