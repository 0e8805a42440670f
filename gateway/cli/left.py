"""
How a command ends without what it was asked for: words on stderr, an exit code, and for programs the same on stdout.

The words are said at once. JSON is printed in one place, `gateway.cli.main`, whoever noticed that something is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import click


NO_FILE = "give --config, set OSTIARY_CONFIG, or make one with `ostiary init`"
"""What to do where the configuration is not."""


class Left(SystemExit):
    """
    :ivar why: the words.
    :ivar refusal: the code of what refused it; None where nothing did that has one.
    :ivar more: what programs are told beside the error.
    """

    def __init__(self, why: str, refusal: str | None = None, exit_code: int = 1, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(exit_code)
        self.why, self.refusal, self.more = why, refusal, more or {}


def leave(why: str, refusal: str | None = None, *, exit_code: int = 1, more: Mapping[str, Any] | None = None) -> NoReturn:
    """Say what is wrong and what to do, with the code behind its first line, and exit."""
    first, newline, rest = (why.replace(f" ({refusal})", "") if refusal else why).partition("\n")
    colon = ":" if newline and first.endswith(":") else ""
    click.echo(f"ostiary: {first.removesuffix(colon)}{f' [{refusal}]' if refusal else ''}{colon}{newline}{rest}", err=True)
    raise Left(why, refusal, exit_code, more)
