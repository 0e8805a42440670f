"""
Servers that the live tests share: one PostgreSQL 15 with TLS, one 18 without, started once.

Both know the roles of LOGINS, each let in another way; every other role is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.house import House
from tests.servers import POSTGRES, TRUST, Certificates, PostgresServer, make_certificates, postgres_18

PASSWORD = "correct horse"

LOGINS = ("app_trust", "app_clear", "app_md5", "app_scram", "app_weird")

HBA = (
    "host all app_clear 127.0.0.1/32 password",
    "host all app_md5 127.0.0.1/32 md5",
    "host all app_scram,app_weird 127.0.0.1/32 scram-sha-256",
    *TRUST,
)
HBA_TLS = ("hostssl all app_cert 127.0.0.1/32 cert", "hostnossl all app_cert 127.0.0.1/32 reject", *HBA)

# A password that SASLprep changes: a soft hyphen that vanishes, an ordinal that becomes "a".
WEIRD = "I\u00adX\u00aa"

ROLES = f"""
CREATE ROLE app_trust LOGIN; CREATE ROLE app_cert LOGIN;
SET password_encryption = 'md5'; CREATE ROLE app_md5 LOGIN PASSWORD '{PASSWORD}';
SET password_encryption = 'scram-sha-256';
CREATE ROLE app_clear LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE app_scram LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE app_weird LOGIN PASSWORD '{WEIRD}';
CREATE ROLE app_full LOGIN CONNECTION LIMIT 0;
CREATE DATABASE clinicdb;
"""

EXTRAS = {"wal_level": "logical", "shared_preload_libraries": "'pg_stat_statements'"}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def postgres15(certificates: Certificates) -> Iterator[PostgresServer]:
    """PostgreSQL 15, TLS on with the certificate `good`."""
    yield from _running(PostgresServer(POSTGRES, EXTRAS, HBA_TLS, certificates))


@pytest.fixture(scope="session")
def postgres18() -> Iterator[PostgresServer]:
    """PostgreSQL 18, without TLS."""
    yield from _running(PostgresServer(postgres_18(), EXTRAS, HBA))


def _running(server: PostgresServer) -> Iterator[PostgresServer]:
    try:
        server.start()
        server.sql(ROLES)
        yield server
    finally:
        server.stop()


# -- gateways ---------------------------------------------------------------------------------

MASKED = {"public.patients": ["ssn", "dob"], "public.encounters": ["notes"]}

RULES = [
    {"name": "no-drop", "groups": ["engineers"], "classes": ["ddl-destructive"], "verdict": "deny",
     "reason": "Tables are dropped by migrations."},
    {"name": "short", "groups": ["engineers"], "relations": ["public.hurried"], "classes": ["write-unfiltered"],
     "verdict": "approve", "approvers": ["approvers"], "mode": "hold", "timeout": 0.5},
    {"name": "perishable", "groups": ["engineers"], "relations": ["public.perishable"], "classes": ["write-unfiltered"],
     "verdict": "approve", "approvers": ["approvers"], "lifetime": 0.5},
    {"name": "two-people", "groups": ["engineers"], "relations": ["public.precious"], "classes": ["write-unfiltered"],
     "verdict": "approve", "approvers": ["approvers"], "quorum": 2},
    {"name": "privileged", "groups": ["engineers", "agents"], "classes": ["write-unfiltered"], "verdict": "approve",
     "approvers": ["approvers", "engineers"]},
]  # fmt: skip
"""For ada and her agent. Nothing is refused to `clear`, who sees everything as it is."""

CLINIC = """
CREATE TABLE patients (id int PRIMARY KEY, name text NOT NULL, ssn text, dob date);
INSERT INTO patients SELECT n, 'patient ' || n, 'CANARY-' || n, date '1950-01-01' + n FROM generate_series(1, 50) n;
CREATE TABLE encounters (id int PRIMARY KEY, patient int REFERENCES patients, day date, notes text);
INSERT INTO encounters SELECT n, n % 50 + 1, date '2024-01-01' + n, 'CANARY note ' || n FROM generate_series(1, 100) n;
CREATE TABLE wards (id int PRIMARY KEY, name text UNIQUE, beds int NOT NULL CHECK (beds >= 0));
INSERT INTO wards VALUES (1, 'north', 10), (2, 'south', 20), (3, 'east', 30);
COMMENT ON TABLE wards IS 'where beds are';
CREATE TABLE hurried (id int, v int); INSERT INTO hurried VALUES (1, 1);
CREATE TABLE perishable (id int, v int); INSERT INTO perishable VALUES (1, 1);
CREATE TABLE precious (id int, v int); INSERT INTO precious VALUES (1, 1);
CREATE VIEW roster AS SELECT id, name FROM patients;
CREATE MATERIALIZED VIEW beds AS SELECT sum(beds) AS beds FROM wards;
CREATE INDEX wards_beds ON wards (beds) WHERE beds > 0;
CREATE SEQUENCE numbers;
CREATE TYPE mood AS ENUM ('calm', 'alert');
CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE shapes (i int, b bigint, n numeric(12, 3), f float8, r real, t text, c char(5), v varchar(9), y bytea,
    ok boolean, d date, ts timestamp, tz timestamptz, iv interval, u uuid, j json, jb jsonb, a int[], ta text[], m mood,
    p percent, rg int4range, ip inet, pt point, bits bit(5));
INSERT INTO shapes VALUES
    (1, 9007199254740993, 12345.678, 1.5, 2.5, 'gr\u00fc\u00df', 'ab', 'cd', '\\x00ff10', true, '2024-02-29', '2024-02-29 12:34:56.789',
     '2024-02-29 12:34:56+02', '1 year 2 days 03:04:05', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": [1, null]}',
     '{"b": {"c": "d"}}', '{1,NULL,3}', '{"x,y","\\"q\\"",NULL}', 'calm', 55, '[1,10)', '10.0.0.0/8', '(1,2)', B'10101'),
    (NULL, NULL, NULL, 'NaN', 'Infinity', '', '', '', '', false, 'infinity', '-infinity', NULL, NULL, NULL, 'null', '[]', '{}',
     '{}', 'alert', 0, 'empty', '::1', NULL, B'00000');
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
CREATE FUNCTION say(what text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'said: %', what; END$$;
CREATE SCHEMA other; CREATE TABLE other.wards (id int, name text); INSERT INTO other.wards VALUES (9, 'elsewhere');
CREATE ROLE engineer LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO engineer;
CREATE ROLE elsewhere LOGIN; GRANT USAGE ON SCHEMA other TO elsewhere; GRANT SELECT ON other.wards TO elsewhere;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO elsewhere; ALTER ROLE elsewhere SET search_path = other, public;
"""


@pytest.fixture(scope="session")
def house15(postgres15: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway with two workers in front of `clinic` on PostgreSQL 15, which logs every statement."""
    yield from _housed(postgres15, tmp_path_factory)


@pytest.fixture(scope="session")
def house18(postgres18: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The same on PostgreSQL 18."""
    yield from _housed(postgres18, tmp_path_factory)


@pytest.fixture(params=["15", "18"])
def house(request: pytest.FixtureRequest) -> House:
    """Both, one after the other."""
    found: House = request.getfixturevalue(f"house{request.param}")
    return found


def _housed(server: PostgresServer, factory: pytest.TempPathFactory) -> Iterator[House]:
    server.sql("CREATE DATABASE clinic")
    server.sql(CLINIC, "clinic")
    with House(factory.mktemp("house") / "h", server, database="clinic", databases=("postgres", "clinicdb"), masked=MASKED, rules=RULES) as house:
        yield house
