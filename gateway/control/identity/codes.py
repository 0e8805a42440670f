"""
Who has an authenticator app, and whether a code is good: spent once, over all workers, and braked when guessed at.

Whoever gets as far as guessing has proved a first step, so the count is of the identity alone and survives a restart: five
wrong codes in a row shut it for a minute, five more for two, and so on up to an hour.
"""

from __future__ import annotations

import os

from addons.needs import Clock
from gateway.control.errors import CodesShut, CodeUsed, Conflict, NotFound
from gateway.control.identity import totp
from gateway.control.store import Store, Transaction, Value

GUESSES = 5  # wrong codes in a row, of 10**6 of which three are good at a time
SHUT = 60.0  # seconds, doubled each time
SHUT_LIMIT = 3600.0  # seconds; then a guesser has 120 codes a day


class Codes:
    """The table `codes`: by subject, {"secret", "made", "last", "wrong", "until", "used"}."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock, self._table = store, clock, store["codes"]

    def enrolled(self, subject: str) -> bool:
        """Whether the subject has an app."""
        with self._store.read() as txn:
            return self._table.get(txn, subject) is not None

    def enroll(self, txn: Transaction, subject: str) -> bytes:
        """
        A new secret, given out this once.

        :raises Conflict: there is one.
        """
        if self._table.get(txn, subject) is not None:
            raise Conflict(f"{subject} has an authenticator app already; to replace it: ostiary otp remove {subject}")
        secret = os.urandom(totp.SECRET)
        self._table.put(txn, subject, {
            "secret": secret, "made": self._clock.seconds(), "last": -1, "wrong": 0, "until": 0.0, "used": None,
        })  # fmt: skip
        return secret

    def remove(self, txn: Transaction, subject: str) -> None:
        """
        :raises NotFound: there is none.
        """
        if not self._table.delete(txn, subject):
            raise NotFound(f"{subject} has no authenticator app. `ostiary otp list` shows who has one.")

    def listed(self, txn: Transaction) -> list[Value]:
        """Who has one, without what would make a code."""
        now = self._clock.seconds()
        return [
            {"subject": subject, "created": kept["made"], "last_used": kept["used"], "shut_until": kept["until"] if kept["until"] > now else None}
            for subject, kept in self._table.items(txn)
        ]

    def check(self, subject: str) -> None:
        """
        :raises CodesShut: no code is looked at now; says for how long.
        """
        with self._store.read() as txn:
            self._check(self._table.get(txn, subject))

    def spend(self, txn: Transaction, subject: str, code: str) -> bool:
        """
        Whether a code is good; it never is again. A wrong one is counted.

        :raises CodesShut: nobody looked.
        :raises CodeUsed: it is the one that was spent last. That counts for and against nothing: whoever has it saw it used,
            hears nothing new, and guesses no other code by it.
        """
        kept = self._table.get(txn, subject)
        if kept is None:
            return False
        self._check(kept)
        now = self._clock.seconds()
        step = totp.found(kept["secret"], code.replace(" ", ""), now, kept["last"] - 1)  # apps show "123 456"
        if step is not None and step == kept["last"]:
            raise CodeUsed("that one-time code was used already; wait for the next (OST-601)")
        if step is None:
            self._table.put(txn, subject, kept | self._wrong(kept["wrong"] + 1, now))
        else:
            self._table.put(txn, subject, kept | {"last": step, "wrong": 0, "until": 0.0, "used": now})
        return step is not None

    def _check(self, kept: Value | None) -> None:
        left = kept["until"] - self._clock.seconds() if kept else 0.0
        if left > 0:
            raise CodesShut(f"too many wrong one-time codes (OST-611); try again in {int(left) + 1} s")

    @staticmethod
    def _wrong(wrong: int, now: float) -> Value:
        times, rest = divmod(wrong, GUESSES)
        shut = min(SHUT * 2 ** min(times - 1, 16), SHUT_LIMIT) if times and not rest else 0.0
        return {"wrong": wrong, "until": now + shut if shut else 0.0}
