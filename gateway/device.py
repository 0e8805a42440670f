"""
`[ssh.device]` to its values: the identity provider at which people may log in by their browsers.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config import Device
from gateway.section import Section

SCOPES = ("openid", "email")


def device(ssh: Section) -> Device | None:
    """None where the file has none; nobody is offered a browser then."""
    if not ssh.has("device"):
        return None
    section = ssh.section("device")
    loopback = section.flag("loopback_http", False)
    found = Device(
        _url(section, "issuer", loopback), section.text("client_id"), section.optional_file("client_secret_file", private=True),
        section.texts("scopes", SCOPES), section.text("claim", "email"), _authorities(section),
        *(_url(section, key, loopback) if section.has(key) else "" for key in ("device_authorization_endpoint", "token_endpoint", "jwks_uri")),
        loopback,
    )
    if "openid" not in found.scopes and not section.troubled("scopes"):
        section.wrong("scopes", "without openid no provider says who somebody is", 'add "openid"')
    section.end()
    return found


def allowed(url: str, loopback_http: bool) -> bool:
    """Whether an address may be talked to, or shown: https, or this machine's own by http where the file says so."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and loopback_http and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url(section: Section, key: str, loopback_http: bool) -> str:
    url = section.text(key)
    if url and not (url.isascii() and allowed(url, loopback_http)):
        section.wrong(key, f"{url!r} is no https address", 'write one such as "https://login.example"')
    return url


def _authorities(section: Section) -> Path | None:
    file = section.optional_file("ca_file")
    if file is None or section.troubled("ca_file"):
        return None
    from cryptography.x509 import load_pem_x509_certificates  # most files name none

    try:
        load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        section.wrong("ca_file", f"{file} holds no certificate", "give the certificates, in PEM, of who vouches for the provider")
    return file
