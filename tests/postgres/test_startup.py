"""Which settings a client may bring, and how `options` reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import PeerError
from protocols.postgres.startup import harmless, read_options, wants_replication


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("   ", {}),
        ("-c statement_timeout=5s", {"statement_timeout": "5s"}),
        ("-cstatement_timeout=5s", {"statement_timeout": "5s"}),
        ("--statement-timeout=5s", {"statement_timeout": "5s"}),
        ("-c DateStyle=ISO -c TimeZone=UTC", {"datestyle": "ISO", "timezone": "UTC"}),
        (r"-c DateStyle=ISO,\ MDY", {"datestyle": "ISO, MDY"}),
        (r"-c a=x\\y", {"a": r"x\y"}),
        ("-c a=", {"a": ""}),
        ("-c a=b=c", {"a": "b=c"}),
        ("-c a=1 -c a=2", {"a": "2"}),
        ("\t-c\na=1\r", {"a": "1"}),
    ],
)
def test_options_read_as_the_server_reads_them(text: str, settings: dict[str, str]) -> None:
    assert read_options(text) == settings


@pytest.mark.parametrize("text", ["-c", "-c a", "--a", "-c =x", "-W 5", "-s", "-f x", "a=b", "-o -c", "-", "--", "-B 5"])
def test_other_switches_are_refused(text: str) -> None:
    """A server has more of them than settings."""
    with pytest.raises(PeerError):
        read_options(text)


@given(st.text(max_size=60))
def test_any_options(text: str) -> None:
    try:
        assert all(name == name.lower() for name in read_options(text))
    except PeerError:
        pass


@pytest.mark.parametrize(
    ("name", "value", "passes"),
    [
        ("application_name", "psql", True),
        ("timezone", "Europe/Vienna", True),
        ("client_encoding", "UTF8", True),
        ("client_encoding", "'utf-8'", True),  # asyncpg
        ("client_encoding", "unicode", True),
        ("client_encoding", "LATIN1", False),
        ("client_encoding", "utf8x", False),
        ("standard_conforming_strings", "on", True),
        ("standard_conforming_strings", "off", False),
        ("backslash_quote", "on", False),
        ("search_path", "evil", False),
        ("role", "postgres", False),
        ("session_authorization", "postgres", False),
        ("session_replication_role", "replica", False),
        ("row_security", "off", False),
        ("local_preload_libraries", "x", False),
        ("log_statement", "none", False),
        ("anything_new", "1", False),
    ],
)
def test_what_changes_meaning_does_not_pass(name: str, value: str, passes: bool) -> None:
    assert harmless(name, value) is passes


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("true", True), ("database", True), ("on", True), ("1", True), ("yes", True), ("DATABASE", True), ("junk", True),
     ("false", False), ("off", False), ("0", False), ("no", False), ("FALSE", False), ("", False)],
)
def test_replication_is_anything_but_a_plain_no(value: str, wanted: bool) -> None:
    assert wants_replication({"replication": value}) is wanted
    assert not wants_replication({})
