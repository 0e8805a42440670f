"""
libpg_query by its bytes: what the parser tells and the deparser is told, serialised as `postgast.pg_query_pb2.ParseResult`.

`postgast.parse` and `deparse` serialise and read anew at every turn; who has the bytes copies, compares and deparses by them.
"""

from __future__ import annotations

import ctypes

from postgast.errors import check_error
from postgast.native import PgQueryProtobuf, lib


def parse(text: str) -> bytes:
    """
    A text's trees.

    :raises PgQueryError: the grammar refuses it.
    :raises UnicodeEncodeError: it is no UTF-8.
    """
    result = lib.pg_query_parse_protobuf(text.encode("utf-8"))
    try:
        check_error(result)
        return ctypes.string_at(result.parse_tree.data, result.parse_tree.len)
    finally:
        lib.pg_query_free_protobuf_parse_result(result)


def deparse(data: bytes) -> str:
    """
    The text of such trees.

    :raises PgQueryError: libpg_query cannot write it.
    """
    held = ctypes.c_char_p(data)  # the library only reads it, by its length
    result = lib.pg_query_deparse_protobuf(PgQueryProtobuf(len(data), ctypes.cast(held, ctypes.c_void_p).value))
    try:
        check_error(result)
        return result.query.decode("utf-8")
    finally:
        lib.pg_query_free_deparse_result(result)
