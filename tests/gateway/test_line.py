"""A session's connection: the same bytes, bounds and ends in clear and under TLS, on every reactor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionLost

from gateway.line import ROOM, Line, write_eagerly

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=["lean", "epoll", "poll", "select"])
def talk(request: pytest.FixtureRequest) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, str(HERE / "line_talk.py"), request.param], cwd=HERE.parent.parent, capture_output=True, text=True,
        timeout=120, env={"PYTHONPATH": str(HERE.parent.parent), "PATH": "/usr/bin:/bin"}, check=False,
    )
    assert run.returncode == 0 and not run.stderr, run.stderr
    said = json.loads(run.stdout)
    assert "failed" not in said, said["failed"]
    return said


@pytest.mark.parametrize(("kind", "version"), [("clear", ""), ("tls 1.3", "TLSv1.3"), ("tls 1.2", "TLSv1.2"), ("direct", "TLSv1.3")])
def test_every_byte_comes_back_in_order_and_memory_is_bounded(talk: dict[str, Any], kind: str, version: str) -> None:
    """Pieces of every size against a slow reader: one read may wait in this process, the rest waits in the kernel."""
    assert talk[kind]["client"] == {"same": True}
    assert talk[kind]["server"]["version"] == version and talk[kind]["server"]["most"] <= ROOM + Line.bufferSize


def test_a_client_that_begins_with_tls_is_met_by_it(talk: dict[str, Any]) -> None:
    """No byte of its handshake is lost by looking; the protocol that both speak is known."""
    assert talk["direct"]["server"]["alpn"] == "postgresql" and talk["tls 1.3"]["server"]["alpn"] is None


def test_tls_that_is_cut_off_is_no_orderly_end(talk: dict[str, Any]) -> None:
    """A man in the middle can close TCP; he cannot say goodbye in TLS."""
    assert talk["cut off"]["server"] == {"most": 0, "count": 14, "alpn": None, "version": "TLSv1.3", "end": "ConnectionLost"}
    assert talk["goodbye"]["client"] is True and talk["goodbye"]["server"]["end"] == "ConnectionDone"


def test_a_paused_protocol_hears_of_the_end_when_it_goes_on(talk: dict[str, Any]) -> None:
    """As on TCP: what a client said last is looked at before its going is, also when both came at once."""
    seen = talk["behind"]["server"]
    assert (seen["count"], seen["held"], seen["end"]) == (8000, False, "ConnectionDone")


def test_last_words_arrive_whole_whatever_the_client_still_sends(talk: dict[str, Any]) -> None:
    """Then the end, in TLS's own words."""
    assert talk["last words"]["client"] == 100_000 and talk["last words"]["server"]["end"] == "ConnectionDone"


def test_nothing_is_said_in_clear_to_who_agreed_on_tls_and_does_not_speak_it(talk: dict[str, Any]) -> None:
    assert talk["plain behind"]["client"] is True and talk["plain behind"]["server"]["end"] == "SSLError"


def test_what_is_written_during_a_handshake_leaves_encrypted_behind_it(talk: dict[str, Any]) -> None:
    assert talk["early"]["client"] == ["s3cret", True]


def test_a_handshake_may_come_byte_by_byte(talk: dict[str, Any]) -> None:
    assert talk["slowly"]["client"] is True


def test_nobody_renegotiates(talk: dict[str, Any]) -> None:
    """It costs the server a handshake whenever the client likes, and changes who speaks in the middle of a session."""
    assert talk["renegotiated"]["client"] == "refused"


def test_sessions_are_resumed(talk: dict[str, Any]) -> None:
    """By a ticket, in both versions."""
    assert talk["resumed TLSv1_3"] and talk["resumed TLSv1_2"]


def test_who_waits_for_much_gets_it_whole_or_the_last_of_it(talk: dict[str, Any]) -> None:
    """The system gathers small pieces; it keeps back neither the rest nor the end."""
    *reads, last = talk["waits"]["server"]["reads"]
    assert all(size >= 1000 for size in reads) and sum(reads) + last == 7700
    assert sum(talk["waits in tls"]["server"]["reads"]) == 7700
    assert (talk["waits"]["server"]["end"], talk["waits in tls"]["server"]["end"]) == ("ConnectionDone", "ConnectionLost")


def test_who_waits_no_more_gets_what_there_is(talk: dict[str, Any]) -> None:
    """Also what had come before."""
    assert talk["no more"]["client"] is True


@pytest.mark.parametrize("kind", ["lent", "lent in tls"])
def test_what_is_lent_comes_behind_what_is_to_be_shown_again(talk: dict[str, Any], kind: str) -> None:
    """In order and once, in one view; an end behind a piece that nobody took is an end."""
    saw = talk[kind]["server"]
    assert talk[kind]["client"] == {"same": True} and 3 <= saw["lent"] <= ROOM
    assert saw["end"] == ("ConnectionDone" if kind == "lent" else "ConnectionLost")


def test_nothing_that_is_to_be_shown_again_is_ever_lost() -> None:
    """Asked for twice, or more than there is room for: a bug ends the session."""
    line = Line.__new__(Line)
    line.lend(b"first")
    with pytest.raises(AssertionError):
        line.lend(b"second")
    with pytest.raises(AssertionError):
        Line.__new__(Line).lend(bytes(ROOM))


class Transport:
    """A transport's inside, by hand."""

    connected, disconnecting, _writeDisconnected, offset = True, False, False, 0

    def __init__(self, takes: object) -> None:
        self.takes, self.sent, self.queued = takes, b"", []
        self.dataBuffer, self._tempDataBuffer = b"", self.queued

    def writeSomeData(self, data: bytes) -> object:
        if isinstance(self.takes, int):
            self.sent += data[: self.takes]
            return min(self.takes, len(data))
        return self.takes


@pytest.mark.parametrize(("takes", "sent", "queued"), [
    (99, b"hello", []), (2, b"he", [b"llo"]), (0, b"", [b"hello"]), (ConnectionLost(), b"", [b"hello"]),
])
def test_what_an_early_write_leaves_goes_the_usual_way(takes: object, sent: bytes, queued: list[bytes]) -> None:
    """All, some, nothing, or an error that the usual way will meet again."""
    transport = Transport(takes)
    write_eagerly(transport, b"hello", transport.queued.append)
    assert (transport.sent, transport.queued) == (sent, queued)


@pytest.mark.parametrize("times", [1, 40_000], ids=["little", "much"])
@pytest.mark.parametrize("takes", [0, 2, ConnectionLost()], ids=["nothing", "some", "an error"])
def test_nothing_is_kept_of_a_view_that_is_written(takes: object, times: int) -> None:
    """Its bytes may be another session's when this returns."""
    transport, room = Transport(takes), bytearray(b"hello" * times)
    write_eagerly(transport, memoryview(room), transport.queued.append)
    room[:] = b"other" * times
    assert (transport.sent + b"".join(transport.queued)) == b"hello" * times


def test_much_that_an_early_write_leaves_is_queued_where_it_lies_and_pauses_who_sends() -> None:
    """Twisted's own buffer, with what has left marked as such: no copy."""
    done: list[str] = []
    transport, data = Transport(70_000), bytes(300_000)
    transport._maybePauseProducer, transport.startWriting = lambda: done.append("full?"), lambda: done.append("writes")
    write_eagerly(transport, data, transport.queued.append)
    assert transport.dataBuffer is data and transport.offset == len(transport.sent) == 70_000
    assert done == ["full?", "writes"] and not transport.queued


@pytest.mark.parametrize("state", [{"connected": False}, {"disconnecting": True}, {"dataBuffer": b"x"}])
def test_nothing_is_written_early_when_something_waits_or_the_end_has_begun(state: dict[str, object]) -> None:
    transport = Transport(99)
    vars(transport).update(state)
    write_eagerly(transport, b"hello", transport.queued.append)
    assert transport.sent == b"" and transport.queued == [b"hello"]
