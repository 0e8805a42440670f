"""
One request of SFTP to the file operation that it is: what is asked about, what passes, what is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

from protocols.command import FileAction, FileOperation
from protocols.ssh import sftp
from protocols.ssh.messages import Reader, Unreadable

PATH_LIMIT = 4096
"""Bytes of a path; Linux takes no longer one."""


_PLACE = Struct(">QI")  # offset, bytes


class Refused(Exception):
    """The gateway answers this request itself."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


@dataclass(slots=True)
class Request:
    """
    A request as far as it was read.

    :ivar operation: what addons are asked; None passes.
    :ivar handle: the open file or folder it is about, b"" for none.
    :ivar offset: where a READ or WRITE begins.
    :ivar data: what of a WRITE's data came with its head.
    """

    kind: int
    id: int
    operation: FileOperation | None = None
    handle: bytes = b""
    offset: int = 0
    data: bytes = b""


Named = Callable[[bytes], bytes]
"""The path behind a handle; raises Refused for one that is not known."""

_ON_PATH = {
    sftp.REMOVE: FileAction.REMOVE, sftp.RMDIR: FileAction.RMDIR, sftp.OPENDIR: FileAction.LIST, sftp.MKDIR: FileAction.MKDIR,
    sftp.SETSTAT: FileAction.SETSTAT, sftp.OPEN: FileAction.OPEN,
}
_ON_TWO = {sftp.RENAME: FileAction.RENAME, sftp.SYMLINK: FileAction.SYMLINK}
_PASSES = (sftp.LSTAT, sftp.STAT, sftp.REALPATH, sftp.READLINK)
_EXTENDED_ON_TWO = {"posix-rename@openssh.com": FileAction.RENAME, "hardlink@openssh.com": FileAction.HARDLINK}
_EXTENDED_ON_HANDLE = ("fstatvfs@openssh.com", "fsync@openssh.com")
_EXTENDED_PASSES = (
    "statvfs@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "home-directory", "users-groups-by-id@openssh.com",
)


def read(head: sftp.Head, channel: int, named: Named) -> Request:
    """
    :raises Refused: what it does is not known here, or cannot be read.
    :raises Unreadable: it has not even a number to answer to.
    """
    request = Request(head.kind, head.fields().u32())
    try:
        _fill(request, head, channel, named)
    except Unreadable as error:
        raise Refused(sftp.BAD_MESSAGE, str(error)) from None
    return request


def _fill(request: Request, head: sftp.Head, channel: int, named: Named) -> None:
    kind, fields = request.kind, head.fields()
    fields.u32()
    if kind in (sftp.READ, sftp.WRITE):
        _transfer(request, head, fields, named)
        return
    if kind in (sftp.CLOSE, sftp.FSTAT, sftp.READDIR, sftp.FSETSTAT):
        _on_handle(request, fields, channel, named)
    elif kind in _ON_PATH:
        request.operation = _on_path(_ON_PATH[kind], fields, channel)
    elif kind in _ON_TWO:
        request.operation = _on_two(_ON_TWO[kind], fields, channel)
    elif kind == sftp.EXTENDED:
        _extended(request, fields, channel, named)
    elif kind in _PASSES:
        _path(fields)
    else:
        raise Refused(sftp.OP_UNSUPPORTED, f"request {kind} is not known here")
    fields.end()


def _transfer(request: Request, head: sftp.Head, fields: Reader, named: Named) -> None:
    handle = request.handle = fields.string(sftp.HANDLE_LIMIT)
    rest = fields.rest()
    if len(rest) < _PLACE.size:
        raise Unreadable("a number is cut short")
    request.offset, count = _PLACE.unpack_from(rest)
    if request.kind == sftp.WRITE:
        request.data = rest[_PLACE.size:]
        if head.length != sftp.WRITE_OVERHEAD + len(handle) + count:
            raise Unreadable("a WRITE whose data has another length than it says")
    elif len(rest) > _PLACE.size:
        raise Unreadable("bytes are left over behind the last field")
    named(handle)


def _on_handle(request: Request, fields: Reader, channel: int, named: Named) -> None:
    request.handle = fields.string(sftp.HANDLE_LIMIT)
    path = named(request.handle)
    if request.kind == sftp.FSETSTAT:
        request.operation = FileOperation(FileAction.SETSTAT, path, channel, attributes=sftp.attributes(fields))


def _on_path(action: FileAction, fields: Reader, channel: int) -> FileOperation:
    path = _path(fields)
    flags = fields.u32() if action is FileAction.OPEN else 0
    changes = action in (FileAction.OPEN, FileAction.MKDIR, FileAction.SETSTAT)
    return FileOperation(action, path, channel, flags=flags, attributes=sftp.attributes(fields) if changes else ())


def _on_two(action: FileAction, fields: Reader, channel: int) -> FileOperation:
    return FileOperation(action, _path(fields), channel, _path(fields))


def _extended(request: Request, fields: Reader, channel: int, named: Named) -> None:
    name = fields.name()
    if name in _EXTENDED_ON_TWO:
        request.operation = _on_two(_EXTENDED_ON_TWO[name], fields, channel)
    elif name == "lsetstat@openssh.com":
        request.operation = FileOperation(FileAction.SETSTAT, _path(fields), channel, attributes=sftp.attributes(fields))
    elif name == "copy-data":
        source, _ = named(fields.string(sftp.HANDLE_LIMIT)), [fields.u32() for _ in range(4)]  # offset, length
        target, _ = named(fields.string(sftp.HANDLE_LIMIT)), [fields.u32() for _ in range(2)]
        request.operation = FileOperation(FileAction.COPY, source, channel, target)
    elif name in _EXTENDED_ON_HANDLE:
        named(fields.string(sftp.HANDLE_LIMIT))
    elif name in _EXTENDED_PASSES:
        fields.rest()
    else:
        raise Refused(sftp.OP_UNSUPPORTED, f"{name} is not known here")


def _path(fields: Reader) -> bytes:
    path = fields.string(PATH_LIMIT)
    if b"\0" in path:
        raise Unreadable("a path with a NUL, of which servers would read a part")
    return path
