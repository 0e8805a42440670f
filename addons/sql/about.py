"""
What a text is about, as limits on rows ask it: the relations that it names and touches, what the functions touch that it calls, and the same
text with a guard. Values that an analyst can be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.assess import Assessor
from addons.sql.catalog import Snapshot
from addons.sql.classify import classify
from addons.sql.finding import Name
from addons.sql.flux import Flux, changed_by, together
from addons.sql.functions import catalog_class
from addons.sql.guard import Uncountable, fresh, guarded, touches
from addons.sql.parse import Parsed, Unparsable, deparse, parse, unwrap, walk

_KEPT = 4096  # texts
KINDS = {"select": "SelectStmt", "insert": "InsertStmt", "update": "UpdateStmt", "delete": "DeleteStmt", "merge": "MergeStmt"}


@dataclass(frozen=True, slots=True)
class About:
    """
    What a text holds, at any depth.

    :ivar kinds: of statement. :ivar touches: some of them touch rows that are there.
    :ivar named: relations. :ivar changed: those that it writes.
    :ivar foreign: it calls functions that the server itself does not have.
    :ivar alone: it is one statement. :ivar doubtful: what it calls cannot be told. :ivar executes: names of prepared statements.
    :ivar changes: what it changes of the catalog.
    """

    kinds: frozenset[str] = frozenset()
    touches: bool = False
    named: frozenset[Name] = frozenset()
    changed: frozenset[Name] = frozenset()
    foreign: bool = False
    alone: bool = True
    doubtful: bool = False
    executes: frozenset[str] = frozenset()
    changes: Flux | None = None

    def __or__(self, other: About) -> About:
        """Both, of what functions write."""
        return About(
            self.kinds | other.kinds, self.touches or other.touches, self.named | other.named, self.changed | other.changed,
            self.foreign or other.foreign, self.alone and other.alone, self.doubtful or other.doubtful, self.executes | other.executes, together((self.changes, other.changes)),
        )  # fmt: skip

    def subject(self, touching: bool) -> frozenset[Name]:
        """What a limit has to name to be the last that counts."""
        return self.changed if touching and self.changed else self.named


@lru_cache(maxsize=_KEPT)
def about_of(text: str) -> About:
    """Nothing for what policy or the server refuses."""
    try:
        parsed = parse(text)
        inside = [m for s in parsed.statements for m in walk(s)]
        kinds = {type(m).__name__ for m in inside} & {*KINDS.values()}
        reads = any(isinstance(s, tree.CopyStmt) and not s.is_from for s in parsed.statements)  # COPY of a table is a SELECT of it
        findings = classify(parsed)
    except Unparsable:
        return About()
    return About(
        frozenset(kinds | {"SelectStmt"} if reads else kinds), any(touches(m) for m in inside),
        frozenset(name for f in findings for name in f.relations), frozenset(name for f in findings for name in f.written),
        any(catalog_class(*name) is None for f in findings for name in f.functions), alone=len(parsed.statements) < 2, changes=changed_by.__wrapped__(text),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asking:
    """What is a text about?"""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> About:
        return about_of(self.text)


@dataclass(frozen=True, slots=True)
class Calling:
    """What do the SQL functions write that a text calls?"""

    text: str
    revision: str
    assessor: Assessor
    flux: Flux | None = None

    def answer(self, snapshot: Snapshot | None) -> About:
        try:
            parts = self.assessor.assess(self.text, snapshot, flux=self.flux)
        except Unparsable:
            return About()
        inside = frozenset(name for part in parts for name in part.finding.inside)
        doubtful = any(part.finding.unsettled for part in parts)
        executes = frozenset(name for part in parts for name in part.finding.executes)
        called = together(part.called for part in parts)
        return About(touches=bool(inside) or doubtful, named=inside, changed=inside, doubtful=doubtful, executes=executes, changes=called)


@dataclass(frozen=True, slots=True)
class Guarding:
    """What is a text with a guard for so many rows?"""

    text: str
    rows: int
    revision: str

    def answer(self, snapshot: Snapshot | None) -> str | Uncountable:
        try:
            return guarded(self.text, self.rows, snapshot)
        except Uncountable as error:
            return error.with_traceback(None)


@dataclass(frozen=True, slots=True)
class Planning:
    """Which parts of a text have a plan?"""

    text: str

    def answer(self, _snapshot: Snapshot | None) -> Sequence[str]:
        return planned(parse(self.text))


def planned(parsed: Parsed) -> list[str]:
    """The text of what has a plan: queries and writes, those that other statements hold too."""
    found = []
    for statement in parsed.statements:
        inside: Message = statement
        if isinstance(statement, (tree.PrepareStmt, tree.ExplainStmt, tree.DeclareCursorStmt, tree.CreateTableAsStmt)):
            inside = unwrap(statement.query)
        elif isinstance(statement, tree.CopyStmt) and not statement.is_from:
            inside = unwrap(statement.query) if statement.HasField("query") else _whole(statement.relation)
        if type(inside).__name__ in KINDS.values():
            found.append(_text(inside))
    return found


def _whole(relation: tree.RangeVar) -> tree.SelectStmt:
    select = fresh("SELECT * FROM x")
    select.from_clause[0].range_var.CopyFrom(relation)
    return select


def _text(statement: Message) -> str:
    result = tree.ParseResult()
    field_name = next(f.name for f in tree.Node.DESCRIPTOR.fields if f.message_type is statement.DESCRIPTOR)
    getattr(result.stmts.add().stmt, field_name).CopyFrom(statement)
    return deparse(result)
