"""
Servers that the live tests share: one PostgreSQL 15 with TLS, one 18 without, started once.

Both know the roles of LOGINS, each let in another way; every other role is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import POSTGRES_15, TRUST, Certificates, PostgresServer, make_certificates, postgres_18

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
    yield from _running(PostgresServer(POSTGRES_15, EXTRAS, HBA_TLS, certificates))


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
