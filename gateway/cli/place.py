"""Which evidence store a command means, and where its keys are: from --store and --state, or from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.cli import left
from gateway.notary import keys
from gateway.notary.body import Bodies
from gateway.notary.note import NoteError, Verifier

DAMAGED, USAGE, UNREADABLE = 1, 3, 4

NEEDED = ("gateway.state", "audit")
"""What says where evidence lies; nothing else of a configuration is about that."""


def leave(code: int, why: str, more: Mapping[str, Any] | None = None) -> NoReturn:
    """Say why and exit. `more` is for programs, beside that."""
    left.leave(why, exit_code=code, more=more)


@dataclass(frozen=True, slots=True)
class Place:
    """Which store, and where its keys and anchor are, as far as is known."""

    store: Path
    state: Path | None
    anchor_file: Path | None = None

    def bodies(self) -> Bodies | None:
        """What opens bodies; None without the key, and then only what is in clear is shown."""
        if self.state is None:
            return None
        return Bodies(keys.load_body(self.state))

    def keeps(self, file: Path) -> bool:
        """Whether a file is the configured anchor, under any name, or lies where the gateway keeps its own."""
        if self.anchor_file is not None and self.anchor_file.exists() and file.exists() and file.samefile(self.anchor_file):
            return True
        return any(file.resolve().is_relative_to(where.resolve()) for where in (self.store, self.state) if where is not None)


PATH = click.Path(path_type=Path)
CONFIG = click.option("--config", type=PATH, envvar="OSTIARY_CONFIG", show_default="ostiary.toml", help="The gateway's configuration.")
STORE = click.option("--store", type=PATH, help="An evidence store, instead of the config's.")
STATE = click.option("--state", type=PATH, help="The state directory, with audit-keys/; default: beside the store.")


def located(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config, --store and --state, and hands the command a Place."""

    @CONFIG
    @STORE
    @STATE
    @wraps(command)
    def with_place(config: Path | None, store: Path | None, state: Path | None, **options: Any) -> Any:
        return command(place=find(config, store, state), **options)

    return with_place


def find(config: Path | None, store: Path | None, state: Path | None) -> Place:
    """The store that is meant; says what to give when none is."""
    if store is not None:
        beside = store.resolve().parent
        return Place(store, state or (beside if (beside / keys.FOLDER).is_dir() else None))
    read, state = _configured(config or Path("ostiary.toml"), state)
    return Place(read.audit.directory, state, read.audit.anchor_file)


def _configured(config: Path, state: Path | None) -> tuple[Any, Path]:
    """The configuration, as far as it says where evidence lies, and the state directory. Its mistakes elsewhere keep nobody from evidence."""
    from gateway.cli.door import elsewhere  # only this way needs a configuration
    from gateway.toml import WrongConfig, glance

    try:
        read, others = glance(config, NEEDED)
    except WrongConfig as e:
        leave(USAGE, f"{e}\n(--store DIR --state DIR say where evidence lies without the file)")
    elsewhere(config, others)
    return read, state or read.state


def trusted(key: str, place: Place) -> Verifier:
    """The trusted key: given, else the one that this administration keeps."""
    try:
        if key:
            if "+" not in key and not Path(key).exists():
                leave(USAGE, f"--key: {key}: no such file")
            return Verifier.parse(Path(key).read_text() if Path(key).exists() else key)
        if place.state is not None:
            return keys.load_public(place.state)
    except NoteError as e:
        leave(USAGE, f"--key: {e}")
    leave(USAGE, "with which key? Give --key PUB, the log's public key or a file that holds it")
