"""
Spellings of one host. What a resolver reads as a number is that address, and every way to say "this host" is one name.

Nothing is looked up: a name that leads to an address in the DNS or in a hosts file is only a name here.
"""

from __future__ import annotations

import ipaddress
import re

LOOPBACK = "localhost"
"""What stands for all of 127.0.0.0/8, ::1, the unspecified addresses, to which a connection is one to the host itself, and their names."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAMES = frozenset({"localhost", "localhost4", "localhost6", "localhost.localdomain", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"})
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_HOST = re.compile(r"[!-~]+")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


def canonical(host: str) -> str | None:
    """
    LOOPBACK, an address as it is written normally, or a name in small letters.

    :returns: None for what looks like a number and is no address, and for what is no host's name.
    """
    text = host.rstrip(".").strip("[]").rstrip(".").lower()
    if not _HOST.fullmatch(text):
        return None
    found = _version6(text) if ":" in text else _numbers(text)
    if isinstance(found, str):
        return LOOPBACK if found in _NAMES or found.endswith(".localhost") else found
    if found is None:
        return None
    return LOOPBACK if found.is_loopback or found.is_unspecified else str(found)


def is_address(spelled: str) -> bool:
    """Whether what `canonical` gave is an address."""
    try:
        ipaddress.ip_address(spelled)
    except ValueError:
        return False
    return True


def _version6(text: str) -> Address | None:
    try:
        found = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return None
    if found in _NAT64:
        return ipaddress.IPv4Address(found.packed[-4:])
    return found.ipv4_mapped or found


def _numbers(text: str) -> Address | str | None:
    """As inet_aton reads them: one to four numbers, decimal, octal or hexadecimal; the last one fills what is left."""
    parts = text.split(".")
    if not _NUMBER.fullmatch(parts[-1]):
        return text
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        numbers = [_number(part) for part in parts]
    except ValueError:
        return None
    value = 0
    for number in numbers[:-1]:
        if number > 255:
            return None
        value = value << 8 | number
    left = 8 * (5 - len(numbers))
    return ipaddress.IPv4Address(value << left | numbers[-1]) if numbers[-1] >> left == 0 else None


def _number(part: str) -> int:
    """
    :raises ValueError: for 08, and for a prefix without digits.
    """
    if len(part) > 20:
        raise ValueError("no part of an address")
    if part.startswith("0x"):
        return int(part, 16)
    return int(part, 8) if part.startswith("0") else int(part)
