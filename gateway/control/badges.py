"""
Certificates of people that are not good any more, although their time has not come: by serial, by key id, or all of an identity;
and which serials there are to revoke.

What a client shows is known here by four things only, and they travel as one text where a token's id does otherwise, so that a
revocation finds the sessions that a certificate opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import takewhile

from addons.needs import Clock
from gateway.control.store import Store, Transaction, Value

BY_CA = "CA:"
"""Before a badge, so that it is no token's id and no key's fingerprint."""

SERIAL, KEY_ID, IDENTITY = "serial", "key_id", "identity"

_UNTIL, _DIGITS = "until", 12  # keys sort by when certificates end

SERIAL_LIMIT = 1 << 64  # OpenSSH PROTOCOL.certkeys: uint64


@dataclass(frozen=True, slots=True)
class Badge:
    """
    A certificate that somebody shows.

    :ivar authority: fingerprint of the key that signed it. :ivar after: seconds since 1970 from which on it is good.
    :ivar key_id: SHA-256 of its key id, in hexadecimal.
    """

    authority: str
    serial: int
    after: int
    key_id: str

    @classmethod
    def of(cls, token: str) -> Badge | None:
        """Out of what a session was opened with; None for anything else."""
        if not token.startswith(BY_CA):
            return None
        authority, serial, after, key_id = token.removeprefix(BY_CA).split(" ")
        return cls(authority, int(serial), int(after), key_id)

    @property
    def token(self) -> str:
        return f"{BY_CA}{self.authority} {self.serial} {self.after} {self.key_id}"


def hashed(key_id: str) -> str:
    """A key id as it is kept; it may be longer than a key of the store."""
    return sha256(key_id.encode()).hexdigest()


class Badges:
    """
    What was revoked. A serial is one of our own authority's, since others give theirs as they like; a key id is one of the others',
    since ours is the identity.
    """

    def __init__(self, store: Store, clock: Clock, slack: int) -> None:
        """
        :param slack: seconds that our own certificates are good before they are made.
        """
        self._store, self._clock, self._slack, self._table = store, clock, slack, store["certificates"]
        self._signed = store["signed"]

    def refuses(self, badge: Badge, subject: str, *, own: bool) -> bool:
        """Whether this certificate lets its identity in no more."""
        one = f"{SERIAL} {badge.serial}" if own else f"{KEY_ID} {badge.key_id}"
        made = badge.after + (self._slack if own else 0)
        with self._store.read() as txn:
            return self._table.get(txn, one) is not None or made <= self._since(txn, subject)

    def first(self, subject: str) -> int:
        """The earliest second in which a certificate of this identity may be made, so that it is not revoked already."""
        with self._store.read() as txn:
            return self._since(txn, subject) + 1

    def revoke(self, txn: Transaction, kind: str, which: str, why: str) -> None:
        """
        :param which: the serial, the key id, or the subject whose certificates until now are meant.
        """
        name = hashed(which) if kind == KEY_ID else which
        self._table.put(txn, f"{kind} {name}", {"kind": kind, "which": which[:512], "why": why, "at": self._clock.seconds()})

    def signed(self, txn: Transaction, serial: int, expires: int) -> None:
        """One of ours is given out; those whose time has come are forgotten."""
        for key, _ in list(self._over(txn)):
            self._signed.delete(txn, key)
            self._signed.delete(txn, f"{SERIAL} {key.split()[-1]}")
        self._signed.put(txn, f"{_UNTIL} {expires:0{_DIGITS}} {serial}", {})
        self._signed.put(txn, f"{SERIAL} {serial}", {"until": expires})

    def knows(self, serial: str) -> bool:
        """Whether one of ours that is still good has this serial."""
        with self._store.read() as txn:
            value = self._signed.get(txn, f"{SERIAL} {serial}")
        return value is not None and self._clock.seconds() < value["until"]

    def _over(self, txn: Transaction) -> Iterator[tuple[str, Value]]:
        now = self._clock.seconds()
        return takewhile(lambda item: int(item[0].split()[1]) <= now, self._signed.items(txn, f"{_UNTIL} "))

    def listed(self, txn: Transaction) -> list[Value]:
        """Every revocation."""
        return [value for _, value in self._table.items(txn)]

    def _since(self, txn: Transaction, subject: str) -> int:
        value = self._table.get(txn, f"{IDENTITY} {subject}")
        return -1 if value is None else int(value["at"])
