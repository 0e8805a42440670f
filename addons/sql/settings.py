"""
Which settings a client may change, and to what; and which search path its statements meet.

What changes the meaning of text that was judged (how quotes end, how bytes become characters, where names are
looked up) is allowed only to listed values. Settings that are not listed are `server-config`. One
`Settings` is shared by the addons that need it; `Gate` is Policy's.

Lists: what psql, pg_dump, pg_restore, pgbench, libpq, psycopg, asyncpg, pgjdbc, npgsql, SQLAlchemy, Django, Rails, pgAdmin
and DBeaver are publicly known to set; names from pg_settings of PostgreSQL 15 and 18, context `user`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from protocols.command import Command, FunctionCall, Path as CommandPath, Statement
from protocols.encodings import UNREADABLE, plain, safe
from protocols.result import Outcome
from protocols.session import Session
from protocols.tally import Tally
from protocols.verdict import Allow, Decision

from addons.sql.catalog import Snapshot
from addons.sql.changes import Change, split_identifiers
from addons.sql.classify import classify
from addons.sql.deeds import NAMES, PATH
from addons.sql.finding import Finding
from addons.sql.given import Given, uses
from addons.sql.parse import Unparsable, parse
from addons.sql.prepared import Prepared
from addons.sql.searchpath import DEFAULT, Tracker, idle, moves, path_of, steps, unseen
from addons.sql.spreading import NOTHING, SET_CONFIG
from addons.sql.stored import doing, with_hidden
from addons.sql.underway import Underway
from addons.sql.worlds import Path, Step

HARMLESS = frozenset("""
    application_name bytea_output check_function_bodies client_connection_check_interval client_min_messages
    constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction datestyle
    default_statistics_target default_text_search_config default_toast_compression default_transaction_deferrable
    default_transaction_isolation default_transaction_read_only effective_cache_size effective_io_concurrency
    enable_async_append enable_bitmapscan enable_distinct_reordering enable_gathermerge enable_group_by_reordering
    enable_hashagg enable_hashjoin enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material
    enable_memoize enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning
    enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate enable_self_join_elimination
    enable_seqscan enable_sort enable_tidscan escape_string_warning extra_float_digits from_collapse_limit geqo
    geqo_effort geqo_generations geqo_pool_size geqo_seed geqo_selection_bias geqo_threshold gin_fuzzy_search_limit
    hash_mem_multiplier idle_in_transaction_session_timeout idle_session_timeout intervalstyle jit jit_above_cost
    jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming join_collapse_limit lc_monetary
    lc_numeric lc_time lock_timeout maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers
    max_parallel_workers_per_gather min_parallel_index_scan_size min_parallel_table_scan_size parallel_leader_participation
    parallel_setup_cost parallel_tuple_cost plan_cache_mode quote_all_identifiers random_page_cost
    recursive_worktable_factor restrict_nonsystem_relation_kind row_security seed seq_page_cost statement_timeout
    stats_fetch_consistency synchronize_seqscans synchronous_commit tcp_keepalives_count tcp_keepalives_idle
    tcp_keepalives_interval tcp_user_timeout temp_buffers timezone transaction_deferrable transaction_isolation
    transaction_read_only transaction_timeout work_mem xmlbinary xmloption
""".split())

_RELOAD = 2621  #: the OID of pg_reload_conf() (pg_proc.dat)
_COMMITTING = frozenset({"may commit", "may end", "more"})  #: what changes nothing where nothing was set
_MOST = 16384  #: texts of which the catalog says that they set something

_KEPT, _KEPT_LENGTH = 4096, 64 << 10  # texts whose steps are remembered, and characters of one

IDENTITIES = frozenset({"role", "session_authorization", "is_superuser"})

_ON = frozenset({"on", "true", "yes", "1", "t", "tr", "tru", "y", "ye"})
_OFF = frozenset({"off", "of", "false", "no", "0", "f", "fa", "fal", "fals", "n"})

VALUES: dict[str, frozenset[str]] = {
    "standard_conforming_strings": _ON,
    "backslash_quote": _OFF | {"safe_encoding"},
    "transform_null_equals": _OFF,
    "array_nulls": _ON,
    "default_tablespace": frozenset({""}),
    "temp_tablespaces": frozenset({""}),
    "default_table_access_method": frozenset({"heap"}),
}

SEARCH_PATHS = (
    '', '""', 'public', '"$user", public', 'public, pg_temp', '"$user", public, pg_temp', 'pg_catalog',
    'pg_catalog, pg_temp', 'pg_catalog, public', 'pg_catalog, public, pg_temp', 'pg_catalog, "$user", public',
)
"""Never one that puts a schema in front of a named pg_catalog: its functions would stand in for the server's."""


class Gate:
    """
    Which changes of settings pass. A value: it keeps nothing of sessions.

    :param search_paths: more paths that may be set, written as in SET search_path.
    :param names: more settings that may be set to anything, such as an application's own "app.tenant".
    """

    def __init__(self, search_paths: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        self._paths: set[tuple[str, ...]] = set()
        for text in (*SEARCH_PATHS, *search_paths):
            path = split_identifiers(text)
            if path is None:
                raise ValueError(f"search_paths: {text!r} is not a list of schemas")
            self._paths.add(path)
        self._names = frozenset(name.lower() for name in names)
        for name in sorted(self._names & (VALUES.keys() | IDENTITIES | {"search_path", "client_encoding"})):
            raise ValueError(f"session_settings: {name!r} changes what statements mean and cannot be set to anything")

    def judge(self, change: Change) -> tuple[str, str]:
        """The class of a change, and one clause that says why; no value is in it."""
        if change.form == "transaction":
            return "transaction", "sets the transaction's characteristics"
        if change.form == "all":
            return "session", "resets settings"
        if change.name in IDENTITIES:
            return "session-identity", f"changes {change.name}"
        if change.form == "reset":
            return "session", f"resets {change.name}"
        if change.name in HARMLESS or change.name in self._names:
            return "session", f"sets {change.name}"
        if change.name and change.values is not None and change.certain and self._listed(change):
            return "session", f"sets {change.name}"
        known = change.name in VALUES or change.name in ("search_path", "client_encoding")
        return "server-config", f"sets {change.name} to a value outside the list" if known else f"sets {change.name or 'a setting that it computes'}"

    def _listed(self, change: Change) -> bool:
        if change.name == "search_path":
            return path_of(change) in self._paths
        if len(change.values or ()) != 1:
            return False
        value = change.values[0].strip().lower()
        if change.name == "client_encoding":
            return safe(value)
        return value in VALUES.get(change.name, ())

    def accepts(self, name: str, value: str) -> bool:
        """Whether a connection may bring this setting in its start-up packet or its options."""
        return self.judge(Change(name.lower(), (value,), "text"))[0] == "session"

    def ambiguous(self, reported: Mapping[str, str]) -> str:
        """Why no text can be judged under what the server last reported; "" when it can."""
        return _ambiguous(reported.get("standard_conforming_strings", "on"), reported.get("client_encoding", "utf8"))

    def blinds(self, change: Change) -> bool:
        """Whether no text could be judged any more once the server has done this: it would end the session."""
        if change.form == "reset" or len(change.values or ()) != 1:
            return False
        value = change.values[0].strip().lower()
        off = change.name == "standard_conforming_strings" and value in _OFF
        return off or change.name == "client_encoding" and plain(value) in UNREADABLE


@lru_cache(maxsize=64)
def _ambiguous(conforming: str, encoding: str) -> str:
    if conforming.lower() not in _ON:
        return "standard_conforming_strings is off, so quotes do not end where they seem to"
    known = safe(encoding)
    return "" if known else "client_encoding is one whose characters can hide a quote"


class Settings:
    """
    What sessions have set, prepared and changed. One object for all addons of a process; it outlives a reload of the configuration.

    :param default_search_path: what sessions start with where the server does not report it.
    :param tally: where changes of `standing` are counted; one of its own when not given.
    """

    def __init__(self, default_search_path: str = '"$user", public', tally: Tally | None = None) -> None:
        self.tally = Tally() if tally is None else tally
        self._default = split_identifiers(default_search_path)
        if self._default is None:
            raise ValueError(f"default_search_path: {default_search_path!r} is not a list of schemas")
        self.prepared, self.given, self.underway = Prepared(), Given(), Underway(self.tally)
        self._trackers: dict[str, Tracker] = {}
        self._targets: dict[str, str] = {}  #: of those sessions that were started here
        self._reloading: list[Decision] = []  #: that are on their way
        self.on_reload: Callable[[str], None] = lambda target: None
        self._teller = ""
        self._unseen: dict[str, tuple[Step, ...]] = {}  #: by text, what the catalog said that it does
        self._crowded: tuple[Step, ...] = ()
        self._heeded: set[tuple[str, str]] = set()  #: texts of which it was asked, and by which catalog
        self._quiet: Snapshot | None = None  #: a catalog in which nothing does anything unseen
        self._renaming: set[str] = set()  #: texts that may take prepared statements away, likewise
        self._steps: dict[str, tuple[Step, ...]] = {}
        self._long: tuple[str, tuple[Step, ...]] = ("", ())  # of long texts the last

    def start(self, session: Session, search_path: str) -> None:
        """The path that a session begins with, when something has read it from the server."""
        self._trackers[session.id] = Tracker(split_identifiers(search_path))
        self._targets[session.id] = session.target.name
        self.tally.moved()

    def search_path(self, session: Session, reported: Mapping[str, str] | None = None) -> Path:
        """The schemas that names are looked up in; None when it cannot be told just now."""
        tracker = self._trackers.get(session.id)
        if tracker is None:
            return self._first(reported or {})
        path = tracker.path()
        told = (reported or {}).get("search_path")  # by PostgreSQL 18 and later, whatever changed it
        return path if told is None or split_identifiers(told) == path else None

    def reloaded(self, target: str) -> None:
        """The target may read its configuration again; what its sessions have not set themselves is not known any more."""
        for session, name in self._targets.items():
            if name == target and self._trackers[session].reloaded():
                self.tally.moved()

    def follows(self, session: Session) -> bool:
        """Whether anything is known of a session that what is decided next may be ahead of."""
        return session.id in self._trackers

    def standing(self, session: Session) -> tuple[Path] | None:
        """A value that is another one when `search_path` may answer otherwise, where the server reports the same."""
        tracker = self._trackers.get(session.id)
        return None if tracker is None else (tracker.path(),)

    def idle(self, text: str, snapshot: Snapshot | None = None) -> bool:
        """Whether `decided` learns nothing of a text."""
        self._heed(text, snapshot)
        return not self._steps_of(text, None) and text not in self._unseen and not self._crowded

    def decided(
        self, session: Session, decision: Decision, teller: str, findings: Sequence[Finding] | None = None,
        known: Sequence[Step] | None = None, snapshot: Snapshot | None = None,
    ) -> None:
        """
        A command was decided. Of several addons that tell, the first stays the only one heard.

        :param findings: of the command's own text, when the teller has them. :param known: its steps, likewise.
        :param snapshot: of the catalog, from a teller that has neither: what is set unseen is found out here.
        """
        if isinstance(decision.verdict, Allow):
            self._rename(session.id, decision.command, findings or (), snapshot if known is None and findings is None else None)
        if isinstance(decision.command, Statement) and isinstance(decision.verdict, Allow):
            self.given.learn(session.id, decision.command, decision.sent or decision.command.text, session.policy_revision)
        self._teller = self._teller or teller
        if self._teller != teller or not isinstance(decision.verdict, Allow):
            return
        command = decision.command
        if getattr(command, "path", None) is CommandPath.PARSE:
            return
        todo = known if known is not None else self._steps_of(getattr(command, "text", ""), findings)
        if self._moved_by_name(session.id, command, snapshot):
            todo = (*todo, Step("lost", rows=True))
        todo = (*todo, *self._unseen.get(getattr(command, "text", ""), self._crowded))
        if self._reloads(session.id, command, todo):
            self._reloading.append(decision)
            self._told_reloaded(session.target.name)
        if todo and (session.id in self._trackers or not _COMMITTING.issuperset(step.what for step in todo)):
            begins = session.id not in self._trackers
            tracker = self._trackers.setdefault(session.id, Tracker(self._first(command.settings)))
            if tracker.sent(decision, tuple(todo), command.portal if command.path is CommandPath.BIND else None) or begins:
                self.tally.moved()

    def _moved_by_name(self, session: str, command: Command, snapshot: Snapshot | None) -> bool:
        """Whether what it runs or reads on by name may set the path, or is not known; or what it calls by number does."""
        if not isinstance(command, Statement):
            if not isinstance(command, FunctionCall):
                return False
            return command.oid == SET_CONFIG or snapshot is not None and command.oid in doing(snapshot, PATH).functions
        if not uses(command):
            return False
        behind = self.given.behind(session, self.given.used(session, command))
        return behind is None or any(each.text in self._unseen or moves(self._steps_of(each.text, None)) for each in behind)

    def _reloads(self, session: str, command: Command, todo: Sequence[Step]) -> bool:
        """Whether the server may read its configuration again, by the command itself or by what it runs by name."""
        if _has_reload(todo) or isinstance(command, FunctionCall) and command.oid == _RELOAD:
            return True
        if not isinstance(command, Statement) or not uses(command):
            return False
        behind = self.given.behind(session, self.given.used(session, command))
        return any(_has_reload(self._steps_of(each.text, None)) for each in behind or ())

    def _told_reloaded(self, target: str) -> None:
        self.reloaded(target)
        self.on_reload(target)

    def learn(self, text: str, findings: Sequence[Finding]) -> None:
        """What `classify` found in a text, so that it is not looked through again when it is decided."""
        if found := unseen(findings):
            if len(self._unseen) >= _MOST:
                self._crowded = found  # nothing is forgotten: from here on any text may do it
            else:
                self._unseen[text] = found
        if any(finding.renames for finding in findings) and len(self._renaming) < _MOST:
            self._renaming.add(text)
        if idle(findings):
            self._keep(text, ())

    def _rename(self, session: str, command: Command, findings: Sequence[Finding], snapshot: Snapshot | None) -> None:
        """Whatever a name stood for, it may stand for something else where code that is called takes prepared statements away."""
        if isinstance(command, Statement):
            self._heed(command.text, snapshot)
            known = self._renaming and (command.text in self._renaming or len(self._renaming) >= _MOST)  # then any text may
            lost = command.path is not CommandPath.PARSE and (bool(known) or any([finding.renames for finding in findings]))
        else:
            lost = isinstance(command, FunctionCall) and snapshot is not None and command.oid in doing(snapshot, NAMES).functions
        if lost:
            self.given.lose(session)
            self.prepared.forget(session)

    def _heed(self, text: str, snapshot: Snapshot | None) -> None:
        """Learn what the catalog says of a text that nobody has looked through with it."""
        if snapshot is None or snapshot is self._quiet:
            return
        if doing(snapshot, PATH) is NOTHING and doing(snapshot, NAMES) is NOTHING:
            self._quiet = snapshot
            return
        if (key := (text, snapshot.revision)) in self._heeded:
            return
        try:
            found = with_hidden(classify(parse(text)), snapshot)
        except Unparsable:
            return
        self.learn(text, found)
        if len(text) <= _KEPT_LENGTH:
            if len(self._heeded) >= _KEPT:
                self._heeded.clear()
            self._heeded.add(key)

    def _keep(self, text: str, found: tuple[Step, ...]) -> None:
        if len(text) > _KEPT_LENGTH:
            self._long = text, found
            return
        if len(self._steps) > _KEPT:
            self._steps.clear()
        self._steps[text] = found

    def ended(self, session: Session, decision: Decision, outcome: Outcome, teller: str) -> None:
        """A command ended."""
        if self._reloading and any(one is decision for one in self._reloading):
            self._reloading = [one for one in self._reloading if one is not decision]
            self._told_reloaded(session.target.name)
        tracker = self._trackers.get(session.id)
        status = "" if outcome.among == "more" else outcome.transaction
        if tracker is None or self._teller != teller:
            return
        if tracker.ended(decision, outcome.ending.value, status, outcome.undone, outcome.rows):
            self.tally.moved()

    def closed(self, session: Session) -> None:
        if self._trackers.pop(session.id, None) is not None:
            self.tally.moved()
        self._targets.pop(session.id, None)
        self.prepared.forget(session.id)
        self.given.forget(session.id)

    def _first(self, reported: Mapping[str, str]) -> Path:
        return split_identifiers(reported["search_path"]) if "search_path" in reported else self._default or DEFAULT

    def _steps_of(self, text: str, findings: Sequence[Finding] | None) -> tuple[Step, ...]:
        found = self._long[1] if text == self._long[0] else self._steps.get(text)
        if found is None:
            if findings is not None and idle(findings):
                return ()
            try:
                found = steps(parse(text), findings)
            except Unparsable:
                found = (Step("lost"),)
            self._keep(text, found)
        return found


def _has_reload(todo: Iterable[Step]) -> bool:
    return any([step.what == "reload" for step in todo])
