"""
A phrase does what its messages do: two relays hear the same conversation in the same pieces, one of which knows no
phrase, and want the same done and know the same at every step.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playbook import BOUND, SETTINGS, SYNC, Silent, bind, close, columns, complete, describe, error, execute, parse, query, row
from test_conversation import Server

from protocols.command import Transaction
from protocols.effects import Ask, Effect, Intend, Malformed, Report, ToClient, ToTarget
from protocols.postgres import backend, exchange, frontend, phrases
from protocols.postgres.codec import encode
from protocols.postgres.phrases import DESCRIBE_AND_RUN, RUN, End, ending
from protocols.postgres.relay import PostgresRelay
from protocols.result import MaskPlan
from protocols.verdict import Allow, Decision, Deny

READY = encode(b"Z", b"I")


class Same:
    """One relay that knows phrases and one that does not, and the server behind the first."""

    def __init__(self, patch: pytest.MonkeyPatch, **hears: Any) -> None:
        self.patch, self.server = patch, Server()
        self.knowing, self.plain = (PostgresRelay(Silent(**hears), SETTINGS) for _ in "ab")
        self.asked, self.sent, self.shown = 0, bytearray(), bytearray()
        self.taken: set[str] = set()  # which phrases were

    def tell(self, what: str, *said: Any) -> list[Effect]:
        """Both hear it; what they want is compared, and so is what they know."""
        self.patch.setattr(frontend, "DESCRIBE_AND_RUN", DESCRIBE_AND_RUN)
        self.patch.setattr(frontend, "RUN", RUN)
        self.patch.setattr(backend, "_PHRASED", frozenset(b"2C"))
        self.patch.setattr(backend, "answered", exchange.answered)
        found = getattr(self.knowing, what)(*said)
        self.patch.setattr(frontend, "DESCRIBE_AND_RUN", NEVER_SAID)
        self.patch.setattr(frontend, "RUN", NEVER_SAID)
        self.patch.setattr(backend, "_PHRASED", frozenset())
        self.patch.setattr(backend, "answered", lambda *_: None)
        assert performed(found) == performed(getattr(self.plain, what)(*said))
        assert known(self.knowing) == known(self.plain)
        return found

    def client(self, data: bytes, verdicts: list[str]) -> None:
        todo = self.tell("from_client", data)
        while todo:
            match effect := todo.pop(0):
                case Ask(command):
                    verdict = verdicts[self.asked % len(verdicts)] if verdicts else "allow"
                    self.asked += 1
                    decision = Decision(command, Deny("no") if verdict == "deny" else Allow(), getattr(command, "text", ""))
                    todo += self.tell("answer", decision)
                case Intend(number, _, data, poison):
                    if verdicts and verdicts[number % len(verdicts)] == "unrecorded":
                        todo += self.tell("refused", number, "full")
                        data = poison
                    self.sent += data
                case ToTarget(data):
                    self.sent += data
                case _:
                    assert isinstance(effect, (Malformed,)) or effect

    def target(self, data: bytes) -> list[Effect]:
        effects = self.tell("from_target", data)
        self.shown += b"".join(effect.data for effect in effects if isinstance(effect, ToClient))
        return effects

    def answer(self) -> bytes:
        """What the server says to all that reached it."""
        sent, self.sent = bytes(self.sent), bytearray()
        return self.server.hear(sent)


NEVER_SAID = b"\xff" * 40


def performed(effects: list[Effect]) -> list[Effect]:
    """As the adapter does it: what goes behind an intent goes with it or with its poison, and a report is made before what is told with it."""
    done: list[Effect] = []
    for effect in effects:
        last = done[-1] if done else None
        if type(effect) is ToTarget and type(last) is Intend:
            done[-1] = Intend(last.number, last.decision, last.data + effect.data, last.poison + effect.data)
        elif type(effect) is ToClient and type(last) is ToClient:
            done[-1] = ToClient(last.data + effect.data)
        elif type(effect) is Report and type(last) is ToClient:
            done.insert(-1, effect)
        else:
            done.append(effect)
    return done


def known(relay: PostgresRelay) -> Any:
    """All that the next message's meaning hangs on."""
    talk = relay._talk
    waits = [(e.kind, e.hidden, e.step, e.ahead and e.ahead._copies, number(e.running), e.portal and portal(e.portal), e.undo and e.undo[1]) for e in talk.awaited]
    portals = {name: portal(each) for name, each in talk.portals.items()}
    running = {n: (r.outcome(""), r.ended, r.cut, r.late, r.columns) for n, r in talk.intended.items()}
    copier = talk.asking
    return (
        waits, portals, running, {n: (p.text, p.sent, p.types) for n, p in talk.prepared.items()}, talk.transaction, talk.skipping, talk.step,
        number(talk.copying), [r.number for r in talk.done], talk.dying, copier and (copier.kind, number(copier.running)), relay.behind,
        relay._frontend.full, relay._backend.midway, len(relay._backend._reader),
    )  # fmt: skip


def number(running: Any) -> int | None:
    return running and running.number


def portal(one: Any) -> tuple[Any, ...]:
    return one.running.number, one.step, one.described, one.columns, one.bound, one.gone


TEXTS = st.sampled_from(["rows 1", "rows 2", "none", "bad", "boom", "toggle", "boom rows"])
NAMES, PORTALS = st.sampled_from(["", "s"]), st.sampled_from(["", "", "", "p"])
BEHIND = st.sampled_from([DESCRIBE_AND_RUN, RUN])
MESSAGES = st.one_of(
    st.builds(query, TEXTS), st.builds(parse, TEXTS, NAMES), st.builds(describe, st.sampled_from("SP"), NAMES),
    st.builds(bind, PORTALS, NAMES), st.builds(execute, PORTALS, st.sampled_from([0, 0, 1])), st.builds(close, st.sampled_from("SP"), NAMES), st.just(SYNC),
    *[st.builds(lambda name, behind: bind("", name) + behind, NAMES, BEHIND)] * 4,
    st.builds(lambda text, name, behind: parse(text, name) + bind("", name) + behind, TEXTS, NAMES, BEHIND),
    st.builds(lambda cut: (bind() + DESCRIBE_AND_RUN)[:cut], st.integers(1, 40)),  # whatever comes next ends it
)  # fmt: skip
VERDICTS = st.lists(st.sampled_from(["allow", "allow", "allow", "deny", "unrecorded"]), max_size=6)
HEARS = st.sampled_from([
    {}, {"hears_columns": True}, {"hears_columns": True, "masks": MaskPlan((b"*",))}, {"hears_rows": True},
    {"hears_rows": True, "cut": Deny("too many")}, {"hears_text": True, "hears_columns": True},
])  # fmt: skip


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut as a network may."""
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in zip(at, at[1:])]


@settings(max_examples=160, deadline=None)
@given(
    st.lists(st.tuples(st.lists(MESSAGES, max_size=4), st.lists(st.integers(0, 400), max_size=2)), max_size=8), VERDICTS, HEARS,
    st.lists(st.integers(0, 400), max_size=2), st.sampled_from([b"", b"", b"", error(), BOUND, columns("a"), complete("SELECT 1") + READY, b"D\0"]),
)  # fmt: skip
def test_a_phrase_does_what_its_messages_do(
    said: list[tuple[list[bytes], list[int]]], verdicts: list[str], hears: dict[str, Any], cuts: list[int], stray: bytes
) -> None:
    """Refused, unrecorded, cut short, in pieces, in pipelines, after errors, with masks and limits, and among nonsense."""
    with pytest.MonkeyPatch.context() as patch:
        same = Same(patch, **hears)
        for turn, (lines, split) in enumerate(said):
            for piece in pieces(b"".join(lines), split):
                same.client(piece, verdicts)
            for piece in pieces(same.answer() + (stray if turn == 4 else b""), cuts):
                same.target(piece)
        same.tell("close", "test")


ROWS = columns("a") + row(b"1") * 3 + complete("SELECT 3") + READY
CUT = {"hears_rows": True, "cut": Deny("too many")}
AGAIN, PARSED = parse("rows", "") + bind("", "") + DESCRIBE_AND_RUN, encode(b"1")


@pytest.mark.parametrize(
    ("asked", "said", "verdicts", "hears"),
    [
        (query("rows"), ROWS, [], CUT), (bind("", "s") + DESCRIBE_AND_RUN, BOUND + ROWS, [], CUT),
        (bind("", "s") + DESCRIBE_AND_RUN, BOUND + ROWS, ["unrecorded"], {}), (query("rows"), complete("SELECT 3") + READY, ["unrecorded"], {}),
        (bind("", "s") + execute() + SYNC, BOUND + ROWS, [], {"hears_columns": True}), (bind("", "s") + execute() + SYNC, BOUND + ROWS, [], {}),
        (bind("", "s") + DESCRIBE_AND_RUN * 2, BOUND + ROWS + ROWS, [], {}), (bind("", "s") + DESCRIBE_AND_RUN, ROWS, [], {}),
        (bind("", "s") + DESCRIBE_AND_RUN, BOUND + BOUND + ROWS, [], {}), (query("rows") + SYNC, ROWS + ROWS, [], {}),
        (AGAIN, PARSED + BOUND + ROWS, ["unrecorded"], {}), (AGAIN, PARSED + BOUND + ROWS, ["allow", "unrecorded"], {}), (AGAIN, PARSED + BOUND + ROWS, [], CUT),
        (query("none"), row(b"1") + complete("SELECT 1") + READY, [], {"hears_columns": True}),
        (bind("", "s") + DESCRIBE_AND_RUN, BOUND + encode(b"n") + row(b"1") + complete("SELECT 1") + READY, [], {"hears_columns": True}),
        (AGAIN, BOUND + ROWS, [], {}), (AGAIN, PARSED + PARSED + BOUND + ROWS, [], {}), (SYNC + AGAIN, PARSED + BOUND + ROWS, [], {}),
    ],
)  # fmt: skip
def test_what_must_not_pass_as_a_phrase_does_not(asked: bytes, said: bytes, verdicts: list[str], hears: dict[str, Any]) -> None:
    """A limit's cut, the answer to what was never sent, a description that is ours, a server out of order."""
    with pytest.MonkeyPatch.context() as patch:
        same = Same(patch, **hears)
        for text, answer in ((parse("rows", "s") + bind("", "s") + describe("P") + SYNC, encode(b"1") + BOUND + columns("a") + READY), (asked, said)):
            same.client(text, verdicts if text is asked else [])
            same.target(answer)


def test_they_are_known_as_clients_and_servers_say_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would compare the general way with itself."""
    taken: list[str] = []
    for owner, name in ((frontend.Frontend, "_bind_at_once"), (frontend.Frontend, "_run_at_once"), (backend.Backend, "_begin"), (backend.Backend, "_finish")):
        monkeypatch.setattr(owner, name, counting(getattr(owner, name), name, taken))
    monkeypatch.setattr(exchange, "answered", counting(exchange.answered, "answered", taken))
    same = Same(monkeypatch)
    same.client(parse("rows", "s") + SYNC, [])
    same.target(same.answer())
    del taken[:]
    for whole, wanted in ((True, [ToClient, Report, ToClient]), (True, [Report, ToClient]), (False, [ToClient, Report, ToClient])):
        same.client(bind("", "s") + DESCRIBE_AND_RUN, [])
        for piece in pieces(same.answer(), [0 if whole else len(same.knowing._backend._shape.opening)]):
            effects = same.target(piece)
        assert [type(e) for e in effects] == wanted
    asked = ["_bind_at_once", "_run_at_once"]
    assert taken == [*asked, "_finish", *asked, "answered", *asked, "_begin", "_finish"]
    del taken[:]
    same.client(AGAIN, [])
    assert [type(e) for e in same.target(same.answer())] == [Report, Report, ToClient]
    assert taken == [*asked, "answered"]
    for text in (parse("none", "n") + SYNC, bind("", "n") + DESCRIBE_AND_RUN, bind("", "n") + RUN, query("none")):
        del taken[:]
        same.client(text, [])
        same.target(same.answer())
        assert taken[-1:] == ([] if text.startswith(b"P") else ["answered"])


@pytest.mark.parametrize("hears", [{}, {"hears_columns": True}, {"hears_columns": True, "masks": MaskPlan((b"*",))}], ids=["nobody", "columns", "masks"])
def test_a_driver_that_asks_for_no_description_is_known_too(hears: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it was not told it is not told now; where columns are masked, its rows are."""
    taken: list[str] = []
    monkeypatch.setattr(exchange, "answered", counting(exchange.answered, "answered", taken))
    same = Same(monkeypatch, **hears)
    same.client(parse("rows", "s") + describe("S", "s") + SYNC, [])
    same.target(same.answer())
    for _ in range(2):
        del taken[:]
        same.shown.clear()
        same.client(bind("", "s") + RUN, [])
        assert (DESCRIBE_AND_RUN in same.sent) == bool(hears)
        same.target(same.answer())
    masked = row(b"*" if "masks" in hears else b"1") * 3
    assert taken == ["answered"] and same.shown == BOUND + masked + complete("OK") + READY


def counting(method: Any, name: str, taken: list[str]) -> Any:
    """Notes each time that it took a phrase; where it says nothing, that it was asked."""

    def wrapped(self: Any, *arguments: Any) -> Any:
        answer = method(self, *arguments)
        if answer:
            taken.append(name)
        return answer

    return wrapped


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (complete("SELECT 1") + READY, End("SELECT 1", Transaction.IDLE, 14)),
        (complete("BEGIN") + encode(b"Z", b"T"), End("BEGIN", Transaction.OPEN, 11)),
        (complete("SELECT 1") + encode(b"Z", b"?"), None), (complete("SELECT 1"), None), (READY, None), (b"", None),
        (complete("SELECT 1") + READY + READY, None), (complete("SELECT 1") + READY[:-1], None), (READY + complete("SELECT 1"), None),
        (row(b"1") + READY, None), (encode(b"C", b"no end") + READY, None), (b"C\0\0\0\1" + READY, None),
    ],
)  # fmt: skip
def test_an_ending_is_exactly_one(data: bytes, end: End | None) -> None:
    assert ending(data) == end


def test_what_is_remembered_of_endings_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's tag may be of any length; a thousand of them are kept."""
    same = Same(monkeypatch)
    before = ending.cache_info().currsize, phrases._completed.cache_info().currsize
    same.client(query("x"), [])
    same.target(complete("X" * 5000) + READY)
    assert (ending.cache_info().currsize, phrases._completed.cache_info().currsize) == before
