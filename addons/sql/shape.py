"""
Whether two trees, as bytes, are the same statements: all that they hold, but for where in the text each part stood.

The comparison is made of the same description of the trees as everybody reads them by, with its positions taken out.
"""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message
from postgast import pg_query_pb2 as tree

_Field = descriptor_pb2.FieldDescriptorProto
_OTHERS = frozenset({"stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"})


def shape(data: bytes) -> bytes:
    """A tree without where in the text things stood: equal shapes mean the same statements."""
    bare = _BARE.FromString(data)
    bare.DiscardUnknownFields()
    return bare.SerializeToString(deterministic=True)


def alike(one: bytes, other: bytes) -> bool:
    """Whether they have one shape. Mostly they are even alike in which parts have a position at all, which is found out sooner."""
    return _blurred(one) == _blurred(other) or shape(one) == shape(other)


def _blurred(data: bytes) -> bytes:
    return _BLURRED.FromString(data).SerializeToString(deterministic=True)


def is_position(field: descriptor_pb2.FieldDescriptorProto) -> bool:
    """A tablespace's location is text, and no position."""
    named = field.name in _OTHERS or field.name.endswith("location")
    return named and field.type == _Field.TYPE_INT32 and field.label != _Field.LABEL_REPEATED


def _parse_result(change: Callable[[descriptor_pb2.DescriptorProto], None]) -> type[Message]:
    """ParseResult, with each of its messages' descriptions changed."""
    file = descriptor_pb2.FileDescriptorProto()
    tree.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        change(message)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(tree.ParseResult.DESCRIPTOR.full_name))


def _take_out(message: descriptor_pb2.DescriptorProto) -> None:
    kept = [field for field in message.field if not is_position(field)]
    del message.field[:]
    message.field.extend(kept)


def _blur(message: descriptor_pb2.DescriptorProto) -> None:
    """A position is told only from none, or the text's first."""
    for field in filter(is_position, message.field):
        field.type = _Field.TYPE_BOOL


_BARE, _BLURRED = _parse_result(_take_out), _parse_result(_blur)
