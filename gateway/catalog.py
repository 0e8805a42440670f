"""
A target's catalog, read with the gateway's own account, to a Snapshot; one reading shared by all who wait.

Kept fresh four ways: asked (an unknown name or OID), after DDL that passed any worker, at each session's
start, and by polling a digest of row versions. What another client changes while a session lives is not
known until the next poll; `docs/masking.md` says so.

Source: PostgreSQL 18 manual, chapter 52; columns used exist since PostgreSQL 12.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred, succeed
from twisted.python.failure import Failure

from addons.needs import Clock
from addons.sql.catalog import Row, Snapshot, build
from gateway.locked import VIEWS, Reading, Views
from gateway.states import COLLATIONS, STATES, SUPPORT
from protocols.session import Session
from protocols.tally import Tally

POLL = 15.0  #: seconds between looks at the digest
COMMITTING = 3.0  #: seconds that somebody waits for another worker's commit to end, which may itself wait for who waits here
READING = 30.0  #: seconds a reading may take; then whoever waits is refused

#: One consistent view; names come out qualified because nothing is on the path. Writing out a view takes
#: locks on its tables, which a session's open ALTER TABLE would hold against us (`gateway.locked`).
OPENING = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SELECT pg_catalog.set_config('search_path', '', true), pg_catalog.set_config('lock_timeout', '2s', true), pg_catalog.set_config('jit', 'off', true)",  # nothing here is worth compiling
)
CLOSING = "COMMIT"

_EXTENSION = (
    "EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass"
    " AND x.objid = p.oid AND x.deptype = 'e')"
)


def _names(relation: str, numbers: str) -> str:
    """SQL of the names of a relation's columns by their numbers, in that order, a line each."""
    return (
        "(SELECT pg_catalog.string_agg(a.attname, e'\\n' ORDER BY k.at) FROM pg_catalog.unnest(" + numbers + ")"
        " WITH ORDINALITY k(number, at) JOIN pg_catalog.pg_attribute a ON a.attrelid = " + relation + " AND a.attnum = k.number)"
    )


def _called(*kept: tuple[str, str, str]) -> str:
    """SQL of the functions, set_config() or users', that are called by trees which the catalog keeps; not written out, so that nothing is locked."""
    trees = " UNION ALL ".join(f"SELECT {of}, {tree}::pg_catalog.text FROM pg_catalog.pg_{table} WHERE {tree} IS NOT NULL AND {of} >= 16384" for of, tree, table in kept)
    found = "pg_catalog.regexp_matches(k.tree, ':(?:op)?funcid (2078|[0-9]{5,})', 'g')"
    return f"SELECT DISTINCT k.of, f.found[1] FROM ({trees}) k(of, tree), LATERAL {found} f(found) WHERE f.found[1]::pg_catalog.oid NOT BETWEEN 2079 AND 16383"


QUERIES: dict[str, str] = {
    "schemas": "SELECT nspname FROM pg_catalog.pg_namespace",
    "relations": (
        "SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltype FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    ),
    "columns": (
        "SELECT a.attrelid, a.attnum, a.attname, a.atttypid,"
        " pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " CASE WHEN a.attgenerated <> '' THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,"
        " a.atthasdef OR a.attidentity <> '' OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = a.attrelid"
        "  AND NOT g.tgisinternal AND g.tgtype & 2 <> 0),"  # TRIGGER_TYPE_BEFORE
        " EXISTS (SELECT FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic)"
        " FROM pg_catalog.pg_attribute a"
        " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r','v','m','p','f','c','S','t')"
        " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
        " WHERE a.attnum > 0 AND NOT a.attisdropped"
    ),
    "inherits": "SELECT inhrelid, inhparent FROM pg_catalog.pg_inherits",
    "views": VIEWS,
    "rules": (
        "SELECT ev_class, pg_catalog.pg_get_ruledef(oid) FROM pg_catalog.pg_rewrite"
        " WHERE oid >= 16384 AND ev_type <> '1'"
    ),
    "functions": (
        "SELECT p.oid, n.nspname, p.proname, p.prokind, p.provolatile, l.lanname, p.prosecdef, p.proretset,"
        " p.prorettype,"
        " p.proargtypes, p.pronargs - p.pronargdefaults, " + _EXTENSION + ","
        " CASE WHEN l.lanname IN ('sql','plpgsql') AND n.nspname <> 'pg_catalog' THEN p.prosrc END,"
        " CASE WHEN l.lanname = 'sql' AND p.prosrc = '' AND p.prokind IN ('f','p') AND p.oid >= 16384"  # BEGIN ATOMIC
        "  THEN pg_catalog.pg_get_functiondef(p.oid) END,"
        " CASE WHEN n.nspname <> 'pg_catalog' THEN pg_catalog.to_json(p.proconfig) END"
        " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
        " JOIN pg_catalog.pg_language l ON l.oid = p.prolang"
    ),
    "types": (
        "SELECT t.oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typrelid, t.typelem, t.typbasetype"
        " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace"
        " WHERE t.oid >= 16384 OR t.typtype IN ('c','d') OR EXISTS (SELECT FROM pg_catalog.pg_cast c"
        "  WHERE c.castfunc >= 16384 AND t.oid IN (c.castsource, c.casttarget))"
    ),
    "operators": "SELECT oprname, oprcode::pg_catalog.oid FROM pg_catalog.pg_operator WHERE oid >= 16384",
    "casts": "SELECT castsource, casttarget, castfunc FROM pg_catalog.pg_cast WHERE castfunc >= 16384",
    "implicit": "SELECT casttarget FROM pg_catalog.pg_cast WHERE oid >= 16384 AND castcontext = 'i'",
    "constraints": "SELECT conname FROM pg_catalog.pg_constraint WHERE oid >= 16384",
    "ties": (
        "SELECT conrelid, 'check', '', pg_catalog.pg_get_expr(conbin, conrelid) FROM pg_catalog.pg_constraint"
        " WHERE contype = 'c' AND conrelid >= 16384"
        " UNION ALL SELECT indrelid, CASE WHEN indisunique OR indisexclusion THEN 'unique' ELSE 'index' END, "
        + _names("indrelid", "indkey::int2[]") + ", pg_catalog.concat_ws(', ', pg_catalog.pg_get_expr(indexprs, indrelid),"
        " pg_catalog.pg_get_expr(indpred, indrelid)) FROM pg_catalog.pg_index WHERE indrelid >= 16384"
        " AND (indisunique OR indisexclusion OR indexprs IS NOT NULL OR indpred IS NOT NULL)"
        " UNION ALL SELECT partrelid, 'partition', " + _names("partrelid", "partattrs::int2[]") + ","
        " pg_catalog.pg_get_expr(partexprs, partrelid) FROM pg_catalog.pg_partitioned_table"
    ),
    "foreign_keys": (
        "SELECT conrelid, " + _names("conrelid", "conkey") + ", confrelid, " + _names("confrelid", "confkey") + ","
        " confdeltype, confupdtype FROM pg_catalog.pg_constraint WHERE contype = 'f'"
    ),
    "checks": (
        "SELECT contypid, pg_catalog.pg_get_expr(conbin, 0) FROM pg_catalog.pg_constraint"
        " WHERE contypid >= 16384 AND contype = 'c'"
    ),
    "ranges": (  # before PostgreSQL 14 there were no multiranges
        "SELECT rngtypid, pg_catalog.to_jsonb(r) ->> 'rngmultitypid', rngsubtype FROM pg_catalog.pg_range r WHERE rngtypid >= 16384"
    ),
    "triggers": "SELECT tgrelid, tgfoid FROM pg_catalog.pg_trigger WHERE NOT tgisinternal",
    "policies": (
        "SELECT p.polrelid, pg_catalog.pg_get_expr(x, p.polrelid) FROM pg_catalog.pg_policy p"
        " JOIN pg_catalog.pg_class c ON c.oid = p.polrelid AND c.relrowsecurity,"
        " LATERAL (VALUES (p.polqual), (p.polwithcheck)) v(x) WHERE x IS NOT NULL"
    ),
    "runs": _called(
        ("adrelid", "adbin", "attrdef"), ("conrelid", "conbin", "constraint"), ("tgrelid", "tgqual", "trigger"), ("indrelid", "indexprs", "index"),
        ("indrelid", "indpred", "index"),
    ),
    "type_runs": _called(("contypid", "conbin", "constraint"), ("oid", "typdefaultbin", "type")),
    "defaults": _called(("oid", "proargdefaults", "proc")),
    "states": STATES,
    "aggregates": SUPPORT,
    "collations": COLLATIONS,
}

DIGEST = (
    "SELECT pg_catalog.md5(pg_catalog.concat_ws(',', "
    + ", ".join(
        f"(SELECT pg_catalog.string_agg({key} || ':' || xmin, ',' ORDER BY {key}) FROM pg_catalog.{table}{where})"
        for table, key, where in (
            ("pg_namespace", "oid::text", ""),
            ("pg_class", "oid::text", " WHERE oid >= 16384"),
            ("pg_attribute", "attrelid::text || '.' || attnum", " WHERE attrelid >= 16384 AND attnum > 0"),
            ("pg_inherits", "inhrelid::text || '.' || inhseqno", ""),
            ("pg_rewrite", "oid::text", " WHERE oid >= 16384"),
            ("pg_proc", "oid::text", " WHERE oid >= 16384"),
            ("pg_type", "oid::text", " WHERE oid >= 16384"),
            ("pg_operator", "oid::text", " WHERE oid >= 16384"),
            ("pg_cast", "oid::text", " WHERE oid >= 16384"),
            ("pg_constraint", "oid::text", " WHERE oid >= 16384"),
            ("pg_trigger", "oid::text", " WHERE NOT tgisinternal"),
            ("pg_attrdef", "oid::text", ""),
            ("pg_policy", "oid::text", ""),
            ("pg_enum", "oid::text", ""),
            ("pg_index", "indexrelid::text", " WHERE indexrelid >= 16384"),
            ("pg_sequence", "seqrelid::text", ""),
            ("pg_collation", "oid::text", " WHERE oid >= 16384"),
            ("pg_foreign_table", "ftrelid::text", ""),
            ("pg_foreign_server", "oid::text", ""),
            ("pg_foreign_data_wrapper", "oid::text", ""),
        )
    )
    + ", (SELECT pg_catalog.string_agg(pg_catalog.concat(umid, ':', pg_catalog.md5(umoptions::pg_catalog.text)), ',' ORDER BY umid) FROM pg_catalog.pg_user_mappings)))"
)


class Querying(Protocol):
    """A connection to a target, logged in with the catalog account."""

    def query(self, sql: str) -> Deferred[list[tuple[str | None, ...]]]:
        """Rows in text format; fails when the target says error."""

    def close(self) -> Any:
        """Hang up."""


Connect = Callable[[Session], Deferred]


@inlineCallbacks
def read(connection: Querying) -> Any:
    """Every query in one transaction, to a (Snapshot, digest)."""
    found = yield reading(connection)
    return found.snapshot, found.digest


@inlineCallbacks
def reading(connection: Querying, before: Reading | None = None) -> Any:
    """Every query in one transaction, to a Reading; `before` is the last one, which helps where a view is locked."""
    for statement in OPENING:
        yield connection.query(statement)
    digest = yield connection.query(DIGEST)
    rows: dict[str, Sequence[Row]] = {}
    views = Views(before)
    for name, sql in QUERIES.items():
        rows[name] = yield (views.read(connection) if name == "views" else connection.query(sql))
    yield connection.query(CLOSING)
    snapshot = build(rows)
    views.check(snapshot)
    return Reading(snapshot, digest[0][0], views.written)


class _Shelf:
    """What is known of one database of one target."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.last: Reading | None = None
        self.waiting: list[Deferred] = []  #: for the reading under way
        self.next: list[Deferred] = []  #: came while one was under way: its answer may be older than their question
        self.reading = False
        self.looks: list[Deferred[bool]] = []  #: for the look under way
        self.next_looks: list[Deferred[bool]] = []
        self.doubts = self.settled = 0  #: changes heard of, and those that the snapshot shows

    @property
    def snapshot(self) -> Snapshot | None:
        return self.last.snapshot if self.last is not None else None


class Catalogs:
    """
    Implements `addons.needs.Catalogs`.

    :param connect: dials the session's target and database with the catalog account; the
        session says where, never who.
    :param tally: where changes of `standing` are counted; one of its own when not given.
    :ivar on_doubt: called with (target, database) when DDL passed here, for the other workers.
    :ivar on_commit: called with (key, target, database) before what may change names' meaning is committed here; a Deferred that
        fires when the other workers know. `on_committed`: called with the key when it has ended.
    """

    def __init__(self, connect: Connect, clock: Clock, interval: float = POLL, tally: Tally | None = None) -> None:
        self._connect, self._clock, self._interval = connect, clock, interval
        self.tally = Tally() if tally is None else tally
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._poll = None
        self._elsewhere: dict[str, tuple[str, str]] = {}  #: what other workers are committing
        self._waiting: list[tuple[tuple[str, str], Deferred[None]]] = []  #: by place, for all of that to have ended
        self.on_doubt: Callable[[str, str], None] = lambda target, database: None
        self.on_commit: Callable[[str, str, str], Deferred[None]] = lambda key, target, database: succeed(None)
        self.on_committed: Callable[[str], None] = lambda key: None

    def snapshot(self, session: Session) -> Snapshot | None:
        shelf = self._shelves.get((session.target.name, session.database))
        return shelf.snapshot if shelf else None

    def refresh(self, session: Session) -> Deferred[Snapshot]:
        """
        Read again, beginning after now. Callers that come while a reading is under way
        share the next one: the one under way may have begun before what they saw.
        """
        shelf = self._shelves.setdefault((session.target.name, session.database), _Shelf(session))
        self.tally.moved()
        answer: Deferred[Snapshot] = Deferred()
        if shelf.reading:
            shelf.next.append(answer)
            return answer
        shelf.waiting.append(answer)
        self._read(shelf)
        return answer

    def check(self, session: Session) -> Deferred[None]:
        """
        Ask the target whether the snapshot still shows what is there, and read again if not. Never fails:
        a target that does not answer fails the session itself. Those who come together share one look.
        """
        return self.current(session).addCallback(lambda _: None)

    def current(self, session: Session) -> Deferred[bool]:
        """As `check`: whether it is known. Where nothing was read, nothing is wrong."""
        shelf = self._shelves.get((session.target.name, session.database))
        answer: Deferred[bool] = Deferred()
        if shelf is None or shelf.snapshot is None:
            answer.callback(True)
        elif shelf.looks:
            shelf.next_looks.append(answer)
        else:
            shelf.looks.append(answer)
            self._look_at(shelf)
        return answer

    def stale(self, session: Session) -> bool:
        """Whether changes were heard of that the snapshot may not show."""
        shelf = self._shelves.get((session.target.name, session.database))
        return shelf is not None and shelf.doubts != shelf.settled

    def changes(self, session: Session) -> tuple[int, int]:
        """How many changes were heard of, and how many of them the snapshot shows."""
        shelf = self._shelves.get((session.target.name, session.database))
        return (shelf.doubts, shelf.settled) if shelf is not None else (0, 0)

    def standing(self, session: Session) -> tuple[str, bool] | None:
        """A value that is another one when `snapshot` or `stale` may answer otherwise."""
        shelf = self._shelves.get((session.target.name, session.database))
        if shelf is None:
            return None
        return shelf.snapshot.revision if shelf.snapshot is not None else "", shelf.doubts != shelf.settled

    def doubt(self, session: Session) -> None:
        """DDL passed: nobody decides by the old snapshot, here or in another worker."""
        self.suspect(session)
        self.on_doubt(session.target.name, session.database)

    def suspect(self, session: Session) -> None:
        """Something unknown came back: the next statement here waits for a newer snapshot."""
        self.heard(session.target.name, session.database)

    def heard(self, target: str, database: str) -> None:
        """Another worker saw DDL pass."""
        shelf = self._shelves.get((target, database))
        if shelf is not None:
            shelf.doubts += 1
            self.tally.moved()

    # -- commits under way ---------------------------------------------------------------------

    def commit_begins(self, session: Session) -> Deferred[None]:
        """The session is about to commit what may change what names mean; fires when all other workers know, fails where one may not."""
        return self.on_commit(session.id, session.target.name, session.database)

    def commit_ended(self, session: Session) -> None:
        """Whatever came of it; the others have been told before that it may have changed something."""
        self.on_committed(session.id)

    def elsewhere(self, session: Session) -> bool:
        """Whether a session in another worker is committing such a thing, where this session is."""
        return bool(self._elsewhere) and (session.target.name, session.database) in self._elsewhere.values()

    def over(self, session: Session) -> Deferred[None]:
        """Fires when no other worker is committing such a thing there, or it was waited for long enough."""
        answer: Deferred[None] = Deferred()
        if not self.elsewhere(session):
            answer.callback(None)
            return answer
        self._waiting.append(((session.target.name, session.database), answer))
        return answer.addTimeout(COMMITTING, self._clock, lambda _result, _seconds: None)

    def _wake(self) -> None:
        """Wake whoever waits where nothing is committed any more, and forget who has waited long enough."""
        waiting, self._waiting = self._waiting, []
        for place, answer in waiting:
            if not answer.called and place not in self._elsewhere.values():
                answer.callback(None)
            elif not answer.called:
                self._waiting.append((place, answer))

    def begun(self, key: str, target: str, database: str) -> None:
        """Another worker is about to commit."""
        self._elsewhere[key] = target, database
        self.tally.moved()

    def ended(self, key: str) -> None:
        """Another worker's commit has ended."""
        if self._elsewhere.pop(key, None) is not None:
            self.tally.moved()
            self._wake()

    def back(self, commits: Sequence[Sequence[str]]) -> None:
        """What other workers said meanwhile was not heard. This is all that they are committing."""
        before, self._elsewhere = self._elsewhere, {key: (target, database) for key, target, database in commits}
        self.tally.moved()
        for key in before.keys() - self._elsewhere.keys():
            self.heard(*before[key])
        self._wake()
        for shelf in list(self._shelves.values()):
            self.check(shelf.session)

    def start(self) -> None:
        """Begin polling."""
        self._poll = self._clock.callLater(self._interval, self._look)

    def stop(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None

    def _look(self) -> None:
        self.start()
        for shelf in list(self._shelves.values()):
            if not shelf.reading:
                self.check(shelf.session)

    def _look_at(self, shelf: _Shelf) -> None:
        looked = self._connected(shelf, self._changed).addCallback(lambda changed: changed and self.refresh(shelf.session))
        looked.addCallbacks(lambda _: True, lambda _why: False)  # the next look tries again
        looked.addCallback(lambda known: self._looked(shelf, known))

    @inlineCallbacks
    def _changed(self, connection: Querying, shelf: _Shelf) -> Any:
        rows = yield connection.query(DIGEST)
        return shelf.last is None or rows[0][0] != shelf.last.digest

    def _looked(self, shelf: _Shelf, known: bool) -> None:
        waiting, shelf.looks, shelf.next_looks = shelf.looks, shelf.next_looks, []
        if shelf.looks:
            self._look_at(shelf)
        for answer in waiting:
            answer.callback(known)

    def _read(self, shelf: _Shelf) -> None:
        shelf.reading = True
        done = self._connected(shelf, lambda connection, shelf: reading(connection, shelf.last))
        done.addBoth(self._done, shelf, shelf.doubts)

    def _connected(self, shelf: _Shelf, work: Callable[[Querying, _Shelf], Deferred]) -> Deferred:
        """Dial, work, hang up, all within READING."""
        done = maybeDeferred(self._connect, shelf.session)
        done.addCallback(lambda connection: work(connection, shelf).addBoth(_closed, connection))
        return done.addTimeout(READING, self._clock)

    def _done(self, result: Reading | Failure, shelf: _Shelf, doubts: int) -> None:
        shelf.reading = False
        waiting, shelf.waiting, shelf.next = shelf.waiting, shelf.next, []
        if not isinstance(result, Failure):
            shelf.last = result
            shelf.settled = doubts
            self.tally.moved()
        if shelf.waiting:
            self._read(shelf)
        for answer in waiting:
            answer.errback(result) if isinstance(result, Failure) else answer.callback(result.snapshot)


def _closed(result: Any, connection: Querying) -> Any:
    connection.close()
    return result
