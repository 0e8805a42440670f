"""Where attempts are made: four copies of one database on one server, two behind a gateway and two in the open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from addons.sql.kinds import CLASSES
from tests.house import ADA, PEOPLE, House
from tests.masking.attempts.attempt import FILL, ONE, OVERLOADED, TWO, UNREAD, Attempt, Step, value
from tests.masking.attempts.policies import CALLERS
from tests.masking.attempts.wire import Wire, answer, codes, query
from tests.servers import PostgresServer

FOLDER = Path(__file__).parent
OPEN = {name: f"bare_{name}" for name in (ONE, TWO, OVERLOADED, UNREAD)}

STRICT = {name: "allow" for name in ("read", "write", "transaction", "session")}
FREE = {"name": "free", "identities": [ADA, *CALLERS], "classes": list(CLASSES), "verdict": "allow"}
LISTED = {"functions": ["public.active_patients"]}
LOOK_UPS = 24  #: a minute
SOUGHT = (("public.patients", "mrn"), ("public.charts", "mrn"), ("public.cased", "mail"))  #: columns that may be looked up
ALSO = {
    "holder": ["code"], "worn": ["code"], "stays": ["born", "secret", "factor", "during"], "intake_log": ["said"],
    "kiosk_log": ["said"], "births": ["born"],
}  # fmt: skip


def prepare(server: PostgresServer) -> None:
    """The databases, out of the corpus's, and a copy of each."""
    server.sql(f"CREATE DATABASE {ONE} OWNER app TEMPLATE clinic")
    for schema in (FOLDER.parent / "schema.sql", FOLDER / "schema.sql"):
        server.sql(schema.read_text(), ONE)
    server.sql(FILL, ONE)
    server.sql(f"CREATE DATABASE {TWO} OWNER app TEMPLATE {ONE}")
    server.sql((FOLDER / "other.sql").read_text(), TWO)
    server.sql(f"CREATE DATABASE {OVERLOADED} OWNER app TEMPLATE {ONE}")
    server.sql((FOLDER / "overloads.sql").read_text(), OVERLOADED)
    server.sql(f"CREATE DATABASE {UNREAD} OWNER app TEMPLATE {OVERLOADED}")
    for database, copy in OPEN.items():
        server.sql(f"CREATE DATABASE {copy} OWNER app TEMPLATE {database}")


def gateway(directory: Path, server: PostgresServer, columns: list[dict[str, Any]]) -> House:
    declared = [*columns, *({"relation": f"public.{r}", "column": c} for r, names in ALSO.items() for c in names)]
    masking = {
        "use": "addons.masking.Masking", "lookups_per_minute": LOOK_UPS, **LISTED,
        "columns": [{**one, "clear": ["privacy"], "lookup": (one["relation"], one["column"]) in SOUGHT} for one in declared],
    }  # fmt: skip
    people = {**PEOPLE, **{name: {"groups": ["callers"]} for name in CALLERS}}
    return House(
        directory, server, database=ONE, databases=[TWO, OVERLOADED, UNREAD], user="app", workers=1, default=STRICT, rules=[FREE], options=LISTED,
        addons=[masking], people=people,
    )  # fmt: skip


class Field:
    """
    :param reach: a conninfo string for an identity and one of the databases.
    :param names: how the databases are called there, if otherwise.
    """

    def __init__(
        self, server: PostgresServer, corpus: ModuleType, reach: Callable[[str, str], str],
        names: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._corpus, self._reach, self._names = corpus, reach, names or {}
        self._wires: dict[tuple[str, str], Wire] = {}
        self._owners = {
            name: psycopg.connect(host="127.0.0.1", port=server.port, user="app", dbname=self._names.get(name, name), autocommit=True).pgconn
            for name in OPEN
        }  # fmt: skip

    def close(self) -> None:
        for each in (*self._wires.values(), *self._owners.values()):
            each.close() if isinstance(each, Wire) else each.finish()
        self._wires.clear()
        self._owners.clear()

    def warm(self) -> None:
        """Have the gateway read the catalogs, as it must before it answers somebody who sees masks."""
        for database in (ONE, TWO, OVERLOADED):
            self.talk(value("", "SELECT 1"), database)

    def oid(self, name: str, where: str) -> int:
        """Of a function with its arguments, or a type."""
        kind = "regprocedure" if "(" in name else "regtype"
        return int(self._said(f"SELECT '{name}'::{kind}::oid::int8", where))

    def attempt(self, one: Attempt) -> str:
        """`LEAKED`, `refused OST-nnn`, `error SQLSTATE`, or `held` when it was answered and told nothing."""
        try:
            heard = self.talk(one, one.where)
            got = self._got(one, heard)
        finally:
            self._owners[one.where].exec_(one.undo.encode() or b"SELECT")
        return "LEAKED" if got else outcome(codes(heard))

    def talk(self, one: Attempt, database: str) -> bytes:
        """What is heard of it, in a session that is as new."""
        wire = self._wires.pop((one.who, database), None) or Wire(self._reach(one.who, self._names.get(database, database)))
        heard = b"".join(wire.say(self._bytes(step, database)) for step in one.steps)
        if wire.renewed():
            self._wires[one.who, database] = wire
        else:
            wire.close()
        return heard

    def _bytes(self, step: Step, where: str) -> bytes:
        if isinstance(step, str):
            return query(step)
        return step if isinstance(step, bytes) else step(lambda name: self.oid(name, where))

    def _got(self, one: Attempt, heard: bytes) -> bool:
        if one.kind == "oracle":
            return answer(heard) != answer(self.talk(one, TWO))
        if one.kind == "policy":
            return any(mark.encode() in heard for mark in one.marks) or self._said(one.check, one.where) == "t"
        said = heard if one.kind == "value" else self._said(one.check, one.where).encode()
        return bool(self._corpus.leaks({"sql": self._wrote(one)}, [], said, b""))

    def _said(self, check: str, where: str) -> str:
        result = self._owners[where].exec_(check.encode()) if check else None
        cells = [] if result is None else [
            result.get_value(i, j) or b"" for i in range(result.ntuples) for j in range(result.nfields)
        ]  # fmt: skip
        return b"\n".join(cells).decode()

    def _wrote(self, one: Attempt) -> list[str]:
        return [self._bytes(step, one.where).decode("latin1") for step in one.steps]


def outcome(found: list[str]) -> str:
    ours = [code for code in found if code.startswith("OST-")]
    if ours:
        return f"refused {ours[0]}"
    return f"error {found[0]}" if found else "held"
