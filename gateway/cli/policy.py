"""
`ostiary policy test`: why each statement of a file is decided as it is, without a target and without running anything.
`ostiary policy replay`: which recorded statements a new policy would decide differently.

Only `[[identity]]`, `[[target]]` and the policy addon of a configuration are read. There is no catalog here, so functions
of the database that the policy does not list show as `function-unlisted`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click
import postgast

from addons.policy import Policy
from addons.sql.finding import dotted
from addons.sql.parse import Unparsable, parse
from addons.sql.rules import Ruling, strictest
from gateway.cli import draft
from gateway.cli.show import say, terminal
from protocols.command import Statement
from protocols.hooks import DecidedHook
from protocols.session import Session
from protocols.verdict import Allow, Decision

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def policy() -> None:
    """What statements would be decided, and why."""


@policy.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--as", "subject", required=True, metavar="IDENTITY", help="An identity of the configuration, or while the gateway runs one that was added.")
@click.option("--target", required=True, help="A target of the configuration, NAME or NAME+ACCOUNT.")
@click.option(
    "--config", type=_FILE, envvar="OSTIARY_CONFIG",
    default="ostiary.toml", show_default=True, help="The gateway's configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line for each statement.")
def test(file: TextIO, subject: str, target: str, config: Path, as_json: bool) -> None:
    """Decide every statement of FILE ("-" reads standard input) as if IDENTITY sent them to the target one by one; exits with 1 if any does not parse."""
    entries = draft.read(config)
    judge, session = draft.policy_of(config, entries), draft.session_of(config, entries, subject, target)
    if session.target.protocol != "postgres":
        raise click.ClickException(f"{target} speaks {session.target.protocol}, and this judges SQL; docs/ssh-policy.md is about its rules")
    unparsable = False
    for answer in examine(judge, session, file.read()):
        say(answer, None) if as_json else click.echo(_shown(answer))
        unparsable = unparsable or "unparsable" in answer["classes"]
    click.echo("This is policy's answer only: access, masking and limits are asked too, and may refuse what it allows.", err=True)
    raise SystemExit(1 if unparsable else 0)


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
                "relations": sorted(map(dotted, found.relations)) if found else [],
                "columns": sorted(found.columns) if found else [],
                "functions": sorted(map(dotted, found.functions)) if found else [],
                **_ruled(rulings),
                **_fault(line, one),
            }
        judge.on_decided(DecidedHook(session, Decision(command, Allow(), one)))


def _ruled(rulings: list[Ruling]) -> dict[str, str]:
    if not rulings:
        return {"verdict": "allow", "rule": "", "why": "is empty"}
    found = strictest(rulings)
    return {"verdict": found.verdict, "rule": found.rule.name if found.rule else f"default.{found.kind}", "why": found.why}


def split(text: str) -> Iterator[tuple[int, str]]:
    """A script's statements with their first lines; where one does not parse, what is between semicolons, each a piece."""
    data = text.encode("utf-8", "surrogatepass")
    try:
        raw = parse(text).result.stmts
        spans = [(one.stmt_location, one.stmt_location + one.stmt_len if one.stmt_len else len(data)) for one in raw]
    except Unparsable:
        spans = list(_between(text, data))
    for begin, end in spans:
        piece = data[begin:end].decode("utf-8", "surrogatepass")
        start = begin + len(piece.encode("utf-8", "surrogatepass")) - len(piece.lstrip().encode("utf-8", "surrogatepass"))
        yield data.count(b"\n", 0, start) + 1, piece.strip()


_SEMICOLON, _OPEN, _CLOSE = map(ord, ";()")


def _between(text: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Offsets in bytes of pieces that semicolons end, not those in quotes, comments, parentheses and SQL bodies."""
    begin, depth = 0, 0
    last, previous, code = 0, b"", 0
    try:
        tokens = postgast.scan(text).tokens
    except (postgast.PgQueryError, UnicodeEncodeError):  # a quotation or a comment without its end
        yield 0, len(data)
        return
    for token in tokens:
        word = data[token.start : token.end].lower()
        if word.startswith((b"--", b"/*")):
            continue
        if word == b"atomic" and previous == b"begin" or word == b"case" and code:
            code += 1
        elif word == b"end" and code:
            code -= 1
        previous, last = word, token.end
        depth += (token.token == _OPEN) - (token.token == _CLOSE)
        if token.token == _SEMICOLON and depth <= 0 and not code:
            if data[begin : token.start].strip():
                yield begin, token.start
            begin, depth, last = token.end, 0, 0
    if last:
        yield begin, len(data)


def _fault(line: int, text: str) -> dict[str, Any]:
    """Where the grammar stops in a piece that begins at a line, and what it says; empty where it does not."""
    try:
        parse(text)
    except Unparsable as error:
        return {"line": line + text.count("\n", 0, max(error.position - 1, 0)), "why": error.why}
    return {}


def _shown(answer: dict[str, Any]) -> str:
    lines = [f"line {answer['line']}: {answer['statement']}  [{', '.join(answer['classes'])}]"]
    lines += [f"  {key}: {', '.join(answer[key])}" for key in ("relations", "columns", "functions") if answer[key]]
    it = "" if "unparsable" in answer["classes"] else "it "
    lines.append(f"  {answer['verdict']} by {answer['rule'] or 'nothing'}: {it}{answer['why']}")
    return "\n".join(lines)


@policy.command()
@click.option("--policy", "new", required=True, type=_FILE, metavar="NEW", help="A configuration with the policy to try.")
@click.option("--since", default="", help="2026-11-22T10:00Z, or 7d ago (s, m, h, d, w); all there is without it.")
@click.option("--identity", default="", help="Only statements of one identity.")
@click.option("--target", default="", help="Only statements on one target.")
@click.option(
    "--config", type=_FILE, envvar="OSTIARY_CONFIG", default="ostiary.toml", show_default=True,
    help="The gateway's configuration, with its evidence and the policy in force.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line for each difference, then one with the counts.")
def replay(new: Path, since: str, identity: str, target: str, config: Path, as_json: bool) -> None:
    """Which recorded statements the policy of NEW would have decided differently; exits with 1 when there are any."""
    from gateway.cli import audit  # only this command opens evidence
    from gateway.cli.looking import viewing
    from gateway.evidence.query import Query, Search
    from gateway.evidence.replay import Clock, Replay

    clock = Clock()
    judges = [draft.policy_of(file, draft.read(file), clock) for file in (config, new)]
    replaying = Replay(*judges, clock)
    asked = {"policy": new.name, "since": since, "identity": identity, "target": target}
    place, kinds = audit.find(config, None, None), Counter[str]()
    with audit.failing():
        since_ns = _since(since)
        with viewing(place, "policy replay", {name: value for name, value in asked.items() if value}) as looking:
            if looking.bodies is None:
                raise click.ClickException("statements stay closed without the body key; run this where the gateway keeps its state")
            finder = Search(Query(), looking.bodies)
            records = _watched(looking.find(finder), as_json)
            for one in replaying.differences(records, since_ns, identity, target):
                kinds[f"{one.was} to {one.now}"] += 1
                say(one.shown(), None) if as_json else click.echo(one.told(terminal()))
            looking.note_changed(finder)
            _counted(replaying.counts, kinds, as_json)
    raise SystemExit(1 if kinds else 0)


def _since(text: str) -> int:
    from gateway.evidence.query import BadQuery, parse_time

    try:
        return parse_time(text) if text else 0
    except BadQuery as error:
        raise click.UsageError(f"--since: {error}") from None


def _counted(counts: Any, kinds: Counter[str], as_json: bool) -> None:
    say({"differences": dict(kinds), **counts.shown()}, None) if as_json else click.echo(counts.told(kinds))


def _watched(records: Iterable[Any], quiet: bool) -> Iterator[Any]:
    """How far it is, for a person who waits."""
    shown = not quiet and sys.stderr.isatty()
    for number, record in enumerate(records, 1):
        if shown and number % 2000 == 0:
            click.echo(f"\r{number} records", nl=False, err=True)
        yield record
    if shown:
        click.echo("\r", nl=False, err=True)
