"""
A SQL function's body to what its statements are and touch, as the server will read it when it is called.

The body is text that is read at each call, or (BEGIN ATOMIC, RETURN) trees that the catalog writes out as a CREATE FUNCTION. The
function's own SET clauses hold while it runs: a search path says which relations names without a schema mean, and what
changes how text is read leaves a body that cannot be read here.

Source: PostgreSQL 18 manual, CREATE FUNCTION ("configuration_parameter", "sql_body"); 5.10.3 for the search path.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

from addons.sql.bounds import Columns
from addons.sql.catalog import Function, Snapshot
from addons.sql.changes import Change, split_identifiers
from addons.sql.classify import classify
from addons.sql.finding import Finding, Name
from addons.sql.parse import Parsed, Unparsable, parse, unwrap
from addons.sql.settings import VALUES, Gate

_READING = VALUES.keys() | {"client_encoding"}
"""Settings that change what the text of a body means."""

_NAMES = ("relations", "written", "touched")


@dataclass(frozen=True, slots=True)
class Body:
    """
    :ivar findings: of its statements, whose trees are `trees`.
    :ivar classes: what its SET clauses are, class to one clause that says why.
    """

    findings: tuple[Finding, ...]
    trees: tuple[Message, ...]
    classes: dict[str, str]


def body(function: Function, snapshot: Snapshot, columns: Columns, gate: Gate) -> Body:
    """
    :raises Unparsable: it is not a body of SQL that can be read.
    """
    if function.language != "sql" or function.kind not in "fp" or not function.body:
        raise Unparsable("no SQL that can be read")
    settings = dict(setting.partition("=")[::2] for setting in function.settings)
    classes: dict[str, str] = {}
    for name, value in settings.items():
        kind, why = gate.judge(Change(name.lower(), (value,), "text"))
        if name.lower() in _READING and kind != "session":
            raise Unparsable(f"it is read under another {name}")
        if kind != "session" and name != "search_path":
            classes.setdefault(kind, why)
    parsed = _inside(parse(function.body)) if function.atomic else parse(function.body)
    findings = classify(parsed, columns)
    path = split_identifiers(settings["search_path"]) if "search_path" in settings else None
    for found in findings if path is not None else ():
        for each in _NAMES:
            setattr(found, each, {_qualified(name, path, snapshot) for name in getattr(found, each)})
    return Body(findings, parsed.statements, classes)


def text_of_body(create: tree.CreateFunctionStmt) -> str:
    """
    The text of a function in SQL that is being made; "" where its body is a part of the statement.

    :raises Unparsable: it is in another language.
    """
    options = {unwrap(node).defname: unwrap(unwrap(node).arg) for node in create.options}
    if "language" in options and options["language"].sval.lower() != "sql":
        raise Unparsable("no SQL")
    return "".join(n.sval for node in options["as"].items if isinstance(n := unwrap(node), tree.String)) if "as" in options else ""


def _inside(created: Parsed) -> Parsed:
    """The statements of a CREATE FUNCTION's own body."""
    [create] = created.statements
    found = tuple(_statements(unwrap(create.sql_body)))
    if not found:
        raise Unparsable("it has no statements")
    return Parsed(created.text, found, created.result)


def _statements(node: Message) -> Iterator[Message]:
    if isinstance(node, tree.List):
        for item in node.items:
            yield from _statements(unwrap(item))
    elif node.ListFields():
        yield node


def _qualified(name: Name, path: Iterable[str], snapshot: Snapshot) -> Name:
    """With the schema in which the path finds it; as it was where that is not certain."""
    schema, last = name
    listed = tuple(path)
    for here in (*(() if "pg_catalog" in listed else ("pg_catalog",)), *listed) if not schema else ():
        if here == "$user":
            return name
        if here != "pg_temp" and snapshot.named(here, last):
            return here, last
    return name
