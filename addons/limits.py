"""
Limits: rows, bytes, time and rate. A limit ends in an error, never in a result that looks whole and is short.

Time is watched with timers and needs the power to end sessions; counts per identity over all workers are control's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocols.command import FunctionCall, Path, Statement
from protocols.hooks import ClosedHook, CommandHook, DecidedHook, JudgeHook, OutcomeHook, RowsHook, SessionHook, TextHook
from protocols.session import Session
from protocols.verdict import Allow, Decision, Deny, Verdict

from addons.needs import Clock, Sessions
from addons.sql.conditions import Conditions, Table, all_of, conditions
from addons.sql.parse import count
from addons.sql.settings import Gate

_MINUTE = 60.0
_CANCELLED = "57014"  #: query_canceled: what the target answers to the cancel that we sent


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is allowed; None is no limit. `idle` and `duration` in seconds."""

    rows: float | None = None
    bytes: float | None = None
    idle: float | None = None
    duration: float | None = None
    per_minute: float | None = None
    name: str = ""  #: of the rule that says so; "" when none does

    def over(self, other: Amounts) -> Amounts:
        """These where they say something, else the other's. Whose number it is does not show: the rule that fits is named."""
        return Amounts(*(getattr(self, n) if getattr(self, n) is not None else getattr(other, n) for n in _NUMBERS), self.name)


_NUMBERS = tuple(name for name in Amounts.__slots__ if name != "name")


@dataclass(slots=True)
class _Watch:
    """One session: what runs, the timers, and the bucket of statements (capacity and refill are `per_minute`)."""

    amounts: Amounts
    running: list[Decision] = field(default_factory=list)
    duration: Any = None
    idle: Any = None
    cut: bool = False
    tokens: float = 0.0
    filled: float = 0.0


class Limits:
    """
    :param rows: of one result. :param bytes: of one result.
    :param idle: seconds without a command outside a transaction; then the session is closed.
    :param duration: seconds one statement may take; then it is cancelled at the target. Shells and forwards may live on.
    :param per_minute: statements of one session, each of a string's.
    :param rules: tables of conditions, amounts and a `name` that refusals and evidence show; the first that fits a session goes over the ones above.
    """

    def __init__(
        self,
        *,
        rows: float | None = None,
        bytes: float | None = None,
        idle: float | None = None,
        duration: float | None = None,
        per_minute: float | None = None,
        rules: Iterable[Mapping[str, object]] = (),
        clock: Clock | None = None,
        sessions: Sessions | None = None,
    ) -> None:
        given = {"rows": rows, "bytes": bytes, "idle": idle, "duration": duration, "per_minute": per_minute}
        own = Table({k: v for k, v in given.items() if v is not None}, "")
        self._rules = own.faults.of(lambda: all_of(self._rule, rules, "rules"), [])
        self._default = _amounts(own)
        self._clock, self._sessions, self._watches = clock, sessions, {}
        every = [self._default, *(amounts for _, amounts in self._rules)]
        if clock is None and any(a.idle or a.duration or a.per_minute for a in every):
            raise ValueError("limits: idle, duration and per_minute need a clock, and none was given")
        if sessions is None and any(a.idle or a.duration for a in every):
            raise ValueError("limits: idle and duration end sessions, and the power to was not given")

    def _rule(self, table: Table) -> tuple[Conditions, Amounts]:
        table.only(Amounts)
        made = conditions(table)
        if made.timed:
            table.wrong("hours", "limits hold at all hours; take hours and days out")
        return made, _amounts(table)

    def on_session(self, hook: SessionHook) -> Verdict:
        """Who has come in and asks nothing is idle from here on. What a session that others refuse leaves behind goes with its time."""
        if not hook.again and self._amounts(hook.session).idle is not None:
            self._rest(hook.session, self._watch(hook.session), "I")
        return Allow()

    def on_judge(self, hook: JudgeHook) -> Verdict:
        """Whatever becomes of it, and however long somebody has to be waited for, who asks is not idle."""
        watch = self._watch(hook.session)
        _stop(watch.idle)
        if hook.command.path is Path.PARSE or watch.amounts.per_minute is None:
            return Allow(remember=True)
        return self._count(hook.session, _statements(hook.command))

    def on_command(self, hook: CommandHook) -> Verdict:
        """What runs and what connects counts as a statement does; of the files of one transfer there may be thousands."""
        _stop(self._watch(hook.session).idle)
        return Allow() if hook.command.path is Path.FILE else self._count(hook.session)

    def _count(self, session: Session, many: int = 1) -> Verdict:
        watch = self._watch(session)
        if watch.amounts.per_minute is None:
            return Allow(remember=True)
        if not self._take(watch, many):
            return Deny(
                f"More than {_plain(watch.amounts.per_minute)} statements in a minute.", "OST-404", watch.amounts.name,
                hint="Wait a few seconds, or send fewer and larger statements.", sqlstate="53400",
            )
        return Allow(remember=False)

    def on_decided(self, hook: DecidedHook) -> None:
        """Time begins for an allowed command that runs. While anything runs, no session is idle."""
        watch = self._watch(hook.session)
        _stop(watch.idle)
        if isinstance(hook.decision.verdict, Allow) and hook.decision.command.path is not Path.PARSE:
            watch.running.append(hook.decision)
            if len(watch.running) == 1:
                self._begin(hook.session, watch)
        elif not watch.running:
            self._rest(hook.session, watch, hook.decision.command.transaction)

    def on_rows(self, hook: RowsHook) -> Deny | None:
        amounts, batch = self._watch(hook.session).amounts, hook.batch
        if amounts.rows is not None and batch.total_rows > amounts.rows:
            return Deny(
                f"The result has more than {_plain(amounts.rows)} rows.", "OST-401", amounts.name,
                hint="Add a WHERE or a LIMIT, or fetch it in parts.", sqlstate="54000",
            )
        if amounts.bytes is not None and batch.total_bytes > amounts.bytes:
            return Deny(
                f"The result is larger than {_plain(amounts.bytes)} bytes.", "OST-402", amounts.name,
                hint="Select fewer columns, or add a WHERE or a LIMIT.", sqlstate="54000",
            )
        return None

    def on_text(self, hook: TextHook) -> dict[str, str] | None:
        """The target's answer to our cancel says why."""
        watch = self._watches.get(hook.session.id)
        if watch is None or not watch.cut or hook.kind != "error" or hook.fields.get("C") != _CANCELLED:
            return None
        watch.cut = False
        return {**hook.fields, "M": f"{_too_long(watch.amounts).reason} [OST-403]", "H": "Make it faster, or ask for a longer limit."}

    def on_outcome(self, hook: OutcomeHook) -> None:
        watch = self._watch(hook.session)
        at = next((i for i, decision in enumerate(watch.running) if decision is hook.decision), None)
        if at is not None:
            del watch.running[at]
        _stop(watch.duration)
        if watch.running:
            self._begin(hook.session, watch)
        else:
            self._rest(hook.session, watch, hook.outcome.transaction)

    def on_closed(self, hook: ClosedHook) -> None:
        watch = self._watches.pop(hook.session.id, None)
        if watch is not None:
            _stop(watch.idle)
            _stop(watch.duration)

    def stop(self) -> None:
        """Let go of every timer: a reload has put another in this one's place."""
        for watch in self._watches.values():
            _stop(watch.idle)
            _stop(watch.duration)
        self._watches.clear()

    def _watch(self, session: Session) -> _Watch:
        found = self._watches.get(session.id)
        if found is None:
            found = self._watches[session.id] = _Watch(self._amounts(session))
            if found.amounts.per_minute is not None:
                found.tokens, found.filled = found.amounts.per_minute, self._clock.seconds()
        return found

    def _amounts(self, session: Session) -> Amounts:
        return next((amounts for fits, amounts in self._rules if fits.fits(session)), Amounts()).over(self._default)

    def _take(self, watch: _Watch, many: int) -> bool:
        now, most = self._clock.seconds(), watch.amounts.per_minute
        watch.tokens = min(most, watch.tokens + (now - watch.filled) * most / _MINUTE)
        watch.filled = now
        if watch.tokens < many:
            return False
        watch.tokens -= many
        return True

    def _begin(self, session: Session, watch: _Watch) -> None:
        if watch.amounts.duration is not None and isinstance(watch.running[0].command, (Statement, FunctionCall)):
            watch.duration = self._clock.callLater(watch.amounts.duration, self._cut, session, watch)

    def _rest(self, session: Session, watch: _Watch, transaction: str) -> None:
        """Nothing runs: outside a transaction the idle time begins."""
        _stop(watch.idle)
        if watch.amounts.idle is not None and transaction == "I":
            why = Deny(f"Nothing was asked for {_plain(watch.amounts.idle)} seconds.", "OST-405", watch.amounts.name, "Connect again.", "57P05")
            watch.idle = self._clock.callLater(watch.amounts.idle, self._end, session, why)

    def _end(self, session: Session, why: Deny) -> None:
        self._watches.pop(session.id, None)
        self._sessions.end(session, why)

    def _cut(self, session: Session, watch: _Watch) -> None:
        watch.cut = True
        self._sessions.cancel(session, _too_long(watch.amounts))


def _statements(command: Statement | FunctionCall) -> int:
    """Those of a string; where its quotes may not end where they seem to, as many as there may be."""
    if isinstance(command, FunctionCall) or command.path is not Path.SIMPLE:
        return 1
    return command.text.count(";") + 1 if Gate().ambiguous(command.settings) else count(command.text)


def _too_long(amounts: Amounts) -> Deny:
    return Deny(f"The command took longer than {_plain(amounts.duration)} seconds.", "OST-403", amounts.name, sqlstate=_CANCELLED)


def _plain(number: float) -> str:
    """As people write it: never 1e+06."""
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _stop(timer: Any) -> None:
    if timer is not None and timer.active():
        timer.cancel()


def _amounts(table: Table) -> Amounts:
    made = Amounts(*(table.number(name) for name in _NUMBERS), table.text("name"))
    table.end()
    return made
