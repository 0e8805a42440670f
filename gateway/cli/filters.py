"""Which records are meant: the filters that `tail`, `search` and `export` take alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from gateway.evidence.query import ANY_COLUMN, Query, parse_time


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the filters, and hands the command a Query."""
    for option in reversed(
        (
            click.option("--identity", default=None, help="Who, exactly."),
            click.option("--identity-kind", default=None, help="human, workload or agent: what they did in sessions, and asked for in them."),
            click.option("--on-behalf-of", default=None, help="For whom an agent or a workload did it, exactly."),
            click.option("--target", default=None, help="A target's name."),
            click.option("--since", default=None, help="From this time on: 2026-11-22T10:00Z, …+01:00, without a zone UTC; or 90m ago (s, m, h, d, w)."),
            click.option("--until", default=None, help="Before this time; as --since."),
            click.option("--kind", default=None, help="intent, outcome, refusal, opened, note, …; viewed, exported, watched; or a note's own, such as site.ticket or site.*"),
            click.option("--verdict", default=None, help="allow or deny."),
            click.option("--text", default=None, help="Part of a statement or of any other text, in any case; of configurations with --kind admin alone."),
            click.option("--session", default=None, help="A session's id, or its beginning; with what approved its commands."),
            click.option("--alarm", is_flag=True, help="Only alarms: masking met what it should not have had to mask."),
            click.option("--request", default=None, help="A request's id: its asking, answers, grant and commands."),
            click.option(
                "--disclosed", default=None, is_flag=False, flag_value=ANY_COLUMN, metavar="[COLUMN]",
                help='Only commands that may have read a declared column in the clear: "schema.relation.column", or any.',
            ),
        )
    ):
        command = option(command)

    @wraps(command)
    def with_query(**options: Any) -> Any:
        names = ("since", "until", "identity", "identity_kind", "on_behalf_of", "target", "kind", "verdict", "text", "session", "request", "alarm", "disclosed")
        given = {name: _filled(name, options.pop(name)) for name in names}
        times = [parse_time(text) if text else None for text in (given.pop("since"), given.pop("until"))]
        return command(query=Query(since_ns=times[0], until_ns=times[1], **given), **options)

    return with_query


def _filled(name: str, value: Any) -> Any:
    """A filter's value; a script's variable that was never set is no wish for everything."""
    if value == "":
        raise click.UsageError(f"--{name.replace('_', '-')} is empty: leave it out to look at everything")
    return "" if value is None else value
