"""
The identity provider of the file: where its endpoints are, what it is asked, and what its answers mean.

Every answer is a stranger's: each value's type is looked at, texts that a person will see are bounded and printable.

Source: RFC 8628 (device authorization grant), OpenID Connect Discovery 1.0, RFC 6749 2.3.1 (how a client proves itself).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from twisted.internet.defer import Deferred, inlineCallbacks

from addons.needs import Clock
from gateway.config import Device
from gateway.control.device.answers import PENDING, SLOW_DOWN, Nonsense, Proof, Unreachable, refused
from gateway.control.device.claims import NotBelieved, head, proof, verified
from gateway.control.device.web import Reply, Web
from gateway.device import allowed

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
FRESH = 3600.0  # seconds that endpoints and keys are believed without asking again
KEYS_AGAIN = 120.0  # seconds between two askings for keys, when one is unknown or did not sign
KEYS_MOST = 64
INTERVAL, INTERVAL_LONGEST = 5.0, 60.0  # seconds between polls where the provider does not say, and the longest that it may say
LASTS_LEAST, LASTS_MOST = 10.0, 600.0  # seconds for a person to be done; at most so many, whatever the provider grants
CODE_LIMIT, URL_LIMIT, DEVICE_CODE_LIMIT = 64, 512, 4096  # characters
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_ENDS = {
    "access_denied": "the login was declined at the identity provider",
    "expired_token": "the code has expired before the login was finished in the browser",
}


@dataclass(frozen=True, slots=True)
class Begun:
    """
    What the provider handed out.

    :ivar code: the device code, which is ours alone. :ivar shown: the user code. :ivar complete: the address with it, or "".
    """

    code: str = field(repr=False)
    shown: str
    url: str
    complete: str
    lasts: float
    interval: float


@dataclass(frozen=True, slots=True)
class Places:
    """Endpoints. `basic`: the client proves itself by a header."""

    device: str
    token: str
    keys: str
    basic: bool = True


class Provider:
    """One, as the file has it."""

    def __init__(self, entry: Device, web: Web, clock: Clock) -> None:
        self._entry, self._web, self._clock = entry, web, clock
        self._places: tuple[float, Places] | None = None
        self._keys: tuple[float, Mapping[str, Mapping[str, Any]]] | None = None
        self._wanting: list[Deferred[Any]] = []  # wait for keys that were asked for

    @inlineCallbacks
    def begin(self) -> Generator[Deferred[Any], Any, Begun]:
        """Fails with DeviceRefused."""
        try:
            places = yield self._found()
            reply = yield self._post(places, places.device, {"scope": " ".join(self._entry.scopes)})
            if reply.status != 200:
                raise Nonsense(f"it refused the gateway{_error(reply)}")
            return self._begun(reply.body)
        except (Unreachable, Nonsense) as error:
            raise refused(f"the identity provider cannot be used: {error}") from None

    @inlineCallbacks
    def poll(self, code: str) -> Generator[Deferred[Any], Any, Proof | str]:
        """PENDING, SLOW_DOWN, or who it is. Fails with Unreachable, which may pass, or with DeviceRefused."""
        try:
            places = yield self._found()
            reply = yield self._post(places, places.token, {"grant_type": GRANT, "device_code": code})
        except Nonsense as error:
            raise refused(f"the identity provider cannot be used: {error}") from None
        if reply.status != 200:
            return _not_yet(reply)
        try:
            return (yield self._proof(places, reply.body.get("id_token")))
        except (NotBelieved, Nonsense, Unreachable) as error:
            raise refused(f"the identity provider's answer is not believed: {error}") from None

    @inlineCallbacks
    def _proof(self, places: Places, token: Any) -> Generator[Deferred[Any], Any, Proof]:
        _, kid = head(token)
        key = yield self._key(places, kid)
        try:
            claims = verified(token, key)
        except NotBelieved:  # it may have been replaced under the same id
            if self._age() < KEYS_AGAIN:
                raise
            yield self._look_up(places)
            claims = verified(token, (yield self._key(places, kid)))
        entry = self._entry
        return proof(claims, issuer=entry.issuer, client=entry.client_id, claim=entry.claim, now=self._clock.seconds())

    @inlineCallbacks
    def _found(self) -> Generator[Deferred[Any], Any, Places]:
        """The endpoints, from the file or from what the provider publishes."""
        entry, now = self._entry, self._clock.seconds()
        if entry.device_endpoint and entry.token_endpoint and entry.jwks_uri:
            return Places(entry.device_endpoint, entry.token_endpoint, entry.jwks_uri)
        if self._places is None or now - self._places[0] >= FRESH:
            reply = yield self._web.get(f"{entry.issuer.rstrip('/')}/.well-known/openid-configuration")
            self._places = now, self._published(reply)
        return self._places[1]

    def _published(self, reply: Reply) -> Places:
        told, entry = reply.body, self._entry
        if reply.status != 200 or told.get("issuer") != entry.issuer:  # Discovery, 4.3
            raise Nonsense("what it publishes is not about the issuer of the file")
        ways = told.get("token_endpoint_auth_methods_supported")
        return Places(
            entry.device_endpoint or self._url(told, "device_authorization_endpoint"),
            entry.token_endpoint or self._url(told, "token_endpoint"), entry.jwks_uri or self._url(told, "jwks_uri"),
            not isinstance(ways, list) or "client_secret_basic" in ways or "client_secret_post" not in ways,
        )

    @inlineCallbacks
    def _key(self, places: Places, kid: str) -> Generator[Deferred[Any], Any, Mapping[str, Any]]:
        """The provider's key of that id; of the only one for "". An unknown id may be a new key's, so it is asked again."""
        if self._age() >= FRESH or (self._age() >= KEYS_AGAIN and self._chosen(kid) is None):
            yield self._look_up(places)
        key = self._chosen(kid)
        if key is None:
            raise NotBelieved("the ID token is signed with a key that its provider does not publish")
        return key

    def _age(self) -> float:
        """Seconds since the keys were asked for."""
        return FRESH if self._keys is None else self._clock.seconds() - self._keys[0]

    def _look_up(self, places: Places) -> Deferred[Any]:
        """Ask for the keys. Who wants them meanwhile waits for the same answer."""
        wanting: Deferred[Any] = Deferred()
        self._wanting.append(wanting)
        if len(self._wanting) == 1:
            self._web.get(places.keys).addCallback(self._found_keys, self._clock.seconds()).addBoth(self._told_keys)
        return wanting

    def _found_keys(self, reply: Reply, now: float) -> None:
        self._keys = now, _keys(reply)

    def _told_keys(self, result: Any) -> None:
        wanting, self._wanting = self._wanting, []
        for one in wanting:
            one.callback(result)

    def _chosen(self, kid: str) -> Mapping[str, Any] | None:
        known = self._keys[1] if self._keys is not None else {}
        if kid:
            return known.get(kid)
        return next(iter(known.values())) if len(known) == 1 else None

    def _post(self, places: Places, url: str, form: Mapping[str, str]) -> Deferred[Reply]:
        client, headers = {"client_id": self._entry.client_id}, {}
        secret = self._secret()
        if secret and places.basic:
            pair = f"{quote_plus(self._entry.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif secret:
            client["client_secret"] = secret
        return self._web.post(url, {**client, **form}, headers)

    def _secret(self) -> str:
        """Read for each request: it may be replaced in its file."""
        file = self._entry.client_secret_file
        if file is None:
            return ""
        try:
            return file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise Nonsense("the gateway cannot read its client_secret_file") from None

    def _url(self, told: Mapping[str, Any], name: str) -> str:
        value = told.get(name)
        if not isinstance(value, str) or not self._right(value):
            raise Nonsense(f"its {name} is missing or is no https address")
        return value

    def _right(self, url: str) -> bool:
        return _plain(url, URL_LIMIT) and allowed(url, self._entry.loopback_http)

    def _begun(self, told: Mapping[str, Any]) -> Begun:
        code, shown = told.get("device_code"), told.get("user_code")
        if not isinstance(code, str) or not _plain(code, DEVICE_CODE_LIMIT) or not isinstance(shown, str) or not _plain(shown, CODE_LIMIT):
            raise Nonsense("it gave no code")
        complete = told.get("verification_uri_complete", "")
        if not isinstance(complete, str) or not self._right(complete):
            complete = ""
        lasts = _seconds(told, "expires_in", LASTS_MOST, LASTS_LEAST, LASTS_MOST)
        return Begun(code, shown, self._url(told, "verification_uri"), complete, lasts, _seconds(told, "interval", INTERVAL, 1.0, INTERVAL_LONGEST))


def _not_yet(reply: Reply) -> str:
    error = reply.body.get("error")
    if error in (PENDING, SLOW_DOWN):
        return str(error)
    if reply.status == 429:
        return SLOW_DOWN
    why = _ENDS.get(error) if isinstance(error, str) else None
    raise refused(why or f"the identity provider refused the login{_error(reply)}")


def _error(reply: Reply) -> str:
    """The provider's word for it, where it is one."""
    error = reply.body.get("error")
    return f" ({error})" if isinstance(error, str) and _NAME.fullmatch(error) else f" (status {reply.status})"


def _keys(reply: Reply) -> dict[str, Mapping[str, Any]]:
    """Those that sign, by id; one without an id by its place."""
    listed = reply.body.get("keys")
    if reply.status != 200 or not isinstance(listed, list) or len(listed) > KEYS_MOST:
        raise Nonsense("it publishes no keys")
    signing = [key for key in listed if isinstance(key, dict) and key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"]
    return {key["kid"] if isinstance(key.get("kid"), str) and key["kid"] else f"\0{index}": key for index, key in enumerate(signing)}


def _plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable()


def _seconds(told: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = told.get(name, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value == value:
        raise Nonsense(f"its {name} is no number")
    return float(min(max(value, least), most))
