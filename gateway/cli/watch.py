"""
`ostiary session watch`: what a person saw, while it happens or afterwards.

Whoever watches proves who they are with their own token, and that they watched is evidence before they see anything.
"""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

import click

from gateway.cli.door import Door, Said, configured, own_token
from gateway.cli.left import leave
from gateway.cli.place import DAMAGED, NEEDED
from gateway.cli.show import one
from gateway.evidence.cast import Event, Recording, Recordings
from gateway.evidence.missing import missing, unread
from gateway.evidence.named import session_meant
from gateway.evidence.playing import RESTORED, Harmless, moment, paced
from gateway.evidence.query import BadQuery, Found
from gateway.evidence.view import LiveView, Row, Unreadable, View, open_view, rows
from gateway.ids import WHOLE
from gateway.notary import keys
from gateway.notary.body import Bodies, BodyError
from gateway.notary.record import Kind, parse_leaf

_FOREVER = 1 << 62
FEW = 4  # segments that are read before anybody is told how long it takes
_BEAT = 3.0  # seconds; a session is observed for ten after one


@click.command()
@click.argument("identifier", metavar="ID")
@click.option("--as", "subject", required=True, help="Who you are. Your token is asked for, or taken from OSTIARY_TOKEN.")
@click.option("--recording", type=click.IntRange(1), help="Which of the session's recordings; the newest unless said.")
@click.option("--speed", type=click.FloatRange(0.01, 1000), default=1.0, show_default=True, help="How much faster than it was.")
@click.option("--at", default="0", help="Where to begin: seconds, or 1:15.")
@click.option("--idle", type=click.FloatRange(0), help="Longest pause in seconds.")
@configured
def watch(
    door: Door, as_json: bool, identifier: str, subject: str, recording: int | None, speed: float, at: str, idle: float | None
) -> None:
    """See a session as its person does: live, or from its recording."""
    try:
        start = moment(at)
    except ValueError as error:
        leave(str(error))
    config = door.config(*NEEDED)
    session, token = _session(config.audit.directory, identifier), own_token(subject)
    door.call("identity_check", subject=subject, token=token, session=str(session))
    try:
        view = open_view(config.audit.directory)
        try:
            facts = {"by": subject, "session": str(session), "recording": str(recording or "")}
            if not view.record_viewing("watched", facts):
                click.echo("the store is stopped: this viewing is not recorded in it", err=True)
            for what in (lost := missing(view)):
                click.echo(f"NOT SEARCHED: {what}", err=True)
            if door.runs:
                threading.Thread(target=_observe, args=(door, str(session), subject, token), daemon=True).start()
            watched = Watched(view, Bodies(keys.load_body(config.state)), session.bytes, recording, _progress)
            _show(watched, speed, start, _FOREVER if idle is None else int(idle * 1e6), as_json, lost)
        finally:
            view.close()
        if lost:
            sys.exit(DAMAGED)
    except (Unreadable, keys.KeyFileError) as error:
        leave(str(error))


def _session(store: Path, given: str) -> uuid.UUID:
    """Of one whose beginning may be given."""
    try:
        if len(given) >= WHOLE:
            return uuid.UUID(given)
        with closing(open_view(store)) as view:
            whole = session_meant(given, view)
            lost = unread(view) if len(whole) < WHOLE else []
        if lost:
            leave(f"no session that begins with {given!r} is in what can be read of the evidence, and not all can:\n" + "\n".join(lost))
        return uuid.UUID(whole)
    except (BadQuery, Unreadable) as error:
        leave(str(error))
    except ValueError:
        leave(f"{given!r} is no session's id; `ostiary session list` has those of now, `ostiary audit search` those of before")


def _observe(door: Door, session: str, subject: str, token: str) -> None:
    """Say that somebody watches, as long as this process does and the session lives."""
    try:
        while True:
            door.ask("session_observe", session=session, subject=subject, token=token)
            time.sleep(_BEAT)
    except (Said, SystemExit):
        pass  # a past session is not observed, and one that ended is over


class Watched:
    """
    One session's recordings in a store, as far as they are there.

    :ivar over: nothing more will come of the one that is watched.
    """

    def __init__(self, view: View, bodies: Bodies, session: bytes, number: int | None, progress: Callable[[int, int], None]) -> None:
        """
        :param progress: told which segment is read, and how many there are to read.
        """
        self._view, self._bodies, self._session, self._number = view, bodies, session, number
        self._recordings, self._progress = Recordings(), progress
        self._place = (0, 0)
        self._begun = self._closed = False  # whether those records of the session's have been seen
        self.over = not isinstance(view, LiveView)

    def recording(self) -> Recording | None:
        """The one that is watched, with every chunk until now."""
        events = self._view.events()
        numbers = sorted(self._view.present())
        first = max((number for number in segments_before(events, self._session) if number in numbers), default=0)
        self._read([number for number in numbers if number >= first])
        if not self._begun:  # a clock that was set back, or a segment that has expired: it may be anywhere
            place = self._place
            self._read([number for number in numbers if number < first])
            self._place = place
        found = {number: each for (_, number), each in self._recordings.all.items()}
        self._number = self._number or max(found, default=None)
        chosen = found.get(self._number or 0)
        self.over = self.over or (chosen is not None and chosen.ended is not None)
        return chosen

    def news(self) -> Iterator[list[Event]]:
        """Each further chunk's events, while the recording goes on."""
        assert isinstance(self._view, LiveView)
        for newest, _ in self._view.follow():
            yield from self._until(newest)
            if self.over:
                return

    def _read(self, numbers: list[int]) -> None:
        """These segments, until the session was closed in one of them."""
        for count, number in enumerate(numbers, 1):
            if self._closed:
                return
            self._progress(count, len(numbers))
            for row in rows(self._view, number):
                self._feed(number, row)

    def _until(self, newest: int) -> Iterator[list[Event]]:
        number, index = self._place
        while True:
            page, _ = self._view.page(number, index)
            for row in page:
                fresh, index = self._feed(number, row), row[0] + 1
                if fresh is not None:
                    yield fresh
            if not page and number >= newest:
                break
            if not page:
                number, index = number + 1, 0
        self._place = number, index

    def _feed(self, segment: int, row: Row) -> list[Event] | None:
        """A record of the store; its events when it is a chunk of what is watched."""
        self._place = segment, row[0] + 1
        record = parse_leaf(row[1])
        if record.session != self._session or record.kind not in (Kind.OPENED, Kind.CHUNK, Kind.RECORDED, Kind.CLOSED):
            return None
        if record.kind in (Kind.OPENED, Kind.CLOSED):
            self._begun = True
            self._closed = self._closed or record.kind == Kind.CLOSED
            self.over = self.over or self._closed
            return None
        found = Found(row, record, "")
        if row[2] is not None:
            try:
                found.plain, _ = self._bodies.open(record.session, row[2])
            except BodyError as error:
                raise Unreadable(f"a recording's body: {error}") from error
        self._recordings.feed(found)
        if self._number is None or record.get("recording") != self._number:
            return None
        self.over = self.over or record.kind == Kind.RECORDED
        body = found.body
        return list(map(tuple, body[0])) if body is not None and record.kind == Kind.CHUNK else None


def segments_before(events: list[list[Any]], session: bytes) -> list[int]:
    """Segments that were begun before a session's id was made, which has the time in its first 48 bits (RFC 9562, 5.7)."""
    born = (int.from_bytes(session[:6], "big") + 1) * 1_000_000
    return [entry[3] for entry in events if entry[0] == "seg.open" and entry[1] <= born]


def _progress(count: int, of: int) -> None:
    """On a terminal, where it takes a while."""
    if of > FEW and sys.stderr.isatty():
        click.echo(f"\rreading the evidence, {count} of {of} segments{chr(10) if count == of else ''}", err=True, nl=False)


def _show(watched: Watched, speed: float, start: int, idle: int, as_json: bool, lost: Sequence[str]) -> None:
    """:param lost: what is not there of the evidence, and may have been this recording's."""
    recording = watched.recording()
    if lost and (recording is None or not any(recording.events())):
        leave("there is no such recording in what is left of the evidence: run `ostiary audit verify`")
    if recording is None or not recording.chunks:
        leave("there is no such recording in the evidence: its session has no terminal, or its target records none")
    events = list(recording.events())
    if as_json:
        told = {"recording": recording.number, "chunks": len(recording.chunks), "ended": recording.ended, "live": not watched.over}
        one(told, True)
        return
    live = not watched.over
    if live and not start:
        start = _FOREVER  # what was until now, at once
    size = next((data.decode() for _, code, data in events if code == "r"), "")
    click.echo(f"recording {recording.number}, {size}{', live: Ctrl-C leaves' if live else ''}", err=True)
    out = sys.stdout.buffer
    try:
        harmless = Harmless()
        _play(out, harmless, events, speed, start, idle)
        if live:
            for fresh in watched.news():
                _write(out, b"".join(harmless.feed(data) for _, code, data in fresh if code in ("o", "e", "n")))
    except KeyboardInterrupt:
        pass
    finally:
        _write(out, RESTORED)


def _play(out: BinaryIO, harmless: Harmless, events: list[Event], speed: float, start: int, idle: int) -> None:
    for wait, data in paced(events, speed, start, idle):
        time.sleep(wait)
        _write(out, harmless.feed(data))


def _write(out: BinaryIO, data: bytes) -> None:
    out.write(data)
    out.flush()
