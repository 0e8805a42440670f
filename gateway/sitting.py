"""
One session from its first prompt to its end: what its worker lists, kills and cancels.

Made once the client is proven and the target connected; joins both transports by an
`Adapter` and keeps control and the evidence told.
"""

from __future__ import annotations

import secrets
from typing import Any

from twisted.internet.defer import Deferred

from gateway import upstream as targets
from gateway.config import Account, TargetEntry
from gateway.house import Worker
from gateway.opinions import Opinions
from gateway.powers import Sink
from gateway.seated import Seated
from gateway.upstream import Upstream
from protocols.adapter import Adapter
from protocols.postgres import replies
from protocols.postgres.greeting import LoggedIn
from protocols.postgres.messages import VERSION_3_2
from protocols.postgres.relay import PostgresRelay
from protocols.session import Session


class Sitting(Seated):
    """One session from its first prompt to its end: what the worker lists, kills and cancels."""

    def __init__(
        self, worker: Worker, client: Any, session: Session, entry: TargetEntry, account: Account,
        upstream: Upstream, done: LoggedIn, token: str, floor: str,
    ) -> None:
        """
        :param client: the client's transport.
        :param token: id of the token that proved the identity; revoking it ends the session.
        :param floor: which floor is in force, and whether the target was seen to hold it.
        :raises Unrecordable: its beginning cannot be recorded, so it does not begin.
        """
        self._worker, self.session = worker, session
        self._entry, self._account, self._upstream, self._token = entry, account, upstream, token
        self._opinions = Opinions(lambda: (self._worker.pipeline, self._worker.revision), session)
        self.relay = PostgresRelay(self._opinions, upstream.parameters, worker.spools)
        self.adapter = Adapter(
            self.relay, session, self._opinions, self._worker.journal, self._worker.reactor,
            cancel_target=self._cancel_target, ended=self._ended,
        )
        self.data_received = self.adapter.target_data  # as a Receiver of the Upstream, without a detour
        facts = {**upstream.facts, "floor": floor, "client_proof": done.proof, "client_tls": client.tls_version or "off"}
        if token:
            facts["client_token"] = token
        self._worker.journal.opened(session, facts, self.adapter)
        secret = secrets.token_bytes(4 if done.version < VERSION_3_2 else 32)
        self._list()
        worker.control.cancel_key(session.id, upstream.pid, secret)
        client.write(self._prompt(upstream, secret))
        self.adapter.attach(client, upstream.transport)
        upstream.attach(self)
        upstream.forget()

    def _prompt(self, upstream: Upstream, secret: bytes) -> bytes:
        """What a server says between AuthenticationOk and its first ReadyForQuery."""
        told = [replies.ParameterStatus(name, value).encode() for name, value in upstream.parameters.items()]
        told.append(replies.BackendKey(upstream.pid, secret).encode())
        told.append(replies.ReadyForQuery(upstream.transaction).encode())
        return b"".join(told)

    # -- the target's side ---------------------------------------------------------------

    def connection_lost(self, why: str) -> None:
        """As a Receiver of the Upstream."""
        self.adapter.target_lost()

    def _cancel_target(self) -> Deferred[None]:
        asked = targets.cancel(
            self._worker.reactor, self._entry, self._upstream.pid, self._upstream.secret, self._account
        )
        cancels = self._worker.cancels
        cancels.add(asked)
        asked.addErrback(lambda failure: self.log.warn("session {id}: the target took no cancel", id=self.session.id))
        return asked.addCallback(lambda _: cancels.discard(asked))

    # -- what the worker does --------------------------------------------------------------

    def cancel(self) -> Deferred[None] | None:
        """Its client showed the cancel key. What comes back fires when the target has taken that, where something ran."""
        Sink(self._worker.journal).note(self.session, "cancel", {})
        return self.adapter.cancel()

    def reconsider(self) -> None:
        """As every session; and what open portals go on with is decided again when it is asked for."""
        self.adapter.reconsider()
        super().reconsider()

    @property
    def busy(self) -> bool:
        """Whether a command waits, runs or is held, or a transaction is open."""
        return self.adapter.busy or not self.relay.idle

    def _forgotten(self) -> None:
        self._worker.settings.closed(self.session)
