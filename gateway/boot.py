"""
What the supervisor hands a child as it starts, over their own socket: never argv, never the environment,
which any process of this user can read in /proc.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.listeners import Inherited

LIFELINE = 3
"""The descriptor on which a child finds its end of the socket to the supervisor."""

_FLOOR = 4


@dataclass(frozen=True, slots=True)
class Boot:
    """
    One child's beginning.

    :ivar name: how logs and evidence call it, e.g. "worker-1".
    :ivar part: dotted path of what it runs, called with (boot, config, reactor).
    :ivar token: proves to notary and control that the supervisor started it.
    :ivar file: where the configuration was read; `text` is what was read.
    :ivar sockets: paths of "notary" and "control".
    :ivar peers: tokens of those who may connect, and their names (notary and control only).
    :ivar listens: one listening socket per endpoint, in the file's order.
    :ivar floor: a descriptor that ends when nobody is left whom this child serves; -1 for none.
    :ivar options: extra words for the part; tests name their gate here.
    :ivar first: nobody sat there before in this supervisor's life.
    """

    name: str
    part: str
    token: str = field(repr=False)
    file: str
    text: bytes = field(repr=False)
    revision: int
    sockets: Mapping[str, str]
    peers: Mapping[str, str] = field(default_factory=dict, repr=False)
    listens: tuple[Inherited, ...] = ()
    floor: int = -1
    options: Mapping[str, str] = field(default_factory=dict)
    first: bool = False

    def frame(self) -> dict[str, Any]:
        """As it travels."""
        return asdict(self)

    @classmethod
    def from_frame(cls, frame: Mapping[str, Any]) -> Boot:
        """As it arrives."""
        given = dict(frame)
        given["listens"] = tuple(Inherited(**one) for one in given["listens"])
        return cls(**given)

    @property
    def path(self) -> Path:
        return Path(self.file)


class Peers:
    """The tokens a server accepts now. The supervisor replaces them whenever a child is."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = dict(tokens)

    def replace(self, tokens: Mapping[str, str]) -> None:
        """From now on these, and no other."""
        self._tokens = dict(tokens)

    def __call__(self, token: str | bytes) -> str | None:
        """The name behind a token; every token is compared, so time tells nothing."""
        shown = token if isinstance(token, bytes) else token.encode()
        found = [name for known, name in self._tokens.items() if hmac.compare_digest(known.encode(), shown)]
        return found[0] if found else None


def new_token() -> str:
    """256 bits that nobody guesses."""
    return secrets.token_hex(32)


_ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": str(8 << 20), "MALLOC_MMAP_THRESHOLD_": str(1 << 20)}
"""glibc's (mallopt(3)), in bytes: else what carried one read goes back to the system and is fetched, and zeroed, for the next."""


def environment(ours: Mapping[str, str]) -> dict[str, str]:
    """A child's: ours, with the place this was imported from in front, so that a checkout's children run the checkout."""
    here = str(Path(__file__).parent.parent)
    path = [here, *filter(None, ours.get("PYTHONPATH", "").split(os.pathsep))]
    return {**_ALLOCATOR, **ours, "PYTHONPATH": os.pathsep.join(path)}
