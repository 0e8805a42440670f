"""
Questions for approvers, and their answers: asked, answered by distinct people, granted once.

A grant is told to the notary before anybody may use it. A `hold` request's answer goes to
the session that waits; a `retry` request's to the identical command of the same identity;
a list of statements made ahead is granted whole and released in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from addons.needs import Clock
from gateway.control import request as shape
from gateway.control.asked import facts, released
from gateway.control.book import Book
from gateway.control.caller import IN_SESSION, ITSELF, Caller
from gateway.control.errors import BadCall, Conflict, ControlUnavailable, NotAllowed
from gateway.control.identity.local import Identities
from gateway.control.lists import MODE as LIST
from gateway.control.lists import Lists, follows
from gateway.control.outbox import RETRY, Notary, Outbox
from gateway.control.quorum import check_answerable, check_approver, counting, satisfies, too_late
from gateway.control.reveals import MODE as REVEAL
from gateway.control.reveals import Reveals
from gateway.control.rpc import place
from gateway.control.store import Store, Value

PENDING_PER_SUBJECT = 32
"""Requests of one identity that wait for people; an agent in a loop must not bury the others'."""

SHOWN_EXPIRED = 86400.0  # seconds that whoever lists what waits is told of what waits no more
UNUSED = "approved, but not used in time"

Answered = Callable[[Value], None]


class Requests:
    """
    All requests that are not over, and the table that keeps every one.

    :param answered: told each final answer of a `hold` request, after it is stored.
    """

    _log = Logger()

    def __init__(
        self, store: Store, identities: Identities, outbox: Outbox, clock: Clock, answered: Answered
    ) -> None:
        self._identities, self._clock = identities, clock
        self._notary: Notary | None = None
        self._answered = answered
        self._book = Book(store, outbox, clock, self._lapse)
        self.lists = Lists(self._book, identities)
        self.reveals = Reveals(self._book, identities, clock, self._ask)

    def start(self, notary: Notary | None) -> None:
        """Take up what a former run left: its clocks, and grants that the notary may not have."""
        self._notary = notary
        self._book.load()
        for record in self._book:
            if record["state"] == "granting":
                self._grant(record)

    def stop(self) -> None:
        self._notary = None
        self._book.stop()

    # -- workers -----------------------------------------------------------------------

    def submit(self, submitted: Mapping[str, Any]) -> Deferred[Value]:
        """
        Ask, or be told what was answered before to the identical command.

        :returns: an answer whose state is "granted" (with its grant), "pending" or "denied".
        :raises BadCall, NotAllowed: it cannot be asked.
        """
        asked = shape.read(submitted)
        if self._identities.live(asked["subject"]) is None:
            raise NotAllowed(f"{asked['subject'][:255]} may not ask for anything any more")
        for record in self._book:
            if self.lists.next_is(record, asked) and satisfies(record, asked, self._identities.live):
                return self._release_next(record, asked)
        known = self._identical(asked)
        if known is not None and known["state"] == "granted" and self._recount(known):
            return succeed(self._release(known))
        if known is not None:
            return succeed(shape.answer(known) | ({"state": "pending"} if known["state"] == "granting" else {}))
        missed = self._missed(asked) if asked["mode"] == "retry" else ""
        return succeed(shape.answer(self._ask(asked, asked["text"], [], asked["mode"], IN_SESSION)) | ({"reason": missed} if missed else {}))

    def submit_list(self, subject: str, asked: Mapping[str, Any], statements: Sequence[str], via: Caller = ITSELF) -> Value:
        """
        Ask ahead for statements to be run in this order, by this identity.

        :param asked: target, account, database, why, approvers, quorum, timeout, lifetime.
        """
        if not statements or not all(isinstance(text, str) and text.strip() for text in statements):
            raise BadCall("there is no statement to ask for")
        whole = {
            "session": "", "peer": "", "rule": "submitted", "mode": "hold", "sent": "", "parameters": [],
            "binding": bytes(shape.BINDING), "subject": subject, "text": "\n".join(statements), **asked,
        }
        checked = shape.read(whole)
        return shape.shown(self._ask(checked, checked["text"], list(statements), LIST, via))

    def withdraw(self, request: str, why: str) -> None:
        """
        Nobody waits any more. A `retry` answer that was released but not used goes back for the next try.
        """
        record = self._book.find(request)
        if record is None:
            return
        if record["state"] == "released" and record["mode"] == "retry":
            self._book.change(record, "request.returned", {"why": why}, state="granted")
        elif record["state"] in ("pending", "granting"):
            self._close(record, "withdrawn", why)

    def settled(self, request: str) -> Value | None:
        """
        The final answer, for a worker that joins again; None while there is none.

        :raises NotFound: there never was such a request.
        """
        record = self._book.get(request)
        return None if record["state"] in shape.OPEN else shape.answer(record)

    # -- people ------------------------------------------------------------------------

    def approve(self, request: str, approver: str, why: str = "", via: Caller = ITSELF) -> Deferred[Value]:
        """
        One person's yes. Fires when the grant is with the notary, or at once when more people are needed.

        :raises NotFound, NotAllowed, Conflict: with what to do about it.
        """
        record = self._answerable(request, approver)
        if record["mode"] == REVEAL:
            self.reveals.check(record)
        answers = [*record["answers"], self._said(approver, True, why)]
        enough = len(answers) >= record["quorum"]
        state = "granting" if enough else "pending"
        self._book.change(record, "request.approved", {"by": approver, "why": why} | via.facts(), answers=answers, state=state)
        if not enough:
            return succeed(shape.summary(record))
        granted = self._grant(record)
        granted.addCallback(lambda _: shape.summary(record))
        return granted

    def deny(self, request: str, approver: str, why: str = "", via: Caller = ITSELF) -> Value:
        """One person's no is enough."""
        record = self._answerable(request, approver)
        answers = [*record["answers"], self._said(approver, False, why)]
        self._close(record, "denied", why, {"by": approver} | via.facts(), answers=answers)
        return shape.summary(record)

    def get(self, request: str) -> Value:
        """
        Everything about it.

        :raises NotFound: there is no such request.
        """
        return self._book.get(request)

    def listed(self, everything: bool = False) -> list[Value]:
        """Those that wait or can be used, or all that are kept; newest first."""
        records = self._book.everything() if everything else [r for r in self._book if shape.state(r) in shape.OPEN]
        return sorted(records, key=lambda record: (-record["created"], record["id"]))

    def expired(self) -> list[Value]:
        """Those whose time ended in the last day; newest first."""
        since = self._clock.seconds() - SHOWN_EXPIRED
        found = [record for record in self._book.everything() if record["state"] == "expired" and record["expires"] >= since]
        return sorted(found, key=lambda record: (-record["expires"], record["id"]))

    def held(self) -> list[Value]:
        """Those that a live session must be waiting for."""
        return [record for record in self._book if record["mode"] == "hold" and record["state"] in shape.OPEN]

    def recount(self) -> None:
        """Somebody may not answer any more, who may have: what waits, or is not used yet, shows and counts those who still may."""
        for record in [one for one in self._book if one["state"] == "pending" or one["state"] == "granted" and one["mode"] == "retry"]:
            self._recount(record)

    # -- asking ------------------------------------------------------------------------

    def _ask(self, asked: Value, text: str, statements: list[str], mode: str, via: Caller = ITSELF, **more: Any) -> Value:
        entry = self._identities.need(asked["subject"])
        waiting = [r for r in self._book if r["state"] == "pending" and r["subject"] == entry.subject]
        if len(waiting) >= PENDING_PER_SUBJECT:
            raise NotAllowed(f"{entry.subject} has {len(waiting)} requests waiting already; wait for answers")
        check_answerable(self._identities, entry, frozenset(asked["approvers"]), asked["quorum"])
        now = self._clock.seconds()
        record = asked | {
            # What the worker claims of the identity is not asked for: control knows it.
            "id": shape.new_id(), "mode": mode, "kind": entry.kind, "on_behalf_of": entry.on_behalf_of, "text": text,
            "statements": statements, "next": 0, "state": "pending", "created": now, "expires": now + asked["timeout"],
            "answers": [], "grant": "", "reason": "", **more,
        }
        self._book.change(record, "request.submitted", facts(record) | via.facts())
        return record

    def _identical(self, asked: Value) -> Value | None:
        """What was answered, or is waiting, for the same command of the same identity in retry mode."""
        for record in self._book:
            same = record["binding"] == asked["binding"] and record["subject"] == asked["subject"]
            if same and record["mode"] == "retry" and record["state"] != "released":
                if record["state"] == "granted" or asked["mode"] == "retry":
                    return record
        return None

    def _missed(self, asked: Value) -> str:
        """That the last yes to the same command of the same identity was never used, for who asks again."""
        for record in self.expired():
            if record["reason"] == UNUSED and record["subject"] == asked["subject"] and (record["binding"] == asked["binding"] or follows(record, asked)):
                return f"{record['id']} was {UNUSED}"
        return ""

    # -- granting ----------------------------------------------------------------------

    def _recount(self, record: Value) -> bool:
        """Whether there are enough who said yes and could say it now. What others said is forgotten, and who is missing is waited for."""
        still = counting(record, record["approvers"], self._identities.live)
        stays = [said for said in record["answers"] if said["who"] in still]
        gone = [said["who"] for said in record["answers"] if said not in stays]
        if gone:
            over = {} if record["state"] == "pending" else {"expires": self._clock.seconds() + record["timeout"]}
            self._book.change(record, "request.recounted", {"no_longer": " ".join(gone)}, answers=stays, state="pending", grant="", **over)
        return len(stays) >= record["quorum"]

    def _grant(self, record: Value) -> Deferred[None]:
        """Have the notary record it; only then does anybody get it. Tried again until the request is too old, or somebody's yes counts no more."""
        if not self._recount(record):
            return succeed(None)
        lifetime = self._clock.seconds() + record["lifetime"]
        if record["mode"] == LIST:
            # Nothing to bind yet: each statement is bound, and told to the notary, as it comes.
            self._granted(record, "", lifetime)
            return self.lists.changed()
        grant = shape.new_grant()
        told = self._tell_notary(record, grant, record["binding"], lifetime)
        told.addCallback(lambda _: self._granted(record, grant, lifetime))
        told.addErrback(lambda failure: self._ungranted(record, failure))
        return told

    def _tell_notary(self, record: Value, grant: str, binding: bytes, expires: float) -> Deferred[Any]:
        if self._notary is None:
            failed: Deferred[Any] = Deferred()
            failed.errback(ControlUnavailable("the notary cannot be reached, and nothing is granted unrecorded"))
            return failed
        approvers = [said["who"] for said in record["answers"] if said["yes"]]
        return self._notary.grant(record["id"], grant, binding, expires, record.get("uses", 1), approvers)

    def _granted(self, record: Value, grant: str, expires: float) -> None:
        if record["state"] != "granting" or not self._recount(record):  # over, or revoked, meanwhile: nobody is ever told this grant's name
            return
        held = record["mode"] == "hold"
        state = "released" if held else "granted"
        self._book.change(record, "request.granted", {"grant": grant}, grant=grant, expires=expires, state=state)
        if held:
            self._answered(shape.answer(record))
        if record["mode"] == REVEAL:
            self.reveals.changed()

    def _ungranted(self, record: Value, failure: Failure) -> None:
        self._log.warn("a grant was not recorded, trying again: {what}", what=place(failure))
        if self._notary is not None and record["state"] == "granting":
            self._book.later(f"{record['id']} again", RETRY, lambda: self._again(record))

    def _again(self, record: Value) -> None:
        if record["state"] == "granting":
            self._grant(record)

    def _release(self, record: Value) -> Value:
        """Hand out a `retry` answer: stored first, so that it passes once whatever crashes."""
        self._book.change(record, "request.released", {"grant": record["grant"]}, state="released")
        return shape.answer(record)

    def _release_next(self, record: Value, asked: Value) -> Deferred[Value]:
        """The next statement of a list: bound to what is about to run, recorded, then released."""
        grant = shape.new_grant()
        self.lists.releasing.add(record["id"])
        expires = min(record["expires"], self._clock.seconds() + asked["lifetime"])
        told = self._tell_notary(record, grant, asked["binding"], expires)

        def recorded(_: Any) -> Value:
            if record["state"] != "granted":
                raise Conflict(f"request {record['id']} ended before its next statement was recorded")
            self.lists.moved(record, "request.released", {"grant": grant, **released(asked)})
            return shape.answer(record) | {"state": "granted", "grant": grant}

        def always(result: Any) -> Any:
            self.lists.releasing.discard(record["id"])
            return result

        return told.addCallback(recorded).addBoth(always)

    # -- ending ------------------------------------------------------------------------

    def _lapse(self, request: str) -> None:
        record = self._book.find(request)
        if record is None:
            return
        if shape.state(record) == shape.SPENT:
            self._book.end(record, shape.SPENT)  # nothing was left to end, so nothing is told
            self.reveals.changed()
        elif record["state"] in shape.OPEN:
            unused = record["state"] == "granted" and not record.get("used")
            over = UNUSED if unused else "its time is over" if record.get("used") else "nobody answered in time"
            self._close(record, "expired", over)
        else:
            self._book.forget(request)

    def _close(self, record: Value, state: str, why: str, who: Mapping[str, str] = MappingProxyType({}), **changes: Any) -> None:
        if state == "denied" and record["mode"] == "retry":
            # The identical command is told so for a while, instead of asking the same people again.
            changes["expires"] = self._clock.seconds() + record["lifetime"]
        self._book.change(record, f"request.{state}", {"why": why, **who}, state=state, reason=why, **changes)
        if record["mode"] == "hold":
            self._answered(shape.answer(record))
        if record["mode"] == REVEAL:
            self.reveals.changed()
        if record["mode"] == LIST:
            self.lists.changed()

    def _answerable(self, request: str, approver: str) -> Value:
        record = self.get(request)
        entry = self._identities.live(approver)
        if entry is None:
            raise NotAllowed(f"{approver} may not answer requests")
        check_approver(record, entry, self._identities.get)
        if record["state"] != "pending" or record["expires"] <= self._clock.seconds():
            raise Conflict(too_late(record))
        self._recount(record)
        if any(said["who"] == approver for said in record["answers"]):
            missing = record["quorum"] - len(record["answers"])
            raise Conflict(f"you answered {request} already; {missing} more of {', '.join(record['approvers'])} must")
        return record

    def _said(self, who: str, yes: bool, why: str) -> Value:
        return {"who": who, "yes": yes, "why": why, "at": self._clock.seconds()}
