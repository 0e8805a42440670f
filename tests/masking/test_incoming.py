"""Masks in the data of a COPY are found in every format, however it is cut, and only in the columns they stand for."""

from __future__ import annotations

import csv
import io
import random
from struct import pack

import pytest

from addons.masking.cover import Cover
from addons.masking.declared import Declaration, Strategy
from addons.masking.incoming import Incoming, incoming
from addons.masking.marks import Marks
from addons.sql.calls import Calls
from tests.sql.little import snapshot

DECLARED = (
    Declaration("public", "patients", "ssn", Strategy(), frozenset()), Declaration("public", "patients", "mrn", Strategy("partial", 4), frozenset()),
    Declaration("public", "patients", "dob", Strategy("date"), frozenset()),
)  # fmt: skip
KNOWN = snapshot()
MARKS = Marks(DECLARED, Cover(KNOWN, DECLARED, Calls(KNOWN, frozenset()).opaque))
TEXT = "COPY patients (id, ssn, state) FROM STDIN"
CSV, BINARY = TEXT + " (FORMAT csv)", TEXT + " WITH BINARY"


def looking(text: str, marks: Marks = MARKS) -> Incoming:
    found = incoming(text, marks)
    assert found is not None
    return found


def refused(text: str, data: bytes, step: int = 0, marks: Marks = MARKS) -> str:
    """The column that a refusal names, "" for none."""
    found, step = looking(text, marks), step or len(data) or 1
    for at in range(0, len(data), step):
        deny = found.take(memoryview(data)[at : at + step])
        if deny is not None:
            return dict(deny.facts)["columns"]
    deny = found.end()
    return dict(deny.facts)["columns"] if deny is not None else ""


def binary(*rows: tuple[bytes | None, ...]) -> bytes:
    body = b"".join(pack("!h", len(row)) + b"".join(pack("!i", -1) if v is None else pack("!i", len(v)) + v for v in row) for row in rows)
    return b"PGCOPY\n\xff\r\n\0" + pack("!iI", 0, 3) + b"ext" + body + pack("!h", -1)


MASKED = [
    (TEXT, b"1\t219-09-9998\tx\n2\t***\ty\n"), (TEXT, b"2\t***\ty"), (TEXT, b"1\ta\tb\r\n2\t***\ty\r\n"), (TEXT, b"1\ta\tb\r2\t***\ty\r"),
    (TEXT.replace("STDIN", "STDIN (DELIMITER '|')"), b"1|***|x\n"), (CSV, b"1,***,x\n"), (CSV, b'1,"***",x\n'), (CSV, b'1,"a\n""b,",x\n2,***,"y\n'),
    (TEXT + " (FORMAT csv, QUOTE '''', DELIMITER ';')", b"1;'***';x\n"), (TEXT + " (FORMAT csv, ESCAPE '\\')", b'1,"a\\"b",x\n2,"***",y\n'),
    (TEXT + " CSV HEADER", b"id,ssn,state\n1,***,x\n"), (BINARY, binary((b"\0\0\0\1", b"a", b"b"), (b"\0\0\0\2", b"***", None))),
    (TEXT + " (ENCODING 'SJIS')", b"1\t***\tx\n"), ("COPY patients FROM STDIN", b"1\t***\tm\t1980-01-01\tx\n"),
    ("COPY public.patients (mrn) FROM STDIN", b"***7777\n"), ("COPY patients (mrn) FROM STDIN", "***äöüß\n".encode()), ("COPY archive (ssn) FROM STDIN", b"***\n"),
    ("SELECT 1; COPY patients (ssn) FROM STDIN", b"***\n"),
    (TEXT, b"1\t\\x2a**\tx\n"), (TEXT, b"1\t\\052*\\52\tx\n"), (TEXT, b"1\t\\*\\*\\*\tx\n"), (TEXT, b"1\t**\\452\tx\n"),
    ("COPY patients (mrn) FROM STDIN", rb"***48\x36\65"), ("COPY patients (mrn) FROM STDIN", rb"\x2A**4865"), (TEXT, b"\\N\t\\x2a**\t\\N\n"),
    ("COPY patients (id, state, ssn) FROM STDIN", b"1\ta\\\nb\t***\n"), ("COPY patients (id, state, ssn) FROM STDIN", b"1\ta\\\tb\t***\n"),
    (TEXT + " (ENCODING 'SJIS')", b"1\t\\x2a**\tx\n"), (TEXT + " (DELIMITER '*')", rb"1*\*\*\**x"), (CSV, b'1,"**"*,x\n'), (CSV, b'1,*"*"*,x\n'), (TEXT, b"1\t**\\x2a\\"),
]  # fmt: skip
CLEAN = [
    (TEXT, b"1\t219-09-9998\t***\n"), (TEXT, b"1\t****\tx\n2\ta***\t***\n"), (TEXT, b"***\t1\tx\n"), (CSV, b'1,"a,***,b",***\n'), (CSV, b'"x\n***\n",1,x\n'),
    (BINARY, binary((b"***", b"****", b"***"), (b"x", None, b"***"))), ("COPY patients FROM STDIN", b"1\ta\tm\t1980-01-01\t***\n"),
    ("COPY patients (mrn) FROM STDIN", b"***777\n***77777\n"), ("COPY patients (dob) FROM STDIN", b"1980-01-01\n"), (TEXT, b""),
    (TEXT, b"1\t\\\\x2a**\t\\x2a**\n"), (TEXT, b"1\t\\N\t\\***\n"), (CSV, b'1,\\x2a**,x\n'), (CSV, b'1,"*""*""*",x\n'), (TEXT, b"1\ta\\\\\n***\tx\ty\n"),
]  # fmt: skip


@pytest.mark.parametrize("step", [0, 1, 3, 7])
@pytest.mark.parametrize(("text", "data"), MASKED)
def test_a_mask_is_found_wherever_the_data_is_cut(text: str, data: bytes, step: int) -> None:
    assert refused(text, data, step).rpartition(".")[2] in ("ssn", "mrn")


@pytest.mark.parametrize("step", [0, 1, 5])
@pytest.mark.parametrize(("text", "data"), CLEAN)
def test_what_is_no_mask_of_that_column_passes(text: str, data: bytes, step: int) -> None:
    assert refused(text, data, step) == ""


@pytest.mark.parametrize("text", ["COPY departments FROM STDIN", "COPY patients TO STDOUT", "COPY patients FROM '/x'", "SELECT 'copy from stdin'", "COPY patients FROM"])
def test_nothing_looks_where_nothing_is_written(text: str) -> None:
    assert incoming(text, MARKS) is None


DEEP = " WHERE state = " + "||".join(["'y'"] * 60)
"""More than the grammar here reads, and the server's takes."""


@pytest.mark.parametrize(("text", "data"), [(TEXT + DEEP, b"1\t***\tx\n"), (CSV + DEEP, b'1,"***",x\n'), (TEXT + " (FORMAT binary)" + DEEP, binary((b"1", b"***", b"x")))], ids=["text", "csv", "binary"])
def test_nor_does_a_mask_pass_in_the_data_of_a_copy_that_nobody_here_can_read(text: str, data: bytes) -> None:
    assert refused(text, data) == refused(text, data, 3) == "public.patients.ssn" and refused(text, data.replace(b"***", b"abc")) == ""
    assert incoming(text.replace("patients", "departments"), MARKS) is None


def test_of_several_copies_each_is_looked_through_by_its_own_columns() -> None:
    found = looking("COPY departments FROM STDIN; COPY patients (state, ssn) FROM STDIN; COPY departments FROM STDIN")
    assert found.take(b"***\t***\n") is None and found.end() is None
    assert found.take(b"***\tx\n") is None and found.take(b"x\t***\n") is not None and found.end() is None
    assert found.take(b"***\t***\n") is None and found.end() is None and found.take(b"***\t***\n") is None


def test_a_row_too_long_to_be_kept_is_searched_whichever_column_it_is() -> None:
    """And what is kept of it stays small."""
    for text in (TEXT, CSV):
        found = looking(text)
        for _ in range(40):
            assert found.take(b"x" * (64 << 10)) is None
        assert len(found._copies[0]._rest) <= 1 << 20
        separator = b"," if text == CSV else b"\t"
        assert found.take(separator + b"***" + separator + b"\n") is not None


def test_a_large_field_in_binary_is_passed_over_without_being_kept() -> None:
    data = binary((b"x" * 300_000, b"a", b"b"), (b"1", b"***", b"c"))
    assert refused(BINARY, data, 1000) == "public.patients.ssn"


def test_without_a_catalog_every_column_of_a_copy_without_names_counts() -> None:
    unread = Marks(DECLARED, None)
    assert refused("COPY patients FROM STDIN", b"1\tx\ty\tz\t***\n", marks=unread) == "public.patients.ssn"
    assert refused(TEXT, b"1\tx\t***\n", marks=unread) == ""


@pytest.mark.parametrize("seed", range(40))
def test_random_rows_are_told_apart_as_they_were_written(seed: int) -> None:
    """Text and csv from the writer's side: refused exactly when a row's second column is a mask."""
    chance = random.Random(seed)
    pieces = ["***", "*", "a", '"', ",", "\n", "\r\n", "é", "***x", " ", "***,", ""]
    rows = [["".join(chance.choices(pieces, k=chance.randrange(3))) for _ in range(3)] for _ in range(chance.randrange(1, 8))]
    expected = any(row[1] == "***" for row in rows)
    written = io.StringIO()
    csv.writer(written, quoting=chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator="\n").writerows(rows)
    escaped = "".join("\t".join(v.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") for v in row) + "\n" for row in rows)
    for text, data in ((CSV, written.getvalue()), (TEXT, escaped), (BINARY, None)):
        raw = binary(*(tuple(v.encode() for v in row) for row in rows)) if data is None else data.encode()
        assert bool(refused(text, raw, chance.randrange(1, 20))) == expected, (text, rows)
