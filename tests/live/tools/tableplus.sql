-- What TablePlus, Postico and Beekeeper Studio are known to send when they connect and list tables: written after their
-- public issue reports and Beekeeper's public source (MIT for the community edition).
SET application_name = 'TablePlus';
SET client_encoding = 'UTF8';
SELECT version();
SHOW server_version_num;
SHOW ssl;
SELECT pg_backend_pid() > 0;
SELECT current_database(), current_user, current_schema;
SELECT datname FROM pg_database WHERE datistemplate = false ORDER BY datname;
SELECT schema_name FROM information_schema.schemata ORDER BY schema_name;
SELECT nspname AS schema FROM pg_namespace WHERE nspname NOT LIKE 'pg_toast%' AND nspname NOT LIKE 'pg_temp%' ORDER BY nspname;
SELECT table_name, table_type, table_schema FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name;
SELECT c.ordinal_position, c.column_name, c.data_type, c.udt_name, c.character_maximum_length, c.is_nullable, c.column_default, pg_catalog.col_description(('public' || '.' || c.table_name)::regclass::oid, c.ordinal_position) AS comment FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name = 'patients' ORDER BY c.ordinal_position;
SELECT a.attname AS column_name, format_type(a.atttypid, a.atttypmod) AS data_type, CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable, pg_get_expr(d.adbin, d.adrelid) AS column_default FROM pg_attribute a LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attrelid = '"public"."wards"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;
SELECT ix.relname AS index_name, upper(am.amname) AS index_algorithm, indisunique AS is_unique, pg_get_indexdef(indexrelid) AS index_definition, CASE WHEN position(' WHERE ' in pg_get_indexdef(indexrelid)) > 0 THEN regexp_replace(pg_get_indexdef(indexrelid), '.+WHERE ', '') ELSE '' END AS condition FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_class ix ON ix.oid = i.indexrelid JOIN pg_namespace n ON t.relnamespace = n.oid JOIN pg_am AS am ON ix.relam = am.oid WHERE t.relname = 'wards' AND n.nspname = 'public' ORDER BY 1;
SELECT tc.constraint_name, kcu.column_name, ccu.table_name AS foreign_table_name, ccu.column_name AS foreign_column_name, rc.update_rule, rc.delete_rule FROM information_schema.table_constraints AS tc JOIN information_schema.key_column_usage AS kcu ON tc.constraint_name = kcu.constraint_name JOIN information_schema.referential_constraints AS rc ON tc.constraint_name = rc.constraint_name JOIN information_schema.constraint_column_usage AS ccu ON ccu.constraint_name = tc.constraint_name WHERE tc.constraint_type = 'FOREIGN KEY' AND tc.table_schema = 'public' ORDER BY 1;
SELECT reltuples::bigint >= -1 AS estimate FROM pg_class WHERE oid = '"public"."wards"'::regclass;
SELECT pg_size_pretty(pg_total_relation_size('public.wards')) <> '' AS size;
SELECT trigger_name, event_manipulation, action_timing, action_statement FROM information_schema.triggers WHERE event_object_table = 'wards' ORDER BY 1;
SELECT n.nspname AS schema, t.typname AS type, e.enumlabel FROM pg_type t JOIN pg_enum e ON t.oid = e.enumtypid JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace ORDER BY 1, 2, e.enumsortorder;
SELECT p.proname, pg_get_function_result(p.oid), pg_get_function_arguments(p.oid), l.lanname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang WHERE n.nspname = 'public' ORDER BY 1;
SELECT oid, typname, typelem, typdelim, typinput::text FROM pg_type WHERE typtype = 'b' ORDER BY oid LIMIT 50;
SELECT * FROM public.wards ORDER BY 1 LIMIT 300 OFFSET 0;
SELECT matviewname FROM pg_matviews WHERE schemaname = 'public';
SELECT viewname, definition FROM pg_views WHERE schemaname = 'public' ORDER BY 1;
SELECT relname, n_live_tup >= 0 FROM pg_stat_user_tables WHERE schemaname = 'public' ORDER BY 1;
