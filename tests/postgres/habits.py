"""
One conversation heard by two sessions, of which one may take the short way: a worker's pipeline, opinions and journal each, with
addons whose minds a test changes, a notary that it plays, and the target behind both.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

sys.path.insert(0, str(Path(__file__).parent.parent / "protocols"))

from playbook import READY_FAILED, SETTINGS, columns, complete, error, row  # noqa: E402
from scene import SESSION, Wire  # noqa: E402
from test_conversation import Server  # noqa: E402
from test_phrases import known  # noqa: E402

from addons.sql.settings import Settings  # noqa: E402
from gateway.journal import Journal  # noqa: E402
from gateway.notary.record import FIELDS, Kind, parse_event, unpack  # noqa: E402
from gateway.opinions import Opinions  # noqa: E402
from gateway.pipeline import Pipeline  # noqa: E402
from protocols.adapter import Adapter  # noqa: E402
from protocols.command import Transaction  # noqa: E402
from protocols.hooks import ColumnsHook, DecidedHook, JudgeHook, OutcomeHook  # noqa: E402
from protocols.postgres.codec import Frame  # noqa: E402
from protocols.postgres import messages  # noqa: E402
from protocols.postgres.relay import PostgresRelay  # noqa: E402
from protocols.result import MaskPlan  # noqa: E402
from protocols.session import Session  # noqa: E402
from protocols.tally import Tally  # noqa: E402
from protocols.verdict import Allow, Decision, Deny  # noqa: E402

_FOLLOWED = re.compile("BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET")
_ENDING = ("COMMIT", "ROLLBACK")
_MICROS = FIELDS[Kind.OUTCOME].index("micros") + 6  # behind what all records begin with


class Notary:
    """Keeps what is sent; a test says what is durable, and when it is there at all."""

    why_down = "not up yet"

    def __init__(self) -> None:
        self.worker, self.last, self.items = 1, 0, []

    def listen(self, listener: Journal) -> None:
        self.listener = listener
        listener.up(self.worker)

    def append(self, worker: int, first: int, items: Sequence[Sequence[Any]]) -> None:
        self.last = first + len(items) - 1
        self.items += [(worker, *item) for item in items]

    def records(self) -> list[Any]:
        """What was sent, without how long anything took."""
        found = []
        for worker, event, body, terms in self.items:
            fields = list(parse_event(event))
            if fields[0] == Kind.OUTCOME:
                fields[_MICROS] = 0
            found.append((worker, fields, unpack(body), terms))
        return found


class Mind:
    """Judges; remembers that it allowed for as long as it says nothing else."""

    def __init__(self, tally: Tally) -> None:
        self.tallies, self._tally, self.strict = (tally,), tally, False

    def turn(self, strict: bool) -> None:
        self._tally.moved()
        self.strict = strict

    def standing(self, session: Session) -> bool:
        return self.strict

    def untold(self, session: Session, decision: Decision) -> bool:
        return True


class Judge(Mind):
    """Its rule says all that it answers by: also how the transaction stands, and where names are looked up."""

    def __init__(self, tally: Tally, session: Session) -> None:
        super().__init__(tally)
        self._settings = Settings(tally=tally)
        self._settings.start(session, "public")

    def standing(self, session: Session) -> Any:
        return self.strict, self._settings.standing(session)

    def untold(self, session: Session, decision: Decision) -> bool:
        return not _FOLLOWED.match(decision.command.text)

    def on_judge(self, hook: JudgeHook) -> Allow | Deny:
        if self.strict and "ssn" in hook.sent:
            return Deny("no", rule="strict")
        rule, path = "in a pipeline" if hook.command.pipelined else "alone", self._settings.search_path(hook.session)
        rule += "" if hook.command.transaction is Transaction.IDLE else f" in {hook.command.transaction}"
        return Allow(rule if path == ("public",) else f"{rule} by {path}", remember=True, formed=True)

    def on_decided(self, hook: DecidedHook) -> None:
        if _FOLLOWED.match(hook.decision.command.text):
            self._settings.decided(hook.session, hook.decision, "Judge")

    def on_outcome(self, hook: OutcomeHook) -> None:
        self._settings.ended(hook.session, hook.decision, hook.outcome, "Judge")


class Masks(Mind):
    def on_columns(self, hook: ColumnsHook) -> MaskPlan | None:
        cells = tuple(b"*" if column.name == "ssn" and self.strict else None for column in hook.columns.fields)
        return MaskPlan(cells) if any(cells) else None


class House:
    """A worker with one session. `target` and `client`: its two sides."""

    def __init__(self, *, short: bool, masks: bool) -> None:
        self.clock, self.tally, self.notary, self.revision = Clock(), Tally(), Notary(), 1
        self.client, self.target, self.endings, self.cancels = Wire(), Wire(), [], 0
        self.journal = Journal(self.notary, self.clock, 2.0)
        self.session = replace(SESSION, id=str(uuid.UUID(int=7)), policy_revision=1)
        self.judge, self.masks = Judge(self.tally, self.session), Masks(self.tally)
        self._addons = [self.judge, self.masks] if masks else [self.judge]
        self._load()
        opinions = Opinions(lambda: (self.pipeline, self.revision), self.session)
        self.relay = PostgresRelay(opinions, SETTINGS)
        self.adapter = Adapter(
            self.relay, self.session, opinions, self.journal, self.clock, cancel_target=self._cancel, ended=self.endings.append,
        )  # fmt: skip
        self.short, self.ways = self.adapter._shortcut, 0
        if not short:
            self.short._repeat = None
        self.adapter.attach(self.client, self.target)

    def _load(self) -> None:
        self.pipeline = Pipeline(self._addons, None, self.clock)

    def _cancel(self) -> Any:
        self.cancels += 1
        return succeed(None)

    def reload(self) -> None:
        """As a worker switches."""
        self.tally.moved()
        self.revision += 1
        self._load()
        self.adapter.reconsider()

    def masking(self, on: bool) -> None:
        """Whether addons have a say in what is shown is otherwise from the next revision on."""
        self._addons = [self.judge, self.masks] if on else [self.judge]
        self.reload()

    def say(self, data: bytes) -> None:
        self.adapter.client_data(data)
        self.ways += self.short.taken

    def slow(self, on: bool) -> None:
        """The client takes what it is told, or not now."""
        producer = self.client.producer
        if producer is not None:
            (producer.pauseProducing if on else producer.resumeProducing)()

    def acknowledge(self, refuse: bool = False) -> None:
        """All that was sent is durable; `refuse`: but the last of it, since its grant is not good."""
        if self.notary.worker and self.notary.last:
            self.notary.listener.acknowledged(self.notary.last, [(self.notary.last, "spent")] if refuse else [])

    def down(self) -> None:
        if self.notary.worker:
            self.notary.worker, self.notary.last = 0, 0
            self.notary.listener.down("the notary is gone")

    def up(self, number: int) -> None:
        if not self.notary.worker:
            self.notary.worker = number
            self.notary.listener.up(number)

    def seen(self) -> Any:
        """All that anybody outside can tell of it."""
        return (
            self.client.value(), self.target.value(), self.notary.records(), len(self.journal._outgoing), self.journal.settled, self.adapter.busy,
            self.adapter._closed, self.endings, self.cancels, self.client.paused, self.target.paused, self.client.closed, self.target.closed,
        )  # fmt: skip

    def knows(self) -> Any:
        """What the next message's meaning hangs on; the short way is left for it."""
        self.short.leave()
        return known(self.relay), self.relay._frontend.number, sorted(self.adapter._began), len(self.adapter._withheld.unsettled())


class Target(Server):
    """
    Also gives so many rows as it has, named as the text says, and in the format that is asked for; and begins and ends transactions, which
    fail with whatever fails in them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.many, self._codes, self.failed = 1, {}, False

    def _take(self, frame: Frame) -> bytes:
        message = messages.parse(frame)
        if isinstance(message, messages.Query) and not self.skipping:
            word = self._word(message.text)
            if word or self.failed:
                return (self._turned(message.text, word) or error()) + self._ready()
            self.failed = self.open and (self._wrong(message.text) or "boom" in message.text)
        answer = super()._take(frame)
        self.failed = self.failed or self.open and answer[:1] == b"E"
        if frame.tag == b"Q" and answer[:1] == b"T":
            name = "ssn" if b"ssn" in frame.body else "a"
            answer = answer.replace(columns("a") + row(b"1") * 3, columns(name) + row(b"1") * self.many)
        return answer

    @staticmethod
    def _word(text: str) -> str:
        """What a text does to the transaction; "" where it is something else."""
        found = _FOLLOWED.match(text)
        return found[0] if found else ""

    def _turned(self, text: str, word: str) -> bytes:
        """b"" is an error."""
        back = text.startswith("ROLLBACK TO")
        if (self.failed and word not in _ENDING) or (back and not self.open):
            return b""
        self.open, self.failed = word == "BEGIN" or (self.open and (back or word not in _ENDING)), False
        return complete(word)

    def _ready(self) -> bytes:
        return READY_FAILED if self.failed else super()._ready()

    def _extended(self, message: messages.Message) -> bytes:
        match message:
            case messages.Parse(_, text):
                bars = self.failed and self._word(text) not in _ENDING
            case messages.Bind(_, name):
                bars = self.failed and self._word(self.statements.get(name, "")) not in _ENDING
            case messages.Execute(portal) if portal in self.portals and (word := self._word(text := str(self.portals[portal][0]))):
                return self._turned(text, word)
            case _:
                bars = self.failed and isinstance(message, messages.Execute)
        if bars:
            return b""
        answer = super()._extended(message)
        if isinstance(message, messages.Bind) and answer:
            self._codes[message.portal] = (message.result_formats or (0,))[0]
            self.portals[message.portal][1] = self.many if "rows" in str(self.portals[message.portal][0]) else 0
        if isinstance(message, messages.Describe) and message.kind == "P" and answer[:1] == b"T":
            text = str(self.portals[message.name][0])
            return columns("ssn" if "ssn" in text else "a", code=self._codes.get(message.name, 0))
        return answer


class Both:
    """Two houses that hear the same. `plain` knows no short way."""

    def __init__(self, *, masks: bool = False) -> None:
        self.houses = self.quick, self.plain = House(short=True, masks=masks), House(short=False, masks=masks)
        self.server, self._heard, self.incarnation = Target(), 0, 1
        self.each("turn")

    def each(self, what: str, *said: Any) -> None:
        """Both do it; nobody can tell them apart."""
        for house in self.houses:
            if what == "turn":
                house.journal.flush()
            elif what == "wait":
                house.clock.advance(*said)
            else:
                thing = house
                *path, name = what.split(".")
                for step in path:
                    thing = getattr(thing, step)
                getattr(thing, name)(*said)
        self.same()

    def same(self) -> None:
        assert self.quick.seen() == self.plain.seen()

    def rest(self) -> None:
        """Both are compared inside too."""
        assert self.quick.knows() == self.plain.knows()
        self.same()

    def say(self, data: bytes) -> None:
        self.each("say", data)

    def ack(self) -> None:
        self.each("turn")
        self.each("acknowledge")

    def hear(self) -> bytes:
        """What the target says to all that has reached it and was not answered yet."""
        sent = self.quick.target.value()
        new, self._heard = sent[self._heard :], len(sent)
        return self.server.hear(new)

    def tell(self, data: bytes) -> None:
        self.each("adapter.target_data", data)

    def ask(self, data: bytes) -> bytes:
        """One whole exchange; what the client saw of it."""
        before = len(self.plain.client.value())
        self.say(data)
        self.ack()
        self.tell(self.hear())
        return self.quick.client.value()[before:]
