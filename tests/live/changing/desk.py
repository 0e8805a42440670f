"""
All addons of SQL in one process, in front of a server whose catalog they have read once: every attempt is rolled back, so it stays true.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from addons.masking import Masking
from addons.policy import Policy
from addons.rows import Rows
from addons.sql.catalog import Snapshot
from addons.sql.settings import Settings
from gateway.catalog import read
from gateway.memory import Memory
from gateway.pipeline import Pipeline
from protocols.command import Path, Statement, Transaction
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Decision, Deny
from tests.masking.gate import Connection, OneWorker


class Refused(Exception):
    """By an addon."""

    def __init__(self, deny: Deny) -> None:
        super().__init__(f"{deny.reason} [{deny.code}]")
        self.deny = deny


class Once(OneWorker):
    """A catalog that was read, and is not read again."""

    def __init__(self, port: int, database: str, user: str) -> None:
        connection, answers = Connection(port, database, user), []
        read(connection).addBoth(answers.append)
        connection.close()
        self._snapshot: Snapshot = answers[0][0]

    def snapshot(self, _session: Session) -> Snapshot:
        return self._snapshot

    def refresh(self, _session: Session) -> Deferred[Snapshot]:
        self.settled = self.doubts
        return succeed(self._snapshot)


class Desk:
    """
    :param direct: how the server is reached. :param catalogs: `Once` of it.
    """

    def __init__(self, direct: str, catalogs: Once, masked: Sequence[Any], policy: Mapping[str, Any], rows: Mapping[str, Any]) -> None:
        self._direct, self.settings = direct, Settings()
        self._pipeline = Pipeline(
            [
                Masking(columns=masked, catalogs=catalogs, settings=self.settings),
                Policy(catalogs=catalogs, settings=self.settings, **policy),
                Rows(catalogs=catalogs, settings=self.settings, estimates=None, **rows),
            ],
            None, Clock(),
        )  # fmt: skip

    def sit(self, name: str, who: Identity) -> Seat:
        """A session of somebody, in an open transaction."""
        session = Session(name, who, Target("db", "postgres", "h", 0), "app", "changing", "p")
        return Seat(self._pipeline, session, psycopg.connect(self._direct, autocommit=True))


class Seat:
    """One session: what the addons refuse raises, all else is done."""

    def __init__(self, pipeline: Pipeline, session: Session, connection: psycopg.Connection[Any]) -> None:
        self._pipeline, self._session, self._connection, self._memory = pipeline, session, connection, Memory()
        self._prepared: dict[str, str] = {}
        self.run("BEGIN")

    def leave(self) -> None:
        self._connection.rollback()
        self._connection.close()
        self._pipeline.closed(self._session)

    def step(self, step: str) -> list[Any]:
        """As `Attempt.steps` write them; its rows, of all results."""
        if step[0] == "=":
            self._prepared["before"] = step[1:]
            self._decide(Statement(step[1:], Path.PARSE, name="before"))
            return []
        if step[0] == "!":
            try:
                return self.run(step[1:])
            except psycopg.Error:
                return []
        return self.run(step.lstrip("@"), Path.BIND if step[0] == "@" else Path.SIMPLE)

    def run(self, text: str, path: Path = Path.SIMPLE) -> list[Any]:
        decision = self._decide(Statement(text, path, transaction=self._transaction(), prepared=self._prepared))
        ending = Ending.ERROR
        try:
            found, ending = self._sent(decision.sent), Ending.COMPLETE
            return found
        finally:
            self._pipeline.ended(self._session, decision, Outcome(ending, transaction=self._transaction()))

    def _decide(self, statement: Statement) -> Decision:
        answers: list[Decision] = []
        asked = self._pipeline.decide(self._session, statement, lambda *_: None, self._memory)
        if isinstance(asked, Deferred):
            asked.addCallback(answers.append)
        decision = answers[0] if answers else asked
        if isinstance(decision.verdict, Deny):
            assert re.fullmatch(r"OST-[0-9]+", decision.verdict.code) and decision.verdict.code[4] in "245", decision.verdict
            raise Refused(decision.verdict)
        return decision

    def _sent(self, text: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            if text.startswith("COPY"):
                with cursor.copy(text) as copy:
                    return [bytes(part) for part in copy]
            cursor.execute(text)
            found = cursor.fetchall() if cursor.description else []
            while cursor.nextset():
                found += cursor.fetchall() if cursor.description else []
            return found

    def _transaction(self) -> Transaction:
        status = self._connection.info.transaction_status
        return {0: Transaction.IDLE, 2: Transaction.OPEN, 3: Transaction.FAILED}[int(status)]
