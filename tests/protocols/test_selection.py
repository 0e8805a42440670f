"""Who and where, out of a user name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.selection import FORM, Selection, WrongForm, select

RIGHT = {
    ("ada@clinic", ""): Selection("ada", "clinic"),
    ("ada@clinic", "clinicdb"): Selection("ada", "clinic"),
    ("ada@clinic+ro", ""): Selection("ada", "clinic", "ro"),
    ("ada@corp.org@clinic+ro", ""): Selection("ada@corp.org", "clinic", "ro"),
    ("ada+test@corp.org@clinic", ""): Selection("ada+test@corp.org", "clinic"),
    ("nightly-report", "clinic"): Selection("nightly-report", "clinic"),
    ("nightly-report", "clinic+ro"): Selection("nightly-report", "clinic", "ro"),
    ("ada@corp.org", "clinic"): Selection("ada", "corp.org"),  # an "@" always splits; the database is one then
    ("jürgen@clinic", ""): Selection("jürgen", "clinic"),
}


@pytest.mark.parametrize(("given_pair", "selection"), RIGHT.items())
def test_the_right_forms(given_pair: tuple[str, str], selection: Selection) -> None:
    assert select(*given_pair) == selection


WRONG = [
    "", "ada", "@clinic", "ada@", "ada@+ro", "ada@clinic+", "ada@clinic+ro+rw", "ada@clinic+r o",
    "ada/x@clinic", "ada:clinic", "ada%clinic@x", "ada#1@clinic", "a|b@clinic", "a\\b@clinic", "a b@clinic", "@@",
    "ada@clin/ic", "ada@-clinic", "ada\n@clinic", "ada@clinic\n", "_ada@clinic", "a" * 256 + "@clinic", "ada@" + "c" * 64,
]  # fmt: skip


@pytest.mark.parametrize("user", WRONG)
def test_others_are_told_the_right_form(user: str) -> None:
    """And what they sent is not repeated: it may be a password in the wrong field."""
    with pytest.raises(WrongForm) as caught:
        select(user)
    assert FORM in str(caught.value) and (len(user) < 5 or user not in str(caught.value))


@pytest.mark.parametrize("user", ["ada:clinic", "ada/clinic", "ada%clinic", "ada#clinic", "ada clinic"])
def test_other_separators_are_refused_even_with_a_database(user: str) -> None:
    """They are another product's habit, not an identity."""
    with pytest.raises(WrongForm):
        select(user, "clinicdb")


@given(st.text(max_size=60), st.text(max_size=20))
def test_anything(user: str, database: str) -> None:
    """A selection whose parts hold no separator, or WrongForm."""
    try:
        chosen = select(user, database)
    except WrongForm:
        return
    assert "@" not in chosen.target and "+" not in chosen.target + chosen.account and chosen.identity
