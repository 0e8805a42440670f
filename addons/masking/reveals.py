"""
Reveals: which statements may show a column as it is because people let this identity see it, and what each of them reads.

Only a SELECT or COPY TO that stands alone, in what SQL cannot name again: what is prepared under a name, an SQL cursor or a named
portal would outlive the reveal, so those stay masked, and so does what a statement gives to functions that keep or send it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.copies import opened
from addons.masking.cover import Cover
from addons.masking.declared import Declaration
from addons.sql.calls import Calls
from addons.sql.catalog import Relation
from addons.sql.complaints import Gathering
from addons.sql.conditions import near
from addons.sql.functions import catalog_class
from addons.sql.guard import volatile
from addons.sql.lineage import Lineage
from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from addons.sql.resolve import WRITES, Names, references
from addons.sql.scope import UNKNOWN, Output, union
from protocols.command import Path, Statement
from protocols.session import Session
from protocols.verdict import Deny, Reveal

_LIMITS = {"quorum": (1, 1, 64), "lifetime": (3600, 1, 7 * 86400), "uses": (1, 0, 1000)}
"""By key: what holds when it is not written, the least and the most."""


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Who may let others see masked columns: the masking addon's `reveal`.

    :ivar approvers: groups. :ivar quorum: people. :ivar lifetime: the longest, in seconds. :ivar uses: the most; 0 is any number.
    """

    approvers: frozenset[str]
    quorum: int = 1
    lifetime: float = 3600
    uses: int = 1

    def written(self) -> dict[str, Any]:
        """For control."""
        return {"approvers": sorted(self.approvers), "quorum": self.quorum, "lifetime": self.lifetime, "uses": self.uses}


def rule(given: Mapping[str, Any] | None) -> Rule | None:
    """
    :raises Wrong: what is not understood of the table, each with the way to mend it.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise ValueError('reveal: a table is needed, such as { approvers = ["privacy"] }')
    faults = Gathering()
    unknown = sorted(set(given) - {"approvers", *_LIMITS})
    for key in unknown:
        faults.wrong(f"reveal.{key}: no such key{near(key, ('approvers', *_LIMITS))}; there are approvers, {', '.join(_LIMITS)}")
    approvers = given.get("approvers")
    if approvers is None and any(near(key, ["approvers"]) for key in unknown):
        pass  # that it is missing only follows
    elif not isinstance(approvers, (list, tuple)) or not approvers or not all(isinstance(one, str) and one for one in approvers):
        faults.wrong("reveal.approvers: name the groups whose members may let others see masked columns")
    numbers = [faults.of(lambda key=key: _number(given, key), least) for key, (_, least, _) in _LIMITS.items()]
    faults.end()
    return Rule(frozenset(approvers), *numbers)


def _number(given: Mapping[str, Any], key: str) -> int:
    usual, least, most = _LIMITS[key]
    value = given.get(key, usual)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"reveal.{key}: a whole number from {least} to {most}")
    return value


def nameless(statement: Statement) -> bool:
    """Whether nothing of SQL can come back to what it leaves on the server."""
    return statement.path in (Path.SIMPLE, Path.PARSE, Path.BIND) and not statement.name and not statement.portal


def without(masked: Sequence[Declaration], reveal: Reveal | None) -> tuple[Declaration, ...]:
    """The declarations that still hold under a reveal."""
    return tuple(masked) if reveal is None else tuple(d for d in masked if d.label not in reveal.declared)


def reads(text: str, calls: Calls, full: Cover, rest: Cover) -> frozenset[str]:
    """
    Labels of the columns masked by `full` and not by `rest` that a text reads, if it may show them at all; else none.

    Where that cannot be followed it is all of those that its relations have.
    """
    try:
        query, names = _query(parse(text), full)
        if query is None:
            return frozenset()
        lineage = Lineage(names, lambda relation: _shown(relation, full, rest), strict=True, opaque=calls.opaque)
        outputs = lineage.query(query)
    except (Unparsable, RecursionError):
        return frozenset()
    found = union(use.taint for use in lineage.uses) | (UNKNOWN if outputs is None else union(o.taint for o in outputs))
    reached = {o.plain for r in references(query) for relation in names.relations(r.name) for o in _shown(relation, full, rest).values()}
    return frozenset(reached if found & UNKNOWN else found)


def _query(parsed: Parsed, full: Cover) -> tuple[tree.SelectStmt | None, Names]:
    """The one SELECT that it is, or that its COPY TO STDOUT sends."""
    names = Names(full.snapshot)
    if len(parsed.statements) != 1:
        return None, names
    statement: Message = opened(parsed, names, full).statements[0]
    if isinstance(statement, tree.CopyStmt):
        plain = not (statement.is_from or statement.is_program or statement.filename)
        statement = unwrap(statement.query) if plain and statement.HasField("query") else statement
    kinds = {type(message).__name__ for message in walk(statement)}
    shows = isinstance(statement, tree.SelectStmt) and not kinds & {*WRITES, "IntoClause"} and not _keeps(statement, full)
    return (statement if shows else None), names


def _keeps(statement: Message, cover: Cover) -> bool:
    """Whether it calls what may keep or send what it is given, as set_config and pg_notify do: of the server's own that is known, of others that they are volatile."""
    return any(catalog_class("", call.removesuffix("()")) != "read" for call in volatile(statement, cover.snapshot))


def _shown(relation: Relation, full: Cover, rest: Cover) -> dict[str, Output]:
    masked = rest.outputs(relation)
    return {name: output for name, output in full.outputs(relation).items() if name not in masked}


_WRITES = frozenset({"OST-513", "OST-514", "OST-526"})
"""Refusals of writes, which no reveal serves."""


def hinted(deny: Deny, session: Session, masked: Sequence[Declaration]) -> Deny:
    """With how to ask for the columns that it is about, where a reveal would serve: it names declared ones."""
    columns = dict(deny.facts).get("columns", "")
    if not columns or deny.code in _WRITES:
        return deny
    if not {one.label for one in masked}.issuperset(columns.split(", ")):
        mend = "ask for the declared columns that it is masked along with: ostiary request submit --reveal"
        return replace(deny, hint=f"{deny.hint}; or, to see it, {mend}")
    asked = " ".join(f"--reveal {column}" for column in columns.split(", "))
    command = f"ostiary request submit --as {session.identity.subject} --target {session.target.name} {asked} --why REASON"
    return replace(deny, hint=f"{deny.hint}; or ask to see it: {command}")
