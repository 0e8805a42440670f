"""
The way in of one SSH client: Conch's service `ssh-userauth`, with our own exchange and control's word.

A wrong secret, an unknown identity and an unknown key get the same answer. What proves an identity is not yet a
session: SUCCESS is sent when the target is connected, so that whoever is refused is told why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.conch.ssh.common import NS
from twisted.conch.ssh.service import SSHService
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from gateway.control.errors import CodeUsed, ControlError, LoginRefused
from gateway.control.identity.second import BY_RULES
from gateway.control.identity.throttle import address
from gateway.control.rpc import place
from gateway.house import Worker
from gateway.ssh.certificates import NotBelieved, of_user, proves
from gateway.ssh.doors import Door, account
from gateway.ssh.keys import NoKey, algorithms, public, signed
from protocols.errors import PeerError
from protocols.selection import Selection, WrongForm, jump, select
from protocols.ssh.auth import (
    BANNER, USED, BeginBrowser, CheckBrowser, CheckCode, CheckKey, CheckSecret, CheckSignature, Failed, GiveUp, LoginEffect, Proven,
    Send, ServerLogin,
)
from protocols.ssh.certificate import PLAIN, Certificate
from protocols.ssh.messages import Unreadable
from protocols.ssh.ways import NO_TARGET

Proved = Mapping[str, Any]
"""As `ControlClient.ssh_token` gives it; with "certificate", when one proved it."""

NOBODY = "a login by a browser that is nobody's who may come in; login.unknown says why"
"""What failed, for the record, when a provider's word was good and the identity is not."""


class Login(SSHService):
    """
    :param door: where it leads and who has to prove themselves, if that is settled; the user name is an account's then.
    :param second: what its connection says of one-time codes, as control is told.
    :param proven: called once with (selection, what control says of the identity, how it proved itself).
    :param browser: whether people may log in by one. :param patient: called with the seconds that a person has for it.
    :param failed: called with (subject, why) for the record.
    :param refused: called with (code, why): nobody came in.
    """

    name = b"ssh-userauth"

    def __init__(
        self, worker: Worker, peer: str, methods: tuple[str, ...], *, door: Door | None = None, second: str = BY_RULES,
        browser: bool = False, patient: Callable[[float], None] = lambda seconds: None,
        proven: Callable[[Selection, Proved, str], None], failed: Callable[[str, str], None], refused: Callable[[str, str], None],
    ) -> None:
        self._worker, self._peer, self._door, self._step = worker, peer, door, second
        self._proven, self._failed, self._refused = proven, failed, refused
        self._login, self._patient = ServerLogin(methods, browser), patient
        self._flow = self._shown = ""  # control's login by a browser, and what was said of it
        self._selection: Selection | None = None
        self._settled_whom = door is not None
        self._proof: Proved | None = None
        self._waiting: Deferred[Any] | None = None
        self._hinted = self._nobody = False

    def packetReceived(self, messageNum: int, packet: bytes) -> None:
        """
        :raises PeerError: no message of a login.
        """
        try:
            effects = self._login.from_client(bytes([messageNum]) + packet)
        except Unreadable as error:
            raise PeerError(str(error)) from None
        if not self._login.user or self._select(self._login.user) is not None:
            self._perform(effects)

    def serviceStopped(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        if self._flow:
            self._worker.control.ssh_device_end(self._flow)

    def _perform(self, effects: list[LoginEffect]) -> None:
        for effect in effects:
            match effect:
                case Send(payload):
                    self.transport.send(payload)
                case CheckSecret(user, secret, _):
                    self._knowing(user, partial(self._secret, user, secret))
                case CheckCode(user, code):
                    self._code(user, code)
                case BeginBrowser(user):
                    self._knowing(user, partial(self._browse, user))
                case CheckBrowser(user):
                    self._browsed(user)
                case CheckKey(user, algorithm, blob):
                    self._knowing(user, partial(self._key, user, algorithm, blob))
                case CheckSignature():
                    self._knowing(effect.user, partial(self._signature, effect))
                case Proven(_, method):
                    assert self._selection is not None and self._proof is not None
                    self._proven(self._selection, self._proof, method)
                case Failed(user, method):
                    self._hint()
                    self._failed(self._subject(user), NOBODY if self._nobody else f"a wrong {method}" if method != USED else USED)
                    self._nobody = False
                case GiveUp(why):
                    self._hint()
                    self._refused("OST-631", why)

    @property
    def subject(self) -> str:
        """Who the client says it is, proved or not; "" before it has said so in a form that is read."""
        return self._selection.identity if self._selection is not None else ""

    def _subject(self, user: str) -> str:
        return self._selection.identity if self._selection is not None else user

    def _select(self, user: str) -> Selection | None:
        """Who and where; whoever writes it wrongly is shown how, and nothing is checked."""
        if self._selection is None:
            try:
                self._selection = self._meant(user)
            except WrongForm as error:
                self._refused("OST-625", str(error))
        return self._selection

    def _meant(self, user: str) -> Selection:
        """
        :raises WrongForm: it means nobody.
        """
        if self._door is None:
            return jump(user) if "@" not in user else select(user)
        if not user:
            raise WrongForm("the user name does not say which account of the target")
        return Selection(self._door.subject, self._door.entry.name, account(self._door.entry, user))

    def _knowing(self, user: str, then: Callable[[], None]) -> None:
        """Go on once it is clear who that is: `ada@example` is ada on her way to example, or somebody of that name who jumps."""
        chosen = self._selection
        assert chosen is not None
        if self._settled_whom or not chosen.target or chosen.account or chosen.target in self._worker.config.targets:
            self._settled_whom = True
            then()
            return

        def settled(jumps: bool) -> None:
            self._settled_whom = True
            if jumps is True:
                self._selection = jump(user)
            then()

        self._ask(self._worker.control.ssh_jumps(user, self._peer), settled)

    def _secret(self, user: str, secret: bytes) -> None:
        text = secret.decode("utf-8", "replace")
        self._ask(self._worker.control.ssh_token(self._subject(user), text, self._peer, self._step), self._settled)

    def _code(self, user: str, code: bytes) -> None:
        text = code.decode("utf-8", "replace")
        asked = self._worker.control.ssh_code(self._subject(user), text, self._peer)
        asked.addErrback(lambda failure: failure.trap(CodeUsed) and USED)
        self._ask(asked, lambda right: self._perform(self._login.settled(right is True, used=right == USED)))

    def _browse(self, user: str) -> None:
        self._flow = self._worker.new_id()
        self._ask(self._worker.control.ssh_device(self._flow, self._subject(user), self._peer), self._begun)

    def _begun(self, told: Mapping[str, Any] | None) -> None:
        if told is None:
            self._answer(False)
            return
        self._patient(float(told["seconds"]))
        self._shown = instruction(self._subject(self._login.user), self._peer, told)
        self._perform(self._login.shown(self._shown))

    def _browsed(self, user: str) -> None:
        asked = self._worker.control.ssh_device_result(self._flow, self._subject(user), self._peer, self._step)
        self._ask(asked, self._seen)

    def _seen(self, proof: Proved | None) -> None:
        """Nothing in it is not yet, and None is no: a provider proved somebody, whom the gateway does not let in."""
        if proof is not None and not proof:
            self._perform(self._login.shown(f"Not yet. {self._shown}"))
        else:
            self._nobody = proof is None
            self._settled(proof)

    def _key(self, user: str, algorithm: str, blob: bytes) -> None:
        try:
            good = algorithm.encode() in algorithms(public(blob))
        except NoKey:
            good = False
        if algorithm in PLAIN:
            self._certificate_key(user, algorithm, blob)
        elif good:
            asked = self._worker.control.ssh_key(self._subject(user), blob, self._peer)
            self._ask(asked, lambda known: self._answer(known is True))
        else:
            self._answer(False)

    def _certificate_key(self, user: str, algorithm: str, blob: bytes) -> None:
        """A client whose certificate is refused here never signs, so the record is told why now."""
        certificate = self._believed(user, algorithm, blob)
        if certificate is None:
            self._answer(False)
            return
        asked = self._worker.control.ssh_authority(self._subject(user), _badge(certificate), self._peer)
        self._ask(asked, lambda known: self._authority(user, known is True))

    def _authority(self, user: str, known: bool) -> None:
        if not known:
            self._failed(self._subject(user), "a certificate that was revoked, or of an authority that may not let the identity in")
        self._answer(known)

    def _believed(self, user: str, algorithm: str, blob: bytes) -> Certificate | None:
        try:
            return of_user(blob, algorithm, self._subject(user), address(self._peer), self._worker.reactor.seconds())
        except NotBelieved as error:
            self._failed(self._subject(user), str(error))
            return None

    def _signature(self, effect: CheckSignature) -> None:
        message = NS(self.transport.sessionID) + effect.signed
        if effect.algorithm in PLAIN:
            self._certificate_signature(effect, message)
            return
        good = signed(effect.blob, effect.algorithm, message, effect.signature)
        asked = self._worker.control.ssh_key_result(self._subject(effect.user), effect.blob, good, self._peer, self._step)
        self._ask(asked, self._settled)

    def _certificate_signature(self, effect: CheckSignature, message: bytes) -> None:
        certificate = self._believed(effect.user, effect.algorithm, effect.blob)
        good = certificate is not None and proves(certificate, effect.algorithm, message, effect.signature)
        badge = _badge(certificate) if certificate is not None else _NONE
        asked = self._worker.control.ssh_certificate_result(self._subject(effect.user), badge, good, self._peer, self._step)
        self._ask(asked, lambda proof: self._settled(proof and {**proof, "certificate": certificate}))

    def _settled(self, proof: Proved | None) -> None:
        self._proof = proof
        if proof is not None and proof["second"]:
            self._perform(self._login.settled(True, further=True))
        else:
            self._answer(proof is not None)

    def _answer(self, known: bool) -> None:
        self._perform(self._login.settled(known))

    def _hint(self) -> None:
        """
        Whoever fails and named no target has perhaps forgotten it, so that is said, once; not to who proved a first step.
        A key that is not theirs is no failure: a client that jumps may offer several before the one that lets it in.
        """
        if self._proof is None and not self._hinted and self._selection is not None and not self._selection.target:
            self._hinted = True
            self.transport.send(bytes([BANNER]) + NS(f"{NO_TARGET}\r\n".encode()) + NS(b""))

    def _ask(self, asked: Deferred[Any], then: Callable[[Any], None]) -> None:
        """One question at a time. A refused login is no; what control cannot say ends the connection."""
        self._waiting = asked

        def answered(result: Any) -> Any:
            self._waiting = None
            return result

        asked.addBoth(answered)
        asked.addErrback(lambda failure: failure.trap(LoginRefused) and None)
        asked.addCallbacks(then, self._unanswered)
        asked.addErrback(self._crashed)

    def _unanswered(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            failure.trap(ControlError)
            self._refused(failure.value.code, failure.value.why)

    def _crashed(self, failure: Failure) -> None:
        self._log.error("a login ended by a bug: {what}", what=place(failure))
        self._refused("OST-900", "internal error of the gateway")


def instruction(subject: str, peer: str, told: Mapping[str, Any]) -> str:
    """What a person reads who is to go to a browser: also whose login it is, so that nobody finishes a stranger's."""
    lines = [f"Open {told['url']} and enter {told['code']}"]
    if told["complete"]:
        lines.append(f"or open {told['complete']}")
    lines.append(f"This logs in {subject} from {address(peer)}; enter no code that somebody sent you.")
    return "\n".join(lines)


def _badge(certificate: Certificate) -> dict[str, Any]:
    """What control looks at."""
    return {"authority": certificate.authority, "serial": certificate.serial, "after": certificate.after, "key_id": certificate.key_id}


_NONE = {"authority": b"", "serial": 0, "after": 0, "key_id": ""}
