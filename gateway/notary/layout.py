"""Where things are in a store's directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.notary.seal import bodies_file, leaves_file

_DIGITS = 12

Files = tuple[Path, Path | None]
"""A segment's leaves, and its bodies where they are in a file of their own."""


@dataclass(frozen=True, slots=True)
class Layout:
    """
    Paths under one store::

        notary.lock             held while the notary lives
        notary.socket           a text: where it listens, for readers
        ledger/data.mdb         the ledger; ledger/checkpoint is a copy in text
        open/000000000042/      the active segment, and closed ones that are not sealed yet
        open/spare/             the next one, its space reserved
        sealed/000000000041.mdb and .bodies.mdb
        damaged                 what the last notary knew to be damaged, so that the next one looks there first; no evidence
    """

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "notary.lock"

    @property
    def socket_name(self) -> Path:
        return self.root / "notary.socket"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def checkpoint(self) -> Path:
        """What people keep elsewhere; written after each append to the ledger."""
        return self.ledger / "checkpoint"

    @property
    def damaged(self) -> Path:
        return self.root / "damaged"

    @property
    def spare(self) -> Path:
        return self.root / "open" / "spare"

    def open(self, number: int) -> Path:
        return self.root / "open" / f"{number:0{_DIGITS}d}"

    def sealed(self, number: int) -> Path:
        """The prefix of both sealed files."""
        return self.root / "sealed" / f"{number:0{_DIGITS}d}"

    def files(self, number: int) -> Files | None:
        """Leaves and bodies of a segment, sealed if it is; None when it is nowhere."""
        sealed, opened = leaves_file(self.sealed(number)), self.open(number) / "data.mdb"
        if not sealed.exists() and opened.exists():
            return opened, None
        if not sealed.exists():  # nor in the moment between, when it was sealed and the open one removed
            return None
        bodies = bodies_file(self.sealed(number))
        return sealed, bodies if bodies.exists() else None

    def present(self) -> set[int]:
        """Numbers of all segments that have a file."""
        names = {path.name for path in (self.root / "open").glob("[0-9]*")}
        names |= {path.name.split(".")[0] for path in (self.root / "sealed").glob("[0-9]*.mdb")}
        return {int(name) for name in names if name.isdigit()}
