"""
A shared secret and the time to a code of six digits, as authenticator apps make it, and back to the step it is of.

Those apps know SHA-1, six digits and thirty seconds, and most ignore a URI that says anything else, so nothing else is made.

Source: RFC 4226 (HOTP, section 5.3), RFC 6238 (TOTP, section 4), the Key URI format of Google Authenticator's wiki.
"""

from __future__ import annotations

import base64
import hmac
from urllib.parse import quote, urlencode

SECRET = 20  # bytes, as long as SHA-1's digest (RFC 4226, section 4, R6)
DIGITS = 6
STEP = 30  # seconds
DRIFT = 1  # steps that a phone's clock may be off, each way (RFC 6238, section 6)


def hotp(secret: bytes, counter: int) -> str:
    """The code of one counter."""
    digest = hmac.digest(secret, counter.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 15
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def found(secret: bytes, code: str, seconds: float, after: int) -> int | None:
    """
    The step that a code is of, around a time; None for none.

    :param seconds: since 1970. :param after: the last step whose code was spent; codes of it and of earlier ones are none.
    """
    now, given, fits = int(seconds // STEP), code.encode("utf-8", "replace"), None
    for step in range(max(now - DRIFT, 0), now + DRIFT + 1):
        same = hmac.compare_digest(hotp(secret, step).encode(), given)  # all are compared, so time tells nothing
        if same and step > after and fits is None:
            fits = step
    return fits


def uri(secret: bytes, issuer: str, subject: str) -> str:
    """What an authenticator app reads from a QR code."""
    told = {"secret": base32(secret), "issuer": issuer, "algorithm": "SHA1", "digits": str(DIGITS), "period": str(STEP)}
    return f"otpauth://totp/{quote(issuer, safe='')}:{quote(subject, safe='')}?{urlencode(told, quote_via=quote)}"


def base32(secret: bytes) -> str:
    """As it is typed into an app; there is no padding at this length."""
    return base64.b32encode(secret).decode().rstrip("=")
