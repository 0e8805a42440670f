"""
A secret or a SCRAM proof to an identity, or a refusal that does not say which part was wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.config import IdentityEntry
from gateway.control.badges import Badge
from gateway.control.device.answers import BY_PROVIDER, Proof, opened_by, refused
from gateway.control.errors import LoginRefused, Throttled
from gateway.control.identity.local import Identities
from gateway.control.identity.second import BY_RULES, Second
from gateway.control.identity.throttle import Throttle, address
from gateway.control.identity.token import ITERATIONS, OF_ANOTHER, Tokens, decoy_keys, salt
from gateway.control.outbox import Outbox
from gateway.control.seal import Seal
from gateway.control.store import Value
from gateway.ssh.lines import fingerprint

REFUSED = "the identity or its token is not right (OST-601); a token is made with `ostiary token issue`"

Proved = dict[str, Any]


class Login:
    """All ways in for local identities."""

    def __init__(
        self, identities: Identities, tokens: Tokens, throttle: Throttle, seal: Seal, outbox: Outbox,
        believes: Callable[[str, Badge], bool], second: Second,
    ) -> None:
        """
        :param believes: whether a certificate lets a subject in, apart from what is in it.
        """
        self._identities, self._tokens, self._throttle = identities, tokens, throttle
        self._seal, self._outbox, self._believes, self._second = seal, outbox, believes, second

    def authenticate(self, subject: str, secret: str, peer: str) -> Proved:
        """
        The identity that this token proves.

        :raises LoginRefused: unknown, wrong, expired, revoked: one text for all.
        :raises Throttled: nobody looked.
        """
        entry, record = self._token(subject, secret, peer)
        return self._welcome(entry, record["id"], "token", peer, record["expires"])

    def _token(self, subject: str, secret: str, peer: str) -> tuple[IdentityEntry, Value]:
        """Who it is, and what is kept of the token."""
        self._brake(subject, peer)
        record = self._tokens.prove(subject, secret)
        entry = self._identities.live(subject)
        if record is None or entry is None:
            raise self._refusal(subject, peer)
        return entry, record

    def bearer(self, token: str, peer: str) -> Proved:
        """The identity whose token this is, for callers that name none."""
        self._brake("", peer)
        record = self._tokens.prove(None, token)
        entry = self._identities.live(record["subject"]) if record else None
        if record is None or entry is None:
            raise self._refusal("", peer)
        return self._welcome(entry, record["id"], "token", peer, record["expires"])

    def why_not(self, subject: str | None, token: str) -> dict[str, str]:
        """For the record of a refused try, and for nobody who made it: why, and whose token that is or was."""
        why, record = self._tokens.why_not(subject, token)
        if record is None:
            return {"why": why, "subject": subject or ""}
        live = why == OF_ANOTHER and self._identities.live(record["subject"]) is not None
        told = {"why": why, "token": record["id"], "subject": subject or record["subject"]}
        return {**told, "by": record["subject"]} if live else told

    def scram(self, subject: str, peer: str = "") -> dict[str, Any]:
        """
        What a worker needs to run SCRAM: salt, iterations, and one pair of keys per good token.

        A subject that is unknown, revoked or without tokens gets keys that no proof fits.
        """
        self._brake(subject, peer)
        keys = self._tokens.keys(subject) if self._identities.live(subject) else []
        found = keys or [decoy_keys(self._seal, subject)]
        return {
            "salt": salt(self._seal, subject), "iterations": ITERATIONS, "keys": found,
            "stored_key": found[0]["stored_key"], "server_key": found[0]["server_key"],
        }

    def scram_result(self, subject: str, ok: bool, peer: str, token: str = "") -> Proved:
        """
        How it ended; without a token's id the newest one is meant.

        :raises LoginRefused: it did not prove anything, or what it proved ended meanwhile.
        """
        entry = self._identities.live(subject)
        good = [keys["token"] for keys in self._tokens.keys(subject)]
        token = token or (good[0] if good else "")
        if not ok or entry is None or token not in good:
            raise self._refusal(subject, peer)
        return self._welcome(entry, token, "scram", peer, None)

    def ssh_key(self, subject: str, blob: bytes, peer: str) -> bool:
        """Whether this public key is the subject's; it has signed nothing yet, so a no counts against nobody."""
        self._brake(subject, peer)
        entry = self._identities.live(subject)
        return entry is not None and blob in entry.ssh_keys

    def ssh_token(self, subject: str, secret: str, peer: str, second: str = BY_RULES) -> Proved:
        """As `authenticate`, at a listener of SSH's, where a one-time code may have to follow."""
        entry, record = self._token(subject, secret, peer)
        self._tokens.used(record["id"])
        return self._first(entry, _told(entry, record["id"], "token", record["expires"]), peer, second)

    def ssh_key_result(self, subject: str, blob: bytes, ok: bool, peer: str, second: str = BY_RULES) -> Proved:
        """
        The identity whose key signed a login; `ok` is the worker's word that it did.

        :raises LoginRefused: it did not, or it is not the subject's.
        """
        self._brake(subject, peer)
        entry = self._identities.live(subject)
        if not ok or entry is None or blob not in entry.ssh_keys:
            raise self._refusal(subject, peer)
        return self._first(entry, _told(entry, fingerprint(blob), "key", None), peer, second)

    def ssh_authority(self, subject: str, badge: Badge, peer: str) -> bool:
        """Whether who signed this may vouch for the subject, and nobody revoked it; the rest of a certificate is the worker's to judge."""
        self._brake(subject, peer)
        return self._identities.live(subject) is not None and self._believes(subject, badge)

    def ssh_certificate_result(self, subject: str, badge: Badge, ok: bool, peer: str, second: str = BY_RULES) -> Proved:
        """
        The identity whose certified key signed a login; `ok` is the worker's word that it did, and that all else is right.

        :raises LoginRefused: it did not, or nobody trusts that authority, or it was revoked.
        """
        self._brake(subject, peer)
        entry = self._identities.live(subject)
        if not ok or entry is None or not self._believes(subject, badge):
            raise self._refusal(subject, peer)
        return self._first(entry, _told(entry, badge.token, "certificate", None), peer, second)

    def ssh_code(self, subject: str, code: str, peer: str) -> bool:
        """
        True: the one-time code is right, and spent. Who asks has seen the first step proved.

        :raises LoginRefused: it is wrong; `CodeUsed`, was used. :raises CodesShut: there were too many of those; says for how long.
        """
        self._brake("", peer)
        if self._identities.live(subject) is None:
            raise self._refusal(subject, peer)
        self._second.spend(subject, code, peer)
        self._throttle.succeeded(subject, peer)
        return True

    def ssh_device(self, subject: str, peer: str) -> None:
        """
        Somebody wants to log in by a browser; whether the identity is known is said to nobody yet.

        :raises Throttled: not now.
        """
        self._brake(subject, peer)

    def ssh_device_result(self, subject: str, proof: Proof, peer: str, second: str = BY_RULES) -> Proved:
        """
        The identity, when a provider says that this is who came: {…, "issuer", "issuer_subject"}.

        :raises DeviceRefused: it is somebody else. :raises LoginRefused: no such identity, or no person's.
        """
        facts = {"subject": subject[:255], "peer": address(peer), "issuer": proof.issuer, "issuer_subject": proof.subject}
        if proof.name != subject:
            self._outbox.tell("login.mismatched", {**facts, "proved": proof.name})
            self._refusal(subject, peer)
            raise refused(f"the identity provider says that you are somebody else than {subject}")
        entry = self._identities.live(subject)
        if entry is None or entry.kind != "human":
            self._outbox.tell("login.unknown", {**facts, "why": self._why_nobody(subject)})
            raise self._refusal(subject, peer)
        told = {**_told(entry, opened_by(proof.issuer), BY_PROVIDER, None), "issuer": proof.issuer, "issuer_subject": proof.subject}
        return self._first(entry, told, peer, second)

    def _why_nobody(self, subject: str) -> str:
        """For the record: why a provider's word lets nobody in as this one."""
        known = self._identities.get(subject)
        if known is None:
            return "the gateway knows no such identity"
        return f"the identity is no person, but of kind {known.kind}" if known.kind != "human" else "the identity was revoked"

    def jumps(self, user: str, peer: str) -> bool:
        """Whether some identity's name ends as this one does, behind its last "@"."""
        self._brake(user, peer)
        return self._identities.domain(user.rpartition("@")[2])

    def identity(self, subject: str) -> Proved:
        """
        What is known of a subject that proved itself elsewhere.

        :raises LoginRefused: it may not come in.
        """
        entry = self._identities.live(subject)
        if entry is None:
            raise LoginRefused(REFUSED)
        return _told(entry, "", "", None)

    def _first(self, entry: IdentityEntry, proved: Proved, peer: str, second: str) -> Proved:
        """The first step is proved: {…, "second"}, whether a code has to follow before anything is forgiven."""
        wanted = self._second.wanted(entry, second)
        if not wanted:
            self._throttle.succeeded(entry.subject, peer)
        return {**proved, "second": wanted}

    def _brake(self, subject: str, peer: str) -> None:
        wait = self._throttle.wait(subject, peer)
        if wait:
            raise Throttled(f"too many failed logins (OST-602); try again in {int(wait) + 1} s")

    def _refusal(self, subject: str, peer: str) -> LoginRefused:
        if self._throttle.failed(subject, peer):
            self._outbox.tell("login.throttled", {"subject": subject[:255], "peer": address(peer)})
        return LoginRefused(REFUSED)

    def _welcome(self, entry: IdentityEntry, token: str, proof: str, peer: str, expires: float | None) -> Proved:
        self._throttle.succeeded(entry.subject, peer)
        self._tokens.used(token)
        return _told(entry, token, proof, expires)


def _told(entry: IdentityEntry, token: str, proof: str, expires: float | None) -> Proved:
    return {
        "subject": entry.subject, "kind": entry.kind, "groups": sorted(entry.groups),
        "on_behalf_of": entry.on_behalf_of, "proof": proof, "token": token, "expires": expires,
    }
