# cython: language_level=3
"""
What is done to each record, byte by byte: its body sealed, its leaf hashed into the tree. And once a batch, which file a path names.

One text for two speeds, as `protocols.kernel`; setup.py compiles it as `gateway.notary._kernel`, which is used where it was built
unless OSTIARY_PURE is set. What differs are the functions at the end. Interpreted, SHA-256 is hashlib's, AES-256-GCM is cryptography's,
and statx is asked by way of ctypes. Compiled, the same libcrypto that hashlib is linked to is called without an object for each
of the thirty questions that two records ask: a notary that slept through its last write finds nothing of what it needs
in the processor's caches, and each object is there to be fetched again. No lock is let go of between the first and the last call of one
question, so that one context serves all threads. Where that library cannot be found, the text stays interpreted.

Sources: RFC 2104 (HMAC), section 2; RFC 6962, section 2.1 (leaves and nodes); statx(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from os import environ
from struct import Struct
from typing import TYPE_CHECKING

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.notary.record import LEAF_LIMIT, pack_leaf

if TYPE_CHECKING:
    from gateway.notary.body import Bodies
    from gateway.notary.entry import Entry

try:
    import cython
except ImportError:

    class cython:  # type: ignore[no-redef]  # noqa: N801
        """What this text needs of Cython where it is not installed."""

        compiled, int, longlong = False, None, None
        cfunc = staticmethod(lambda function: function)
        declare = staticmethod(lambda kind, value: value)


if cython.compiled:
    import _hashlib

    from cython.cimports.cpython.buffer import PyBUF_WRITABLE, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.gateway.notary import system
    from cython.cimports.libc.errno import errno as last_error
    from cython.cimports.libc.stdint import uint32_t, uint64_t, uintptr_t
    from cython.cimports.libc.string import memcpy, memset

Row = tuple[bytes, bytes | None]
"""A leaf and its stored body."""

_BLOCK = cython.declare(cython.int, 64)  # bytes of SHA-256's input block
_SIZE = cython.declare(cython.int, 32)  # of its output
_SALT = cython.declare(cython.int, 16)  # before what is encrypted
_TAG = cython.declare(cython.int, 16)  # and behind it
_PAGE = cython.declare(cython.longlong, 4096)
_NONCE = bytes(12)  # zero: each key is used once
_LEAF, _NODE = b"\x00", b"\x01"
_BODY, _COMMITMENT = b"\x02", b"ostiary-body\x00"
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))
_REST = bytes(_BLOCK - _SIZE)
_OPENING_INNER, _OPENING_OUTER = _REST.translate(_INNER) + b"ostiary-opening", _REST.translate(_OUTER)
_AHEAD, _WHOLE = b"OstAhead", cython.declare(cython.int, 4096)  # what a batch begins with; bytes of a block
_FACTS = Struct("!QII")  # index of the first record, records, bytes of payload
_HEADER = cython.declare(cython.int, 56)  # the two, and the SHA-256 of what follows the first of them
_LIMIT = cython.declare(cython.longlong, LEAF_LIMIT)
_pack_facts = _FACTS.pack
_AT_FDCWD, _STATX_INO_SIZE = -100, 0x100 | 0x200
_FOUND = Struct("=32xQQ88xII112x")  # struct statx: inode; size; major and minor number of its device


def padded(key: bytes) -> tuple[bytes, bytes]:
    """What HMAC hashes before a message and before the first digest, for a key of at most 64 bytes."""
    if len(key) > _BLOCK:
        raise ValueError("a longer key would have to be hashed first")
    whole = key.ljust(_BLOCK, b"\0")
    return whole.translate(_INNER), whole.translate(_OUTER)


def mac(inner: bytes, outer: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 under a key that was `padded`."""
    return _sha256(outer, _sha256(inner, message))


def record_key(inner: bytes, outer: bytes, salt: bytes) -> bytes:
    """The key of one record, from that of its session, `padded`, and 16 bytes that no other record has."""
    if len(salt) != _SALT:
        raise ValueError("a salt has 16 bytes")
    return _sha256(outer, _sha256(inner, b"ostiary-record" + salt))


def opening(key: bytes) -> bytes:
    """What proves a body to an auditor, from the record's key: HMAC-SHA-256 of a fixed message."""
    if len(key) != _SIZE:
        raise ValueError("a record's key has 32 bytes")
    first: bytes = _sha256(key.translate(_INNER), _OPENING_INNER)
    return _sha256(key.translate(_OUTER) + _OPENING_OUTER, first)


def sealed(inner: bytes, outer: bytes, salt: bytes, plain: bytes) -> tuple[bytes, bytes, bytes]:
    """
    A body encrypted under the record's key, the first three arguments being those of `record_key`.

    :returns: what is stored, the salt first, and the two digests that go into the leaf, of it and to the plain bytes.
    """
    key: bytes = record_key(inner, outer, salt)
    stored: bytes = _encrypted(key, salt, plain)
    return stored, _sha256(_BODY, stored), _sha256(_COMMITMENT + opening(key), plain)


def rows(entries: Sequence[Entry], number: int, first: int, wall: int, boot: int, bodies: Bodies) -> list[Row]:
    """
    What is stored of each: its leaf, whose stamp is in the order of `Stamp`, and its sealed body.

    :param first: the index of the first.
    :raises BadRecord: a leaf is too long.
    """
    keys: dict = bodies.keys
    salts: list = bodies.salts(len(entries))
    made: list = []
    index = first
    for entry in entries:
        worker, sequence, packed, session, body, terms = entry[:6]
        stored = hashed = commitment = None
        if body is not None:
            pads = keys.get(session) or bodies.key(session)
            stored, hashed, commitment = sealed(pads[0], pads[1], salts.pop(), body)
        told = tuple(sorted([bodies.term(term) for term in terms])) if terms else ()
        made.append((_leaf(number, index, wall, boot, worker, sequence, hashed, commitment, told, packed), stored))
        index += 1
    return made


def framed(room: memoryview, first: int, batch: Sequence[Row], head: str) -> int:
    """
    Put a batch where it is written from: header, records, head, and zeroes up to the end of a block.

    :returns: its bytes; 0 where there is no room for it, and then nothing was done.
    """
    return _framed(room, first, batch, head)


def digest(front: bytes, data: bytes) -> bytes:
    """SHA-256 of one behind the other."""
    return _sha256(front, data)


def grown(peaks: Sequence[bytes], size: int, leaves: Iterable[bytes]) -> list[bytes]:
    """The right edge of a tree of `size` leaves, with more of them."""
    edge: list = list(peaks)
    for leaf in leaves:
        climb(edge, size, _sha256(_LEAF, leaf))
        size += 1
    return edge


def climb(edge: list[bytes], size: int, hashed: bytes) -> None:
    """Put the hash of leaf `size` onto the edge."""
    bits = size
    while bits & 1:
        hashed = _sha256(_NODE + edge.pop(), hashed)
        bits >>= 1
    edge.append(hashed)


def crown(edge: Sequence[bytes]) -> bytes:
    """The root over a tree's right edge, which is not empty."""
    root: bytes = edge[-1]
    for peak in edge[-2::-1]:
        root = _sha256(_NODE + peak, root)
    return root


def room(rows: Iterable[tuple[bytes, bytes | None]]) -> int:
    """Bytes that leaves and their stored bodies take in LMDB, or a few more: big values live in whole pages of their own."""
    total: cython.longlong = 0
    for leaf, body in rows:
        total += _footprint(leaf)
        if body is not None:
            total += _footprint(body)
    return total


@cython.cfunc
def _footprint(value: bytes) -> cython.longlong:
    size: cython.longlong = len(value) + 32
    return size if size < _PAGE // 2 else (size + _PAGE - 1) // _PAGE * _PAGE


def placed(file: bytes) -> tuple[int, int, int, int]:
    """
    (inode, size, major, minor) of what a path names, without asking for its times: from Linux 6.13 on, a file whose times somebody
    has looked at gets new ones by its next write, and its inode is then written along, which takes as long as the write itself.

    :raises OSError: it names nothing.
    """
    found = _status(file)
    if found is not None:
        return found
    usual = os.stat(file)  # a system without statx
    return usual.st_ino, usual.st_size, os.major(usual.st_dev), os.minor(usual.st_dev)


if cython.compiled:

    @cython.cfunc
    def _found(name: str) -> cython.p_void:
        """A function of libcrypto or libc."""
        try:
            at: uintptr_t = ctypes.cast(getattr(_library, name), ctypes.c_void_p).value
        except AttributeError as error:
            raise ImportError(f"no {name} where hashlib has its functions") from error
        return cython.cast(cython.p_void, at)

    try:
        _library = ctypes.CDLL(_hashlib.__file__)
    except (AttributeError, OSError) as error:
        raise ImportError("hashlib is linked to no library of its own") from error

    _digest_init = cython.declare(system.digest_init, cython.cast(system.digest_init, _found("EVP_DigestInit_ex")))
    _digest_update = cython.declare(system.digest_update, cython.cast(system.digest_update, _found("EVP_DigestUpdate")))
    _digest_final = cython.declare(system.digest_final, cython.cast(system.digest_final, _found("EVP_DigestFinal_ex")))
    _encrypt_init = cython.declare(system.encrypt_init, cython.cast(system.encrypt_init, _found("EVP_EncryptInit_ex")))
    _encrypt_update = cython.declare(system.encrypt_update, cython.cast(system.encrypt_update, _found("EVP_EncryptUpdate")))
    _encrypt_final = cython.declare(system.encrypt_final, cython.cast(system.encrypt_final, _found("EVP_EncryptFinal_ex")))
    _control = cython.declare(system.encrypt_control, cython.cast(system.encrypt_control, _found("EVP_CIPHER_CTX_ctrl")))
    _statx = cython.declare(system.file_status, cython.cast(system.file_status, _found("statx")))
    _hash = cython.declare(cython.p_void, cython.cast(system.new_context, _found("EVP_MD_CTX_new"))())
    _cipher = cython.declare(cython.p_void, cython.cast(system.new_context, _found("EVP_CIPHER_CTX_new"))())
    _sha_256 = cython.declare(cython.p_const_void, cython.cast(system.algorithm, _found("EVP_sha256"))())
    _aes_gcm = cython.declare(cython.p_const_void, cython.cast(system.algorithm, _found("EVP_aes_256_gcm"))())
    _GET_TAG = cython.declare(cython.int, 0x10)  # EVP_CTRL_AEAD_GET_TAG
    _LONGEST = cython.declare(cython.Py_ssize_t, 0x7FFFFF00)  # bytes that its int takes

    if (
        _hash == cython.NULL
        or _cipher == cython.NULL
        or _digest_init(_hash, _sha_256, cython.NULL) != 1
        or _encrypt_init(_cipher, _aes_gcm, cython.NULL, cython.NULL, cython.NULL) != 1
    ):
        raise ImportError("libcrypto knows no SHA-256 or no AES-256-GCM")

    @cython.cfunc
    @cython.inline
    def _bytes(data: bytes) -> cython.p_const_uchar:
        """Where they are, for as long as the caller keeps them."""
        return cython.cast(cython.p_const_uchar, cython.cast(cython.p_const_char, data))

    @cython.cfunc
    def _sha256(front: bytes, data: bytes) -> bytes:
        out: bytes = PyBytes_FromStringAndSize(cython.NULL, _SIZE)
        _hashed(cython.cast(cython.p_uchar, _bytes(out)), _bytes(front), len(front), _bytes(data), len(data))
        return out

    @cython.cfunc
    def _hashed(
        to: cython.p_uchar, front: cython.p_const_uchar, length: cython.Py_ssize_t, data: cython.p_const_uchar, rest: cython.Py_ssize_t
    ) -> cython.bint:
        """SHA-256 of two pieces of memory."""
        if (
            _digest_init(_hash, cython.NULL, cython.NULL) != 1  # of the same kind as before
            or _digest_update(_hash, front, length) != 1
            or _digest_update(_hash, data, rest) != 1
            or _digest_final(_hash, to, cython.NULL) != 1
        ):
            raise RuntimeError("libcrypto made no digest")
        return True

    @cython.cfunc
    @cython.inline
    def _width(value: cython.ulonglong) -> cython.int:
        """Bytes of a number in msgpack."""
        return 1 if value < 0x80 else 2 if value < 0x100 else 3 if value < 0x10000 else 5 if value <= 0xFFFFFFFF else 9

    @cython.cfunc
    @cython.inline
    def _big(to: cython.p_uchar, value: cython.ulonglong, size: cython.int) -> cython.p_uchar:
        """So many bytes of it, in network order; what is behind them."""
        place: cython.int
        for place in range(size):
            to[place] = cython.cast(cython.uchar, value >> (8 * (size - 1 - place)))
        return to + size

    @cython.cfunc
    def _number(to: cython.p_uchar, value: cython.ulonglong) -> cython.p_uchar:
        size: cython.int = _width(value) - 1
        if size:
            to[0] = 0xCC if size == 1 else 0xCD if size == 2 else 0xCE if size == 4 else 0xCF
            to += 1
        return _big(to, value, size or 1)

    @cython.cfunc
    @cython.inline
    def _span(length: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Bytes that so many take in msgpack."""
        return length + (2 if length < 0x100 else 3 if length < 0x10000 else 5)

    @cython.cfunc
    def _put(to: cython.p_uchar, value: object) -> cython.p_uchar:
        """Bytes in msgpack, or nil."""
        if value is None:
            to[0] = 0xC0
            return to + 1
        if not isinstance(value, bytes):
            raise TypeError("bytes or None")
        data: bytes = value
        length: cython.Py_ssize_t = len(data)
        to[0] = 0xC4 if length < 0x100 else 0xC5 if length < 0x10000 else 0xC6
        to = _big(to + 1, length, 1 if length < 0x100 else 2 if length < 0x10000 else 4)
        memcpy(to, _bytes(data), length)
        return to + length

    @cython.cfunc
    def _leaf(
        number: cython.longlong, index: cython.longlong, wall: cython.longlong, boot: cython.longlong,
        worker: cython.longlong, sequence: cython.longlong, hashed: object, commitment: object, terms: tuple, packed: bytes,
    ) -> bytes:  # fmt: skip
        """As `pack_leaf`, which makes what is too long for this, or no number of ours."""
        size: cython.longlong = 4 + _width(number) + _width(index) + _width(wall) + _width(boot) + _width(worker) + _width(sequence)
        size += (1 if hashed is None else _span(len(hashed))) + (1 if commitment is None else _span(len(commitment))) + len(packed)
        for term in terms:
            size += _span(len(term))
        if size > _LIMIT or len(terms) > 15 or (number | index | wall | boot | worker | sequence) < 0:
            return pack_leaf((number, index, wall, boot, worker, sequence, hashed, commitment, terms), packed)
        leaf: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
        to: cython.p_uchar = cython.cast(cython.p_uchar, _bytes(leaf))
        to[0], to[1], to[2] = 0x92, 0x9A, 1  # two: the stamp, of ten, version 1; and the event
        to = _number(_number(_number(to + 3, number), index), wall)
        to = _number(_number(_number(to, boot), worker), sequence)
        to = _put(_put(to, hashed), commitment)
        to[0] = 0x90 | len(terms)
        to += 1
        for term in terms:
            to = _put(to, term)
        memcpy(to, _bytes(packed), len(packed))
        return leaf

    @cython.cfunc
    def _framed(room: object, first: cython.ulonglong, batch: list, head: str) -> cython.Py_ssize_t:
        view = cython.declare(Py_buffer)
        PyObject_GetBuffer(room, cython.address(view), PyBUF_WRITABLE)
        try:
            return _filled(cython.cast(cython.p_uchar, view.buf), view.len, first, batch, head.encode())
        finally:
            PyBuffer_Release(cython.address(view))

    @cython.cfunc
    def _filled(room: cython.p_uchar, most: cython.Py_ssize_t, first: cython.ulonglong, batch: list, head: bytes) -> cython.Py_ssize_t:
        count: cython.Py_ssize_t = len(batch)
        size: cython.Py_ssize_t = len(head)
        end: cython.Py_ssize_t
        whole: cython.Py_ssize_t
        to: cython.p_uchar = room + _HEADER
        size += 1 if size < 0x20 else 2 if size < 0x100 else 3 if size < 0x10000 else 5
        end = _HEADER + 1 + (1 if count < 0x10 else 3 if count < 0x10000 else 5) + size
        for leaf, body in batch:
            end += 1 + _span(len(leaf)) + (1 if body is None else _span(len(body)))
        whole = (end + _WHOLE - 1) // _WHOLE * _WHOLE
        if whole > most:
            return 0
        to[0] = 0x92
        to = _many(to + 1, count, 0x90, 0x10, 0xDC)
        for leaf, body in batch:
            to[0] = 0x92
            to = _put(_put(to + 1, leaf), body)
        to = _text(to, head)
        if to != room + end:
            raise RuntimeError("a batch was measured wrongly")
        memset(to, 0, whole - end)
        facts: bytes = _pack_facts(first, count, end - _HEADER)
        memcpy(room, _bytes(_AHEAD), 8)
        memcpy(room + 8, _bytes(facts), 16)
        _hashed(room + 24, room + 8, 16, room + _HEADER, end - _HEADER)
        return whole

    @cython.cfunc
    def _text(to: cython.p_uchar, text: bytes) -> cython.p_uchar:
        """A string in msgpack."""
        length: cython.Py_ssize_t = len(text)
        if 0x20 <= length < 0x100:
            to[0], to[1] = 0xD9, length
            to += 2
        else:
            to = _many(to, length, 0xA0, 0x20, 0xDA)
        memcpy(to, _bytes(text), length)
        return to + length

    @cython.cfunc
    def _many(to: cython.p_uchar, count: cython.Py_ssize_t, few: cython.int, fewer: cython.int, more: cython.int) -> cython.p_uchar:
        """What says how many elements or characters follow: in one byte, or in two or four behind one."""
        if count < fewer:
            to[0] = few | count
            return to + 1
        to[0] = more if count < 0x10000 else more + 1
        return _big(to + 1, count, 2 if count < 0x10000 else 4)

    @cython.cfunc
    def _encrypted(key: bytes, salt: bytes, plain: bytes) -> bytes:
        if len(plain) > _LONGEST:
            raise ValueError("too long to be encrypted at once")
        length: cython.int = len(plain)
        done: cython.int = 0
        rest: cython.int = 0
        out: bytes = PyBytes_FromStringAndSize(cython.NULL, _SALT + length + _TAG)
        to: cython.p_uchar = cython.cast(cython.p_uchar, _bytes(out))
        memcpy(to, _bytes(salt), _SALT)
        if (
            _encrypt_init(_cipher, cython.NULL, cython.NULL, _bytes(key), _bytes(_NONCE)) != 1
            or _encrypt_update(_cipher, to + _SALT, cython.address(done), _bytes(plain), length) != 1
            or _encrypt_final(_cipher, to + _SALT + done, cython.address(rest)) != 1
            or done + rest != length
            or _control(_cipher, _GET_TAG, _TAG, to + _SALT + length) != 1
        ):
            raise RuntimeError("libcrypto encrypted nothing")
        return out

    @cython.cfunc
    def _status(file: bytes) -> object:
        room = cython.declare(cython.uchar[256])
        inode = cython.declare(uint64_t[2])  # and the size
        device = cython.declare(uint32_t[2])
        if _statx(_AT_FDCWD, cython.cast(cython.p_const_char, file), 0, _STATX_INO_SIZE, cython.address(room[0])) != 0:
            if last_error == errno.ENOSYS:
                return None
            raise OSError(last_error, os.strerror(last_error), os.fsdecode(file))
        memcpy(cython.address(inode[0]), cython.address(room[32]), 16)
        memcpy(cython.address(device[0]), cython.address(room[136]), 8)
        return inode[0], inode[1], device[0], device[1]

else:
    _pack = msgpack.Packer(use_bin_type=True).pack
    _statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)
    if _statx is not None:
        _statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]

    def _sha256(front: bytes, data: bytes) -> bytes:
        return sha256(front + data).digest()

    def _leaf(*facts: object) -> bytes:
        return pack_leaf(facts[:-1], facts[-1])

    def _framed(room: memoryview, first: int, batch: Sequence[Row], head: str) -> int:
        payload = _pack((batch, head))
        end = _HEADER + len(payload)
        whole = -(-end // _WHOLE) * _WHOLE
        if whole > len(room):
            return 0
        facts = _pack_facts(first, len(batch), len(payload))
        room[:whole] = b"".join((_AHEAD, facts, _sha256(facts, payload), payload, bytes(whole - end)))
        return whole

    def _encrypted(key: bytes, salt: bytes, plain: bytes) -> bytes:
        return salt + AESGCM(key).encrypt(_NONCE, plain, None)

    def _status(file: bytes) -> tuple[int, int, int, int] | None:
        room = ctypes.create_string_buffer(_FOUND.size)
        if _statx is None:
            return None
        if _statx(_AT_FDCWD, file, 0, _STATX_INO_SIZE, room) == 0:
            return _FOUND.unpack_from(room)
        if ctypes.get_errno() == errno.ENOSYS:
            return None
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fsdecode(file))

    if not environ.get("OSTIARY_PURE"):
        try:
            from gateway.notary import _kernel
        except ImportError:
            pass
        else:
            names = (
                "climb", "crown", "digest", "framed", "grown", "mac", "opening", "padded", "placed", "record_key", "room", "rows", "sealed",
            )  # fmt: skip
            globals().update({name: getattr(_kernel, name) for name in names if hasattr(_kernel, name)})  # an older build has fewer
