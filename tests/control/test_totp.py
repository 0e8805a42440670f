"""Codes as the standards have them, and which of them are good at a time."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.control.identity.totp import STEP, base32, found, hotp, uri

SECRET = b"12345678901234567890"  # of both standards' vectors

HOTP = ("755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489")
"""RFC 4226, appendix D: counters 0 to 9."""

TOTP = {59: "287082", 1111111109: "081804", 1111111111: "050471", 1234567890: "005924", 2000000000: "279037", 20000000000: "353130"}
"""RFC 6238, appendix B, SHA-1: seconds to the last six of the eight digits there."""


def test_the_vectors_of_rfc_4226() -> None:
    assert tuple(hotp(SECRET, counter) for counter in range(10)) == HOTP


@pytest.mark.parametrize("seconds", TOTP, ids=str)
def test_the_vectors_of_rfc_6238(seconds: int) -> None:
    assert found(SECRET, TOTP[seconds], seconds, -1) == seconds // STEP


@pytest.mark.parametrize(("drift", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)], ids=str)
def test_a_phone_may_be_one_step_off(drift: int, good: bool) -> None:
    now = 1111111111
    step = now // STEP + drift
    assert (found(SECRET, hotp(SECRET, step), now, -1) == step) is good


def test_what_was_spent_and_what_is_older_is_no_code() -> None:
    """A code that somebody saw is worth nothing, nor is the one before it."""
    now = 1111111111
    step = now // STEP
    assert found(SECRET, hotp(SECRET, step), now, step - 1) == step
    for spent in (step, step + 1):
        assert found(SECRET, hotp(SECRET, step), now, spent) is None
    assert found(SECRET, hotp(SECRET, step - 1), now, step) is None


@pytest.mark.parametrize("code", ["", "00000", "0050471", "٠٥٠٤٧١", "5e0471", "\udc80", " 50471"], ids=range(7))
def test_anything_else_is_no_code(code: str) -> None:
    assert found(SECRET, code, 1111111111, -1) is None


def test_a_clock_at_its_beginning_has_codes_too() -> None:
    assert found(SECRET, HOTP[0], 0.0, -1) == 0


def test_an_app_reads_what_the_uri_says() -> None:
    """Google Authenticator's Key URI format: the label names issuer and account, the query holds what makes a code."""
    parts = urlsplit(uri(SECRET, "Ostiary gw", "ada@clinic.example"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/Ostiary%20gw:ada%40clinic.example")
    assert parse_qs(parts.query, strict_parsing=True) == {
        "secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"], "issuer": ["Ostiary gw"], "algorithm": ["SHA1"], "digits": ["6"], "period": ["30"],
    }  # fmt: skip
    assert "+" not in parts.query and base32(SECRET) == "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
