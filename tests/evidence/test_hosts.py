"""What was done at a host is told in SSH's words; its JSON is that of all records."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.evidence import hosts, values
from gateway.evidence.readable import summary

OUTCOME = {"command": 1, "ending": "complete", "sqlstate": "", "rows": 0, "bytes": 7, "cells_masked": 0, "copied_bytes": 0,
           "micros": 1500, "transaction": "I"}  # fmt: skip


@pytest.mark.parametrize(("ending", "facts", "said"), [
    ("complete", {"exit": "3", "received_bytes": "3", "stderr_bytes": "1", "sent_bytes": "0"}, "exit 3, 3 bytes out, 1 byte on standard error"),
    ("complete", {"exit": "0"}, "exit 0"),
    ("complete", {"signal": "TERM", "sent_bytes": "2"}, "ended by signal TERM, 2 bytes in"),
    ("error", {"status": "3"}, "permission denied"),
    ("error", {"status": "31"}, "SFTP status 31"),
    ("complete", {"written_bytes": "4000", "written_sha256": "ab"}, "done, 4000 bytes written"),
    ("complete", {"written_bytes": "9", "write": "failed"}, "done, 9 bytes written, a write failed"),
    ("unknown", {"cut": "nobody observes it"}, "ended by the gateway: nobody observes it"),
    ("unknown", {}, "end unknown"),
    ("refused", {}, "did not run"),
], ids=["exit", "nothing said", "signal", "file refused", "code of later servers", "file", "failed write", "cut", "gone", "not run"])  # fmt: skip
def test_how_a_command_ended_is_said_and_nothing_of_rows(ending: str, facts: dict[str, str], said: str) -> None:
    shown = {"kind": "outcome", "fields": {**OUTCOME, "ending": ending}, "body": {"facts": facts}}
    assert summary(shown, "ssh") == f"{said}, 1.5 ms"
    assert "0 rows" in summary(shown, "postgres")


def test_a_client_that_is_done_just_leaves() -> None:
    assert summary({"kind": "closed", "fields": {}, "body": {"why": "client gone"}}, "ssh") == "the client left"
    assert summary({"kind": "closed", "fields": {}, "body": {"why": "killed by ops"}}, "ssh") == "killed by ops"


def test_fields_that_only_databases_have_are_left_out_unless_they_say_something() -> None:
    own, told = hosts.parts(OUTCOME, {"tags": [], "facts": {"exit": "3"}, "copied_sha256": {"base64": ""}})
    assert own == {"command": 1, "ending": "complete", "bytes": 7, "micros": 1500} and told == {"exit": "3"}
    assert hosts.parts({**OUTCOME, "rows": 2}, {})[0]["rows"] == 2


@pytest.mark.parametrize(("path", "recorded", "said"), [
    ("exec", [0, 0, "LANG=C"], ("variable", "LANG=C")), ("shell", [0, 0, "on a terminal"], ("terminal", "on a terminal")),
    ("file", [0, 1, {"base64": "L3g="}], ("path", "/x")), ("exec", [0, 1, {"base64": "/w=="}], ("exact bytes", "\\xff")),
    ("", [0, 0, "a"], ("$1", "a")),
], ids=["variable", "terminal", "file", "a line that is no text", "a database's"])  # fmt: skip
def test_what_a_command_was_given_has_a_name(path: str, recorded: list[Any], said: tuple[str, str]) -> None:
    assert list(values.fields({"parameters": [recorded]}, path)) == [said]


@pytest.mark.parametrize("protocol", ["ssh", "postgres"])
def test_a_session_whose_worker_is_gone_is_listed_as_lost_and_its_command_as_unknown(protocol: str) -> None:
    """The notary's own records of them: without a word of the worker's, a number in the session, or a duration."""
    assert summary({"kind": "closed", "number_in_session": 0, "fields": {"commands": 0}}, protocol) == "lost: its worker was gone"
    outcome = {"kind": "outcome", "fields": {**OUTCOME, "ending": "unknown", "micros": 0}}
    assert summary(outcome, protocol) == "unknown: its worker, or the notary, was gone before anybody heard what came of it"
