"""
SQLSTATE to a sentence of ours, for errors whose own text might quote a value.

Source: PostgreSQL 18 manual, Appendix A, "PostgreSQL Error Codes".
"""

from __future__ import annotations

_CODES = {
    "01000": "warning", "0A000": "feature not supported",
    "21000": "a sub-select returned more rows than it may (cardinality violation)",
    "22000": "data exception", "22001": "value too long for its type", "22003": "value out of range",
    "22004": "null value not allowed", "22007": "invalid date or time format", "22008": "date or time field out of range",
    "22009": "time zone displacement out of range", "2200L": "not an XML document", "2200M": "invalid XML document",
    "2200N": "invalid XML content", "22011": "substring error", "22012": "division by zero",
    "22018": "invalid character value for cast", "22019": "invalid escape character", "2201B": "invalid regular expression",
    "2201W": "LIMIT must not be negative", "2201X": "OFFSET must not be negative", "22021": "character not in repertoire",
    "22023": "invalid parameter value", "22025": "invalid escape sequence", "22026": "string length mismatch",
    "2202E": "array subscript error", "22030": "duplicate JSON object key", "22032": "invalid JSON text",
    "22033": "invalid JSON subscript", "22P01": "floating point exception", "22P02": "invalid input syntax for a type",
    "22P03": "invalid binary representation", "22P05": "untranslatable character",
    "23000": "integrity constraint violation", "23001": "restrict violation", "23502": "null value violates not-null constraint",
    "23503": "foreign key violation", "23505": "duplicate key value violates a unique constraint",
    "23514": "check constraint violation", "23P01": "exclusion constraint violation",
    "24000": "invalid cursor state", "25001": "cannot run inside a transaction block",
    "25006": "cannot execute in a read-only transaction", "25P01": "there is no transaction in progress",
    "25P02": "current transaction is aborted, commands ignored until end of transaction block",
    "25P03": "idle-in-transaction timeout", "26000": "prepared statement does not exist",
    "28000": "invalid authorization", "2BP01": "other objects depend on it", "2D000": "invalid transaction termination",
    "34000": "cursor does not exist", "3B001": "savepoint does not exist", "3D000": "database does not exist",
    "3F000": "schema does not exist", "40001": "could not serialize access due to concurrent update",
    "40P01": "deadlock detected", "42501": "permission denied", "42601": "syntax error", "42602": "invalid name",
    "42611": "invalid column definition", "42622": "name too long", "42701": "column specified more than once",
    "42702": "column reference is ambiguous", "42703": "column does not exist", "42704": "object does not exist",
    "42710": "object already exists", "42712": "table name specified more than once", "42723": "function already exists",
    "42725": "function or operator is not unique", "42803": "grouping error: a column must appear in GROUP BY or in an aggregate",
    "42804": "datatype mismatch", "42809": "wrong object type", "42830": "invalid foreign key", "42846": "cannot cast",
    "42883": "function or operator does not exist", "42P01": "relation does not exist", "42P02": "parameter does not exist",
    "42P03": "cursor already exists", "42P04": "database already exists", "42P05": "prepared statement already exists",
    "42P06": "schema already exists", "42P07": "relation already exists", "42P08": "ambiguous parameter",
    "42P10": "invalid column reference", "42P18": "could not determine the data type of a parameter",
    "42P20": "windowing error", "42P22": "indeterminate collation", "53100": "disk full", "53200": "out of memory",
    "53300": "too many connections", "54000": "program limit exceeded", "54001": "statement too complex",
    "54023": "too many arguments", "55000": "object not in prerequisite state", "55006": "object in use",
    "55P03": "lock not available", "57014": "canceling statement due to user request or timeout",
    "57P01": "terminating connection due to administrator command", "57P03": "cannot connect now",
    "P0001": "an exception was raised (its text is withheld)", "P0002": "no data found", "P0003": "too many rows",
    "XX000": "internal error of the server",
}

_CLASSES = {
    "00": "message", "01": "warning", "02": "no data", "08": "connection exception", "0A": "feature not supported",
    "21": "cardinality violation", "22": "data exception", "23": "integrity constraint violation",
    "25": "invalid transaction state", "28": "invalid authorization", "40": "transaction rollback",
    "42": "syntax error or access rule violation", "53": "insufficient resources", "54": "program limit exceeded",
    "55": "object not in prerequisite state", "57": "operator intervention", "58": "system error", "P0": "PL/pgSQL error",
    "XX": "internal error",
}


def sentence(sqlstate: str) -> str:
    """What we say of an error; never anything of its own text."""
    return _CODES.get(sqlstate) or _CLASSES.get(sqlstate[:2], "error") + f" ({_printable(sqlstate)})"


def _printable(sqlstate: str) -> str:
    """RAISE may set any five letters or digits; so few say nothing."""
    return sqlstate if len(sqlstate) == 5 and sqlstate.isascii() and sqlstate.isalnum() else "?"
