"""
The masking addon between a test and a real server, without the gateway: what the pipeline and the relay
would ask of it is asked here, and what it answers is done to the server's results.
"""

from __future__ import annotations

import dataclasses
import select
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq
from twisted.internet.defer import Deferred, succeed

from addons.masking import Masking
from addons.sql.catalog import Snapshot
from gateway.catalog import read
from protocols.command import FunctionCall, Path, Statement, Transaction
from protocols.hooks import ClosedHook, ColumnsHook, DecidedHook, JudgeHook, OutcomeHook, RewriteHook, TextHook
from protocols.result import NULL, Column, Columns, Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny, Replace

ANN = Identity("ann@clinic.example")


def session(identity: Identity = ANN, name: str = "s1", database: str = "clinic") -> Session:
    return Session(name, identity, Target("clinic", "postgres", "127.0.0.1", 0), "rw", database, "127.0.0.1:1")


class Connection:
    """A driver's connection as the gateway's catalog reader wants one."""

    def __init__(self, port: int, database: str = "clinic", user: str = "app") -> None:
        self._connection = psycopg.connect(host="127.0.0.1", port=port, user=user, dbname=database, autocommit=True)

    def query(self, sql: str) -> Deferred[list[tuple[str | None, ...]]]:
        result = self._connection.pgconn.exec_(sql.encode())
        assert result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK), result.error_message
        return succeed(_rows(result, decode=True))

    def close(self) -> None:
        self._connection.close()


def _rows(result: Any, *, decode: bool = False) -> list[tuple]:
    cells = [[result.get_value(i, j) for j in range(result.nfields)] for i in range(result.ntuples)]
    return [tuple(None if c is None else c.decode() if decode else bytes(c) for c in row) for row in cells]


class OneWorker:
    """What catalogs say of their age where nobody else changes anything; `begun` of a reading becomes `settled`."""

    doubts = settled = 0

    def check(self, _session: Session) -> Deferred[None]:
        return succeed(None)

    def standing(self, _session: Session) -> tuple[object, ...]:
        known = self.snapshot(_session)
        return known and known.revision, self.stale(_session)

    def stale(self, _session: Session) -> bool:
        return self.doubts != self.settled

    def changes(self, _session: Session) -> tuple[int, int]:
        return self.doubts, self.settled

    def suspect(self, _session: Session) -> None:
        self.doubts += 1

    doubt = suspect

    def commit_begins(self, _session: Session) -> Deferred[None]:
        return succeed(None)

    def over(self, _session: Session) -> Deferred[None]:
        return succeed(None)

    def commit_ended(self, _session: Session) -> None:
        """Nobody has to hear of it."""

    def elsewhere(self, _session: Session) -> bool:
        return False


class Catalogs(OneWorker):
    """Reads at once. Counts its readings."""

    def __init__(self, port: int, database: str = "clinic") -> None:
        self._port, self._database, self.readings = port, database, 0
        self._snapshot: Snapshot | None = None

    def snapshot(self, _session: Session) -> Snapshot | None:
        return self._snapshot

    def refresh(self, _session: Session) -> Deferred[Snapshot]:
        self.readings += 1
        connection = Connection(self._port, self._database)
        answers: list = []
        read(connection).addBoth(answers.append)
        connection.close()
        if not isinstance(answers[0], tuple):
            answers[0].raiseException()
        self._snapshot, self.settled = answers[0][0], self.doubts
        return succeed(self._snapshot)


@dataclasses.dataclass
class Result:
    """What a client would have of one result."""

    rows: list[list[bytes | None]] = dataclasses.field(default_factory=list)
    cols: list[str] = dataclasses.field(default_factory=list)
    error: str | None = None
    sqlstate: str = ""
    cmd: str = ""
    refused: Deny | None = None
    alarm: str = ""
    sent: str = ""

    def as_corpus(self) -> dict[str, Any]:
        return {"rows": self.rows, "cols": self.cols, "error": self.error, "sqlstate": self.sqlstate, "cmd": self.cmd}


class Gate:
    """One client's session through the addon."""

    def __init__(self, addon: Masking, port: int, who: Session, database: str = "clinic", user: str = "app") -> None:
        self.addon, self.session = addon, who
        self.connection = psycopg.connect(
            host="127.0.0.1", port=port, user=user, dbname=database, autocommit=True, connect_timeout=5
        )
        self._pg = self.connection.pgconn
        self._pg.exec_(b"SET client_min_messages = notice")
        self._decision: Decision | None = None
        self.misc: list[bytes] = []
        self._pg.notice_handler = self._notice

    def close(self) -> None:
        self.addon.on_closed(ClosedHook(self.session))
        self.connection.close()

    def decide(self, statement: Statement) -> Allow | Replace | Deny:
        answer = self.addon.on_rewrite(RewriteHook(self.session, statement))
        if isinstance(answer, Deferred):
            answers: list = []
            answer.addBoth(answers.append)
            assert answers, "the catalog is read at once here"
            answer = answers[0]
        assert isinstance(answer, (Allow, Replace, Deny)), answer
        return answer

    def run(self, sql: str, mode: str = "simple", params: Sequence[str] = ()) -> list[Result]:
        """Every result of one message's text."""
        path = Path.SIMPLE if mode in ("simple", "copy") else Path.BIND
        settings = {
            "standard_conforming_strings": self.connection.info.parameter_status("standard_conforming_strings") or "on"
        }
        statement = Statement(sql, path, settings=settings)
        verdict = self.decide(statement)
        sent = verdict.text if isinstance(verdict, Replace) else sql
        allowed = verdict if isinstance(verdict, Deny) else Allow()
        self._decision = Decision(statement, allowed, sent, columns=getattr(verdict, "columns", ()))
        self.addon.on_decided(DecidedHook(self.session, self._decision))
        if isinstance(verdict, Deny):
            self._abort()
            return [Result(error=f"{verdict.code} {verdict.reason}", sqlstate=verdict.sqlstate, refused=verdict)]
        results = self._execute(sent, mode, params)
        status = Transaction({0: "I", 1: "I", 2: "T", 3: "E"}.get(int(self._pg.transaction_status), "I"))
        ending = Ending.ERROR if any(r.error for r in results) else Ending.COMPLETE
        self.addon.on_outcome(OutcomeHook(self.session, self._decision, Outcome(ending, transaction=status)))
        self._notifications()
        return results

    def call(self, function: str) -> Allow | Deny | None:
        """The fast path."""
        oid = int(self._pg.exec_(f"SELECT '{function}'::regproc::oid".encode()).get_value(0, 0))
        return self.addon.on_judge(JudgeHook(self.session, FunctionCall(oid), ""))

    def _abort(self) -> None:
        """A refused statement fails the open transaction, as the relay makes the server do."""
        if int(self._pg.transaction_status) == pq.TransactionStatus.INTRANS:
            self._pg.notice_handler = None
            self._pg.exec_(b"refused")
            self._pg.notice_handler = self._notice

    def _execute(self, sent: str, mode: str, params: Sequence[str]) -> list[Result]:
        values, data = [p.encode() for p in params] or None, sent.encode()
        binary = int("binary" in mode)
        if mode == "prepared_binary":
            self._pg.send_prepare(b"", data)
            prepared = self._drain()
            if prepared and prepared[-1].error:
                return prepared
            self._pg.send_query_prepared(b"", values, result_format=1)
        elif mode in ("extended", "extended_binary", "pipeline"):
            self._pg.send_query_params(data, values, result_format=binary)
        else:
            self._pg.send_query(data)
        return [dataclasses.replace(r, sent=sent) for r in self._drain()]

    def _drain(self) -> list[Result]:
        found = []
        while True:
            while self._pg.flush():
                select.select([], [self._pg.socket], [], 5)
            result = self._pg.get_result()
            if result is None:
                return found
            if result.status == pq.ExecStatus.COPY_OUT:
                found.append(Result(rows=self._copied(), cols=["copy"], cmd="COPY"))
            elif result.status == pq.ExecStatus.COPY_IN:
                self._pg.put_copy_end(None)
            else:
                found.append(self._result(result))

    def _copied(self) -> list[list[bytes | None]]:
        rows = []
        while True:
            length, data = self._pg.get_copy_data(0)
            if length <= 0:
                return rows
            rows.append([bytes(data)])

    def _result(self, result: Any) -> Result:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            fields = self._text("error", _fields(result))
            return Result(error=" | ".join(f"{k}:{v}" for k, v in fields.items()), sqlstate=fields.get("C", ""))
        shape = tuple(
            Column(
                (result.fname(j) or b"").decode(),
                result.ftable(j),
                result.ftablecol(j),
                result.ftype(j),
                result.fformat(j),
            )
            for j in range(result.nfields)
        )
        rows, alarm = [list(r) for r in _rows(result)], ""
        plan = self.addon.on_columns(ColumnsHook(self.session, self._decision, Columns(shape))) if shape else None
        if plan is not None:
            rows = [[_masked(c, m) for c, m in zip(row, plan.cells, strict=True)] for row in rows]
            alarm = plan.alarm
        return Result(rows, [c.name for c in shape], cmd=(result.command_status or b"").decode(), alarm=alarm)

    def _text(self, kind: str, fields: dict[str, str]) -> dict[str, str]:
        answer = self.addon.on_text(TextHook(self.session, kind, fields, self._decision))
        return fields if answer is None else answer

    def _notice(self, result: Any) -> None:
        self.misc.extend(v.encode() for v in self._text("notice", _fields(result)).values())

    def _notifications(self) -> None:
        self._pg.consume_input()
        while (note := self._pg.notifies()) is not None:
            fields = self._text("notification", {"channel": note.relname.decode(), "payload": note.extra.decode()})
            self.misc += [fields["channel"].encode(), fields["payload"].encode()]
        for name in ("application_name", "client_encoding", "TimeZone"):
            value = (self._pg.parameter_status(name.encode()) or b"").decode()
            self.misc.append(self._text("parameter", {"name": name, "value": value})["value"].encode())


def _fields(result: Any) -> dict[str, str]:
    found = {chr(code): result.error_field(code) for code in range(32, 127)}
    return {code: value.decode("utf-8", "replace") for code, value in found.items() if value is not None}


def _masked(cell: bytes | None, mask: Any) -> bytes | None:
    if cell is None or mask is NULL:
        return None
    return cell if mask is None else mask
