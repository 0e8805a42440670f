"""A client of a notary that a test plays, and what was sent to it by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.journal import Journal
from gateway.notary.record import BODY_FIELDS, COMMON, FIELDS, parse_event, unpack


class Client:
    """Keeps what is sent; a test plays the notary."""

    why_down = "not up yet"

    def __init__(self, number: int | None = 5) -> None:
        self.worker = number
        self.appends: list[tuple[int, int, list[list[Any]]]] = []

    def listen(self, listener: Journal) -> None:
        self.listener = listener
        if self.worker is not None:
            listener.up(self.worker)

    def append(self, worker: int, first: int, items: Sequence[Sequence[Any]]) -> None:
        self.appends.append((worker, first, [list(item) for item in items]))

    def items(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(fields, body) by name of everything sent."""
        return [named(item) for _, _, items in self.appends for item in items]


def named(item: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    fields = parse_event(item[0])
    names, body = (*COMMON, *FIELDS[fields[0]]), unpack(item[1])
    known = BODY_FIELDS[fields[0]][: len(body)]
    assert "function_oid" in known or "function_oid" not in BODY_FIELDS[fields[0]]
    return dict(zip(names, fields, strict=True)), dict(zip(known, body, strict=True))
