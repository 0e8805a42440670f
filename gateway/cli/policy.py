"""
`ostiary policy test`: why each statement of a file is decided as it is, without a target and without running anything.

Only `[[identity]]`, `[[target]]` and the policy addon of `ostiary.toml` are read. There is no catalog here, so
functions of the database that the policy does not list show as `function-unlisted`.
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from addons.policy import Policy
from addons.sql.parse import Unparsable, parse
from addons.sql.rules import Ruling, strictest
from protocols.command import Statement
from protocols.hooks import DecidedHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision

_POLICY = "addons.policy.Policy"


@click.group()
def policy() -> None:
    """What statements would be decided, and why."""


@policy.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--as", "subject", required=True, metavar="IDENTITY", help="An identity of the configuration.")
@click.option("--target", required=True, help="A target of the configuration, NAME or NAME+ACCOUNT.")
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), envvar="OSTIARY_CONFIG",
    default="ostiary.toml", show_default=True, help="The gateway's configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each statement.")
def test(file: TextIO, subject: str, target: str, config: Path, as_json: bool) -> None:
    """Decide every statement of FILE ("-" reads standard input) as if IDENTITY sent them to the target one by one."""
    entries = _read(config)
    judge, session = _policy(config, entries), _session(config, entries, subject, target)
    for answer in examine(judge, session, file.read()):
        click.echo(json.dumps(answer) if as_json else _shown(answer))


def examine(judge: Policy, session: Session, text: str) -> Iterator[dict[str, Any]]:
    """Each statement's classes, what it touches, and the ruling that decided it."""
    for line, one in split(text):
        command = Statement(one)
        parts = judge.examine(session, command)
        for part, rulings in parts:
            found = part.finding if part is not None else None
            yield {
                "line": line,
                "statement": found.kind if found else "?",
                "classes": [r.kind for r in rulings],
                "relations": sorted(".".join(filter(None, n)) for n in found.relations) if found else [],
                "columns": sorted(found.columns) if found else [],
                "functions": sorted(".".join(filter(None, n)) for n in found.functions) if found else [],
                **_ruled(rulings),
            }
        judge.on_decided(DecidedHook(session, Decision(command, Allow(), one)))


def _ruled(rulings: list[Ruling]) -> dict[str, str]:
    if not rulings:
        return {"verdict": "allow", "rule": "", "why": "is empty"}
    found = strictest(rulings)
    return {"verdict": found.verdict, "rule": found.rule.name if found.rule else f"default.{found.kind}", "why": found.why}


def split(text: str) -> Iterator[tuple[int, str]]:
    """A script's statements with their first lines; text that does not parse is one piece."""
    try:
        raw = parse(text).result.stmts
    except Unparsable:
        yield 1, text
        return
    data = text.encode()
    for statement in raw:
        end = statement.stmt_location + statement.stmt_len if statement.stmt_len else len(data)
        piece = data[statement.stmt_location : end].decode()
        start = statement.stmt_location + len(piece.encode()) - len(piece.lstrip().encode())
        yield data.count(b"\n", 0, start) + 1, piece.strip()


def _shown(answer: dict[str, Any]) -> str:
    lines = [f"line {answer['line']}: {answer['statement']}  [{', '.join(answer['classes'])}]"]
    lines += [f"  {key}: {', '.join(answer[key])}" for key in ("relations", "columns", "functions") if answer[key]]
    lines.append(f"  {answer['verdict']} by {answer['rule'] or 'nothing'}: it {answer['why']}")
    return "\n".join(lines)


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text("utf-8"))
    except OSError as error:
        raise click.ClickException(f"{config}: {error.strerror}; name the file with --config or OSTIARY_CONFIG") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{config}: {error}") from None


def _policy(config: Path, entries: dict[str, Any]) -> Policy:
    """
    :raises click.ClickException: there is none, or it is wrong.
    """
    for index, entry in enumerate(entries.get("addon", [])):
        if entry.get("use") == _POLICY:
            options = {key: value for key, value in entry.items() if key != "use"}
            try:
                return Policy(**options, now=lambda: datetime.datetime.now().astimezone())
            except (ValueError, TypeError) as error:
                raise click.ClickException(f"{config}: addon[{index}].{error}") from None
    raise click.ClickException(f"{config}: no [[addon]] uses {_POLICY}")


def _session(config: Path, entries: dict[str, Any], subject: str, target: str) -> Session:
    name, _, account = target.partition("+")
    who = _entry(config, entries, "identity", "subject", subject)
    where = _entry(config, entries, "target", "name", name)
    accounts = [a["name"] for a in where.get("account", [])] or [""]
    if account and account not in accounts:
        raise click.ClickException(f"{config}: target {name} has no account {account!r}; it has {', '.join(accounts)}")
    identity = Identity(subject, who.get("kind", "human"), frozenset(who.get("groups", ())), on_behalf_of=who.get("on_behalf_of"))
    host, _, port = where.get("address", "localhost:5432").rpartition(":")
    return Session(
        "policy-test", identity, Target(name, where.get("protocol", "postgres"), host, int(port)),
        account or accounts[0], where.get("database", ""), "policy-test",
    )


def _entry(config: Path, entries: dict[str, Any], table: str, key: str, value: str) -> dict[str, Any]:
    known = entries.get(table, [])
    found = next((e for e in known if e.get(key) == value), None)
    if found is None:
        names = ", ".join(sorted(e.get(key, "?") for e in known))
        raise click.ClickException(f"{config}: no [[{table}]] with {key} = {value!r}; there are: {names}")
    return found
