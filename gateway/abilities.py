"""
What addons can do beside their hooks, by the attributes that they have: say which settings pass, what the target must hold,
which typed lines are refused and what of an output is hidden.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from addons.needs import Clock
from addons.sql.catalog import Snapshot
from gateway.answers import broken
from protocols.postgres import startup
from protocols.session import Session
from protocols.ssh import variables
from protocols.verdict import Deny

ADDON_DEADLINE = 10.0
"""Seconds one addon may think. A person's answer is a Hold, which has its own timeout."""

CALLERS = 3
"""Of the place at which an addon failed, so many are logged with it."""


def safely(error: BaseException) -> str:
    """An exception's class and where it was raised, never its text: that may hold what the client sent."""
    called = [f"{frame.f_code.co_name} {frame.f_code.co_filename}:{line}" for frame, line in traceback.walk_tb(error.__traceback__)]
    return " < ".join([f"{type(error).__name__} at {called[-1]}", *called[:-1][::-1][:CALLERS]]) if called else type(error).__name__


class Abilities:
    """Of one chain of addons."""

    log = Logger()
    _addons: tuple[object, ...]
    _clock: Clock

    def accepts(self, name: str, value: str) -> bool:
        """Whether a connection may bring this setting: every addon with an `accepts` agrees, else a short list does."""
        asked = [addon.accepts for addon in self._addons if callable(getattr(addon, "accepts", None))]
        try:
            return all(accepts(name, value) for accepts in asked) if asked else startup.harmless(name, value)
        except Exception as error:
            self.log.error("asked about a setting, an addon failed: {error}", error=safely(error))
            return False

    def accepts_variable(self, name: str, value: str) -> bool:
        """As `accepts`, for a variable that an SSH client wants set at its target."""
        asked = [addon.accepts_variable for addon in self._addons if callable(getattr(addon, "accepts_variable", None))]
        try:
            accepted = all(accepts(name, value) for accepts in asked) if asked else variables.harmless(name)
            return accepted and variables.legible(name, value)
        except Exception as error:
            self.log.error("asked about a variable, an addon failed: {error}", error=safely(error))
            return False

    @property
    def reads_lines(self) -> bool:
        """Whether an addon has rules about lines that are typed in a shell."""
        return any(getattr(addon, "reads_lines", False) for addon in self._addons)

    def refuses_line(self, session: Session, line: str) -> Deny | None:
        """The first addon's refusal of a line that was typed in a shell."""
        for addon in self._addons:
            if getattr(addon, "reads_lines", False):
                name = type(addon).__name__
                try:
                    answer = addon.refuses_line(session, line)
                except Exception as error:  # fail closed: the line is not sent
                    self.log.error("addon {addon} failed in refuses_line: {error}", addon=name, error=safely(error))
                    return broken(name, "failed")
                if answer is not None:
                    return answer if isinstance(answer, Deny) else broken(name, "gave no verdict")
        return None

    def masks(self, session: Session, terminal: bool) -> Callable[[], Any] | None:
        """
        Makes what masks one stream of a channel's output (`protocols.ssh.veil.Mask`); None when it passes as it is. Raises what
        an addon raises, which ends the session: output that nobody could mask is not shown.
        """
        for addon in self._addons:
            stars = getattr(addon, "stars", None)
            if callable(stars) and stars(session, terminal) is not None:
                return lambda: stars(session, terminal)
        return None

    def catalog(self, session: Session) -> Snapshot | None:
        """What an addon with a `catalog` knows of the target's functions; None where none knows all."""
        for addon in self._addons:
            known = getattr(addon, "catalog", None)
            if callable(known):
                try:
                    return known(session)
                except Exception as error:  # fail closed: any function may be anybody's
                    self.log.error("addon {addon} failed in catalog: {error}", addon=type(addon).__name__, error=safely(error))
                    return None
        return None

    def floor(self, session: Session) -> Any:
        """
        A Deferred of what the target must hold for the session to run on a floor; None when no addon wants one, a Deny
        when there can be no session.
        Whatever goes wrong is raised, or fails it.
        """
        asked = (addon.floor(session) for addon in self._addons if callable(getattr(addon, "floor", None)))
        needed = next((one for one in asked if one is not None), None)
        return needed.addTimeout(ADDON_DEADLINE, self._clock) if needed is not None else None
