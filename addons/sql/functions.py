"""
What PostgreSQL's own functions and operators are to policy: an allow-list, as data.

Every name is one of pg_catalog's in PostgreSQL 15 or 18 (read from pg_proc and pg_operator of both
and sorted by hand; tests check the names against a live server). Support functions that nobody
calls by name (type input and output, operator and index support, transition functions) are left
out on purpose. Operators' names are in `OPERATORS`.

What is not here is a user's or an extension's: the operator of the gateway lists it, the catalog
shows its body, or it is refused.
"""

from __future__ import annotations

READ = {
    "addresses": """
        abbrev broadcast cidr family host hostmask inet_client_addr inet_client_port inet_merge inet_same_family
        inet_server_addr inet_server_port macaddr macaddr8 macaddr8_set7bit masklen netmask network set_masklen
    """,
    "aggregates and windows": """
        any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp cume_dist dense_rank
        every first_value json_agg json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique
        json_object_agg_unique_strict jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict
        jsonb_object_agg_unique jsonb_object_agg_unique_strict lag last_value lead max min mode nth_value ntile percent_rank
        percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count regr_intercept
        regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop stddev_samp string_agg sum var_pop
        var_samp variance xmlagg
    """,
    "arrays": """
        array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
        array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string
        array_upper arraycontained arraycontains arrayoverlap cardinality generate_series generate_subscripts num_nonnulls
        num_nulls regexp_split_to_array string_to_array trim_array unnest
    """,
    "catalog": """
        acldefault aclexplode col_description format_type has_any_column_privilege has_column_privilege
        has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
        has_largeobject_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege
        has_table_privilege has_tablespace_privilege has_type_privilege makeaclitem mxid_age obj_description oidvectortypes
        parse_ident pg_available_extension_versions pg_available_extensions pg_backend_pid pg_basetype pg_char_to_encoding
        pg_client_encoding pg_collation_actual_version pg_collation_for pg_collation_is_visible pg_column_compression
        pg_column_is_updatable pg_column_toast_chunk_id pg_conf_load_time pg_config pg_conversion_is_visible
        pg_current_snapshot pg_current_xact_id pg_current_xact_id_if_assigned pg_database_collation_actual_version
        pg_describe_object pg_encoding_max_length pg_encoding_to_char pg_export_snapshot pg_extension_update_paths
        pg_filenode_relation pg_function_is_visible pg_get_acl pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr
        pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result
        pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_multixact_members
        pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables
        pg_get_replica_identity_index pg_get_replication_slots pg_get_ruledef pg_get_sequence_data pg_get_serial_sequence
        pg_get_statisticsobjdef pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef
        pg_get_userbyid pg_get_viewdef pg_get_wal_replay_pause_state pg_has_role pg_identify_object
        pg_identify_object_as_address pg_index_column_has_property pg_index_has_property pg_indexam_has_property
        pg_indexam_progress_phasename pg_is_in_recovery pg_is_other_temp_schema pg_is_wal_replay_paused pg_jit_available
        pg_last_committed_xact pg_my_temp_schema pg_notification_queue_usage pg_numa_available pg_opclass_is_visible
        pg_operator_is_visible pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors pg_partition_root
        pg_partition_tree pg_postmaster_start_time pg_prepared_xact pg_relation_filenode pg_relation_filepath
        pg_relation_is_publishable pg_relation_is_updatable pg_sequence_last_value pg_sequence_parameters
        pg_settings_get_flags pg_show_all_settings pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin pg_table_is_visible
        pg_tablespace_databases pg_tablespace_location pg_timezone_abbrevs pg_timezone_abbrevs_abbrevs
        pg_timezone_abbrevs_zone pg_timezone_names pg_trigger_depth pg_ts_config_is_visible pg_ts_dict_is_visible
        pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_visible_in_snapshot pg_xact_commit_timestamp
        pg_xact_commit_timestamp_origin pg_xact_status regclass row_security_active shobj_description to_regclass
        to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype
        to_regtypemod txid_current txid_current_if_assigned txid_current_snapshot txid_snapshot_xip txid_snapshot_xmax
        txid_snapshot_xmin txid_status txid_visible_in_snapshot
    """,
    "geometry": """
        area bound_box box center circle diagonal diameter height isclosed ishorizontal isopen isparallel isperp isvertical
        line lseg npoints path pclose point polygon popen radius slope width
    """,
    "json": """
        array_to_json json_array_element json_array_element_text json_array_elements json_array_elements_text
        json_array_length json_build_array json_build_object json_each json_each_text json_extract_path
        json_extract_path_text json_object json_object_field json_object_field_text json_object_keys json_populate_record
        json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_to_tsvector json_typeof
        jsonb_array_element jsonb_array_element_text jsonb_array_elements jsonb_array_elements_text jsonb_array_length
        jsonb_build_array jsonb_build_object jsonb_concat jsonb_contained jsonb_contains jsonb_delete jsonb_delete_path
        jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text
        jsonb_insert jsonb_object jsonb_object_field jsonb_object_field_text jsonb_object_keys jsonb_path_exists
        jsonb_path_exists_opr jsonb_path_exists_tz jsonb_path_match jsonb_path_match_opr jsonb_path_match_tz
        jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz
        jsonb_path_query_tz jsonb_populate_record jsonb_populate_record_valid jsonb_populate_recordset jsonb_pretty
        jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_to_tsvector jsonb_typeof
        row_to_json to_json to_jsonb
    """,
    "ranges": """
        datemultirange daterange enum_range int4multirange int4range int8multirange int8range isempty lower_inc lower_inf
        multirange nummultirange numrange range_merge tsmultirange tsrange tstzmultirange tstzrange upper_inc upper_inf
    """,
    "session facts": """
        current_database current_query current_schema current_schemas current_setting current_user currval
        getdatabaseencoding getpgusername icu_unicode_version lastval session_user system_user unicode_version version
    """,
    "statistics": """
        pg_blocking_pids pg_column_size pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system
        pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn pg_database_size pg_get_wait_events
        pg_indexes_size pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_lock_status
        pg_relation_size pg_safe_snapshot_blocking_pids pg_size_bytes pg_size_pretty pg_split_walfile_name
        pg_stat_clear_snapshot pg_stat_force_next_flush pg_stat_get_analyze_count pg_stat_get_archiver
        pg_stat_get_autoanalyze_count pg_stat_get_autovacuum_count pg_stat_get_backend_activity_start
        pg_stat_get_backend_client_addr pg_stat_get_backend_client_port pg_stat_get_backend_dbid pg_stat_get_backend_idset
        pg_stat_get_backend_io pg_stat_get_backend_pid pg_stat_get_backend_start pg_stat_get_backend_subxact
        pg_stat_get_backend_userid pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type
        pg_stat_get_backend_wal pg_stat_get_backend_xact_start pg_stat_get_bgwriter_buf_written_checkpoints
        pg_stat_get_bgwriter_buf_written_clean pg_stat_get_bgwriter_maxwritten_clean
        pg_stat_get_bgwriter_requested_checkpoints pg_stat_get_bgwriter_stat_reset_time
        pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_buf_alloc
        pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend pg_stat_get_checkpoint_sync_time
        pg_stat_get_checkpoint_write_time pg_stat_get_checkpointer_buffers_written pg_stat_get_checkpointer_num_performed
        pg_stat_get_checkpointer_num_requested pg_stat_get_checkpointer_num_timed
        pg_stat_get_checkpointer_restartpoints_performed pg_stat_get_checkpointer_restartpoints_requested
        pg_stat_get_checkpointer_restartpoints_timed pg_stat_get_checkpointer_slru_written
        pg_stat_get_checkpointer_stat_reset_time pg_stat_get_checkpointer_sync_time pg_stat_get_checkpointer_write_time
        pg_stat_get_db_active_time pg_stat_get_db_blk_read_time pg_stat_get_db_blk_write_time pg_stat_get_db_blocks_fetched
        pg_stat_get_db_blocks_hit pg_stat_get_db_checksum_failures pg_stat_get_db_checksum_last_failure
        pg_stat_get_db_conflict_all pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_lock
        pg_stat_get_db_conflict_logicalslot pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_startup_deadlock
        pg_stat_get_db_conflict_tablespace pg_stat_get_db_deadlocks pg_stat_get_db_idle_in_transaction_time
        pg_stat_get_db_numbackends pg_stat_get_db_parallel_workers_launched pg_stat_get_db_parallel_workers_to_launch
        pg_stat_get_db_session_time pg_stat_get_db_sessions pg_stat_get_db_sessions_abandoned pg_stat_get_db_sessions_fatal
        pg_stat_get_db_sessions_killed pg_stat_get_db_stat_reset_time pg_stat_get_db_temp_bytes pg_stat_get_db_temp_files
        pg_stat_get_db_tuples_deleted pg_stat_get_db_tuples_fetched pg_stat_get_db_tuples_inserted
        pg_stat_get_db_tuples_returned pg_stat_get_db_tuples_updated pg_stat_get_db_xact_commit pg_stat_get_db_xact_rollback
        pg_stat_get_dead_tuples pg_stat_get_function_calls pg_stat_get_function_self_time pg_stat_get_function_total_time
        pg_stat_get_ins_since_vacuum pg_stat_get_io pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time
        pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time pg_stat_get_lastscan pg_stat_get_live_tuples
        pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_progress_info pg_stat_get_recovery_prefetch
        pg_stat_get_replication_slot pg_stat_get_slru pg_stat_get_snapshot_timestamp pg_stat_get_subscription
        pg_stat_get_subscription_stats pg_stat_get_total_analyze_time pg_stat_get_total_autoanalyze_time
        pg_stat_get_total_autovacuum_time pg_stat_get_total_vacuum_time pg_stat_get_tuples_deleted
        pg_stat_get_tuples_fetched pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted
        pg_stat_get_tuples_newpage_updated pg_stat_get_tuples_returned pg_stat_get_tuples_updated pg_stat_get_vacuum_count
        pg_stat_get_wal pg_stat_get_wal_receiver pg_stat_get_wal_senders pg_stat_get_xact_blocks_fetched
        pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
        pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
        pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
        pg_stat_get_xact_tuples_newpage_updated pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated
        pg_stat_have_stats pg_statistics_obj_is_visible pg_table_size pg_tablespace_size pg_total_relation_size
        pg_wal_lsn_diff pg_walfile_name pg_walfile_name_offset
    """,
    "text search": """
        array_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector ts_debug
        ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank ts_rank_cd ts_token_type tsquery_and tsquery_not
        tsquery_or tsquery_phrase tsvector_concat tsvector_to_array websearch_to_tsquery
    """,
    "text, numbers, bytes, enums and casts": """
        abs acos acosd acosh ascii asin asind asinh atan atan2 atan2d atand atanh bernoulli bit bit_count bit_length bool
        bpchar btrim bytea casefold cash_words cbrt ceil ceiling char char_length character_length chr concat concat_ws
        convert convert_from convert_to cos cosd cosh cot cotd crc32 crc32c decode degrees div encode enum_first enum_last
        erf erfc exp factorial float4 float8 floor format gamma gcd gen_random_uuid get_bit get_byte get_current_ts_config
        hashtext hashtextextended initcap int2 int4 int8 is_normalized lcm left length lgamma like like_escape ln log log10
        lower lpad ltrim md5 min_scale mod money name normalize notlike numeric numeric_div_trunc numeric_exp numeric_ln
        numeric_log numeric_sqrt octet_length oid overlay pg_input_error_info pg_input_is_valid pg_lsn pg_typeof pi position
        pow power quote_ident quote_literal quote_nullable radians random random_normal regexp_count regexp_instr
        regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_table regexp_substr repeat replace reverse
        right round rpad rtrim satisfies_hash_partition scale set_bit set_byte sha224 sha256 sha384 sha512 sign
        similar_escape similar_to_escape sin sind sinh split_part sqrt starts_with string_to_table strpos substr substring
        system tan tand tanh text textcat to_ascii to_bin to_char to_hex to_number to_oct translate trim_scale trunc
        unicode_assigned unistr upper uuid_extract_version uuidv4 uuidv7 varbit varchar width_bucket xid
    """,
    "time": """
        age clock_timestamp date date_add date_bin date_part date_subtract date_trunc extract interval isfinite justify_days
        justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now overlaps
        pg_sleep pg_sleep_for pg_sleep_until statement_timestamp time timeofday timestamp timestamptz timetz timezone
        to_date to_timestamp transaction_timestamp uuid_extract_timestamp
    """,
    "xml": """
        xml xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document xmlcomment xmlconcat2 xmlexists
        xmltext xmlvalidate xpath xpath_exists
    """,
}

NAMED = {
    "dynamic": """
        cursor_to_xml cursor_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema query_to_xml
        query_to_xml_and_xmlschema query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema
        table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat
    """,
    "file": """
        lo_export lo_import pg_current_logfile pg_hba_file_rules pg_ident_file_mappings pg_ls_archive_statusdir pg_ls_dir
        pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_summariesdir pg_ls_tmpdir pg_ls_waldir
        pg_read_binary_file pg_read_file pg_read_file_old pg_show_all_file_settings pg_stat_file
    """,
    "function-unlisted": """
        amvalidate currtid2 dexp dlog1 dlog10 dround dtrunc enum_send fmgr_c_validator fmgr_internal_validator
        fmgr_sql_validator int4inc int8_sum nameconcatoid numeric_inc pg_cursor pg_event_trigger_ddl_commands
        pg_event_trigger_dropped_objects pg_event_trigger_table_rewrite_oid pg_event_trigger_table_rewrite_reason
        pg_get_aios pg_get_backend_memory_contexts pg_get_loaded_modules pg_get_shmem_allocations
        pg_get_shmem_allocations_numa pg_get_wal_resource_managers pg_isolation_test_session_is_blocked pg_mcv_list_items
        pg_prepared_statement pg_stat_get_activity pg_stat_get_backend_activity plpgsql_call_handler plpgsql_inline_handler
        plpgsql_validator postgresql_fdw_validator textlen
    """,
    "large-object": """
        lo_close lo_creat lo_create lo_from_bytea lo_get lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64 lo_truncate
        lo_truncate64 lo_unlink loread lowrite
    """,
    "maintenance": """
        brin_desummarize_range brin_summarize_new_values brin_summarize_range gin_clean_pending_list
        pg_clear_attribute_stats pg_clear_relation_stats pg_import_system_collations pg_restore_attribute_stats
        pg_restore_relation_stats pg_stat_reset pg_stat_reset_backend_stats pg_stat_reset_replication_slot
        pg_stat_reset_shared pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
        pg_stat_reset_subscription_stats
    """,
    "replication": """
        pg_available_wal_summaries pg_copy_logical_replication_slot pg_copy_physical_replication_slot
        pg_create_logical_replication_slot pg_create_physical_replication_slot pg_drop_replication_slot
        pg_get_wal_summarizer_state pg_logical_emit_message pg_logical_slot_get_binary_changes pg_logical_slot_get_changes
        pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes pg_replication_origin_advance
        pg_replication_origin_create pg_replication_origin_drop pg_replication_origin_oid pg_replication_origin_progress
        pg_replication_origin_session_is_setup pg_replication_origin_session_progress pg_replication_origin_session_reset
        pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup
        pg_replication_slot_advance pg_show_replication_origin_status pg_sync_replication_slots pg_wal_summary_contents
    """,
    "server-config": """
        binary_upgrade_add_sub_rel_state binary_upgrade_create_empty_extension binary_upgrade_logical_slot_has_caught_up
        binary_upgrade_replorigin_advance binary_upgrade_set_missing_value binary_upgrade_set_next_array_pg_type_oid
        binary_upgrade_set_next_heap_pg_class_oid
        binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
        binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
        binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
        binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid binary_upgrade_set_next_pg_type_oid
        binary_upgrade_set_next_toast_pg_class_oid binary_upgrade_set_next_toast_relfilenode
        binary_upgrade_set_record_init_privs pg_backup_start pg_backup_stop pg_cancel_backend pg_create_restore_point
        pg_extension_config_dump pg_log_backend_memory_contexts pg_log_standby_snapshot pg_nextoid pg_promote pg_reload_conf
        pg_rotate_logfile pg_rotate_logfile_old pg_start_backup pg_stop_backup pg_stop_making_pinned_objects pg_switch_wal
        pg_terminate_backend pg_wal_replay_pause pg_wal_replay_resume set_config
    """,
    "session": """
        pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
        pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_listening_channels pg_notify pg_try_advisory_lock
        pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared setseed
    """,
    "write": """
        nextval setval
    """,
}

INFORMATION_SCHEMA = """
    _pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position
    _pg_interval_type _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid _pg_truetypmod
"""

OPERATORS = frozenset("""
    !! !~ !~* !~~ !~~* # ## #- #> #>> % & && &< &<| &> * *< *<= *<> *= *> *>= + - -> ->> -|- / < <-> << <<= <<| <= <> <@
    <^ = > >= >> >>= >^ ? ?# ?& ?- ?-| ?| ?|| @ @-@ @> @? @@ @@@ ^ ^@ | |&> |/ |>> || ||/ ~ ~* ~<=~ ~<~ ~= ~>=~ ~>~ ~~
    ~~* !=
""".split())

EXTENSIONS = (
    ("dblink", "network"),
    ("postgres_fdw_", "network"),
    ("http", "network"),
    ("crosstab", "dynamic"),
    ("connectby", "dynamic"),
    ("xpath_table", "dynamic"),
    ("xslt_process", "file"),
    ("pg_file_", "file"),
    ("pg_logdir_ls", "file"),
    ("get_raw_page", "file"),
    ("heap_page_item", "file"),
    ("pg_get_wal_", "replication"),
    ("pg_prewarm", "maintenance"),
    ("pg_stat_statements_reset", "maintenance"),
    ("plpgsql_", "procedural"),
)
"""Beginnings of well-known extension functions, wherever they are installed: the right name for the refusal."""

_CATALOG = {name: "read" for names in READ.values() for name in names.split()}
_CATALOG.update((name, kind) for kind, names in NAMED.items() for name in names.split())
RUNS_TEXT = frozenset({*NAMED["dynamic"].split(), "crosstab", "connectby", "xpath_table"})
"""They run SQL that they are given as a value."""

_INFORMATION_SCHEMA = {name: "read" for name in INFORMATION_SCHEMA.split()}

SETTERS = frozenset({("", "set_config"), ("pg_catalog", "set_config")})
"""Judged as the SET that it is, not as a function."""


def catalog_class(schema: str, name: str) -> str | None:
    """The class of one of the server's own functions, or of a well-known extension's; None for any other."""
    if schema in ("", "pg_catalog"):
        found = _CATALOG.get(name)
        if found is not None:
            return found
    elif schema == "information_schema":
        return _INFORMATION_SCHEMA.get(name)
    return next((kind for start, kind in EXTENSIONS if name.startswith(start)), None)


def catalog_names() -> frozenset[str]:
    """Every name listed for pg_catalog, for the test that asks a server about them."""
    return frozenset(_CATALOG)
