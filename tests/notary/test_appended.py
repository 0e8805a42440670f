"""
Appends read in one pass, and as any frame is read: the same records, the same sessions' owners, the same open intents; and what is wrong
with an append is found out either way.
"""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import DONE, Told, allowed, denied, session
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from gateway import link
from gateway.journal import Journal
from gateway.notary import desk
from gateway.notary.desk import Desk
from gateway.notary.process import Notary
from gateway.notary.record import FIELDS, LEAF_LIMIT, WORKER_KINDS, Kind, event, pack
from gateway.notary.state import State
from tests.kernels import Twins, many
from tests.kernels import twins as made

A, B, OTHERS = b"a" * 16, b"b" * 16, b"o" * 16
WORKER, FIRST = 7, 300


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Twins:
    return made(tmp_path_factory, "gateway.notary.appended")


class Office:
    """What a desk needs of a notary; keeps what is submitted."""

    claim = Notary.claim

    def __init__(self) -> None:
        self.owners: dict[bytes, Any] = {OTHERS: "another desk"}
        self.writer, self.jobs = self, []

    def submit(self, job: Any) -> None:
        self.jobs.append(job)


def heard(plain: Any, *frames: bytes) -> tuple[Any, ...]:
    """
    What a desk makes of it that reads appends so: whether it cut the worker off, what is to be stored of each record, whose sessions
    are whose, and what is open, and known, once all of it is durable.
    """
    office = Office()
    one = Desk(office)  # type: ignore[arg-type]
    one.transport, one.role, one.number, one._expected, one._allowed = _Transport(), "worker", WORKER, FIRST, desk._WORKER
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "plain", plain)
        for frame in frames:
            one.dataReceived(frame)
    state = State(next_worker=WORKER + 1, open_intents={(WORKER, number): (A, "before", number) for number in range(4)})
    entries = [entry for job in office.jobs for entry in job.entries(None)]
    state.remember(entries, 1)
    stored = [(*entry[:5], tuple(entry.terms)) for entry in entries]
    owners = {session: owner is one for session, owner in office.owners.items()}
    return one.transport.aborted, [] if one.transport.aborted else owners, stored, state


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


def never(*_: object) -> None:
    """As where nothing was compiled."""


NUMBER = st.integers(0, 300) | st.sampled_from([-1, 2**16, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1])
TEXT = st.text(max_size=40) | st.sampled_from(["", "", "clinic", "x" * 128, "x" * 129, "é", "x" * 300])
BYTES = st.binary(max_size=40) | st.just(bytes(300))
PLAIN = NUMBER | TEXT | BYTES | st.none() | st.booleans()
VALUE = st.recursive(PLAIN | st.floats(allow_nan=False), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=6)


TAME = st.integers(0, 300) | st.sampled_from(["", "simple", "x" * 40, b"", bytes(32), None, True, [1, ["a"]]])
READ_APART = sorted(WORKER_KINDS - {Kind.OPENED, Kind.CLOSED})


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """A worker's; of every fifth, fields may be anything, too few or too many."""
    wild = draw(st.sampled_from([False] * 4 + [True]))
    kind = draw(st.sampled_from(sorted(WORKER_KINDS) if wild else [Kind.INTENT, Kind.OUTCOME, *READ_APART]))
    own = [draw(NUMBER if wild and name == "command" else PLAIN if wild else TAME) for name in FIELDS[kind]]
    if kind == Kind.INTENT and not wild:
        own[FIELDS[kind].index("command")], own[FIELDS[kind].index("grant")] = draw(st.integers(0, 1 << 40)), draw(st.sampled_from([""] * 9 + ["g"]))
    ref = draw(st.none() | st.tuples(st.sampled_from([WORKER, 8]), st.integers(0, 5)))
    target = draw(st.sampled_from(["clinic", "", "é" if wild else "web-1"]))
    fields = [int(kind), draw(st.sampled_from([A, B, b""])), draw(st.integers(0, 2**40)), target, draw(st.integers(0, 2)), ref, *own]
    if wild and draw(st.booleans()):
        fields[draw(st.integers(0, len(fields) - 1))] = draw(VALUE)
    if wild and draw(st.booleans()):
        fields = fields[: draw(st.integers(0, len(fields)))] + draw(st.lists(VALUE, max_size=12))
    return msgpack.packb(fields, use_bin_type=True)


ITEM = st.tuples(events(), st.none() | st.binary(max_size=300), st.sampled_from([None] * 4 + [["identity\0ada"], []]) | st.lists(TEXT, max_size=9))


@st.composite
def appends(draw: st.DrawFn) -> bytes:
    """A frame; of every fourth, a byte or two may be another one, missing or one too many."""
    items = draw(st.lists(ITEM, min_size=1, max_size=4))
    if not draw(st.integers(0, 9)):
        items.insert(draw(st.integers(0, len(items))), draw(VALUE))
    frame = ["append", draw(st.sampled_from([WORKER] * 19 + [8])), draw(st.sampled_from([FIRST] * 19 + [FIRST + 1])), items]
    body = bytearray(msgpack.packb(frame, use_bin_type=True))
    for _ in range(draw(st.sampled_from([0] * 6 + [1, 2]))):
        place = draw(st.integers(0, len(body) - 1))
        body[place : place + draw(st.integers(0, 1))] = draw(st.binary(max_size=1))
    return link.LENGTH.pack(len(body)) + bytes(body)


@many
@given(frame=appends())
def test_an_append_is_the_same_however_it_is_read(twins: Twins, frame: bytes) -> None:
    """Also one that is malformed, of a kind that is not a worker's, out of turn, too long, or under a grant."""
    assert heard(twins.compiled.plain, frame) == heard(never, frame)


@many
@given(items=st.lists(ITEM, min_size=1, max_size=5))
def test_what_follows_is_the_same_too(twins: Twins, items: list[Any]) -> None:
    """Of two appends the second stands behind the first, which another way may have taken; an outcome ends its intent in the same batch."""
    frames = [link.pack(["append", WORKER, FIRST + at, items]) for at in (0, len(items))]
    assert heard(twins.compiled.plain, *frames) == heard(never, *frames)
    assert heard(twins.compiled.plain, b"".join(frames)) == heard(never, *frames)


def test_a_commands_records_are_plain(twins: Twins) -> None:
    """The journal's own: an intent, its outcome, a refusal. Else nothing would be gained."""
    sent: list[bytes] = []
    client = type("Client", (), {"why_down": "", "listen": lambda self, journal: journal.up(WORKER)})()
    client.append = lambda worker, first, items: sent.append(link.pack(["append", worker, first, items]))
    book, said = Journal(client, Clock()), session()
    book.intend(said, 0, allowed("SELECT 1", b"1", rule="reads", addon="Policy"), Told())
    book.flush()
    book.acknowledged(1, ())
    book.report(said, 0, allowed("SELECT 1"), DONE, 250)
    book.refuse(said, 1, denied("DROP TABLE t"))
    book.flush()
    owners: dict[bytes, Any] = {}
    first, second = (twins.compiled.plain(frame, WORKER, at, owners, "me") for frame, at in zip(sent, (1, 2), strict=True))
    assert [entry.fields for entry in (*first, *second)] == [None] * len((*first, *second))
    assert first[0].opens[1:] == ("clinic", 0) and second[0].ends == (WORKER, 1) and list(owners.values()) == ["me"]


@pytest.mark.parametrize("size", [LEAF_LIMIT - 600, LEAF_LIMIT - 512, LEAF_LIMIT - 500])
def test_a_record_that_leaves_no_room_for_a_stamp_is_refused_either_way(twins: Twins, size: int) -> None:
    packed = event(Kind.NOTE, "")
    packed = event(Kind.NOTE, "x" * (size - len(packed) - 2))
    assert len(packed) == size
    frame = link.pack(["append", WORKER, FIRST, [[packed, None, None]]])
    told = heard(twins.compiled.plain, frame)
    assert told == heard(never, frame) and told[0] == (size > LEAF_LIMIT - 512)


INTENT = [int(Kind.INTENT), A, 1, "clinic", 1, None, 0, "simple", "", "", "", b"", False, 0, 0, 1]
OUTCOME = [int(Kind.OUTCOME), A, 1, "clinic", 1, [WORKER, 2], 0, "complete", "", 1, 1, 0, 0, 1, ""]


@pytest.mark.parametrize(
    ("record", "place", "wrong"),
    [
        (INTENT, 6, "x" * 3000), (INTENT, 6, None), (INTENT, 9, ["a list"]), (INTENT, 9, {}), (INTENT, 5, 7), (OUTCOME, 5, [[1], 2]),
        (OUTCOME, 5, "ab"), (OUTCOME, 5, [1]), (OUTCOME, 5, [1, 2, 3]), (OUTCOME, 5, [True, 1]), (OUTCOME, 5, {}),
    ],
    ids=str,
)  # fmt: skip
def test_a_worker_stops_no_notary_by_what_it_must_remember(twins: Twins, record: list[Any], place: int, wrong: object) -> None:
    """It is cut off before such a record is queued: what cannot be a key, or is too long to be carried into the next segment."""
    for plain in (twins.compiled.plain, never):
        fields = [*record[:place], wrong, *record[place + 1 :]]
        sound, unsound = (link.pack(["append", WORKER, FIRST, [[pack(each), None, None]]]) for each in (record, fields))
        assert not heard(plain, sound)[0] and heard(plain, unsound)[0]


def test_another_workers_session_is_not_to_be_spoken_of(twins: Twins) -> None:
    packed = event(Kind.NOTE, "x", session=OTHERS)
    frame = link.pack(["append", WORKER, FIRST, [[packed, None, None]]])
    assert heard(twins.compiled.plain, frame) == heard(never, frame) and heard(never, frame)[0]


@pytest.mark.parametrize("wrong", [None, "text", bytearray(16), 7], ids=["nothing", "text", "a bytearray", "a number"])
def test_only_bytes_are_read(twins: Twins, wrong: object) -> None:
    """The compiled text reads memory by address."""
    with pytest.raises(TypeError):
        twins.compiled.plain(wrong, WORKER, FIRST, {}, None)


def test_the_interpreted_text_leaves_all_to_the_desk(twins: Twins) -> None:
    packed = event(Kind.NOTE, "x", session=A)
    assert twins.interpreted.plain(link.pack(["append", WORKER, FIRST, [[packed, None, None]]]), WORKER, FIRST, {}, None) is None
