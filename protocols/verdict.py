"""
What an addon may answer, and what the whole chain decided.

`Allow` and `Deny` are final for one addon; `Hold` asks people; `Replace` is
masking's way to send another text than the client's. The pipeline folds the
answers of all addons into one `Decision`.

An answer with `remember` is a promise: asked the same again in this session, under this policy, this addon would say the
same and do nothing else, as long as its `standing(session)`, if it defines one, answers the same value. The question is a
statement's text, its path, the types that Parse declared, the transaction's status, whether it is pipelined, and the
settings that the server reports. It is not its parameters, nor any name (`name`, `portal`, `prepared`): what looks at
those, at a clock or a count, or learns something from being asked, is not to be remembered. Refusals and holds never are.
Hooks that tell something (`on_decided`, `on_outcome`) are called all the same, unless the addon promises more:

- An addon with `untold(session, decision)` that answers True learns nothing from `on_decided` of that question again, nor from
  `on_outcome` of a command that was complete and left the transaction as it was: as long as its `standing` says the same it
  is not called. It is asked once for each question that is remembered. `ColumnsHook.standing` tells it where it was not told.
- An addon with `tallies` (`protocols.tally`) has its `standing` counted there by whoever changes it, and is only asked what
  that is when a count has moved. None there, or no such attribute, has it asked each time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocols.command import Command
from protocols.value import value


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What a command shows of the columns that masking declares, for the evidence.

    :ivar outputs: for each column of its result that shows masks in values' place: what of. None where that is not known.
    :ivar clear: the columns that it may read as they are, because the identity's groups, or people, let it.
    """

    outputs: tuple[str, ...] | None = None
    clear: tuple[str, ...] = ()


@value
class Allow:
    """
    This addon has nothing against it.

    :ivar rule: the rule that allowed it, for the evidence; "" for no opinion.
    :ivar remember: the same question may be answered so from memory, and this addon not be asked; see the module.
    :ivar formed: so may the question about any other text of the same form (`addons.sql.form`): its literals do not matter.
    """

    rule: str = ""
    remember: bool = False
    seen: Seen | None = None  #: masking's, of a statement
    formed: bool = False


@dataclass(frozen=True, slots=True)
class Deny:
    """
    It does not pass, and here is what to do about it.

    :ivar reason: one sentence for the person at the prompt. Never holds a value.
    :ivar code: a stable "OST-nnn" from docs/errors.md.
    :ivar rule: the rule's name, "" when there is none.
    :ivar hint: what to do next.
    :ivar sqlstate: five characters; 42501 unless the field's own term fits better.
    :ivar facts: small strings for agents, sent as JSON in DETAIL.
    """

    reason: str
    code: str = "OST-200"
    rule: str = ""
    hint: str = ""
    sqlstate: str = "42501"
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """
    People must say yes first.

    :ivar mode: "hold" keeps the live session waiting; "retry" refuses at once with
        the request's id, and the identical command passes once after approval.
    :ivar approvers: groups whose members may answer.
    :ivar quorum: distinct people needed; the requester and on_behalf_of never count.
    :ivar timeout: seconds until a held request is answered no.
    :ivar lifetime: seconds a grant stays good.
    """

    rule: str
    reason: str
    approvers: frozenset[str]
    mode: str = "hold"
    quorum: int = 1
    timeout: float = 300.0
    lifetime: float = 300.0


@dataclass(frozen=True, slots=True)
class Reveal:
    """
    People let an identity see columns as they are.

    :ivar grant: what each statement that shows some of them spends; `binding` what it is bound to.
    :ivar declared: the columns as they were asked for.
    :ivar until: the reactor's seconds at which it is over.
    :ivar columns: those that the statement reads.
    """

    request: str
    grant: str
    binding: bytes
    declared: frozenset[str]
    until: float
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replace:
    """
    Send this text in the client's place (rewrite phase only).

    :ivar columns: names of the masked columns that it reads, for the evidence; beside those that stand there because nobody can
        tell, "schema.relation.*".
    """

    text: str
    rule: str = ""
    columns: tuple[str, ...] = ()
    remember: bool = False  #: as Allow's
    reveal: Reveal | None = None  #: under which the text shows more than the session may see without it
    seen: Seen | None = None


Verdict = Allow | Deny | Hold | Replace


@value
class Decision:
    """
    What all addons together said of one command.

    :ivar verdict: Allow or Deny, nothing else.
    :ivar sent: the text that goes to the target; equal to the command's unless replaced.
    :ivar addon: the class name of the addon that decided, "" when all allowed.
    :ivar grant: the grant that this command spends, "" for none.
    :ivar binding: 32 bytes the grant is bound to; empty without a grant.
    :ivar columns: names of the masked columns that it reads, as Replace's.
    :ivar reveal: what it may show for once; it spends that grant.
    :ivar mark: of whoever decided from memory, to find that again; nobody else looks at it.
    """

    command: Command
    verdict: Allow | Deny
    sent: str = ""
    addon: str = ""
    rule: str = ""
    grant: str = ""
    request: str = ""
    binding: bytes = b""
    columns: tuple[str, ...] = ()
    reveal: Reveal | None = None
    seen: Seen | None = None
    mark: Any = field(default=None, repr=False, compare=False)
