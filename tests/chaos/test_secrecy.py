"""
Secrets, masked values and what clients wrote, looked for wherever a stranger might look: logs, records in clear, the
process list, environments, error texts, every file of the gateway but the ones that are keys.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from gateway.notary.keys import FOLDER
from tests.house import ADA, BENCH, CLEAR, GRACE, House, until
from tests.servers import POSTGRES, TRUST, PostgresServer

pytestmark = pytest.mark.live

CANARIES = ("900-11-2233", "Zephyrina Quillfeather", "zephyrina@canary.example")
LITERAL = "literal-that-only-ada-wrote"
PARAMETER = "parameter-that-only-ada-sent"
PASSWORD = "target-password-7c1f"
RULES = [{"name": "two persons", "classes": ["write-unfiltered"], "verdict": "approve", "approvers": ["approvers"], "mode": "hold"}]

SCHEMA = f"""
CREATE TABLE patients (id int, ssn text, full_name text, email text, ward text);
INSERT INTO patients SELECT n, '{CANARIES[0]}', '{CANARIES[1]}', '{CANARIES[2]}', 'ward ' || n FROM generate_series(1, 50) n;
GRANT ALL ON ALL TABLES IN SCHEMA public TO secretive;
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[PostgresServer]:
    """It wants a password of the gateway."""
    server = PostgresServer(POSTGRES, hba=("host all secretive 127.0.0.1/32 scram-sha-256", *TRUST)).start()
    try:
        server.sql(f"CREATE ROLE secretive LOGIN PASSWORD '{PASSWORD}'; CREATE DATABASE clinic")
        server.sql(SCHEMA, "clinic")
        yield server
    finally:
        server.stop()


class Discreet(House):
    """A house whose target wants a password, which is in the vault."""

    def write(self) -> None:
        super().write()
        self.file.write_text(self.file.read_text().replace('= "trust"', '= "password"'))
        entered = self.ostiary("account", "secret", "db", "app", stdin=PASSWORD + "\n")
        assert entered.returncode == 0, entered.stderr


@pytest.fixture(scope="module")
def house(guarded: PostgresServer, lasting_directory: Path) -> Iterator[House]:
    masked = {"public.patients": ["ssn", "full_name", "email"]}
    with Discreet(lasting_directory, guarded, database="clinic", user="secretive", masked=masked, rules=RULES) as made:
        made.texts = _live(made)
        yield made


def _live(house: House) -> str:
    """A day at the gateway, with everything that goes wrong; what clients were told."""
    told = [str(_asked(house, ADA, text, *values)) for text, *values in (
        ("SELECT * FROM patients",), ("SELECT ssn, full_name, email FROM patients WHERE ward = %s", PARAMETER),
        (f"SELECT '{LITERAL}'",), (f"SELECT ssn::int FROM patients -- {LITERAL}",), (f"SELECT 1 FROM {LITERAL!r}",),
        (f"UPDATE patients SET ward = '{LITERAL}' WHERE ssn = '{CANARIES[0]}'",), ("SELECT row_to_json(p) FROM patients p",),
        (f"DO $$ BEGIN RAISE EXCEPTION '{LITERAL}'; END $$",), ("SELECT (full_name || %s)::date FROM patients", PARAMETER),
        (f"COPY patients TO STDOUT -- {LITERAL}",), (f"SELECT broken syntax '{LITERAL}",),
    )]  # fmt: skip
    seen = str(_asked(house, CLEAR, "SELECT ssn, full_name, email FROM patients LIMIT 1"))
    assert all(canary in seen for canary in CANARIES)
    told += _held_and_wrong(house)
    for part in ("worker-1", "notary", "control"):
        begun = house.log_file.stat().st_size
        house.kill(part, signal.SIGKILL)
        house.heard(rf"{part} is process \d+", begun)
    until(lambda: "OST-" not in str(_asked(house, ADA, f"SELECT '{LITERAL}' AS again")), "it serves again")
    return "\n".join(told)


def _held_and_wrong(house: House) -> list[str]:
    """A question that nobody answers, a wrong token, and bytes that are no login."""
    with house.connect(ADA) as waits:
        waits.pgconn.send_query(f"UPDATE patients SET ward = '{LITERAL}'".encode())
        request = house.asked()[0]["id"]
        house.deny(request, GRACE, "no")
        until(lambda: (waits.pgconn.consume_input(), not waits.pgconn.is_busy())[1], "it is told")
        refusal = waits.pgconn.get_result()
        while waits.pgconn.get_result() is not None:
            pass
    try:
        house.connect(ADA, password=house.token(ADA)[:-4] + "oops").close()
        wrong = "let in"
    except psycopg.OperationalError as error:
        wrong = str(error)
    with socket.create_connection(("127.0.0.1", house.port)) as stranger:
        stranger.sendall(house.token(BENCH).encode() * 3)
    return [str(refusal and refusal.error_message), wrong]


def _asked(house: House, who: str, text: str, *values: str) -> object:
    """Rows, or the error's whole text."""
    try:
        with house.connect(who) as connection:
            return connection.execute(text, values or None).fetchall()
    except psycopg.Error as error:
        return f"{error} {error.diag.message_detail} {error.diag.message_hint} {error.diag.context}"


def _secrets(house: House) -> dict[str, bytes]:
    """What nobody may find; keys as they are in their files, without their line of heading."""
    found = {f"token of {who}": house.token(who).encode() for who in (ADA, BENCH, CLEAR, GRACE)}
    found["the target's password"] = PASSWORD.encode()
    for file in _keys(house):
        body = [line for line in file.read_bytes().splitlines() if line and not line.startswith(b"-----")]
        found[f"key {file.name}"] = b"".join(body[:1])[-40:] if body else b"?" * 40
    return found


def _keys(house: House) -> list[Path]:
    """Files that are meant to hold keys."""
    state = house.directory / "state"
    public = house.public_key
    held = [*(state / FOLDER).iterdir(), *(state / "tls").glob("*.key"), *state.glob("**/*.key"), *state.glob("keys/*")]
    return sorted({path for path in held if path.is_file() and path != public})


VALUES = {name: name.encode() for name in (*CANARIES, LITERAL, PARAMETER)}


def test_clients_were_told_no_canary_and_no_secret(house: House) -> None:
    for name, what in {**_secrets(house), **{canary: canary.encode() for canary in CANARIES}}.items():
        assert what not in house.texts.encode(), name


def test_the_log_holds_none(house: House) -> None:
    said = house.text().encode()
    assert b"worker-1 ended" in said
    for name, what in {**_secrets(house), **VALUES}.items():
        assert what not in said, name
    assert b"Traceback" not in said


def test_processes_show_none(house: House) -> None:
    """Command lines and environments, as anybody with `ps` sees them, and as the same user does."""
    seen = 0
    for process in house.family():
        try:
            shown = "\0".join(process.cmdline()).encode() + Path(f"/proc/{process.pid}/environ").read_bytes()
        except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
            continue  # one that was hired for a moment has ended
        seen += 1
        for name, what in {**_secrets(house), **VALUES}.items():
            assert what not in shown, f"{name} in the command line or environment of {process}"
    assert seen >= 5


def test_no_file_holds_any_in_clear(house: House) -> None:
    """Records, ledger, anchors, control's store, sockets' directory: all but the keys' own files."""
    keys = set(_keys(house))
    files = [path for path in house.directory.rglob("*") if path.is_file() and path not in keys]
    names = [path.name for path in files]
    assert "data.mdb" in names and len(keys) >= 4
    for path in files:
        if not path.exists():
            continue  # a closed segment, let go since its copy is sealed
        held = path.read_bytes()
        for name, what in {**_secrets(house), **VALUES}.items():
            assert what not in held, f"{name} in {path}"


def test_whoever_may_open_bodies_finds_the_texts_and_no_canary(house: House) -> None:
    """The search above could find something: the same words are in the evidence, sealed."""
    records = house.records("--kind", "intent") + house.records("--kind", "refusal")
    text = json.dumps(records)
    assert LITERAL in text and PARAMETER in text
    outcomes = json.dumps([one for one in house.records() if one["kind"] not in ("intent", "refusal")])
    assert not [canary for canary in CANARIES if canary in outcomes]
    assert not [name for name, what in _secrets(house).items() if what.decode(errors="replace") in text + outcomes]
