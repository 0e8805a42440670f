"""A catalog written by hand, for tests that need no server."""

from __future__ import annotations

from addons.sql.catalog import Row, Snapshot, build

TYPES = {"int4": 23, "text": 25, "date": 1082, "timestamptz": 1184, "varchar": 1043, "jsonb": 3802, "numeric": 1700}
NAMES = {"int4": "integer", "timestamptz": "timestamp with time zone", "varchar": "character varying(3)"}
CATEGORIES = {"int4": "N", "text": "S", "date": "D", "timestamptz": "D", "varchar": "S", "jsonb": "U", "numeric": "N"}

TABLES = {
    "public.patients": "id int4, ssn text, mrn text, dob date, state text, doc jsonb",
    "public.archive": "id int4, ssn text, mrn text, dob date, state text, doc jsonb, gone date",
    "public.departments": "id int4, code text, name text",
    "public.visits": "id int4, note text, at timestamptz",
    "public.twin": "id int4, secret text",
    "other.twin": "id int4, secret text",
    "pg_catalog.pg_class": "oid int4, relname text",
    "pg_catalog.pg_stats": "tablename text, histogram_bounds text",
    "pg_catalog.pg_stat_activity": "pid int4, query text",
    "pg_catalog.pg_settings": "name text, setting text",
}

VIEWS = {
    "public.directory": (
        "id int4, chart text, place text",
        "SELECT id, upper(mrn) AS chart, state AS place FROM public.patients",
    ),
    "public.same": ("id int4, ssn text", "SELECT id, ssn FROM public.patients"),
    "public.opaque": ("id int4, x text", "SELECT id, public.secret_of(id) AS x FROM public.departments"),
    "public.clean": ("id int4, n int4", "SELECT id, 1 AS n FROM public.patients WHERE ssn LIKE '9%'"),
}

FUNCTIONS = {
    "public.secret_of": ("text", "23"),
    "public.listed": ("text", "23"),
    "public.of_row": ("text", "20101"),
    "pg_catalog.lower": ("text", "25"),
    "pg_catalog.obj_description": ("text", "23"),
    "pg_catalog.to_regclass": ("text", "25"),
    "pg_catalog.pg_try_advisory_lock": ("text", "23"),
}


def snapshot(*, without: tuple[str, ...] = ()) -> Snapshot:
    relations: list[Row] = []
    columns: list[Row] = []
    types: list[Row] = [(str(oid), "pg_catalog", n, "b", CATEGORIES[n], "0", "0", "0") for n, oid in TYPES.items()]
    views: list[Row] = []
    everything = {name: (spec, "") for name, spec in TABLES.items()} | VIEWS
    for index, (label, (spec, definition)) in enumerate(everything.items()):
        schema, _, name = label.partition(".")
        if label in without:
            continue
        oid = 20000 + index
        relations.append((str(oid), schema, name, "v" if definition else "r", str(oid + 100)))
        types.append((str(oid + 100), schema, name, "c", "C", str(oid), "0", "0"))
        types.append((str(oid + 200), schema, f"_{name}", "b", "A", "0", str(oid + 100), "0"))
        for number, column in enumerate(spec.split(", "), 1):
            column_name, kind = column.split()
            columns.append((str(oid), str(number), column_name, str(TYPES[kind]), NAMES.get(kind, kind), "f", None, "f", "f"))
        if definition:
            views.append((str(oid), definition))
    functions = [
        (
            str(30000 + i),
            label.split(".")[0],
            label.split(".")[1],
            "f",
            "s",
            "sql",
            "f",
            "f",
            str(TYPES[returns]),
            arguments,
            "1",
            "f",
            "SELECT 1",
        )
        for i, (label, (returns, arguments)) in enumerate(FUNCTIONS.items())
    ]
    return build(
        {
            "schemas": [("public",), ("other",), ("pg_catalog",)],
            "relations": relations,
            "columns": columns,
            "rules": [],
            "inherits": [("20001", "20000")],
            "views": views,
            "functions": functions,
            "types": types,
            "operators": [("<~>", "30000")],
            "casts": [],
            "constraints": [("patients_ssn_key",)],
        }
    )
