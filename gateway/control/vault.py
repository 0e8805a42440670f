"""
Secrets of target accounts: put in from a prompt or stdin, taken out by workers, never shown.
"""

from __future__ import annotations

from addons.needs import Clock
from gateway.control.errors import NotFound
from gateway.control.store import Store, Transaction, Value

PASSWORD_LIMIT = 4096  # characters; cloud database tokens reach 2000


class Vault:
    """One secret per (target, account)."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock, self._table = store, clock, store["secrets"]

    def secret(self, target: str, account: str) -> dict[str, str]:
        """
        For the worker that dials.

        :raises NotFound: nobody has entered it.
        """
        with self._store.read() as txn:
            value = self._table.get(txn, f"{target}\0{account}")
        if value is None:
            raise NotFound(f"the gateway was not given the password of {target}+{account}; ask its operator to enter it")
        return {"password": value["password"]}

    def put(self, txn: Transaction, target: str, account: str, password: str) -> None:
        """Replaces what was there."""
        self._table.put(txn, f"{target}\0{account}", {"password": password, "changed": self._clock.seconds()})

    def delete(self, txn: Transaction, target: str, account: str) -> None:
        """
        :raises NotFound: there was none.
        """
        if not self._table.delete(txn, f"{target}\0{account}"):
            raise NotFound(f"there is no secret for {target}+{account}")

    def listed(self, txn: Transaction) -> list[Value]:
        """Which are set and since when."""
        pairs = ((*key.split("\0", 1), value["changed"]) for key, value in self._table.items(txn))
        return [{"target": target, "account": account, "changed": changed} for target, account, changed in pairs]
