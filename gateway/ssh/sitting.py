"""
One SSH session from its login to its end: what its worker lists and kills. As `gateway.sitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from gateway.control.device.answers import BY_PROVIDER
from gateway.house import Worker
from gateway.opinions import Opinions
from gateway.powers import Sink
from gateway.seated import Seated
from gateway.ssh.bounds import Bounded, narrowed, told
from gateway.ssh.moderation import Moderation
from gateway.ssh.ready import Ready
from gateway.ssh.sides import ServerLeg
from gateway.ssh.studio import Studio
from gateway.ssh.upstream import Upstream
from protocols.recording import Settings
from protocols.session import Session
from protocols.ssh.adapter import SshAdapter
from protocols.ssh.certificate import Certificate
from protocols.ssh.relay import SshRelay


class Sitting(Seated):
    """Both legs are logged in."""

    def __init__(
        self, worker: Worker, client: ServerLeg, session: Session, upstream: Upstream, token: str,
        certificate: Certificate | None = None, *, more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """
        :param token: what proved the identity, a token's id or a key's fingerprint; revoking it ends the session.
        :param certificate: what a client showed that came in with one; its bounds hold for the session.
        :param more: facts for its record.
        :raises Unrecordable: its beginning cannot be recorded, so it does not begin.
        """
        self._worker, self.session, self._token = worker, session, token
        self._client, self._upstream = client, upstream
        self._certificate = certificate
        opinions = Opinions if certificate is None else partial(Bounded, certificate)
        self._opinions = opinions(lambda: (self._worker.pipeline, self._worker.revision), session)
        self._moderation = Moderation(
            self._opinions, worker.reactor, lambda: self._recording().observers,
            lambda what, facts: Sink(worker.journal).note(self.session, what, facts), lambda why, kept: self.adapter.stop(why, kept),
        )
        studio = Studio(
            worker.journal, worker.reactor, self._opinions, self._recording, lambda channel: self.adapter.resume(channel), self._moderation
        )
        self.relay = SshRelay(Ready(self._opinions, studio.filters, lambda: self._moderation.unforwarded))
        self.adapter = SshAdapter(
            self.relay, session, self._moderation, worker.journal, worker.reactor,
            prove=client.prove_host_keys, ended=self._ended,
        )
        proof = {"client_proof": session.identity.proof}
        if session.identity.proof == "key":
            proof["client_key"] = token
        elif certificate is not None:
            proof.update(told(certificate))
        elif token and session.identity.proof != BY_PROVIDER:
            proof["client_token"] = token
        shown = {f"client_{name}": value for name, value in client.facts.items()}
        recording = {"recording": str(self._recording())}
        worker.journal.opened(session, {**shown, **upstream.facts, **proof, **recording, **more}, self.adapter)
        self._list()

    def begin(self) -> None:
        """The client knows that it is in: what it sends is relayed from here on."""
        adapter, client = self.adapter, self._client
        adapter.attach(client, self._upstream.leg)
        client.partner, self._upstream.leg.partner = self._upstream.leg, client
        client.on_payload = adapter.client_payload if self._certificate is None else narrowed(self._certificate, adapter.client_payload)
        client.on_several = partial(adapter.carry, "client")
        client.on_broken = lambda why: adapter.broken("client", why)
        client.on_lost = lambda why: adapter.client_lost()
        self._upstream.attach(
            adapter.target_payload, partial(adapter.carry, "target"), adapter.target_lost, lambda why: adapter.broken("target", why)
        )

    def _recording(self) -> Settings:
        """As the configuration says now; a target that it no longer has is recorded as one that it says nothing of."""
        entry = self._worker.config.targets.get(self.session.target.name)
        return entry.recording if entry is not None else Settings()

    # -- what the worker does --------------------------------------------------------------

    def observed(self, by: str, groups: frozenset[str]) -> None:
        """Somebody watches it now."""
        self._moderation.observed(by, groups)

    def _judge_again(self) -> None:
        """And whether somebody must observe."""
        super()._judge_again()
        self._moderation.reconsider()

    def cancel(self) -> None:
        """SSH has no cancel of its own; whoever asked for one is recorded."""
        Sink(self._worker.journal).note(self.session, "cancel", {})

    @property
    def busy(self) -> bool:
        """Whether a command waits, runs or is held."""
        return self.adapter.busy

    def _forgotten(self) -> None:
        self._moderation.closed()
