"""
What a reload says of a configuration that it has put in force: warnings about its file, and targets that have not what
masking names. Whoever asked for it hears of it in the answer; everybody else reads it in the log.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from gateway.config import Config
from gateway.control.accounts import Accounts
from gateway.control.fitting import misfits, names
from gateway.control.office import Office
from gateway.control.store import Value
from gateway.warnings import Known, for_programs, in_words, warnings


class Looks:
    """At the configuration of an office and at its targets."""

    _log = Logger()

    def __init__(self, office: Office, reactor: Any) -> None:
        self._office, self._accounts, self._reactor = office, Accounts(office, reactor), reactor
        self._at: Config | None = None
        self._waiting: list[Deferred[Value]] = []

    def look(self, config: Config) -> Deferred[Value]:
        """
        Fires with {"refusing": {target: what is wrong}, "not_looked_at": [target], "warnings": as `for_programs`}. Targets are
        dialled for it: whoever comes while that is under way hears what it finds.
        """
        waiting: Deferred[Value] = Deferred()
        if self._at is config:
            self._waiting.append(waiting)
            return waiting
        warned = {"warnings": for_programs(warnings(config, self._known(config)))}
        masked = [entry for entry in config.targets.values() if entry.protocol != "ssh" and names(config.addons, entry)]
        self._at, self._waiting = config, [waiting]
        misfits(masked, self._accounts.fit, self._reactor).addCallback(lambda found: self._found(config, found | warned))
        return waiting

    def log(self, config: Config) -> None:
        """The same, for whoever reads the log."""
        self.look(config).addCallback(self._said, config)

    def _known(self, config: Config) -> Known:
        with self._office.store.read() as txn:
            return Known.of(config, self._office.identities.listed(txn), self._office.vault.listed(txn))

    def _found(self, config: Config, found: Value) -> None:
        """Whoever has asked about another configuration since waits for that."""
        if self._at is not config:
            return
        waiting, self._at, self._waiting = self._waiting, None, []
        for one in waiting:
            one.callback(found)

    def _said(self, found: Value, config: Config) -> None:
        for line in in_words(config.file, found):
            self._log.warn("{line}", line=line)
