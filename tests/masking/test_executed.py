"""What EXECUTE runs counts as if it were written there, and no plan shows a key."""

from __future__ import annotations

from typing import Any

from addons.masking.executed import _NAMES, Executed, Named
from tests.masking.test_lookups import Counts

from addons.masking import Masking
from protocols.command import Path, Statement
from protocols.hooks import ClosedHook, RewriteHook
from protocols.verdict import Allow, Deny, Replace
from tests.masking.gate import Catalogs, Gate, session
from tests.masking.test_attacks import MORE
from tests.servers import PostgresServer

LOOK = "SELECT id FROM public.patients WHERE mrn = $1"
SAME = "SELECT count(DISTINCT ssn) FROM public.patients"


def ask(addon: Masking, text: str, path: Path = Path.SIMPLE, name: str = "") -> Allow | Deny | Replace:
    answer = addon.on_rewrite(RewriteHook(session(), Statement(text, path, name=name)))
    return answer if isinstance(answer, (Allow, Deny, Replace)) else answer.result


def looking(server: PostgresServer, counts: Counts) -> Masking:
    columns = [
        {"relation": "public.patients", "column": "mrn", "lookup": True}, {"relation": "public.patients", "column": "ssn"},
    ]
    return Masking(columns=columns, catalogs=Catalogs(server.port), counts=counts, lookups_per_minute=3)


def test_a_lookup_by_execute_counts_as_itself(server: PostgresServer) -> None:
    """However often one string says it, and also by a statement that executes another."""
    counts = Counts()
    addon = looking(server, counts)
    assert isinstance(ask(addon, LOOK, Path.PARSE, "look"), Replace) and not counts.asked
    assert isinstance(ask(addon, "EXECUTE look('x')"), Allow) and set(counts.asked.values()) == {1}
    assert ask(addon, "EXECUTE look('x'); EXECUTE look('y'); EXECUTE look('z')").code == "OST-518"
    assert isinstance(ask(addon, "EXECUTE look('x')", Path.PARSE, "again"), Allow) and set(counts.asked.values()) == {4}
    assert ask(addon, "EXECUTE again").code == "OST-518" and ask(addon, "EXECUTE look($1)", Path.BIND).code == "OST-518"
    assert isinstance(ask(addon, "EXECUTE other"), Allow)


def test_a_name_counts_as_the_worst_that_it_stood_for(server: PostgresServer) -> None:
    """A Close in a pipeline that failed was never done."""
    counts = Counts()
    addon = looking(server, counts)
    ask(addon, LOOK, Path.PARSE, "look")
    ask(addon, "SELECT 1", Path.PARSE, "look")
    ask(addon, "EXECUTE look('x')")
    assert set(counts.asked.values()) == {1}
    addon.on_closed(ClosedHook(session()))
    ask(addon, "EXECUTE look('x')")
    assert set(counts.asked.values()) == {1}


def test_no_plan_shows_a_key(server: PostgresServer) -> None:
    addon = looking(server, Counts())
    assert isinstance(ask(addon, SAME, Path.PARSE, "same"), Replace)
    assert isinstance(ask(addon, f"PREPARE sql AS {SAME}"), Replace)
    assert isinstance(ask(addon, "SELECT ssn FROM public.patients", Path.PARSE, "plain"), Replace)
    ask(addon, LOOK, Path.PARSE, "look")
    for name in ("same", "sql", "look"):
        assert ask(addon, f"EXPLAIN (VERBOSE) EXECUTE {name}").code == "OST-502"
        assert isinstance(ask(addon, f"EXECUTE {name}"), Allow)
    assert isinstance(ask(addon, "EXPLAIN EXECUTE plain"), Allow) and isinstance(ask(addon, "EXPLAIN EXECUTE unknown"), Allow)


def test_a_plan_is_not_shown_by_a_detour() -> None:
    executed = Executed()
    executed.learn("s", "key", Named(hidden=True))
    executed.learn("s", "shows", Named(explains=frozenset({"runs"})))
    executed.learn("s", "runs", Named(executes=frozenset({"key", "runs"})))
    assert executed.hidden("s", ["shows"], []) and executed.hidden("s", [], ["runs"]) and executed.hidden("s", [], ["key"])
    assert not executed.hidden("s", ["key"], []) and not executed.hidden("other", ["shows"], ["key"])


def test_more_names_than_are_kept_look_up() -> None:
    executed = Executed()
    for number in range(_NAMES):
        executed.learn("s", f"n{number}", Named(lookups=2))
    executed.learn("s", "one more", Named(lookups=3))
    assert executed.lookups("s", ["n1", "one more"]) == 3 and executed.hidden("s", [], ["whatever"])


def test_what_comes_by_the_name_of_a_rewritten_text_is_no_alarm(wide: PostgresServer, columns: list[dict[str, Any]]) -> None:
    """A prepared statement's, a cursor's: their row types are NULL since they were masked at their source."""
    addon = Masking(columns=[*columns, *MORE], catalogs=Catalogs(wide.port, "wide"))
    gate = Gate(addon, wide.port, session(database="wide"), "wide")
    for text in (
        "PREPARE brought AS SELECT * FROM audit_log", "EXECUTE brought", "BEGIN", "DECLARE c CURSOR FOR SELECT * FROM audit_log",
        "FETCH ALL c", "ROLLBACK", "DEALLOCATE brought",
    ):  # fmt: skip
        assert [(result.alarm, result.error) for result in gate.run(text) if result.alarm or result.error] == [], text
    gate.close()
    executed = Executed()
    executed.rewritten("s", Statement("DECLARE c CURSOR FOR SELECT 1"))
    executed.rewritten("s", Statement("SELECT 1", Path.PARSE, name="p"))
    assert executed.brings("s", Statement("FETCH c")) and executed.brings("s", Statement("EXECUTE p")) and not executed.brings("s", Statement("FETCH d"))
    assert not executed.brings("t", Statement("FETCH c"))
    executed.forget("s")
    assert not executed.brings("s", Statement("FETCH c"))
