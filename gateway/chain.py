"""
THE ORDER OF ADDONS: the objects a configuration names, in the order it names them.

Each is handed what its constructor asks for by name and nothing else, so reading one
constructor tells its powers.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from addons.sql.complaints import complaints_of
from gateway.config import AddonEntry

MISSING = "is missing"
"""The fault of an option that an addon cannot do without."""


class WrongAddon(Exception):
    """
    An `[[addon]]` that cannot be built.

    :ivar index: its position. :ivar faults: the option at fault, or "", and why, of everything that is wrong; never empty.
    """

    def __init__(self, index: int, *faults: tuple[str, str]) -> None:
        super().__init__("; ".join(f"addon[{index}]{'.' + key if key else ''}: {why}" for key, why in faults))
        self.index, self.faults = index, faults

    @property
    def key(self) -> str:
        """The first option at fault."""
        return self.faults[0][0]


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
        raise WrongAddon(index, ("use", f"{entry.use} does not say what it takes")) from None
    unknown = [key for key in entry.options if key not in taken or key in needs]
    known = ", ".join(sorted(name for name in taken if name not in needs)) or "none"
    faults = [(key, f"{entry.use} has no such option; it has: {known}") for key in unknown]
    meant = {near: entry.options[key] for key in unknown for near in difflib.get_close_matches(key, taken, 1) if near not in needs}
    options = meant | {key: value for key, value in entry.options.items() if key not in unknown}
    missing = _missing(taken, options, needs)
    faults += [(key, MISSING + _handed(key, needs)) for key in missing]
    if missing:
        raise WrongAddon(index, *faults)
    given = {name: needs[name] for name in taken if name in needs}
    try:
        made = addon(**given, **options)
    except (ValueError, TypeError, KeyError) as error:
        faults += [("", why) for why in complaints_of(error)]
    if faults:
        raise WrongAddon(index, *faults)
    return made


def _handed(key: str, needs: Mapping[str, Any]) -> str:
    """What the gateway hands out under nearly that name, where a constructor may have meant it."""
    meant = difflib.get_close_matches(key, needs, 1, _ALIKE)
    return f"; the gateway hands out {meant[0]!r} to a constructor that asks for it by that name" if meant else ""


_ALIKE = 0.8  # of difflib's ratio: `catalog` and `catalogs` are, `columns` and `counts` are not


def _missing(taken: Mapping[str, inspect.Parameter], options: Mapping[str, Any], needs: Mapping[str, Any]) -> list[str]:
    """What the constructor cannot do without and nobody gave."""
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [name for name, taking in taken.items() if taking.kind in named and taking.default is inspect.Parameter.empty]
    return [name for name in wanted if name not in options and name not in needs]


def _named(index: int, path: str) -> Any:
    """The class at a dotted path."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise WrongAddon(index, ("use", f"{path} cannot be imported: {error}")) from None
    if not inspect.isclass(found):
        raise WrongAddon(index, ("use", f"{path} is no class"))
    return found
