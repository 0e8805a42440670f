"""What no declaration names is found in every form that a result has, and what only looks so is left alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.masking import Content
from addons.masking.sought import FORMS, HOLD, Found, sought
from protocols.effects import ToClient
from protocols.hooks import ContentHook, TextHook
from protocols.postgres.codec import encode
from protocols.postgres.messages import CopyData
from protocols.postgres.replies import DataRow
from protocols.result import Column, Columns
from protocols.session import Session
from protocols.verdict import Allow, Decision, Reveal
from tests.masking.shelf import decision, session
from tests.postgres.playbook import READY_IDLE, Playbook, Silent, asks, columns, complete, intends, row

VALUES = {
    "ssn": b"219-09-9998", "npi": b"1234567893", "card": b"4111 1111 1111 1111", "email": b"ada@clinic.example",
    "phone": b"(415) 555-2671", "mrn": b"MRN-0012345",
}
CLEAR = (b"000-12-3456", b"1234567890", b"4111 1111 1111 1112", b"2024-11-25 10:00:00.1234567890", b"a@b", b"1219-09-99981")
ALL = sought(sorted(FORMS), (), {})
ONE = b"Q\0\0\0\x0dSELECT 1\0"


def found() -> Found:
    return Found(ALL)


def shape(*kinds: int, form: int = 0) -> Columns:
    return Columns(tuple(Column(f"c{i}", 0, 0, kind, form) for i, kind in enumerate(kinds)))


def cells(rows: bytes) -> list[tuple[bytes | None, ...]]:
    out = []
    while rows:
        length = int.from_bytes(rows[1:5])
        out.append(DataRow.parse(rows[5:1 + length]).cells)
        rows = rows[1 + length:]
    return out


def starred(cell: bytes, value: bytes) -> bytes:
    return cell.replace(value, b"*" * len(value))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("around", [b"%b", b"the %b here", b"(%b)", b"x\n%b\ny", b'{"a": "%b"}', b'["\\n%b\\u00e9"]', b"{%b,b}"], ids=repr)
@pytest.mark.parametrize("form", [0, 1])
def test_a_value_that_no_declaration_names_is_starred_out_in_text_and_binary(value: bytes, around: bytes, form: int) -> None:
    """As long as it was, whatever stands around it; its neighbours are as they were."""
    cell = around.replace(b"%b", value)
    rows = row(b"7", b"before", None, cell) + row(b"8", b"after", b"", b"clean")
    shown, masked = found().rows(rows, shape(23, 25, 25, 25, form=form))
    assert cells(shown) == [(b"7", b"before", None, starred(cell, value)), (b"8", b"after", b"", b"clean")] and masked == 1


@pytest.mark.parametrize("length", range(40, 62))
def test_a_length_that_looks_like_a_letter_hides_nothing(length: int) -> None:
    """The byte in front of a cell or an element is its length, and 48 is "0", 45 is "-"."""
    cell = VALUES["ssn"].ljust(length)
    assert cells(found().rows(row(cell, b"x"), shape(25, 25))[0]) == [(starred(cell, VALUES["ssn"]), b"x")]
    array = pack("!iiiiiii", 1, 0, 25, 2, 1, 1, 0x78000000)[:-3] + pack("!i", length) + cell
    assert cells(found().rows(row(array), shape(1009, form=1))[0]) == [(starred(array, VALUES["ssn"]),)]
    copied = CopyData(b"\0\1" + pack("!i", length) + cell).encode() * 2
    assert found().messages(copied)[0] == starred(copied, VALUES["ssn"])


@pytest.mark.parametrize("kind", [20, 23, 1700, 1016])
def test_a_number_becomes_null_since_it_cannot_show_stars(kind: int) -> None:
    shown, masked = found().rows(row(b"1234567893", b"a") + row(b"1234567890", b"b"), shape(kind, 25))
    assert cells(shown) == [(None, b"a"), (b"1234567890", b"b")] and masked == 1


def test_json_stays_json() -> None:
    """Also where a number stands bare, or an escape before a name."""
    text = json.dumps({"npi": 1234567893, "list": [1234567893, 2], "note": "l\n1234567893\nada@x.org"}).encode()
    for kind, cell in ((114, text), (3802, b"\x01" + text)):
        shown = cells(found().rows(row(cell), shape(kind, form=kind == 3802))[0])[0][0]
        assert shown is not None and len(shown) == len(cell)
        assert json.loads(shown.removeprefix(b"\x01")) == {"npi": 0.0, "list": [0.0, 2], "note": "l\n**********\n*********"}


@pytest.mark.parametrize("value", CLEAR)
def test_what_only_looks_like_one_passes_as_the_very_bytes_that_came(value: bytes) -> None:
    rows, run, search = row(value, b"x"), CopyData(value + b"\t1\n").encode(), found()
    assert search.rows(rows, shape(25, 25))[0] is rows and search.messages(run)[0] is run and not search.alarm


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_copy_data_is_searched_row_by_row(value: bytes) -> None:
    """Behind COPY's own escapes too; nothing else of it changes."""
    run = b"".join(CopyData(b"%d\t" % i + text + b"\t\\N\n").encode() for i, text in enumerate((b"a", value, b"l\\n" + value, b"b")))
    search = found()
    assert search.messages(run) == (starred(run, value), 2) and " 2 masked" in search.alarm
    assert value.decode() not in search.alarm


@given(st.data())
def test_a_large_message_is_masked_however_it_is_cut(data: st.DataObject) -> None:
    """Its length stays; every value is starred out, wherever pieces end."""
    parts = data.draw(st.lists(st.sampled_from([*VALUES.values(), b"clear text ", b"x" * 300, b"9" * 700]), max_size=12))
    whole = b" | ".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    search = found()
    shown = b"".join(search.piece(whole[a:b]) for a, b in zip([0, *cuts], [*cuts, len(whole)])) + search.piece(b"", last=True)
    wanted = b" | ".join(b"*" * len(part) if part in VALUES.values() else part for part in parts)
    assert shown == wanted and sum(search.counts.values()) == sum(part in VALUES.values() for part in parts)


@pytest.mark.parametrize("cut", range(12))
@pytest.mark.parametrize("length", [0x01000041, 0x0100415F, 0x39414141, 0x3F313233])
def test_a_value_at_the_very_start_of_a_cell_is_found_however_long_the_cell_is(length: int, cut: int) -> None:
    """A length of 16 MiB or more has no zero in front, and its bytes may look like letters; its own bytes stay."""
    for ahead, count in ((2, b"\0\x01"), (0, b"")):
        search, whole = found(), count + length.to_bytes(4, "big") + b"219-09-9998 and more"
        search.begin(ahead)
        shown = search.piece(whole[:cut]) + search.piece(whole[cut:]) + search.piece(b"", last=True)
        assert shown == starred(whole, b"219-09-9998")


def test_a_value_at_the_very_end_of_a_cell_is_found_before_the_length_of_a_large_one() -> None:
    whole = b"\0\x02" + (11).to_bytes(4, "big") + b"219-09-9998" + 0x39414141.to_bytes(4, "big") + b"xxxxx219-09-9998"
    search = found()
    search.begin(2)
    assert search.piece(whole) + search.piece(b"", last=True) == whole.replace(b"219-09-9998", b"*" * 11, 1)


FITTING = st.one_of(*(st.from_regex(each.value) for each in FORMS.values() if each.value is not None))


@given(FITTING)
def test_the_first_look_misses_nothing_that_the_second_finds(text: str) -> None:
    data = text.encode("latin-1", "replace")
    if any(each.finds(data.decode("latin-1")) for each in FORMS.values()):
        assert ALL.may_be.search(data) is not None


# -- through a relay ---------------------------------------------------------------------


@dataclass
class Looking(Silent):
    """Opinions of the addon alone."""

    hears_columns: bool = True
    hears_content: bool = True
    search: Found = field(default_factory=found)

    def content(self, decision: Decision) -> Found:
        return self.search


def test_rows_and_copies_leave_a_relay_masked_and_the_outcome_says_so() -> None:
    head = columns("id", "note")
    play = Playbook(Looking()).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    copied, stars = CopyData(b"1\t219-09-9998\n").encode(), CopyData(b"1\t***********\n").encode()
    out = encode(b"H", b"\0\0\0")
    play.relay.from_target(head)
    effects = play.relay.from_target(row(b"1", b"ssn 219-09-9998") + complete("SELECT 1") + out + copied + encode(b"c", b"") + complete("COPY 1") + READY_IDLE)
    shown = b"".join(effect.data for effect in effects if isinstance(effect, ToClient))
    assert row(b"1", b"ssn ***********") in shown and stars in shown and b"219-" not in shown
    outcome = next(effect.outcome for effect in effects if hasattr(effect, "outcome"))
    assert outcome.cells_masked == 2 and "ssn 2 masked" in outcome.alarm


@pytest.mark.parametrize("step", [1 << 16, 5000])
def test_a_row_too_large_to_be_held_is_masked_on_its_way(step: int) -> None:
    """Its pieces are cut anywhere; nothing stays behind when it ends."""
    cell = (b"y" * (HOLD - 3) + b" 219-09-9998 ") * 400
    stream = row(b"1", cell) + complete("SELECT 1") + READY_IDLE
    play = Playbook(Looking()).client(ONE, asks("SELECT 1")).verdict(Allow(), intends(1, ONE))
    play.relay.from_target(columns("id", "note"))
    pieces = [play.relay.from_target(stream[at:at + step]) for at in range(0, len(stream), step)]
    shown = b"".join(effect.data for effects in pieces for effect in effects if isinstance(effect, ToClient))
    assert shown == starred(stream, b"219-09-9998")


# -- the addon ---------------------------------------------------------------------------


class Notes:
    """Evidence."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, dict[str, str]]] = []

    def note(self, _session: Session, kind: str, facts: dict[str, str]) -> None:
        self.notes.append((kind, facts))


@pytest.mark.parametrize(("kind", "name"), [("notice", "M"), ("error", "D"), ("notification", "payload"), ("parameter", "value")])
def test_texts_are_searched_and_a_find_is_in_the_evidence(kind: str, name: str) -> None:
    notes = Notes()
    addon = Content(mask=["ssn"], sink=notes)
    assert addon.on_text(TextHook(session(), kind, {name: "x 219-09-9998 é"}, None)) == {name: "x *********** é"}
    assert notes.notes == [("masking.content", {"alarm": "found in what no declaration covers: ssn 1 masked", "where": kind})]
    assert addon.on_text(TextHook(session(), kind, {name: "x"}, None)) is None and len(notes.notes) == 1


def run(addon: Content, text: bytes, who: Session | None = None, reveal: Reveal | None = None) -> tuple[bytes, str] | None:
    about = Decision(decision("SELECT 1").command, Allow(), "SELECT 1", reveal=reveal)
    search = addon.on_content(ContentHook(who or session(), about))
    return None if search is None else (search.messages(CopyData(text).encode())[0][5:], search.alarm)


def test_an_alarm_changes_nothing_and_is_what_is_done_unless_said() -> None:
    shown = run(Content(), b"219-09-9998")
    assert shown == (b"219-09-9998", "found in what no declaration covers: ssn 1")


def test_who_may_see_it_and_sessions_elsewhere_are_not_looked_at() -> None:
    addon = Content(mask=["ssn"], clear=["privacy"], where={"targets": ["clinic"]})
    assert run(addon, b"219-09-9998", session("privacy")) is None
    assert run(addon, b"219-09-9998", session(target="other")) is None
    assert run(addon, b"219-09-9998") is not None


def test_what_was_granted_to_be_seen_is_seen() -> None:
    """And recorded all the same."""
    reveal = Reveal("r-1", "g-1", b"b", frozenset({"public.patients.ssn"}), 9.0)
    assert run(Content(mask=["ssn"]), b"219-09-9998", reveal=reveal) == (b"219-09-9998", "found in what no declaration covers: ssn 1")


def test_a_site_has_record_numbers_of_its_own() -> None:
    """They stand alone, and their finds are starred out unless they are in `alarm`."""
    addon = Content(records={"chart": "CH-[0-9]{7}"})
    assert run(addon, b"see CH-1234567, xCH-1234567, CH-12345678") == (
        b"see **********, xCH-1234567, CH-12345678", "found in what no declaration covers: chart 1 masked",
    )
    assert run(Content(alarm=["chart"], records={"chart": "CH-[0-9]{7}"}), b"\\nCH-1234567")[1].endswith("chart 1")  # type: ignore[index]


WRONG: Sequence[tuple[dict[str, Any], str]] = [
    ({"mask": ["ssm"]}, "^mask: unknown detector"), ({"alarm": "ssn"}, "alarm"), ({"mask": ["ssn"], "alarm": ["ssn"]}, "in mask too"),
    ({"records": {"x": "(a"}}, "records.x"), ({"records": {"x": "a*"}}, "empty"), ({"records": {"x": "^a"}}, "anchors"),
    ({"records": {"x": r"a\b"}}, "anchors"), ({"records": {"x": r"(?<!a)b"}}, "records.x"), ({"records": ["x"]}, "records"),
    ({"records": {"ssn": "x"}}, "records"), ({"where": {"tragets": []}}, "tragets"),
]


@pytest.mark.parametrize(("given", "named"), WRONG, ids=str)
def test_a_wrong_configuration_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Content(**given)


def test_patterns_that_take_forever_elsewhere_do_not_here() -> None:
    """RE2's time is linear in the text, whatever a site writes."""
    assert run(Content(records={"x": "(?:a+)+b"}), b"a" * 50_000) == (b"a" * 50_000, "")
