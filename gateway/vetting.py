"""
`[[addon]]` entries, each imported and built once with stand-ins, so that what is wrong with its options is
known before a worker needs it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from gateway import chain
from gateway.abilities import safely
from gateway.config import AddonEntry
from gateway.matrix import holes
from gateway.section import Section
from protocols.hooks import HOOKS

NEEDS = ("catalogs", "settings", "clock", "sink", "sessions", "counts", "reveals", "now", "registry", "estimates", "names", "analyses")
"""What constructors may be handed, by name; never options of the file."""

_AT_OPTION = re.compile(r"([A-Za-z_][\w.\[\]-]*): (.+)", re.DOTALL)

_THEIR_BUGS = (
    SyntaxError, NameError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, OSError,
    RuntimeError, ValueError, ImportError,
)
"""What importing or building somebody's addon may raise when it is broken."""


class _Standin:
    """Takes any call and knows nothing: a constructor keeps what it is handed, and uses it later."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        return None


Places = Mapping[str, Collection[str]]
"""Names that addons' options may mention, by the key they are mentioned under: targets, databases, accounts."""


def vet(found: Iterable[tuple[Section, AddonEntry]], protocols: Collection[str] = (), places: Places = MappingProxyType({})) -> None:
    """Every addon, for listeners of these protocols and rules about these places; what is wrong is said at its section."""
    for section, entry in found:
        if entry.use:
            _vet(section, entry, protocols)
            _check_places(section, entry.options, "", places)


def _vet(section: Section, entry: AddonEntry, protocols: Iterable[str]) -> None:
    try:
        [addon] = chain.build([entry], {name: _Standin() for name in NEEDS})
    except chain.WrongAddon as error:
        _explain(section, entry, error)
        return
    except _THEIR_BUGS as error:
        where = f"{type(error).__name__} at {error.filename}:{error.lineno}" if isinstance(error, SyntaxError) else safely(error)
        section.wrong("use", f"{entry.use} fails when it is loaded: {where}", "mend that addon")
        return
    for name in dir(addon):
        if name.startswith("on_") and name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            mend = f"did you mean {near[0]}?" if near else f"rename it; hooks: {', '.join(HOOKS)}"
            section.wrong("use", f"{entry.use}.{name} is no hook, so nobody would ever call it", mend)
    for protocol in sorted(set(protocols)):
        open_paths = holes(protocol, addon)
        if open_paths:
            why = f"{entry.use} would not be asked on {protocol} by: {', '.join(open_paths)}"
            section.wrong("use", why, "take the addon or that listener out; docs/enforcement.md has the table")


def _check_places(section: Section, value: Any, at: str, places: Places) -> None:
    """A rule about a target that nobody has is a rule about nothing: for masking, a column left in clear."""
    if isinstance(value, list):
        for index, inside in enumerate(value):
            _check_places(section, inside, f"{at}[{index}]", places)
    elif isinstance(value, dict):
        for key, inside in value.items():
            path = f"{at}.{key}" if at else key
            for name in inside if key in places and isinstance(inside, list) else ():
                if isinstance(name, str) and name not in places[key]:
                    near = difflib.get_close_matches(name, places[key], 1)
                    known = ", ".join(sorted(places[key])) or "none"
                    mend = f"did you mean {near[0]!r}?" if near else f"configured {key}: {known}"
                    section.wrong(path, f"{name!r} is none of the configured {key}", mend)
            _check_places(section, inside, path, places)


def _explain(section: Section, entry: AddonEntry, error: chain.WrongAddon) -> None:
    """A constructor's complaint that begins with the key at fault becomes a complaint at that key."""
    for key, why in error.faults:
        if key == "use":
            section.wrong("use", why, 'write a class by its dotted path, such as "addons.access.Access"; it must be on the Python path')
        elif key and why.startswith(chain.MISSING):
            section.wrong(key, chain.MISSING, f"{entry.use} cannot do without it{why.removeprefix(chain.MISSING)}")
        elif key:
            near = difflib.get_close_matches(key, _options(why), 1)
            section.wrong(key, why, f"did you mean {near[0]!r}?" if near else "take it out, or correct its name")
        else:
            _complain(section, entry, why)


def _complain(section: Section, entry: AddonEntry, complaint: str) -> None:
    said = _AT_OPTION.fullmatch(complaint)
    option = re.split(r"[.\[]", said[1])[0] if said is not None else ""
    written = option if option in entry.options else "".join(difflib.get_close_matches(option, entry.options, 1))
    named = said is not None and bool(written)
    key, why = (written + said[1].removeprefix(option), said[2]) if said is not None and named else ("", complaint)
    what, _, mend = why.rpartition("; ") if "; " in why else (why, "", "correct that option")
    section.wrong(key, f"{entry.use} does not take it: {what}" if not named else what, mend)


def _options(why: str) -> list[str]:
    """The names in "… it has: a, b"."""
    return why.rpartition("it has: ")[2].split(", ")
