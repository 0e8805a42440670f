"""
Log events to one line each, and a child's lines back to events in the supervisor's log.

A failure is logged as its class and places, never with its text: an exception's message
may quote what a client sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

CHATTER = ("log_legacy", "twisted.")
"""Whose news nobody needs: Twisted telling which factory it starts. Its warnings and errors are kept."""

LINE_LIMIT = 8192
"""Bytes of one line that are kept; a child that writes more without a newline is broken."""


def one_line(event: dict[str, Any]) -> str:
    """The event's text; what would break the line is escaped, so nobody forges a second one."""
    text = formatEvent(event)
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        # Twisted's own events carry the traceback, message and all, as their text.
        text = f"{'' if event.get('isError') else text} {places(failure)}".strip()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:LINE_LIMIT]


def places(failure: Failure) -> str:
    """Class and call places of an error, innermost first."""
    if isinstance(failure.value, OSError) and failure.value.filename is not None:
        return f"{failure.value.filename!r}: {failure.value.strerror}"  # a path of ours, no client's word
    frames = [f"{name} {file}:{line}" for name, file, line, *_ in reversed(failure.frames)]
    kind = failure.type.__name__ if failure.type else "error"
    return f"{kind} at " + " < ".join(frames[:8]) if frames else kind


def is_chatter(event: dict[str, Any]) -> bool:
    """Whether it is only Twisted telling what it does anyway."""
    calm = (event.get("log_level") or LogLevel.info) <= LogLevel.info and not event.get("isError")
    return calm and event.get("log_namespace", "").startswith(CHATTER)


@implementer(ILogObserver)
class OneLine:
    """Stands before an observer that writes text: what it gets is one line, without a failure's text."""

    def __init__(self, observer: Callable[[dict[str, Any]], None]) -> None:
        self._observer = observer

    def __call__(self, event: dict[str, Any]) -> None:
        if not is_chatter(event):
            kept = {key: event[key] for key in ("log_time", "log_level", "log_namespace", "log_system") if key in event}
            self._observer({**kept, "log_format": "{text}", "text": one_line(event)})


@implementer(ILogObserver)
class ChildObserver:
    """Writes a child's events as JSON lines for the supervisor."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, event: dict[str, Any]) -> None:
        if is_chatter(event):
            return
        level = event.get("log_level") or LogLevel.info
        line = {"level": level.name, "of": event.get("log_namespace", ""), "text": one_line(event)}
        try:
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()
        except (OSError, ValueError):
            pass  # the supervisor is gone; what must not be lost is evidence, and that is the notary's


class ChildLines:
    """Bytes that a child wrote to its standard streams, line by line into this process's log."""

    def __init__(self, name: str, log: Logger) -> None:
        self._name, self._log, self._rest = name, log, b""

    def feed(self, data: bytes) -> None:
        """Some bytes came."""
        *lines, rest = (self._rest + data).split(b"\n")
        if len(rest) > LINE_LIMIT * 8:  # JSON escapes make a line longer than its text
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in lines:
            if line.strip():
                self._one(line)

    def finish(self) -> None:
        """The child is gone: its last words need no newline."""
        self.feed(b"\n")

    def _one(self, line: bytes) -> None:
        level, of, text = LogLevel.warn, "", line.decode(errors="backslashreplace")[:LINE_LIMIT]
        try:
            said = json.loads(line)
            level, of, text = LogLevel.lookupByName(said["level"]), said["of"], said["text"]
        except (ValueError, KeyError, TypeError):
            text = text.encode("unicode_escape").decode()  # the interpreter itself, or a C library
        self._log.emit(level, "{of}: {text}" if of else "{text}", of=of, text=text, log_system=self._name)
