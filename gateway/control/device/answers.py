"""
What an identity provider's answers come to, for those who load none of what asks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.control.errors import DeviceRefused

PENDING, SLOW_DOWN = "authorization_pending", "slow_down"
"""The person is not done yet; the same, and the provider is asked too often (RFC 8628, 3.5)."""

BY_PROVIDER = "oidc"
"""How records name this proof."""


class Unreachable(Exception):
    """No answer, or one that says that the provider is not well. What it is may pass."""


class Nonsense(Exception):
    """An answer that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Proof:
    """
    Somebody proved to a provider who they are.

    :ivar subject: what the provider calls them, for ever. :ivar name: what the configured claim says.
    """

    issuer: str
    subject: str
    name: str


def refused(why: str) -> DeviceRefused:
    return DeviceRefused(f"{why} (OST-612)")


def opened_by(issuer: str) -> str:
    """What a session's token is, that a provider opened; no id of a token has a blank."""
    return f"idp {issuer}"
