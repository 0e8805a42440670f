"""What control logs in to targets with: an account and its secret, as people named them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from gateway import upstream
from gateway.config import MASKING, Account, AddonEntry, TargetEntry
from gateway.control.errors import Conflict, NotFound
from gateway.control.office import Office

if TYPE_CHECKING:
    from gateway.control.fitting import Fit

READER = {"application_name": "ostiary provision"}
"""What a server shows of a login that reads its catalog."""


class Accounts:
    """Those of the targets that are in force."""

    def __init__(self, office: Office, reactor: Any) -> None:
        self._office, self._reactor = office, reactor

    def login(self, target: str, account: str) -> tuple[TargetEntry, Account, str | None]:
        """
        A target, one of its accounts (the first when none is named) and the account's secret.

        :raises NotFound: what is missing; says the mend.
        """
        entry = self._office.targets.get(target)
        if entry is None:
            raise NotFound(f"there is no target {target}. `ostiary target list` shows them.")
        chosen = entry.account(account)
        if chosen is None:
            raise NotFound(f"target {target} has no account {account}")
        try:
            password = self._office.vault.secret(target, chosen.name)["password"] if chosen.auth in ("password", "key") else None
        except NotFound as error:
            raise NotFound(f"{error.why}: ostiary account secret {target} {chosen.name}") from None
        return entry, chosen, password

    def reader(self, target: str) -> str:
        """The account that reads the catalog, where there is one."""
        entry = self._office.targets.get(target)
        return next((one.name for one in entry.accounts if one.catalog), "") if entry else ""

    def floor(self, target: str, account: str, database: str, groups: frozenset[str]) -> str:
        """
        The role that a session of such a person would have instead of the account's own, as `addons.masking` decides it at a
        login; "" where it keeps that. A reveal that is in force then keeps it off the floor.
        """
        entry = self._office.targets.get(target)
        chosen = entry.account(account) if entry is not None else None
        below = entry.account(chosen.floor) if entry is not None and chosen is not None and chosen.floor else None
        if below is None:
            return ""
        for addon in self._office.addons:
            columns = addon.options.get("columns", ()) if addon.use == MASKING else ()
            here = [one for one in columns if target in (one.get("targets") or (target,)) and database in (one.get("databases") or (database,))]
            if here and not any(groups & set(one.get("clear", ())) for one in here):
                return below.user
        return ""

    def fit(self, entry: TargetEntry, addons: Sequence[AddonEntry]) -> Deferred[Fit]:
        """
        Whether the declarations of these addons' masking fit a target; as `fitting.fitted`.

        :raises NotFound: as `login`. :raises Conflict: the target in force is another, and its secrets are not this one's.
        """
        from gateway.control.fitting import fitted

        if self._office.targets.get(entry.name, entry) != entry:
            raise Conflict(f"target {entry.name} is not in force as the file has it: run ostiary reload first")
        _entry, reader, password = self.login(entry.name, self.reader(entry.name))

        def dial(database: str) -> Deferred[Any]:
            return upstream.dial(self._reactor, entry, reader, password, database, READER)

        found: Deferred[Fit] = fitted(addons, entry, dial)
        return found
