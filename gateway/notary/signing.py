# cython: language_level=3
"""
Ed25519 by libsodium, in half of the time of OpenSSL, which signs where this text is interpreted and where PyNaCl brings no libsodium.

Compiled as `gateway.notary._signing`, see `kernel`. The signatures are the same, so which library made one leaves no trace in the evidence.
The library is looked for when the first key is made, since only a notary makes any.

Sources: RFC 8032; libsodium's crypto_sign.h.
"""

from __future__ import annotations

import ctypes
from binascii import b2a_base64
from os import environ

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

try:
    import cython
except ImportError:

    class cython:  # type: ignore[no-redef]  # noqa: N801
        """What this text needs of Cython where it is not installed."""

        compiled = False


if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
    from cython.cimports.gateway.notary import system
    from cython.cimports.libc.stdint import uintptr_t

SECRET = 64
"""Bytes of a seed and, behind it, its public key."""


def keyed(secret: bytearray) -> bool:
    """
    Put a new key there, SECRET bytes.

    :returns: False where there is no libsodium, and wherever this text is interpreted: then nothing was done.
    """
    if len(secret) != SECRET:
        raise ValueError("a key and its public half have 64 bytes")
    return _keyed(secret)


def signature(secret: bytearray, text: bytes) -> bytes:
    """64 bytes, by a key that was `keyed`."""
    if len(secret) != SECRET:
        raise ValueError("a key and its public half have 64 bytes")
    return _signature(secret, text)


def head(secret: bytearray, origin: bytes, size: int, root: bytes, line: bytes, name: bytes) -> str:
    """
    A signed checkpoint (see `note`).

    :param line: what stands between its text and the signature; `name`: the key's four bytes.
    """
    text: bytes = b"%b\n%d\n%b" % (origin, size, b2a_base64(root))  # which ends in a newline
    return (text + line + b2a_base64(name + signature(secret, text))).decode()


if cython.compiled:
    _key_pair = cython.declare(system.key_pair, cython.NULL)
    _sign = cython.declare(system.signing, cython.NULL)

    @cython.cfunc
    def _found(library: object, name: str) -> cython.p_void:
        at: uintptr_t = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        return cython.cast(cython.p_void, at)

    @cython.cfunc
    def _sodium() -> cython.bint:
        """Whether libsodium is at hand, and ready."""
        global _key_pair, _sign
        if _key_pair == cython.NULL:
            try:
                from nacl import _sodium as binding

                library: object = ctypes.CDLL(binding.__file__)
                _sign = cython.cast(system.signing, _found(library, "crypto_sign_detached"))
                if cython.cast(system.starting, _found(library, "sodium_init"))() < 0:
                    return False
                _key_pair = cython.cast(system.key_pair, _found(library, "crypto_sign_keypair"))
            except (ImportError, OSError, AttributeError):
                return False
        return True

    @cython.cfunc
    def _keyed(secret: bytearray) -> bool:
        public = cython.declare(cython.uchar[32])
        return _sodium() and _key_pair(cython.address(public[0]), secret) == 0

    @cython.cfunc
    def _signature(secret: bytearray, text: bytes) -> bytes:
        out: bytes = PyBytes_FromStringAndSize(cython.NULL, 64)
        to: cython.p_uchar = cython.cast(cython.p_uchar, cython.cast(cython.p_char, out))
        if not _sodium() or _sign(to, cython.NULL, cython.cast(cython.p_const_uchar, cython.cast(cython.p_const_char, text)), len(text), secret) != 0:
            raise RuntimeError("libsodium signed nothing")
        return out

else:

    def _keyed(secret: bytearray) -> bool:
        return False

    def _signature(secret: bytearray, text: bytes) -> bytes:
        return Ed25519PrivateKey.from_private_bytes(bytes(secret[:32])).sign(text)

    if not environ.get("OSTIARY_PURE"):
        try:
            from gateway.notary import _signing
        except ImportError:
            pass
        else:
            globals().update({name: getattr(_signing, name) for name in ("head", "keyed", "signature")})
