"""One event is one line, whoever wrote it; a failure's text stays out."""

from __future__ import annotations

import io
import json
from typing import Any

from twisted.logger import Logger, LogLevel, textFileLogObserver
from twisted.python.failure import Failure

from gateway.logs import LINE_LIMIT, ChildLines, ChildObserver, OneLine, one_line

CANARY = "078-05-1120"


def written(event: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    ChildObserver(out)(event)
    return out.getvalue().splitlines()


def test_a_newline_in_a_value_makes_no_second_line() -> None:
    """A client's application name cannot forge a log line, nor colour a terminal."""
    event = {"log_format": "from {app}", "app": "psql\n2026 root logged in\x1b[31m", "log_level": LogLevel.info}
    (line,) = written(event)
    assert json.loads(line)["text"] == "from psql\\n2026 root logged in\\x1b[31m"


def test_a_failure_is_logged_without_its_text() -> None:
    """An exception may quote a row; class and places remain."""
    try:
        raise ValueError(f"bad value {CANARY}")
    except ValueError:
        failure = Failure()
    for event in (
        {"log_format": "oops", "log_failure": failure, "log_level": LogLevel.critical},
        {"log_failure": failure, "isError": 1, "why": None, "log_text": str(failure), "log_format": "{log_text}"},
    ):
        text = one_line(event)
        assert CANARY not in text and "ValueError at test_a_failure_is_logged_without_its_text" in text


def test_an_unhandled_error_in_a_deferred_is_one_line() -> None:
    """Twisted's own event for it, as Logger.failure makes it."""
    events: list[dict[str, Any]] = []
    try:
        raise KeyError(CANARY)
    except KeyError:
        Logger(observer=events.append).failure("Unhandled error in Deferred:")
    (line,) = written(events[0])
    assert CANARY not in line and "KeyError" in line


def test_the_text_log_has_one_line_per_event() -> None:
    """What twistd writes to its file: no traceback, no failure's text."""
    out = io.StringIO()
    log = Logger(observer=OneLine(textFileLogObserver(out)), namespace="gateway.test")
    log.warn("from {app}", app="a\nb")
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.failure("while reading")
    lines = out.getvalue().splitlines()
    assert len(lines) == 2 and CANARY not in out.getvalue()
    assert lines[0].endswith("from a\\nb") and "while reading ValueError at " in lines[1]


def test_twisteds_chatter_is_left_out_and_its_errors_are_not() -> None:
    """Factories that start are no news."""
    event = {"log_namespace": "twisted.internet.protocol.Factory", "log_format": "Starting"}
    assert written({**event, "log_level": LogLevel.info}) == []
    assert len(written({**event, "log_level": LogLevel.error})) == 1
    legacy = {"log_namespace": "log_legacy", "log_format": "x", "log_level": LogLevel.info}
    assert written(legacy) == [] and len(written({**legacy, "isError": 1})) == 1


class Collected:
    """A child's lines as events."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines = ChildLines("worker-1", Logger(observer=self.events.append))

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(event["log_level"].name, event["text"]) for event in self.events]


def test_a_childs_line_becomes_an_event_again() -> None:
    """Level, namespace and text survive, in whatever pieces they come."""
    collected = Collected()
    line = written({"log_format": "gone: {x}", "x": "{y}", "log_level": LogLevel.error, "log_namespace": "gateway"})[0]
    for byte in f"{line}\n".encode():
        collected.lines.feed(bytes([byte]))
    assert collected.said == [("error", "gone: {y}")]
    assert (collected.events[0]["of"], collected.events[0]["log_system"]) == ("gateway", "worker-1")


def test_what_is_no_event_is_shown_as_it_came() -> None:
    """The interpreter's own last words, bytes that are no text, JSON of another kind."""
    collected = Collected()
    collected.lines.feed(b'Fatal Python error\n\xff\x00\n[1]\n{"level": "loud", "of": "", "text": ""}\nlast')
    collected.lines.finish()
    assert [level for level, _ in collected.said] == ["warn"] * 5
    assert [text for _, text in collected.said][::4] == ["Fatal Python error", "last"]


def test_a_line_without_end_is_cut() -> None:
    """Memory for a child's words is bounded."""
    collected = Collected()
    for _ in range(100):
        collected.lines.feed(b"x" * 10_000)
    assert collected.said and all(len(text) <= LINE_LIMIT for _, text in collected.said)
    assert len(collected.lines._rest) <= LINE_LIMIT * 8
