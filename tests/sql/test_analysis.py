"""What is asked about long texts: whose answers count, for how long they are kept, and which texts are long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from addons.sql import analysis as module
from addons.sql.analysis import DATA, LONG, Analysis, Unanswered, Wanted, code
from addons.sql.catalog import Snapshot
from protocols.session import Identity, Session, Target
from protocols.verdict import Deny
from tests.sql.later import Later


@dataclass(frozen=True)
class Upper:
    """What is it in capitals?"""

    text: str
    revision: str = ""

    def answer(self, _snapshot: Snapshot | None) -> str:
        return self.text.upper()


def session(name: str = "s") -> Session:
    return Session(name, Identity("ada"), Target("t", "postgres", "h", 1), "rw", "d", "p")


def got(answer: Any) -> list[Any]:
    assert isinstance(answer, Deferred)
    found: list[Any] = []
    answer.addBoth(found.append)
    return found


def test_whoever_asks_runs_again_once_it_is_known() -> None:
    later = Later()
    analysis = Analysis(later)
    answer = got(analysis.when_known(session(), lambda: analysis.of(session(), Upper("a")) + analysis.of(session(), Upper("b"))))
    assert answer == [] and [one[1] for one in later.asked] == [[Upper("a")]]
    later.answer()
    later.answer()
    assert answer == ["AB"]
    assert analysis.when_known(session("other"), lambda: analysis.of(session("other"), Upper("a"))) == "A"


def test_an_answer_to_another_question_is_never_taken() -> None:
    """What was asked by the old revision is not what is asked by the new one."""
    later, revision = Later(), ["1"]
    analysis = Analysis(later)
    answer = got(analysis.when_known(session(), lambda: analysis.of(session(), Upper("a", revision[0]))))
    revision[0] = "2"
    later.answer()
    assert answer == [] and later.asked[0][1] == [Upper("a", "2")]
    later.answer()
    assert answer == ["A"]


def test_only_what_is_not_known_is_asked() -> None:
    later = Later()
    analysis = Analysis(later)
    got(analysis.when_known(session(), lambda: analysis.of(session(), Upper("a"))))
    later.answer()
    with pytest.raises(Wanted) as wanted:
        analysis.all(session(), (Upper("a"), Upper("b")))
    assert wanted.value.questions == [Upper("b")]


def test_what_a_command_is_decided_by_outlives_all_that_others_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command may be held for minutes; what is kept for everybody is bounded by characters."""
    monkeypatch.setattr(module, "KEPT", 10)
    later = Later()
    analysis = Analysis(later)

    def ask(who: str, text: str) -> Any:
        answer = analysis.when_known(session(who), lambda: analysis.of(session(who), Upper(text)))
        later.answer_all()
        return answer

    ask("held", "a" * 6)
    ask("other", "b" * 6)
    assert analysis.of(session("held"), Upper("a" * 6)) == "A" * 6
    assert later.count == 2 and sum(len(question.text) for question in analysis._kept) <= 10
    assert analysis.meant(session("held")) == {Upper("a" * 6): "A" * 6}
    analysis.settle(session("held"))
    assert analysis.meant(session("held")) == {} and analysis.known(session("held"), Upper("a" * 6), None) is None
    ask("held", "a" * 6)
    assert later.count == 3


@pytest.mark.parametrize(("begun", "code", "sqlstate"), [(True, "OST-216", "54001"), (False, "OST-215", "53400")])
def test_no_answer_is_a_refusal_with_its_code(begun: bool, code: str, sqlstate: str) -> None:
    later = Later()
    analysis = Analysis(later)
    answer = got(analysis.when_known(session(), lambda: analysis.of(session(), Upper("canary"))))
    later.fail(Unanswered(begun))
    assert isinstance(answer[0], Deny) and (answer[0].code, answer[0].sqlstate) == (code, sqlstate) and "canary" not in repr(answer[0])


def test_a_bug_of_an_analyst_is_the_pipelines_to_refuse() -> None:
    later = Later()
    analysis = Analysis(later)
    answer = got(analysis.when_known(session(), lambda: analysis.of(session(), Upper("a"))))
    later.fail(KeyError("x"))
    assert answer[0].check(KeyError)


def test_without_analysts_nothing_is_long() -> None:
    assert not Analysis(None).long("x" * (1 << 20)) and Analysis(Later()).long("x" * (LONG + 1)) and not Analysis(Later()).long("x" * LONG)


@pytest.mark.parametrize(("text", "outside"), [
    ("SELECT 'abc'", 7), ("SELECT 'it''s' FROM t", 14), ('SELECT "a" = \'{"k": 1}\'', 13), ("", 0), ("SELECT 1", 8),
    ("SELECT 'abc", 11), ('SELECT "it\'s" = \'x\'', 19), ("SELECT $$'$$, 'x'", 17), ("SELECT 1 -- 'x\n, 'x'", 20), ("SELECT /*'*/ 'x'", 16),
    (r"SELECT E'\'', 'x'", 17), ("SELECT $1 = 'abc'", 17),
])  # fmt: skip
def test_what_stands_in_plain_literals_costs_nothing(text: str, outside: int) -> None:
    """Where a quote may be something else all of it counts."""
    assert code(text) == outside


def test_a_document_in_a_literal_is_analysed_at_once() -> None:
    analysis = Analysis(Later())
    assert not analysis.long(f"INSERT INTO t VALUES ('{'{}, ' * 2000}')")
    assert analysis.long(f"INSERT INTO t VALUES ('{'x' * DATA}')")
    assert analysis.long(f"SELECT {'1, ' * LONG}'x'")
