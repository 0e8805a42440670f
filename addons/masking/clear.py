"""
What an identity reads in the clear because its groups may: named in the evidence of each command, decided by nothing here.

Whoever sees a column as it is waits for nothing: while the catalog is being read, or a change in it is not yet known, what
cannot be told is said as such ("*"), with every declared column that the identity sees.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.masking.cover import Cover, Misdeclared
from addons.masking.declared import Declaration
from addons.masking.freshness import Freshness
from addons.masking.questions import kept_covering
from addons.masking.seen import WHOLE, read
from addons.masking.shifting import called, moved
from addons.needs import Catalogs
from addons.sql.analysis import Analysis
from addons.sql.calls import Calls
from addons.sql.catalog import Snapshot
from addons.sql.flux import Flux, changed, together
from addons.sql.form import form
from addons.sql.overloads import ANY
from addons.sql.parse import Parsed, Unparsable, parse, unwrap, walk
from addons.sql.resolve import CREATES, Names, references
from protocols.command import Statement
from protocols.session import Session

Covering = Callable[[Snapshot, Session, tuple[Declaration, ...]], tuple[Cover, Calls]]

_KEPT = 4096  #: texts remembered
_KEPT_LENGTH = 64 << 10  #: characters; longer texts are looked at again
_MESSAGES_LIMIT = 200_000  # as `statements.MESSAGES_LIMIT`
_RUNS = frozenset({"DoStmt", "CallStmt"})
"""Code that nobody reads here."""

_CONSTANT = frozenset({"a_const", "param_ref", "set_to_default"})


class Clear:
    """
    :param cover: what declared columns spread to; raises Misdeclared.
    :param analysis: of long texts, of which it is asked beforehand. :param listed: functions that the operator vouches for.
    """

    def __init__(self, catalogs: Catalogs, fresh: Freshness, cover: Covering, analysis: Analysis, listed: frozenset[str]) -> None:
        self._catalogs, self._fresh, self._cover, self._analysis, self._listed = catalogs, fresh, cover, analysis, listed
        self._known: OrderedDict[tuple[Hashable, ...], tuple[str, ...]] = OrderedDict()
        self._reading: set[tuple[str, str]] = set()

    def columns(self, session: Session, statement: Statement, declared: tuple[Declaration, ...]) -> tuple[str, ...]:
        """Labels of those declared columns that a statement may read, sorted; with "*" where nobody can tell which."""
        statement = form(statement) or statement  # which columns are read rests on no literal
        if self._analysis.long(statement.text):
            asked = self.question(session, statement, declared) if self._catalogs.snapshot(session) is not None else None
            return self._analysis.known(session, asked, _any(declared)) if asked is not None else _any(declared)
        snapshot, sure = self._catalogs.snapshot(session), self._sure(session)
        revision = snapshot.revision if snapshot is not None else None
        key = (statement.text, statement.types, revision, declared, self._fresh.flux(session), sure)
        found = self._known.get(key)
        if found is None:
            found = self._found(session, statement, declared, Names(snapshot) if snapshot is not None else None, sure)
            if len(statement.text) <= _KEPT_LENGTH:
                self._known[key] = found
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        return found

    def named(self, session: Session, given: Iterable[Statement] | None, declared: tuple[Declaration, ...]) -> tuple[str, ...]:
        """As `columns`, of what names stand for (None: not known)."""
        if given is None:
            return _any(declared)
        return tuple(sorted({label for each in given for label in self.columns(session, each, declared)}))

    def question(self, session: Session, statement: Statement, declared: tuple[Declaration, ...]) -> Clearing:
        """What `columns` wants to know of a long text, where there is a catalog."""
        statement, snapshot = form(statement) or statement, self._catalogs.snapshot(session)
        return Clearing(
            statement.text, snapshot.revision, declared, self._listed, statement.types, self._sure(session), bool(session.floor), self._fresh.flux(session)
        )

    def call(self, session: Session, function: int, declared: tuple[Declaration, ...]) -> tuple[str, ...]:
        """As `columns`, of a function by its OID: one that is not listed may return anything."""
        snapshot = self._catalogs.snapshot(session)
        try:
            listed = snapshot is not None and self._cover(snapshot, session, declared)[1].by_oid(function)
        except Misdeclared:
            listed = False
        return () if listed else _any(declared)

    def _sure(self, session: Session) -> bool:
        """Whether the catalog is as the statement will meet it; where it is not, and can be, it is read meanwhile."""
        if self._fresh.changing(session):
            return False
        if self._fresh.snapshot(session) is not None:
            return True
        place = session.target.name, session.database
        if place not in self._reading:
            self._reading.add(place)
            self._catalogs.refresh(session).addBoth(lambda _read: self._reading.discard(place))
        return self._fresh.snapshot(session) is not None

    def _found(
        self, session: Session, statement: Statement, declared: tuple[Declaration, ...], names: Names | None, sure: bool
    ) -> tuple[str, ...]:
        try:
            if names is None:
                return _any(declared) if any(map(_looks, parse(statement.text).statements)) else ()
            covering = self._cover(names.snapshot, session, declared)
            return _reads(statement.text, statement.types, declared, names, *covering, sure, self._fresh.flux(session))
        except (Unparsable, RecursionError, Misdeclared):
            return _any(declared)


@dataclass(frozen=True, slots=True)
class Clearing:
    """Which declared columns may a long text read? For an analyst; the parameters of `_reads`."""

    text: str
    revision: str
    declared: tuple[Declaration, ...]
    listed: frozenset[str]
    types: tuple[int, ...]
    sure: bool
    floor: bool
    flux: Flux | None = None

    def answer(self, snapshot: Snapshot | None) -> tuple[str, ...]:
        try:
            cover, calls = kept_covering(snapshot, self.declared, self.listed, self.floor)
            return _reads(self.text, self.types, self.declared, Names(snapshot), cover, calls, self.sure, self.flux)
        except (Unparsable, RecursionError, Misdeclared):
            return _any(self.declared)


def _reads(
    text: str, types: Sequence[int], declared: tuple[Declaration, ...], names: Names, cover: Cover, calls: Calls, sure: bool,
    flux: Flux | None,
) -> tuple[str, ...]:
    """
    Labels of the declared columns that a text may read.

    :raises Unparsable: it is not SQL; RecursionError: it is too deep.
    """
    parsed = parse(text)
    if all(map(_only_writes, parsed.statements)):
        return ()
    flux = together((flux, *map(changed, parsed.statements)))
    if _opaque(parsed, names, calls, types if len(parsed.statements) == 1 else (ANY,), sure, flux):
        return _any(declared)
    labels = read(parsed, names, cover, calls).columns
    return tuple(sorted({label for one in labels for label in cover.origins(one)}))


def _opaque(parsed: Parsed, names: Names, calls: Calls, types: Sequence[int], sure: bool, flux: Flux | None) -> bool:
    """Whether it may read anything: by code that is not seen, or under a name that the catalog does not know well, or yet."""
    for statement in parsed.statements:
        messages = list(islice(walk(statement), _MESSAGES_LIMIT + 1))
        if len(messages) > _MESSAGES_LIMIT or type(statement).__name__ in _RUNS or calls.first_unlisted(messages, types) or called(messages, flux):
            return True
        for reference in references(statement):
            meant = names.relations(reference.name) if reference.place not in CREATES else ()
            unknown = reference.place not in CREATES and (not meant or moved(reference.name, flux))
            if unknown or (not sure and any(relation.definition for relation in meant)):
                return True
    return False


def _only_writes(statement: Message) -> bool:
    """INSERT of constants, which loads many rows and returns none: there is nothing to look for in its rows."""
    if not isinstance(statement, tree.InsertStmt) or statement.HasField("returning_clause") or statement.HasField("on_conflict_clause"):
        return False
    source = unwrap(statement.select_stmt)
    if statement.HasField("with_clause") or not isinstance(source, tree.SelectStmt) or source.HasField("with_clause"):
        return False
    cells = (cell.WhichOneof("node") for row in source.values_lists for cell in row.list.items)
    return bool(source.values_lists) and all(cell in _CONSTANT for cell in cells)


def _any(declared: Sequence[Declaration]) -> tuple[str, ...]:
    return WHOLE, *sorted(one.label for one in declared)


def _looks(statement: Message) -> bool:
    """Whether it names any relation or calls anything."""
    return bool(references(statement)) or any(type(m).__name__ in ("FuncCall", *_RUNS) for m in walk(statement))
