"""
What a reload says of a configuration that is in force: warnings about its file, and targets that have not what
masking names. Whoever asked for it hears of it in the answer; everybody else reads it in the log, as after a start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.config import Config
from gateway.control.accounts import Accounts
from gateway.control.fitting import Fit, misfits, names
from gateway.control.office import Office
from gateway.control.rpc import place
from gateway.control.store import Value
from gateway.nowhere import Holdings
from gateway.warnings import Known, for_programs, in_words, warnings


class Looks:
    """At the configuration of an office and at its targets."""

    _log = Logger()

    def __init__(self, office: Office, reactor: Any) -> None:
        self._office, self._accounts, self._reactor = office, Accounts(office, reactor), reactor
        self._began: float = reactor.seconds()
        self._told: frozenset[str] | None = frozenset()  # lines of this start; None after a reload, which has told all of them
        self._at: Config | None = None
        self._waiting: list[Deferred[Value]] = []
        self._looking: Deferred[Any] | None = None

    def look(self, config: Config) -> Deferred[Value]:
        """
        Fires with {"refusing": {target: what is wrong}, "not_looked_at": [target], "warnings": as `for_programs`}. Targets are
        dialled for it: whoever comes while that is under way hears what it finds.
        """
        waiting: Deferred[Value] = Deferred()
        self._waiting.append(waiting)
        if self._at is config:
            return waiting
        self._at = config
        self._looking = looking = looked(config, self._accounts, self._reactor)
        looking.addCallback(lambda found: found[0] | {"warnings": self._warnings(config, found[1], self._began)})
        looking.addBoth(self._found, config)
        return waiting

    def foresee(self, config: Config, runs: Config) -> Deferred[Value]:
        """The same of a configuration that is not in force: what a reload would say, but for what only a start can tell."""
        found = looked(config, self._accounts, self._reactor)
        return found.addCallback(lambda one: one[0] | {"warnings": self._warnings(config, one[1], math.inf, runs)})

    def log(self, config: Config) -> None:
        """As `look`, for whoever reads the log."""
        self._told = None
        self.look(config).addCallbacks(self._said, self._failed, [config])

    def begin(self, config: Config) -> None:
        """At a start the log has at once what the file alone shows: nobody waits for a target to be there."""
        lines = list(in_words(config.file, {"refusing": {}, "not_looked_at": [], "warnings": self._warnings(config, {}, self._began)}))
        self._told = frozenset(lines)
        for line in lines:
            self._log.warn("{line}", line=line)

    def settle(self, config: Config) -> None:
        """A while after a start the log has the rest, which targets show; nothing where a reload has told it."""
        if self._told is not None:
            told, self._told = self._told, None
            self.look(config).addCallbacks(self._said, self._failed, [config, told])

    def close(self) -> None:
        """The office closes: targets are hung up, and nobody is told any more."""
        looking, self._looking, self._at, self._waiting, self._told = self._looking, None, None, [], None
        if looking is not None:
            looking.cancel()

    def _warnings(self, config: Config, seen: Mapping[str, Holdings], began: float, runs: Config | None = None) -> list[dict[str, Any]]:
        """With the people and secrets there are under it."""
        with self._office.store.read() as txn:
            known = Known.of(config, self._office.identities.listed(txn), self._office.vault.listed(txn))
        return for_programs(warnings(config, known, seen, began, runs))

    def _found(self, found: Value | Failure, config: Config) -> None:
        """Where another configuration was asked about since, all that wait hear of that one, which is in force."""
        if self._at is not config:
            return
        waiting, self._at, self._waiting, self._looking = self._waiting, None, [], None
        for one in waiting:
            one.callback(found)

    def _failed(self, failure: Failure) -> None:
        self._log.error("what is hardly meant in the configuration was not looked for: {what}", what=place(failure))

    def _said(self, found: Value, config: Config, told: frozenset[str] = frozenset()) -> None:
        for line in in_words(config.file, found):
            if line not in told:
                self._log.warn("{line}", line=line)


def looked(config: Config, accounts: Accounts, reactor: Any) -> Deferred[tuple[dict[str, Any], dict[str, Holdings]]]:
    """
    Dial the targets for which a configuration names masked columns. Fires with what `misfits` does, and what the targets were seen to
    have; never fails. A target that is not in force as this configuration has it is not looked at: no secret goes to where nobody
    was asked to send it.
    """
    masked = [entry for entry in config.targets.values() if entry.protocol != "ssh" and names(config.addons, entry)]
    seen: dict[str, Holdings] = {}
    found = misfits(masked, lambda entry: accounts.fit(entry, config.addons).addCallback(_kept, entry.name, seen), reactor)
    return found.addCallback(lambda told: (told, seen))


def _kept(fit: Fit, name: str, seen: dict[str, Holdings]) -> Fit:
    """Notes what a target was seen to have."""
    if fit.holdings is not None:
        seen[name] = fit.holdings
    return fit
