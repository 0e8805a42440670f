"""
What a client asks for in its StartupMessage: which of its settings may pass, and how `options` reads.

Source: PostgreSQL 18 manual, 54.2.1 "Start-up"; pg_split_opts and process_postgres_switches in the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from protocols.encodings import safe
from protocols.errors import PeerError

Accepts = Callable[[str, str], bool]
"""Whether a setting (name lower-case, value) may be set by a client when it connects."""

HARMLESS = frozenset({
    "application_name", "bytea_output", "client_min_messages", "datestyle", "extra_float_digits",
    "geqo", "idle_in_transaction_session_timeout", "idle_session_timeout",
    "intervalstyle", "jit", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "lock_timeout",
    "statement_timeout", "timezone", "transaction_timeout", "work_mem",
    "default_transaction_read_only", "default_transaction_isolation", "default_transaction_deferrable",
    "synchronous_commit",
})  # fmt: skip
"""Settings that change how answers look or how long they may take, never what a text means."""

_ONLY = {
    "client_encoding": re.compile(r"'?\"?utf-?_?8\"?'?|'?unicode'?", re.IGNORECASE),
    "standard_conforming_strings": re.compile(r"on|true|yes|1", re.IGNORECASE),
    "backslash_quote": re.compile(r"off|safe_encoding", re.IGNORECASE),
}
"""Settings that do change it, and the values with which everything is read here."""

_FALSE = re.compile(r"|0|off|of|n|no|f|fa|fal|fals|false", re.IGNORECASE)  # parse_bool() in the server


def harmless(name: str, value: str) -> bool:
    """The allow-list that holds unless another is handed in."""
    only = _ONLY.get(name)
    return only.fullmatch(value) is not None if only else name in HARMLESS


def wants_replication(parameters: Mapping[str, str]) -> bool:
    """Whether the session would be a WAL sender: true, "database", and anything that is not a plain no."""
    return _FALSE.fullmatch(parameters.get("replication", "")) is None


def read_options(text: str) -> dict[str, str]:
    """
    `-c name=value`, `-cname=value` and `--name=value`; names lower-case with underscores.

    :raises PeerError: any other switch: there is no reason to let a client choose a server's switches.
    """
    settings: dict[str, str] = {}
    words = iter(_split(text))
    for word in words:
        if word == "-c":
            word = next(words, "")
        elif word.startswith("-c") or word.startswith("--"):
            word = word[2:]
        else:
            raise PeerError("start-up options: only -c name=value and --name=value are read")
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise PeerError("start-up options: a setting has no value")
        settings[name.lower().replace("-", "_")] = value
    return settings


def _split(text: str) -> list[str]:
    """Words between white space; a backslash keeps the next character as it is."""
    words = re.findall(r"(?:\\.|[^\s\\]|\\\Z)+", text, re.DOTALL)
    return [re.sub(r"\\(.)|\\\Z", r"\1", word, flags=re.DOTALL) for word in words]


def meaning_changed(name: str, value: str) -> str:
    """Why no text can be judged any more after the target reported this; "" when it still can."""
    if name == "standard_conforming_strings" and value != "on":
        return "standard_conforming_strings was turned off, so text no longer means what it says"
    if name == "client_encoding" and not safe(value):
        return f"client_encoding {value} cannot be read for certain; UTF8 and the single-byte ones can"
    return ""
