"""
Ostiary's own certificate authorities for SSH: their keys, made when first needed and never given out, and what they sign.

There are three, so that no one's word is taken for another's: `people` lets identities in at the gateway, `targets` lets
the gateway's sessions in at hosts, `hosts` says that the gateway answers for a target. With one for both of the first, whoever holds a certificate for the gateway could pass it by
wherever a host has a user of the same name.

Source: OpenSSH PROTOCOL.certkeys.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from addons.needs import Clock
from gateway.config import IdentityEntry, TargetEntry
from gateway.control.badges import Badges
from gateway.control.caller import ITSELF, Caller
from gateway.control.errors import BadCall, Conflict, NotAllowed
from gateway.control.outbox import Outbox
from gateway.control.store import Store, Transaction, Value
from gateway.control.when import iso
from gateway.ssh.lines import HOST_KEY_KINDS, fingerprint, kind_of
from protocols.ssh.certificate import HOST, USER, Certificate
from protocols.ssh.messages import string

PEOPLE, TARGETS, HOSTS = "people", "targets", "hosts"
NAMES = (PEOPLE, TARGETS, HOSTS)

SESSION_SECONDS = 120
"""Of a session's certificate: it is used at once, and its end does not end the session."""

HOST_SECONDS = 86400.0
"""Of a host certificate; workers ask for another one after half of it."""

SLACK = 60  # seconds that a host's clock may be behind ours
TTL_LIMIT = 31 * 86400.0  # seconds; a single certificate cannot be taken back, only its identity

PERMITTED = frozenset({"permit-pty", "permit-port-forwarding", "permit-agent-forwarding", "permit-X11-forwarding", "permit-user-rc"})
_FORMER = "former "  # before the fingerprint of one that signs no more
_SESSION = re.compile(r"[0-9a-f-]{36}")


class Authorities:
    """Signs; whoever may ask is somebody else's question, but for what its own words promise."""

    def __init__(self, store: Store, clock: Clock, outbox: Outbox) -> None:
        self.badges = Badges(store, clock, SLACK)
        self._store, self._clock, self._outbox, self._table = store, clock, outbox, store["authorities"]

    def public(self, name: str) -> bytes:
        """The blob of an authority's public key; made now if there is none yet."""
        return _blob(self._key(name))

    def people(self) -> frozenset[bytes]:
        """Blobs of our own keys whose certificates let people in now: the present one, once there is one, and former ones that still do."""
        with self._store.read() as txn:
            present = self._table.get(txn, PEOPLE)
            former = [value for _, value in self._table.items(txn, _FORMER) if self._clock.seconds() < value["until"]]
        return frozenset([value["public"] for value in former] + ([] if present is None else [_blob(_loaded(present))]))

    def rotate(self, keep: float, via: Caller = ITSELF) -> Value:
        """
        Another key signs for people from now on: {"key", "former", "until"}. The former one's private half is gone at once.

        :param keep: seconds that certificates of the former one go on letting in.
        """
        if not 0 <= keep <= TTL_LIMIT:
            raise BadCall("a former authority is kept for at most 31 days, which is as long as any of its certificates lasts")
        until = self._clock.seconds() + keep
        with self._store.write() as txn:
            before = self._table.get(txn, PEOPLE)
            if before is None:
                raise Conflict("nothing was signed for anybody yet, so there is no authority to replace")
            blob = _blob(_loaded(before))
            self._table.put(txn, _FORMER + fingerprint(blob), {"public": blob, "until": until})
            present = _loaded(self._made(txn, PEOPLE))
            told = {"key": fingerprint(_blob(present)), "former": fingerprint(blob), "until": until}
            self._outbox.put(txn, "authority.rotated", {"authority": PEOPLE, **told, "until": iso(until), **via.facts()})
        self._outbox.deliver()
        return told

    def person(self, entry: IdentityEntry, key: bytes, ttl: float, addresses: str = "", first: int = 0, via: Caller = ITSELF) -> Value:
        """
        A certificate with which an identity may log in at this gateway: {"certificate", "serial", "expires", "key"}.

        :param key: blob of its public key. :param addresses: where it is good, as the option source-address has it.
        :param first: the earliest second that it may be of.
        """
        if not 0 < ttl <= TTL_LIMIT:
            raise BadCall("a certificate is good for at most 31 days, and more than nothing")
        made = self._signed(PEOPLE, Certificate(
            key, USER, entry.subject, (entry.subject,), 0, int(self._clock.seconds() + ttl), b"",
            critical=_critical(addresses), extensions=PERMITTED,
        ), first, via)  # fmt: skip
        return made | {"subject": entry.subject}

    def session(self, target: TargetEntry, account: str, subject: str, session: str, key: bytes) -> Value:
        """
        A certificate with which one session logs in at its target; the target's own log then names who it is.

        :param key: blob of the public key that was made for this session.
        :raises NotAllowed: the account does not log in so.
        """
        chosen = target.account(account)
        if chosen is None or target.protocol != "ssh" or chosen.auth != "certificate":
            raise NotAllowed("the account does not log in with a certificate")
        if not _SESSION.fullmatch(session) or kind_of(key) != "ssh-ed25519" or len(key) != 51:
            raise BadCall("a session and an ed25519 key were expected")
        return self._signed(TARGETS, Certificate(
            key, USER, f"{subject}@{session}", (chosen.user,), 0, int(self._clock.seconds()) + SESSION_SECONDS, b"",
            critical=_critical(target.source_address), extensions=PERMITTED,
        ))  # fmt: skip

    def host(self, name: str, key: bytes) -> Value:
        """
        A host certificate with which the gateway answers for a target to clients that jump through it.

        :param name: by which they know it. :param key: blob of the gateway's host key.
        """
        if kind_of(key) not in HOST_KEY_KINDS:
            raise BadCall("a host key was expected")
        return self._signed(HOSTS, Certificate(
            key, HOST, f"ostiary for {name}", (name,), 0, int(self._clock.seconds() + HOST_SECONDS), b"",
        ))  # fmt: skip

    def _signed(self, name: str, certificate: Certificate, first: int = 0, via: Caller = ITSELF) -> Value:
        """Recorded before it is given out."""
        signer = self._key(name)
        serial = int.from_bytes(os.urandom(8), "big") >> 1
        whole = replace(
            certificate, authority=_blob(signer), serial=serial, nonce=os.urandom(32), after=max(int(self._clock.seconds()), first) - SLACK
        )
        body = whole.body()
        facts = {
            "authority": name, "key_id": whole.key_id, "principals": " ".join(whole.principals), "serial": str(serial),
            "key": fingerprint(whole.key), "expires": iso(whole.before), **whole.critical, **via.facts(),
        }
        with self._store.write() as txn:
            self._outbox.put(txn, "certificate.signed", facts)
            if name == PEOPLE:
                self.badges.signed(txn, serial, whole.before)
        self._outbox.deliver()
        blob = body + string(string(b"ssh-ed25519") + string(signer.sign(body)))
        return {"certificate": blob, "serial": serial, "key": facts["key"], "key_id": whole.key_id, "expires": whole.before}

    def _key(self, name: str) -> Ed25519PrivateKey:
        assert name in NAMES
        with self._store.read() as txn:
            value = self._table.get(txn, name)
        if value is None:
            with self._store.write() as txn:
                value = self._made(txn, name)
            self._outbox.deliver()
        return _loaded(value)

    def _made(self, txn: Transaction, name: str) -> Value:
        key = Ed25519PrivateKey.generate()
        value: Value = {"seed": key.private_bytes_raw(), "made": self._clock.seconds()}
        self._table.put(txn, name, value)
        self._outbox.put(txn, "authority.made", {"authority": name, "key": fingerprint(_blob(key))})
        return value


def _critical(addresses: str) -> Mapping[str, str]:
    return {"source-address": addresses} if addresses else {}


def _loaded(value: Value) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(value["seed"])


def _blob(key: Ed25519PrivateKey) -> bytes:
    return string(b"ssh-ed25519") + string(key.public_key().public_bytes_raw())
