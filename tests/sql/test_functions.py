"""The list of the server's functions: every name exists, and nothing volatile is on it unnoticed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from addons.sql.functions import NAMED, OPERATORS, READ, catalog_class, catalog_names
from addons.sql.kinds import CLASSES
from tests.servers import POSTGRES, PostgresServer, postgres_18

VOLATILE_AND_READ = frozenset("""
    array_sample array_shuffle bernoulli clock_timestamp current_query currval gen_random_uuid lastval pg_blocking_pids
    pg_collation_actual_version pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system
    pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_collation_actual_version pg_database_size
    pg_export_snapshot pg_get_multixact_members pg_get_sequence_data pg_get_wait_events pg_get_wal_replay_pause_state
    pg_indexes_size pg_is_in_recovery pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact
    pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
    pg_notification_queue_usage pg_partition_ancestors pg_partition_tree pg_prepared_xact pg_relation_size
    pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot
    pg_stat_force_next_flush pg_stat_get_backend_io pg_stat_get_backend_wal pg_stat_get_io pg_stat_get_recovery_prefetch
    pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls
    pg_stat_get_xact_function_self_time pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans
    pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated
    pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned
    pg_stat_get_xact_tuples_updated pg_stat_have_stats pg_table_size pg_tablespace_size pg_total_relation_size
    pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status random random_normal system timeofday txid_status
    uuidv4 uuidv7
""".split())
"""Looked at one by one: they change nothing that another session sees, and read nothing but the server's own state."""

OLDER = frozenset("""
    pg_start_backup pg_stop_backup pg_read_file_old
    pg_rotate_logfile_old pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_requested_checkpoints
    pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend
    pg_stat_get_checkpoint_sync_time pg_stat_get_checkpoint_write_time pg_timezone_abbrevs
""".split())
"""Gone in PostgreSQL 18, most of them in 17; the first two already in 15."""


@pytest.fixture(scope="module", params=["15", "18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    made = PostgresServer(POSTGRES if request.param == "15" else postgres_18())
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.live
def test_no_volatile_function_reads_unnoticed(server: PostgresServer) -> None:
    """A function that the server marks volatile is `read` only when somebody has looked at it."""
    volatile = set(server.sql("SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'").split())
    read = {name for names in READ.values() for name in names.split()}
    assert volatile & read <= VOLATILE_AND_READ


@pytest.mark.live
def test_functions_that_take_sql_or_files_are_not_read(server: PostgresServer) -> None:
    """By what the server says of itself: only its owner may call them until it grants it."""
    guarded = set(server.sql("SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proacl IS NOT NULL").split())
    read = {name for names in READ.values() for name in names.split()}
    assert guarded & read <= {
        "pg_config", "pg_show_replication_origin_status", "pg_stat_have_stats", "pg_get_multixact_members",
    }


@pytest.mark.live
def test_operators_are_the_servers_own(server: PostgresServer) -> None:
    found = set(server.sql("SELECT DISTINCT oprname FROM pg_operator").split())
    assert found <= OPERATORS


@pytest.mark.live
def test_every_name_exists(server: PostgresServer) -> None:
    """A misspelt name would allow what nobody looked at, once somebody makes it."""
    found = set(server.sql("SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace").split())
    if server.version >= 18:
        assert catalog_names() - found <= OLDER
    else:
        assert len(catalog_names() - found) < 100
        assert server.version == 17 or found & catalog_names() >= OLDER - {"pg_start_backup", "pg_stop_backup"}


@pytest.mark.parametrize(("schema", "name", "expected"), [
    ("", "lower", "read"), ("pg_catalog", "lower", "read"), ("public", "lower", None), ("", "no_such", None), ("", "pg_read_file", "file"),
    ("pg_catalog", "lo_export", "file"), ("", "query_to_xml", "dynamic"), ("", "dblink_exec", "network"), ("x", "dblink", "network"),
    ("", "nextval", "write"), ("", "lo_open", "large-object"), ("information_schema", "_pg_expandarray", "read"),
    ("information_schema", "lower", None), ("", "pg_terminate_backend", "server-config"), ("", "PG_READ_FILE", None), ("", "ts_stat", "dynamic"),
    ("", "currtid2", "function-unlisted"), ("", "textin", None), ("", "pg_advisory_lock", "session"), ("", "crosstab", "dynamic"),
])
def test_classes_of_functions(schema: str, name: str, expected: str | None) -> None:
    """By schema and exact name."""
    assert catalog_class(schema, name) == expected


def test_no_name_is_listed_twice() -> None:
    names = [n for group in (*READ.values(), *NAMED.values()) for n in group.split()]
    assert len(names) == len(set(names)) and NAMED.keys() <= CLASSES.keys()
