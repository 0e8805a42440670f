"""
How commands reach control: over its socket when it runs, else by opening its store themselves.

Either way the same methods of `gateway.control.admin` answer. What a person is told when
something is wrong goes to stderr, and the exit code is 1 (`gateway.cli.left`).
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import socket
import stat
import sys
import time
import tomllib
from collections.abc import Callable, Sized
from pathlib import Path
from typing import Any

import click
import msgpack

from gateway.cli.left import NO_FILE, leave
from gateway.control.errors import ControlError, from_wire
from gateway.frame import FRAME_LIMIT, pack, peer_credentials

_STATE = re.compile(r"""^[ \t]*state[ \t]*=[ \t]*(["'])([^"'\n\\]+)\1[ \t]*(?:#.*)?$""", re.MULTILINE)  # the only such key of a file

TIMEOUT = 60.0  # seconds; control answers at once, a target that is dialled for `target check` may not


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --config and --json, and hands the command a Door and whether JSON is wanted."""

    @click.option(
        "--config", "config", type=click.Path(path_type=Path, dir_okay=False), envvar="OSTIARY_CONFIG",
        default="ostiary.toml", show_default=True, help="The gateway's configuration.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(command)
    def opened(config: Path, as_json: bool, **options: Any) -> Any:
        return command(door=Door(config), as_json=as_json, **options)

    return opened


def elsewhere(config: Path, others: Sized) -> None:
    """Mention what is wrong where a command does not look."""
    if others:
        what = f"{len(others)} mistakes" if len(others) > 1 else "a mistake"
        click.echo(f"ostiary: warning: {config} has {what} where this command does not look; ostiary check says which", err=True)


class Said(Exception):
    """
    Control refused; its words are for the person who asked.

    :ivar code: of what it refused.
    """

    def __init__(self, refusal: ControlError) -> None:
        super().__init__(refusal.why)
        self.code = refusal.code


class Door:
    """Control of one configuration."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def call(self, method: str, **arguments: Any) -> Any:
        """Control's answer; leaves with its refusal."""
        try:
            return self.ask(method, **arguments)
        except Said as refusal:
            leave(str(refusal), refusal.code)

    def ask(self, method: str, **arguments: Any) -> Any:
        """
        Control's answer.

        :raises Said: it refuses.
        """
        connection = self._connected()
        if connection is None:
            return self._here(method, arguments)
        with connection:
            try:
                return _asked(connection, method, arguments)
            except OSError as error:
                leave(f"control did not answer: {error.strerror or 'it takes too long'}; nothing is known of what became of it")

    def heard(self, method: str, **arguments: Any) -> Any:
        """Control's answer; None where it does not run, or does not give one to this user. Its store is not opened."""
        path = self._socket()
        try:
            connection = _dialled(path)
            if connection is None:
                return None
            with connection:
                return None if _foreign(connection, path) is not None else _asked(connection, method, arguments)
        except (OSError, Said):
            return None

    def config(self, *needed: str, unpinned: bool = False) -> Any:
        """
        The configuration; leaves with its problems.

        :param needed: all that it is read for, as `gateway.toml.glance`: mistakes elsewhere are only mentioned. The whole by default.
        :param unpinned: as `gateway.toml.parse`.
        """
        from gateway.toml import WrongConfig, glance, load

        try:
            if not needed:
                return load(self._config, unpinned=unpinned)
            config, others = glance(self._config, needed)
        except WrongConfig as error:
            leave(str(error))
        elsewhere(self._config, others)
        return config

    @property
    def path(self) -> Path:
        """The configuration."""
        return self._config

    @property
    def file(self) -> str:
        """The configuration's name, without its directory."""
        return self._config.name

    def behind(self) -> int | None:
        """The revision in force, where a gateway runs and the file has been edited since; else None."""
        from gateway.revision import in_force

        number, digest = in_force(self._state())
        edited = number and digest != hashlib.sha256(self._config.read_bytes()).hexdigest()
        return number if edited and self.runs else None

    @property
    def runs(self) -> bool:
        """Whether control answers."""
        connection = self._connected()
        if connection is not None:
            connection.close()
        return connection is not None

    def _connected(self) -> socket.socket | None:
        """
        A connection to control; None when it does not run. A socket of another user's is not control.

        Only the state directory is read from the file: a mistake elsewhere in it must not keep
        anybody from ending a session.
        """
        path = self._socket()
        try:
            connection = _dialled(path)
        except OSError as error:
            leave(f"{path}: {(error.strerror or 'cannot be reached').lower()}; run this as the user that the gateway runs as")
        if connection is None:
            if _held(path.parent / "lock"):
                leave("the gateway is starting or stopping, so nothing was done: try again in a moment. If it stays so, its log says why.")
            return None
        uid = _foreign(connection, path)
        if uid is not None:
            leave(f"{path} is served by another user ({uid}); nothing was sent to it")
        return connection

    def _socket(self) -> Path:
        return self._state() / "run" / "control.sock"

    def _state(self) -> Path:
        try:
            values = tomllib.loads(self._config.read_text())
            state = values.get("gateway", {}).get("state", "state")
            return self._config.resolve().parent / state
        except OSError as error:
            leave(f"{self._config}: {(error.strerror or 'cannot be read').lower()}; {NO_FILE}")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError, TypeError):
            return self._half_written()

    def _half_written(self) -> Path:
        """As `_state`, of a file that is no TOML now, where a gateway runs by what it says all the same; else leaves."""
        said = _STATE.search(self._config.read_bytes().decode(errors="replace"))
        state = self._config.resolve().parent / (said[2] if said else "state")
        if not (state / "run" / "control.sock").exists():
            self.config()
        return state

    def _here(self, method: str, arguments: dict[str, Any]) -> Any:
        """Without control: its store, opened by this process alone. Nobody is let in meanwhile, so hosts need not be known yet."""
        from twisted.internet.defer import maybeDeferred

        from gateway.control.admin import Admin
        from gateway.control.office import Office

        config, reactor = self.config(unpinned=True), _LateReactor()
        try:
            office = Office.of(config, reactor)
        except ControlError as error:
            raise Said(error) from None
        try:
            office.take_up()
            office.requests.start(None)
            answered = maybeDeferred(Admin(office, reactor).methods[method], **arguments)
            return reactor.wait(answered)
        except ControlError as error:
            raise Said(error) from None
        finally:
            office.close()


class _LateReactor:
    """A wall clock without timers, which becomes the real reactor when something must be dialled."""

    def seconds(self) -> float:
        return time.time()

    def callLater(self, delay: float, call: Any, *args: Any, **kwargs: Any) -> Any:
        """This process is gone before any timer of control's would be due."""
        return _Never() if self._real is None else self._real.callLater(delay, call, *args, **kwargs)

    _real: Any = None

    def __getattr__(self, name: str) -> Any:
        from twisted.internet import reactor

        type(self)._real = reactor
        return getattr(reactor, name)

    def wait(self, answered: Any) -> Any:
        """What a Deferred fires with, running the reactor if it has to."""
        out: list[Any] = []
        answered.addBoth(out.append)
        if not out:
            answered.addBoth(lambda _: self._real.stop())
            self._real.run()
        if hasattr(out[0], "raiseException"):
            out[0].raiseException()
        return out[0]


class _Never:
    """A timer that is not."""

    def active(self) -> bool:
        return False

    def cancel(self) -> None:
        """There is nothing to cancel."""


def _dialled(path: Path) -> socket.socket | None:
    """
    A connection to that socket; None when nobody serves it.

    :raises OSError: this user may not.
    """
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    return connection


def _foreign(connection: socket.socket, path: Path) -> int | None:
    """The user who serves it, where that is neither us nor who owns the socket."""
    _, uid, _ = peer_credentials(connection)
    return None if uid in (os.getuid(), path.stat().st_uid) else int(uid)


def _held(lock: Path) -> bool:
    """Whether a gateway has it: from before its sockets are served until after the last of its processes is gone."""
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there never was one
        return False
    return False


def _asked(connection: socket.socket, method: str, arguments: dict[str, Any]) -> Any:
    """
    :raises OSError: no answer came. :raises Said: it refuses.
    """
    connection.sendall(pack(["call", 1, method, arguments]))
    match _frame(connection):
        case ["answer", 1, value]:
            return value
        case ["error", 1, str(name), str(why)]:
            raise Said(from_wire(name, why))
    leave("control answered what nobody understands; are both of the same version?")


def _frame(connection: socket.socket) -> Any:
    length = int.from_bytes(_exactly(connection, 4), "big")
    if length > FRAME_LIMIT:
        raise OSError(0, "its answer is too long")
    return msgpack.unpackb(_exactly(connection, length), raw=False, strict_map_key=False)


def _exactly(connection: socket.socket, wanted: int) -> bytes:
    data = bytearray()
    while len(data) < wanted:
        more = connection.recv(wanted - len(data))
        if not more:
            raise OSError(0, "it closed the connection")
        data += more
    return bytes(data)


def secret(what: str) -> str:
    """A secret from a prompt, or the first line of stdin when that is no terminal. Never from the command line."""
    if sys.stdin.isatty():
        return str(click.prompt(what, hide_input=True, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        leave(f"{what}: nothing came on stdin")
    return line


def key(whose: str) -> str:
    """A private key, all of stdin."""
    if sys.stdin.isatty():
        leave(f"{whose} logs in with a key: give its file on stdin, < FILE")
    text = sys.stdin.read()
    if not text.strip():
        leave(f"the key of {whose}: nothing came on stdin")
    return text


def own_token(subject: str) -> str:
    """The token of who acts: OSTIARY_TOKEN, a prompt, or stdin."""
    return os.environ.get("OSTIARY_TOKEN") or secret(f"Token of {subject}")
