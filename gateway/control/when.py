"""What control says as people and programs have it: moments in ISO 8601 and UTC, and what is not there as null."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

TIMES = frozenset({"created", "expires", "last_used", "revoked", "changed", "opened", "at", "until", "shut_until"})
"""What holds a moment wherever control says it, as seconds since 1970; people and programs are told it in ISO 8601."""

MAY_BE_EMPTY = frozenset({"text", "value", "hex", "sql"})
"""What is there even where nothing is in it, such as a parameter's empty text; elsewhere "" is what is not there."""


def iso(seconds: float) -> str:
    """Of seconds since 1970; whole seconds are enough for what lasts."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(value: Any, name: str = "") -> Any:
    """A value of control's as JSON has it, of the CLI and of the API: also bytes in hexadecimal; `docs/operating.md` says so."""
    if isinstance(value, Mapping):
        return {key: told(inside, key) for key, inside in value.items()}
    if isinstance(value, (list, tuple)):
        return [told(inside) for inside in value]
    if isinstance(value, bytes):
        return value.hex()
    if value == "" and name and name not in MAY_BE_EMPTY:
        return None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return iso(value) if number and name in TIMES else value
