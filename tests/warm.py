"""
The `ostiary` command, run in a process that is forked from one which has imported it already: most of what a short command costs is
its imports, and tests run hundreds.

What runs is what `python -m gateway.cli.main` does, with a directory, an environment, arguments and streams of its own. The process
that has imported is started at the first command, holds nothing of any, and ends when the process that tests does.

    the tests' process                    the warm one                        a command
    run() ── SEQPACKET: a JSON object, ─▶ serve() ── fork ─▶ become()
             its four descriptors                            stdin, stdout, stderr: files
          ◀─────────────────────────────── stream: its process id; at its end its exit code
"""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parent.parent
PROGRAM = "gateway.cli.main"  # not imported beforehand: it is run as `-m` does
IMPORTED = (
    *(f"gateway.cli.{noun}" for noun in ("account", "audit", "check", "identity", "otp", "policy", "reload", "request", "session", "ssh", "target", "token")),
    "gateway.chain", "gateway.matrix", "gateway.revision", "gateway.vetting", "addons.access", "addons.masking", "addons.policy",
)  # fmt: skip
"""What commands need, and none of it installs a reactor or begins a thread."""
LARGEST = 1 << 17  # bytes of a call; an environment is a few thousand


def run(
    words: Sequence[str], *, environment: Mapping[str, str], directory: Path, stdin: str = "", timeout: float
) -> subprocess.CompletedProcess[str]:
    """
    As `subprocess.run` with captured output.

    :raises subprocess.TimeoutExpired: it has been killed.
    """
    mine, its = socket.socketpair()
    with mine, tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        with its:
            call = {"words": list(words), "environment": dict(environment), "directory": str(directory)}
            socket.send_fds(_warm(), [json.dumps(call).encode()], [given.fileno(), out.fileno(), err.fileno(), its.fileno()])
        code = _ended(mine, words, timeout)
        said = [_text(file) for file in (out, err)]
    return subprocess.CompletedProcess(list(words), code, *said)


def _ended(line: socket.socket, words: Sequence[str], timeout: float) -> int:
    """Its exit code, once the process is gone; one that the kernel ended told none. Its time begins when it does."""
    told = line.recv(64)
    line.settimeout(timeout)
    try:
        while part := line.recv(64):
            told += part
    except TimeoutError:
        os.kill(int(told.split()[0]), signal.SIGKILL)
        raise subprocess.TimeoutExpired(list(words), timeout) from None
    return int(told.split()[1]) if len(told.split()) == 2 else -signal.SIGKILL


def _text(file: tempfile._TemporaryFileWrapper[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


@functools.cache
def _warm() -> socket.socket:
    """Where calls are sent."""
    mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        subprocess.Popen(
            [sys.executable, "-c", f"from tests.warm import serve; serve({its.fileno()})"], pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    return mine


# -- in the warm process ----------------------------------------------------------------------


def serve(number: int) -> None:
    """A process for each call, until nobody can call any more."""
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    with socket.socket(fileno=number) as door:
        while True:
            call, descriptors, _, _ = socket.recv_fds(door, LARGEST, 4)
            if not call:
                return
            if not os.fork():
                door.close()
                become(json.loads(call), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def become(call: Mapping[str, object], descriptors: Sequence[int]) -> NoReturn:
    """The command."""
    *streams, line = descriptors
    os.set_inheritable(line, False)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.write(line, b"%d " % os.getpid())
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["directory"])
    sys.argv = ["", *call["words"]]
    code = _code()
    os.write(line, b"%d" % code)
    sys.exit(code)


def _code() -> int:
    """Of running it, as the interpreter makes one."""
    try:
        runpy.run_module(PROGRAM, run_name="__main__", alter_sys=True)
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


