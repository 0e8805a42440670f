"""A store written through the real journal, without a reactor: what is called is committed at once."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from gateway.config import Audit
from gateway.journal import Journal
from gateway.evidence import bundle
from gateway.evidence.order import Chosen
from gateway.evidence.query import Query, Search, search
from gateway.evidence.view import Row, StoppedView
from gateway.notary import keys, seal
from gateway.notary.entry import Entry
from gateway.notary.note import Checkpoint
from gateway.notary.process import init_store
from gateway.notary.record import Kind, Record, event, identity_terms, pack, parse_event, parse_leaf
from gateway.notary.store import Store
from gateway.notary.verify import Report, verify
from protocols.command import Parameter, Statement
from protocols.result import Ending, Outcome
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny

ORIGIN = "test-gw"
BINDING_OF_TESTS = b"b" * 32
TARGET = Target("clinic", "postgres", "db", 5432)


def session(subject: str = "ada@clinic.example", **changes: Any) -> Session:
    """A new session."""
    made = Session(str(uuid.uuid4()), Identity(subject, on_behalf_of=None), TARGET, "rw", "clinicdb", "10.0.0.9:5555")
    return replace(made, **changes)


def allowed(text: str, *values: bytes, **changes: Any) -> Decision:
    statement = Statement(text, parameters=tuple(Parameter(25, 0, value) for value in values))
    return Decision(statement, Allow(), sent=text, **changes)


def denied(text: str, reason: str = "not here") -> Decision:
    return Decision(Statement(text), Deny(reason, rule="no-drop"), sent=text, rule="no-drop", addon="Policy")


DONE = Outcome(Ending.COMPLETE, ("SELECT 1",), rows=1, bytes=9, cells_masked=1, columns=("ssn",))


class Told:
    """A waiter that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def durable(self, sequence: int) -> None:
        self.told.append(("durable", sequence))

    def refused(self, sequence: int, why: str) -> None:
        self.told.append(("refused", sequence, why))

    def unrecordable(self, why: str) -> None:
        self.told.append(("unrecordable", why))


class DirectClient:
    """A client whose notary is a Store in this thread."""

    why_down = "not listening yet"

    def __init__(self, store: Store) -> None:
        self.store = store
        joined = store.join("worker", 1, 1)
        store.commit([joined])
        self.worker = joined.worker

    def listen(self, listener: Journal) -> None:
        self._listener = listener
        listener.up(self.worker)

    def append(self, worker: int, first: int, items: Sequence[Sequence[Any]]) -> None:
        entries = [
            Entry.of(worker, first + i, packed, parse_event(packed), body, terms or ())
            for i, (packed, body, terms) in enumerate(items)
        ]
        refusals = self.store.commit(entries)
        refused = [(entry.sequence, why) for entry, why in zip(entries, refusals, strict=True) if why]
        self._listener.acknowledged(entries[-1].sequence, refused)


def audit(folder: Path, **changes: Any) -> Audit:
    return replace(Audit(folder / "audit", segment_bytes=1 << 20, anchor_file=folder / "anchor"), **changes)


def new_store(folder: Path, **changes: Any) -> Store:
    """Initialised if need be, and open."""
    settings = audit(folder, **changes)
    init_store(settings, ORIGIN, folder)
    return Store(settings, keys.load(folder, ORIGIN))


def journal(store: Store) -> Journal:
    """A journal on it; flush() commits."""
    return Journal(DirectClient(store), Clock())


def fill(store: Store, commands: int, said: Session | None = None) -> Session:
    """A session with so many commands, each with its outcome and in a transaction of its own."""
    said, told, book = said or session(), Told(), journal(store)
    book.opened(said, {"tls": "verify"}, told)
    for number in range(commands):
        book.intend(said, number, allowed(f"SELECT {number} FROM patients", b"secret-%d" % number), told)
        book.flush()
        book.report(said, number, allowed(""), DONE, 1500)
        book.flush()
    book.closed(said, "bye")
    book.flush()
    return said


def approve(store: Store, name: str, binding: bytes, expires_ns: int, uses: int = 1) -> None:
    """As control does."""
    store.commit([store.own(event(Kind.APPROVAL, name, binding, expires_ns, uses, "request-1"))])


def seal_all(store: Store) -> None:
    """What the writer's other thread does."""
    for number in list(store.unsealed):
        store.sealed(number, *seal.seal(store.layout.open(number), store.layout.sealed(number)))


def records(store: Store, number: int) -> list[Record]:
    """All records of a segment, parsed."""
    return [parse_leaf(leaf) for _, leaf, _ in store.page(number, 0, 1 << 30).rows]


class DirectView:
    """A store that is written in this thread, read and asked as through its notary."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ledger(self) -> tuple[list[bytes], str]:
        return self._store.ledger.page(0, 1 << 20)

    def present(self) -> set[int]:
        return self._store.layout.present()

    def unfit(self, number: int) -> str:
        return ""

    def page(self, number: int, start: int) -> tuple[list[Row], str]:
        page = self._store.page(number, start, 1 << 20)
        return page.rows, page.head

    def record_viewing(self, what: str, facts: dict[str, str]) -> bool:
        said = dict(sorted(facts.items()))
        self._store.commit([self._store.own(event(Kind.ADMIN, what, 1, 1), pack([said]), identity_terms(said))])
        return True

    def end(self) -> tuple[int, int]:
        return self._store.segment.number, self._store.segment.size


def export(folder: Path, view: Any, out: Path, query: Query = Query(), form: str = "jsonl", *, closed: bool = False) -> Path:
    """A bundle, as `ostiary audit export` makes it; :param closed: without the key that opens bodies."""
    bodies = None if closed else keys.load(folder, ORIGIN).bodies
    upto, asked = view.end(), query.described()
    chosen = Chosen.of(search(view, Search(query, bodies), upto=upto))
    if upto is not None and bodies is not None:
        chosen.ordered(view, bodies, {"by": "root", "out": out.name, **chosen.facts(upto, asked)}, upto)
    bundle.export(view, keys.load_public(folder), chosen, bodies, asked, out, form)
    return out


def checked(folder: Path, anchors: Sequence[Checkpoint] = ()) -> Report:
    """`verify` of a stopped store, with its own public key."""
    view = StoppedView(folder / "audit")
    try:
        return verify(view, keys.load_public(folder), (), anchors)
    finally:
        view.close()
