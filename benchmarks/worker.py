"""
What a worker spends on one point query of its own, in microseconds of processor time, without sockets, notary and server:
addons, pipeline, relay, adapter and journal as they are, everything around them played.

    python -m benchmarks.worker [--rounds N] [--sessions N] [--profile MODE]

As many sessions as said ask in each turn of the reactor, as busy ones do live. `asked` is from a client's read to the
journal, `sent` the append at the turn's end, `durable` the notary's word to the target's bytes, `answered` from the target's
read to the client's bytes. The smallest of all rounds is shown: the machine's other work can only add to it.
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from addons.access import Access
from addons.masking import Masking
from addons.policy import Policy
from addons.sql.settings import Settings
from benchmarks.peers import RULES
from gateway.catalog import Catalogs
from gateway.journal import Journal
from gateway.frame import pack
from gateway.locked import Reading
from gateway.opinions import Opinions
from gateway.pipeline import Pipeline
from protocols.adapter import Adapter
from protocols.command import Transaction
from protocols.postgres import replies
from protocols.postgres.messages import Bind, Parse, Query, Sync
from protocols.postgres.phrases import DESCRIBE_AND_RUN, RUN
from protocols.postgres.relay import PostgresRelay
from protocols.result import Column, Columns
from protocols.session import Identity, Session, Target
from protocols.tally import Tally
from tests.sql.little import snapshot

ROUND = 200  # turns
CLEAN, MASKED = "SELECT name FROM departments WHERE id = $1", "SELECT ssn FROM patients WHERE id = $1"
STAGES = ("asked", "sent", "durable", "answered")
SETTINGS = {"client_encoding": "UTF8", "standard_conforming_strings": "on", "server_version": "15.6"}


class Failures:
    """What is logged as an error: an addon that fails is a refusal or a line in the log, and then something else was measured."""

    def __init__(self) -> None:
        self.found: list[str] = []
        globalLogPublisher.addObserver(self)

    def __call__(self, event: LogEvent) -> None:
        if event["log_level"] >= LogLevel.error:
            self.found.append(formatEvent(event))

    def check(self) -> None:
        globalLogPublisher.removeObserver(self)
        if self.found:
            raise RuntimeError(f"{len(self.found)} errors were logged: what was measured is something else. The first: {self.found[0]}")


def catalogs(session: Session, tally: Tally) -> Catalogs:
    """The worker's own, which has read its target's and asks no more."""
    made = Catalogs(lambda _session: Deferred(), Clock(), tally=tally)  # whose time stands still: the reading that never comes is not given up
    made.refresh(session)
    made._shelves[session.target.name, session.database].last = Reading(snapshot(), None, {})
    return made


class Notary:
    """Takes appends, packed as they would travel, and acknowledges when told."""

    why_down = "not listening"

    def __init__(self) -> None:
        self._listener: Any = None
        self.last = 0

    def listen(self, listener: Any) -> None:
        self._listener = listener
        listener.up(1)

    def append(self, worker: int, first: int, items: list[Any]) -> None:
        pack(("append", worker, first, items))
        self.last = first + len(items) - 1

    def acknowledge(self) -> None:
        self._listener.acknowledged(self.last, [])


class Wire:
    """One side's transport."""

    def write(self, data: bytes) -> None:
        """Gone."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Never full."""


def asking() -> Session:
    target = Target("clinic", "postgres", "db", 5432)
    return Session(str(uuid.uuid4()), Identity("ada", groups=frozenset({"staff"})), target, "rw", "clinicdb", "10.0.0.9:5555")


Talk = Callable[[int, int], tuple[bytes, bytes]]
"""The n-th read of all clients, in the t-th turn of each, and the target's answer to it."""


def _bind(number: int, name: str = "P0", behind: bytes = DESCRIBE_AND_RUN) -> bytes:
    return Bind("", name, (), (str(number).encode(),)).encode() + behind


def _result(number: int, transaction: Transaction = Transaction.IDLE) -> bytes:
    columns = Columns((Column("name", 20002, 3, 25),))
    row = replies.DataRow((b"department %d" % number,)).encode()
    return replies.RowDescription(columns, ((-1, -1),)).encode() + row + replies.CommandComplete("SELECT 1").encode() + replies.ReadyForQuery(transaction).encode()


_PARSED, _BOUND = b"1\0\0\0\4", b"2\0\0\0\4"


def prepared(text: str) -> Talk:
    return lambda number, turn: (_bind(number), _BOUND + _result(number))


def inside(text: str, most: int) -> Talk:
    """So many executions in each transaction block."""

    def say(number: int, turn: int) -> tuple[bytes, bytes]:
        at = turn % (most + 2)
        if 0 < at <= most:
            return _bind(number), _BOUND + _result(number, Transaction.OPEN)
        text, transaction = ("COMMIT", Transaction.IDLE) if at else ("BEGIN", Transaction.OPEN)
        return Query(text).encode(), replies.CommandComplete(text).encode() + replies.ReadyForQuery(transaction).encode()

    return say


def described(text: str) -> Talk:
    return lambda number, turn: (_bind(number, behind=RUN), _BOUND + _result(number))


def extended(text: str) -> Talk:
    return lambda number, turn: (Parse("", text).encode() + _bind(number, ""), _PARSED + _BOUND + _result(number))


def simple(text: str, new: bool) -> Talk:
    return lambda number, turn: (Query(text.replace("$1", str(number if new else 1))).encode(), _result(number))


MODES: dict[str, tuple[str, Callable[[str], Talk]]] = {
    "prepared": (CLEAN, prepared),
    "prepared, masked table": (MASKED, prepared),
    "prepared, described before": (CLEAN, described),
    "prepared, in a transaction": (CLEAN, lambda text: inside(text, 1_000_000)),
    "BEGIN, prepared, COMMIT": (CLEAN, lambda text: inside(text, 1)),
    "extended": (CLEAN, extended),
    "simple, same text": (CLEAN, lambda text: simple(text, new=False)),
    "simple, new text": (CLEAN, lambda text: simple(text, new=True)),
}


class House:
    """A worker's one pipeline and journal, and so many sessions."""

    def __init__(self, sessions: int, text: str) -> None:
        tally = Tally()  # one, as in a worker
        self.notary, self.tracked = Notary(), Settings(tally=tally)
        self.journal = Journal(self.notary, reactor, timeout=3600.0)
        read = catalogs(asking(), tally)
        columns = [{"relation": "public.patients", "column": name, "clear": ["privacy"]} for name in ("ssn", "mrn")]
        default = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}
        addons = [
            Access(rules=[{"kinds": ["human"]}]), Masking(columns=columns, catalogs=read, settings=self.tracked),
            Policy(default=default, rules=RULES, catalogs=read, settings=self.tracked),
        ]
        pipeline = Pipeline(addons, None, reactor)
        self.adapters, self.turns = [self._session(pipeline) for _ in range(sessions)], -1
        self.turn(lambda *_: (Parse("P0", text).encode() + Sync().encode(), _PARSED + replies.ReadyForQuery(Transaction.IDLE).encode()), itertools.count(), [0] * 4)

    def _session(self, pipeline: Pipeline) -> Adapter:
        session = asking()
        self.tracked.start(session, '"$user", public')  # as a worker does, which asks the target
        opinions = Opinions(lambda: (pipeline, 0), session)
        relay = PostgresRelay(opinions, SETTINGS)
        made = Adapter(relay, session, opinions, self.journal, reactor, cancel_target=lambda: succeed(None), ended=lambda why: None)
        self.journal.opened(session, {}, made)
        made.attach(Wire(), Wire())
        return made

    def turn(self, talk: Talk, numbers: Iterator[int], spent: list[int]) -> None:
        """Every session asks once and is answered; nanoseconds of each stage are added."""
        said = [talk(next(numbers), self.turns) for _ in self.adapters]
        self.turns += 1
        clock, marks = time.thread_time_ns, [time.thread_time_ns()]
        for adapter, (asked, _) in zip(self.adapters, said):
            adapter.client_data(asked)
        marks.append(clock())
        reactor.runUntilCurrent()
        marks.append(clock())
        self.notary.acknowledge()
        while any(adapter._rest or adapter._withheld for adapter in self.adapters):  # the machine was busy: sessions took turns
            reactor.runUntilCurrent()
            self.notary.acknowledge()
        marks.append(clock())
        for adapter, (_, answer) in zip(self.adapters, said):
            adapter.target_data(answer)
        marks.append(clock())
        if any(adapter.busy for adapter in self.adapters):
            raise RuntimeError("a command was not answered: what was measured is something else")
        for stage in range(4):
            spent[stage] += marks[stage + 1] - marks[stage]


def measured(mode: str, sessions: int, rounds: int) -> list[float]:
    """Microseconds per query of each stage, in the cheapest round."""
    text, make = MODES[mode]
    failures = Failures()
    house, talk, numbers, best = House(sessions, text), make(text), itertools.count(), []
    for _ in range(rounds):
        spent = [0] * len(STAGES)
        for _ in range(ROUND):
            house.turn(talk, numbers, spent)
        best.append([each / 1000 / ROUND / sessions for each in spent])
    failures.check()
    return min(best[1:] or best, key=sum)


def profiled(mode: str, sessions: int, rounds: int) -> None:
    with cProfile.Profile() as profile:
        measured(mode, sessions, rounds)
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=12, help=f"of {ROUND} turns")
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--profile", choices=MODES, help="where one mode's time goes, by function")
    chosen = parser.parse_args()
    if chosen.profile:
        profiled(chosen.profile, chosen.sessions, chosen.rounds)
        return
    print(f"{'µs per query':27}" + "".join(f"{name:>10}" for name in (*STAGES, "all")))
    for mode in MODES:
        found = measured(mode, chosen.sessions, chosen.rounds)
        print(f"{mode:27}" + "".join(f"{each:10.1f}" for each in (*found, sum(found))))


if __name__ == "__main__":
    main()
