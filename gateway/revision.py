"""
A configuration file as read once, with its number. The number rises whenever the bytes differ, also across restarts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import Config
from gateway.toml import WrongConfig, parse

__all__ = ["Revision", "WrongConfig", "first", "in_force", "parse", "reread"]

FILE_LIMIT = 4 << 20
"""Bytes of configuration; a lifeline's frame bounds it too."""


@dataclass(frozen=True, slots=True)
class Revision:
    """
    One state of the file.

    :ivar text: its bytes, which every process parses for itself.
    """

    number: int
    text: bytes = field(repr=False)
    config: Config

    def remember(self) -> None:
        """The next start goes on from this number."""
        path = _memory(self.config.state)
        beside = path.with_suffix(".new")
        beside.write_text(f"{self.number} {self.config.digest.hex()}\n")
        os.replace(beside, path)


def first(file: Path) -> Revision:
    """
    The revision to start with: the last one's number if the bytes are the same, else the next.

    :raises WrongConfig: says file, key path and mend.
    """
    text = _read(file)
    config = parse(text, file.resolve())
    number, digest = in_force(config.state)
    return Revision(number if digest == config.digest.hex() else number + 1, text, config)


def reread(old: Revision) -> Revision:
    """
    The file as it is now, under the next number.

    :raises WrongConfig: says file, key path and mend.
    """
    text = _read(old.config.file)
    return Revision(old.number + 1, text, parse(text, old.config.file))


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            text = opened.read(FILE_LIMIT + 1)
    except OSError as error:
        raise WrongConfig(f"{file}: {error.strerror}; make a configuration with `ostiary init`") from None
    if len(text) > FILE_LIMIT:
        raise WrongConfig(f"{file}: more than {FILE_LIMIT} bytes is no configuration")
    return text


def in_force(state: Path) -> tuple[int, str]:
    """Number and digest, in hexadecimal, of the last revision that was in force on a state directory; 0 when there was none."""
    try:
        number, digest = _memory(state).read_text().split()
        return int(number), digest
    except (OSError, ValueError):
        return 0, ""


def _memory(state: Path) -> Path:
    return state / "revision"
