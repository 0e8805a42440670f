"""
What a client's certificate allows of a session, beyond what it says of who it is: as sshd honours it.

A forced command takes the place of whatever is asked to run, before anybody judges it, so that what is judged and
recorded is what runs. What the certificate does not permit is refused as by a rule, and recorded.

Source: OpenSSH PROTOCOL.certkeys, "Critical options" and "Extensions"; sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred

from gateway.opinions import Current, Opinions
from gateway.ssh.certificates import COMMAND
from gateway.ssh.lines import fingerprint
from protocols.command import AgentForward, Command, Forward, X11Forward
from protocols.session import Session
from protocols.ssh.certificate import Certificate
from protocols.ssh.messages import CHANNEL_REQUEST, ChannelRequest, Unreadable, string
from protocols.verdict import Decision, Deny, Hold

_STARTS = ("exec", "shell", "subsystem")
_NEEDED = {Forward: "permit-port-forwarding", AgentForward: "permit-agent-forwarding", X11Forward: "permit-X11-forwarding"}
_NONE = "pty-not-permitted@ostiary"  # a request of this name is answered with failure, as sshd answers


class Bounded(Opinions):
    """As `Opinions`, within a certificate."""

    def __init__(self, certificate: Certificate, current: Current, session: Session) -> None:
        super().__init__(current, session)
        self._permitted = certificate.extensions

    def decide(self, command: Command, held: Callable[[str, Hold], None]) -> Decision | Deferred[Decision]:
        needed = next((name for kind, name in _NEEDED.items() if isinstance(command, kind)), "")
        if needed and needed not in self._permitted:
            deny = Deny("your certificate does not permit it", "OST-633", hint=f"ask for one with {needed}")
            return Decision(command, deny, addon="certificate")
        return super().decide(command, held)


def narrowed(certificate: Certificate, take: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """What the client sends, as far as its certificate goes."""
    forced, terminal = certificate.critical.get(COMMAND), "permit-pty" in certificate.extensions
    if forced is None and terminal:
        return take

    def narrow(payload: bytes) -> None:
        take(_narrow(payload, forced, terminal) if payload[0] == CHANNEL_REQUEST else payload)

    return narrow


def _narrow(payload: bytes, forced: str | None, terminal: bool) -> bytes:
    try:
        request = ChannelRequest.read(payload)
    except Unreadable:  # the relay says so, in its own words
        return payload
    if request.kind in _STARTS and forced is not None:
        return replace(request, kind="exec", details=string(forced.encode())).write()
    if request.kind == "pty-req" and not terminal:
        return replace(request, kind=_NONE).write()
    return payload


def told(certificate: Certificate) -> dict[str, str]:
    """For the session's record."""
    facts = {
        "client_key": fingerprint(certificate.key), "client_certificate": certificate.key_id[:512],
        "client_certificate_serial": str(certificate.serial), "client_authority": fingerprint(certificate.authority),
    }  # fmt: skip
    return facts | ({"client_forced_command": certificate.critical[COMMAND]} if COMMAND in certificate.critical else {})
