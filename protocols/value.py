"""
Values: frozen dataclasses with slots of which several are made for each message.

A frozen dataclass sets each field by a function that goes round its own `__setattr__`, which takes five times as long as setting it. A
value is made as an object of a class with the same slots that is not frozen, and becomes one of its own class when it is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

_Made = TypeVar("_Made")


@dataclass_transform(eq_default=True, field_specifiers=(field,))
def value(cls: type[_Made]) -> type[_Made]:
    """
    As `dataclass(frozen=True, slots=True)`; for classes without bases, and without what a dataclass does behind `__init__`.

    :raises TypeError: it is another one.
    """
    if cls.__bases__ != (object,) or hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} has a base or a __post_init__")
    made: Any = dataclass(frozen=True, slots=True)(cls)
    made.__init__ = _maker(made, type(f"_{cls.__name__}", (), {"__slots__": made.__slots__, "__doc__": "While it is being made."}))
    return made


def _maker(made: Any, unfrozen: type) -> Callable[..., None]:
    """An `__init__` that takes what the dataclass's own takes."""
    known: dict[str, Any] = {"made": made, "unfrozen": unfrozen, "MISSING": MISSING, "become": object.__setattr__}
    takes, does = ["self"], ["become(self, '__class__', unfrozen)"]
    for each in fields(made):
        default = each.default if each.default_factory is MISSING else MISSING
        required = default is MISSING and each.default_factory is MISSING
        known[f"default_{each.name}"], known[f"make_{each.name}"] = default, each.default_factory
        takes.append(each.name if required else f"{each.name}=default_{each.name}")
        given = each.name if each.default_factory is MISSING else f"make_{each.name}() if {each.name} is MISSING else {each.name}"
        does.append(f"self.{each.name} = {given}")
    exec(f"def __init__({', '.join(takes)}):\n    " + "\n    ".join([*does, "self.__class__ = made"]), known)  # as dataclasses do
    known["__init__"].__qualname__ = f"{made.__qualname__}.__init__"
    return known["__init__"]
