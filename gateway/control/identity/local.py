"""
Which identities exist: those of the file, those added to the store, and who was revoked.

The file wins: an identity of the store under a name that the file has is not seen.
"""

from __future__ import annotations

from collections.abc import Mapping

from addons.needs import Clock
from gateway.config import IdentityEntry
from gateway.control.errors import Conflict, NotAllowed, NotFound
from gateway.control.store import Store, Transaction, Value
from protocols.session import KINDS


class Identities:
    """Looked up at each login; the store is small and in memory anyway."""

    def __init__(self, file: Mapping[str, IdentityEntry], store: Store, clock: Clock) -> None:
        self._file, self._store, self._clock = file, store, clock
        self._added, self._revoked = store["identities"], store["revocations"]

    def reload(self, file: Mapping[str, IdentityEntry]) -> None:
        """The file says this from here on."""
        self._file = file

    def get(self, subject: str) -> IdentityEntry | None:
        """The identity, revoked or not; None when there is none."""
        with self._store.read() as txn:
            return self._find(txn, subject)

    def live(self, subject: str) -> IdentityEntry | None:
        """The identity if it, and whoever it acts for, may still come in."""
        with self._store.read() as txn:
            entry = self._find(txn, subject)
            if entry is None or self._is_revoked(txn, subject) or self._astray(txn, entry):
                return None
            if entry.on_behalf_of and self._is_revoked(txn, entry.on_behalf_of):
                return None
        return entry

    def need(self, subject: str) -> IdentityEntry:
        """
        :raises NotFound: there is none.
        """
        entry = self.get(subject)
        if entry is None:
            raise NotFound(f"there is no identity {subject}. Add an [[identity]] to the file, or `ostiary identity add`.")
        return entry

    def people(self, groups: frozenset[str]) -> list[IdentityEntry]:
        """Humans in any of the groups who may come in."""
        with self._store.read() as txn:
            subjects = list(self._everyone(txn))
        entries = (self.live(subject) for subject in subjects)
        return [entry for entry in entries if entry and entry.kind == "human" and entry.groups & groups]

    def domain(self, name: str) -> bool:
        """Whether an identity is of this domain."""
        with self._store.read() as txn:
            return any(subject.endswith(f"@{name}") for subject in self._everyone(txn))

    def add(self, txn: Transaction, entry: IdentityEntry) -> None:
        """
        :raises Conflict: the name is taken.
        :raises NotAllowed: the kind is none of ours, or it would act for somebody for whom it cannot.
        """
        if self._find(txn, entry.subject) is not None:
            where = f"{'the file' if entry.subject in self._file else 'the store'}"
            raise Conflict(f"identity {entry.subject} exists already, in {where}")
        if entry.kind not in KINDS:
            raise NotAllowed(f"kind must be one of {', '.join(KINDS)}")
        astray = self._astray(txn, entry)
        if astray:
            raise NotAllowed(astray)
        self._added.put(txn, entry.subject, {
            "kind": entry.kind, "groups": sorted(entry.groups), "on_behalf_of": entry.on_behalf_of,
            "added": self._clock.seconds(),
        })

    def revoke(self, txn: Transaction, subject: str, by: str, why: str) -> None:
        """From now on it is refused, whatever the file says."""
        if self._find(txn, subject) is None:
            raise NotFound(f"there is no identity {subject}")
        self._revoked.put(txn, subject, {"at": self._clock.seconds(), "by": by, "why": why})

    def restore(self, txn: Transaction, subject: str) -> None:
        """Undo a revocation. Tokens that were revoked stay revoked."""
        if not self._revoked.delete(txn, subject):
            raise Conflict(f"identity {subject} is not revoked")

    def listed(self, txn: Transaction) -> list[Value]:
        """All identities, sorted."""
        return [self._shown(txn, subject) for subject in sorted(self._everyone(txn))]

    def shown(self, txn: Transaction, subject: str) -> Value:
        """
        :raises NotFound: there is none.
        """
        if self._find(txn, subject) is None:
            raise NotFound(f"there is no identity {subject}. `ostiary identity list` shows them.")
        return self._shown(txn, subject)

    def _shown(self, txn: Transaction, subject: str) -> Value:
        entry = self._find(txn, subject)
        assert entry is not None  # callers looked
        return {
            "subject": subject, "kind": entry.kind, "groups": sorted(entry.groups), "on_behalf_of": entry.on_behalf_of,
            "from": "file" if subject in self._file else "store", "revoked": self._is_revoked(txn, subject),
        }

    def _everyone(self, txn: Transaction) -> set[str]:
        return {*self._file, *(subject for subject, _ in self._added.items(txn))}

    def _is_revoked(self, txn: Transaction, subject: str) -> bool:
        return self._revoked.get(txn, subject) is not None

    def _astray(self, txn: Transaction, entry: IdentityEntry) -> str:
        """
        Why nobody of this kind acts for whom it names, by the rules that the file has; "" where it may.

        One step behind an agent stands a person: who may answer requests, and whose revocation ends what, goes by that. Looked at
        with each login too, since the store outlives the file that it was made beside.
        """
        if entry.on_behalf_of is None:
            return ""
        if entry.kind == "human":
            return "a person acts for nobody else"
        person = self._find(txn, entry.on_behalf_of)
        if person is None:
            return f"there is no identity {entry.on_behalf_of} to act for"
        return "" if person.kind == "human" else f"{entry.on_behalf_of} is no person; name the person behind it"

    def _find(self, txn: Transaction, subject: str) -> IdentityEntry | None:
        if subject in self._file:
            return self._file[subject]
        value = self._added.get(txn, subject) if 0 < len(subject.encode()) <= 255 else None
        if value is None:
            return None
        return IdentityEntry(subject, value["kind"], frozenset(value["groups"]), value["on_behalf_of"])
