"""`ostiary request`: what waits for people, and their answers. Answering needs the answerer's own token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli.door import Door, configured, own_token
from gateway.cli.left import leave
from gateway.cli.show import as_text, clean, clean_lines, one, rows, say
from gateway.cli.span import SPAN
from gateway.config import MASKING

COLUMNS = ("id", "state", "subject", "target", "rule", "yes", "quorum", "expires", "text")
WHO = ("id", "state", "subject", "kind", "on_behalf_of", "target", "account", "database", "peer", "session", "rule", "why",
       "approvers", "quorum", "created", "expires")  # fmt: skip


@click.group()
def request() -> None:
    """Questions for approvers."""


@request.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that are over, and reveals without a use left.")
@configured
def list_(door: Door, as_json: bool, everything: bool) -> None:
    """Requests that wait, and below them those that expired in the last day."""
    rows(door.call("request_list", everything=everything), COLUMNS, as_json, "There are none.")
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for ended in () if everything or as_json else door.call("request_expired"):
        alike.setdefault((ended["subject"], ended["reason"]), []).append(ended)
    for (subject, reason), several in alike.items():
        when, more = as_text("expires", several[0]["expires"]), f" (and {len(several) - 1} before it: --all)" if several[1:] else ""
        click.echo(f"{several[0]['id']} of {clean(subject)} expired at {when}: {clean(reason)}{more}", err=True)


@request.command()
@click.argument("identifier", metavar="ID")
@configured
def show(door: Door, as_json: bool, identifier: str) -> None:
    """Who, where, what exactly, and why."""
    found = door.call("request_show", request=identifier)
    if as_json:
        one(found, True)
        return
    one(found, False, WHO)
    if found["floor"]:
        click.echo(f"\non the target's floor: it would run as the role {clean(found['floor'])}, whose rights no approval widens (docs/masking.md)")
    click.echo(f"\n{'what is asked for' if found['columns'] else 'as the client sent it'}:\n\n{_indented(found['text'])}\n")
    if found["sent"] and found["sent"] != found["text"]:
        click.echo(f"as the target would get it:\n\n{_indented(found['sent'])}\n")
    for number, parameter in enumerate(found["parameters"], 1):
        name = clean(parameter["name"]) if "name" in parameter else f"parameter ${number} (type {parameter['type']}):"
        click.echo(f"{name} {_value(parameter)}")
    for answer in found["answers"]:
        said = "yes" if answer["yes"] else "no"
        click.echo(f"{as_text('at', answer['at'])}  {clean(answer['who'])}: {said}  {clean(answer['why'])}".rstrip())


def _answer(command: Callable[..., None]) -> click.Command:
    """A person's word on one request, proved by the person's own token."""
    for asked in (
        configured,
        click.option("--why", default="", help="What the requester and the evidence are told."),
        click.option("--as", "subject", required=True, help="Who you are. Your token is asked for, or taken from OSTIARY_TOKEN."),
        click.argument("identifier", metavar="ID"),
    ):
        command = asked(command)
    return request.command()(command)


def _call(door: Door, what: str, *, identifier: str, subject: str, why: str) -> dict[str, Any]:
    return door.call(what, request=identifier, subject=subject, token=own_token(subject), why=why)


@_answer
def approve(door: Door, as_json: bool, **answer: str) -> None:
    """Let exactly this command run, once."""
    _tell(_call(door, "request_approve", **answer), as_json)


@_answer
def deny(door: Door, as_json: bool, **answer: str) -> None:
    """Refuse it. One no is enough."""
    _tell(_call(door, "request_deny", **answer), as_json)


@request.command()
@click.option("--as", "subject", required=True, help="Who will run it. The token is asked for, or taken from OSTIARY_TOKEN.")
@click.option("--target", required=True)
@click.option("--account", default="", help="The target's first one if not given.")
@click.option("--database", default="", help="The target's default one if not given.")
@click.option("--approver", "approvers", multiple=True, help="A group to ask; once per group. For --reveal it is the file's if not given.")
@click.option("--quorum", type=click.IntRange(1), help="How many people must say yes; 1 if not given, for --reveal the file's.")
@click.option("--wait", type=SPAN, default="8h", show_default=True, help="How long to wait for answers.")
@click.option("--lifetime", type=SPAN, help="How long it may then be run; 1h if not given, for --reveal no longer than the file allows.")
@click.option("--why", required=True, help="What approvers and the evidence are told: what it is for.")
@click.option("--reveal", "columns", multiple=True, help="A masked column to see as it is, SCHEMA.RELATION.COLUMN; once per column.")
@click.option("--uses", type=click.IntRange(0), default=1, show_default=True, help="With --reveal: in how many statements; 0 is any number.")
@click.option("-c", "--command", "commands", multiple=True, help="A statement; once per statement, in order.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@configured
def submit(
    door: Door, as_json: bool, subject: str, target: str, columns: tuple[str, ...], uses: int, commands: tuple[str, ...], file: Path | None,
    **asked: Any,
) -> None:
    """
    Ask ahead for statements (of FILE, or -c) that a rule would hold, to be run once and in this order.

    With --reveal: ask to see masked columns as they are. Either way the file decides whose yes counts when they run.
    """
    if columns and (commands or file):
        leave("a reveal is of columns, whatever statements then read them: ask for statements in a request of their own")
    usual = {"quorum": 1, "lifetime": 3600.0} | (_reveal(door) if columns else {})
    asked |= {key: value for key, value in usual.items() if not asked[key]}
    if not asked["approvers"]:
        leave("name the groups to ask: --approver GROUP")
    entry = door.config("target").targets.get(target)
    account = entry.account(asked["account"]) if entry else None
    if entry is None or account is None:
        leave(f"the file has no target {target} with that account. `ostiary target list` shows them.")
    asked |= {"target": target, "account": account.name, "database": asked["database"] or entry.database}
    asked |= {"timeout": asked.pop("wait"), "approvers": list(asked["approvers"])}
    if columns:
        found = door.call("request_reveal", subject=subject, token=own_token(subject), asked=asked, columns=list(columns), uses=uses)
    else:
        statements = [*commands, *(_split(file) if file else [])]
        if entry.protocol == "postgres":
            _readable(statements)
        found = door.call("request_submit", subject=subject, token=own_token(subject), asked=asked, statements=statements)
    if as_json:
        one(found, True)
        return
    click.echo(f"{found['id']} waits for {', '.join(found['approvers'])}, who answer with:")
    click.echo(f"    ostiary request approve {found['id']} --as NAME")


def _reveal(door: Door) -> dict[str, Any]:
    """What to ask for where nothing is given: the groups that may let others see masked columns, and what these may allow."""
    rules = [addon.options["reveal"] for addon in door.config().addons if addon.use == MASKING and "reveal" in addon.options]
    return {
        "approvers": sorted({group for rule in rules for group in rule["approvers"]}),
        "quorum": max((rule.get("quorum", 1) for rule in rules), default=1),
        "lifetime": float(min((3600, *(rule.get("lifetime", 3600) for rule in rules)))),
    }


@_answer
def revoke(door: Door, as_json: bool, **answer: str) -> None:
    """End a reveal that is in force; the next statement sees masks."""
    _tell(_call(door, "request_revoke", **answer), as_json)


def _split(file: Path) -> list[str]:
    """The statements of a file, each as written."""
    from addons.sql.parse import Unparsable, parse

    try:
        text = file.read_text()
        parsed = parse(text)
    except (OSError, UnicodeDecodeError) as error:
        leave(f"{file}: {error}")
    except Unparsable as error:
        leave(f"{file}: {error.why} (character {error.position})")
    raw = text.encode()
    spans = [(one.stmt_location, one.stmt_len or len(raw)) for one in parsed.result.stmts]
    return [raw[start : start + length].decode().strip() for start, length in spans]


def _readable(statements: list[str]) -> None:
    """Whoever says yes must read in the list itself what each statement of it runs."""
    from addons.sql.given import unsaid

    if (name := unsaid(statements)) is not None:
        leave(
            f"no PREPARE or DECLARE before it, or more than one, says what {clean(name)} stands for, so nobody could tell what they say yes to: "
            "write the statement itself in place of its EXECUTE or FETCH"
        )


def _tell(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(told)
        return
    missing = told["quorum"] - told["yes"]
    said = {
        "pending": f"noted; {missing} more must say yes",
        "granting": "approved; it is released as soon as the evidence can be written",
        "granted": "approved; the requester may send the identical command now, once",
        "released": "approved and released",
        "denied": "denied; it will not run",
        "withdrawn": "ended; it shows nothing any more",
    }
    if told["state"] == "granted" and told["mode"] == "reveal":
        said["granted"] = "approved; the requester sees the columns from the next statement on (on a floor: from the next session on)"
    if told["state"] == "granted" and told["mode"] == "list":
        said["granted"] = "approved; the requester may run its statements now, once and in their order"
    click.echo(f"{told['id']}: {said.get(told['state'], told['state'])}.")


def _value(parameter: dict[str, Any]) -> str:
    if "length" in parameter:
        return f"{parameter['length']} bytes, SHA-256 {parameter['sha256']}"
    if "hex" in parameter:
        return f"\\x{parameter['hex']}"
    return "NULL" if parameter["value"] is None else clean(parameter["value"])


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in clean_lines(text).split("\n"))
