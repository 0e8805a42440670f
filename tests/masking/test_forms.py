"""Wherever a query's form is judged in its place, the query itself would have been judged alike: over every text we have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from addons.masking import Masking
from addons.masking.judgement import Judgement, UnknownNames
from addons.policy import Policy
from addons.sql.form import filled, form
from addons.sql.parse import parse
from addons.sql.shape import shape
from protocols.command import Statement
from protocols.verdict import Allow
from tests.masking.attempts.launderings import LAUNDERINGS
from tests.masking.attempts.oracles import ORACLES
from tests.masking.attempts.policies import POLICIES
from tests.masking.attempts.values import VALUES
from tests.masking.conftest import CORPUS
from tests.masking.gate import Catalogs, session
from tests.masking.queries import Queries
from tests.masking.test_attacks import MORE
from tests.masking.test_random import tables
from tests.servers import PostgresServer

RANDOM = 600


def texts(wide: PostgresServer) -> Iterator[str]:
    for name in ("bypass", "benign", "dangerous"):
        for line in (CORPUS / "postgres" / f"{name}.jsonl").read_text().splitlines():
            yield from json.loads(line)["sql"]
    for attempt in (*VALUES, *ORACLES, *LAUNDERINGS, *POLICIES):
        yield from (step for step in attempt.steps if isinstance(step, str))
    queries = Queries(tables(wide), seed=4)
    for _ in range(RANDOM):
        yield from queries.asked()


@pytest.fixture
def formed(corpus: ModuleType, wide: PostgresServer) -> list[tuple[Statement, Statement]]:
    every = [Statement(text) for text in dict.fromkeys(texts(wide))]
    found = [(one, form(one)) for one in every]
    return [(one, its) for one, its in found if its is not None]


def judging(wide: PostgresServer, columns: list[dict[str, Any]]) -> Callable[[Statement], Judgement | None]:
    """What masking says of a statement as it is written; None where it names what the catalog does not have."""
    catalogs, who = Catalogs(wide.port, "wide"), session(database="wide")
    addon = Masking(columns=[*columns, *MORE], catalogs=catalogs)
    catalogs.refresh(who)

    def judge(statement: Statement) -> Judgement | None:
        try:
            return addon._judged_as_written(who, statement, catalogs.snapshot(who), addon._scope.masked(who))
        except UnknownNames:
            return None

    return judge


def test_a_form_that_is_clean_stands_for_clean_texts(
    formed: list[tuple[Statement, Statement]], wide: PostgresServer, columns: list[dict[str, Any]]
) -> None:
    judge, stood, wrong = judging(wide, columns), 0, []
    for written, its in formed:
        judged = judge(its)
        if judged is not None and judged.clean:
            stood += 1
            exact = judge(written)
            if exact is None or not exact.clean:
                wrong.append((written.text, exact))
    assert not wrong and stood > 50, (stood, wrong[:5])


def test_what_is_made_of_a_form_is_what_is_made_of_its_texts(
    formed: list[tuple[Statement, Statement]], wide: PostgresServer, columns: list[dict[str, Any]]
) -> None:
    """To the letter of the tree: with its literals in it again, it is what rewriting the text itself gives."""
    judge, stood, wrong = judging(wide, columns), 0, []
    for written, its in formed:
        judged = judge(its)
        text = filled(judged.verdict.text, written) if judged is not None and judged.rewritten else None
        if text is not None:
            stood += 1
            exact = judge(written)
            if exact is None or not exact.rewritten or exact.verdict.columns != judged.verdict.columns or _shape(exact.verdict.text) != _shape(text):
                wrong.append((written.text, exact, text))
    assert not wrong and stood > 50, (stood, wrong[:5])


def _shape(text: str) -> bytes:
    return shape(parse(text).data())


def test_a_form_that_policy_allows_stands_for_allowed_texts(
    formed: list[tuple[Statement, Statement]], wide: PostgresServer
) -> None:
    catalogs, who = Catalogs(wide.port, "wide"), session(database="wide")
    catalogs.refresh(who)
    addon = Policy(default={"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}, catalogs=catalogs)
    stood, wrong = 0, []
    for written, its in formed:
        ruling = addon._ruling_of_form(who, its)
        if ruling is not None:
            stood += 1
            rulings = addon.explain(who, written)
            if any(one.verdict != "allow" for one in rulings):
                wrong.append((written.text, rulings))
            assert isinstance(addon._verdict(ruling, who, written), Allow)
    assert not wrong and stood > 300, (stood, wrong[:5])
