"""A session of any protocol as its worker has it: listed, told to control, judged again, ended, and its end recorded."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger

from gateway.house import Worker
from gateway.opinions import Opinions
from protocols.errors import Unrecordable
from protocols.session import Identity, Session
from protocols.session_adapter import SessionAdapter
from protocols.verdict import Deny, Verdict

NOT_ANY_MORE = "a reload took your access away [OST-651]"


def told_of(identity: Identity) -> dict[str, Any]:
    """Who somebody is, as control is told with a session of theirs."""
    return {
        "subject": identity.subject, "kind": identity.kind, "groups": sorted(identity.groups), "on_behalf_of": identity.on_behalf_of,
    }


class Seated:
    """
    Who inherits makes `adapter`, and then lists itself.

    :ivar _token: id of what proved the identity; revoking it ends the session.
    """

    log = Logger()
    adapter: SessionAdapter
    session: Session
    _worker: Worker
    _opinions: Opinions
    _token: str

    def _list(self) -> None:
        """The worker and control know of it from here on."""
        session = self.session
        self._worker.sessions[session.id] = self
        self._worker.control.session_opened({
            "id": session.id, **told_of(session.identity),
            "target": session.target.name, "protocol": session.target.protocol, "account": session.account, "database": session.database,
            "peer": session.peer, "application": session.application, "token": self._token, "opened": time.time(),
        })

    def kill(self, why: str) -> None:
        """End it; the client is told."""
        self.adapter.close(why, why)

    def reconsider(self) -> None:
        """
        The configuration has changed. Whom it makes somebody else, in groups say, has to log in again; who could not begin
        by it ends, before anything that is held is judged again.
        """
        who = self.session.identity
        entry = self._worker.config.identities.get(who.subject)
        if entry is not None and (entry.kind, entry.groups, entry.on_behalf_of) != (who.kind, who.groups, who.on_behalf_of):
            self.kill("a reload changed who you are here; log in again [OST-651]")
            return
        asked = maybeDeferred(self._worker.pipeline.admit, self.session, True)
        asked.addCallbacks(self._readmitted, lambda _failure: self.kill(NOT_ANY_MORE))
        if self.session.id in self._worker.sessions:
            self._judge_again()

    def _readmitted(self, verdict: Verdict) -> None:
        if isinstance(verdict, Deny):
            self.kill(NOT_ANY_MORE)

    def _judge_again(self) -> None:
        """What is held meets the configuration in force."""
        self._opinions.reconsider()

    def _ended(self, why: str) -> None:
        self._worker.sessions.pop(self.session.id, None)
        self._worker.control.session_closed(self.session.id)
        self._opinions.closed()
        self._forgotten()
        try:
            self._worker.journal.closed(self.session, why)
        except Unrecordable:
            self.log.warn("session {id}: its end could not be recorded", id=self.session.id)

    def _forgotten(self) -> None:
        """What else was kept for the session goes."""
        raise NotImplementedError
