"""
What the rooms of a worker need of the worker: shared by gates, openings and sittings.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from addons.sql.settings import Settings
from gateway.config import Config
from gateway.control.client import ControlClient
from gateway.pipeline import Pipeline
from gateway.spool import Spools
from protocols.journal import Journal


class Worker(Protocol):
    """The process that sessions live in; `gateway.worker` is it."""

    config: Config
    revision: int
    pipeline: Pipeline
    journal: Journal
    control: ControlClient
    reactor: Any
    spools: Spools
    settings: Settings  #: what sessions have set, shared by all addons
    sessions: dict[str, Any]  #: by id; each has session, busy, kill(why), cancel()
    cancels: set[Deferred[None]]  #: on their way to targets; the last ones are waited for
    jumps: dict[str, Any]  #: by id: who named no target, and reaches sessions through its connection; each has kill(why)

    def new_id(self) -> str:
        """A UUIDv7."""

    @property
    def refusing(self) -> str:
        """Why no new session may begin now; "" when one may."""
