"""`gateway.upstream` against real servers: every login × TLS × version, and every way it goes wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from gateway.config import Account, TargetEntry
from gateway.query import Querying, QueryError
from gateway.upstream import DialError, Upstream, cancel, dial, probe
from tests.live.conftest import PASSWORD, WEIRD
from tests.servers import POSTGRES, Certificates, PostgresServer, free_port

pytestmark = pytest.mark.live


def target(server: PostgresServer, certificates: Certificates, tls: str = "verify", **more: Any) -> TargetEntry:
    entry = TargetEntry(
        "clinic", "postgres", server.host, server.port, "clinicdb", ("clinicdb",), (Account("app", "app_scram"),),
        tls=tls, tls_ca=certificates.ca,
    )
    return replace(entry, **more)


def account(user: str) -> Account:
    return Account("app", user, auth="trust" if user == "app_trust" else "password")


def hang_up(upstream: Upstream) -> None:
    upstream.transport.abortConnection()


async def dialled(entry: TargetEntry, who: Account, password: str | None, **more: Any) -> Upstream:
    return await dial(reactor, entry, who, password, more.pop("database", "clinicdb"), more.pop("parameters", {}), **more)


async def refused(entry: TargetEntry, who: Account, password: str | None, **more: Any) -> DialError:
    with pytest.raises(DialError) as caught:
        hang_up(await dialled(entry, who, password, **more))
    return caught.value


# -- what works -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["verify", "encrypt", "off"])
@pytest.mark.parametrize("login", ["trust", "md5", "scram", "clear"])
@pytest_twisted.ensureDeferred
async def test_every_login_by_every_tls(
    postgres15: PostgresServer, certificates: Certificates, login: str, tls: str
) -> None:
    """It ends ready for the first command; a password goes in clear over verified TLS only."""
    entry, who = target(postgres15, certificates, tls), account(f"app_{login}")
    password = None if login == "trust" else PASSWORD
    if login == "clear" and tls != "verify":
        assert "in clear" in (await refused(entry, who, password)).why
        return
    upstream = await dialled(entry, who, password, parameters={"application_name": "spine"})
    try:
        method = {"clear": "cleartext", "scram": "scram" if tls == "off" else "scram-plus"}.get(login, login)
        assert upstream.facts["auth"] == method
        assert upstream.facts["tls_verified"] == tls and bool(upstream.facts["tls"]) == (tls != "off")
        assert (upstream.facts["protocol"], len(upstream.secret) > 4) == (("3.2", True) if postgres15.version >= 18 else ("3.0", False))
        assert upstream.parameters["application_name"] == "spine"
        seen = await Querying(upstream).query("SELECT current_user, current_database(), pg_backend_pid()")
        assert seen == [(f"app_{login}", "clinicdb", str(upstream.pid))]
    finally:
        hang_up(upstream)


@pytest.mark.parametrize("login", ["trust", "md5", "scram"])
@pytest_twisted.ensureDeferred
async def test_every_login_to_18(postgres18: PostgresServer, certificates: Certificates, login: str) -> None:
    """Protocol 3.2, whose cancel keys are long."""
    who = account(f"app_{login}")
    upstream = await dialled(target(postgres18, certificates, "off"), who, None if login == "trust" else PASSWORD)
    assert upstream.facts["protocol"] == "3.2" and len(upstream.secret) > 4
    assert upstream.facts["auth"] == login and upstream.facts["server_version"].startswith("18")
    hang_up(upstream)


@pytest_twisted.ensureDeferred
async def test_a_client_certificate(postgres15: PostgresServer, certificates: Certificates) -> None:
    """No password at all; and without the certificate, no login."""
    who = Account(
        "app", "app_cert", "certificate", certificate=certificates.certificate("app_cert"), key=certificates.key("app_cert")
    )
    upstream = await dialled(target(postgres15, certificates), who, None)
    assert upstream.facts["auth"] == "certificate"
    hang_up(upstream)
    assert (await refused(target(postgres15, certificates), replace(who, certificate=None), None)).kind == "login"


@pytest_twisted.ensureDeferred
async def test_a_password_that_saslprep_changes(postgres15: PostgresServer, certificates: Certificates) -> None:
    """The server prepared it when it was set; so do we. Its prepared form is the same password."""
    for password in (WEIRD, "IXa"):
        hang_up(await dialled(target(postgres15, certificates), account("app_weird"), password))


@pytest_twisted.ensureDeferred
async def test_channel_binding_with_another_hash(certificates: Certificates) -> None:
    """The certificate's own signature hash is used: SHA-512 here (RFC 5929, section 4.1)."""
    server = PostgresServer(POSTGRES, certificates=certificates, certificate="sha512", hba=["host all all all scram-sha-256"])
    try:
        server.start().sql(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
        upstream = await dialled(target(server, certificates), account("app"), PASSWORD, database="postgres")
        assert upstream.facts["auth"] == "scram-plus"
        hang_up(upstream)
    finally:
        server.stop()


@pytest_twisted.ensureDeferred
async def test_tls_name_overrides_the_address(postgres15: PostgresServer, certificates: Certificates) -> None:
    """The certificate carries localhost, db.test and 127.0.0.1."""
    for name in ("db.test", "localhost", "127.0.0.1", ""):
        hang_up(await dialled(target(postgres15, certificates, tls_name=name), account("app_scram"), PASSWORD))


@pytest_twisted.ensureDeferred
async def test_probe_tells_the_facts(postgres15: PostgresServer, certificates: Certificates) -> None:
    """It leaves nothing behind but its findings."""
    facts = await probe(reactor, target(postgres15, certificates), account("app_scram"), PASSWORD)
    assert facts["server_version"].startswith(str(postgres15.version)) and facts["tls"] == "TLSv1.3"
    assert len(facts["tls_certificate_sha256"]) == 64


# -- what does not ----------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["md5", "scram", "clear"])
@pytest_twisted.ensureDeferred
async def test_a_wrong_password(postgres15: PostgresServer, certificates: Certificates, login: str) -> None:
    """The client hears neither the service login's name nor the server's words; the record does."""
    error = await refused(target(postgres15, certificates), account(f"app_{login}"), "wrong")
    assert (error.kind, error.code, error.fields["C"]) == ("login", "OST-643", "28P01")
    assert f"app_{login}" not in str(error) and f"app_{login}" in error.fields["M"]


@pytest_twisted.ensureDeferred
async def test_a_password_account_is_never_let_in_for_nothing(
    postgres15: PostgresServer, certificates: Certificates
) -> None:
    """Who asks for no proof may be anybody."""
    error = await refused(target(postgres15, certificates), Account("app", "app_trust"), PASSWORD)
    assert error.kind == "login" and "no proof" in error.why


@pytest_twisted.ensureDeferred
async def test_what_a_client_may_know_of_a_refusal(postgres15: PostgresServer, certificates: Certificates) -> None:
    """A missing database and a full server are told, with their own SQLSTATE."""
    error = await refused(target(postgres15, certificates), account("app_scram"), PASSWORD, database="absent")
    assert error.sqlstate == "3D000" and "does not exist" in error.why
    full = await refused(target(postgres15, certificates), Account("app", "app_full", auth="trust"), None)
    assert full.sqlstate == "53300"


@pytest_twisted.ensureDeferred
async def test_a_certificate_of_an_unknown_authority(postgres15: PostgresServer, certificates: Certificates) -> None:
    """Refused with the reason, before a byte of the login."""
    for ca in (certificates.certificate("stranger"), None):
        error = await refused(target(postgres15, certificates, tls_ca=ca), account("app_scram"), PASSWORD)
        assert error.kind == "tls" and "not trusted" in error.why


@pytest_twisted.ensureDeferred
async def test_a_certificate_for_another_name(postgres15: PostgresServer, certificates: Certificates) -> None:
    """By host name and by address."""
    for name in ("other.test", "127.0.0.2", "db.test.evil.example"):
        error = await refused(target(postgres15, certificates, tls_name=name), account("app_scram"), PASSWORD)
        assert error.kind == "tls" and name in error.why


@pytest_twisted.ensureDeferred
async def test_an_expired_certificate(certificates: Certificates) -> None:
    """Refused when verified; "encrypt" is what it says."""
    server = PostgresServer(POSTGRES, certificates=certificates, certificate="expired")
    try:
        server.start().sql("CREATE ROLE app LOGIN")
        who = Account("app", "app", auth="trust")
        error = await refused(target(server, certificates), who, None)
        assert error.kind == "tls" and "expired" in error.why
        hang_up(await dialled(target(server, certificates, "encrypt"), who, None, database="postgres"))
    finally:
        server.stop()


@pytest_twisted.ensureDeferred
async def test_a_target_without_tls(postgres18: PostgresServer, certificates: Certificates) -> None:
    """It is never fallen back from."""
    for tls in ("verify", "encrypt"):
        error = await refused(target(postgres18, certificates, tls), account("app_scram"), PASSWORD)
        assert error.kind == "tls" and "does not speak TLS" in error.why


@pytest_twisted.ensureDeferred
async def test_nobody_listens(certificates: Certificates, postgres15: PostgresServer) -> None:
    """Refused by the machine, and a name that is none."""
    entry = target(postgres15, certificates, port=free_port())
    assert (await refused(entry, account("app_scram"), PASSWORD)).kind == "unreachable"
    gone = target(postgres15, certificates, host="absent.invalid")
    assert (await refused(gone, account("app_scram"), PASSWORD)).kind == "unreachable"


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("tls", ["verify", "off"])
@pytest_twisted.ensureDeferred
async def test_a_target_that_stalls(
    postgres15: PostgresServer, certificates: Certificates, silent: int, tls: str
) -> None:
    """One deadline for all of it."""
    error = await refused(target(postgres15, certificates, tls, port=silent), account("app_scram"), PASSWORD, timeout=0.2)
    assert error.kind == "timeout" and "clinic" in error.why


@pytest_twisted.ensureDeferred
async def test_a_server_that_freezes_and_dies(certificates: Certificates) -> None:
    """Frozen: timeout. Killed under a session: its receiver is told."""
    server = PostgresServer(POSTGRES)
    try:
        server.start().sql("CREATE ROLE app LOGIN")
        entry, who = target(server, certificates, "off"), Account("app", "app", auth="trust")
        connection = Querying(await dialled(entry, who, None, database="postgres"))
        server.freeze()
        assert (await refused(entry, who, None, timeout=0.3)).kind == "timeout"
        server.thaw()
        waiting = connection.query("SELECT pg_sleep(100)")
        server.halt(9)
        with pytest.raises(QueryError):
            await waiting
        assert (await refused(entry, who, None)).kind == "unreachable"
    finally:
        server.stop()


# -- cancel -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["verify", "off"])
@pytest_twisted.ensureDeferred
async def test_cancel_stops_what_runs(postgres15: PostgresServer, certificates: Certificates, tls: str) -> None:
    """With the right secret only."""
    await cancelled(target(postgres15, certificates, tls))


@pytest_twisted.ensureDeferred
async def test_cancel_with_a_long_key(postgres18: PostgresServer, certificates: Certificates) -> None:
    """Protocol 3.2."""
    await cancelled(target(postgres18, certificates, "off"))


async def cancelled(entry: TargetEntry) -> None:
    upstream = await dialled(entry, account("app_scram"), PASSWORD)
    connection = Querying(upstream)
    await connection.query("SELECT 1")
    sleeping: Deferred[Any] = connection.query("SELECT pg_sleep(100)")
    await cancel(reactor, entry, upstream.pid, b"wrong" if len(upstream.secret) > 4 else b"none")
    assert not sleeping.called
    while not sleeping.called:  # a cancel that comes before the query begins is lost, as with any client
        await cancel(reactor, entry, upstream.pid, upstream.secret)
    with pytest.raises(QueryError) as caught:
        await sleeping
    assert caught.value.sqlstate == "57014"
    connection.close()
