"""
From a proven identity to an SSH session: admission, the account's secret, dialling.

As `gateway.opening`; an unknown target, an unknown account and a forbidden one get the same answer.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key
from twisted.internet.defer import Deferred, maybeDeferred

from gateway.config import Account, TargetEntry
from gateway.house import Worker
from gateway.opening import Refused, not_yours
from gateway.ssh.upstream import Certified, Secret, Upstream, dial
from protocols.selection import Selection
from protocols.session import Identity, Session, Target
from protocols.verdict import Deny, Verdict

PROTOCOL = "ssh"


class Opening:
    """One attempt to begin a session."""

    def __init__(self, worker: Worker, peer: str, selection: Selection, application: str) -> None:
        self._worker, self._peer, self._chosen, self._application = worker, peer, selection, application
        self.session: Session
        self.entry: TargetEntry
        self.account: Account

    def begin(self, identity: Identity) -> Deferred[Upstream]:
        """
        Fails with Refused, DialError or ControlError; their texts are for the client. Cancelling it hangs up on
        the target. Once it fires, `session`, `entry` and `account` are set.
        """
        admitted = maybeDeferred(self._admit, identity)
        admitted.addCallback(self._secret)
        return admitted.addCallback(self._dial)

    def _admit(self, identity: Identity) -> Any:
        if self._worker.refusing:
            raise Refused("OST-632", "57P03", self._worker.refusing)
        entry = self._worker.config.targets.get(self._chosen.target)
        account = entry.account(self._chosen.account) if entry else None
        if entry is None or account is None or entry.protocol != PROTOCOL:
            raise not_yours("there is none such")
        target = Target(entry.name, entry.protocol, entry.host, entry.port, MappingProxyType(dict(entry.labels)))
        self.entry, self.account = entry, account
        self.session = Session(
            self._worker.new_id(), identity, target, account.name, "", self._peer, self._application[:128],
            self._worker.revision,
        )
        return self._worker.pipeline.admit(self.session)

    def _secret(self, verdict: Verdict) -> Any:
        if isinstance(verdict, Deny):
            raise not_yours(verdict.reason)
        if self.account.auth == "certificate":
            return self._certificate()
        return self._worker.control.secret(self.entry.name, self.account.name).addCallback(lambda found: found["password"])

    def _certificate(self) -> Deferred[Certified]:
        """A key for this session alone, which never leaves this process, and control's word for it."""
        key = Key(Ed25519PrivateKey.generate())
        asked = self._worker.control.ssh_certificate(
            self.entry.name, self.account.name, self.session.identity.subject, self.session.id, key.public().blob()
        )
        return asked.addCallback(lambda made: Certified(key, made["certificate"], made["serial"]))

    def _dial(self, secret: Secret) -> Deferred[Upstream]:
        return dial(self._worker.reactor, self.entry, self.account, secret)
