"""A value is a frozen dataclass with slots, whoever makes it and how."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from protocols.command import Parameter, Statement
from protocols.result import Ending, Outcome
from protocols.value import value
from protocols.verdict import Allow, Decision

VALUES = [Statement("SELECT 1"), Parameter(23, 0, b"1"), Decision(Statement("x"), Allow()), Allow("rule"), Outcome(Ending.COMPLETE, ("SELECT 1",))]
ids = pytest.mark.parametrize("one", VALUES, ids=lambda one: type(one).__name__)


@value
class Made:
    """One of each kind of field."""

    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Model:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)
    last: Any = field(default=None, repr=False, compare=False)


@pytest.mark.parametrize(
    ("given", "named"), [((1,), {}), ((1, "x"), {}), ((), {"first": 1, "last": 4}), ((1, "x", [1], 4), {}), ((1,), {"third": [2]}), ((), {}), ((1, 2, 3, 4, 5), {}), ((1,), {"other": 1}), ((1,), {"first": 1})]
)  # fmt: skip
def test_it_takes_what_a_dataclass_takes(given: tuple[Any, ...], named: dict[str, Any]) -> None:
    """And refuses what that refuses."""
    try:
        model = Model(*given, **named)
    except TypeError:
        with pytest.raises(TypeError):
            Made(*given, **named)
        return
    made = Made(*given, **named)
    assert [getattr(made, f.name) for f in fields(made)] == [getattr(model, f.name) for f in fields(model)]
    assert repr(made) == repr(model).replace("Model", "Made") and Made(1).third is not Made(1).third


@ids
def test_nobody_changes_one(one: Any) -> None:
    """Not a field, not its class, and nothing is added."""
    for name in (fields(one)[0].name, "__class__", "more"):
        with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
            setattr(one, name, Made)
    with pytest.raises(FrozenInstanceError):
        delattr(one, fields(one)[0].name)
    assert not hasattr(one, "__dict__")


def test_what_is_equal_is_one_key() -> None:
    """What is not compared does not count."""
    statement = Statement("SELECT 1", parameters=(Parameter(23, 0, b"1"),), settings=(), prepared=())  # type: ignore[arg-type]
    assert len({statement, replace(statement), replace(statement, text="SELECT 2")}) == 2
    assert Decision(statement, Allow(), mark=1) == Decision(statement, Allow(), mark=2)


@ids
def test_copies_are_equal(one: Any) -> None:
    same = replace(one)
    assert type(same) is type(one) and same == one and copy.copy(one) == one
    if not isinstance(one, (Statement, Decision)):  # these hold views, which nobody pickles
        assert pickle.loads(pickle.dumps(one)) == one


def test_what_it_cannot_make_is_refused() -> None:
    """A base's fields or a __post_init__ would be left out."""
    with pytest.raises(TypeError):
        value(type("Derived", (Made,), {}))
    with pytest.raises(TypeError):
        value(type("Behind", (), {"__post_init__": print}))
