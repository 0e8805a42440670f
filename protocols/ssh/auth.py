"""
User authentication, both sides: messages 50 to 79 in, effects out. Signatures are checked by who performs them.

A client has a bounded number of attempts, names one user, and is asked one thing at a time; what it sends
meanwhile waits. A key is asked about before it signs, so that an agent does not sign for nothing. Behind the first proof
there may be a second step, a one-time code: from then on nothing but the code is asked for. Where a browser may prove
somebody, an empty answer in the place of a token begins that, once on a connection.

Source: RFC 4252 (requests, keys, passwords, partial success), RFC 4256 (keyboard-interactive), OpenSSH PROTOCOL.u2f (sk- keys).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from protocols.ssh.messages import Reader, Unreadable, string, u32

REQUEST, FAILURE, SUCCESS, BANNER = 50, 51, 52, 53
PK_OK, INFO_REQUEST, INFO_RESPONSE = 60, 60, 61

ATTEMPTS = 6  # wrong secrets and signatures, after which the connection ends
PROBES = 24  # keys asked about, and prompts shown; an agent may hold many
QUEUE = 8  # messages that wait for an answer
USER_LIMIT = 1024  # bytes; 255 of an identity, and 2 names of 63
SECRET_LIMIT = 4096
BLOB_LIMIT = 16384  # bytes of a key; RSA with 16384 bits is 2 KiB
SERVICE = "ssh-connection"
METHODS = ("publickey", "password", "keyboard-interactive")
PROMPTED = "keyboard-interactive"
CODE = "one-time code"
"""The second step, as records name it."""
USED = "a one-time code that was used already"
"""What failed, when the code was right before."""

_CODE_PROMPT = "One-time code: "
_USED_PROMPT = "That code was used already: wait for the next. One-time code: "

OFFER = "Ostiary token (empty: log in by your browser): "
DONE = "Press Enter when done: "


@dataclass(frozen=True, slots=True)
class Send:
    """Send this to the peer. It may hold a target's password."""

    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckSecret:
    """Whether this proves the user; answer with `settled`."""

    user: str
    secret: bytes = field(repr=False)
    method: str


@dataclass(frozen=True, slots=True)
class CheckCode:
    """Whether this is a code of the user, who has proved the first step; answer with `settled`."""

    user: str
    code: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BeginBrowser:
    """Begin a login by a browser; answer with `shown`, or with `settled` when it cannot be."""

    user: str


@dataclass(frozen=True, slots=True)
class CheckBrowser:
    """Whether the user is done in the browser; answer with `settled`, or with `shown` again when not yet."""

    user: str


@dataclass(frozen=True, slots=True)
class CheckKey:
    """Whether this key is the user's; nothing is signed yet. Answer with `settled`."""

    user: str
    algorithm: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class CheckSignature:
    """
    Whether the user's key signed this; answer with `settled`.

    :ivar signed: what was signed, behind the session's id as a string.
    """

    user: str
    algorithm: str
    blob: bytes
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """The user is who it says; SUCCESS is still to be sent."""

    user: str
    method: str


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt was wrong, for the record. Its method is `USED` for a code that was right before."""

    user: str
    method: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The login is over without an identity."""

    why: str


Question = CheckSecret | CheckCode | BeginBrowser | CheckBrowser | CheckKey | CheckSignature
LoginEffect = Send | Question | Proven | Failed | GiveUp


class ServerLogin:
    """One client's way in."""

    def __init__(self, methods: tuple[str, ...] = METHODS, browser: bool = False) -> None:
        """
        :param browser: whether one may prove the user.
        """
        self._methods, self._offers = methods, browser
        self._browsing = False  # what was prompted for last is that a person is done in a browser
        self._user: str | None = None
        self._first = ""  # how the first step was proved, once there is to be a second
        self._code_prompt = _CODE_PROMPT
        self._asked: Question | None = None
        self._prompted = self._over = False
        self._attempts = self._probes = 0
        self._waiting: deque[bytes] = deque()

    @property
    def user(self) -> str:
        """Who the client says it is; "" before it has."""
        return self._user or ""

    def from_client(self, payload: bytes) -> list[LoginEffect]:
        """
        One message.

        :raises Unreadable: it is not what it claims to be.
        """
        if self._over:
            return []
        if self._asked is not None:
            self._waiting.append(payload)
            return self._give_up("too much is sent while a login is checked") if len(self._waiting) > QUEUE else []
        if payload[0] == REQUEST:
            return self._request(payload)
        if payload[0] == INFO_RESPONSE and self._prompted:
            return self._response(payload)
        raise Unreadable("a message out of place in a login")

    def settled(self, good: bool, further: bool = False, used: bool = False) -> list[LoginEffect]:
        """
        What was asked is answered.

        :param further: what was proved is only the first step; a code has to follow. :param used: the code was good once.
        """
        asked, self._asked = self._asked, None
        if asked is None or self._over:
            return []
        if isinstance(asked, CheckKey):
            effects = [Send(bytes([PK_OK]) + string(asked.algorithm.encode()) + string(asked.blob))] if good else self._refuse()
        elif not good:
            self._code_prompt = _USED_PROMPT if used else _CODE_PROMPT
            effects = self._wrong(USED if used else _method(asked))
        elif further and not self._first:
            effects = self._second(_method(asked))
        else:
            self._over = True
            return [Proven(asked.user, self._first or _method(asked))]
        return effects + self._caught_up()

    def _caught_up(self) -> list[LoginEffect]:
        """What came meanwhile. One that is no message ends the login, behind what was done until there."""
        effects: list[LoginEffect] = []
        while self._waiting and self._asked is None and not self._over:
            try:
                effects += self.from_client(self._waiting.popleft())
            except Unreadable as error:
                effects += self._give_up(str(error))
        return effects

    def shown(self, instruction: str) -> list[LoginEffect]:
        """A browser is on its way: say so, and ask again whether it is done."""
        asked, self._asked = self._asked, None
        if asked is None or self._over:
            return []
        self._browsing = True
        return self._prompt(_prompt(DONE, instruction, echo=True)) + self._caught_up()

    def _second(self, first: str) -> list[LoginEffect]:
        """Half is proved (RFC 4252, 5.1); whoever is answering prompts already is asked on (RFC 4256, 3.2)."""
        self._first, self._methods = first, (PROMPTED,)
        return self._prompt() if first == PROMPTED else self._refuse(partly=True)

    def _request(self, payload: bytes) -> list[LoginEffect]:
        fields = Reader(payload)
        raw, service, method = fields.string(USER_LIMIT), fields.name(), fields.name()
        try:
            user = raw.decode()
        except UnicodeDecodeError:
            return self._give_up("the user name is not UTF-8")
        if service != SERVICE:
            return self._give_up("a login for another service")
        if self._user not in (None, user):
            return self._give_up("the user name was changed during a login")
        self._user, self._prompted, self._browsing = user, False, False
        if method == "none" or method not in self._methods:
            self._probes += 1
            return self._give_up("too many methods are tried") if self._probes > PROBES else self._refuse()
        if method == "publickey":
            return self._key(user, fields)
        if method == "password":
            return self._password(user, fields)
        fields.string(BLOB_LIMIT), fields.string(BLOB_LIMIT), fields.end()
        return self._prompt()

    def _prompt(self, payload: bytes = b"") -> list[LoginEffect]:
        self._probes += 1
        if self._probes > PROBES:
            return self._give_up("too many prompts are left without an answer")
        self._prompted = True
        return [Send(payload or _prompt(self._code_prompt if self._first else OFFER if self._offers else "Ostiary token: "))]

    def _key(self, user: str, fields: Reader) -> list[LoginEffect]:
        signs, algorithm, blob = fields.flag(), fields.name(), fields.string(BLOB_LIMIT)
        if not signs:
            fields.end()
            self._probes += 1
            if self._probes > PROBES:
                return self._give_up("too many keys are tried")
            return self._ask(CheckKey(user, algorithm, blob))
        signature = fields.string(BLOB_LIMIT)
        fields.end()
        signed = bytes([REQUEST]) + b"".join(
            string(part) for part in (user.encode(), SERVICE.encode(), b"publickey")
        ) + b"\1" + string(algorithm.encode()) + string(blob)
        return self._ask(CheckSignature(user, algorithm, blob, signed, signature))

    def _password(self, user: str, fields: Reader) -> list[LoginEffect]:
        changes, secret = fields.flag(), fields.string(SECRET_LIMIT)
        if changes:
            raise Unreadable("a change of password was not asked for")
        fields.end()
        return self._ask(CheckSecret(user, secret, "password"))

    def _response(self, payload: bytes) -> list[LoginEffect]:
        self._prompted = False
        fields = Reader(payload)
        if fields.u32() != 1:
            raise Unreadable("one answer was asked for")
        secret = fields.string(SECRET_LIMIT)
        fields.end()
        if self._first:
            return self._ask(CheckCode(self.user, secret))
        if self._browsing:
            self._browsing = False
            return self._ask(CheckBrowser(self.user))
        if self._offers and not secret:
            self._offers = False
            return self._ask(BeginBrowser(self.user))
        return self._ask(CheckSecret(self.user, secret, PROMPTED))

    def _ask(self, question: Question) -> list[LoginEffect]:
        self._asked = question
        return [question]

    def _wrong(self, method: str) -> list[LoginEffect]:
        self._attempts += 1
        failed: list[LoginEffect] = [Failed(self.user, method)]
        return failed + (self._give_up("too many failed logins") if self._attempts >= ATTEMPTS else self._refuse())

    def _refuse(self, partly: bool = False) -> list[LoginEffect]:
        return [Send(bytes([FAILURE]) + string(",".join(self._methods).encode()) + bytes([partly]))]

    def _give_up(self, why: str) -> list[LoginEffect]:
        self._over = True
        return [GiveUp(why)]


def _method(asked: Question) -> str:
    """How records name what was tried."""
    if isinstance(asked, CheckCode):
        return CODE
    if isinstance(asked, BeginBrowser | CheckBrowser):
        return PROMPTED
    return asked.method if isinstance(asked, CheckSecret) else "publickey"


def _prompt(what: str, instruction: str = "", echo: bool = False) -> bytes:
    """One question; whether its answer is shown (RFC 4256, 3.2)."""
    said = string(b"") + string(instruction.encode()) + string(b"")
    return bytes([INFO_REQUEST]) + said + u32(1) + string(what.encode()) + bytes([echo])


Sign = Callable[[bytes], bytes]
"""Signs what is given behind the session's id as a string; a signature as it goes on the wire."""


class ClientLogin:
    """
    The gateway's login at a target, with one secret or one key.

    :param sign: (algorithm, blob of the public key, what signs); None without a key.
    """

    def __init__(self, user: str, *, password: str | None = None, sign: tuple[str, bytes, Sign] | None = None) -> None:
        self._user, self._password, self._sign = user, password, sign
        self._asked = ""
        self._answered = False

    def begin(self) -> list[LoginEffect]:
        """The first request; with a key its signature is in it."""
        if self._sign is not None:
            algorithm, blob, sign = self._sign
            head = self._head("publickey") + b"\1" + string(algorithm.encode()) + string(blob)
            self._asked = "publickey"
            return [Send(head + string(sign(head)))]
        self._asked = "password"
        return [Send(self._head("password") + b"\0" + string((self._password or "").encode()))]

    def from_target(self, payload: bytes) -> list[LoginEffect]:
        """
        One message.

        :raises Unreadable: it is not what it claims to be.
        """
        if payload[0] == SUCCESS:
            return [Proven(self._user, self._asked)]
        if payload[0] == BANNER:
            return []
        if payload[0] == INFO_REQUEST and self._asked == "keyboard-interactive":
            return self._answer(payload)
        if payload[0] == FAILURE:
            return self._refused(payload)
        return [GiveUp("it asks for what the gateway cannot answer")]

    def _refused(self, payload: bytes) -> list[LoginEffect]:
        fields = Reader(payload)
        methods, partly = fields.string(BLOB_LIMIT).split(b","), fields.flag()
        if partly:
            return [GiveUp("it wants more than one proof")]
        if self._asked == "password" and b"keyboard-interactive" in methods:
            self._asked = "keyboard-interactive"
            return [Send(self._head("keyboard-interactive") + string(b"") + string(b""))]
        return [GiveUp("it did not accept the account's login")]

    def _answer(self, payload: bytes) -> list[LoginEffect]:
        fields = Reader(payload)
        for _ in range(3):
            fields.string(BLOB_LIMIT)
        count = fields.u32()
        if count == 0:
            return [Send(bytes([INFO_RESPONSE]) + u32(0))]
        fields.string(BLOB_LIMIT)
        if count != 1 or fields.flag() or self._answered:
            return [GiveUp("it asks more than for a password")]
        self._answered = True
        return [Send(bytes([INFO_RESPONSE]) + u32(1) + string((self._password or "").encode()))]

    def _head(self, method: str) -> bytes:
        return bytes([REQUEST]) + string(self._user.encode()) + string(SERVICE.encode()) + string(method.encode())
