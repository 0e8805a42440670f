"""An identity provider on loopback, in a thread of the test's own process: device flow, ID tokens, keys. It does what a test says."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwk, jws

PENDING = (400, {"error": "authorization_pending"})


class Idp:
    """
    :ivar answer: of the token endpoint: (status, body), or None for an ID token with `claims`. :ivar polls: device codes, as they came.
    :ivar lasts: of its codes, and :ivar interval: of polls, in seconds.
    """

    def __init__(self) -> None:
        self.key = jwk.RSAKey.generate_key(2048)
        self.answer: Any = PENDING
        self.claims: dict[str, Any] = {}
        self.polls: list[str] = []
        self.started = 0
        self.lasts, self.interval = 300, 1
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Idp:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def section(self) -> dict[str, Any]:
        """For `[ssh.device]`."""
        return {"issuer": self.issuer, "client_id": "ostiary", "loopback_http": True}

    def reset(self) -> None:
        with self._changed:
            self.answer, self.claims = PENDING, {}

    def approve(self, email: str, **claims: Any) -> None:
        """Somebody is done in the browser."""
        with self._changed:
            self.answer, self.claims = None, {"email": email, **claims}

    def code(self) -> str:
        """The user code that was handed out last."""
        return f"CODE-{self.started:04d}"

    def polled(self, more: int = 1, patience: float = 60.0) -> None:
        """Wait until it was polled so many times more."""
        with self._changed:
            wanted = len(self.polls) + more
            assert self._changed.wait_for(lambda: len(self.polls) >= wanted, patience), "nobody polls"

    def token(self) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "ostiary", "sub": "u-1", "iat": now, "exp": now + 300, "email_verified": True, **self.claims}
        return jws.serialize_compact({"alg": "RS256", "kid": "k1"}, json.dumps(claims), self.key, algorithms=["RS256"])

    def get(self, path: str) -> tuple[int, Any]:
        if path == "/jwks":
            return 200, {"keys": [{**self.key.as_dict(private=False), "kid": "k1", "use": "sig"}]}
        if path == "/.well-known/openid-configuration":
            names = {"device_authorization_endpoint": "device", "token_endpoint": "token", "jwks_uri": "jwks"}
            return 200, {"issuer": self.issuer, **{name: f"{self.issuer}/{end}" for name, end in names.items()}}
        return 404, {}

    def post(self, path: str, form: dict[str, str]) -> tuple[int, Any]:
        with self._changed:
            if path == "/device":
                self.started += 1
                page = f"{self.issuer}/activate"
                return 200, {
                    "device_code": f"device-{self.started}", "user_code": self.code(), "verification_uri": page,
                    "verification_uri_complete": f"{page}?user_code={self.code()}", "expires_in": self.lasts, "interval": self.interval,
                }
            self.polls.append(form.get("device_code", ""))
            self._changed.notify_all()
            return self.answer if self.answer is not None else (200, {"id_token": self.token(), "token_type": "Bearer", "access_token": "a"})


def _handler(idp: Idp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(*idp.get(self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._answer(*idp.post(self.path, {name: values[0] for name, values in parse_qs(body).items()}))

        def _answer(self, status: int, body: Any) -> None:
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: Any) -> None:
            """Not on a test's output."""

    return Handler
