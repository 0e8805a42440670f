"""
What addons are asked and told. Each hook names its method in full; its docstring is
a promise to addon authors. A method called `on_*` that is not here is refused at start.

An addon is any object. It defines the hooks it cares for, returns a verdict (or a
Deferred of one, or None for "no opinion"), and changes nothing in place. Phases
are fixed (session, rewrite, judge, ask); order in the configuration counts inside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from protocols.command import FunctionCall, SshCommand, Statement
from protocols.result import Columns, Outcome, RowBatch
from protocols.session import Session
from protocols.verdict import Decision


@dataclass(frozen=True, slots=True)
class Hook:
    """Something an addon may have an opinion about. Use a subclass."""

    method: ClassVar[str] = ""
    session: Session


@dataclass(frozen=True, slots=True)
class SessionHook(Hook):
    """
    An identity has proved itself and names a target. Nothing was dialled. Answer Allow or Deny.

    :ivar again: it has its session already, and a reload asks whether it could begin now. A Deny ends it.
    """

    method: ClassVar[str] = "on_session"
    again: bool = False


@dataclass(frozen=True, slots=True)
class RewriteHook(Hook):
    """A statement came. Answer Allow, Replace or Deny. `statement.text` is what earlier addons left."""

    method: ClassVar[str] = "on_rewrite"
    statement: Statement


@dataclass(frozen=True, slots=True)
class JudgeHook(Hook):
    """A statement or function call came and is rewritten. Answer Allow, Deny, or Hold (asked in the ask phase)."""

    method: ClassVar[str] = "on_judge"
    command: Statement | FunctionCall
    sent: str  #: the text after rewriting


@dataclass(frozen=True, slots=True)
class AskHook(Hook):
    """Everybody allowed it. Last chance to want a person's word. Answer Allow, Deny or Hold. Never for PARSE."""

    method: ClassVar[str] = "on_ask"
    command: Statement | FunctionCall
    sent: str


@dataclass(frozen=True, slots=True)
class CommandHook(Hook):
    """
    A command of SSH came: exec, shell, subsystem, file operation, forward. Answer Allow, Deny, or Hold.
    Forwards of every kind pass only if an addon's Allow names a rule.
    """

    method: ClassVar[str] = "on_command"
    command: SshCommand


@dataclass(frozen=True, slots=True)
class AskCommandHook(Hook):
    """Everybody allowed it. As `on_ask`, for commands of SSH. Answer Allow, Deny or Hold."""

    method: ClassVar[str] = "on_ask_command"
    command: SshCommand


@dataclass(frozen=True, slots=True)
class LeavingHook(Hook):
    """
    Everybody allowed it, people too, and it is about to leave: for what has to be said elsewhere before. Answer Allow or
    Deny. Not where `untold` says that nothing is learned from `on_decided`.
    """

    method: ClassVar[str] = "on_leaving"
    decision: Decision


@dataclass(frozen=True, slots=True)
class DecidedHook(Hook):
    """Told to every addon after the last verdict, allowed or not. The answer is ignored."""

    method: ClassVar[str] = "on_decided"
    decision: Decision


@dataclass(frozen=True, slots=True)
class ColumnsHook(Hook):
    """
    Rows are about to come, and this is their shape. Answer a MaskPlan, or None when
    nothing is masked. Called once per shape, synchronously; masks only ever add up.
    A plan must be a pure function of (session, decision, columns), and for a decision that may be remembered of what
    that is (`protocols.verdict`): that nothing is masked is remembered with it.

    :ivar standing: what this addon's `standing` said when it was decided from memory and the addon not told; else None.
    """

    method: ClassVar[str] = "on_columns"
    decision: Decision
    columns: Columns
    standing: Any = None


@dataclass(frozen=True, slots=True)
class ContentHook(Hook):
    """
    Rows, COPY data or a function's result are about to come. Answer what looks through their bytes (`result.Search`), or
    None when nothing is looked for. Synchronous, once for each command; the first addon's that answers is used.
    """

    method: ClassVar[str] = "on_content"
    decision: Decision


@dataclass(frozen=True, slots=True)
class DataHook(Hook):
    """
    COPY data is about to come from the client. Answer what looks through it (`result.Inspection`) and may end the command in an
    error, or None when nothing does. Synchronous, once for each command; the first addon's that answers is used.
    """

    method: ClassVar[str] = "on_data"
    decision: Decision


@dataclass(frozen=True, slots=True)
class RowsHook(Hook):
    """One read's rows, not yet sent to the client. Answer Deny to end the command in an error, else None."""

    method: ClassVar[str] = "on_rows"
    decision: Decision
    batch: RowBatch


@dataclass(frozen=True, slots=True)
class TextHook(Hook):
    """
    Text other than rows is about to reach the client. Answer the fields to send
    instead, or None to leave them. Synchronous.

    :ivar kind: "error", "notice", "notification" or "parameter".
    :ivar fields: for errors and notices PostgreSQL's field codes ("S", "C", "M", "D", …);
        for a notification {"channel", "payload"}; for a parameter {"name", "value"}.
    :ivar decision: the command that it answers, None between commands.
    """

    method: ClassVar[str] = "on_text"
    kind: str
    fields: dict[str, str]
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class OutcomeHook(Hook):
    """A command ended. Told, not asked. `outcome.transaction` is the status that followed it."""

    method: ClassVar[str] = "on_outcome"
    decision: Decision
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ClosedHook(Hook):
    """The session is over; forget what was kept for it."""

    method: ClassVar[str] = "on_closed"


HOOKS: dict[str, type[Hook]] = {
    hook.method: hook
    for hook in (
        SessionHook, RewriteHook, JudgeHook, AskHook, CommandHook, AskCommandHook, LeavingHook, DecidedHook,
        ColumnsHook, ContentHook, DataHook, RowsHook, TextHook, OutcomeHook, ClosedHook,
    )
}
