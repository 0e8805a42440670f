"""Policy's answers: allow-lists, the strictest part of a string, stable codes, no values."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest

from addons.policy import Policy, hold_mode
from addons.sql.catalog import Function
from addons.sql.kinds import CLASSES
from addons.sql.settings import Settings
from twisted.internet.defer import Deferred

from protocols.command import FunctionCall, Path, Statement, Transaction
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook, OutcomeHook
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Hold

STRICT = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}
CLINIC = [
    {"name": "privileged-writes", "classes": ["write-unfiltered", "ddl"], "verdict": "approve", "approvers": ["approvers"]},
    {"name": "no-drop", "classes": ["ddl-destructive"], "verdict": "deny", "reason": "DROP is done by migrations"},
]
EVERYTHING = dict.fromkeys(CLASSES, "allow")
TARGET = Target("clinic", "postgres", "h", 5432)


def session(kind: str = "human", groups: tuple[str, ...] = (), name: str = "s") -> Session:
    return Session(name, Identity("ada", kind, frozenset(groups)), TARGET, "rw", "clinic", "p")


def ask(policy: Policy, text: str, who: Session | None = None, **more: object) -> object:
    return policy.on_judge(JudgeHook(who or session(), Statement(text, **more), text))


def run(policy: Policy, text: str, who: Session | None = None, **more: object) -> object:
    """Ask, and tell what was decided, as the pipeline does."""
    who, command = who or session(), Statement(text, **more)
    verdict = policy.on_judge(JudgeHook(who, command, text))
    decision = Decision(command, verdict if isinstance(verdict, Deny) else Allow(), text)
    policy.on_decided(DecidedHook(who, decision))
    policy.on_outcome(OutcomeHook(who, decision, Outcome(Ending.COMPLETE, transaction="I")))
    return verdict


@pytest.mark.parametrize(("text", "code"), [
    ("SELECT 1", None), ("", None), (";", None), ("DELETE FROM t WHERE id = 1", None), ("BEGIN", None), ("SET statement_timeout = 5", None),
    ("DROP TABLE t", "OST-200"), ("SELEC 1", "OST-201"), ("DELETE FROM t", "OST-204"), ("SELECT f()", "OST-205"), ("SET log_statement = none", "OST-206"),
    ("EXECUTE q", "OST-209"), ("SELECT 1; DROP TABLE t", "OST-200"), ("BEGIN; DELETE FROM t; COMMIT", "OST-204"), ("SELECT pg_read_file('x')", "OST-200"),
])
def test_what_is_not_named_is_denied_with_a_stable_code(text: str, code: str | None) -> None:
    """A string is decided whole, by its strictest part."""
    verdict = ask(Policy(default=STRICT), text)
    assert isinstance(verdict, Allow) if code is None else verdict.code == code


def test_refusals_say_what_to_do_and_hold_no_value() -> None:
    policy = Policy(default=STRICT, rules=CLINIC)
    for text in ("DELETE FROM t WHERE a <> 'canary'", "SELECT f('canary')", "SELEC 'canary'", "SET log_statement = 'canary'", "DROP TABLE t"):
        verdict = ask(policy, text)
        assert "canary" not in repr(verdict)
    refused = ask(policy, "DROP TABLE t")
    assert (refused.reason, refused.rule, refused.code) == ("DROP is done by migrations", "no-drop", "OST-203")
    assert "WHERE" in ask(Policy(default=STRICT), "DELETE FROM t").hint
    assert "operator for a rule" in ask(Policy(default=STRICT), "DROP TABLE t").hint
    assert ask(policy, "SELECT f()").facts == (("class", "function-unlisted"),)


def test_who_is_refused_is_told_which_of_the_rules_names_the_statement_has() -> None:
    """As it has them; of what else is in the rule nothing."""
    rule = {"name": "r", "relations": ["salaries", "hr.bonus"], "columns": ["iban", "ssn"], "reason": "not here"}
    policy = Policy(default=STRICT, rules=[{**rule, "verdict": "deny"}])
    for text, said, facts in (
        ("SELECT ssn, name FROM Salaries", "not here (it names salaries, ssn)", (("relations", "salaries"), ("columns", "ssn"))),
        ("SELECT * FROM hr.bonus b JOIN t ON true", "not here (it names hr.bonus, *)", (("relations", "hr.bonus"), ("columns", "*"))),
    ):
        refused = ask(policy, text)
        assert (refused.reason, refused.facts) == (said, (("class", "read"), *facts)), text
    held = ask(Policy(default=STRICT, rules=[{**rule, "reason": "", "verdict": "approve", "approvers": ["hr"]}]), "SELECT iban FROM salaries")
    assert "(it names salaries, iban)." in held.reason


def test_where_rules_allow_relations_who_is_refused_is_told_which_of_the_statements_none_of_them_has() -> None:
    """Nothing where each is allowed by some rule, and none by one rule alone; nor where nothing is allowed by its relations."""
    allows = [{"name": name, "classes": ["read"], "relations": [name], "verdict": "allow"} for name in ("reports", "public.visits")]
    policy = Policy(default={"read": "deny"}, rules=allows)
    refused = ask(policy, "SELECT * FROM reports, Payroll, hr.visits")
    assert refused.reason.endswith(" (no rule allows hr.visits, payroll)") and refused.facts == (("class", "read"), ("relations", "hr.visits, payroll"))
    assert "no rule allows" not in ask(policy, "SELECT * FROM reports, public.visits").reason
    assert "no rule allows" not in ask(policy, "DELETE FROM payroll WHERE id = 1").reason
    assert "no rule allows" not in ask(Policy(default={"read": "deny"}), "SELECT * FROM payroll").reason


def test_approve_becomes_a_hold_for_people() -> None:
    """The mode fits who asks and where: a person at a prompt waits, everybody else comes back."""
    policy = Policy(default=STRICT, rules=CLINIC)
    held = ask(policy, "UPDATE t SET a = 1")
    assert isinstance(held, Hold) and (held.rule, held.mode, held.approvers) == ("privileged-writes", "hold", frozenset({"approvers"}))
    assert ask(policy, "UPDATE t SET a = 1", transaction=Transaction.OPEN).mode == "retry"
    assert ask(policy, "UPDATE t SET a = 1", pipelined=True).mode == "retry"
    assert ask(policy, "UPDATE t SET a = 1", session("agent", name="a")).mode == "retry"
    assert ask(policy, "UPDATE t SET a = 1", session("workload", name="w")).mode == "retry"
    assert hold_mode("hold", session("agent"), Statement("x", transaction=Transaction.OPEN)) == "hold"


def test_parse_is_never_held_and_never_remembered_when_bind_would_be() -> None:
    policy = Policy(default=STRICT, rules=CLINIC)
    assert ask(policy, "UPDATE t SET a = 1", path=Path.PARSE) == Allow("privileged-writes", remember=False)
    assert isinstance(ask(policy, "UPDATE t SET a = 1", path=Path.BIND), Hold)
    assert isinstance(ask(policy, "DROP TABLE t", path=Path.PARSE), Deny)


def test_a_refusal_wins_over_an_approval_in_one_string() -> None:
    assert isinstance(ask(Policy(default=STRICT, rules=CLINIC), "UPDATE t SET a = 1; DROP TABLE t"), Deny)


def test_every_class_of_a_statement_must_be_allowed() -> None:
    """A rule for DDL does not allow what the DDL contains."""
    policy = Policy(default=STRICT, rules=[{"name": "ddl", "classes": ["ddl"], "verdict": "allow"}])
    assert isinstance(ask(policy, "CREATE TABLE x AS SELECT 1"), Allow)
    assert isinstance(ask(policy, "CREATE TABLE x AS SELECT pg_read_file('y')"), Deny)
    assert isinstance(ask(Policy(default={"ddl": "allow"}), "CREATE TABLE x AS SELECT 1"), Deny)


def test_rules_are_by_who_and_by_what() -> None:
    policy = Policy(default=STRICT, rules=[
        {"name": "agents", "kinds": ["agent"], "relations": ["patients"], "verdict": "deny"},
        {"name": "dba", "groups": ["dba"], "classes": ["maintenance"], "verdict": "allow"},
    ])
    assert isinstance(ask(policy, "SELECT * FROM public.patients", session("agent", name="a")), Deny)
    assert isinstance(ask(policy, "SELECT * FROM public.patients"), Allow)
    assert ask(policy, "VACUUM", session(groups=("dba",), name="d")) == Allow("dba", remember=True)
    assert isinstance(ask(policy, "VACUUM"), Deny)


def test_hours_are_never_remembered() -> None:
    rules = [{"name": "day", "classes": ["ddl"], "hours": "08:00-18:00", "verdict": "allow"}]
    policy = Policy(default=STRICT, rules=rules, now=lambda: datetime.datetime(2026, 11, 23, 12))
    assert ask(policy, "CREATE TABLE t (a int)") == Allow("day", remember=False)
    assert ask(policy, "SELECT 1").remember
    late = Policy(default=STRICT, rules=rules, now=lambda: datetime.datetime(2026, 11, 23, 20))
    assert isinstance(ask(late, "CREATE TABLE t (a int)"), Deny)


def test_one_timed_part_makes_the_whole_answer_timed() -> None:
    """A string whose other statement is allowed at all hours is asked again, and refused in the evening."""
    now = [datetime.datetime(2026, 11, 23, 12)]
    rules = [{"name": "day", "classes": ["ddl"], "hours": "08:00-18:00", "verdict": "allow"}]
    policy = Policy(default=STRICT, rules=rules, now=lambda: now[0])
    assert ask(policy, "SELECT 1; CREATE TABLE t (a int)") == Allow(remember=False)
    now[0] = datetime.datetime(2026, 11, 23, 20)
    assert isinstance(ask(policy, "SELECT 1; CREATE TABLE t (a int)"), Deny)


def test_remembered_rulings_are_of_one_set_of_rules() -> None:
    """What was ruled for one identity is not answered to another whom other rules fit."""
    policy = Policy(default=STRICT, rules=[{"name": "no", "groups": ["g"], "relations": ["t"], "verdict": "deny"}])
    for _ in range(2):
        assert isinstance(ask(policy, "SELECT * FROM t", session(name="a")), Allow)
        assert isinstance(ask(policy, "SELECT * FROM t", session(groups=("g",), name="b")), Deny)
        assert isinstance(ask(policy, "SELECT * FROM t", session(name="c")), Allow)


def test_execute_is_judged_as_what_was_prepared() -> None:
    """By SQL's PREPARE, in one string, by protocol, and not at all when nobody saw it."""
    policy = Policy(default={**STRICT, "write-unfiltered": "allow"})
    assert isinstance(run(policy, "PREPARE p AS DELETE FROM t"), Allow)
    policy_strict = Policy(default=STRICT)
    assert isinstance(run(policy_strict, "PREPARE p AS DELETE FROM t"), Deny)
    unknown = run(policy_strict, "EXECUTE p")
    assert (unknown.code, unknown.sqlstate) == ("OST-209", "26000")  # as the server's own answer: drivers prepare again
    assert isinstance(run(policy_strict, "PREPARE p AS SELECT 1"), Allow)
    assert run(policy_strict, "EXECUTE p") == Allow(remember=False)
    assert isinstance(run(policy_strict, "EXECUTE \"P\""), Deny)
    assert isinstance(run(policy_strict, "PREPARE z AS SELECT 2; EXECUTE z"), Allow)
    assert isinstance(run(policy_strict, "EXECUTE n", prepared={"n": "SELECT 1"}), Allow)
    assert run(policy_strict, "EXECUTE n", prepared={"n": "DELETE FROM t"}).code == "OST-204"
    assert isinstance(run(policy_strict, "EXECUTE p", session(name="other")), Deny)
    policy_strict.on_closed(ClosedHook(session()))
    assert isinstance(run(policy_strict, "EXECUTE p"), Deny)


def test_rules_reach_a_prepared_statement_through_its_execute() -> None:
    policy = Policy(default=STRICT, rules=[{"name": "w", "classes": ["write"], "verdict": "approve", "approvers": ["a"]}])
    assert isinstance(run(policy, "PREPARE p AS DELETE FROM t WHERE id = 1"), Hold)
    assert isinstance(run(policy, "EXECUTE p"), Hold)


def test_rules_about_relations_reach_it_too_when_they_came_after_it_was_prepared() -> None:
    """The settings that say what was prepared outlive a reload of the rules."""
    settings = Settings()
    assert isinstance(run(Policy(default=STRICT, settings=settings), "PREPARE p AS SELECT a FROM t"), Allow)
    later = Policy(default=STRICT, settings=settings, rules=[{"name": "no t", "relations": ["t"], "columns": ["a"], "statements": ["execute"], "verdict": "deny"}])
    assert run(later, "EXECUTE p").rule == "no t" and isinstance(run(later, "SELECT a FROM t"), Allow)


def test_what_a_text_prepares_and_sets_is_learnt_of_every_session_that_sends_it() -> None:
    """Texts of which nothing is learnt are known by themselves; these are not among them, however often they come."""
    settings = Settings()
    policy = Policy(default=STRICT, settings=settings)
    for name in ("a", "b", "a"):
        who = session(name=name)
        for text in ("SELECT 1", "PREPARE p AS SELECT 1", "SET search_path = public", "SELECT 1"):
            run(policy, text, who)
        assert list(settings.prepared.texts(name, "p")) == ["PREPARE p AS SELECT 1"] and settings.search_path(who) == ("public",)


def test_a_name_of_the_protocol_cannot_be_prepared_again_in_sql() -> None:
    """DEALLOCATE s; PREPARE s AS ...; Bind s would run one text under the verdict on another; asked in any order."""
    policy = Policy(default=STRICT)
    text = "PREPARE s AS SELECT 2"
    assert isinstance(ask(policy, text), Allow)
    assert ask(policy, text, prepared={"s": "SELECT 1"}).code == "OST-209"
    assert isinstance(ask(policy, text), Allow)


def test_text_under_settings_that_change_its_meaning_is_refused() -> None:
    policy = Policy(default=STRICT)
    verdict = ask(policy, "SELECT 1", settings={"standard_conforming_strings": "off"})
    assert verdict.code == "OST-207"
    assert ask(policy, "SELECT 1", settings={"client_encoding": "SJIS"}).code == "OST-207"


@pytest.mark.parametrize("text", [
    "SET standard_conforming_strings = off", "BEGIN; SET LOCAL standard_conforming_strings TO 'f'", "SET client_encoding TO 'EUC_JP'",
    "SET NAMES 'sjis'", "SELECT set_config('client_encoding', 'BIG5', true)", "SELECT 1; SELECT set_config('standard_conforming_strings', 'off', false)",
])
def test_what_would_end_the_session_is_refused_whatever_is_allowed(text: str) -> None:
    """The server would report it, and the session would have to end; before it does nothing is lost by saying no."""
    policy = Policy(default=EVERYTHING)
    assert [ask(policy, text, path=path).code for path in (Path.SIMPLE, Path.PARSE, Path.SIMPLE)] == ["OST-207"] * 3


@pytest.mark.parametrize("text", [
    "SET client_encoding TO 'nonsense'", "SET standard_conforming_strings TO nonsense", "SET client_encoding TO latin1", "RESET client_encoding",
    "SET standard_conforming_strings TO DEFAULT", "ALTER ROLE ada SET client_encoding = 'SJIS'", "ALTER DATABASE d SET standard_conforming_strings = off",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET standard_conforming_strings = off AS 'SELECT 1'",
])
def test_what_ends_no_session_is_the_servers_to_refuse(text: str) -> None:
    assert isinstance(ask(Policy(default=EVERYTHING), text), Allow)


class Catalogs:
    """One function, by OID and by name."""

    def __init__(self) -> None:
        functions = [
            Function(1, "public", "purge", "f", "v", "sql", False, False, 23, (), 0, False, "DELETE FROM t"),
            Function(2, "pg_catalog", "lo_open", "f", "v", "internal", False, False, 23, (), 0, False),
            Function(3, "pg_catalog", "length", "f", "i", "internal", False, False, 23, (25,), 1, False),
        ]
        self.found = SimpleNamespace(
            revision="1", relations={}, functions={f.oid: f for f in functions}, operators={}, by_function_name={f.name: (f,) for f in functions},
            named=lambda schema, name: (), runs={}, type_runs={}, defaults={}, aggregates={}, policies={},
        )

    def snapshot(self, session: Session) -> object:
        return self.found

    def standing(self, session: Session) -> object:
        found = self.snapshot(session)
        return found and found.revision, self.stale(session)

    def stale(self, session: Session) -> bool:
        return False


class Unread(Catalogs):
    """Nobody has asked for it yet."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: Deferred[object] = Deferred()

    def snapshot(self, session: Session) -> object:
        return None

    def refresh(self, session: Session) -> Deferred[object]:
        return self.reading


def call(policy: Policy, oid: int) -> object:
    return policy.on_judge(JudgeHook(session(), FunctionCall(oid), ""))


def test_who_is_allowed_everything_waits_for_no_reading_of_the_catalog() -> None:
    """A thousand CREATE TABLE would wait for a thousand readings. One rule that refuses something, and all do."""
    everything = {name: "allow" for name in CLASSES}
    asking = JudgeHook(session(), Statement("CREATE TABLE t (a int)"), "CREATE TABLE t (a int)")
    assert isinstance(Policy(default=everything, catalogs=Unread()).on_judge(asking), Allow)
    for more in ({"default": {**everything, "file": "deny"}}, {"default": everything, "rules": [{"name": "no", "relations": ["secrets"], "verdict": "deny"}]}):
        assert isinstance(Policy(**more, catalogs=Unread()).on_judge(asking), Deferred)


def test_the_first_call_of_the_fast_path_has_the_catalog_read() -> None:
    """libpq's large objects are the first thing that a session may do; when it cannot be read, the answer is no."""
    for came, verdict in ((Catalogs().found, Allow), (ValueError("the target is gone"), Deny)):
        catalogs = Unread()
        asked = call(Policy(default={"large-object": "allow"}, catalogs=catalogs), 2)
        heard: list[object] = []
        asked.addCallback(heard.append)
        assert heard == []
        catalogs.reading.callback(came) if verdict is Allow else catalogs.reading.errback(came)
        assert isinstance(heard[0], verdict)


@pytest.mark.parametrize(("text", "unread"), [
    ("SELECT 1", None), ("BEGIN", None), ("SELECT pg_catalog.length('x')", None), ("SELECT a FROM t", None),
    ("SELECT length('x')", "OST-205"), ("SELECT a FROM t WHERE a = 1", "OST-205"), ("SELECT (a).length FROM t", "OST-205"),
])
def test_no_name_is_taken_for_the_servers_before_the_catalog_was_read(text: str, unread: str | None) -> None:
    """An owner may have given it to other types. The first question waits for the reading; when it fails, the answer is no."""
    for came, code in ((Catalogs().found, None), (ValueError("the target is gone"), unread)):
        catalogs = Unread()
        asked = ask(Policy(default=STRICT, catalogs=catalogs), text)
        heard: list[object] = []
        asked.addCallback(heard.append)
        assert heard == []
        if not isinstance(came, ValueError):
            catalogs.snapshot = lambda _session: Catalogs().found
        catalogs.reading.callback(came) if not isinstance(came, ValueError) else catalogs.reading.errback(came)
        assert getattr(heard[0], "code", None) == code


def test_the_fast_path_needs_the_catalog() -> None:
    """By OID, under the same lists; an OID that nobody knows is refused."""
    policy = Policy(default={**STRICT, "large-object": "allow"}, catalogs=Catalogs())
    assert isinstance(call(policy, 2), Allow) and isinstance(call(policy, 3), Allow)
    assert call(policy, 1).code == "OST-204" and call(policy, 4711).code == "OST-208"
    assert call(Policy(default=STRICT), 3).code == "OST-208"
    assert isinstance(call(Policy(default=STRICT, catalogs=Catalogs()), 2), Deny)


def test_analysis_is_made_anew_for_a_new_catalog() -> None:
    catalogs = Catalogs()
    policy = Policy(default=STRICT, catalogs=catalogs)
    assert ask(policy, "SELECT purge()").code == "OST-204"
    catalogs.found = SimpleNamespace(**{**vars(catalogs.found), "revision": "2", "by_function_name": {}})
    assert ask(policy, "SELECT purge()").code == "OST-205"


def test_the_search_path_is_followed_for_masking() -> None:
    from addons.sql.settings import Settings

    settings = Settings()
    policy = Policy(default=STRICT, settings=settings)
    run(policy, "SET search_path = ''")
    assert settings.search_path(session()) == ("",)
    refused = run(policy, "SET search_path = clinic")
    assert refused.code == "OST-206" and "`search_paths`" in refused.hint
    wider = Policy(default=STRICT, settings=settings, search_paths=["clinic"], session_settings=["app.tenant"])
    assert isinstance(run(wider, "SET search_path = clinic"), Allow) and settings.search_path(session()) == ("clinic",)
    assert isinstance(run(wider, "SET app.tenant = 'x'"), Allow)


@pytest.mark.parametrize(("options", "complaint"), [
    ({"default": {"foo": "allow"}}, "default.foo: unknown class; known: ddl"), ({"default": {"read": "yes"}}, "default.read: unknown verdict 'yes'"),
    ({"default": {"read": "approve"}}, "default.read: to approve"), ({"default": []}, "default: must be a table"),
    ({"default": {}, "rules": [{}, {"name": "x", "verdict": "deny", "classes": ["foo"]}]}, r"rules\[0\]"),
    ({"default": {}, "rules": [{"name": "x", "verdict": "deny", "classes": ["foo"]}]}, r"rules\[0\].classes: unknown class 'foo'"),
    ({"default": {}, "functions": "f"}, "functions: must be a list"), ({"default": {}, "search_paths": ["a b"]}, "search_paths"),
    ({"default": {}, "rules": [{"name": "x", "verdict": "deny", "hours": "08:00-18:00"}]}, "no clock"),
])
def test_wrong_options_are_named(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Policy(**options)


def test_what_the_default_approves_asks_the_listed_groups() -> None:
    held = ask(Policy(default={"ddl": "approve"}, approvers=["leads"]), "CREATE TABLE t (a int)")
    assert isinstance(held, Hold) and held.approvers == frozenset({"leads"}) and held.rule == "default.ddl"


def test_memory_is_bounded() -> None:
    from addons import policy as module

    policy = Policy(default=STRICT)
    for n in range(module._KEPT + 10):
        ask(policy, f"SELECT a{n}")
        ask(policy, f"SELECT a{n} FROM t WHERE b = 5")
    assert len(policy._analysed) == len(policy._ruled) == len(policy._formed) == module._KEPT
    ask(policy, "SELECT '" + "x" * (module._KEPT_LENGTH + 1) + "'")
    assert all(len(text) <= module._KEPT_LENGTH for text, *_ in policy._analysed)


@pytest.mark.parametrize(
    "text, refused",
    [
        ("ALTER SCHEMA sb RENAME TO q", True),
        ("ALTER TABLE sb.x RENAME TO y", True),
        ("ALTER VIEW sb.x SET SCHEMA q", True),
        ("ALTER TABLE x SET SCHEMA q", True),
        ("ALTER SCHEMA other RENAME TO q", False),
        ("ALTER TABLE sb.y RENAME TO z", False),
    ],
)
def test_no_rename_takes_a_relation_out_of_the_rule_that_denies_it(text: str, refused: bool) -> None:
    rules = [{"name": "not x", "relations": ["sb.x"], "verdict": "deny"}]
    answer = ask(Policy(default={"read": "allow", "ddl": "allow"}, rules=rules), text)
    assert (answer.rule == "not x") is refused and isinstance(answer, Deny if refused else Allow)
