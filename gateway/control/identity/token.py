"""
Tokens: 32 random bytes that a person pastes as a password, shown once and kept as hashes.

    ost_<id>_<secret>      id finds the record, the secret proves

Kept are SHA-256 of the secret (enough for 256 random bits; a slow hash guards what can
be guessed) and what SCRAM-SHA-256 needs (RFC 5802, section 3: StoredKey, ServerKey), so
that stock clients can prove the token without sending it. One salt per subject, derived
and not stored: all tokens of a subject answer the same challenge, and a subject that does
not exist gets a challenge that looks and stays the same.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from typing import Any

from addons.needs import Clock
from gateway.control.errors import NotFound
from gateway.control.seal import Seal
from gateway.control.store import Store, Transaction, Value

PREFIX = "ost"
ITERATIONS = 4096  # RFC 7677's least; iterations slow down guessing, and 256 bits are not guessed
SALT = 16  # bytes
DECOY = "0000000000"
OF_ANOTHER = "the token is another identity's"

_FORM = re.compile(rf"{PREFIX}_([0-9a-f]{{{len(DECOY)}}})_([A-Za-z0-9_-]{{43}})")


def scram_keys(password: str, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """(StoredKey, ServerKey)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client = hmac.digest(salted, b"Client Key", "sha256")
    return hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")


def split(token: str) -> tuple[str, str]:
    """(id, secret) of anything; what is no token has the decoy's id, so that it costs the same to refuse."""
    parts = _FORM.fullmatch(token)
    return (parts[1], parts[2]) if parts else (DECOY, token)


class Tokens:
    """The tokens in control's store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._tokens, self._by_subject = store["tokens"], store["tokens_by_subject"]
        self._used: dict[str, float] = {}

    def issue(self, txn: Transaction, subject: str, ttl: float, note: str = "") -> tuple[str, Value]:
        """A new token in clear, this once, and what `list` will say of it."""
        identifier, secret = secrets.token_hex(len(DECOY) // 2), secrets.token_urlsafe(32)
        token = f"{PREFIX}_{identifier}_{secret}"
        stored, server = scram_keys(token, salt(self._store.seal, subject), ITERATIONS)
        now = self._clock.seconds()
        record = {
            "subject": subject, "hash": hashlib.sha256(secret.encode()).digest(), "stored_key": stored,
            "server_key": server, "created": now, "expires": now + ttl, "revoked": None, "note": note,
        }
        self._tokens.put(txn, identifier, record)
        self._by_subject.put(txn, f"{subject}\0{identifier}", {})
        return token, self._shown(txn, identifier, record)

    def prove(self, subject: str | None, token: str) -> Value | None:
        """
        What is kept of this token if it is good now and the subject's; None says no more than no.

        Without a subject (an API's bearer token) the token says whose it is.
        """
        record, right, mine = self._compared(subject, token)
        return record if right & mine & self._good(record) else None

    def why_not(self, subject: str | None, token: str) -> tuple[str, Value | None]:
        """Why `prove` said no, for the evidence alone; with what is kept of the token, where its secret was shown."""
        record, right, mine = self._compared(subject, token)
        if not right:
            return ("what was shown is no token of this gateway" if not record["subject"] else f"the secret of token {record['id']} is another"), None
        if record["revoked"] is not None:
            return "the token was revoked", record
        if not self._good(record):
            return "the token has expired", record
        return ("the identity may not come in any more" if mine else OF_ANOTHER), record

    def _compared(self, subject: str | None, token: str) -> tuple[Value, bool, bool]:
        """What is kept under its id, or a decoy; whether the secret is that one's, and whether it is the subject's."""
        identifier, secret = split(token)
        with self._store.read() as txn:
            record = self._tokens.get(txn, identifier)
            if record is None:
                record = self._decoy(txn)
        given = hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
        right = hmac.compare_digest(given, record["hash"])
        whose = record["subject"] if subject is None else subject
        mine = hmac.compare_digest(whose.encode("utf-8", "replace"), record["subject"].encode())
        return {**record, "id": identifier}, right, mine

    def keys(self, subject: str) -> list[Value]:
        """What SCRAM can check the subject's good tokens with, newest first."""
        with self._store.read() as txn:
            records = [(i, self._tokens.get(txn, i)) for i in self._of(txn, subject)]
        good = [(i, r) for i, r in records if r is not None and self._good(r)]
        good.sort(key=lambda each: -each[1]["created"])
        return [{"token": i, "stored_key": r["stored_key"], "server_key": r["server_key"]} for i, r in good]

    def get(self, txn: Transaction, identifier: str) -> Value:
        """
        :raises NotFound: there is no such token.
        """
        record = self._tokens.get(txn, identifier)
        if record is None:
            # Not quoted: somebody may have given the token itself.
            raise NotFound("there is no token of that id. `ostiary token list` shows them; the id is no secret.")
        return {**record, "id": identifier}

    def revoked(self, identifier: str) -> bool:
        """Whether somebody ended it. One that merely expired does not end the sessions it opened."""
        with self._store.read() as txn:
            record = self._tokens.get(txn, identifier)
        return record is None or record["revoked"] is not None

    def revoke(self, txn: Transaction, identifier: str) -> Value:
        """Ends it; a second time changes nothing."""
        record = self.get(txn, identifier)
        del record["id"]
        record["revoked"] = record["revoked"] or self._clock.seconds()
        self._tokens.put(txn, identifier, record)
        return self._shown(txn, identifier, record)

    def listed(self, txn: Transaction) -> list[Value]:
        """All of them, without anything that could be used."""
        return [self._shown(txn, identifier, record) for identifier, record in self._tokens.items(txn)]

    def used(self, identifier: str) -> None:
        """Remember when; `flush` stores it. A login does not wait for a disk."""
        self._used[identifier] = self._clock.seconds()

    def flush(self, txn: Transaction) -> None:
        used, self._used = self._used, {}
        for identifier, when in used.items():
            self._store["counters"].put(txn, f"used {identifier}", {"at": when})

    @property
    def unflushed(self) -> bool:
        return bool(self._used)

    def _of(self, txn: Transaction, subject: str) -> Iterator[str]:
        prefix = f"{subject}\0"
        return (key.removeprefix(prefix) for key, _ in self._by_subject.items(txn, prefix))

    def _good(self, record: Value) -> bool:
        return record["revoked"] is None and record["expires"] > self._clock.seconds()

    def _decoy(self, txn: Transaction) -> Value:
        """A record that nothing proves. Found and not found both unseal one value."""
        seal = self._store.seal
        sealed = seal.close(b"decoy", b"")
        seal.open(b"decoy", sealed)
        return {"hash": bytes(32), "subject": "", "revoked": 0.0, "expires": 0.0}

    def _shown(self, txn: Transaction, identifier: str, record: Value) -> Value:
        used = self._used.get(identifier) or (self._store["counters"].get(txn, f"used {identifier}") or {}).get("at")
        expired = record["expires"] <= self._clock.seconds()
        return {
            "id": identifier, "subject": record["subject"], "note": record["note"], "created": record["created"],
            "expires": record["expires"], "last_used": used, "revoked": record["revoked"],
            "state": "revoked" if record["revoked"] else "expired" if expired else "good",
        }


def salt(seal: Seal, subject: str) -> bytes:
    """The subject's salt, whether it exists or not."""
    return seal.derived(b"scram salt", subject.encode("utf-8", "replace"))[:SALT]


def decoy_keys(seal: Seal, subject: str) -> dict[str, Any]:
    """Keys that no proof fits, the same each time."""
    about = subject.encode("utf-8", "replace")
    stored, server = seal.derived(b"scram stored", about), seal.derived(b"scram server", about)
    return {"token": "", "stored_key": stored, "server_key": server}
