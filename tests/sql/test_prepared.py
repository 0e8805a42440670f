"""What a name may stand for is kept until the session ends, and no longer."""

from __future__ import annotations

from addons.sql import prepared
from addons.sql.prepared import Prepared


def test_every_text_is_kept() -> None:
    names = Prepared()
    names.learn("s", "p", "PREPARE p AS SELECT 1")
    names.learn("s", "p", "PREPARE p AS SELECT 2")
    names.learn("s", "p", "PREPARE p AS SELECT 1")
    assert len(tuple(names.texts("s", "p"))) == 2
    assert not names.texts("t", "p") and not names.texts("s", "q")
    names.forget("s")
    assert not names.texts("s", "p")


def test_what_is_too_much_becomes_unknown() -> None:
    """Nothing that was allowed under a name is forgotten while the name still counts as known."""
    names = Prepared()
    for n in range(9):
        names.learn("s", "p", f"PREPARE p AS SELECT {n}")
    assert not names.texts("s", "p")
    names.learn("s", "p", "PREPARE p AS SELECT 10")
    assert not names.texts("s", "p"), "the first ones still count"


def test_the_names_of_a_session_are_bounded(monkeypatch: object) -> None:
    monkeypatch.setattr(prepared, "_NAMES", 2)
    names = Prepared()
    for n in range(3):
        names.learn("s", f"p{n}", "x")
    assert names.texts("s", "p1") and not names.texts("s", "p2")
