"""
`ostiary policy replay`: recorded statements against a new policy, over real sessions and their real evidence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.house import ADA, BENCH, CLEAR, EVERYTHING, TARGET, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

SETUP = """
DROP SCHEMA IF EXISTS replay CASCADE; CREATE SCHEMA replay; CREATE TABLE replay.t (id int PRIMARY KEY, v text);
INSERT INTO replay.t VALUES (1, 'x'); CREATE FUNCTION replay.shout(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN upper($1); END';
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, postgres15: PostgresServer) -> Iterator[House]:
    postgres15.sql(SETUP)
    default = {**EVERYTHING, "ddl-destructive": "deny"}
    options = {"functions": ["replay.shout"]}
    nobody = {"name": "nobody-can", "groups": ["privacy"], "classes": ["write"], "verdict": "approve", "approvers": ["nobody"]}
    with House(tmp_path_factory.mktemp("replay"), postgres15, default=default, options=options, rules=[nobody], workers=1) as house:
        with house.connect(ADA) as ada:
            ada.execute("SELECT v FROM replay.t")
            ada.execute("UPDATE replay.t SET v = 'y' WHERE id = %s", [1])
            ada.execute("PREPARE wipe AS DELETE FROM replay.t")
            ada.execute("EXECUTE wipe")
            ada.execute("SELECT replay.shout('a')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ada.execute("DROP TABLE replay.t")
        with house.connect(BENCH) as bench:
            bench.execute("UPDATE replay.t SET v = 'z' WHERE id = 1")
        with house.connect(CLEAR) as clear, pytest.raises(psycopg.errors.InsufficientPrivilege, match="OST-605"):
            clear.execute("UPDATE replay.t SET v = 'q' WHERE id = 1")
        yield house


def replayed(house: House, tmp_path: Path, default: dict[str, str], *words: str, **options: object) -> tuple[int, list[dict[str, object]]]:
    new = tmp_path / "new.toml"
    verdicts = ", ".join(f'{name} = "{verdict}"' for name, verdict in default.items())
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    new.write_text(f'[[addon]]\nuse = "addons.policy.Policy"\ndefault = {{ {verdicts} }}\n{more}')
    done = house.ostiary("policy", "replay", "--policy", str(new), "--json", *words)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


OLD = {**EVERYTHING, "ddl-destructive": "deny"}


def test_the_policy_in_force_decides_as_it_did(recorded: House, tmp_path: Path) -> None:
    """Also what nobody could be asked about, which it would have held: refused all the same, by no rule. The line's numbers add up."""
    code, told = replayed(recorded, tmp_path, OLD, "--identity", ADA, functions=["replay.shout"])
    assert (code, told[:-1]) == (0, [])
    assert told[-1]["differences"] == {} and told[-1]["replayed"] >= 6
    done = recorded.ostiary("policy", "replay", "--policy", str(recorded.file))
    assert done.returncode == 0, done.stdout
    whole, again, same = (int(number) for number in re.findall(r"\d+", done.stdout)[:3])
    assert done.stdout.startswith(f"{whole} commands recorded: {again} decided again ({same} as before)") and again == same >= 8
    assert whole == again + sum(map(int, re.findall(r"; (\d+) ", done.stdout)))
    without = replayed(recorded, tmp_path, OLD, "--identity", CLEAR)[1][:-1]
    assert [(one["was"], one["now"]) for one in without] == [("approve", "allow")]


def test_what_would_be_refused_and_what_let_through(recorded: House, tmp_path: Path) -> None:
    """An EXECUTE is what was prepared under its name; a statement that was refused would run."""
    new = {**EVERYTHING, "write": "deny", "write-unfiltered": "approve"}
    code, told = replayed(recorded, tmp_path, new, "--identity", ADA, functions=["replay.shout"], approvers=["dba"])
    found = {str(one["text"]): (one["was"], one["now"], one["rule"]) for one in told[:-1]}
    assert code == 1 and found == {
        "UPDATE replay.t SET v = 'y' WHERE id = $1": ("allow", "deny", "default.write"),
        "PREPARE wipe AS DELETE FROM replay.t": ("allow", "approve", "default.write-unfiltered"),
        "EXECUTE wipe": ("allow", "approve", "default.write-unfiltered"),
        "DROP TABLE replay.t": ("deny", "allow", "default.ddl-destructive"),
    }
    assert told[-1]["differences"] == {"allow to approve": 2, "allow to deny": 1, "deny to allow": 1}


def test_what_only_the_catalog_knows_is_marked(recorded: House, tmp_path: Path) -> None:
    """With the function taken from the list the old policy, which lists it, is sure; for another identity nothing differs."""
    new = {**OLD, "function-unlisted": "deny"}
    _, told = replayed(recorded, tmp_path, new, "--identity", ADA)
    assert [(one["text"], one["now"], one["unsure"]) for one in told[:-1]] == [("SELECT replay.shout('a')", "deny", False)]
    assert replayed(recorded, tmp_path, new, "--identity", BENCH)[1][:-1] == []


def test_since_leaves_out_what_came_before(recorded: House, tmp_path: Path) -> None:
    assert replayed(recorded, tmp_path, {**OLD, "read": "deny"}, "--since", "2099-01-01")[1][-1]["replayed"] == 0


def test_for_people_and_in_the_evidence(recorded: House, tmp_path: Path) -> None:
    new = tmp_path / "new.toml"
    new.write_text('[[addon]]\nuse = "addons.policy.Policy"\ndefault = { read = "allow", transaction = "allow", session = "allow" }\n')
    done = recorded.ostiary("policy", "replay", "--policy", str(new), "--target", TARGET)
    assert done.returncode == 1 and "allow -> deny by default.write: it changes rows" in done.stdout.replace("updates", "changes")
    assert " decided again (" in done.stdout and " from allow to deny, " in done.stdout
    assert any("policy replay" in json.dumps(one) for one in recorded.records("--kind", "admin"))


@pytest.mark.parametrize(("words", "complaint"), [
    (("--policy", "/nowhere.toml"), "/nowhere.toml"), (("--since", "soon"), "--since"),
])
def test_wrong_questions_are_answered(recorded: House, words: tuple[str, ...], complaint: str) -> None:
    done = recorded.ostiary("policy", "replay", "--policy", str(recorded.file), *words)
    assert done.returncode in (1, 3) and complaint in done.stderr and "Traceback" not in done.stderr
