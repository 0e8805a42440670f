"""
A command that people must say yes to: asks them, waits, and sees when their answer comes whether it is still what they were asked.

A grant lets one question pass. While a command is held, what it would do may have become something else, by DDL that went through the gateway or
around it, and nobody said yes to that. So then the catalog is looked at again, and where anything has moved that the decision rests on, all
addons are asked again: only the same question passes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from gateway.abilities import safely
from gateway.control.errors import BadCall, NotAllowed
from gateway.lists import Lists
from gateway.premises import Premises, Under
from gateway.request import GIVEN_UP, Approvals, Changed, binding, changed, grant_of, made, request_for, unaskable, unfavourable, untold
from protocols.command import Command
from protocols.session import Session
from protocols.verdict import Allow, Decision, Deny, Hold, Seen

Steps = Generator[Deferred[Any], Any, Any]
Held = Callable[[str, Hold], None]
"""Told the request's id when a command starts to wait for people."""


@dataclass(frozen=True, slots=True)
class Question:
    """
    What all addons together want people to be asked.

    :ivar sent: the text that would go to the target. :ivar columns: as a Decision's. :ivar addon: who holds it. :ivar shows: for the evidence.
    """

    sent: str
    columns: tuple[str, ...]
    addon: str
    hold: Hold
    shows: Seen | None = None


Again = Callable[[], Steps | None]
"""What all addons say now, a Decision or a Question; None where nothing has moved that their answers rest on."""


class People:
    """
    Those who answer, behind control.

    :param premises: None where nothing but a command's own bytes decides what it does.
    :ivar retired: others have taken over.
    """

    log = Logger()

    def __init__(self, approvals: Approvals, premises: Premises | None, lists: Lists) -> None:
        self._approvals, self._premises, self._lists, self.retired = approvals, premises, lists, False

    def decide(self, session: Session, command: Command, question: Question, held: Held, again: Again) -> Steps:
        """The Decision that their answer comes to."""
        request, hold, sent = "", question.hold, question.sent

        def denied(reason: str, code: str, hint: str = "", sqlstate: str = "42501") -> Decision:
            facts = (("request", request),) if request else ()
            deny = Deny(reason, code, hold.rule, hint, sqlstate, facts=facts)
            return Decision(command, deny, sent, question.addon, hold.rule, request=request, columns=question.columns, seen=question.shows)

        try:
            under = yield from self._under(session, command, question.sent)
            sent, told = under.sent, under.told or hold.mode != "retry"
            if not told and not self._lists.next_is(session, command):  # a list's yes is spent at once, or not at all
                return denied(*untold(hold))
            bound = binding(session, command, sent, under.bound)
            answer = yield self._approvals.submit(request_for(session, command, sent, hold, bound, under.named))
            request = answer["request"]
            if answer["state"] == "pending" and not told:
                self._withdraw(request, "what it means cannot be told")
                return denied(*untold(hold))
            if answer["state"] == "pending" and hold.mode == "retry":
                return denied(*made(request, hold, answer))
            waited = answer["state"] == "pending"
            if waited:
                waiting = self._approvals.answer(request)
                held(request, hold)
                answer = yield waiting
            if answer["state"] != "granted":
                return denied(*unfavourable(request, answer))
            grant = grant_of(answer)
            refused = yield from self._changed(session, command, question, under, again, waited)
            if refused is not None:
                self._withdraw(request, "it is refused now")
                return replace(refused, request=request)
            return Decision(
                command, Allow(hold.rule, remember=False), sent, question.addon, hold.rule,
                grant=grant, request=request, binding=bound, columns=question.columns, seen=question.shows,
            )
        except CancelledError:
            self._withdraw(request, "the policy has changed" if self.retired else GIVEN_UP)
            return denied("cancelled while it waited for approval", "OST-304", sqlstate="57014")
        except Changed as error:
            self._withdraw(request, error.why)
            return denied(*changed(error))
        except (NotAllowed, BadCall) as error:
            self._withdraw(request, "it cannot be asked for")
            return denied(*unaskable(error))
        except Exception as error:  # control's failure must refuse, whatever it is
            self.log.error("no approval could be asked for: {error}", error=safely(error))
            self._withdraw(request, "the gateway could not wait for its answer")
            return denied("approval cannot be asked for now", "OST-305", "try again when the gateway's control is back")

    def _under(self, session: Session, command: Command, sent: str) -> Steps:
        """
        :raises Changed: it cannot be told what the command's names mean.
        """
        if self._premises is None:
            return Under(sent=sent)
        try:
            return (yield from self._premises.under(session, command, sent))
        except CancelledError:
            raise
        except Exception as error:  # whatever keeps a catalog from being read
            self.log.warn("what people are asked about could not be looked up: {error}", error=safely(error))
            raise Changed("what its names mean cannot be looked up now") from None

    def _changed(self, session: Session, command: Command, question: Question, under: Under, again: Again, waited: bool) -> Steps:
        """
        The refusal of what is another question now; None of what is the same.

        :raises Changed: likewise, where nobody refuses it by itself.
        """
        if waited and self._premises is not None and not (yield from self._premises.current(session, command)):
            raise Changed("whether it means the same still cannot be told")
        asked = again()
        now = question if asked is None else (yield from asked)
        if isinstance(now, Decision) and isinstance(now.verdict, Deny):
            return replace(now, verdict=replace(now.verdict, reason=f"{now.verdict.reason.rstrip('.')}; that has changed while it was held"))
        if now != question or (yield from self._under(session, command, question.sent)) != under:
            raise Changed("what it means has changed")
        return None

    def _withdraw(self, request: str, why: str) -> None:
        """Nobody waits for it any more; where control cannot be told, the request expires by itself."""
        if not request:
            return
        try:
            self._approvals.withdraw(request, why)
        except Exception as error:  # the command is refused already
            self.log.error("a request could not be withdrawn: {error}", error=safely(error))
