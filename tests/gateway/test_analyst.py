"""The analyst's process: it answers as the worker would, keeps to itself, and can take nothing along when it ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from addons import rows
from addons.approval import Plumbing
from addons.masking.clear import Clearing
from addons.masking.declared import declarations
from addons.masking.executed import Naming
from addons.masking.freshness import Changing, Making
from addons.masking.questions import Issuing, Judging, Reading
from addons.masking.judgement import UnknownNames
from addons.sql.assess import Assessor
from addons.sql.guard import Uncountable
from addons.sql.parcels import parcels
from addons.sql.parse import Unparsable
from addons.sql.questions import Assessing, Stepping
from addons.sql.settings import Gate
from gateway.analyst import LENGTH, Analyst, framed
from gateway.boot import environment
from gateway.hired import unpickled
from tests.sql.little import snapshot

SNAPSHOT = snapshot()
MASKED = declarations([{"relation": "public.patients", "column": "ssn"}, {"relation": "public.patients", "column": "mrn"}])
LONG = ", ".join(["123456"] * 20_000)


class Process:
    """One of them, spoken to as a worker does."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "gateway.analyst"]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(os.environ))

    def send(self, *frame: Any) -> None:
        self.popen.stdin.write(framed(frame))
        self.popen.stdin.flush()

    def answer(self) -> tuple[bool, Any]:
        (length,) = LENGTH.unpack(self.popen.stdout.read(LENGTH.size))
        return unpickled(self.popen.stdout.read(length))

    def ask(self, *questions: Any, revision: str = "") -> tuple[bool, Any]:
        self.send("ask", questions, revision)
        return self.answer()

    def end(self) -> tuple[int, bytes]:
        """Close its input; its exit status and all that it said besides answers."""
        _, said = self.popen.communicate(timeout=30)
        return self.popen.returncode, said


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    made = Process()
    for parcel in parcels(SNAPSHOT):
        made.send("parcel", SNAPSHOT.revision, parcel)
    made.send("catalog", SNAPSHOT.revision)
    yield made
    made.end()


def judging(text: str, *masked: Any) -> Judging:
    return Judging(text, SNAPSHOT.revision, masked or MASKED, False, frozenset(), frozenset(), ())


ASSESSOR = Assessor(["listed"], Gate(), frozenset({"patients"}))
QUESTIONS = [
    judging(f"SELECT id FROM departments WHERE id IN ({LONG})"),
    judging(f"SELECT ssn, id FROM patients WHERE id IN ({LONG})"),
    judging(f"SELECT id FROM patients WHERE ssn > 'x' AND id IN ({LONG})"),
    judging(f"SELECT 1 FROM nowhere WHERE id IN ({LONG})"),
    judging("SELEC"),
    Reading("SELECT ssn FROM patients", SNAPSHOT.revision, MASKED, MASKED[1:], frozenset()),
    Issuing("UPDATE patients SET ssn = '***'", SNAPSHOT.revision, MASKED, frozenset(), (), ()),
    Issuing("EXECUTE p", "", MASKED, frozenset(), (("p", "UPDATE patients SET ssn = $1"),), ((1, b"***"),)),
    Clearing("SELECT ssn FROM patients", SNAPSHOT.revision, MASKED, frozenset(), (), True, False),
    Clearing("DO 'x'", SNAPSHOT.revision, MASKED, frozenset(), (), True, False),
    Naming("PREPARE p AS SELECT 1; DECLARE c CURSOR FOR SELECT 1"),
    Making("CREATE TABLE fresh (id int)"), Making("SELECT 1"), Changing("ALTER TABLE a RENAME TO b; CREATE VIEW v AS SELECT f() FROM a"),
    Stepping("SET search_path = other; BEGIN", SNAPSHOT.revision), Stepping("SELEC", SNAPSHOT.revision),
    Assessing(f"DELETE FROM patients WHERE id IN ({LONG}); DROP TABLE twin", SNAPSHOT.revision, ASSESSOR, False),
    Assessing("SELEC", SNAPSHOT.revision, ASSESSOR, False),
    rows.Asking(f"DELETE FROM patients WHERE id IN ({LONG})"), rows.Planning(f"SELECT 1 WHERE 1 IN ({LONG}); BEGIN"),
    rows.Calling("SELECT secret_of(1)", SNAPSHOT.revision, ASSESSOR), rows.Calling("SELEC", SNAPSHOT.revision, ASSESSOR),
    rows.Guarding(f"DELETE FROM patients WHERE id IN ({LONG})", 5, SNAPSHOT.revision),
    rows.Guarding("MERGE INTO patients p USING twin t ON p.id = t.id WHEN MATCHED THEN DELETE", 5, SNAPSHOT.revision),
    Plumbing("BEGIN"), Plumbing("SELECT 1"),
]


def comparable(answer: Any) -> Any:
    """Of exceptions what they say; a statement's key is new each time."""
    if isinstance(answer, (UnknownNames, Unparsable, Uncountable)):
        return type(answer), vars(answer)
    return answer


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: f"{type(question).__name__} {question.text[:40]}")
def test_it_answers_as_the_worker_would(question: Any, process: Process) -> None:
    sound, [answer] = process.ask(question, revision=SNAPSHOT.revision)
    assert sound and comparable(answer) == comparable(question.answer(SNAPSHOT))


def test_several_questions_are_answered_in_order(process: Process) -> None:
    assert process.ask(Making("CREATE TABLE a (id int)"), Making("SELECT 1")) == (True, [frozenset({"a"}), None])


def test_a_bug_is_named_by_its_class_and_tells_no_value(process: Process) -> None:
    """Misdeclared names a column; nobody asks so, since the worker knows before."""
    wrong = declarations([{"relation": "public.patients", "column": "canary"}])
    assert process.ask(judging("SELECT ssn FROM patients", *wrong), revision=SNAPSHOT.revision) == (False, "Misdeclared")
    assert process.ask(Making("SELECT 1"), revision="unheard of") == (False, "KeyError")
    assert process.ask(Making("SELECT 1")) == (True, [None])


def test_it_ends_with_its_workers_end_of_the_pipe_and_says_nothing() -> None:
    made = Process()
    assert made.ask(Stepping("SELEC 'canary'", ""))[0]
    assert made.end() == (0, b"")


def test_signals_for_the_house_are_not_its_own() -> None:
    """Ctrl-C reaches the whole group; a statement that is being read then is still answered."""
    made = Process()
    assert made.ask(Making("SELECT 1"))[0]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        made.popen.send_signal(number)
    assert made.ask(Making("SELECT 1"))[0]
    made.end()


def test_it_keeps_the_catalogs_that_were_asked_about_last() -> None:
    from gateway.analyst import SNAPSHOTS

    analyst = Analyst()

    def tell(revision: str) -> None:
        for parcel in parcels(SNAPSHOT):
            analyst.hear(("parcel", revision, parcel))
        analyst.hear(("catalog", revision))

    def knows(revision: str) -> bool:
        return analyst.hear(("ask", [Making("SELECT 1")], revision)) == (True, [None])

    for number in range(SNAPSHOTS):
        tell(str(number))
    assert knows("0")
    tell("new")
    assert knows("0") and knows("new") and not knows("1")


@dataclass
class Foreign:
    """A class of neither addons nor vocabulary."""


class Acts:
    def __init__(self, call: Any, *arguments: Any) -> None:
        self._reduced = call, arguments

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.mark.parametrize("said", [
    Foreign(), Acts(print, "x"), Acts(getattr, Unparsable, "why"), Acts(subprocess.Popen, ["true"]), Acts(framed, ()), Acts(eval, "1"),
    Acts(Assessor.assess, ASSESSOR, "SELECT 1"),
])  # fmt: skip
def test_what_it_says_can_call_nothing(said: Any) -> None:
    """It has read what strangers wrote: an analyst that one of them took over can only lie about statements."""
    with pytest.raises(Exception, match=r"\.") as refused:
        unpickled(pickle.dumps((True, [said])))
    assert isinstance(refused.value, pickle.UnpicklingError)


def test_a_name_that_a_module_of_ours_imports_is_not_ours() -> None:
    """`addons.sql.analysis.OrderedDict` is the library's class under our name."""
    for name in (b"OrderedDict", b"Deferred", b"Analysis.of"):
        with pytest.raises((pickle.UnpicklingError, AttributeError)):
            unpickled(b"\x80\x04\x8c\x13addons.sql.analysis\x8c" + bytes([len(name)]) + name + b"\x93.")


def test_what_is_no_pickle_at_all_is_no_answer() -> None:
    for body in (b"", b"x", pickle.dumps(7), pickle.dumps((True, 1, 2)), b"\x80\x04"):
        with pytest.raises(Exception):  # noqa: B017  (`Hired` catches whatever it is)
            unpickled(body)
