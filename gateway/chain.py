"""
THE ORDER OF ADDONS: the objects a configuration names, in the order it names them.

Each is handed what its constructor asks for by name and nothing else, so reading one
constructor tells its powers.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config import AddonEntry


class WrongAddon(Exception):
    """An `[[addon]]` that cannot be built. `index` is its position, `key` the option at fault or ""."""

    def __init__(self, index: int, key: str, why: str) -> None:
        super().__init__(f"addon[{index}]{'.' + key if key else ''}: {why}")
        self.index, self.key, self.why = index, key, why


def build(entries: Sequence[AddonEntry], needs: Mapping[str, Any]) -> list[object]:
    """
    The addons, ready to be asked.

    :param needs: what may be handed out, by parameter name: catalogs, settings, clock, sink.
    :raises WrongAddon: a path that does not import, an option nobody takes, a value it refuses.
    """
    return [_one(index, entry, needs) for index, entry in enumerate(entries)]


def _one(index: int, entry: AddonEntry, needs: Mapping[str, Any]) -> object:
    addon = _named(index, entry.use)
    try:
        taken = inspect.signature(addon).parameters
    except ValueError:
        raise WrongAddon(index, "use", f"{entry.use} does not say what it takes") from None
    for key in entry.options:
        if key not in taken or key in needs:
            known = ", ".join(sorted(name for name in taken if name not in needs)) or "none"
            raise WrongAddon(index, key, f"{entry.use} has no such option; it has: {known}")
    given = {name: needs[name] for name in taken if name in needs}
    try:
        return addon(**given, **entry.options)
    except (ValueError, TypeError, KeyError) as error:
        raise WrongAddon(index, "", str(error)) from None


def _named(index: int, path: str) -> Any:
    """The class at a dotted path."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WrongAddon(index, "use", f"{path} cannot be imported: {error}") from None
    if not inspect.isclass(found):
        raise WrongAddon(index, "use", f"{path} is no class")
    return found
