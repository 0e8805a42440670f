"""
Control as a part of the house, with its link to the notary: what the supervisor starts, switches and drains.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from gateway.boot import Boot, Peers
from gateway.config import Config
from gateway.control.caller import os_user
from gateway.control.process import Control
from gateway.notary.client import NotaryClient
from gateway.parts import CannotSwitch, Reloader, shared
from gateway.transcript import transcript


_WHY = 4096  # characters of a refusal that are recorded


class Evidence:
    """A link to the notary in the words of control."""

    def __init__(self, client: NotaryClient) -> None:
        self._client = client

    def grant(
        self, request_id: str, grant_id: str, binding: bytes, expires: float, uses: int, approvers: Sequence[str]
    ) -> Deferred[Any]:
        """Fires when the grant is durable and can be spent."""
        facts = {"approvers": ", ".join(approvers)}
        return self._client.grant(grant_id, binding, int(expires * 1e9), uses, request_id, facts)

    def note(self, kind: str, facts: Mapping[str, Any]) -> Deferred[Any]:
        """Fires when it is durable."""
        return self._client.admin(kind, facts)


class ControlPart:
    """Control, with its link to the notary."""

    def __init__(self, boot: Boot, config: Config, peers: Peers, reload: Reloader, reactor: Any) -> None:
        self._boot, self._config, self._peers, self._reload = boot, config, peers, reload
        self._client = NotaryClient(reactor, boot.sockets["notary"], boot.token)
        self._evidence = Evidence(self._client)
        self._control = Control(config, self._evidence, reactor)
        self._next: tuple[int, Config] | None = None
        self._drained: Deferred[Any] | None = None

    def start(self) -> None:
        """Serve; what must be recorded waits in control's own store until the notary has it."""
        self._client.start().addErrback(lambda _: None)  # the client has logged that it was denied
        self._control.startService()
        self._control.office.on_reload = self._reload
        self._control.listen(Path(self._boot.sockets["control"]), self._peers)
        started = {"by": os_user(os.getuid())}
        self._control.office.outbox.tell("config.started", _facts(self._boot.revision, self._config) | started)

    def prepare(self, revision: int, config: Config) -> None:
        self._next = (revision, config)

    def record(self, revision: int, by: str) -> Any:
        """Put the prepared revision into the evidence."""
        if self._next is None or self._next[0] != revision:
            raise CannotSwitch(f"revision {revision} was not prepared")
        return self._evidence.note("config.reloaded", _facts(revision, self._next[1]) | {"by": by})

    def refuse(self, revision: int, told: str) -> None:
        """What was asked for and did not come into force is told as well. It waits in control's store while the notary takes nothing."""
        by, _, why = told.partition("\n")
        assert self._control.office is not None
        facts = {"revision": str(revision), "file": str(self._config.file), "by": by, "why": _cut(why)}
        self._control.office.outbox.tell("config.refused", facts)

    def look(self, revision: int) -> None:
        """A reload that changes nothing asks for it: its targets may have changed."""
        self._control.look()

    def switch(self, revision: int) -> Any:
        """Identities and everything judged by them are those of the new file from here on."""
        if self._next is None or self._next[0] != revision:
            raise CannotSwitch(f"revision {revision} was not prepared")
        (_, self._config), self._next = self._next, None
        return self._control.reload(self._config)

    def drain(self, patience: float) -> Deferred[None]:
        """Workers have gone; store everything and close."""
        if self._drained is None:
            self._drained = maybeDeferred(self._control.stopService)
            self._drained.addBoth(lambda result: (self._client.close(), result)[1])
        return shared(self._drained)


def _cut(why: str) -> str:
    """The first of a file's mistakes, however many it has."""
    return why if len(why) <= _WHY else f"{why[:_WHY]} …"


def _facts(revision: int, config: Config) -> dict[str, str]:
    """What an auditor needs to tell by which rules a session was judged."""
    facts = {"revision": str(revision), "sha256": config.digest.hex(), "file": str(config.file)}
    text = transcript(config.text)
    return {**facts, "text": text} if text else facts


def control(boot: Boot, config: Config, peers: Peers, reload: Reloader, reactor: Any) -> ControlPart:
    """As gateway.parts.Build."""
    return ControlPart(boot, config, peers, reload, reactor)
