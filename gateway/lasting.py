"""What a running gateway is built on: settings that only a start takes from the file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from gateway.config import Config
from gateway.section import Problem

KEYS = {
    "name": "gateway.name", "state": "gateway.state", "workers": "gateway.workers", "audit": "audit", "control_listen": "control.listen",
    "certificate": "tls.certificate", "key": "tls.key",
}
"""Of a Config's fields, where the file has them. `listens` besides."""

_MEND = "restart the gateway, or take the change back: until then no reload is taken"


def lasting(runs: Config, config: Config) -> Iterator[Problem]:
    """
    Where a file differs in them from what runs.

    :param runs: as it was started. :param config: as the file is now.
    """
    for field, key in KEYS.items():
        if getattr(runs, field) != getattr(config, field):
            yield Problem(key, "differs from what the gateway runs with, and takes a restart", _MEND)
    pairs = zip_longest(runs.listens, config.listens)
    place = next((place for place, (before, now) in enumerate(pairs) if before != now), None)
    if place is not None:
        key = f"listen[{place}]" if place < len(config.listens) else "listen"
        yield Problem(key, "listeners differ from those that are open, and take a restart", _MEND)
