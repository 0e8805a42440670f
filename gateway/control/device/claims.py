"""
What an identity provider signed of somebody, checked: an ID token to who it is about.

Only RS256 and ES256 are believed. A key is the provider's, as it publishes it; which one, its caller has found out by `head`.

Source: OpenID Connect Core 1.0, 3.1.3.7 (ID Token Validation); RFC 7515; RFC 8725 (JWT best practices).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc import jwk, jws
from joserfc.errors import JoseError

from gateway.control.device.answers import Nonsense, Proof
from gateway.control.device.web import json_object

ALGORITHMS = {"RS256": "RSA", "ES256": "EC"}
"""By the kind of key that each takes."""

LEEWAY = 30.0  # seconds that clocks may differ
TOKEN_LIMIT = 16 << 10  # characters
RSA_LEAST = 2048  # bits (RFC 7518, 3.3)
NAME_LIMIT = 255  # characters of a subject (OpenID Connect Core, 2)


class NotBelieved(Exception):
    """A token that proves nothing; says why, and holds nothing of it that is secret."""


def head(token: Any) -> tuple[str, str]:
    """
    Algorithm and key id of a token, not yet verified; "" for none.

    :raises NotBelieved: it is no token, or of an algorithm that is never believed.
    """
    if not isinstance(token, str) or len(token) > TOKEN_LIMIT or not token.isascii() or token.count(".") != 2:
        raise NotBelieved("there is no ID token in its answer")
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        raise NotBelieved("the ID token cannot be read") from None
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotBelieved("the ID token is not signed with RS256 or ES256")
    if not isinstance(kid, str) or "crit" in header:
        raise NotBelieved("the ID token's header is not understood")
    return algorithm, kid


def verified(token: str, key: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    The claims, if this key of the provider's signed them.

    :raises NotBelieved: it did not.
    """
    algorithm, _ = head(token)
    if key.get("kty") != ALGORITHMS[algorithm] or key.get("alg", algorithm) != algorithm:
        raise NotBelieved("the ID token is signed with another kind of key than its provider's")
    try:
        public = jwk.import_key({name: value for name, value in key.items() if name in _PUBLIC})
        if algorithm == "RS256" and public.public_key.key_size < RSA_LEAST:
            raise NotBelieved("the provider's key is too short")
        return json_object(jws.deserialize_compact(token, public, algorithms=[algorithm]).payload)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, Nonsense):
        raise NotBelieved("the ID token's signature is not its provider's") from None


_PUBLIC = ("kty", "n", "e", "crv", "x", "y")


def proof(claims: Mapping[str, Any], *, issuer: str, client: str, claim: str, now: float) -> Proof:
    """
    Whom verified claims are about.

    :param now: seconds since 1970. :raises NotBelieved: they are not for us, not of now, or do not say.
    """
    if claims.get("iss") != issuer:
        raise NotBelieved("the ID token is another provider's")
    _for_us(claims, client)
    _of_now(claims, now)
    subject, name = claims.get("sub"), claims.get(claim)
    if not _named(subject):
        raise NotBelieved("the ID token names no subject")
    if not _named(name):
        raise NotBelieved(f"the ID token has no {claim}")
    if claim == "email" and claims.get("email_verified", True) is not True:
        raise NotBelieved("the provider has not verified the e-mail address")
    return Proof(issuer, subject, name)


def _named(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_LIMIT and value.isprintable()


def _for_us(claims: Mapping[str, Any], client: str) -> None:
    audience = claims.get("aud")
    several = audience if isinstance(audience, list) else [audience]
    if client not in several:
        raise NotBelieved("the ID token is for somebody else")
    if claims.get("azp", client if len(several) == 1 else None) != client:
        raise NotBelieved("the ID token was made for somebody else")


def _of_now(claims: Mapping[str, Any], now: float) -> None:
    expires, issued, begins = _time(claims, "exp"), _time(claims, "iat"), _time(claims, "nbf", 0.0)
    if expires <= now - LEEWAY:
        raise NotBelieved("the ID token is expired")
    if issued > now + LEEWAY or begins > now + LEEWAY:
        raise NotBelieved("the ID token is not valid yet; compare the clocks")


def _time(claims: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e11:
        raise NotBelieved(f"the ID token has no right {name}")
    return float(value)
