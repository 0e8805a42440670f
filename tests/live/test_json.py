"""
One convention for every `--json` and for the HTTPS API: moments are ISO 8601 in UTC with a Z, what is not there is null, a name
says what it holds, what is recorded as facts is text, and no command is left out.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from gateway.cli.main import main
from gateway.control.when import MAY_BE_EMPTY
from tests.house import ADA, GRACE, TARGET, House, until
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

EPOCH = re.compile(r"1[6-9]\d{8}(\d{3}){0,3}(\.\d+)?")
"""Seconds, or thousandths, millionths or billionths of them, since 1970 in this time of ours."""

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
MOMENTS = {"created", "expires", "opened", "last_used", "changed", "at", "until", "shut_until", "time"}

NO_NUMBERS = {"serial", "client_certificate_serial", "which"}
"""What is counted or drawn, and is no moment whatever it looks like; `which` is a revoked certificate by its serial."""

DATABASE = "said"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql(f"CREATE DATABASE {DATABASE}")
    postgres15.sql("CREATE TABLE people (id int PRIMARY KEY, ssn text)", DATABASE)
    rules = [{"name": "ddl", "classes": ["ddl"], "verdict": "approve", "approvers": ["approvers"], "mode": "retry"}]
    folder, masking = tmp_path_factory.mktemp("json"), {"reveal": {"approvers": ["approvers"]}}
    with House(folder / "h", postgres15, database=DATABASE, workers=1, masked={"public.people": ["ssn"]}, rules=rules, masking=masking) as made:
        yield made


def ways(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """Every command that takes --json."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if isinstance(command, click.Group):
            yield from ways(command, *before, word)
        elif command is not None and any("--json" in option.opts for option in command.params):
            yield (*before, word)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inside in value.items():
            yield from leaves(inside, key)
    elif isinstance(value, list):
        for inside in value:
            yield from leaves(inside, name)
    else:
        yield name, value


def facts(value: Any) -> Iterator[tuple[str, Any]]:
    """What records tell as facts."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inside:
        yield from facts(one)
    if isinstance(value, dict) and isinstance(value.get("facts"), dict):
        yield from value["facts"].items()


def complaints(value: Any, evidence: bool) -> Iterator[str]:
    """:param evidence: whose fields are as they are stored: a fact `token` is its id, a verifier's `opened` is a count."""
    for name, fact in facts(value):
        if not all(isinstance(one, str) for one in (fact if isinstance(fact, list) else [fact])):
            yield f"the fact {name} = {fact!r} is neither a text nor a list of texts"
    for name, leaf in leaves(value):
        if name not in NO_NUMBERS and not isinstance(leaf, bool) and EPOCH.fullmatch(str(leaf)):
            yield f"{name} = {leaf!r} looks like seconds since 1970"
        if name in MOMENTS and not (evidence and name == "opened") and leaf not in (None, "") and not (isinstance(leaf, str) and MOMENT.fullmatch(leaf)):
            yield f"{name} = {leaf!r} is no moment in ISO 8601 and UTC"
        if leaf == "" and not evidence and name not in MAY_BE_EMPTY:
            yield f"{name} is empty and not null"
        if isinstance(leaf, str) and len(leaf) > 16 and not leaf.strip("0"):
            yield f"{name} is zeros"
        if name == "token" and not evidence and not str(leaf).startswith("ost_"):
            yield f"token = {leaf!r} is none"


def fetched(house: House, path: str, token: str) -> Any:
    """What the HTTPS API says."""
    connection = http.client.HTTPSConnection("127.0.0.1", house.control_port, timeout=20, context=ssl._create_unverified_context())
    with contextlib.closing(connection):
        connection.request("GET", f"/api/{path}", headers={"Authorization": f"Bearer {token}"})
        return json.loads(connection.getresponse().read())


def test_every_json_says_moments_alike_and_names_what_it_holds(house: House, tmp_path: Path) -> None:
    said: dict[tuple[str, ...], list[str]] = {}

    def run(*words: str, token: str = "", stdin: str = "", code: int = 0) -> Any:
        way = next(one for one in known if words[: len(one)] == one)
        environment = {"OSTIARY_CONFIG": str(house.file), "OSTIARY_TOKEN": token or None}
        done = CliRunner().invoke(main, [*words, "--json"], input=stdin, env=environment)  # in this process: there are forty of them
        assert done.exit_code == code, (words, done.output, done.exception)
        text = done.stdout.strip()
        found = [json.loads(text)] if text.startswith("[") or "\n" in text and not text.startswith('{"') else list(map(json.loads, text.splitlines()))
        said.setdefault(way, []).extend(complaints(found, way[0] == "audit"))
        return found[0] if found else None

    known = set(ways(main))
    ada, grace = house.token(ADA), house.token(GRACE)
    with house.connect(ADA) as connection:
        connection.execute("SELECT id FROM people WHERE id = %s", (1,), binary=True)
        with pytest.raises(Exception, match="OST-301"):
            connection.execute("CREATE TABLE more (id int)")
        until(lambda: house.call("session_list"), "control knows the session")
        [live] = run("session", "list")
        run("session", "show", live["id"])
        run("request", "list")
        asked = house.asked()[0]["id"]
        for who, path in ((grace, "requests"), (grace, f"requests/{asked}"), (ada, "sessions")):
            told = fetched(house, path, who)
            said[("the API", path)] = list(complaints(told, False))
            assert told and told not in ({"requests": []}, {"sessions": []}), path
        run("request", "show", asked)
        run("request", "approve", asked, "--as", GRACE, token=grace)
        connection.execute("CREATE TABLE more (id int)")
        ahead = run("request", "submit", "--as", ADA, "--target", TARGET, "--approver", "approvers", "--why", "x", "-c", "DROP TABLE more", token=ada)
        run("request", "deny", ahead["id"], "--as", GRACE, token=grace)
        reveal = run("request", "submit", "--as", ADA, "--target", TARGET, "--reveal", "public.people.ssn", "--why", "x", token=ada)
        run("request", "approve", reveal["id"], "--as", GRACE, token=grace)
        run("request", "show", reveal["id"])
        run("request", "revoke", reveal["id"], "--as", ADA, token=ada)
        run("request", "list", "--all")
        run("session", "kill", live["id"])
    house.records("--session", live["id"])

    made = run("token", "issue", ADA, "--ttl", "1h")
    run("identity", "check", ADA, stdin=made["token"])
    run("token", "list")
    run("token", "revoke", made["id"])
    run("identity", "add", "night", "--kind", "workload")
    for words in (("list",), ("show", ADA), ("revoke", "night"), ("restore", "night")):
        run("identity", *words)
    run("account", "list")
    run("target", "list")
    run("target", "show", TARGET)
    run("target", "check", TARGET)
    run("target", "discover", TARGET)
    run("reload")
    run("check")
    run("init", str(tmp_path / "new"))

    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf2Aq9MxgUs5qAp8j8cAu1Ey9xTzTqGgkQw3pHLOq9E ada")
    for word in ("enroll", "list", "remove"):
        run("otp", word, *([] if word == "list" else [ADA]))
    run("ssh", "ca")
    signed = run("ssh", "sign", str(key), "--identity", ADA)
    run("ssh", "revoke", str(signed["serial"]))
    run("ssh", "revoked")
    run("ssh", "rotate")

    run("policy", "test", "-", "--as", ADA, "--target", TARGET, stdin="SELECT 1")
    draft = tmp_path / "draft.toml"
    draft.write_text(house.file.read_text().replace('"read" = "allow"', '"read" = "deny"'))
    run("policy", "replay", "--policy", str(draft), "--since", "1h", code=1)
    run("audit", "tail", "-n", "1000")
    run("audit", "search", "--kind", "approval")
    run("audit", "show", asked)
    run("audit", "verifier")
    run("audit", "export", "--out", str(tmp_path / "bundle"))
    run("audit", "status")
    run("audit", "verify", code=2)
    run("audit", "verify", str(tmp_path / "bundle"), "--key", str(house.public_key), code=2)

    elsewhere = {
        ("account", "secret"), ("account", "forget"),  # say nothing
        ("target", "provision"), ("target", "trust"), ("session", "watch"), ("ssh", "known-hosts"), ("demo",),  # need more of a house; hold no moment
    }
    assert not {way: wrong for way, wrong in said.items() if wrong}
    assert known - said.keys() <= elsewhere, known - said.keys() - elsewhere


def test_a_search_does_not_find_that_it_was_looked_for_unless_who_looked_is_asked(house: House) -> None:
    words = ("--text", "a word that nobody sent")
    assert house.records(*words) == house.records(*words) == []
    assert {one["fields"]["what"] for one in house.records("--kind", "admin", *words)} == {"viewed"}
