"""
Rules about commands of SSH: what a table of `ostiary.toml` selects, and which rule decides.

A rule that allows must cover all of a command: every program of a line, every path, every mode; and it covers nothing that
cannot be known. A rule that denies or asks people needs only one of them, and what cannot be known is one.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocols.command import (
    AgentForward, Exec, FileAction, FileOperation, Forward, ForwardKind, Shell, SshCommand, Subsystem, X11Forward,
)

from addons.shell.known import Transfer
from addons.sql.answers import ALLOW, Answering, answer, whole
from addons.sql.conditions import Table
from addons.ssh import lines, paths, reach
from addons.ssh.destinations import Destination, destination

KINDS = {Exec: "exec", Shell: "shell", Subsystem: "subsystem", FileOperation: "file", Forward: "forward", AgentForward: "agent", X11Forward: "x11"}
OPEN_MODES = ("read", "write", "append", "create", "truncate", "exclusive")
_CHANGES = frozenset({"append", "create", "truncate"})
_ABOUT = {
    "programs": "exec", "lines": "exec", "transfers": "exec", "redirections": "exec", "scripts": "exec", "terminals": "exec", "subsystems": "subsystem",
    "actions": "file", "modes": "file", "destinations": "forward", "forwards": "forward",
}
"""Keys that are about one kind of command, and make a rule one about it."""

_ASKED = frozenset(ForwardKind) - {ForwardKind.INCOMING, ForwardKind.INCOMING_UNIX}
"""What a rule that names no kinds of forwards is about: what comes to a listener stands on the listener's own verdict."""

_MOVES = frozenset({FileAction.RENAME, FileAction.HARDLINK, FileAction.SYMLINK, FileAction.RMDIR})
"""What takes a folder with all that is under it, or gives it another name, by which it could then be read and written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Answering):
    """One table of Ssh's `rules`. What is empty is not asked."""

    commands: frozenset[str]
    programs: frozenset[str] = frozenset()
    lines: frozenset[str] = frozenset()
    transfers: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    redirections: bool = False
    scripts: bool = False
    terminals: bool = False
    subsystems: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()
    forwards: frozenset[str] = frozenset()
    destinations: tuple[Destination, ...] = ()

    def covers(self, command: SshCommand) -> bool:
        """Whether it is about this command."""
        if KINDS[type(command)] not in self.commands:
            return False
        match command:
            case Exec():
                return self._line(command.line, terminal=command.pty is not None)
            case Subsystem():
                return not self.subsystems or command.name in self.subsystems
            case FileOperation():
                return self._file(command)
            case Forward():
                return self._forward(command)
        return True

    @property
    def _every(self) -> bool:
        return self.verdict == ALLOW

    def _line(self, line: bytes, *, terminal: bool) -> bool:
        asked = self._about_words
        if not self._suits(terminal, listed=asked or bool(self.lines)):
            return False
        if any(line == each.encode() for each in self.lines):
            return True
        return self._read(lines.read(line)) if asked else not self.lines

    def _suits(self, terminal: bool, *, listed: bool) -> bool:
        """On a terminal a program may start a pager or an editor, and that a shell: a list of lines or programs means none there."""
        if self._every:
            return not terminal or self.terminals or not listed
        return terminal or not self.terminals

    def _read(self, read: lines.Line) -> bool:
        if self._every:
            whole = read.known and bool(read.started) and (self.scripts or not lines.scripts(read))
            return whole and all(self._allows(each) for each in read.started)
        begin = reach.bases(read) if self.paths else ()
        return not read.sure or any(self._denies(each, begin) for each in read.every)

    def perhaps(self, line: bytes) -> bool:
        """Whether a rule that covers a line does so only because of what nobody but the shell knows of it."""
        read = lines.read(line)
        if read.sure or not self._about_words or any(line == each.encode() for each in self.lines):
            return False
        begin = reach.bases(read) if self.paths else ()
        return not any(self._denies(each, begin) for each in read.every)

    @property
    def _about_words(self) -> bool:
        return any((self.programs, self.transfers, self.paths, self.redirections, self.scripts))

    def _allows(self, each: lines.Started) -> bool:
        moved = each.transfer
        return (
            (not self.programs or each.is_one_of(self.programs))
            and (not self.transfers or moved.transfer in self.transfers)
            and (each.usual or bool(self.programs) or not (self.transfers or self.paths))
            and (self.redirections or not each.redirects)
            and (not self.paths or bool(moved.paths) and all(paths.matches(paths.place(path), self.paths) for path in moved.paths))
        )

    def _denies(self, each: lines.Started, begin: tuple[str, ...] | None) -> bool:
        """Those of its keys that it has; a path is looked for in all words and files, from wherever they may begin."""
        return (
            (not self.programs or each.mentions(self.programs))
            and (not self.transfers or not each.may_move.isdisjoint(self.transfers))
            and (not self.redirections or each.redirects)
            and (not self.scripts or Transfer.SCRIPT in each.may_move)
            and (not self.paths or each.secluded or reach.meets(each, begin, self.paths))
        )

    def _file(self, command: FileOperation) -> bool:
        if self.actions and command.action.value not in self.actions:
            return False
        modes, places = frozenset(touched(command)), files(command)
        if command.action in _MOVES and self.paths and not self._every:
            return _floats(command) or any(
                where is None or reach.above(where, self.paths) or paths.matches(where, self.paths) for where in places)
        if self._every:
            return (not self.modes or modes <= self.modes) and (
                not self.paths or all(paths.matches(where, self.paths) for where in places))
        return (not self.modes or not _perhaps(modes).isdisjoint(self.modes)) and (
            not self.paths or any(where is None or paths.matches(where, self.paths) for where in places))

    def _forward(self, command: Forward) -> bool:
        if command.kind.value not in (self.forwards or _ASKED):
            return False
        perhaps = not self._every
        return not self.destinations or any(each.covers(command, perhaps=perhaps) for each in self.destinations)


def touched(command: FileOperation) -> tuple[str, ...]:
    """The modes of an open; what else changes something is a write, a size that is set cuts the file, and a folder that is listed is read."""
    if command.action is FileAction.OPEN:
        return command.modes
    if command.action is FileAction.COPY:
        return ("read", "write")
    if any(name == "size" for name, _ in command.attributes):
        return ("write", "truncate")
    return ("read",) if command.action is FileAction.LIST else ("write",)


def _perhaps(modes: frozenset[str]) -> frozenset[str]:
    """All that these may be at some server, for rules that refuse: what changes a file or a folder writes, and what is not known is everything."""
    if not modes <= frozenset(OPEN_MODES):
        return frozenset(OPEN_MODES)
    return modes if modes.isdisjoint(_CHANGES) else modes | {"write"}


def _floats(command: FileOperation) -> bool:
    """Whether it makes a link that leads elsewhere once it is moved."""
    return command.action is FileAction.SYMLINK and not command.file.startswith(b"/")


def files(command: FileOperation) -> list[str | None]:
    """Where an operation reaches. A relative link leads on from where it stands, and with `..` to nobody knows where when it is moved."""
    first, second = command.file, command.second
    if _floats(command) and not first.startswith(b"~"):
        if b".." in first.split(b"/"):
            return [None]
        first = second.rpartition(b"/")[0] + b"/" + first if b"/" in second else first
    return [paths.place(path) for path in (first, second) if path or path is first]


def rule(table: Table) -> Rule:
    """
    :raises ValueError: with the key path and what to write instead.
    """
    table.only(Rule)
    said = answer(table)
    about = frozenset(kind for key, kind in _ABOUT.items() if table.has(key))
    commands = table.texts("commands", KINDS.values(), "command") or about
    if not commands and table.has("paths"):
        table.missing('`paths` alone does not say of which: ["file"] for SFTP, ["exec"] for command lines and scp, or both', "commands", *_ABOUT)
    elif not commands:
        table.missing(f"say which commands it is about: {', '.join(KINDS.values())}", "commands", *_ABOUT)
    for key, kind in _ABOUT.items():
        if table.has(key) and kind not in commands:
            table.wrong(key, f"says nothing about {', '.join(sorted(commands))}; add {kind!r} to `commands`, or take it out")
    made = Rule(
        **said, commands=commands,
        programs=table.texts("programs"), lines=table.texts("lines"), transfers=table.texts("transfers", Transfer, "transfer"),
        paths=_globs(table), redirections=table.flag("redirections"), scripts=table.flag("scripts"), terminals=table.flag("terminals"),
        subsystems=table.texts("subsystems"), actions=table.texts("actions", FileAction, "action"),
        modes=table.texts("modes", OPEN_MODES, "mode"), forwards=table.texts("forwards", ForwardKind, "kind of forward"),
        destinations=_destinations(table),
    )
    whole(table, made)
    return made


def _globs(table: Table) -> frozenset[str]:
    found = table.texts("paths")
    for glob in sorted(found):
        why = paths.wrong(glob)
        if why:
            table.wrong("paths", f"{glob!r} {why}")
    return found


def _destinations(table: Table) -> tuple[Destination, ...]:
    found = []
    for text in sorted(table.texts("destinations")):
        try:
            found.append(destination(text))
        except ValueError as error:
            table.wrong("destinations", str(error))
    return tuple(found)
