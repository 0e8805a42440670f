"""What the tour checks with: the server's log against the evidence, and ids in what psql prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateway.demo.proof import _subjects, _unrecorded
from gateway.demo.stage import Waiting, request_in

LOADED = "2026-11-22 22:00:00.000 UTC [1] postgres@clinicdb LOG:  statement: VACUUM ANALYZE;\n"


def line(text: str, role: str = "clinic_app") -> str:
    return f"2026-11-22 22:00:01.123 UTC [77] {role}@clinicdb LOG:  statement: {text}\n"


def intent(text: str, sent: str | None = None, kind: str = "intent") -> dict[str, object]:
    return {"kind": kind, "body": {"text": text, "sent": sent, "identity": "ada"}}


def test_a_statement_without_a_record_is_found() -> None:
    """By its text, as sent or as rewritten."""
    log = LOADED + line("SELECT 1") + line("SELECT 2") + line("SELECT masked")
    records = [intent("SELECT 1"), intent("SELECT raw", "SELECT masked")]
    assert _unrecorded(log, records) == ["SELECT 2"]


def test_a_refusal_is_no_record_of_running() -> None:
    """A refused statement in the server's log is the worst that could be."""
    assert _unrecorded(LOADED + line("DROP TABLE t"), [intent("DROP TABLE t", kind="refusal")]) == ["DROP TABLE t"]


def test_statements_of_several_lines_are_whole() -> None:
    """PostgreSQL indents what follows with a tab."""
    assert _unrecorded(LOADED + line("SELECT\n\t1,\n\t2"), []) == ["SELECT\n1,\n2"]
    assert _unrecorded(LOADED + line("SELECT\n\t1"), [intent("SELECT\n1")]) == []


def test_others_do_not_count() -> None:
    """The demo's own superuser, the catalog's reader, and the loading before any client."""
    log = line("COPY patients FROM STDIN;") + LOADED + line("SELECT 1", "postgres") + line("SELECT 2", "clinic_catalog")
    assert _unrecorded(log, []) == []


def test_subjects_come_from_bodies() -> None:
    """Records without one are of no person."""
    assert _subjects([intent("x"), {"kind": "worker"}, {"kind": "note", "body": {"facts": {}}}]) == {"ada", None}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('DETAIL:  {"code": "OST-300", "request": "r-77da2f682b"}', "r-77da2f682b"),
        ("ERROR:  relation does not exist", ""),
        ("error-77da2f682b", ""),
    ],
)
def test_a_requests_id_is_found(text: str, found: str) -> None:
    assert request_in(text) == found


def python(code: str) -> Waiting:
    return Waiting([sys.executable, "-c", code], {})


def test_a_notice_is_heard_while_its_program_waits(tmp_path: Path) -> None:
    """Up to the hint; what comes behind it belongs to the answer."""
    gate = tmp_path / "gate"
    code = (
        "import os, sys, time\n"
        "print('NOTICE:  held\\nHINT:  ask somebody', file=sys.stderr)\n"
        f"os.mkfifo({str(gate)!r}); open({str(gate)!r}).read()\n"
        "print('UPDATE 1')"
    )
    waiting = python(code)
    assert waiting.notice() == "NOTICE:  held\nHINT:  ask somebody\n" and not waiting.answered
    while not gate.exists():
        pass
    gate.write_text("go")
    said = waiting.end()
    assert (said.text, said.code) == ("UPDATE 1\n", 0)


def test_lines_come_in_the_order_they_were_written() -> None:
    """Rows and errors are interleaved as on a terminal."""
    said = python("import sys\nfor n in range(3): print(n); print('e', n, file=sys.stderr)").end()
    assert said.text == "0\ne 0\n1\ne 1\n2\ne 2\n"


def test_a_program_that_says_no_notice_ends_it() -> None:
    """Then there is no request's id either, and the check that wants one is wrong."""
    waiting = python("print('UPDATE 1')")
    assert request_in(waiting.notice()) == ""
    assert waiting.end().code == 0


def test_who_is_killed_says_nothing_more() -> None:
    """As a laptop that dies."""
    waiting = python("import time; time.sleep(1000)")
    waiting.kill()
    assert waiting.answered
