"""A record in a few words, as listings have it: no form in which it is stored."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.evidence.readable import summary

TOLD: dict[str, tuple[dict[str, Any], str]] = {
    "when it was done, of a note that came later": (
        {"kind": "admin", "fields": {"what": "token.issued"}, "body": {"facts": {"at": "1795680645.235", "subject": "ada"}}},
        "token.issued subject=ada at=2026-11-26T08:10:45.235Z",
    ),
    "several": (
        {"kind": "admin", "fields": {"what": "x"}, "body": {"facts": {"approvers": ["a", "b"], "at": "noon"}}}, "x approvers=a, b at=noon",
    ),
    "one use": (
        {"kind": "approval", "fields": {"grant": "g", "request": "r", "uses": 1}}, "grant g of request r, 1 use",
    ),
    "any number of uses": (
        {"kind": "approval", "fields": {"grant": "g", "request": "r", "uses": 0}}, "grant g of request r, unlimited uses",
    ),
    "what a segment takes over": (
        {"kind": "carry", "fields": {"what": "sessions", "rows": [[{"base64": ""}, 1, "t"]]}}, "still open when the segment began: 1 session",
    ),
    "a clock that was set": ({"kind": "clock", "fields": {"step_ns": -1_500_000_000}}, "the wall clock moved by -1.500 s"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_a_record_is_told_in_words(name: str) -> None:
    shown, said = TOLD[name]
    assert summary(shown) == said
