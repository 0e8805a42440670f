"""
Which variables a client may set at a target where no addon has an opinion: languages and colours, which run nothing.
"""

from __future__ import annotations

_NAMES = frozenset({"LANG", "LANGUAGE", "COLORTERM", "NO_COLOR", "TZ", "GIT_PROTOCOL"})


def harmless(name: str) -> bool:
    """TZ and LC_* name files to some programs, but only below their own folders."""
    return name in _NAMES or name.startswith("LC_")
