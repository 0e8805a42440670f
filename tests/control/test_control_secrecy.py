"""No secret and no statement's value in anything that is logged, shown, raised or stored in clear."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from gateway.control.admin import Admin
from gateway.control.errors import ControlError
from gateway.control.office import Office
from gateway.control.rpc import place
from tests_people import ADA, GRACE

PASSWORD, VALUE, LITERAL = "canary-password-7f3a", b"canary-value-9c1e", "canary-literal-55d0"


@pytest.fixture
def logged() -> Any:
    events: list[str] = []

    def observe(event: Any) -> None:
        events.append(repr({k: v.getTraceback() if isinstance(v, Failure) else v for k, v in event.items()}))

    globalLogPublisher.addObserver(observe)
    yield events
    globalLogPublisher.removeObserver(observe)


def everything(office: Office, asked: Callable[..., dict[str, Any]], notary: Any) -> tuple[list[str], list[str]]:
    """Do all there is to do, right and wrong; the secrets, and every text that came out besides them."""
    admin, texts = Admin(office, None), []
    token = admin.token_issue(ADA, 3600.0)["token"]
    approver = admin.token_issue(GRACE, 3600.0)["token"]
    admin.account_secret("clinic", "rw", PASSWORD)
    out: list[Any] = []
    text = f"UPDATE t SET a = '{LITERAL}'"
    office.requests.submit(asked(text=text, sent=text, parameters=[[25, 0, VALUE]])).addCallback(out.append)
    request = out[0]["request"]
    notary.down = True
    admin.request_approve(request, GRACE, approver)
    notary.down = False
    tries: list[Callable[[], Any]] = [
        lambda: office.login.authenticate(ADA, token, "p:1"), lambda: office.login.authenticate("eve", token, "p:1"),
        lambda: office.login.authenticate(ADA, token + "x", "p:1"), lambda: office.login.bearer(token[:-1], "p:1"),
        lambda: admin.request_approve(request, GRACE, approver), lambda: admin.request_deny(request, ADA, token),
        lambda: admin.account_secret("clinic", "rw", PASSWORD + "\0"), lambda: office.vault.secret("clinic", "ro"),
        lambda: office.requests.submit(asked(text=text, parameters=[[25, 0, VALUE]], mode="x")),
        lambda: admin.identity_add(PASSWORD + "/", "human", []), lambda: admin.token_revoke(token),
    ]
    for attempt in tries[:9] + tries[10:]:
        try:
            texts.append(str(type(attempt())))
        except ControlError as error:
            texts += [str(error), repr(error), "".join(traceback.format_exception(error)), place(Failure(error))]
    texts += [repr(each) for each in (office, office.login, office.tokens, office.vault, office.requests, office.store, office.store.seal)]
    texts += [str(admin.token_list()), str(admin.account_list()), str(admin.identity_show(ADA))]
    texts += [str(note) for note in notary.notes if note[0] != "request.submitted"]
    return [token, approver, token.split("_", 2)[2], PASSWORD, VALUE.decode()], texts


def test_nothing_that_comes_out_holds_a_secret(office: Office, asked: Any, notary: Any, logged: list[str]) -> None:
    """Exceptions, tracebacks, reprs, listings, notes for the evidence, and the log. What was asked for is in the evidence, encrypted."""
    secrets, texts = everything(office, asked, notary)
    assert len(texts) > 30 and logged, "the scan looks at something"
    for secret in secrets:
        for text in texts + logged:
            assert secret not in text, text
    [(_, told)] = [note for note in notary.notes if note[0] == "request.submitted"]
    assert LITERAL in told["text"] and not any(secret in str(told) for secret in secrets if secret != VALUE.decode())
    assert not any(LITERAL in text for text in [*texts, *logged])


def test_nothing_lies_on_disk_in_clear(open_office: Callable[[], Office], state: Path, asked: Any, notary: Any) -> None:
    """Neither secrets nor what statements said."""
    office = open_office()
    secrets, _ = everything(office, asked, notary)
    office.flush()
    files = [path for path in state.rglob("*") if path.is_file()]
    held = b"".join(path.read_bytes() for path in files)
    assert len(held) > 10000 and b"tokens" in held
    for secret in [*secrets, LITERAL]:
        assert secret.encode() not in held
    with office.store.read() as txn:
        [stored, *_] = [value for _, value in office.store["tokens"].items(txn)]
    assert stored["hash"] not in held and stored["stored_key"] not in held


def test_the_scan_can_find(office: Office) -> None:
    """A secret that leaks would be seen: the vault does give it to a worker."""
    Admin(office, None).account_secret("clinic", "rw", PASSWORD)
    assert PASSWORD in str(office.vault.secret("clinic", "rw"))
