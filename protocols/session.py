"""
Who is talking to what: identity, target, session.

These are values. What changes while a session lives (its transaction, its
settings) belongs to the relay and travels on each command.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

KINDS = ("human", "workload", "agent")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who: a subject that has proved itself, or acts for one that has."""

    subject: str
    kind: str = "human"  #: one of KINDS
    groups: frozenset[str] = frozenset()
    proof: str = "token"  #: how it proved itself: token, scram, certificate, oidc
    on_behalf_of: str | None = None  #: the person an agent or job acts for


@dataclass(frozen=True, slots=True)
class Target:
    """A registered database or host. Holds no secret."""

    name: str
    protocol: str  #: "postgres", later "mysql", "ssh"
    host: str
    port: int
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Session:
    """One identity on one target, from accept to close."""

    id: str  #: UUIDv7, lower-case with dashes
    identity: Identity
    target: Target
    account: str  #: the service login used at the target
    database: str
    peer: str  #: the client's address, "host:port"
    application: str = ""  #: what the client calls itself; a claim, never a proof
    policy_revision: int = 0
    floor: str = ""  #: the role that the target was logged in to as instead, which cannot read masked columns; "" for none
