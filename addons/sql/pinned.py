"""
A text to the same text with schemas before those of its relations' names that only the search path tells apart.

What is sent then means what was judged, whatever sets the path meanwhile: code runs in defaults, checks, casts, operators and
triggers too, and there is always one more way to it than anybody follows. Texts whose names each exist in one schema stay as they are.

Source: PostgreSQL 18 manual, 5.10.3 "The Schema Search Path"; a column is still found by `table.column` where FROM has `schema.table`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.bearers import ANY
from addons.sql.catalog import Relation, Snapshot
from addons.sql.meaning import WORD, words
from addons.sql.parse import Unparsable, parse, unwrap
from addons.sql.resolve import Names, bare
from addons.sql.rewrite import rewritten

_KEPT = 32  # snapshots


class Shared(NamedTuple):
    """Names that relations of several schemas have, the server's too; temporary ones do not count. :ivar odd: those that are no words."""

    names: frozenset[str]
    odd: frozenset[str]

    def within(self, text: str) -> bool:
        """Whether a text may have such a name, told without its tree: no, for nearly all."""
        return bool(self.names) and not self.names.isdisjoint(words(text)) or any(name.replace('"', '""') in text for name in self.odd)


_shared: OrderedDict[str, Shared] = OrderedDict()


def shared(snapshot: Snapshot) -> Shared:
    """As `Shared`; the last ones are kept."""
    found = _shared.get(snapshot.revision)
    if found is None:
        names = frozenset(name for name, known in snapshot.by_relation_name.items() if _several(known))
        found = _shared[snapshot.revision] = Shared(names, frozenset(name for name in names if not WORD.fullmatch(name)))
        if len(_shared) > _KEPT:
            _shared.popitem(last=False)
    return found


def _several(known: Collection[Relation]) -> bool:
    return len(known) > 1 and len({r.schema for r in known if r.kind != "c" and not r.schema.startswith("pg_temp_")}) > 1


def pinned(text: str, names: Names, made: Collection[str] = ()) -> str:
    """
    The text to send; the very same where nothing is to be told, or cannot be: there names stay that may mean several relations.

    :param made: names that the session made, `ANY` for all: a temporary relation may stand behind them that the catalog does not show.
    """
    if names.path is None or not shared(names.snapshot).within(text):
        return text
    try:
        parsed = parse(text)
        if len(parsed.statements) != 1 or _is_its_own(parsed.statements[0]):
            return text  # one of them may set the path for the next
        if not any(_schema(name, names, made) for _holder, name in _named(parsed.statements[0])):
            return text
        return rewritten(parsed.copy(), lambda _index, statement: _put(statement, names, made))
    except (Unparsable, RecursionError):
        return text


def _is_its_own(statement: Message) -> bool:
    """Whether the new table's name is among those that it refers to: a foreign key's is itself then, in no schema yet."""
    return isinstance(statement, tree.CreateStmt) and any(name.relname == statement.relation.relname for name in bare(statement))


def _put(statement: Message, names: Names, made: Collection[str]) -> None:
    for holder, name in list(_named(statement)):
        schema = _schema(name, names, made)
        if schema and isinstance(holder, tree.RangeVar):
            holder.schemaname = schema
        elif schema:
            holder.items.insert(0, tree.Node(string=tree.String(sval=schema)))


def _named(statement: Message) -> Iterator[tuple[tree.RangeVar | tree.List, str]]:
    """Where names of relations stand without a schema; DROP has them in lists. What CREATE SCHEMA makes looks into that schema first."""
    if isinstance(statement, (tree.CreateSchemaStmt, tree.ImportForeignSchemaStmt)):
        return
    yield from ((name, name.relname) for name in bare(statement))
    if isinstance(statement, tree.DropStmt) and statement.remove_type in _DROPPED:
        yield from ((listed, listed.items[0].string.sval) for listed in map(unwrap, statement.objects) if len(listed.items) == 1)


_DROPPED = frozenset(
    {tree.OBJECT_TABLE, tree.OBJECT_VIEW, tree.OBJECT_MATVIEW, tree.OBJECT_FOREIGN_TABLE, tree.OBJECT_SEQUENCE, tree.OBJECT_INDEX}
)


def _schema(name: str, names: Names, made: Collection[str]) -> str:
    """The one that a name is looked up in; "" where it exists in one only, or may mean several."""
    if name in made or ANY in made or name not in shared(names.snapshot).names:
        return ""
    found = names.relations(tree.RangeVar(relname=name))
    return found[0].schema if len(found) == 1 else ""


@dataclass(frozen=True, slots=True)
class Pinning:
    """What is `pinned` of a long text? For an analyst."""

    text: str
    revision: str
    path: tuple[str, ...]
    made: frozenset[str]
    temporary: bool = True  #: as `Names`

    def answer(self, snapshot: Snapshot | None) -> str:
        return pinned(self.text, Names(snapshot, self.path, self.temporary), self.made)
