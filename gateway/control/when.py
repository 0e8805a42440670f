"""A time as evidence and people have it: ISO 8601, in UTC."""

from __future__ import annotations

import datetime


def iso(seconds: float) -> str:
    """Of seconds since 1970; whole seconds are enough for what lasts."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
