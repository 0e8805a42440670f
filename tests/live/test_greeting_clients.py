"""Stock clients come in through `ClientLogin` over a real socket and real TLS, and one query is answered."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.utils import getProcessOutputAndValue
from zope.interface import implementer

from gateway.line import Line
from gateway.tls import ServerTls
from protocols.command import Transaction
from protocols.effects import Hangup, StartTls, ToClient
from protocols.postgres import messages
from protocols.postgres import replies as r
from protocols.postgres.codec import Frame, FrameReader
from protocols.postgres.greeting import CancelAsked, CheckPassword, ClientLogin, LoggedIn, NeedVerifier
from protocols.postgres.scram import Verifier
from protocols.result import Column, Columns
from tests.servers import Certificates, postgres_18

pytestmark = pytest.mark.live

TOKEN = "ost_s3cret"
VERIFIER = Verifier.of(TOKEN, b"0123456789abcdef")

# psycopg and asyncpg look at these before they are happy.
READY = b"".join(
    r.ParameterStatus(name, value).encode()
    for name, value in (("server_version", "15.20"), ("client_encoding", "UTF8"), ("standard_conforming_strings", "on"))
) + r.BackendKey(1, b"abcd").encode() + r.ReadyForQuery(Transaction.IDLE).encode()  # fmt: skip


@implementer(IHandshakeListener)
class Door(Protocol):
    """The smallest adapter: performs effects, knows one subject, answers every query with who asks."""

    def makeConnection(self, transport: Any) -> None:
        super().makeConnection(Line.over(transport, self, looks=True))

    def connectionMade(self) -> None:
        self.login: ClientLogin | None = ClientLogin(nonce="server", decoy_key=b"k", **self.factory.settings)
        self.reader, self.done = FrameReader(), None

    def handshakeCompleted(self) -> None:
        assert self.login is not None
        self.perform(self.login.secured(self.transport.alpn, self.factory.tls.binding))

    def dataReceived(self, data: bytes) -> None:
        if self.login is not None:
            self.perform(self.login.from_client(data))
            return
        self.reader.feed(data)
        while isinstance(frame := self.reader.next_frame(), Frame):
            self.answer(messages.parse(frame))

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case ToClient(data):
                    self.transport.write(data)
                case StartTls():
                    self.transport.start_tls(self.factory.tls)
                case CheckPassword(subject, secret):
                    self.perform(self.login.password_checked(subject == "ada" and secret == TOKEN.encode()))
                case NeedVerifier(subject):
                    self.perform(self.login.verifier_fetched(VERIFIER if subject == "ada" else None))
                case LoggedIn():
                    self.login, self.done = None, effect
                    self.factory.logins.append(effect)
                    self.transport.write(READY)
                case CancelAsked():
                    self.factory.cancels.append(effect)
                case Hangup():
                    self.transport.loseConnection()

    def answer(self, message: messages.Message) -> None:
        if isinstance(message, messages.Query):
            who = f"{self.done.selection.identity}@{self.done.selection.target} by {self.done.proof}"
            shape = r.RowDescription(Columns((Column("who", 0, 0, 25),)), ((-1, -1),))
            done, ready = r.CommandComplete("SELECT 1"), r.ReadyForQuery(Transaction.IDLE)
            self.transport.write(b"".join(m.encode() for m in (shape, r.DataRow((who.encode(),)), done, ready)))
        elif isinstance(message, messages.Terminate):
            self.transport.loseConnection()


class House(Factory):
    noisy = False
    protocol = Door

    def __init__(self, tls: ServerTls, **settings: Any) -> None:
        self.tls, self.settings = tls, {"auth": ("password", "scram"), "require_tls": True, **settings}
        self.logins: list[LoggedIn] = []
        self.cancels: list[CancelAsked] = []


@pytest_twisted.async_yield_fixture
async def open_house(certificates: Certificates) -> AsyncIterator[Any]:
    ports: list[Any] = []

    def build(**settings: Any) -> tuple[House, int]:
        house = House(ServerTls(certificates.certificate("good"), certificates.key("good")), **settings)
        ports.append(reactor.listenTCP(0, house, interface="127.0.0.1"))
        return house, ports[-1].getHost().port

    yield build
    for port in ports:
        await port.stopListening()


async def psql(certificates: Certificates, port: int, more: str = "", password: str = TOKEN, **how: Any) -> tuple[str, str]:
    """What it prints and what it complains of."""
    binary = how.get("binary", "/usr/bin/psql")
    line = f"host=127.0.0.1 port={port} sslrootcert={certificates.ca} user={how.get('user', 'ada@clinic')} {more}"
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": password, "LC_ALL": "C", "HOME": "/nonexistent"}
    out, err, _ = await getProcessOutputAndValue(
        str(binary), ["-XAtw", "-c", "select who", line], env=environment
    )
    return out.decode().strip(), err.decode()


@pytest_twisted.ensureDeferred
async def test_psql_with_a_password_over_verified_tls(certificates: Certificates, open_house: Any) -> None:
    house, port = open_house()
    out, err = await psql(certificates, port, "dbname=clinicdb sslmode=verify-full")
    assert (out, err) == ("ada@clinic by password", "")
    assert house.logins[0].database == "clinicdb" and house.logins[0].parameters["application_name"] == "psql"


@pytest_twisted.ensureDeferred
async def test_psql_with_scram_and_its_channel_bound(certificates: Certificates, open_house: Any) -> None:
    """channel_binding=require: libpq itself would refuse anything less."""
    _, port = open_house(auth=("scram",))
    out, err = await psql(certificates, port, "sslmode=verify-full channel_binding=require")
    assert (out, err) == ("ada@clinic by scram-plus", "")


@pytest_twisted.ensureDeferred
async def test_psql_18_without_tls_by_scram(certificates: Certificates, open_house: Any) -> None:
    """Where TLS is optional; protocol 3.2 asked for by name."""
    house, port = open_house(require_tls=False)
    more = "max_protocol_version=latest"
    out, err = await psql(certificates, port, more, binary=postgres_18() / "psql")
    assert (out, err) == ("ada@clinic by scram", "") and house.logins[0].version == messages.VERSION_3_2


@pytest.mark.parametrize(
    ("more", "password", "user", "complaint"),
    [
        ("sslmode=require", "wrong", "ada@clinic", 'FATAL:  password authentication failed for user "ada@clinic" [OST-629]'),
        ("sslmode=require", TOKEN, "bob@clinic", 'FATAL:  password authentication failed for user "bob@clinic" [OST-629]'),
        ("sslmode=disable", TOKEN, "ada@clinic", "FATAL:  this gateway is reached over TLS only [OST-622]"),
        ("sslmode=require", TOKEN, "ada:clinic", "IDENTITY@TARGET or IDENTITY@TARGET+ACCOUNT [OST-625]"),
        ("sslmode=require options='-c search_path=x'", TOKEN, "ada@clinic", "'search_path'"),
        ("sslmode=require replication=database", TOKEN, "ada@clinic", "replication connections are refused [OST-627]"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_psql_shows_of_a_refusal(
    certificates: Certificates, open_house: Any, more: str, password: str, user: str, complaint: str
) -> None:
    """Our words, as the server's own."""
    house, port = open_house()
    out, err = await psql(certificates, port, more, password, user=user)
    assert complaint in err and out == "" and not house.logins


DRIVERS = {
    "psycopg, direct TLS": (
        "import psycopg,sys; c=psycopg.connect(f'host=127.0.0.1 port={sys.argv[1]} user=ada@clinic dbname=clinicdb"
        " sslmode=verify-full sslnegotiation=direct sslrootcert={sys.argv[2]} password={sys.argv[3]}', autocommit=True);"
        " c.prepare_threshold=None; print(c.pgconn.exec_(b'select who').get_value(0,0).decode())"
    ),
    "psycopg, TLS asked for": (
        "import psycopg,sys; c=psycopg.connect(f'host=127.0.0.1 port={sys.argv[1]} user=ada@clinic dbname=clinicdb"
        " sslmode=verify-full sslrootcert={sys.argv[2]} password={sys.argv[3]}', autocommit=True);"
        " print(c.pgconn.exec_(b'select who').get_value(0,0).decode())"
    ),
    "asyncpg": (
        "import asyncio,asyncpg,ssl,sys\n"
        "async def main():\n"
        "    c = await asyncpg.connect(host='127.0.0.1', port=int(sys.argv[1]), user='ada@clinic', database='clinicdb',\n"
        "        password=sys.argv[3], ssl=ssl.create_default_context(cafile=sys.argv[2]))\n"
        "    print('ada@clinic by password' if (await c.execute('select who')) == 'SELECT 1' else 'no')\n"
        "    c.terminate()\n"
        "asyncio.run(main())"
    ),
}


@pytest.mark.parametrize("script", DRIVERS.values(), ids=DRIVERS)
@pytest_twisted.ensureDeferred
async def test_drivers(certificates: Certificates, open_house: Any, script: str) -> None:
    """Two drivers, and both ways into TLS."""
    house, port = open_house()
    out, err, _ = await getProcessOutputAndValue(
        sys.executable, ["-c", script, str(port), str(certificates.ca), TOKEN], env=dict(os.environ)
    )
    assert out.decode().strip() == "ada@clinic by password", err.decode()
    assert house.logins[0].proof == "password"


@pytest_twisted.ensureDeferred
async def test_a_cancel_request_comes_in(certificates: Certificates, open_house: Any) -> None:
    """libpq before 17 sends it without TLS; newer ones inside."""
    house, port = open_house()
    script = DRIVERS["psycopg, TLS asked for"] + "; c.cancel(); c.cancel_safe()"
    out, err, _ = await getProcessOutputAndValue(
        sys.executable, ["-c", script, str(port), str(certificates.ca), TOKEN], env=dict(os.environ)
    )
    assert out and len(house.cancels) == 2, err.decode()
    assert all((c.pid, c.secret) == (1, b"abcd") for c in house.cancels)
