"""
A statement's tree without the most of its data: long runs of bare literals, of which one tells as much as all of them.

What decides about a statement are its names and its shape. A bulk INSERT or a long IN list has tens of thousands of
literals besides, and every reader of the tree would pass each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

LONG = 4 << 10
"""Characters of a text from which on it is worth looking."""

KEPT = 16
"""Members of a run that stay, so that a list still looks like one."""

BOOLEANS = frozenset("t f true false on off yes no y n 1 0".split())
"""Texts that are a boolean's."""

_LITERALS = frozenset({"a_const", "param_ref", "set_to_default"})


def thin(result: tree.ParseResult) -> bool:
    """Take data out of a tree, which decides the same afterwards; whether there was any."""
    waiting: list[Message] = [result]
    thinner = False
    while waiting:
        message = waiting.pop()
        if isinstance(message, tree.SelectStmt) and len(message.values_lists) > KEPT:
            thinner |= _drop(message.values_lists, _is_row)
        elif isinstance(message, (tree.List, tree.A_ArrayExpr)):
            members = message.items if isinstance(message, tree.List) else message.elements
            if len(members) > KEPT:
                thinner |= _drop(members, _is_literal)
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else (value,))
    return thinner


def _drop(members: Any, is_data: Callable[[tree.Node], bool]) -> bool:
    """
    Of the members that are data all but the first ones go; every other one stays, and its order with it.

    A row goes only if it is as wide as the first. Where the first ones might all be booleans nothing goes: a list of both
    leaves every row, and one of them alone may stand last.
    """
    if not any(map(_tells, members[:KEPT])):
        return False
    width = _width(members[0])
    stays = [member for member in members[KEPT:] if not is_data(member) or _width(member) != width]
    if len(stays) == len(members) - KEPT:
        return False
    copies = [tree.Node.FromString(member.SerializeToString()) for member in stays]
    del members[KEPT:]
    members.extend(copies)
    return True


def _is_literal(node: tree.Node) -> bool:
    return node.WhichOneof("node") in _LITERALS


def _is_row(node: tree.Node) -> bool:
    return node.WhichOneof("node") == "list" and all(map(_is_literal, node.list.items))


def _tells(node: tree.Node) -> bool:
    """Whether it holds what is no boolean's text; `constants.only_booleans` takes what is bound for none."""
    if node.WhichOneof("node") == "list":
        return any(map(_tells, node.list.items))
    if node.WhichOneof("node") != "a_const":
        return _is_literal(node)
    match node.a_const.WhichOneof("val"):
        case "ival":
            return node.a_const.ival.ival not in (0, 1)
        case "sval":
            return node.a_const.sval.sval.strip(' "').lower() not in BOOLEANS
    return False


def _width(node: tree.Node) -> int:
    return len(node.list.items) if node.WhichOneof("node") == "list" else -1
