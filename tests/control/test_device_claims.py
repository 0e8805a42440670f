"""What a gateway believes of an ID token: its provider's signature, for us, of now, and who it names."""

from __future__ import annotations

import json
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac, serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwk, jws

from gateway.control.device.answers import Proof
from gateway.control.device.claims import LEEWAY, TOKEN_LIMIT, NotBelieved, head, proof, verified

ISSUER, CLIENT, NOW = "https://login.example", "ostiary", 1_700_000_000.0
RSA, OTHER, EC = jwk.RSAKey.generate_key(2048), jwk.RSAKey.generate_key(2048), jwk.ECKey.generate_key("P-256")
CLAIMS = {
    "iss": ISSUER, "aud": CLIENT, "sub": "u-1", "email": "ada@clinic.example", "email_verified": True, "exp": NOW + 300, "iat": NOW,
}  # fmt: skip


def public(key: Any = RSA, **more: str) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": "k1", **more}


def signed(claims: Any = None, key: Any = RSA, algorithm: str = "RS256", **more: Any) -> str:
    text = json.dumps(CLAIMS if claims is None else claims)
    return jws.serialize_compact({"alg": algorithm, "kid": "k1", **more}, text, key, algorithms=[algorithm])


SIGNED = signed()


def raw(header: Any, signature: bytes = b"", claims: Any = None) -> str:
    """Written by hand, as an attacker does."""
    parts = [json.dumps(header).encode(), json.dumps(CLAIMS if claims is None else claims).encode(), signature]
    return ".".join(urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def judged(**changes: Any) -> Proof:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return proof(verified(signed(claims), public()), issuer=ISSUER, client=CLIENT, claim="email", now=NOW)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")], ids=["RS256", "ES256"])
def test_what_the_provider_signed_is_believed(key: Any, algorithm: str) -> None:
    assert verified(signed(key=key, algorithm=algorithm), public(key)) == CLAIMS
    assert judged() == Proof(ISSUER, "u-1", "ada@clinic.example")


def test_a_forged_signature_is_not_believed() -> None:
    for token in (signed(key=OTHER), signed()[:-8] + "AAAAAAAA", raw({"alg": "RS256", "kid": "k1"})):
        with pytest.raises(NotBelieved, match="signature"):
            verified(token, public())


def test_another_payload_under_a_right_signature_is_not_believed() -> None:
    first, _, third = signed().split(".")
    with pytest.raises(NotBelieved, match="signature"):
        verified(".".join([first, signed({**CLAIMS, "email": "root@clinic.example"}).split(".")[1], third]), public())


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "RS512", "PS256", "ES384", "EdDSA", "", None, 7], ids=str)
def test_no_other_algorithm_is_ever_believed(algorithm: Any) -> None:
    with pytest.raises(NotBelieved, match="not signed with RS256 or ES256"):
        head(raw({"alg": algorithm, "kid": "k1"}))
    with pytest.raises(NotBelieved):
        verified(raw({"alg": algorithm, "kid": "k1"}), public())


def test_the_public_key_is_no_secret_to_sign_with() -> None:
    """HS256 with the provider's public key as the secret: whoever chooses the algorithm would choose the key."""
    pem = RSA.public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = raw({"alg": "HS256", "kid": "k1"}).rpartition(".")[0]
    mac = hmac.HMAC(pem, hashes.SHA256())
    mac.update(body.encode())
    with pytest.raises(NotBelieved, match="not signed with RS256 or ES256"):
        verified(f"{body}.{urlsafe_b64encode(mac.finalize()).decode().rstrip('=')}", public())


def test_a_key_of_another_kind_verifies_nothing() -> None:
    for key in (public(EC), public(alg="RS512"), {"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}, {"kty": "RSA", "n": 1, "e": 2}, {}):
        with pytest.raises(NotBelieved):
            verified(signed(), key)


def test_a_short_key_is_not_believed() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        short = jwk.RSAKey.generate_key(1024)
        with pytest.raises(NotBelieved):
            verified(signed(key=short), public(short))


def test_a_header_that_must_be_understood_is_not() -> None:
    with pytest.raises(NotBelieved, match="not understood"):
        head(raw({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": False}))


@pytest.mark.parametrize("token", [
    None, 7, "", "a.b", "a.b.c", "....", "é.é.é", raw([1]), raw({"alg": "RS256", "kid": 7}), "a" * TOKEN_LIMIT + ".b.c", {"a": 1},
], ids=lambda value: repr(value)[:24])  # fmt: skip
def test_what_is_no_token_is_refused_cleanly(token: Any) -> None:
    with pytest.raises(NotBelieved):
        verified(token, public())


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_no_text_is_believed_and_none_breaks_it(first: str, second: str, third: str) -> None:
    for token in (f"{first}.{second}.{third}", ".".join(urlsafe_b64encode(part.encode()).decode() for part in (first, second, third))):
        with pytest.raises(NotBelieved):
            verified(token, public())


@settings(max_examples=40, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3)))
def test_no_header_breaks_it(header: Any) -> None:
    with pytest.raises(NotBelieved):
        verified(raw(header), public())


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y", "alg"]), st.sampled_from(["RSA", "EC", "AQAB", "", "P-256", "é", "====", 7, None, []])))
def test_no_key_breaks_it(key: dict[str, Any]) -> None:
    with pytest.raises(NotBelieved):
        verified(SIGNED, {"kty": "RSA", **key})


@pytest.mark.parametrize(("changes", "why"), [
    ({"iss": "https://evil.example"}, "another provider's"), ({"iss": ISSUER + "/"}, "another provider's"), ({"iss": None}, "another provider's"),
    ({"aud": "other"}, "for somebody else"), ({"aud": None}, "for somebody else"), ({"aud": []}, "for somebody else"),
    ({"aud": {"ostiary": 1}}, "for somebody else"), ({"aud": "ostiary2"}, "for somebody else"),
    ({"aud": [CLIENT, "other"]}, "made for somebody else"), ({"aud": [CLIENT, "other"], "azp": "other"}, "made for somebody else"),
    ({"azp": "other"}, "made for somebody else"),
    ({"exp": NOW - LEEWAY}, "expired"), ({"exp": None}, "no right exp"), ({"exp": "soon"}, "no right exp"), ({"exp": True}, "no right exp"),
    ({"exp": float("inf")}, "no right exp"), ({"exp": float("nan")}, "no right exp"),
    ({"iat": NOW + LEEWAY + 1}, "not valid yet"), ({"iat": None}, "no right iat"), ({"iat": [NOW]}, "no right iat"),
    ({"nbf": NOW + LEEWAY + 1}, "not valid yet"), ({"nbf": "now"}, "no right nbf"),
    ({"sub": None}, "names no subject"), ({"sub": ""}, "names no subject"), ({"sub": 7}, "names no subject"), ({"sub": "x" * 256}, "names no subject"),
    ({"email": None}, "has no email"), ({"email": ["ada@clinic.example"]}, "has no email"), ({"email": "ada\n"}, "has no email"),
    ({"email_verified": False}, "not verified"), ({"email_verified": "true"}, "not verified"),
], ids=repr)  # fmt: skip
def test_claims_that_are_not_right_prove_nobody(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotBelieved, match=why):
        judged(**changes)


@pytest.mark.parametrize("changes", [
    {"exp": NOW - LEEWAY + 1}, {"iat": NOW + LEEWAY}, {"nbf": NOW - 1}, {"aud": [CLIENT]}, {"aud": [CLIENT, "other"], "azp": CLIENT},
    {"azp": CLIENT}, {"email_verified": None},
], ids=repr)  # fmt: skip
def test_claims_that_are_right_prove_somebody(changes: dict[str, Any]) -> None:
    assert judged(**changes).name == "ada@clinic.example"


def test_another_claim_may_be_the_name() -> None:
    claims = {**CLAIMS, "email_verified": False, "preferred_username": "ada"}
    assert proof(claims, issuer=ISSUER, client=CLIENT, claim="preferred_username", now=NOW).name == "ada"
