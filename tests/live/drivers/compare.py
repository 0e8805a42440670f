"""psycopg2, pg8000 and psqlODBC by pyodbc: what a session looks like. python3 compare.py DRIVER clear|masked, the login in libpq's variables."""

from __future__ import annotations

import os
import sys
from typing import Any

ODBC = {
    "odbc": "", "odbc-fetch": "UseDeclareFetch=1;Fetch=2;ByteaAsLongVarBinary=1;",
    "odbc-simple": "UseServerSidePrepare=0;UseDeclareFetch=1;Fetch=3;Protocol=7.4-1;",
}  # fmt: skip


def connected(driver: str) -> Any:
    """A connection that commits by itself."""
    if driver == "psycopg2":
        import psycopg2

        made = psycopg2.connect("")
        made.autocommit = True
        return made
    if driver == "pg8000":
        import ssl

        import pg8000.dbapi

        tls = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"]) if os.environ["PGSSLMODE"] == "verify-full" else False
        facts = {name.lower()[2:]: os.environ[name] for name in ("PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE")}
        made = pg8000.dbapi.connect(port=int(os.environ["PGPORT"]), ssl_context=tls, **facts)
        made.autocommit = True
        return made
    import pyodbc

    names = {"Server": "PGHOST", "Port": "PGPORT", "UID": "PGUSER", "PWD": "PGPASSWORD", "Database": "PGDATABASE", "SSLmode": "PGSSLMODE"}
    facts = ";".join(f"{name}={os.environ[variable]}" for name, variable in names.items())
    root = f"pqopt={{sslrootcert={os.environ['PGSSLROOTCERT']}}};" if os.environ.get("PGSSLROOTCERT") else ""
    return pyodbc.connect(f"Driver=/usr/lib/x86_64-linux-gnu/odbc/psqlodbcw.so;{facts};{root}{ODBC[driver]}", autocommit=True)


class Said:
    """Asks and prints."""

    def __init__(self, driver: str) -> None:
        self.driver, self.db = driver, connected(driver)
        self.mark = "?" if driver.startswith("odbc") else "%s"

    def ask(self, text: str, *values: object) -> None:
        print(text)
        cursor = self.db.cursor()
        try:
            cursor.execute(text.replace("%s", self.mark), *([values] if values else []))
            self.told(cursor)
        except Exception as error:
            print(" ", type(error).__name__, self.error(error))
        finally:
            cursor.close()

    def told(self, cursor: Any) -> None:
        if cursor.description is None:
            print(" ", cursor.rowcount)
            return
        print(" ", [(column[0], str(column[1]), *column[2:]) for column in cursor.description])
        for row in cursor.fetchall():
            print(" ", [bytes(cell) if isinstance(cell, memoryview) else cell for cell in row])

    def error(self, error: Exception) -> object:
        if self.driver != "psycopg2":
            return error.args
        said = error.diag
        names = "severity sqlstate message_primary message_detail message_hint statement_position context table_name column_name constraint_name"
        return [getattr(said, name) for name in names.split()] + [self.db.info.transaction_status]

    def common(self) -> None:
        for _ in range(2):
            self.ask("SELECT id, name, ssn, dob FROM patients WHERE id < %s ORDER BY id", 4)
        self.ask("SELECT p.*, e.notes FROM patients p JOIN encounters e ON e.patient = p.id WHERE e.id = %s", 7)
        self.ask("SELECT ssn FROM patients WHERE name = %s", "patient 9")
        self.ask("SELECT * FROM patients ORDER BY id LIMIT 5")
        self.ask("SELECT * FROM nowhere")
        self.ask("SELECT count(*), max(id) FROM encounters")

    def catalog(self) -> None:
        """What ODBC's catalog functions find."""
        cursor = self.db.cursor()
        for rows in (
            lambda: cursor.tables(schema="public"), lambda: cursor.columns(table="patients"), lambda: cursor.columns(table="wards", schema="public"),
            lambda: cursor.primaryKeys("encounters"), lambda: cursor.foreignKeys(table="patients"), lambda: cursor.foreignKeys(foreignTable="encounters"),
            lambda: cursor.statistics("wards"), lambda: cursor.rowIdColumns("wards"), lambda: cursor.rowVerColumns("wards"),
            lambda: cursor.procedures(schema="public"), lambda: cursor.procedureColumns("twice"), lambda: cursor.getTypeInfo(),
        ):
            try:
                for row in rows().fetchall():
                    print(" ", list(row))
            except Exception as error:
                print(" ", error.args)

    def whole(self) -> None:
        self.ask("SELECT * FROM shapes ORDER BY i")
        self.ask("INSERT INTO wards VALUES (%s, %s, %s)", 1, "again", 2)
        self.ask("INSERT INTO wards VALUES (%s, %s, %s)", 9, "nine", -1)
        self.ask("SELECT say(%s)", "this")
        if self.driver != "pg8000":
            self.ask("SELECT 1; SELECT 2")
        cursor = self.db.cursor()
        cursor.execute("CREATE TEMP TABLE filled (a int, b text, c bytea)")
        cursor.executemany(f"INSERT INTO filled VALUES ({self.mark}, {self.mark}, {self.mark})", [(n, f"line {n}", bytes([n])) for n in range(40)])
        self.ask("SELECT count(*), sum(a), max(length(c)) FROM filled")
        self.db.autocommit = False
        self.ask("INSERT INTO wards VALUES (%s, %s, %s) RETURNING id", 8, "eight", 8)
        self.ask("SELECT 1/0")
        self.ask("SELECT 1")
        self.db.rollback()
        self.ask("SELECT count(*) FROM wards")
        self.db.rollback()
        self.db.autocommit = True
        if self.driver == "psycopg2":
            print(self.db.notices)


driver, mode = sys.argv[1:]
said = Said(driver)
said.common()
if driver.startswith("odbc"):
    said.catalog()
if mode == "clear":
    said.whole()
print("end")
