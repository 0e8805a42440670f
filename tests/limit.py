"""
No test waits for ever: after SECONDS it fails, and its failure says where everything stood.

A pytest plugin. The alarm raises where the test's own code runs. A test that awaits something stands nowhere: the reactor runs
meanwhile, whose loop logs every exception and goes on (so pytest-timeout cannot help), and it is raised where pytest-twisted waits
for the test. Where a library in C waits, and Python hears no alarm, the process ends itself, with the stacks on stderr.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import CoroutineType, FrameType, GeneratorType

import greenlet
import pytest
import pytest_twisted

SECONDS = 7200.0 if os.environ.get("OSTIARY_PROFILE") == "soak" else 600.0
"""For a test with its fixtures: many times what the slowest takes on a busy machine. No test asserts a time by it."""

GRACE = 60.0
"""Seconds between the alarm and the next, should a fixture's end hang too."""

LIBRARIES = "/lib/python"

STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is captured yet."""
    config.stash[STDERR] = os.dup(2)


def arm(seconds: float, stderr: int) -> None:
    """From now on the running test has so long."""
    faulthandler.dump_traceback_later(seconds + 2 * GRACE, file=stderr, exit=True)
    signal.setitimer(signal.ITIMER_REAL, seconds, GRACE)


def disarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    faulthandler.cancel_dump_traceback_later()


def pytest_enter_pdb() -> None:
    """A person at a debugger has as long as they like."""
    disarm()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Around a test with its fixtures."""
    before = signal.signal(signal.SIGALRM, _over)
    arm(SECONDS, item.config.stash[STDERR])
    try:
        return (yield)  # type: ignore[return-value]
    finally:
        disarm()
        signal.signal(signal.SIGALRM, before)


def _over(_: int, frame: FrameType | None) -> None:
    reactor, waiting = pytest_twisted._instances.gr_twisted, greenlet.getcurrent().parent
    failed = pytest.fail.Exception(f"the test did not end\n{stacks()}", pytrace=False)
    if greenlet.getcurrent() is reactor and waiting is not None and _idle(frame):
        waiting.throw(failed)  # comes back when the next test lets the reactor run
    else:
        raise failed


def _idle(frame: FrameType | None) -> bool:
    """Whether the reactor waits for events, and runs nobody's code."""
    return frame is not None and frame.f_globals["__name__"] in {"twisted.internet.base", "twisted.internet.epollreactor"}


def stacks() -> str:
    """Each thread's, and where each coroutine and generator that is no library's awaits something."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    told = [f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}" for ident, frame in sys._current_frames().items()]
    return "\n".join([*told, "suspended:", *sorted(_suspended())])


def _suspended() -> Iterator[str]:
    for one in gc.get_objects():
        if isinstance(one, CoroutineType):
            frame = None if one.cr_running else one.cr_frame
        elif isinstance(one, GeneratorType):
            frame = None if one.gi_running else one.gi_frame
        else:
            continue
        if frame is not None and LIBRARIES not in frame.f_code.co_filename:
            yield f"  {frame.f_code.co_qualname} at {frame.f_code.co_filename}:{frame.f_lineno}"
