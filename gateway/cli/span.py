"""Spans of time as people write them ("8h", "30m", "7d") to seconds."""

from __future__ import annotations

import re
from typing import Any

import click

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Span(click.ParamType):
    """A click type."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        parts = re.fullmatch(r"(\d{1,9})([smhd])", value)
        if parts is None or int(parts[1]) == 0:
            self.fail(f"{value!r} is no span of time; write for example 30m, 8h or 7d", param, ctx)
        return float(int(parts[1]) * _UNITS[parts[2]])


SPAN = Span()
