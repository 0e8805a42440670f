"""
Errors, notices, notifications and reported parameters, to what somebody who sees masked columns may read of them.

An error is rebuilt from its SQLSTATE. Names are repeated only when the client wrote them itself or the
catalog has them, and only for the classes of errors that speak of names, never of values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from postgast import PgQueryError, scan

from addons.masking.messages import sentence
from addons.sql.catalog import Snapshot
from protocols.hooks import TextHook

_SPEAKS_OF_NAMES = re.compile(r"(42|26|34|3B|3D|3F|2BP)")
"""Classes raised while a statement is read, before any row is."""

_TEMPLATES = tuple(
    re.compile(t, re.S)
    for t in (
        r'syntax error at or near "(.+)"',
        r"syntax error at end of input",
        r'relation "(.+)" does not exist',
        r'relation "(.+)" already exists(?:, skipping)?',
        r'column "(.+)" does not exist',
        r"column (\S+) does not exist",
        r'column "(.+)" of relation "(.+)" does not exist',
        r'column "(.+)" of relation "(.+)" already exists(?:, skipping)?',
        r'column reference "(.+)" is ambiguous',
        r'column "(\S+)" must appear in the GROUP BY clause or be used in an aggregate function',
        r'missing FROM-clause entry for table "(.+)"',
        r'table name "(.+)" specified more than once',
        r'(?:table|view|index|sequence|schema|type|role|extension|materialized view) "(.+)" does not exist(?:, skipping)?',
        r'(?:schema|type|role|database|extension|cursor|prepared statement) "(.+)" already exists(?:, skipping)?',
        r'(?:prepared statement|cursor|portal|savepoint|database|trigger) "(.+)" does not exist',
        r"permission denied for (?:table|view|schema|sequence|function|database|materialized view) (\S+)",
        r"unrecognized configuration parameter \"(.+)\"",
        r"(?:there is already a transaction in progress|there is no transaction in progress)",
    )
)
"""Messages worth keeping, as PostgreSQL 15 to 18 write them in English; what is captured must be a known name."""

_LOOKED_THROUGH = 64 << 10  # characters of a statement whose words may be repeated; 16 ms, for which everybody waits

_KEPT = frozenset("SVCFLR")  #: severity, code, and where in the server's source it was raised
_NAMES = frozenset("stcdn")  #: schema, table, column, data type, constraint

_PLAIN_PARAMETERS = frozenset(
    """
    client_encoding datestyle default_transaction_read_only in_hot_standby integer_datetimes intervalstyle is_superuser
    scram_iterations server_encoding server_version session_authorization standard_conforming_strings timezone
""".split()
)
"""Reported settings whose values the server checks."""

GROUPING = (
    "a column must appear in GROUP BY: grouping by a primary key is not enough where columns are masked,"
    " so name each column"
)

ON_FLOOR = (
    "this session is on the target's floor: it runs as the role {role}, which owns nothing, creates nothing outside of pg_temp and reads no"
    " masked column. Approval does not change that. Somebody who sees a masked column clear runs it, or choose an account"
    " without a floor (IDENTITY@TARGET+ACCOUNT)"
)


def retold(hook: TextHook, wrote: str, rewritten: bool, snapshot: Snapshot | None) -> dict[str, str] | None:
    """The fields of anything but a notification, as `rebuilt` and `reported`; None where they pass."""
    if hook.kind != "parameter":
        return rebuilt(hook.fields, wrote, rewritten, snapshot, notice=hook.kind == "notice", floor=hook.session.floor)
    if hook.decision is None and hook.fields.get("name") == "search_path":
        return None  # reported at the start or after a reload, so no statement has put anything in it
    return reported(hook.fields, hook.session.application, wrote, snapshot)


def rebuilt(
    fields: dict[str, str], wrote: str, rewritten: bool, snapshot: Snapshot | None, *, notice: bool, floor: str = ""
) -> dict[str, str]:
    """
    An error or a notice without anything that could be a value.

    :param wrote: the client's own text; "" between commands.
    :param rewritten: another text was sent, so positions in it mean nothing to the client.
    :param floor: the role that the session has at the target, where that is a floor's; whose rights are missing is said then.
    """
    code = fields.get("C", "XX000")
    known = _known(wrote, snapshot)
    kept = {key: value for key, value in fields.items() if key in _KEPT}
    kept["C"] = code
    kept["M"] = _message(code, fields.get("M", ""), known, notice)
    if rewritten and code == "42803":
        kept["M"] = GROUPING
    if not rewritten and fields.get("P", "").isdecimal():
        kept["P"] = fields["P"]
    if floor and code == "42501":
        kept["H"] = ON_FLOOR.format(role=floor)
    kept.update({key: fields[key] for key in _NAMES & fields.keys() if known(fields[key])})
    return kept


def _message(code: str, text: str, known: Callable[[str], bool], notice: bool) -> str:
    if _SPEAKS_OF_NAMES.match(code) or code.startswith(("25", "00")):
        for template in _TEMPLATES:
            match = template.fullmatch(text)
            if match and all(known(name) for name in match.groups()):
                return text
    return "a notice, whose text is withheld while you see masked columns" if notice else sentence(code)


def _known(wrote: str, snapshot: Snapshot | None) -> Callable[[str], bool]:
    """Whether a name is one of the client's own words, or the catalog's."""

    def one(name: str) -> bool:
        return snapshot is not None and _in_catalog(name, snapshot) or name in _words(wrote)

    def known(name: str) -> bool:
        return one(name) or all(map(one, name.split(".")))

    return known


@lru_cache(maxsize=1)
def _words(wrote: str) -> frozenset[str]:
    """A statement's tokens as written and as folded; constants too, for a syntax error is near any token. Of a long one none."""
    if len(wrote) > _LOOKED_THROUGH:
        return frozenset()
    try:
        tokens = scan(wrote).tokens if wrote else ()
    except (PgQueryError, UnicodeEncodeError):
        return frozenset(wrote.split())
    data = wrote.encode()
    found = [data[t.start : t.end].decode("utf-8", "replace") for t in tokens]
    return frozenset(
        [*found, *(w.lower() for w in found), *(w[1:-1].replace('""', '"') for w in found if w.startswith('"'))]
    )


def _in_catalog(name: str, snapshot: Snapshot) -> bool:
    return (
        name in snapshot.by_relation_name
        or name in snapshot.schemas
        or name in snapshot.constraints
        or name in snapshot.by_type_name
        or name in _column_names(snapshot)
    )


def _column_names(snapshot: Snapshot) -> frozenset[str]:
    names = _columns.get(snapshot.revision)
    if names is None:
        _columns.clear()
        names = _columns[snapshot.revision] = frozenset(c.name for r in snapshot.relations.values() for c in r.columns)
    return names


_columns: dict[str, frozenset[str]] = {}


def notified(fields: dict[str, str]) -> dict[str, str]:
    """A notification's payload may come from a session that sees clear."""
    return {**fields, "payload": ""}


_SETS_NAME = re.compile(r"\s*set\s+(?:session\s+)?application_name\s*(?:=|to)\s*'([^'\\;]*)'\s*;?\s*", re.IGNORECASE)


def _own_name(wrote: str) -> str | None:
    """What a lone SET calls its client. Such a text computes nothing, so a value that comes back tells nothing new."""
    match = _SETS_NAME.fullmatch(wrote)
    return match[1] if match else None


def reported(fields: dict[str, str], application: str, wrote: str, snapshot: Snapshot | None) -> dict[str, str]:
    """
    A reported setting. Those that take any text pass only when the client wrote it: set_config()
    in a function would otherwise be a way out.
    """
    name, value = fields.get("name", "").lower(), fields.get("value", "")
    if name in _PLAIN_PARAMETERS:
        return fields
    if name == "application_name":
        return fields if value == application or value == _own_name(wrote) else {**fields, "value": application}
    if name == "search_path":
        parts = [p.strip().strip('"') for p in value.split(",")]
        known = all(p in ("", "$user") or p in wrote or (snapshot is not None and p in snapshot.schemas) for p in parts)
        return fields if known else {**fields, "value": ""}
    return {**fields, "value": ""}
