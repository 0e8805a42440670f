"""What changes the meaning of judged text passes only with listed values; what identifies a session never as a setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from addons.sql.changes import change_of, plain_calls, set_config
from addons.sql.parse import parse
from addons.sql.settings import HARMLESS, IDENTITIES, VALUES, Gate, Settings
from protocols.command import FunctionCall, Path, Statement
from protocols.effects import Hangup
from protocols.errors import PeerError
from protocols.postgres.greeting import ClientLogin
from protocols.postgres.messages import VERSION_3_0, Startup
from protocols.postgres.startup import read_options
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny


def judged(text: str, gate: Gate | None = None) -> str:
    statement = parse(text).statements[0]
    changes = [set_config(*c) for c in plain_calls(statement)] or [change_of(statement)]
    return (gate or Gate()).judge(changes[0])[0]


@pytest.mark.parametrize(("text", "expected"), [
    ("SET statement_timeout = '5s'", "session"), ("SET TIME ZONE 'UTC'", "session"), ("SET datestyle = iso", "session"),
    ("SET application_name = 'x'", "session"), ("RESET ALL", "session"), ("RESET statement_timeout", "session"),
    ("SET TRANSACTION READ ONLY", "transaction"), ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "transaction"),
    ("SET standard_conforming_strings = on", "session"), ("SET standard_conforming_strings = off", "server-config"),
    ("SET \"STANDARD_CONFORMING_STRINGS\" = 'off'", "server-config"), ("SET standard_conforming_strings = 0", "server-config"),
    ("SELECT set_config('standard_conforming_strings', 'off', false)", "server-config"),
    ("SET backslash_quote = on", "server-config"), ("SET backslash_quote = safe_encoding", "session"),
    ("SET transform_null_equals = on", "server-config"), ("SET array_nulls = off", "server-config"),
    ("SET client_encoding = 'UTF8'", "session"), ("SET NAMES 'utf-8'", "session"), ("SET client_encoding TO latin1", "session"),
    ("SET NAMES 'SJIS'", "server-config"), ("SET client_encoding = 'BIG5'", "server-config"), ("SET client_encoding = 'GBK'", "server-config"),
    ("SET client_encoding = 'UHC'", "server-config"), ("SET client_encoding = 'JOHAB'", "server-config"),
    ("SET client_encoding = 'SHIFT_JIS_2004'", "server-config"), ("SET client_encoding = 'GB18030'", "server-config"),
    ("SET search_path = ''", "session"), ("SET search_path = public", "session"), ("SET search_path = \"$user\", public", "session"),
    ("SET search_path = pg_catalog, public", "session"), ("SET search_path = public, pg_catalog", "server-config"),
    ("SET search_path = pg_temp, public", "server-config"), ("SET search_path = evil", "server-config"),
    ("SET LOCAL search_path = evil, public", "server-config"), ("SET search_path = '\"$user\", public'", "server-config"),
    ("SELECT set_config('search_path', '', false)", "session"), ("SELECT set_config('search_path', 'evil', false)", "server-config"),
    ("SELECT set_config('search_path', '', false) FROM t", "server-config"), ("SELECT set_config('SEARCH_PATH', $1, false)", "server-config"),
    ("SET ROLE x", "session-identity"), ("SET LOCAL ROLE x", "session-identity"), ("SET SESSION AUTHORIZATION x", "session-identity"),
    ("RESET ROLE", "session-identity"), ("SELECT set_config('role', 'x', false)", "session-identity"), ("SET role = 'x'", "session-identity"),
    ("SET session_replication_role = replica", "server-config"), ("SET allow_system_table_mods = on", "server-config"),
    ("SET zero_damaged_pages = on", "server-config"), ("SET log_statement = none", "server-config"), ("SET my.var = 'x'", "server-config"),
    ("SET local_preload_libraries = 'x'", "server-config"), ("SET default_tablespace = ''", "session"),
    ("SET default_tablespace = 'x'", "server-config"), ("SET debug_print_parse = on", "server-config"), ("SET event_triggers = off", "server-config"),
    ("SELECT set_config('a' || 'b', 'x', false)", "server-config"), ("SELECT set_config(name, 'x', false) FROM t", "server-config"),
])
def test_what_a_setting_is(text: str, expected: str) -> None:
    """In every form: SET, RESET, set_config, quoted, in capitals."""
    assert judged(text) == expected


def test_the_operator_may_list_more() -> None:
    """An application's own setting and schemas; never what changes the meaning of text."""
    gate = Gate(search_paths=["clinic, public"], names=["App.Tenant"])
    assert judged("SET search_path = clinic, public", gate) == "session"
    assert judged("SELECT set_config('app.tenant', $1, true)", gate) == "session"
    assert judged("SET search_path = public, clinic", gate) == "server-config"
    with pytest.raises(ValueError, match="session_settings: 'standard_conforming_strings'"):
        Gate(names=["Standard_Conforming_Strings"])
    with pytest.raises(ValueError, match="search_paths: 'a b'"):
        Gate(search_paths=["a b"])


def test_the_lists_do_not_contradict_each_other() -> None:
    assert not HARMLESS & (IDENTITIES | VALUES.keys() | {"search_path", "client_encoding"})


@pytest.mark.parametrize(("text", "expected"), [
    ("", []), ("-c a=1", [("a", "1")]), ("-ca=1 --work-mem=3", [("a", "1"), ("work_mem", "3")]), ("-c a=b\\ c", [("a", "b c")]),
    ("-c a=\\\\", [("a", "\\")]), ("-c", None), ("-f s", None), ("-O", None), ("a=1", None), ("-c a", None), ("--", None),
])
def test_startup_options_are_split_as_the_server_splits_them(text: str, expected: list[tuple[str, str]] | None) -> None:
    """Anything but -c NAME=VALUE is refused."""
    if expected is None:
        with pytest.raises(PeerError):
            read_options(text)
    else:
        assert list(read_options(text).items()) == expected


@pytest.mark.parametrize(("parameters", "allowed"), [
    ({"user": "a", "database": "b", "application_name": "x", "client_encoding": "UTF8"}, True),
    ({"DateStyle": "ISO", "TimeZone": "UTC", "extra_float_digits": "3"}, True),
    ({"options": "-c search_path=public -c statement_timeout=5s"}, True),
    ({"options": "-c standard_conforming_strings=off"}, False), ({"options": "-c role=x"}, False), ({"role": "x"}, False),
    ({"options": "-c session_authorization=x"}, False), ({"client_encoding": "sjis"}, False), ({"replication": "database"}, False),
    ({"replication": "1"}, False), ({"replication": "false"}, True), ({"search_path": "evil"}, False), ({"options": "-O"}, False),
    ({"_pq_.x": "y"}, True),
])
def test_startup(parameters: dict[str, str], allowed: bool) -> None:
    """The start-up packet passes the same gate as SET, by the way that a client's own takes."""
    login = ClientLogin(auth=("scram",), require_tls=False, nonce="n", decoy_key=bytes(32), accepts=Gate().accepts)
    effects = login.from_client(Startup(VERSION_3_0, {"user": "ada@clinic", **parameters}).encode())
    assert (not any(isinstance(effect, Hangup) for effect in effects)) is allowed


def test_text_under_settings_that_change_its_meaning_is_not_judged() -> None:
    gate = Gate()
    assert gate.ambiguous({}) == "" == gate.ambiguous({"standard_conforming_strings": "on", "client_encoding": "UTF8"})
    assert "quotes" in gate.ambiguous({"standard_conforming_strings": "off"})
    assert "client_encoding" in gate.ambiguous({"client_encoding": "SJIS"})


SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")


def decision(text: str, path: Path = Path.SIMPLE, **settings: str) -> Decision:
    return Decision(Statement(text, path, settings=settings), Allow(), text)


def test_the_path_follows_decisions_and_outcomes() -> None:
    """Only what was allowed and ran counts; of two tellers one is heard."""
    settings = Settings()
    assert settings.search_path(SESSION) == ("$user", "public")
    assert settings.search_path(SESSION, {"search_path": "a"}) == ("a",)
    change = decision("SET search_path = ''")
    for teller in ("Policy", "Masking"):
        settings.decided(SESSION, change, teller)
    assert settings.search_path(SESSION) is None
    for teller in ("Masking", "Policy"):
        settings.ended(SESSION, change, Outcome(Ending.COMPLETE, transaction="I"), teller)
    assert settings.search_path(SESSION) == ("",)
    settings.decided(SESSION, Decision(change.command, Deny("no"), ""), "Policy")
    settings.decided(SESSION, decision("SET search_path = public", Path.PARSE), "Policy")
    assert settings.search_path(SESSION) == ("",)
    settings.closed(SESSION)
    assert settings.search_path(SESSION) == ("$user", "public")


def test_one_remembered_decision_may_run_twice() -> None:
    """The same object decided again is another command."""
    settings, begin = Settings(), decision("BEGIN")
    for status in ("T", "T"):
        settings.decided(SESSION, begin, "Policy")
        settings.ended(SESSION, begin, Outcome(Ending.COMPLETE, transaction=status), "Policy")
    assert settings.search_path(SESSION) == ("$user", "public")


def test_a_start_that_was_read_from_the_server() -> None:
    settings = Settings('"a"')
    assert settings.search_path(SESSION) == ("a",)
    settings.start(SESSION, "b, c")
    assert settings.search_path(SESSION) == ("b", "c")
    with pytest.raises(ValueError, match="default_search_path"):
        Settings("a b")


def ran(settings: Settings, command: Statement | FunctionCall, session: Session = SESSION) -> None:
    made = Decision(command, Allow(), getattr(command, "text", ""))
    settings.decided(session, made, "Policy")
    settings.ended(session, made, Outcome(Ending.COMPLETE, transaction="I"), "Policy")


RELOADS = ["SELECT pg_reload_conf()", "SELECT pg_catalog.pg_reload_conf() FROM t", "ALTER SYSTEM SET search_path = other", "ALTER SYSTEM RESET ALL", "ALTER SYSTEM RESET search_path"]


@pytest.mark.parametrize("command", [*map(Statement, RELOADS), Statement("EXECUTE n"), FunctionCall(2621)], ids=lambda command: getattr(command, "text", "call"))
def test_no_path_that_sessions_of_a_target_began_with_is_believed_after_its_configuration_was_read_again(command: Statement | FunctionCall) -> None:
    """Until they set it anew; the other workers are told."""
    settings, told = Settings(), []
    settings.on_reload = told.append
    other, elsewhere = replace(SESSION, id="other"), replace(SESSION, id="elsewhere", target=replace(SESSION.target, name="another"))
    for session in (SESSION, other, elsewhere):
        settings.start(session, "public")
    ran(settings, Statement("ALTER SYSTEM SET work_mem = '1MB'"))
    assert settings.search_path(SESSION) == ("public",) and not told
    settings.given.learn(SESSION.id, Statement("PREPARE n AS SELECT pg_reload_conf()"), "", 0)
    before = settings.standing(other)
    ran(settings, command)
    assert [settings.search_path(each) for each in (SESSION, other, elsewhere)] == [None, None, ("public",)]
    assert told and set(told) == {"clinic"} and settings.standing(other) != before
    ran(settings, Statement("SET search_path = public"), other)
    assert settings.search_path(other) == ("public",)
    ran(settings, Statement("RESET search_path"), other)
    assert settings.search_path(other) is None


def test_where_the_server_reports_the_path_no_other_is_believed() -> None:
    settings = Settings()
    settings.start(SESSION, '"$user", public')
    assert settings.search_path(SESSION, {"search_path": '"$user", public'}) == ("$user", "public")
    assert settings.search_path(SESSION, {"search_path": "other"}) is None
    ran(settings, Statement("SELECT pg_reload_conf()", settings={"search_path": "public"}))
    assert settings.search_path(SESSION, {"search_path": '"$user", public'}) is None, "it says so after the next statement only"
    for text, reported in (("SET search_path = A, \"B c\"", 'a, "B c"'), ("SET search_path = ''", '""'), ("SELECT set_config('search_path', '', false)", ""), ("SET search_path = 'x,y'", '"x,y"')):
        ran(settings, Statement(text))
        assert settings.search_path(SESSION, {"search_path": reported}) is not None
        assert settings.search_path(SESSION, {"search_path": "other"}) is None
