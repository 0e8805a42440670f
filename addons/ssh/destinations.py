"""
Where a forward leads: `host:port` with globs, networks and ranges of ports, or the path of a socket.

Names are resolved by the target, so a network covers no name, and a name that stands for an address is not known to. A rule
that allows takes an address only as it is written normally; one that refuses takes every spelling.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from dataclasses import dataclass

from protocols.command import Forward, ForwardKind

from addons.ssh.hosts import LOOPBACK, canonical

_PORTS = re.compile(r"\*|\d{1,5}(?:-\d{1,5})?")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LOOPBACKS: tuple[Network, ...] = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
_EVERYWHERE = frozenset({"", "*", "0.0.0.0", "::"})
"""Where a listener hears every network of its host."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry of `destinations`. `path` is set for sockets; else `network` or `name`, and the ports."""

    path: str = ""
    name: str = ""
    network: Network | None = None
    ports: tuple[int, int] = (0, 65535)

    def covers(self, forward: Forward, *, perhaps: bool) -> bool:
        """Whether it leads there. `perhaps`: a name may be in any network, and a host may be spelled in any way."""
        if forward.unix:
            return bool(self.path) and fnmatch.fnmatchcase(forward.host, self.path)
        if self.path or not self.ports[0] <= forward.port <= self.ports[1]:
            return False
        if perhaps:
            return self._may_cover(forward)
        if self.network is None:
            return fnmatch.fnmatchcase(forward.host.lower().rstrip("."), self.name)
        address = _address(forward.host)
        return address is not None and str(address) == forward.host.lower() and address in self.network

    def is_just(self, forward: Forward) -> bool:
        """Whether it is this host's name and no other's."""
        return bool(self.name) and not set(self.name) & set("*?[") and self.covers(forward, perhaps=False)

    def _may_cover(self, forward: Forward) -> bool:
        host, written = canonical(forward.host), forward.host.lower().rstrip(".")
        if self.network is None:
            if fnmatch.fnmatchcase(written, self.name):
                return True
            if host is None:
                return forward.kind is ForwardKind.DIRECT
            spelled = ("localhost", "127.0.0.1", "::1") if host == LOOPBACK else (host,)
            return host == canonical(self.name) or any(fnmatch.fnmatchcase(each, self.name) for each in spelled)
        if host is None or forward.kind is not ForwardKind.DIRECT and written.strip("[]") in _EVERYWHERE:
            return True
        if host == LOOPBACK:
            return any(self.network.version == each.version and self.network.overlaps(each) for each in _LOOPBACKS)
        address = _address(host)
        return address is None or address in self.network


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _network(text: str) -> Network:
    """
    :raises ValueError: for what is none.
    """
    found = ipaddress.ip_network(text, strict=False)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    return ipaddress.IPv4Network((int(mapped), found.prefixlen - 96)) if mapped is not None and found.prefixlen >= 96 else found


def destination(text: str) -> Destination:
    """
    :raises ValueError: what to write instead.
    """
    if text.startswith("/"):
        return Destination(path=text)
    host, colon, ports = text.rpartition(":")
    if not colon or not host or not _PORTS.fullmatch(ports):
        raise ValueError(f'{text!r} is no destination; write "host:443", "10.0.0.0/8:*", "*:8000-8999" or a socket\'s path')
    first, _, last = ports.partition("-")
    span = (0, 65535) if ports == "*" else (int(first), int(last or first))
    bare = host.strip("[]")
    try:
        return Destination(network=_network(bare), ports=span)
    except ValueError:
        if "/" in bare:
            raise ValueError(f"{text!r}: {bare!r} is no network") from None
        return Destination(name=bare.lower(), ports=span)
