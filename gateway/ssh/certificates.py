"""
Certificates of clients and of hosts: which are believed, apart from whether their signer is one that is trusted.

What cannot be understood refuses: a critical option that is not known here, a signature with SHA-1, a list of
addresses that cannot be read.
"""

from __future__ import annotations

from twisted.conch.ssh.common import getNS

from gateway.ssh.keys import NoKey, algorithms, public, signed
from protocols.ssh.certificate import HOST, PLAIN, USER, Certificate, comes_from
from protocols.ssh.messages import Unreadable

COMMAND, ADDRESSES, VERIFY = "force-command", "source-address", "verify-required"
_KNOWN = frozenset({COMMAND, ADDRESSES, VERIFY})


class NotBelieved(Exception):
    """Not a certificate for this. Its text is for the record."""


def of_user(blob: bytes, algorithm: str, subject: str, address: str, now: float) -> Certificate:
    """
    What a client shows, once all of it is right but who signed it.

    :param address: where the client comes from; "local" for a socket of this machine.
    :raises NotBelieved: it says nothing for this subject, from there, now.
    """
    certificate = _read(blob, algorithm)
    _judge(certificate, USER, subject, now)
    unknown = sorted(set(certificate.critical) - _KNOWN)
    if unknown:
        raise NotBelieved(f"the certificate has a critical option that is not known: {unknown[0][:64]}")
    if ADDRESSES in certificate.critical and not comes_from(address, certificate.critical[ADDRESSES]):
        raise NotBelieved("the certificate is not good at this address")
    return certificate


def of_host(blob: bytes, algorithm: str, name: str, now: float) -> Certificate:
    """
    What a target shows.

    :raises NotBelieved: it is not for this name, now.
    """
    certificate = _read(blob, algorithm)
    _judge(certificate, HOST, name, now)
    if certificate.critical:  # there is none for hosts
        raise NotBelieved("the certificate has a critical option that is not known")
    return certificate


def proves(certificate: Certificate, algorithm: str, message: bytes, signature: bytes) -> bool:
    """Whether the certified key signed this, in the way it announced."""
    return signed(certificate.key, PLAIN[algorithm], message, signature, verified=VERIFY in certificate.critical)


def _read(blob: bytes, algorithm: str) -> Certificate:
    try:
        certificate, body = Certificate.read(blob)
        if PLAIN.get(algorithm, "").encode() not in algorithms(public(certificate.key)):
            raise NotBelieved("the certificate holds a key of another kind than announced")
        by = getNS(certificate.signature)[0].decode("ascii", "replace")
    except (Unreadable, NoKey) as error:
        raise NotBelieved(f"not a certificate that can be read: {error}") from None
    if not signed(certificate.authority, by, body, certificate.signature):
        raise NotBelieved("the certificate was not signed by its authority")
    return certificate


def _judge(certificate: Certificate, kind: int, name: str, now: float) -> None:
    why = certificate.refusal(kind, name, now)
    if why:
        raise NotBelieved(why)
