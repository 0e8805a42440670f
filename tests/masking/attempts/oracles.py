"""Questions whose answer would differ between two databases that differ in masked values only."""

# flake8: noqa: E501  (a statement reads best on one line)
from __future__ import annotations

from tests.masking.attempts.attempt import Attempt, oracle, within
from tests.masking.attempts.wire import FLUSH, SYNC, asked, bind, close, copied, describe, execute, parse, query

WRITES: tuple[Attempt, ...] = (
    oracle("a check compares what is written with a masked date", *within("UPDATE stays SET died = '1950-01-01' WHERE id = 1")),
    oracle("a check compares a written text with a masked one", *within("UPDATE stays SET note = '987-65-4321' WHERE id = 1")),
    oracle("a generated column overflows for some masked factors", *within("UPDATE stays SET units = 2147483647 / 1500 WHERE id = 1")),
    oracle("an exclusion constraint knows masked ranges", *within("UPDATE stays SET rooms = int4range(3, 4) WHERE id = 1")),
    oracle("a unique expression joins a masked letter to a written text", *within("UPDATE stays SET pos = 1, note = '87-' WHERE id = 1", "UPDATE stays SET pos = 1, note = substr('x987-', 3) WHERE id = 2")),
    oracle("a unique expression of one masked letter after another", *within("UPDATE stays SET pos = 9, note = 'q' WHERE id IN (1, 2, 3)")),
    oracle("deleting what a masked foreign key refers to", *within("DELETE FROM holder WHERE id <> 3", "DELETE FROM badge WHERE code = 'B4'")),
    oracle("a new key for what a masked foreign key refers to cascades", *within("DELETE FROM worn", "UPDATE badge SET code = '987-65-4321' WHERE code = 'B6'", "SELECT p.id FROM holder h JOIN patients p ON h.code = p.ssn")),
    oracle("a deletion cascades to rows that are then counted", *within("DELETE FROM badge WHERE code = 'B8'", "DELETE FROM holder", "DELETE FROM badge WHERE code = 'B6'", "SELECT id FROM worn ORDER BY id")),
    oracle("a clear column that refers to a masked one takes guesses", *within("INSERT INTO refers VALUES (1, '987-65-4321')")),
    oracle("guesses copied into a clear column that refers to a masked one", "BEGIN", query("COPY refers (id, ssn) FROM STDIN") + copied("1\t987-65-4321\n"), "ROLLBACK"),
    oracle("a trigger elsewhere puts the guess into a masked column that is compared", *within("INSERT INTO intake VALUES (1, '987-65-4321')", "SELECT p.id FROM intake_log l JOIN patients p ON l.said = p.ssn")),
    oracle("a rule elsewhere puts the guess into a masked column that is compared", *within("INSERT INTO kiosk VALUES (1, '987-65-4321')", "SELECT p.id FROM kiosk_log l JOIN patients p ON l.said = p.ssn")),
    oracle("a guess by trigger is counted", *within("INSERT INTO intake VALUES (1, '987-65-4321')", "SELECT count(DISTINCT s) FROM (SELECT said FROM intake_log UNION ALL SELECT ssn FROM patients) x(s)")),
    oracle("a natural join in what an INSERT reads", *within("INSERT INTO scratch(k) SELECT p.id::text FROM patients p NATURAL JOIN (SELECT '987-65-4321'::text AS ssn) g", "TABLE scratch")),
    oracle("USING in what an INSERT reads", *within("INSERT INTO scratch(k) SELECT p.id::text FROM patients p JOIN (VALUES ('987-65-4321')) g(ssn) USING (ssn)", "TABLE scratch")),
    oracle("a natural join in DELETE USING", *within("DELETE FROM scratch USING patients NATURAL JOIN (SELECT '987-65-4321'::text AS ssn) g WHERE scratch.k = 'k' || patients.id")),
    oracle("the order in which an INSERT reads", *within("INSERT INTO scratch(k) SELECT id::text FROM patients ORDER BY ssn", "TABLE scratch")),
    oracle("the order of a sub-select that an INSERT reads", *within("INSERT INTO scratch(k) SELECT id::text FROM (SELECT id FROM patients ORDER BY ssn LIMIT 2) t", "TABLE scratch")),
    oracle("WITH TIES in what an INSERT reads", *within("INSERT INTO scratch(k) SELECT id::text FROM patients ORDER BY left(ssn, 3) FETCH FIRST 1 ROW WITH TIES", "TABLE scratch")),
    oracle("a window in what an INSERT reads", *within("INSERT INTO scratch(k) SELECT id || '-' || rank() OVER w FROM patients WINDOW w AS (ORDER BY ssn)", "TABLE scratch")),
    oracle("a filter in what an INSERT reads", *within("INSERT INTO scratch(k) SELECT (count(*) FILTER (WHERE ssn LIKE '987%'))::text FROM patients", "TABLE scratch")),
    oracle("an INSERT reads EXCEPT a masked table", *within("INSERT INTO scratch(k) SELECT '987-65-4321' EXCEPT SELECT ssn FROM patients", "TABLE scratch")),
    oracle("an INSERT of a row's comparison", *within("INSERT INTO scratch(k) SELECT w.id::text FROM (SELECT secret, id FROM ward) w, (SELECT secret, id FROM ward) x WHERE w > x AND x.id = 2", "TABLE scratch")),
    oracle("a set of row, one part masked", *within("UPDATE departments d SET (note, floor) = (SELECT state, 1 FROM patients p WHERE p.id = d.id AND p.ssn > '5')", "SELECT note FROM departments ORDER BY id")),
    oracle("ON CONFLICT filters by the old row", *within("INSERT INTO ward AS w (id, code) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET note = 'hit' WHERE w.secret LIKE '987%'", "SELECT note FROM ward")),
    oracle("CURRENT OF a cursor that finds rows by masked values", *within("DECLARE c CURSOR FOR SELECT id FROM patients WHERE ssn > '5' FOR UPDATE", "FETCH c", "UPDATE patients SET state = 'XX' WHERE CURRENT OF c")),
    oracle("a write through a view with a check option", *within("UPDATE stays SET note = '0' WHERE id = 1", "UPDATE v_checked SET note = '7' WHERE id = 1")),
    oracle("a row written until a view shows it", *within("UPDATE stays SET units = 1500 WHERE id = 1", "SELECT id FROM v_since ORDER BY id")),
    oracle("a guess written where a view joins it", *within("INSERT INTO watch VALUES ('987-65-4321', NULL)", "SELECT * FROM v_watched")),
    oracle("a pattern written where a view matches it", *within("INSERT INTO watch VALUES (NULL, '987-65-4%')", "SELECT id FROM v_matched")),
    oracle("a pattern written where a view counts its matches", *within("INSERT INTO watch VALUES (NULL, '987-65-4%')", "SELECT n FROM v_counted", "SELECT count(*) FROM v_matched")),
    oracle("MERGE decides by a masked column", *within("MERGE INTO departments d USING patients p ON d.id = p.id WHEN MATCHED AND p.ssn > '5' THEN UPDATE SET note = 'hit'", "SELECT note FROM departments")),
    oracle("RETURNING of MERGE", *within("MERGE INTO ward w USING departments d ON w.id = d.id WHEN MATCHED THEN UPDATE SET note = 'x' RETURNING merge_action(), w.secret > '5'"), since=17),
    oracle("OLD of RETURNING compared", *within("UPDATE ward SET note = 'x' WHERE id = 1 RETURNING old.secret > '5', (old).secret"), since=18),
    oracle("a domain's check asks about values", "SELECT '987-65-4321'::unknown_ssn"),
    oracle("a domain's check asks about a parameter of its type", lambda oid: asked("SELECT $1", "987-65-4321", oids=(oid("unknown_ssn"),))),
    oracle("a domain's check asks about a parameter of its array", lambda oid: asked("SELECT $1", "{987-65-4321}", oids=(oid("unknown_ssn[]"),))),
    oracle("a domain's check in a column list of a function", "SELECT * FROM json_to_record('{\"a\": \"987-65-4321\"}') AS t(a unknown_ssn)"),
    oracle("a domain's check by name of a function", "SELECT unknown_ssn('987-65-4321')", "SELECT cast('987-65-4321' AS unknown_ssn)"),
    oracle("a domain's check in JSON_VALUE", "SELECT JSON_VALUE('{\"a\": \"987-65-4321\"}'::jsonb, '$.a' RETURNING unknown_ssn ERROR ON ERROR)", since=17),
    oracle("the partition of a masked key", "SELECT id FROM births_early ORDER BY id"),
    oracle("rows of a partition counted", "SELECT count(*) FROM births_early"),
)  # fmt: skip

VIEWS: tuple[Attempt, ...] = tuple(
    oracle(f"a view tells {what}", sql)
    for what, sql in {
        "a rank": "SELECT * FROM v_rank ORDER BY id",
        "a row's number": "SELECT * FROM v_number ORDER BY id",
        "its order": "SELECT * FROM v_ordered",
        "its order to row_number": "SELECT row_number() OVER (), id FROM v_ordered",
        "an aggregate's order": "SELECT ids FROM v_list",
        "a filtered count": "SELECT odd FROM v_filter",
        "how many are older": "SELECT id, older FROM v_older ORDER BY id",
        "a group's key": "SELECT known FROM v_group",
        "the first of each": "SELECT id FROM v_first ORDER BY id",
        "an AND of a test for NULL": "SELECT * FROM v_null ORDER BY id",
        "an ordered-set aggregate": "SELECT mid FROM v_disc",
        "a hypothetical-set aggregate": "SELECT below FROM v_hypo",
        "how often a row is repeated": "SELECT id, count(*) FROM v_series GROUP BY id ORDER BY id",
        "an equality in COALESCE": "SELECT * FROM v_coalesce ORDER BY id",
        "a comparison through a CTE": "SELECT * FROM v_with ORDER BY id",
        "its first rows with ties": "SELECT count(*), min(id), max(id) FROM v_limit",
        "a rank that is kept": "SELECT * FROM mv_rank ORDER BY id",
        "a CASE": "SELECT * FROM v_case ORDER BY id",
        "an EXISTS": "SELECT * FROM v_exists ORDER BY id",
        "a range's bound": "SELECT id, lower(r) < '5', r FROM v_range ORDER BY id",
    }.items()
)

SINCE = {"JSON_EXISTS": 17, "EXPLAIN of a generic plan": 16, "pg_input_is_valid": 16, "minimum of rows": 18, "EXPLAIN that serializes": 17}

READS: tuple[Attempt, ...] = tuple(
    oracle(name, *([sql] if isinstance(sql, str) else sql), since=SINCE.get(name, 15))
    for name, sql in {
        "a cursor's rows are moved over": ["BEGIN", "DECLARE c CURSOR FOR SELECT id FROM patients WHERE ssn > '5'", "MOVE ALL c", "ROLLBACK"],
        "rows that a sub-select's LIMIT lets through": "SELECT id FROM departments LIMIT (SELECT ascii(min(ssn)) - 56 FROM patients)",
        "OFFSET by a masked value": "SELECT id FROM departments ORDER BY id OFFSET (SELECT left(min(ssn), 1)::int - 6 FROM patients)",
        "WITH TIES by a masked key": "SELECT id FROM patients ORDER BY left(ssn, 3) FETCH FIRST 1 ROW WITH TIES",
        "DISTINCT ON a masked part": "SELECT DISTINCT ON (right(ssn, 1)) id FROM patients",
        "ROLLUP of masked parts": "SELECT count(*) FROM patients GROUP BY ROLLUP (right(ssn, 1), state) ORDER BY 1",
        "GROUPING SETS of parts": "SELECT count(*), grouping(right(ssn, 1)) FROM patients GROUP BY GROUPING SETS ((right(ssn, 1)), ()) ORDER BY 1, 2",
        "a frame by RANGE of a masked date": "SELECT id, count(*) OVER (ORDER BY dob RANGE BETWEEN '5 years' PRECEDING AND CURRENT ROW) FROM patients ORDER BY id",
        "an aggregate's own order": "SELECT string_agg(id::text, ',' ORDER BY ssn) FROM patients",
        "the row for the greatest": "SELECT (array_agg(id ORDER BY dob DESC))[1] FROM patients",
        "a hypothetical rank": "SELECT rank('5'::text) WITHIN GROUP (ORDER BY ssn) FROM patients",
        "a percentile of ids by masked order": "SELECT id FROM (SELECT id, ntile(2) OVER (ORDER BY dob) t FROM patients) x WHERE t = 1",
        "a recursion that ends by a masked value": "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT min(left(ssn, 1))::int FROM patients)) SELECT count(*) FROM r",
        "SEARCH and CYCLE by a masked column": "WITH RECURSIVE r(id, s) AS (SELECT id, ssn FROM patients UNION ALL SELECT id, s FROM r) SEARCH DEPTH FIRST BY s SET o CYCLE s SET c USING q SELECT id FROM r ORDER BY o",
        "JSON_EXISTS": ("SELECT id, JSON_EXISTS(jsonb_build_object('s', ssn), '$.s ? (@ starts with \"987\")') FROM patients ORDER BY id"),
        "a JSON path's filter": "SELECT id FROM patient_docs WHERE doc @? '$.ssn ? (@ like_regex \"^987\")'",
        "subscripted documents": "SELECT id FROM patient_docs WHERE doc['ssn'] > '\"5\"'",
        "one array in another": "SELECT id FROM patient_docs WHERE tags && ARRAY['vip']",
        "XMLEXISTS": "SELECT id, xmlexists('//patient' PASSING xdoc) FROM patient_docs ORDER BY id",
        "an operator with its schema": "SELECT id FROM patients WHERE ssn OPERATOR(pg_catalog.~) '^987'",
        "ORDER BY an operator": "SELECT id FROM patients ORDER BY ssn USING OPERATOR(pg_catalog.<)",
        "OVERLAPS": "SELECT id FROM patients WHERE (dob, dob) OVERLAPS (date '1900-01-01', date '1930-01-01')",
        "rows compared": "SELECT id FROM patients WHERE (ssn, id) > ('5', 0)",
        "BETWEEN SYMMETRIC": "SELECT id FROM patients WHERE '5' NOT BETWEEN SYMMETRIC ssn AND 'x'",
        "NULLIF of a guess": "SELECT id, NULLIF(ssn, '987-65-4321') IS NULL FROM patients ORDER BY id",
        "a join of nothing but masked inequality": "SELECT a.id FROM twins a LEFT JOIN twins b ON a.ssn < b.ssn AND b.id = 2 WHERE b.id IS NULL",
        "a lateral guess": "SELECT p.id FROM patients p, LATERAL (SELECT WHERE p.ssn LIKE '987%') g",
        "EXPLAIN of a generic plan": "EXPLAIN (GENERIC_PLAN) SELECT id FROM patients WHERE ssn < '9' AND id > $1",
        "EXPLAIN's estimate of groups": "EXPLAIN SELECT count(*) FROM patients GROUP BY ssn",
        "EXPLAIN's estimate of widths": "EXPLAIN SELECT ssn, full_name, address FROM patients",
        "EXPLAIN of what is compared": "EXPLAIN SELECT a.id FROM twins a JOIN twins b ON a.ssn = b.ssn",
        "EXPLAIN ANALYZE in parentheses": "EXPLAIN (VERBOSE off, ANALYZE on, TIMING off, SUMMARY off, COSTS off) SELECT id FROM patients WHERE ssn > '5'",
        "EXPLAIN ANALYZE as a number": "EXPLAIN (ANALYZE 1, TIMING off, SUMMARY off, COSTS off) SELECT id FROM patients WHERE ssn > '5'",
        "EXPLAIN that serializes": "EXPLAIN (ANALYZE, SERIALIZE TEXT, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT ssn FROM patients WHERE ssn > '5'",
        "sampled rows": "SELECT id FROM patients TABLESAMPLE system (100) REPEATABLE (1) WHERE ssn > '5'",
        "a statistic's expression": "SELECT expr, histogram_bounds FROM pg_stats_ext_exprs",
        "most common values by function": "SELECT m.* FROM pg_statistic_ext s JOIN pg_statistic_ext_data d ON s.oid = d.stxoid, pg_mcv_list_items(stxdmcv) m",
        "ndistinct by pg_stats": "SELECT attname, n_distinct, correlation, avg_width FROM pg_stats WHERE tablename = 'stays' ORDER BY 1",
        "a masked value's size": "SELECT id, pg_column_size(ssn), octet_length(ssn) FROM patients ORDER BY id",
        "a row's size": "SELECT id, pg_column_size(p.*) FROM patients p ORDER BY id",
        "an error that some rows make": "SELECT 1 / (left(ssn, 1)::int - 9) FROM patients",
        "an error at another row": "SELECT id, 1 / (CASE WHEN ssn LIKE '987-65-4323' THEN 0 ELSE 1 END) FROM patients ORDER BY id",
        "pg_input_is_valid": "SELECT id, pg_input_is_valid(left(ssn, 1) || '0000', 'smallint') FROM patients ORDER BY id",
        "locks that skip rows": "SELECT id FROM patients WHERE ssn > '5' FOR UPDATE SKIP LOCKED",
        "an IN of another table's rows": "SELECT d.id FROM departments d WHERE (d.id, '987-65-4321') IN (SELECT id, ssn FROM patients)",
        "a scalar sub-select compared": "SELECT (SELECT ssn FROM patients WHERE id = 1) = '987-65-4321'",
        "a set difference counted": "SELECT count(*) FROM (SELECT ssn FROM patients EXCEPT ALL SELECT '987-65-4321') x",
        "JOIN USING's merged column": "SELECT count(*) FROM patients FULL JOIN (SELECT '987-65-4321'::text AS ssn) g USING (ssn)",
        "a view's rows filtered by a masked column": "SELECT id FROM patient_directory WHERE contact LIKE 'zq%'",
        "a row type's comparison operators": "SELECT a.id FROM (SELECT secret, id FROM ward) a, (SELECT secret, id FROM ward) b WHERE a *< b AND b.id = 2 ORDER BY 1",
        "minimum of rows": "SELECT max(ROW(ssn, id))::text > '(5' FROM patients",
    }.items()
)  # fmt: skip

EQUALS: tuple[Attempt, ...] = tuple(
    oracle(name, sql, bare=bare)
    for name, sql, bare in (
        ("surrogates are ordered", "SELECT id, rank() OVER (PARTITION BY ssn ORDER BY ssn), dense_rank() OVER (ORDER BY ssn) FROM twins ORDER BY 1", True),
        ("surrogates are ordered in an aggregate", "SELECT string_agg(id::text, ',' ORDER BY ssn), count(DISTINCT ssn) FROM twins", True),
        ("surrogates are matched", "SELECT count(DISTINCT ssn) FILTER (WHERE ssn LIKE '987%') FROM twins", True),
        ("a surrogate's group has a guess beside it", "SELECT count(*) FROM twins GROUP BY ssn, ssn = '987-65-4321' ORDER BY 1", False),
        ("a group is filtered by its value", "SELECT count(*) FROM twins GROUP BY ssn HAVING ssn > '5'", True),
        ("a group is filtered by its greatest value", "SELECT count(*) FROM twins GROUP BY ssn HAVING max(ssn) > '5'", True),
        ("a guess comes in by an outer join", "SELECT a.id FROM twins a JOIN (SELECT coalesce(b.ssn, '987-65-4321') AS ssn FROM departments d LEFT JOIN twins b ON b.id = -d.id) g ON a.ssn = g.ssn", True),
        ("a guess comes in by a CASE", "SELECT a.id FROM twins a JOIN twins b ON a.ssn = CASE WHEN b.id = 1 THEN '987-65-4321' ELSE b.ssn END", True),
        ("a guess comes in by a recursion", "WITH RECURSIVE r(s) AS (SELECT '987-65-4321' UNION SELECT ssn FROM twins, r) SELECT a.id FROM twins a JOIN r ON a.ssn = r.s", False),
        ("a guess comes in by VALUES beside the table", "SELECT a.id FROM twins a JOIN (VALUES ('987-65-4321'), ((SELECT ssn FROM twins WHERE id = 2))) v(s) ON a.ssn = v.s ORDER BY 1", True),
        ("a guess comes in by a parameter", "PREPARE g(text) AS SELECT a.id FROM twins a JOIN (SELECT $1 AS s) v ON a.ssn = v.s; EXECUTE g('987-65-4321')", True),
        ("a guess comes in by a column with a default", "SELECT a.id FROM twins a JOIN twins b ON a.ssn = b.filled AND b.id = 1", False),
        ("USING compares with a clear column", "SELECT count(*) FROM twins JOIN (SELECT '987-65-4321'::text AS ssn, id FROM departments) d USING (ssn)", True),
        ("a natural join compares with a clear column", "SELECT count(*) FROM twins NATURAL JOIN (SELECT '987-65-4321'::text AS ssn) d", True),
        ("IS DISTINCT FROM a clear column", "SELECT t.id FROM twins t JOIN (SELECT '987-65-4321' AS k) d ON t.ssn IS NOT DISTINCT FROM d.k", True),
        ("an equality of parts", "SELECT count(DISTINCT a.id) FROM twins a JOIN patients p ON left(a.ssn, 4) = left(p.ssn, 4)", False),
        ("an equality of different types", "SELECT count(*) FROM twins a JOIN twins b ON a.born = b.born::date AND a.born > '1950-01-01'", True),
        ("GROUP BY a row with a masked column in it", "SELECT count(*), min(id) FROM twins GROUP BY (ssn, id > 3) ORDER BY min(ssn)", True),
        ("DISTINCT over a guess", "SELECT count(*) FROM (SELECT DISTINCT x FROM (SELECT ssn FROM twins UNION ALL SELECT '987-65-4321') t(x)) y", True),
        ("GROUP BY's set with a guess", "SELECT count(*) FROM (SELECT ssn FROM twins UNION ALL VALUES ('987-65-4321')) t(x) GROUP BY x ORDER BY 1", True),
        ("collations that compare more than bytes", "SELECT count(DISTINCT ssn COLLATE \"C\"), max(ssn COLLATE \"C\") > '5' FROM twins", True),
        ("a clear boolean beside it", "SELECT count(DISTINCT (CASE WHEN ssn > '5' THEN ssn END)) FROM twins", True),
        ("several levels up", "SELECT (SELECT count(*) FROM twins b WHERE b.ssn < a.ssn) FROM twins a ORDER BY a.id", True),
        ("an anti join by inequality", "SELECT id FROM twins a WHERE NOT EXISTS (SELECT FROM twins b WHERE b.ssn > a.ssn)", True),
        ("a frame's exclusion of peers", "SELECT id, count(*) OVER (ORDER BY ssn ROWS UNBOUNDED PRECEDING EXCLUDE TIES) FROM twins ORDER BY id", True),
        ("a partition's first row in the table's order", "SELECT id, first_value(id) OVER (PARTITION BY state ORDER BY ssn) FROM patients ORDER BY id", True),
    )
)  # fmt: skip

LOOK_UPS: tuple[Attempt, ...] = tuple(
    oracle(name, *([sql] if isinstance(sql, str | bytes) or callable(sql) else sql), bare=bare)
    for name, sql, bare in (
        ("a look-up with another operator's name", "SELECT id FROM patients WHERE mrn OPERATOR(pg_catalog.>) 'MRN-77'", True),
        ("a look-up with a collation", "SELECT id FROM patients WHERE mrn = 'MRN-7731904' COLLATE \"C\" AND mrn > 'MRN-7'", True),
        ("a look-up with a cast of the column", "SELECT id FROM patients WHERE mrn::varchar(5) = 'MRN-7'", True),
        ("a look-up with a cast that cuts", "SELECT id FROM patients WHERE mrn::char(5) = 'MRN-7'::char(5)", True),
        ("a look-up of an array's element", "SELECT id FROM patients WHERE mrn = ANY('{MRN-7731904,MRN-x}')", True),
        ("a look-up of an array parameter", lambda oid: asked("SELECT id FROM patients WHERE mrn = ANY($1)", "{MRN-7731904,MRN-x}"), True),
        ("a look-up with a pattern", "SELECT id FROM patients WHERE mrn = 'MRN-7731904' OR mrn LIKE 'MRN-7%'", True),
        ("a look-up of what a sub-select holds", "SELECT id FROM patients WHERE mrn = (SELECT 'MRN-7731904')", True),
        ("a look-up negated by its side", "SELECT id FROM patients WHERE (mrn = 'MRN-7731904') IS NOT TRUE", True),
        ("a look-up whose side is a row", "SELECT id FROM patients WHERE (mrn, id) = ('MRN-7731904', 1) AND (mrn, id) < ('MRN-8', 0)", True),
        ("a look-up of a domain's value", "SELECT id FROM charts WHERE mrn < 'MRN-8'", True),
        ("a look-up through a join that keeps the rest", "SELECT d.id, p.id FROM departments d LEFT JOIN patients p ON p.id = d.id AND p.mrn = 'MRN-7731904' ORDER BY 1", True),
        ("a look-up whose statement fails for another column", "SELECT id FROM patients WHERE mrn = 'MRN-7731904' AND 1 / (left(ssn, 1)::int - 9) = 0", True),
        ("a look-up in an aggregate's filter", "SELECT count(*) FILTER (WHERE mrn = 'MRN-7731904') FROM patients WHERE id > 0", True),
        ("a look-up in a write's FROM", ["BEGIN", "UPDATE departments SET note = 'hit' FROM patients p WHERE p.mrn = 'MRN-7731904' AND p.id = departments.id", "SELECT id, note FROM departments ORDER BY id", "ROLLBACK"], True),
        ("a look-up in a write's sub-select", ["BEGIN", "UPDATE departments SET note = 'hit' WHERE id IN (SELECT id FROM patients WHERE mrn = 'MRN-7731904')", "SELECT id, note FROM departments ORDER BY id", "ROLLBACK"], True),
    )
)  # fmt: skip

WIRE: tuple[Attempt, ...] = (
    oracle("a cursor of the protocol asked for by name", "BEGIN", parse("SELECT id FROM patients WHERE ssn > '5'", "s") + bind(name="s", portal="c") + SYNC, "FETCH ALL FROM c", "ROLLBACK"),
    oracle("a description of what never runs", parse("SELECT id FROM patients WHERE ssn > $1", "s") + describe("S", "s") + SYNC, bare=False),
    oracle("an error that depends on a bound value", parse("SELECT 1 FROM patients WHERE ssn = $1 AND 1 / (id - 1) = 0", "s") + bind("987-65-4321", name="s") + execute() + SYNC),
    oracle("a portal run in steps", "BEGIN", parse("SELECT id FROM patients ORDER BY ssn", "s") + bind(name="s", portal="p") + execute("p", 1) + FLUSH + execute("p", 1) + SYNC, "ROLLBACK"),
    oracle("a name prepared again with other text", parse("SELECT id FROM departments", "s") + SYNC, close("S", "s") + parse("SELECT id FROM patients WHERE ssn > '5'", "s") + bind(name="s") + execute() + SYNC),
)  # fmt: skip

ORACLES = WRITES + VIEWS + READS + EQUALS + LOOK_UPS + WIRE
