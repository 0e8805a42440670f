"""The store: sealed, owned by one process, brought up to date; the vault, the outbox and counts on top of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from gateway.control import store as store_module
from gateway.control.admin import Admin
from gateway.control.errors import BadCall, NotFound, StoreRefused
from gateway.control.limits import Limits
from gateway.control.office import Office, key_file
from gateway.control.seal import Seal, read_key, write_key
from gateway.control.store import NAME, VERSION, Store
from tests_people import ADA, GRACE

KEY = bytes(range(32))


# -- seal ----------------------------------------------------------------------------


@given(st.binary(), st.binary(), st.binary())
def test_what_is_sealed_opens_at_its_place_only(value: bytes, place: bytes, elsewhere: bytes) -> None:
    seal = Seal(KEY)
    sealed = seal.close(place, value)
    assert seal.open(place, sealed) == value and (len(value) < 4 or value not in sealed)
    if elsewhere != place:
        with pytest.raises(StoreRefused):
            seal.open(elsewhere, sealed)
    with pytest.raises(StoreRefused):
        Seal(bytes(32)).open(place, sealed)


@pytest.mark.parametrize("at", [0, 12, -1])
def test_a_changed_bit_is_noticed(at: int) -> None:
    sealed = bytearray(Seal(KEY).close(b"t", b"value"))
    sealed[at] ^= 1
    with pytest.raises(StoreRefused):
        Seal(KEY).open(b"t", bytes(sealed))


@pytest.mark.parametrize("sealed", [b"", b"short", b"x" * 12])
def test_what_was_never_sealed(sealed: bytes) -> None:
    with pytest.raises(StoreRefused):
        Seal(KEY).open(b"t", sealed)


def test_key_files(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(StoreRefused, match="restore it from backup"):
        read_key(path)
    write_key(path)
    key = read_key(path)
    assert len(key) == 32 and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_key(path)
    assert read_key(path) == key
    path.chmod(0o640)
    with pytest.raises(StoreRefused, match="chmod 600"):
        read_key(path)
    path.chmod(0o600)
    for broken in (b"", b"short", b"!" * 44):
        path.write_bytes(broken)
        with pytest.raises(StoreRefused, match="does not hold a key"):
            read_key(path)


# -- store ---------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = Store(tmp_path / "control", Seal(KEY))
    yield store
    store.close()


def test_values_and_their_order(store: Store) -> None:
    table = store["secrets"]
    with store.write() as txn:
        for key in ("b", "a\0 2", "a\0 1", "ab"):
            table.put(txn, key, {"key": key})
    with store.read() as txn:
        assert [key for key, _ in table.items(txn)] == ["a\0 1", "a\0 2", "ab", "b"]
        assert [value["key"] for _, value in table.items(txn, "a\0")] == ["a\0 1", "a\0 2"]
        assert table.get(txn, "c") is None and table.get(txn, "") is None and table.get(txn, "x" * 600) is None
    with store.write() as txn:
        assert table.delete(txn, "b") and not table.delete(txn, "b")


def test_an_error_leaves_nothing_of_a_transaction(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as txn:
        store["secrets"].put(txn, "a", {})
        raise ZeroDivisionError
    with store.read() as txn:
        assert store["secrets"].get(txn, "a") is None


def test_a_value_moved_to_another_key_does_not_open(tmp_path: Path) -> None:
    """Whoever can write the file cannot give Ada's token to Eve."""
    store = Store(tmp_path / "control", Seal(KEY))
    with store.write() as txn:
        store["tokens"].put(txn, "ada", {"subject": "ada"})
    store.close()
    environment = lmdb.open(str(tmp_path / "control"), max_dbs=32)
    table = environment.open_db(b"tokens")
    with environment.begin(write=True) as txn:
        txn.put(b"eve", txn.get(b"ada", db=table), db=table)
    environment.close()
    store = Store(tmp_path / "control", Seal(KEY))
    with store.read() as txn, pytest.raises(StoreRefused):
        store["tokens"].get(txn, "eve")
    store.close()


def test_one_process_at_a_time(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreRefused, match="another process"):
        Store(tmp_path / "control", Seal(KEY))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom gateway.control.store import Store\nfrom gateway.control.seal import Seal\n"
        "from gateway.control.errors import StoreRefused\n"
        "try: Store(Path(sys.argv[2]), Seal(bytes(32)))\nexcept StoreRefused as error: print(error.why)\n"
    )
    root = Path(__file__).parent.parent.parent
    said = subprocess.run([sys.executable, "-c", code, str(root), str(tmp_path / "control")], capture_output=True, text=True)
    assert "another process" in said.stdout, said.stderr


def test_files_are_for_their_owner_only(store: Store, tmp_path: Path) -> None:
    assert {p.name: p.stat().st_mode & 0o077 for p in (tmp_path / "control").iterdir()} == {"data.mdb": 0, "lock.mdb": 0, "owner": 0}
    assert (tmp_path / "control").stat().st_mode & 0o777 == 0o700


def raw(directory: Path, meta: dict[bytes, bytes]) -> None:
    """Write what another program left."""
    directory.mkdir(exist_ok=True)
    environment = lmdb.open(str(directory), max_dbs=32)
    table = environment.open_db(b"meta")
    with environment.begin(write=True) as txn:
        for key, value in meta.items():
            txn.put(key, value, db=table)
    environment.close()


def test_a_store_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    raw(tmp_path / "control", {b"name": NAME, b"version": b"%d" % (VERSION + 1)})
    with pytest.raises(StoreRefused, match="Upgrade"):
        Store(tmp_path / "control", Seal(KEY))
    raw(tmp_path / "control", {b"version": b"%d" % VERSION})
    Store(tmp_path / "control", Seal(KEY)).close()  # the lock was given back


def test_another_programs_store_is_left_alone(tmp_path: Path) -> None:
    raw(tmp_path / "control", {b"name": b"something-else", b"version": b"1"})
    with pytest.raises(StoreRefused, match="another program"):
        Store(tmp_path / "control", Seal(KEY))


def version_1(directory: Path) -> None:
    """A store as version 1 wrote it: tokens without the index by subject."""
    raw(directory, {b"name": NAME, b"version": b"1"})
    environment, seal = lmdb.open(str(directory), max_dbs=32), Seal(KEY)
    table = environment.open_db(b"tokens")
    token = {
        "hash": b"h" * 32, "stored_key": b"k" * 32, "server_key": b"s" * 32, "created": 1.0, "expires": 9e9, "revoked": None,
        "note": "",
    }
    with environment.begin(write=True) as txn:
        for identifier, subject in (("0123456789", ADA), ("abcdef0123", ADA), ("9876543210", GRACE)):
            body = msgpack.packb(token | {"subject": subject})
            txn.put(identifier.encode(), seal.close(b"tokens\0" + identifier.encode(), body), db=table)
    environment.close()


def test_an_old_store_is_brought_up_to_date(tmp_path: Path) -> None:
    """Version 1 to this one, in one transaction; the second opening finds nothing to do."""
    version_1(tmp_path / "control")
    for _ in range(2):
        store = Store(tmp_path / "control", Seal(KEY))
        assert store.version == VERSION
        with store.read() as txn:
            index = [key for key, _ in store["tokens_by_subject"].items(txn)]
            assert index == [f"{ADA}\x000123456789", f"{ADA}\0abcdef0123", f"{GRACE}\x009876543210"]
        store.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    version_1(tmp_path / "control")
    with pytest.raises(StoreRefused):
        Store(tmp_path / "control", Seal(bytes(32)))  # another key: the tokens do not open
    store = Store(tmp_path / "control", Seal(KEY))
    assert store.version == VERSION
    store.close()


def test_a_full_store_refuses_and_recovers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "MAP_SIZE", 1 << 20)
    store = Store(tmp_path / "control", Seal(KEY))
    with pytest.raises(StoreRefused, match="cannot be written"):
        with store.write() as txn:
            store["requests"].put(txn, "big", {"text": "x" * (2 << 20)})
    with store.write() as txn:
        store["requests"].put(txn, "small", {"text": "x"})
    store.close()


def test_a_store_that_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "data.mdb").write_bytes(b"not lmdb" * 4096)
    with pytest.raises(StoreRefused, match="cannot be opened"):
        Store(tmp_path / "control", Seal(KEY))


def test_the_key_lies_apart_from_the_store(state: Path) -> None:
    assert not key_file(state).is_relative_to(state / "control")
    with pytest.raises(StoreRefused):
        os.rename(key_file(state), key_file(state).with_name("gone"))
        Office(state, {}, Clock())


# -- vault, outbox, limits -----------------------------------------------------------


def test_the_vault(office: Office) -> None:
    admin = Admin(office, None)
    with pytest.raises(NotFound, match="the password of clinic\\+rw"):
        office.vault.secret("clinic", "rw")
    admin.account_secret("clinic", "rw", "one")
    admin.account_secret("clinic", "rw", "two")
    assert office.vault.secret("clinic", "rw") == {"password": "two"}
    assert [(one["target"], one["account"]) for one in admin.account_list()] == [("clinic", "rw")]
    for wrong in ("", "x" * 5000, "a\0b"):
        with pytest.raises(BadCall):
            admin.account_secret("clinic", "rw", wrong)


def test_notes_wait_for_the_notary_in_order_and_through_a_crash(
    open_office: Callable[[], Office], notary: Any, clock: Clock
) -> None:
    notary.down = True
    office = open_office()
    for number in range(3):
        office.outbox.tell("test", {"n": number})
    assert notary.notes == []
    open_office()
    notary.down = False
    clock.advance(1)
    assert [facts["n"] for _, facts in notary.notes] == ["0", "1", "2"]
    assert [facts["number"] for _, facts in notary.notes] == ["1", "2", "3"]
    open_office()
    clock.advance(5)
    assert len(notary.notes) == 3, "what was delivered is not told again"


def test_a_change_and_its_note_are_stored_together(office: Office, notary: Any) -> None:
    """No token without a record of it."""
    notary.down = True
    Admin(office, None).token_issue(ADA, 60.0)
    with office.store.read() as txn:
        [(_, note)] = office.store["outbox"].items(txn)
    assert note["kind"] == "token.issued" and note["facts"]["subject"] == ADA


def test_counts_slide(clock: Clock) -> None:
    limits = Limits(clock)
    assert [limits.count(ADA, 5), limits.count(GRACE, 1)] == [5, 1]
    clock.advance(30)
    assert limits.count(ADA, 5) == 10
    clock.advance(30)
    assert limits.count(ADA, 0) == 5
    clock.advance(30)
    assert limits.count(ADA, 0) == 0
    assert limits.count(ADA, -5) == 0


def test_what_is_due_waits_for_a_store_that_refuses(
    office: Office, asked: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of "too late" is not lost because the disk was full when it came."""
    answers: list[Any] = []
    office.on_answered = answers.append
    office.requests.submit(asked(timeout=5.0))
    writing = Store.write

    def refuse(self: Store) -> Any:
        raise StoreRefused("full")

    monkeypatch.setattr(Store, "write", refuse)
    clock.advance(6)
    assert answers == []
    monkeypatch.setattr(Store, "write", writing)
    clock.advance(1)
    assert [answer["state"] for answer in answers] == ["expired"]
