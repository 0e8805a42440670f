"""
The second step of a login at SSH's listeners: who has to give a one-time code behind a key, a certificate or a token.

Whoever has an authenticator app is asked; whoever must have one, by the file or the listener, and has none is refused.
"""

from __future__ import annotations

from gateway.config import IdentityEntry, SecondStep
from gateway.control.errors import CodesShut, LoginRefused, NoApp
from gateway.control.identity.codes import Codes
from gateway.control.identity.throttle import Throttle, address
from gateway.control.outbox import Outbox
from gateway.control.store import Store

BY_RULES, ALWAYS, GIVEN = "rules", "always", "given"
"""What a worker says of it: the file's rules decide; the listener asks everybody; it was given, to the connection that this one is in."""

WRONG = "the one-time code is not right (OST-601)"


class Second:
    """
    :ivar rule: the file's.
    """

    def __init__(self, rule: SecondStep, codes: Codes, throttle: Throttle, store: Store, outbox: Outbox) -> None:
        self.rule, self._codes, self._throttle, self._store, self._outbox = rule, codes, throttle, store, outbox

    def must(self, entry: IdentityEntry) -> bool:
        """Whether the file says that the identity has to give a code."""
        return entry.second_step or entry.kind in self.rule.kinds or bool(entry.groups & self.rule.groups)

    def wanted(self, entry: IdentityEntry, said: str) -> bool:
        """
        Whether a code has to follow what was proved.

        :raises NoApp: it has to, and cannot. :raises CodesShut: none is looked at now.
        """
        if said == GIVEN:
            return False
        if not self._codes.enrolled(entry.subject):
            if said != ALWAYS and not self.must(entry):
                return False
            raise NoApp(f"you have to give a one-time code here, and have no authenticator app (OST-610); ask the gateway's "
                        f"operator for: ostiary otp enroll {entry.subject}")  # fmt: skip
        self._codes.check(entry.subject)
        return True

    def spend(self, subject: str, code: str, peer: str) -> None:
        """
        :raises LoginRefused: it is wrong. :raises CodeUsed: it was used before.
        :raises CodesShut: there were too many of those.
        """
        with self._store.write() as txn:
            good = self._codes.spend(txn, subject, code)
        if good:
            return
        self._throttle.failed(subject, peer)
        try:
            self._codes.check(subject)
        except CodesShut:
            self._outbox.tell("login.shut", {"subject": subject[:255], "peer": address(peer), "why": "too many wrong one-time codes"})
            raise
        raise LoginRefused(WRONG)
