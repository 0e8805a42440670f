"""Seconds to words."""

from __future__ import annotations


def span(seconds: float) -> str:
    """As a person says it, in the largest unit that is exact."""
    whole = max(1, round(seconds))
    count, unit = next((whole // each, name) for each, name in ((3600, "hour"), (60, "minute"), (1, "second")) if whole % each == 0)
    return f"{count} {unit}{'' if count == 1 else 's'}"
