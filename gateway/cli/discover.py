"""
`ostiary target discover`: which columns seem to hold what must be masked, as a fragment for the masking addon to review.

It proposes and proves nothing. Values are sampled by control, which hands on counts only; each sampling is recorded.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.door import Door, Said, configured
from gateway.cli.left import leave
from gateway.cli.show import clean as printable
from gateway.cli.show import rows as table
from gateway.cli.show import say

_MASKING = "addons.masking.Masking"
_COLUMNS = ("relation", "column", "type", "holds", "by", "sampled", "matches", "strategy", "declared")

_KEEPS = {"partial": 4, "date": "year"}


@click.command()
@click.argument("name")
@click.option("--database", default="", help="Which of the target's databases; its default one if not given.")
@click.option("--account", default="", help="Which login reads; the one that reads the catalog if not given.")
@click.option("--rows", default=200, show_default=True, type=click.IntRange(1, 10_000), help="How many rows of each table are looked at.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the fragment there instead of to stdout.")
@configured
def discover(door: Door, as_json: bool, name: str, database: str, account: str, rows: int, out: Path | None) -> None:
    """Propose columns of target NAME to mask, by their names and by what a sample of their values looks like."""
    if not door.runs:  # it is asked once for every table
        leave("no gateway runs on this configuration; start it, since it is what logs in to targets")
    where = {"target": name, "account": account, "database": database}
    config = door.config("target", "addon")
    entry = config.targets.get(name)
    found = door.call("target_relations", **where)
    declared = _declared(config.addons, name, database or (entry.database if entry else ""))
    proposals: list[dict[str, Any]] = []
    failed: list[str] = []
    clean: list[str] = []
    for schema, relation in _watched(found):
        label = f"{schema}.{relation}"
        try:
            answer = door.ask("target_sample", schema=schema, relation=relation, rows=rows, **where)
        except Said as refusal:
            failed.append(f"{label}: {refusal}")
            continue
        proposals += [{"relation": label, **one, **_kept(one), "declared": (label, one["column"]) in declared} for one in answer]
        clean += [] if answer else [label]
    for complaint in failed:
        click.echo(f"not sampled: {complaint}", err=True)
    if as_json:
        say({"relations": len(found), "proposals": proposals, "nothing_found_in": clean, "not_sampled": failed})
        return
    table(proposals, _COLUMNS, False, f"Nothing in {len(found)} tables looks like what must be masked. That proves nothing.")
    if proposals and clean:
        click.echo(f"\nNothing was found in {', '.join(map(printable, clean))}. That proves nothing.")
    fragment = written([one for one in proposals if not one["declared"]], name)
    if fragment and out is not None:
        out.write_text(fragment)
        click.echo(f"\nwritten to {out}: review it, put its columns under the masking addon, then `ostiary check`")
    elif fragment:
        click.echo("\n" + fragment, nl=False)
    if failed and not proposals:
        leave("no table could be sampled")


def _watched(found: list[list[str]]) -> Iterator[list[str]]:
    """How far it is, for a person who waits."""
    if not sys.stderr.isatty():
        yield from found
        return
    with click.progressbar(found, label=f"{len(found)} tables", file=sys.stderr) as bar:
        yield from bar


def _declared(addons: Any, target: str, database: str) -> set[tuple[str | None, str | None]]:
    """What the file masks there already."""
    entries = [one for addon in addons if addon.use == _MASKING for one in addon.options.get("columns", ())]
    return {
        (one.get("relation"), one.get("column")) for one in entries
        if target in (one.get("targets") or [target]) and database in (one.get("databases") or [database])
    }


def _kept(one: Mapping[str, Any]) -> dict[str, Any]:
    """The strategy's `keep`, where it has one."""
    return {"keep": _KEEPS[one["strategy"]]} if one["strategy"] in _KEEPS else {}


def written(proposals: list[Mapping[str, Any]], target: str) -> str:
    """The proposals as TOML; each line says why it is there."""
    if not proposals:
        return ""
    lines = [f"# Proposed for target {target}: review each line, then put them under `columns` of {_MASKING}.", "columns = ["]
    for one in proposals:
        keep = f", keep = {json.dumps(one['keep'])}" if "keep" in one else ""
        counted = f" ({one['matches']} of {one['sampled']})" if one["matches"] else ""
        names = f"relation = {json.dumps(one['relation'])}, column = {json.dumps(one['column'])}"
        lines.append(
            f'  {{ {names}, strategy = "{one["strategy"]}"{keep}, targets = [{json.dumps(target)}] }},  # {one["holds"]}, by {one["by"]}{counted}'
        )
    return "\n".join([*lines, "]", ""])
