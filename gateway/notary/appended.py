# cython: language_level=3
"""
A worker's append, from the bytes of its frame: what each record is to be stored as, and what its notary has to remember of it.

Compiled, as `gateway.notary._appended` (see `kernel`), an append that holds nothing unusual is read in one pass: no object is made of a
field that nobody asks for, and a command's session, target and number are taken where they stand. Whatever is not plain to that pass, be it wrong or
only rare, it leaves whole to the desk, which reads any append, says what is wrong with it, and is all there is where nothing was compiled.

Source: the msgpack specification (github.com/msgpack/msgpack, spec.md); what is in an event: `gateway.notary.record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import environ
from typing import Any

from gateway.notary.entry import Entry
from gateway.notary.record import COMMON, FIELDS, LEAF_LIMIT, NAME_LIMIT, VERDICTS, WORKER_KINDS, Kind

try:
    import cython
except ImportError:

    class cython:  # type: ignore[no-redef]  # noqa: N801
        """What this text needs of Cython where it is not installed."""

        compiled = False


if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcmp

STAMP_ROOM = 512
"""Bytes of a leaf that are the stamp's, with a few terms."""
TERMS = 8
"""Of one record."""
_APPEND = b"\x94\xa6append"  # what stands behind a frame's length: an array of four, the operation's name


def remember(open_intents: dict, lasts: dict, entries: Iterable[Entry], add: Callable[[Entry], object]) -> None:
    """
    Records are durable: which intents are open now, and how far each worker has come.

    :param add: told of those that may change more, each in its turn.
    """
    for entry in entries:
        worker, sequence, _, _, _, _, fields, opens, ends = entry
        lasts[worker] = sequence
        if fields is not None:
            add(entry)
        elif opens is not None:
            open_intents[worker, sequence] = opens
        elif ends is not None:
            open_intents.pop(ends, None)


def plain(frame: bytes, worker: int, first: int, owners: dict[bytes, Any], desk: object) -> list[Entry] | None:
    """
    The records of an append, once each of them is known to be one that its worker may write.

    :param frame: what was received, its length included.
    :param worker: who may append; `first`: and what is the next in its sequence.
    :param owners: of sessions; `desk`: who is, or becomes, the owner of those in here.
    :returns: None where it is not one whole append of plain records.
    """
    return _plain(frame, worker, first, owners, desk)


if cython.compiled:
    _INTENT = cython.declare(cython.int, Kind.INTENT)
    _OUTCOME = cython.declare(cython.int, Kind.OUTCOME)
    _GRANT = cython.declare(cython.int, FIELDS[Kind.INTENT].index("grant"))
    _SHARED = cython.declare(cython.int, len(COMMON))
    _VERDICTS = cython.declare(cython.int, len(VERDICTS))
    _NAME = cython.declare(cython.int, NAME_LIMIT)
    _LONGEST = cython.declare(cython.int, LEAF_LIMIT - STAMP_ROOM)
    _TERMS = cython.declare(cython.int, TERMS)
    _FRAME = cython.declare(cython.int, 4)  # bytes of a frame's length
    _DEEP = cython.declare(cython.int, 4)  # arrays in arrays
    _least = cython.declare(cython.int[128])  # fields of a kind that is read here; 0: of no such kind
    _new = tuple.__new__

    def _fill() -> None:
        kind: cython.int
        for kind in range(128):
            _least[kind] = 0
        for kind in WORKER_KINDS - {Kind.OPENED, Kind.CLOSED}:  # with those, more than intents is to be remembered
            _least[kind] = _SHARED + len(FIELDS[kind])

    _fill()

    @cython.cfunc
    @cython.inline
    def _start(data: bytes) -> cython.p_const_uchar:
        return cython.cast(cython.p_const_uchar, cython.cast(cython.p_const_char, data))

    @cython.cfunc
    @cython.inline
    def _net(at: cython.p_const_uchar, size: cython.int) -> cython.ulonglong:
        """A number of so many bytes, in network order."""
        value: cython.ulonglong = 0
        place: cython.int
        for place in range(size):
            value = value << 8 | at[place]
        return value

    @cython.cfunc
    def _number(at: cython.p_const_uchar, end: cython.p_const_uchar, value: cython.p_longlong) -> cython.p_const_uchar:
        """Behind a number that is not negative and is below 2**63; NULL where none is."""
        size: cython.int
        if at >= end:
            return cython.NULL
        if at[0] < 0x80:
            value[0] = at[0]
            return at + 1
        if not 0xCC <= at[0] <= 0xCF:
            return cython.NULL
        size = 1 << (at[0] - 0xCC)
        if end - at < 1 + size:
            return cython.NULL
        value[0] = cython.cast(cython.longlong, _net(at + 1, size))
        return at + 1 + size if value[0] >= 0 else cython.NULL

    @cython.cfunc
    def _count(at: cython.p_const_uchar, end: cython.p_const_uchar, count: cython.p_longlong) -> cython.p_const_uchar:
        """Behind the beginning of an array."""
        size: cython.int
        if at < end and at[0] & 0xF0 == 0x90:
            count[0] = at[0] & 0x0F
            return at + 1
        if at >= end or not 0xDC <= at[0] <= 0xDD:
            return cython.NULL
        size = 2 << (at[0] - 0xDC)
        if end - at < 1 + size:
            return cython.NULL
        count[0] = _net(at + 1, size)
        return at + 1 + size

    @cython.cfunc
    def _bin(at: cython.p_const_uchar, end: cython.p_const_uchar, length: cython.p_longlong) -> cython.p_const_uchar:
        """Where bytes begin that are all there; so many follow."""
        size: cython.int
        if at >= end or not 0xC4 <= at[0] <= 0xC6:
            return cython.NULL
        size = 1 << (at[0] - 0xC4)
        if end - at < 1 + size:
            return cython.NULL
        length[0] = _net(at + 1, size)
        at += 1 + size
        return at if length[0] <= end - at else cython.NULL

    @cython.cfunc
    def _ascii(at: cython.p_const_uchar, end: cython.p_const_uchar, length: cython.p_longlong) -> cython.p_const_uchar:
        """The same of a text; one of which not all is ASCII is for others to judge."""
        size: cython.int
        place: cython.longlong
        if at >= end:
            return cython.NULL
        if at[0] & 0xE0 == 0xA0:
            length[0] = at[0] & 0x1F
            at += 1
        elif 0xD9 <= at[0] <= 0xDB:
            size = 1 << (at[0] - 0xD9)
            if end - at < 1 + size:
                return cython.NULL
            length[0] = _net(at + 1, size)
            at += 1 + size
        else:
            return cython.NULL
        if length[0] > end - at:
            return cython.NULL
        for place in range(length[0]):
            if at[place] >= 0x80:
                return cython.NULL
        return at

    @cython.cfunc
    def _any(at: cython.p_const_uchar, end: cython.p_const_uchar, deep: cython.int) -> cython.p_const_uchar:
        """Behind any value that is nothing but nil, truth, numbers, bytes, ASCII, and arrays of such."""
        count: cython.longlong = 0
        found: cython.p_const_uchar
        if at >= end or deep > _DEEP:
            return cython.NULL
        if at[0] == 0xC0 or at[0] == 0xC2 or at[0] == 0xC3 or at[0] >= 0xE0:
            return at + 1
        if 0xD0 <= at[0] <= 0xD3:
            count = 1 + (1 << (at[0] - 0xD0))
            return at + count if count <= end - at else cython.NULL
        found = _number(at, end, cython.address(count))
        if found != cython.NULL:
            return found
        found = _bin(at, end, cython.address(count))
        if found == cython.NULL:
            found = _ascii(at, end, cython.address(count))
        if found != cython.NULL:
            return found + count
        found = _count(at, end, cython.address(count))
        while found != cython.NULL and count > 0:
            found = _any(found, end, deep + 1)
            count -= 1
        return found

    @cython.cfunc
    def _own(at: cython.p_const_uchar, end: cython.p_const_uchar, count: cython.longlong, command: cython.p_longlong) -> cython.p_const_uchar:
        """Behind so many fields of its kind; of an intent's the first is its command. NULL where it names a grant, which the desk has spent."""
        place: cython.longlong
        for place in range(count):
            if command != cython.NULL and place == 0:
                at = _number(at, end, command)
            elif command != cython.NULL and place == _GRANT:
                at = at + 1 if at < end and at[0] == 0xA0 else cython.NULL
            else:
                at = _any(at, end, 0)
            if at == cython.NULL:
                break
        return at

    @cython.cfunc
    def _ref(at: cython.p_const_uchar, end: cython.p_const_uchar, pair: cython.p_longlong) -> cython.p_const_uchar:
        """Behind the name of a record, two numbers, or nil."""
        if at < end and at[0] == 0xC0:
            return at + 1
        if at >= end or at[0] != 0x92:
            return cython.NULL
        at = _number(at + 1, end, pair)
        return at if at == cython.NULL else _number(at, end, pair + 1)

    @cython.cfunc
    def _record(worker: object, sequence: object, packed: bytes, body: object, terms: object) -> object:
        """An Entry; None where it is not plain."""
        at: cython.p_const_uchar = _start(packed)
        end: cython.p_const_uchar = at + len(packed)
        target: cython.p_const_uchar
        count: cython.longlong = 0
        named: cython.longlong = 0
        value: cython.longlong = 0
        kind: cython.int
        pair = cython.declare(cython.longlong[2])
        pair[0] = pair[1] = -1
        opens = ends = None
        at = _count(at, end, cython.address(count))
        if at == cython.NULL or end - at < 3 or at[0] >= 0x80:
            return None
        kind = at[0]
        if _least[kind] == 0 or count < _least[kind] or at[1] != 0xC4 or (at[2] != 0 and at[2] != 16) or end - at < 3 + at[2]:
            return None
        session: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, at + 3), at[2])
        at = _number(at + 3 + at[2], end, cython.address(value))
        target = at if at == cython.NULL else _ascii(at, end, cython.address(named))
        if target == cython.NULL or named > _NAME:
            return None
        at = target + named
        if at >= end or at[0] >= _VERDICTS:
            return None
        at = _ref(at + 1, end, cython.address(pair[0]))
        if at != cython.NULL:
            at = _own(at, end, count - _SHARED, cython.address(value) if kind == _INTENT else cython.NULL)
        if at != end:
            return None
        if kind == _INTENT:
            opens = session, PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, target), named).decode("ascii"), value
        elif kind == _OUTCOME and pair[1] >= 0:
            ends = pair[0], pair[1]
        return _new(Entry, (worker, sequence, packed, session, body, terms, None, opens, ends))

    @cython.cfunc
    def _terms(at: cython.p_const_uchar, end: cython.p_const_uchar, terms: list) -> cython.p_const_uchar:
        """Behind some texts, or nil."""
        count: cython.longlong = 0
        length: cython.longlong = 0
        if at < end and at[0] == 0xC0:
            return at + 1
        at = _count(at, end, cython.address(count))
        if count > _TERMS:
            return cython.NULL
        while at != cython.NULL and count > 0:
            at = _ascii(at, end, cython.address(length))
            if at != cython.NULL:
                terms.append(PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, at), length).decode("ascii"))
                at += length
            count -= 1
        return at

    @cython.cfunc
    def _plain(frame: bytes, worker: cython.longlong, first: cython.longlong, owners: dict, desk: object) -> list:
        at: cython.p_const_uchar = _start(frame)
        end: cython.p_const_uchar = at + len(frame)
        begin: cython.p_const_uchar
        count: cython.longlong = 0
        length: cython.longlong = 0
        entries: list = []
        body: object
        terms: list
        packed: bytes
        if end - at < _FRAME + 9 or cython.cast(cython.Py_ssize_t, _net(at, _FRAME)) != end - at - _FRAME or memcmp(at + _FRAME, _start(_APPEND), 8) != 0:
            return None
        at = _number(at + _FRAME + 8, end, cython.address(length))
        if at == cython.NULL or length != worker:
            return None
        at = _number(at, end, cython.address(length))
        if at == cython.NULL or length != first:
            return None
        at = _count(at, end, cython.address(count))
        if at == cython.NULL or count == 0:
            return None
        while count > 0:
            if at >= end or at[0] != 0x93:
                return None
            begin = _bin(at + 1, end, cython.address(length))
            if begin == cython.NULL or length > _LONGEST:
                return None
            packed = PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, begin), length)
            at = begin + length
            body, terms = None, []
            if at < end and at[0] == 0xC0:
                at += 1
            else:
                begin = _bin(at, end, cython.address(length))
                if begin == cython.NULL:
                    return None
                body = PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, begin), length)
                at = begin + length
            at = _terms(at, end, terms)
            if at == cython.NULL:
                return None
            entry = _record(worker, first, packed, body, terms)
            if entry is None or (entry[3] and owners.setdefault(entry[3], desk) is not desk):
                return None
            entries.append(entry)
            first += 1
            count -= 1
        return entries if at == end else None

else:

    def _plain(frame: bytes, worker: int, first: int, owners: dict[bytes, Any], desk: object) -> list[Entry] | None:
        return None

    if not environ.get("OSTIARY_PURE"):
        try:
            from gateway.notary import _appended
        except ImportError:
            pass
        else:
            globals().update(plain=_appended.plain, remember=_appended.remember)
