"""
THE ENFORCEMENT MATRIX: on which path of which protocol each hook has its say.

One table, from which the start-up check and the page in docs/ are made. A configuration
whose addons need a hook on a path where nobody would ask it is refused at start: a
control that looks configured and is not there is worse than none.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from protocols.hooks import (
    AskCommandHook, AskHook, ClosedHook, ColumnsHook, CommandHook, ContentHook, DataHook, DecidedHook, JudgeHook, LeavingHook, OutcomeHook, RewriteHook,
    RowsHook, SessionHook, TextHook,
)


class Cell(enum.Enum):
    """What happens at a crossing."""

    ASKED = "asked"  #: the hook is called, and its answer holds
    NOTHING = "–"  #: nothing passes here that the hook is about
    REFUSED = "refused"  #: the path itself is closed
    NOT = "NOT ENFORCED"  #: something passes and nobody is asked


@dataclass(frozen=True, slots=True)
class PathRow:
    """One way that a protocol has for something to pass, and every hook's cell there."""

    path: str
    what: str
    cells: Mapping[str, Cell]


_SPEAKING = (RewriteHook.method, JudgeHook.method, AskHook.method)
_RESULT = (ColumnsHook.method, ContentHook.method, RowsHook.method)
_DATA = (ContentHook.method, RowsHook.method)
_ALWAYS = (SessionHook.method, LeavingHook.method, DecidedHook.method, OutcomeHook.method, ClosedHook.method)
_COMMAND = (CommandHook.method, AskCommandHook.method)
HOOK_COLUMNS = (*_SPEAKING, *_RESULT, DataHook.method, TextHook.method, *_COMMAND)


def _row(path: str, what: str, asked: Iterable[str], **other: Cell) -> PathRow:
    cells = dict.fromkeys(HOOK_COLUMNS, Cell.NOTHING) | dict.fromkeys(asked, Cell.ASKED) | other
    return PathRow(path, what, cells)


_ALL = (*_SPEAKING, *_RESULT)
_CLOSED = dict.fromkeys(HOOK_COLUMNS, Cell.REFUSED)

MATRIX: Mapping[str, tuple[PathRow, ...]] = {
    "postgres": (
        _row("simple query", "Query; rows in text", _ALL),
        _row("multi-statement string", "Query with several statements, decided as one", _ALL),
        _row("prepare", "Parse; nothing runs yet, so people are asked at Bind", _SPEAKING[:2]),
        _row("extended query", "Bind and its Execute messages; rows in text", _ALL),
        _row("binary rows", "rows in binary, masked type-correctly or as NULL", _ALL),
        _row("portal", "Execute again after PortalSuspended: the same command, planned once, asked again after a reload", _RESULT),
        _row("SQL cursor", "DECLARE, FETCH; Execute of such a cursor is asked as FETCH", _ALL),
        _row("SQL PREPARE", "PREPARE is judged as its inside, EXECUTE as what was prepared, by what it means now", _ALL),
        _row("large rows", "DataRow over 256 KiB, in pieces", _ALL),
        _row("COPY out", "the statement; its data has no columns on the wire, so masking rewrites its source", (*_SPEAKING, *_DATA)),
        _row("COPY in", "the statement; its data is counted, digested, and looked through before it goes on", (*_SPEAKING, DataHook.method)),
        _row("function call", "the fast path, by OID; its result is one value", (*_SPEAKING[1:], *_DATA)),
        _row("large object", "lo_* as functions or by the fast path", (*_SPEAKING[1:], *_DATA)),
        _row("error", "ErrorResponse of the target", (TextHook.method,)),
        _row("notice", "NoticeResponse, RAISE included", (TextHook.method,)),
        _row("notification", "NotificationResponse", (TextHook.method,)),
        _row("parameter status", "ParameterStatus, at login and later", (TextHook.method,)),
        _row("replication", "START_REPLICATION, CopyBoth", (), **_CLOSED),
        _row("GSSAPI encryption", "GSSENCRequest", (), **_CLOSED),
    ),
    "ssh": (
        _row("exec", "a command line; what it reads and writes is counted and digested", _COMMAND),
        _row("shell", "an interactive shell, or a script on standard input; what is typed is data", _COMMAND),
        _row("subsystem", "a service by name, such as sftp", _COMMAND),
        _row("file operation", "SFTP's open, remove, rename, setstat, links, mkdir, rmdir, opendir, copy-data, one by one", _COMMAND),
        _row("file attributes", "SFTP's stat, readlink, realpath, statvfs: they change nothing and pass with their subsystem", ()),
        _row("unknown file operation", "an SFTP extension or version that is not read here", (), **_CLOSED),
        _row("local forward", "direct-tcpip and direct-streamlocal, each connection", _COMMAND),
        _row("remote forward", "tcpip-forward and streamlocal-forward, each listener and each connection that comes to it", _COMMAND),
        _row("agent forwarding", "auth-agent-req, on each channel", _COMMAND),
        _row("X11 forwarding", "x11-req, on each channel", _COMMAND),
        _row("variable", "env: addons' `accepts_variable` decides, else a short list", ()),
        _row("terminal", "pty-req, window-change, signal, break: they pass with their command", ()),
        _row("line in a shell", "as its screen shows it when Enter is pressed: addons' `refuses_line` is asked. Stops mistakes, not adversaries", ()),
        _row("output of a terminal", "addons' `stars` are asked for what masks it; what has no terminal only where they say so", ()),
        _row("other requests and channel types", "tun, VPN, what has no name here", (), **_CLOSED),
    ),
}
"""By protocol. A protocol that is not here cannot be listened on."""


def holes(protocol: str, addon: object) -> list[str]:
    """Paths of the protocol on which this addon would not be asked what it wants to be asked."""
    wanted = {name for name in HOOK_COLUMNS if callable(getattr(addon, name, None))}
    return [
        f"{row.path} ({hook})"
        for row in MATRIX.get(protocol, ())
        for hook, cell in row.cells.items()
        if cell is Cell.NOT and hook in wanted
    ]


def page() -> str:
    """docs/enforcement.md."""
    parts = [_HEAD]
    for protocol, rows in MATRIX.items():
        parts.append(f"\n## {protocol}\n\n| path | what it is | {' | '.join(HOOK_COLUMNS)} |\n|---|---|{'---|' * len(HOOK_COLUMNS)}\n")
        parts += [f"| {r.path} | {r.what} | {' | '.join(r.cells[h].value for h in HOOK_COLUMNS)} |\n" for r in rows]
    return "".join(parts)


_HEAD = f"""# What is enforced where

Generated from `gateway/matrix.py` (`python -m gateway.matrix`); a test keeps the two the same.

A hook is how an addon has its say (`docs/addons.md`): `on_rewrite` replaces text (masking), `on_judge` refuses
(access, policy, limits), `on_ask` asks people (approval), `on_columns` masks cells, `on_rows` ends results
(limits), `on_content` looks through the bytes of results, `on_data` through COPY data from the client (masking), `on_text` rebuilds errors, notices, notifications and parameters (masking). `on_command` and `on_ask_command`
are for SSH what `on_judge` and `on_ask` are for statements.

- **asked**: the hook is called there, and its answer holds.
- **–**: nothing passes on that path that the hook is about.
- **refused**: the path itself is closed.
- **NOT ENFORCED**: something passes and nobody is asked. A configuration with an addon that defines that hook
  does not start. There is no such cell today.

{', '.join(f'`{name}`' for name in _ALWAYS)} are told or asked once per session or command, whatever the path.
"""


if __name__ == "__main__":
    print(page(), end="")
