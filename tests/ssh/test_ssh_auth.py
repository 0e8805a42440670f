"""Logins without a wire: what a client may send, what is asked, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.ssh.auth import (
    ATTEMPTS, METHODS, PROBES, QUEUE, CheckCode, CheckKey, CheckSecret, CheckSignature, ClientLogin, Failed, GiveUp, LoginEffect,
    Proven, Send, ServerLogin,
)
from protocols.ssh.messages import Unreadable, string, u32

USER = b"ada@web1"
NO = Send(bytes([51]) + string(",".join(METHODS).encode()) + b"\0")


def request(method: bytes, details: bytes = b"", user: bytes = USER, service: bytes = b"ssh-connection") -> bytes:
    return bytes([50]) + string(user) + string(service) + string(method) + details


def password(secret: bytes = b"s3cret", user: bytes = USER) -> bytes:
    return request(b"password", b"\0" + string(secret), user)


def probe(blob: bytes = b"blob") -> bytes:
    return request(b"publickey", b"\0" + string(b"ssh-ed25519") + string(blob))


def test_a_password_is_asked_about_and_proves() -> None:
    login = ServerLogin()
    assert login.from_client(request(b"none")) == [NO]
    assert login.from_client(password()) == [CheckSecret("ada@web1", b"s3cret", "password")]
    assert login.settled(False) == [Failed("ada@web1", "password"), NO]
    assert login.from_client(password()) == [CheckSecret("ada@web1", b"s3cret", "password")]
    assert login.settled(True) == [Proven("ada@web1", "password")]
    assert login.from_client(password()) == [] and login.settled(True) == []


def test_a_key_is_asked_about_before_it_signs() -> None:
    login = ServerLogin()
    assert login.from_client(probe()) == [CheckKey("ada@web1", "ssh-ed25519", b"blob")]
    assert login.settled(True) == [Send(bytes([60]) + string(b"ssh-ed25519") + string(b"blob"))]
    head = request(b"publickey", b"\1" + string(b"ssh-ed25519") + string(b"blob"))
    assert login.from_client(head + string(b"signature")) == [CheckSignature("ada@web1", "ssh-ed25519", b"blob", head, b"signature")]
    assert login.settled(True) == [Proven("ada@web1", "publickey")]


def test_keyboard_interactive_asks_for_the_token() -> None:
    login = ServerLogin()
    [prompt] = login.from_client(request(b"keyboard-interactive", string(b"") + string(b"pam")))
    assert isinstance(prompt, Send) and prompt.payload[0] == 60 and prompt.payload.endswith(string(b"Ostiary token: ") + b"\0")
    answer = bytes([61]) + u32(1) + string(b"token")
    assert login.from_client(answer) == [CheckSecret("ada@web1", b"token", "keyboard-interactive")]
    login.settled(False)
    with pytest.raises(Unreadable):  # nothing was asked this time
        login.from_client(answer)


# -- a second step ---------------------------------------------------------------------------------

HALF = Send(bytes([51]) + string(b"keyboard-interactive") + b"\1")
NOT_YET = Send(bytes([51]) + string(b"keyboard-interactive") + b"\0")
ASK_CODE = Send(bytes([60]) + string(b"") * 3 + u32(1) + string(b"One-time code: ") + b"\0")
PROMPT_ME = request(b"keyboard-interactive", string(b"") * 2)
ANSWER = bytes([61]) + u32(1) + string(b"123456")


def signed() -> bytes:
    return request(b"publickey", b"\1" + string(b"ssh-ed25519") + string(b"blob") + string(b"signature"))


@pytest.mark.parametrize(("first", "method"), [(signed(), "publickey"), (password(), "password")], ids=["key", "token"])
def test_behind_a_first_step_nothing_but_a_code_lets_in(first: bytes, method: str) -> None:
    """RFC 4252, 5.1: partial success, and one way to go on; what proved the first step proves nothing more."""
    login = ServerLogin()
    login.from_client(first)
    assert login.settled(True, further=True) == [HALF]
    for again in (first, password(), probe(), request(b"none")):
        assert login.from_client(again) == [NOT_YET]
    assert login.from_client(PROMPT_ME) == [ASK_CODE]
    assert login.from_client(ANSWER) == [CheckCode("ada@web1", b"123456")]
    assert login.settled(False) == [Failed("ada@web1", "one-time code"), NOT_YET]
    login.from_client(PROMPT_ME)
    login.from_client(ANSWER)
    assert login.settled(True) == [Proven("ada@web1", method)]


def test_who_answers_prompts_is_asked_on_for_the_code() -> None:
    """RFC 4256, 3.2: another request for information follows in the same exchange."""
    login = ServerLogin()
    login.from_client(PROMPT_ME)
    login.from_client(ANSWER)
    assert login.settled(True, further=True) == [ASK_CODE]
    assert login.from_client(ANSWER) == [CheckCode("ada@web1", b"123456")]
    assert login.settled(True) == [Proven("ada@web1", "keyboard-interactive")]


def test_a_code_is_asked_for_where_the_listener_has_no_prompts_otherwise() -> None:
    login = ServerLogin(("publickey",))
    assert login.from_client(PROMPT_ME) == [Send(bytes([51]) + string(b"publickey") + b"\0")]
    login.from_client(signed())
    assert login.settled(True, further=True) == [HALF] and login.from_client(PROMPT_ME) == [ASK_CODE]


def test_a_code_before_any_first_step_is_no_code() -> None:
    login = ServerLogin()
    login.from_client(PROMPT_ME)
    assert isinstance(login.from_client(ANSWER)[0], CheckSecret)


def test_wrong_codes_count_with_wrong_secrets() -> None:
    login, told = ServerLogin(), []
    login.from_client(password())
    login.settled(False)
    login.from_client(signed())
    login.settled(True, further=True)
    for _ in range(ATTEMPTS - 1):
        login.from_client(PROMPT_ME)
        login.from_client(ANSWER)
        told = login.settled(False)
    assert told == [Failed("ada@web1", "one-time code"), GiveUp("too many failed logins")]


def test_prompts_are_not_shown_without_end() -> None:
    login, told = ServerLogin(), []
    for _ in range(PROBES + 1):
        told = login.from_client(PROMPT_ME)
    assert told == [GiveUp("too many prompts are left without an answer")]


def test_a_code_is_in_no_repr() -> None:
    assert "123456" not in repr(CheckCode("ada", b"123456"))


def test_six_wrong_secrets_end_the_connection() -> None:
    login, told = ServerLogin(), []
    for _ in range(ATTEMPTS):
        login.from_client(password())
        told = login.settled(False)
    assert told == [Failed("ada@web1", "password"), GiveUp("too many failed logins")]
    assert login.from_client(password()) == []


def test_an_agent_may_try_many_keys_but_not_without_end() -> None:
    login = ServerLogin()
    for _ in range(PROBES):
        login.from_client(probe())
        assert login.settled(False) == [NO]
    assert login.from_client(probe()) == [GiveUp("too many keys are tried")]


def test_methods_are_not_tried_without_end() -> None:
    login, told = ServerLogin(), []
    for _ in range(PROBES + 1):
        told = login.from_client(request(b"none"))
    assert isinstance(told[0], GiveUp)


def test_the_user_cannot_be_changed_in_a_login() -> None:
    """What was counted for one name is not forgotten by naming another."""
    login = ServerLogin()
    login.from_client(request(b"none"))
    assert isinstance(login.from_client(password(user=b"eve@web1"))[0], GiveUp)


def test_one_thing_is_checked_at_a_time() -> None:
    """What comes meanwhile waits, in order and bounded."""
    login = ServerLogin()
    login.from_client(password(b"first"))
    assert login.from_client(password(b"second")) == []
    assert login.settled(False)[-1] == CheckSecret("ada@web1", b"second", "password")
    for _ in range(QUEUE):
        assert login.from_client(password()) == []
    assert isinstance(login.from_client(password())[0], GiveUp)


def test_methods_that_are_not_open_are_refused() -> None:
    assert ServerLogin(("publickey",)).from_client(password()) == [Send(bytes([51]) + string(b"publickey") + b"\0")]


@pytest.mark.parametrize("payload", [
    request(b"none", service=b"ssh-userauth"), request(b"none", user=b"\xff\xfe"),
], ids=["another service", "no text"])  # fmt: skip
def test_other_logins_are_given_up(payload: bytes) -> None:
    assert isinstance(ServerLogin().from_client(payload)[0], GiveUp)


@given(st.lists(st.binary(max_size=60), max_size=6), st.booleans())
def test_any_bytes_of_a_client_are_understood_or_unreadable(pieces: list[bytes], good: bool) -> None:
    """Never proven without a check that said yes."""
    login, asked = ServerLogin(), False
    effects: list[LoginEffect] = []
    for piece in pieces:
        for head in (bytes([50]) + string(USER) + string(b"ssh-connection"), b"\x32", b"\x3d", b"\x05"):
            try:
                effects = login.from_client(head + piece)
            except Unreadable as error:
                assert str(error)
                continue
            assert not any(isinstance(effect, Proven) for effect in effects)
            asked = any(isinstance(effect, CheckSecret | CheckKey | CheckSignature) for effect in effects)
            if asked:
                proven = [effect for effect in login.settled(good) if isinstance(effect, Proven)]
                assert good or not proven


# -- toward a target --------------------------------------------------------------------------


def test_a_key_signs_with_the_first_request() -> None:
    [first] = ClientLogin("root", sign=("ssh-ed25519", b"blob", lambda message: b"sig:" + message[-4:])).begin()
    head = bytes([50]) + string(b"root") + string(b"ssh-connection") + string(b"publickey") + b"\1" + string(b"ssh-ed25519") + string(b"blob")
    assert first == Send(head + string(b"sig:blob"))


def test_a_password_is_given_once_in_whichever_way_the_target_asks() -> None:
    login = ClientLogin("root", password="pw")
    assert login.begin() == [Send(bytes([50]) + string(b"root") + string(b"ssh-connection") + string(b"password") + b"\0" + string(b"pw"))]
    [second] = login.from_target(bytes([51]) + string(b"publickey,keyboard-interactive") + b"\0")
    assert isinstance(second, Send) and b"keyboard-interactive" in second.payload
    asks = bytes([60]) + string(b"") * 3 + u32(1) + string(b"Password: ") + b"\0"
    assert login.from_target(asks) == [Send(bytes([61]) + u32(1) + string(b"pw"))]
    assert login.from_target(bytes([60]) + string(b"") * 3 + u32(0)) == [Send(bytes([61]) + u32(0))]
    assert isinstance(login.from_target(asks)[0], GiveUp)
    assert login.from_target(bytes([52])) == [Proven("root", "keyboard-interactive")]


def test_a_question_that_is_echoed_is_not_given_the_password() -> None:
    login = ClientLogin("root", password="pw")
    login.begin()
    login.from_target(bytes([51]) + string(b"keyboard-interactive") + b"\0")
    assert isinstance(login.from_target(bytes([60]) + string(b"") * 3 + u32(1) + string(b"Name: ") + b"\1")[0], GiveUp)


def test_a_partial_success_is_no_success() -> None:
    login = ClientLogin("root", password="pw")
    login.begin()
    assert isinstance(login.from_target(bytes([51]) + string(b"password") + b"\1")[0], GiveUp)


def test_secrets_have_no_repr() -> None:
    """Neither what a client proves itself with, nor what the gateway logs in with."""
    login = ServerLogin()
    asked = login.from_client(password(b"hunter2"))
    assert asked == [CheckSecret("ada@web1", b"hunter2", "password")]
    assert "hunter2" not in repr([asked, ClientLogin("deploy", password="hunter2").begin()])


@pytest.mark.parametrize("meanwhile", [bytes([61]) + u32(1) + string(b"x"), b"\x4f", b"\x34", b"\x32\0"], ids=repr)
def test_what_comes_while_an_answer_is_awaited_and_is_no_message_ends_the_login(meanwhile: bytes) -> None:
    """It is the client's fault and no bug, and what failed before it is told all the same."""
    login = ServerLogin()
    login.from_client(password())
    assert login.from_client(meanwhile) == []
    failed, refused, gave_up = login.settled(False)
    assert (failed, refused) == (Failed("ada@web1", "password"), NO) and isinstance(gave_up, GiveUp) and gave_up.why
    assert login.from_client(password()) == []
