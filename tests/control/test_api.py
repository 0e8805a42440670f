"""The HTTPS API, by real requests from another thread."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.threads import deferToThread

from gateway.certificates import authority, issue, write_pair
from gateway.config import Audit, Config
from gateway.control.admin import Admin
from gateway.control.api import BODY_LIMIT, serve
from gateway.control.errors import StoreRefused
from gateway.control.identity.throttle import PEER_FAILURES
from gateway.control.office import Office
from gateway.parts import CannotSwitch
from tests_people import ADA, GRACE, JOAN, PEOPLE

Asked = Callable[..., dict[str, Any]]
ROOT = "root@clinic.example"


class Api:
    """What a caller with a token sees."""

    def __init__(self, office: Office, port: int, ca: Path) -> None:
        self.office, self.port, self.ca = office, port, ca
        self._tokens: dict[str, str] = {}

    def token(self, subject: str) -> str:
        if subject not in self._tokens:
            self._tokens[subject] = Admin(self.office, None).token_issue(subject, 3600.0)["token"]
        return self._tokens[subject]

    def get(self, path: str, subject: str = GRACE) -> Deferred[Any]:
        return self.send("GET", path, {"Authorization": f"Bearer {self.token(subject)}"})

    def post(self, path: str, body: Any, subject: str = GRACE, kind: str = "application/json") -> Deferred[Any]:
        headers = {"Authorization": f"Bearer {self.token(subject)}", "Content-Type": kind}
        return self.send("POST", path, headers, body if isinstance(body, bytes) else json.dumps(body).encode())

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> Deferred[Any]:
        return deferToThread(self._send, method, path, headers, body)

    def _send(self, method: str, path: str, headers: dict[str, str], body: bytes | None) -> Any:
        context = ssl.create_default_context(cafile=str(self.ca))
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=context)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, (json.loads(text) if text else None), response.headers
        finally:
            connection.close()


@pytest_twisted.async_yield_fixture
async def api(office: Office, tmp_path: Path) -> AsyncIterator[Api]:
    ca = authority("test")
    write_pair(tmp_path / "ca.pem", tmp_path / "ca.key", ca)
    write_pair(tmp_path / "server.pem", tmp_path / "server.key", issue(ca, ["localhost"]), chain=[ca.certificate])
    config = Config(
        file=tmp_path / "ostiary.toml", name="gw", state=tmp_path, workers=1, drain=1.0,
        certificate=tmp_path / "server.pem", key=tmp_path / "server.key", audit=Audit(tmp_path / "audit"),
        control_listen="tcp:0:interface=127.0.0.1", listens=(), targets={}, identities=PEOPLE, addons=(), spool=tmp_path / "spool", spool_bytes=1 << 20,
    )
    Admin(office, None).identity_add(ROOT, "human", ["admins"])
    port = await serve(config, office, reactor)
    yield Api(office, port.getHost().port, tmp_path / "ca.pem")
    await port.stopListening()


def submit(office: Office, asked: dict[str, Any]) -> str:
    out: list[Any] = []
    office.requests.submit(asked).addCallback(out.append)
    return str(out[0]["request"])


@pytest_twisted.ensureDeferred
async def test_an_approver_sees_and_approves(api: Api, asked: Asked, notary: Any) -> None:
    answers: list[Any] = []
    api.office.on_answered = answers.append
    request = submit(api.office, asked())
    status, listed, _ = await api.get("/api/requests")
    assert status == 200 and [one["id"] for one in listed["requests"]] == [request]
    status, shown, _ = await api.get(f"/api/requests/{request}")
    assert (shown["text"], shown["subject"], shown["why"]) == (asked()["text"], ADA, asked()["why"])
    assert shown["parameters"] == [{"type": 25, "value": "x"}] and shown["binding"] == asked()["binding"].hex()
    status, told, _ = await api.post(f"/api/requests/{request}/approve", {"why": "go on"})
    assert (status, told["state"]) == (200, "released")
    assert answers[0]["by"] == GRACE and notary.grants[0]["approvers"] == [GRACE]
    [said] = [facts for kind, facts in notary.notes if kind == "request.approved"]
    [issued] = [facts for kind, facts in notary.notes if kind == "token.issued"]
    assert (said["channel"], said["address"], said["with_token"]) == ("https", "127.0.0.1", issued["token"])
    status, told, _ = await api.post(f"/api/requests/{request}/approve", {})
    assert (status, told["error"]["code"]) == (409, "OST-606") and "approved already" in told["error"]["text"]


@pytest_twisted.ensureDeferred
async def test_denying_with_a_reason(api: Api, asked: Asked) -> None:
    request = submit(api.office, asked())
    status, told, _ = await api.post(f"/api/requests/{request}/deny", {"why": "nö"})
    assert (status, told["state"]) == (200, "denied")
    assert api.office.requests.get(request)["reason"] == "nö"


@pytest_twisted.ensureDeferred
async def test_the_requester_sees_it_and_cannot_answer(api: Api, asked: Asked) -> None:
    request = submit(api.office, asked())
    assert (await api.get(f"/api/requests/{request}", ADA))[0] == 200
    status, told, _ = await api.post(f"/api/requests/{request}/approve", {}, ADA)
    assert (status, told["error"]["code"]) == (403, "OST-605")


@pytest_twisted.ensureDeferred
async def test_what_does_not_concern_somebody_is_not_there(api: Api, asked: Asked) -> None:
    """The same answer as for a request that does not exist; and no answering it."""
    request = submit(api.office, asked())
    assert (await api.get("/api/requests", JOAN))[1] == {"requests": []}
    hidden, none = await api.get(f"/api/requests/{request}", JOAN), await api.get("/api/requests/r-0000000000", JOAN)
    assert hidden[0] == none[0] == 404
    assert hidden[1]["error"]["text"].replace(request, "X") == none[1]["error"]["text"].replace("r-0000000000", "X")
    assert (await api.post(f"/api/requests/{request}/deny", {}, JOAN))[0] == 404
    assert api.office.requests.get(request)["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_sessions_are_ones_own_or_an_admins(api: Api) -> None:
    for name, subject, person in (("1", ADA, None), ("2", "claude", ADA), ("3", GRACE, None)):
        api.office.sessions.opened(None, {"id": name, "subject": subject, "on_behalf_of": person})
    for who, seen in ((ADA, ["1", "2"]), (GRACE, ["3"]), (JOAN, []), (ROOT, ["1", "2", "3"])):
        assert [one["id"] for one in (await api.get("/api/sessions", who))[1]["sessions"]] == seen


@pytest_twisted.ensureDeferred
async def test_nobody_without_a_token(api: Api) -> None:
    good = api.token(GRACE)
    headers = ({}, {"Authorization": good}, {"Authorization": f"Basic {good}"}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {good}x"})
    for sent in headers:
        status, told, answered = await api.send("GET", "/api/requests", dict(sent))
        assert status == 401 and answered["WWW-Authenticate"].startswith("Bearer") and good not in str(told)
    assert (await api.send("GET", f"/api/requests?token={good}", {}))[0] == 401


def refused(notary: Any) -> list[dict[str, str]]:
    """What the evidence is told that the API refused, since the last look."""
    found = [facts for kind, facts in notary.notes if kind == "control.refused"]
    notary.notes.clear()
    return found


@pytest_twisted.ensureDeferred
async def test_every_refused_try_is_recorded_with_who_and_from_where(api: Api, asked: Asked, notary: Any) -> None:
    """A wrong token, one's own request, one that is nobody's business, one that is over, a reload."""
    request = submit(api.office, asked())
    good = {who: api.token(who) for who in (GRACE, ADA, JOAN)}
    notary.notes.clear()
    path = f"/api/requests/{request}/approve"
    await api.send("POST", path, {"Authorization": "Bearer hunter2", "Content-Type": "application/json"}, b"{}")
    for who in (ADA, JOAN, GRACE, GRACE):
        await api.post(path, {}, who)
    await api.get(f"/api/requests/{request}", JOAN)
    await api.post("/api/reload", {}, GRACE)
    tries = refused(notary)
    assert [(one.get("by"), one["code"], one["tried"], one.get("request")) for one in tries] == [
        (None, "OST-601", f"POST {path}", request),
        (ADA, "OST-605", f"POST {path}", request),
        (JOAN, "OST-604", f"POST {path}", request),
        (GRACE, "OST-606", f"POST {path}", request),
        (JOAN, "OST-604", f"GET /api/requests/{request}", request),
        (GRACE, "OST-605", "POST /api/reload", None),
    ]
    assert tries[2]["why"] == "it is no business of theirs" and "approved already" in tries[3]["why"]
    assert all((one["channel"], one["address"]) == ("https", "127.0.0.1") for one in tries)
    assert [one.get("with_token") for one in tries[:2]] == [None, good[ADA].split("_")[1]]
    assert not any(secret in str(tries) for secret in ("hunter2", *(token[15:] for token in good.values())))


@pytest_twisted.ensureDeferred
async def test_an_expired_token_and_one_in_the_address_are_recorded_without_it(api: Api, clock: Any, notary: Any) -> None:
    good = api.token(GRACE)
    clock.advance(3601.0)
    notary.notes.clear()
    for path in ("/api/requests", f"/api/{good}?token={good}", f"/api/requests/{good}"):
        assert (await api.get(path))[0] == 401
    tries = refused(notary)
    assert [(one["why"], one["subject"], one["with_token"]) for one in tries] == [("the token has expired", GRACE, good.split("_")[1])] * 3
    assert tries[1]["tried"] == f"GET /api/{good[:14]}_…" and good[15:] not in str(tries)


@pytest_twisted.ensureDeferred
async def test_who_shows_no_token_is_only_summed(api: Api, clock: Any, notary: Any) -> None:
    """A load balancer that looks whether there is anybody; and who sends other answers than forms are mistaken, not refused."""
    for _ in range(3):
        assert (await api.send("GET", "/", {}))[0] == 401
    assert (await api.get("/api/nothing"))[0] == 404 and (await api.post("/api/requests/x/approve", b"not json"))[0] == 404
    found = refused(notary)
    assert [one["tried"] for one in found] == ["POST /api/requests/x/approve"]
    clock.advance(61.0)
    [summed] = refused(notary)
    assert (summed["times"], summed["tried"], summed["address"]) == ("3", "GET /", "127.0.0.1")


@pytest_twisted.ensureDeferred
async def test_a_stranger_who_guesses_is_counted_in_few_records_and_stops_nobody_elsewhere(api: Api, clock: Any, notary: Any) -> None:
    api.token(GRACE)
    notary.notes.clear()
    for _ in range(PEER_FAILURES + 10):
        await api.send("GET", "/api/requests", {"Authorization": "Bearer ost_0000000000_" + "x" * 43})
    assert api.office.login.bearer(api.token(GRACE), "192.0.2.1")["subject"] == GRACE
    clock.advance(61.0)
    *each, summed = refused(notary)
    assert len(each) == 10 and (summed["times"], summed["why"]) == ("30", "OST-601: 20, OST-602: 10")


@pytest_twisted.ensureDeferred
async def test_a_refusal_stays_one_where_the_store_takes_no_record(api: Api, asked: Asked, notary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = submit(api.office, asked())
    assert api.token(ADA) and api.token(GRACE)
    notary.notes.clear()

    def full() -> Any:
        raise StoreRefused("control's store cannot be written")

    with monkeypatch.context() as patched:
        patched.setattr(api.office.store, "write", full)
        assert (await api.send("GET", "/api/requests", {"Authorization": "Bearer hunter2"}))[0] == 401
        assert (await api.post(f"/api/requests/{request}/approve", {}, ADA))[0] == 403
        assert (await api.post(f"/api/requests/{request}/approve", {}))[0] == 500
    assert refused(notary) == [] and api.office.requests.get(request)["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_guessing_is_braked(api: Api) -> None:
    """By address; the right token is then not looked at either."""
    for _ in range(PEER_FAILURES):
        api.office.throttle.failed("", "127.0.0.1")
    status, told, _ = await api.get("/api/requests")
    assert (status, told["error"]["code"]) == (429, "OST-602")


@pytest_twisted.ensureDeferred
async def test_another_site_cannot_answer_for_a_browser(api: Api, asked: Asked) -> None:
    """No form can send JSON, and there are no cookies."""
    request = submit(api.office, asked())
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        assert (await api.post(f"/api/requests/{request}/approve", {}, kind=kind))[0] == 400
    assert api.office.requests.get(request)["state"] == "pending"


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"why": 3}', b"\xff"])
@pytest_twisted.ensureDeferred
async def test_a_body_that_is_no_answer(api: Api, asked: Asked, body: bytes) -> None:
    request = submit(api.office, asked())
    assert (await api.post(f"/api/requests/{request}/approve", body))[0] == 400
    assert api.office.requests.get(request)["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_other_pages_and_methods(api: Api, asked: Asked) -> None:
    request = submit(api.office, asked())
    for path in ("/api/sessions/x", f"/api/requests/{request}/x", f"/api/requests/{request}/approve/x"):
        assert (await api.get(path))[0] == 404
    assert (await api.get(f"/api/requests/{request}/approve"))[0] == 404
    assert (await api.send("DELETE", "/api/requests", {"Authorization": f"Bearer {api.token(GRACE)}"}))[0] == 404
    for path in ("/", "/x", "/api", "/api/", "/api/x"):
        assert (await api.get(path))[0] == 404, path
        assert (await api.send("GET", path, {}))[0] == 401, path
    assert api.office.requests.get(request)["state"] == "pending"


@pytest_twisted.ensureDeferred
async def test_nothing_is_kept_by_a_cache_or_run_by_a_browser(api: Api) -> None:
    _, _, headers = await api.get("/api/requests")
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'" and headers["Content-Type"] == "application/json"


@pytest_twisted.ensureDeferred
async def test_a_body_that_is_too_large_is_not_read(api: Api) -> None:
    with pytest.raises((ConnectionError, ssl.SSLError, http.client.HTTPException, socket.timeout)):
        await api.post("/api/requests/x/approve", b"x" * (BODY_LIMIT + 1))


@pytest_twisted.ensureDeferred
async def test_it_does_not_speak_without_tls(api: Api) -> None:
    def plain() -> bytes:
        with socket.create_connection(("127.0.0.1", api.port), timeout=20) as connection:
            connection.sendall(b"GET /api/requests HTTP/1.0\r\n\r\n")
            data = b""
            try:
                while more := connection.recv(4096):
                    data += more
            except ConnectionResetError:
                pass
            return data

    assert b"HTTP" not in await deferToThread(plain)


@pytest_twisted.ensureDeferred
async def test_an_admin_has_the_configuration_read_again(api: Api) -> None:
    """The evidence will name who asked; what is hardly meant in it is told with the answer."""
    asked: list[str] = []

    def reload(by: str) -> Deferred[int]:
        asked.append(by)
        return succeed(7)

    api.office.on_reload, api.office.on_look = reload, lambda: succeed({"refusing": {"clinic": ["no such column"]}})
    status, told, _ = await api.post("/api/reload", {}, ROOT)
    assert (status, told, asked) == (200, {"revision": 7, "refusing": {"clinic": ["no such column"]}}, [ROOT])


@pytest_twisted.ensureDeferred
async def test_nobody_else_has_the_configuration_read_again(api: Api) -> None:
    """Not an approver, not another site's form, not a GET."""
    asked: list[str] = []
    api.office.on_reload = asked.append
    assert (await api.post("/api/reload", {}, GRACE))[0] == 403
    assert (await api.post("/api/reload", {}, ROOT, kind="text/plain"))[0] == 400
    assert (await api.get("/api/reload", ROOT))[0] == 404
    assert (await api.send("POST", "/api/reload", {}, b"{}"))[0] == 401
    assert asked == []


@pytest_twisted.ensureDeferred
async def test_a_refused_reload_says_the_key_and_that_nothing_changed(api: Api) -> None:
    api.office.on_reload = lambda by: fail(CannotSwitch("gatewya: unknown key"))
    status, told, _ = await api.post("/api/reload", {}, ROOT)
    assert (status, told["error"]["code"]) == (409, "OST-606")
    assert told["error"]["text"] == "nothing has changed:\ngatewya: unknown key"
