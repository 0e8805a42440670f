"""
What the operator may do about authenticator apps, by name; part of `gateway.control.admin`'s table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.control.identity import totp
from gateway.control.office import Office
from gateway.control.rpc import Methods
from gateway.control.store import Transaction, Value

Put = Callable[[Transaction, str, Mapping[str, Any]], None]
"""Makes a note of a change, with whose process asked for it."""


class Enrolment:
    """Gives secrets out once, takes them back, lists who has one."""

    def __init__(self, office: Office, put: Put) -> None:
        self._office, self._put = office, put

    @property
    def methods(self) -> Methods:
        return {name: getattr(self, name) for name in ("otp_enroll", "otp_remove", "otp_list")}

    def otp_enroll(self, subject: str) -> Value:
        """The only answer that ever holds the secret: {"subject", "uri", "secret"}."""
        self._office.identities.need(subject)
        with self._office.store.write() as txn:
            secret = self._office.codes.enroll(txn, subject)
            self._put(txn, "otp.enrolled", {"subject": subject})
        self._office.outbox.deliver()
        return {"subject": subject, "uri": totp.uri(secret, f"Ostiary {self._office.name}", subject), "secret": totp.base32(secret)}

    def otp_remove(self, subject: str) -> Value:
        """Codes of that app are good for nothing from here on. Whoever has to give one comes in no more, until there is another."""
        with self._office.store.write() as txn:
            self._office.codes.remove(txn, subject)
            self._put(txn, "otp.removed", {"subject": subject})
        self._office.outbox.deliver()
        entry = self._office.identities.get(subject)
        return {"subject": subject, "required": entry is not None and self._office.second.must(entry)}

    def otp_list(self) -> list[Value]:
        """Who has an app, and who has to have one by the file's rules."""
        with self._office.store.read() as txn:
            having = {one["subject"]: one for one in self._office.codes.listed(txn)}
            known = [one["subject"] for one in self._office.identities.listed(txn)]
        entries = {subject: self._office.identities.get(subject) for subject in {*having, *known}}
        must = {subject for subject, entry in entries.items() if entry is not None and self._office.second.must(entry)}
        nothing = {"created": None, "last_used": None, "shut_until": None}
        return [
            {"subject": subject, "enrolled": subject in having, "required": subject in must} | {**nothing, **having.get(subject, {})}
            for subject in sorted({*having, *must})
        ]
