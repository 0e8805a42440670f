"""
Frames as captured between stock clients and servers, and what they mean.

Captured with a byte-copying proxy: psql 15.20 against PostgreSQL 15.20 unless a name says
otherwise ("psycopg" 3.3.9, "asyncpg" 0.32, "18": psql and server 18.6). The four of
BY_HAND were written from the manual, since none of these clients sends them unasked.
"""

from __future__ import annotations

from protocols.command import Transaction
from protocols.postgres import messages as m
from protocols.postgres import replies as r
from protocols.result import Column, Columns

CLIENT: dict[str, tuple[bytes, m.Message]] = {
    "query": (b"Q\0\0\0\x10select 1/0;\0", m.Query("select 1/0;")),
    "query without a statement": (b"Q\0\0\0\x06;\0", m.Query(";")),
    "copy data": (b"d\0\0\0\x0b1\tx\n\\.\n", m.CopyData(b"1\tx\n\\.\n")),
    "copy done": (b"c\0\0\0\x04", m.CopyDone()),
    "function call: lo_open": (
        b"F\0\0\0 \0\0\x03\xb8\0\x01\0\x01\0\x02\0\0\0\x04\0\0\x04\xd2\0\0\0\x04\0\x04\0\0\0\x01",
        m.FunctionCall(952, (1,), (b"\0\0\x04\xd2", b"\0\x04\0\0"), 1),
    ),
    "terminate": (b"X\0\0\0\x04", m.Terminate()),
    "md5 password": (
        b"p\0\0\0(md547b3bb2a7524600d3773143207fedd6d\0", m.Secret(b"md547b3bb2a7524600d3773143207fedd6d\0")
    ),
    "clear password": (b"p\0\0\0\x06x\0", m.Secret(b"x\0")),
    "sasl initial": (
        b"p\0\0\x006SCRAM-SHA-256\0\0\0\0 n,,n=,r=mj4QKTsDAn3XQ7NGweR/pOio",
        m.Secret(b"SCRAM-SHA-256\0\0\0\0 n,,n=,r=mj4QKTsDAn3XQ7NGweR/pOio"),
    ),
    "psycopg: parse with types": (
        b"P\0\0\0/_pg3_0\0select $1::int, $2::bytea\0\0\x02\0\0\0\x15\0\0\0\x11",
        m.Parse("_pg3_0", "select $1::int, $2::bytea", (21, 17)),
    ),
    "psycopg: bind in binary": (
        b"B\0\0\0$\0_pg3_0\0\0\x02\0\x01\0\x01\0\x02\0\0\0\x02\0\x05\0\0\0\x02\0\x01\0\x01\0\x01",
        m.Bind("", "_pg3_0", (1, 1), (b"\0\x05", b"\0\x01"), (1,)),
    ),
    "psycopg: bind a null": (
        b"B\0\0\0\x14\0\0\0\x01\0\0\0\x01\xff\xff\xff\xff\0\x01\0\0", m.Bind("", "", (0,), (None,), (0,))
    ),
    "psycopg: describe a portal": (b"D\0\0\0\x08Pcc\0", m.Describe("P", "cc")),
    "psycopg: execute": (b"E\0\0\0\t\0\0\0\0\0", m.Execute("")),
    "psycopg: sync": (b"S\0\0\0\x04", m.Sync()),
    "psycopg: flush": (b"H\0\0\0\x04", m.Flush()),
    "asyncpg: parse without types": (
        b"P\0\0\0B__asyncpg_stmt_1__\0select * from generate_series(1,$1::int)\0\0\0",
        m.Parse("__asyncpg_stmt_1__", "select * from generate_series(1,$1::int)"),
    ),
    "asyncpg: describe a statement": (b"D\0\0\0\x18S__asyncpg_stmt_1__\0", m.Describe("S", "__asyncpg_stmt_1__")),
    "asyncpg: execute two rows": (
        b"E\0\0\0\x1d__asyncpg_portal_2__\0\0\0\0\x02", m.Execute("__asyncpg_portal_2__", 2)
    ),
    "18: bind without values": (b"B\0\0\0\x10\0st\0\0\0\0\0\0\x01\0\0", m.Bind("", "st", (), (), (0,))),
}

TARGET: dict[str, tuple[bytes, r.Reply]] = {
    "authenticated": (b"R\0\0\0\x08\0\0\0\0", r.Authentication(r.AUTH_OK)),
    "md5 request": (b"R\0\0\0\x0c\0\0\0\x05\xa8[\xd7l", r.Authentication(r.AUTH_MD5, b"\xa8[\xd7l")),
    "sasl offer": (
        b"R\0\0\0\x17\0\0\0\nSCRAM-SHA-256\0\0", r.Authentication(r.AUTH_SASL, mechanisms=("SCRAM-SHA-256",))
    ),
    "sasl challenge": (
        b"R\0\0\0\\\0\0\0\x0br=mj4QKTsDAn3XQ7NGweR/pOioDqngOM/WE8978diTRzDVDQ3p,s=uU8aKHeKaH7079RarLA7lg==,i=4096",
        r.Authentication(
            r.AUTH_SASL_CONTINUE,
            b"r=mj4QKTsDAn3XQ7NGweR/pOioDqngOM/WE8978diTRzDVDQ3p,s=uU8aKHeKaH7079RarLA7lg==,i=4096",
        ),
    ),
    "setting": (b"S\0\0\0\x17DateStyle\0ISO, MDY\0", r.ParameterStatus("DateStyle", "ISO, MDY")),
    "key": (b"K\0\0\0\x0c\0\0+\xb8\xec'V\x92", r.BackendKey(11192, b"\xec'V\x92")),
    "18: long key": (
        b"K\0\0\0(\0\0+\xf44WS\xae=\tg\x95\xb8\x16\x8d;\xf0\xe75}\xedh$>-O\xb1\xf7\xfb\xb7)\xa6\xdb*Y\x82",
        r.BackendKey(11252, b"4WS\xae=\tg\x95\xb8\x16\x8d;\xf0\xe75}\xedh$>-O\xb1\xf7\xfb\xb7)\xa6\xdb*Y\x82"),
    ),
    "ready": (b"Z\0\0\0\x05I", r.ReadyForQuery(Transaction.IDLE)),
    "columns of a table": (
        b"T\0\0\0N\0\x03relname\0\0\0\x04\xeb\0\x02\0\0\0\x13\0@\xff\xff\xff\xff\0\0"
        b"again\0\0\0\x04\xeb\0\x02\0\0\0\x13\0@\xff\xff\xff\xff\0\0"
        b"oid\0\0\0\x04\xeb\0\x01\0\0\0\x1a\0\x04\xff\xff\xff\xff\0\0",
        r.RowDescription(
            Columns((Column("relname", 1259, 2, 19), Column("again", 1259, 2, 19), Column("oid", 1259, 1, 26))),
            ((64, -1), (64, -1), (4, -1)),
        ),
    ),
    "psycopg: columns in binary": (
        b"T\0\0\x005\0\x02int4\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01"
        b"bytea\0\0\0\0\0\0\0\0\0\0\x11\xff\xff\xff\xff\xff\xff\0\x01",
        r.RowDescription(
            Columns((Column("int4", 0, 0, 23, 1), Column("bytea", 0, 0, 17, 1))), ((4, -1), (-1, -1))
        ),
    ),
    "row": (b"D\0\0\0\x14\0\x03\0\0\0\x011\xff\xff\xff\xff\0\0\0\x01x", r.DataRow((b"1", None, b"x"))),
    "done": (b"C\0\0\0\rSELECT 1\0", r.CommandComplete("SELECT 1")),
    "nothing to do": (b"I\0\0\0\x04", r.EmptyQuery()),
    "notice": (
        b"N\0\0\0wSNOTICE\0VNOTICE\0C00000\0Mhi\0WPL/pgSQL function inline_code_block line 1 at RAISE\0"
        b"Fpl_exec.c\0L3907\0Rexec_stmt_raise\0\0",
        r.NoticeResponse({
            "S": "NOTICE", "V": "NOTICE", "C": "00000", "M": "hi",
            "W": "PL/pgSQL function inline_code_block line 1 at RAISE",
            "F": "pl_exec.c", "L": "3907", "R": "exec_stmt_raise",
        }),
    ),
    "error": (
        b"E\0\0\0ASERROR\0VERROR\0C22012\0Mdivision by zero\0Fint.c\0L869\0Rint4div\0\0",
        r.ErrorResponse({
            "S": "ERROR", "V": "ERROR", "C": "22012", "M": "division by zero",
            "F": "int.c", "L": "869", "R": "int4div",
        }),
    ),
    "copy in": (b"G\0\0\0\x0b\0\0\x02\0\0\0\0", r.CopyIn(0, (0, 0))),
    "copy out": (b"H\0\0\0\x0b\0\0\x02\0\0\0\0", r.CopyOut(0, (0, 0))),
    "copy data": (b"d\0\0\0\x081\tx\n", m.CopyData(b"1\tx\n")),
    "copy done": (b"c\0\0\0\x04", m.CopyDone()),
    "notification": (b"A\0\0\0\x0f\0\0+\xb8ch\0pay\0", r.NotificationResponse(11192, "ch", "pay")),
    "function result": (b"V\0\0\0\x0c\0\0\0\x04\0\0\0\0", r.FunctionResult(b"\0\0\0\0")),
    "psycopg: parsed": (b"1\0\0\0\x04", r.ParseComplete()),
    "psycopg: bound": (b"2\0\0\0\x04", r.BindComplete()),
    "psycopg: no columns": (b"n\0\0\0\x04", r.NoData()),
    "asyncpg: parameters": (b"t\0\0\0\n\0\x01\0\0\0\x17", r.ParameterDescription((23,))),
    "asyncpg: suspended": (b"s\0\0\0\x04", r.PortalSuspended()),
}

OPENINGS: dict[str, tuple[bytes, m.Opening]] = {
    "ssl request": (b"\0\0\0\x08\x04\xd2\x16/", m.SslRequest()),
    "start-up": (
        b"\0\0\0?\0\x03\0\0user\0postgres\0database\0postgres\0application_name\0psql\0\0",
        m.Startup(m.VERSION_3_0, {"user": "postgres", "database": "postgres", "application_name": "psql"}),
    ),
    "asyncpg: start-up": (
        b"\0\0\0A\0\x03\0\0client_encoding\0'utf-8'\0user\0postgres\0database\0postgres\0\0",
        m.Startup(m.VERSION_3_0, {"client_encoding": "'utf-8'", "user": "postgres", "database": "postgres"}),
    ),
    "18: start-up": (
        b"\0\0\0?\0\x03\0\x02user\0postgres\0database\0postgres\0application_name\0psql\0\0",
        m.Startup(m.VERSION_3_2, {"user": "postgres", "database": "postgres", "application_name": "psql"}),
    ),
    "cancel": (b"\0\0\0\x10\x04\xd2\x16.\0\0+\xd6\xe3\xb2\xae\x7f", m.CancelRequest(11222, b"\xe3\xb2\xae\x7f")),
}

BY_HAND: dict[str, tuple[bytes, m.Message | r.Reply]] = {
    "close a statement": (b"C\0\0\0\x08Sst\0", m.Close("S", "st")),
    "copy fail": (b"f\0\0\0\x09stop\0", m.CopyFail("stop")),
    "closed": (b"3\0\0\0\x04", r.CloseComplete()),
    "copy both": (b"W\0\0\0\x07\0\0\0", r.CopyBoth(0, ())),
}
