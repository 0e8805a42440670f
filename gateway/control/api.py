"""
The HTTPS API for approvers: JSON, a token as bearer, nothing that a browser sends by itself.

    GET  /api/requests[?all=1]   what the caller may answer or has asked
    GET  /api/requests/ID        one of them, whole
    POST /api/requests/ID/approve, /deny     {"why": "…"}
    GET  /api/sessions           the caller's own and those that act for it; all of them for `admins`
    POST /api/reload             `admins` only: read the configuration again; answers as `ostiary reload --json`

Values are as `--json` of the CLI has them. Errors are {"error": {"code", "text"}} with a status that fits. What the caller may not see
is answered like what does not exist. Whom it refuses is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from gateway.config import Config
from gateway.control import request as shape
from gateway.control.caller import HTTPS, Caller
from gateway.control.errors import (
    BadCall, Conflict, ControlError, ControlUnavailable, Crashed, LoginRefused, NotAllowed, NotFound, Throttled,
)
from gateway.control.office import Office
from gateway.control.opener import shown
from gateway.control.rpc import place
from gateway.control.store import Value
from gateway.control.tries import Try
from gateway.control.watched import ANSWERS, REFUSALS
from gateway.control.when import told

ADMINS = "admins"
"""Members see every session and may have the file read again. It gives no right to answer requests."""

BODY_LIMIT = 16 << 10  # bytes; a reason is short
IDLE = 60  # seconds without a byte

_STATUS: dict[type[ControlError], int] = {
    LoginRefused: 401, NotAllowed: 403, NotFound: 404, Conflict: 409, BadCall: 400, Throttled: 429, ControlUnavailable: 503,
}

Known = dict[str, Any]
"""What a login tells of who called."""


def serve(config: Config, office: Office, reactor: Any) -> Deferred[IListeningPort]:
    """Listen at `[control] listen` with the gateway's certificate."""
    site = TLSMemoryBIOFactory(_tls(config), False, api(office, reactor))
    return serverFromString(reactor, config.control_listen).listen(site)


def _tls(config: Config) -> CertificateOptions:
    """Twisted's own, since twisted.web stands on it; as strict as what clients of databases meet."""
    first, *chain = x509.load_pem_x509_certificates(config.certificate.read_bytes())
    key = load_pem_private_key(config.key.read_bytes(), None)
    return CertificateOptions(
        privateKey=key, certificate=first, extraCertChain=chain, raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableProtocols=[b"http/1.1"],
    )


def api(office: Office, reactor: Any) -> Site:
    """The site, without TLS; tests speak to it directly."""
    root, tree = _Branch(office), _Branch(office)
    root.putChild(b"api", tree)
    tree.putChild(b"requests", Requests(office))
    tree.putChild(b"sessions", Sessions(office))
    tree.putChild(b"reload", Reload(office))
    site = Site(root, requestFactory=_Bounded, timeout=IDLE, reactor=reactor)
    site.noisy = False
    return site


class _Bounded(Request):
    """A request whose body is refused before it is read."""

    def gotLength(self, length: int | None) -> None:
        if length is None or length > BODY_LIMIT:
            self.channel.forceAbortClient()
            length = 0
        super().gotLength(length)


class Json(Resource):
    """A page that answers its caller in JSON, or says why not."""

    isLeaf = True
    _log = Logger()

    def __init__(self, office: Office) -> None:
        super().__init__()
        self._office = office

    def render(self, request: Request) -> int:
        answered = maybeDeferred(self._render, request)
        request.notifyFinish().addErrback(lambda gone: None)  # whether it left is asked when there is an answer
        answered.addCallbacks(lambda value: _finish(request, 200, value), lambda f: self._refuse(request, f))
        return NOT_DONE_YET

    def _render(self, request: Request) -> Any:
        path = [part.decode("utf-8", "replace") for part in request.postpath or [] if part]
        about = self.about(path)
        caller = self._known(request, about)

        def refused(failure: Failure) -> Failure:
            if failure.check(*(ANSWERS if about else REFUSALS)):
                via = Caller(HTTPS, caller["token"], _address(request))
                self._office.tries.refused(Try(_tried(request), via, caller["subject"], request=about), failure.value)
            return failure

        return maybeDeferred(self.answer, request, caller, path).addErrback(refused)

    def _known(self, request: Request, about: str) -> Known:
        """Who calls."""
        token, login, tries = _bearer(request), self._office.login, self._office.tries
        tried, address = _tried(request), _address(request)
        try:
            if not token:
                raise LoginRefused("send a token: `Authorization: Bearer ost_…` (`ostiary token issue`)")
            return login.bearer(token, address)
        except LoginRefused as error:
            proof = login.why_not(None, token) if token else {"subject": ""}
            via = Caller(HTTPS, proof.get("token", ""), address)
            tries.refused(Try(tried, via, subject=proof["subject"], request=about), error, proof.get("why", ""), each=bool(token))
            raise
        except Throttled as error:
            tries.refused(Try(tried, Caller(HTTPS, "", address), request=about), error)
            raise

    def about(self, path: list[str]) -> str:
        """The request that a call is about."""
        return ""

    def answer(self, request: Request, caller: Known, path: list[str]) -> Any:
        """What this page says."""
        raise NotImplementedError

    def _refuse(self, request: Request, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, ControlError):
            self._log.error("the API failed: {what}", what=place(failure))
            error = Crashed("control failed; its log says where")
        if isinstance(error, LoginRefused):
            request.setHeader(b"www-authenticate", b'Bearer realm="ostiary"')
        said = {"error": {"code": error.code, "text": error.why}}
        _finish(request, _STATUS.get(type(error), 500), said)


class Requests(Json):
    """`/api/requests` and below."""

    def about(self, path: list[str]) -> str:
        return path[0] if path else ""

    def answer(self, request: Request, caller: Known, path: list[str]) -> Any:
        match request.method, path:
            case b"GET", []:
                everything = request.args.get(b"all") == [b"1"]
                records = self._office.requests.listed(everything)
                return {"requests": [shape.summary(record) for record in records if _concerns(record, caller)]}
            case b"GET", [name]:
                return shape.shown(self._seen(name, caller))
            case b"POST", [name, ("approve" | "deny") as verb]:
                self._seen(name, caller)
                via = Caller(HTTPS, caller["token"], _address(request))
                return self._answered(verb)(name, caller["subject"], _reason(request), via)
        raise NotFound("there is no such page")

    def _answered(self, verb: str) -> Callable[[str, str, str, Caller], Any]:
        return self._office.requests.approve if verb == "approve" else self._office.requests.deny

    def _seen(self, name: str, caller: Known) -> Value:
        record = self._office.requests.get(name)
        if not _concerns(record, caller):
            raise NotFound(f"there is no request {name[:64]}. `ostiary request list --all` shows them.", "it is no business of theirs")
        return record


class Sessions(Json):
    """`/api/sessions`."""

    def answer(self, request: Request, caller: Known, path: list[str]) -> Any:
        if request.method != b"GET" or path:
            raise NotFound("there is no such page")
        who, everything = caller["subject"], ADMINS in caller["groups"]
        sessions = self._office.sessions.listed()
        return {"sessions": [shown(s) for s in sessions if everything or who in (s["subject"], s["on_behalf_of"])]}


class Reload(Json):
    """`/api/reload`."""

    def answer(self, request: Request, caller: Known, path: list[str]) -> Any:
        if request.method != b"POST" or path:
            raise NotFound("there is no such page")
        if ADMINS not in caller["groups"]:
            raise NotAllowed(f"only members of `{ADMINS}` have the configuration read again")
        _body(request)
        return self._office.reload_file(caller["subject"])


class Missing(Json):
    """Everything else. A stranger is told that it takes a token, nothing more."""

    def answer(self, request: Request, caller: Known, path: list[str]) -> Any:
        raise NotFound("there is no such page")


class _Branch(Resource):
    """A folder of pages."""

    def __init__(self, office: Office) -> None:
        super().__init__()
        self._office = office

    def getChild(self, path: bytes, request: Request) -> Resource:
        return Missing(self._office)

    def render(self, request: Request) -> int:
        return Missing(self._office).render(request)


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", "local"))


def _concerns(record: Value, caller: Known) -> bool:
    mine = caller["subject"] in (record["subject"], record["on_behalf_of"])
    return mine or bool(set(record["approvers"]) & set(caller["groups"]))


def _bearer(request: Request) -> str:
    """The token that it shows; "" for none."""
    scheme, _, token = (request.getHeader(b"authorization") or b"").partition(b" ")
    return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _tried(request: Request) -> str:
    """What it asks for; without what stands behind a "?", which somebody may take for the place of a token."""
    path = "/".join(part.decode("utf-8", "replace") for part in [*request.prepath, *(request.postpath or [])])
    return f"{request.method.decode('ascii', 'replace')[:16]} /{path}"


def _reason(request: Request) -> str:
    """`why` of a JSON body."""
    body = _body(request)
    why = body.get("why", "") if isinstance(body, dict) else None
    if not isinstance(why, str):
        raise BadCall('the body is {"why": "…"}')
    return why[:500]


def _body(request: Request) -> Any:
    """A JSON body, {} when empty. The content type is required: no form of another site can send it."""
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise BadCall("send JSON, as application/json")
    try:
        return json.loads(request.content.read() or b"{}")
    except ValueError:
        raise BadCall("the body is not JSON") from None


def _finish(request: Request, status: int, value: Any) -> None:
    if request.channel is None:  # the caller left before the answer
        return
    request.setResponseCode(status)
    for name, said in ((b"content-type", b"application/json"), (b"cache-control", b"no-store"),
                       (b"x-content-type-options", b"nosniff"), (b"content-security-policy", b"default-src 'none'")):
        request.setHeader(name, said)
    request.write(json.dumps(told(value), ensure_ascii=False).encode() + b"\n")
    request.finish()
