"""
What turns a store of version n into one of version n+1. Entries are never edited once released.

Each runs inside the one transaction that also writes the new version number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _index_tokens_by_subject(tables: Mapping[str, Any], txn: Any) -> None:
    """1 -> 2: SCRAM names a subject, not a token, so a subject's tokens must be found without reading all."""
    for identifier, token in list(tables["tokens"].items(txn)):
        tables["tokens_by_subject"].put(txn, f"{token['subject']}\0{identifier}", {})


def _revoke_certificates(tables: Mapping[str, Any], txn: Any) -> None:
    """2 -> 3: nothing to change; a program that knows no revoked certificates must not open a store that has some."""


def _ask_for_codes(tables: Mapping[str, Any], txn: Any) -> None:
    """3 -> 4: nothing to change; a program that asks for no one-time codes must not let in whoever has to give one."""


MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any], Any], None]] = {
    1: _index_tokens_by_subject, 2: _revoke_certificates, 3: _ask_for_codes,
}
