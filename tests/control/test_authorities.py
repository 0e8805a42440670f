"""Ostiary's own authorities: what they sign, for whom, and that their keys stay where they are."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from twisted.internet.task import Clock

from gateway.config import Account, TargetEntry
from gateway.control.admin import Admin
from gateway.control.authorities import HOSTS, NAMES, PEOPLE, SESSION_SECONDS, SLACK, TARGETS, TTL_LIMIT
from gateway.control.badges import Badge, Badges
from gateway.control.commits import Commits
from gateway.control.desk import Desk
from gateway.control.errors import BadCall, Conflict, LoginRefused, NotAllowed, NotFound
from gateway.control.office import Office
from gateway.ssh.certificates import of_host, of_user
from gateway.ssh.lines import fingerprint, line
from protocols.ssh.certificate import Certificate
from protocols.ssh.messages import string
from tests_people import ADA, GRACE

KEY = string(b"ssh-ed25519") + string(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))  # RFC 8032, 7.1
SESSION = "0193f0aa-0000-7000-8000-000000000001"
ALGORITHM = "ssh-ed25519-cert-v01@openssh.com"
ACCOUNTS = (Account("root", "root", "certificate"), Account("app", "deploy", "key"))
WEB = TargetEntry("web", "ssh", "10.0.0.5", 22, "", (), ACCOUNTS, source_address="10.0.0.7")
PEER = "10.1.1.1:999"


def badge(authority: bytes, serial: int = 7, after: int = 500, key_id: str = "") -> dict[str, Any]:
    """What a worker says of a certificate."""
    return {"authority": authority, "serial": serial, "after": after, "key_id": key_id}


@pytest.fixture
def admin(office: Office) -> Admin:
    return Admin(office, None)


@pytest.fixture
def desk(office: Office) -> Desk:
    office.targets = MappingProxyType({"web": WEB})
    return Desk(office, {}, lambda *_: None, Commits((), Clock(), 1))


def test_a_person_gets_a_certificate_for_the_gateway(admin: Admin, clock: Clock, notary: Any) -> None:
    made = admin.ssh_sign(ADA, line(KEY, "ada@laptop"), 3600.0, "10.0.0.0/8")
    certificate = of_user(made["certificate"], ALGORITHM, ADA, "10.9.9.9", clock.seconds())
    assert certificate.principals == (ADA,) and certificate.before == clock.seconds() + 3600
    assert certificate.authority == admin.ssh_ca(PEOPLE) and "permit-pty" in certificate.extensions
    facts = dict(notary.notes)["certificate.signed"]
    assert facts["channel"] == "cli" and facts["os_user"].endswith(f"(uid {os.getuid()})")
    assert (facts["principals"], facts["serial"], facts["key"]) == (ADA, str(made["serial"]), fingerprint(KEY))


@pytest.mark.parametrize(("subject", "public", "ttl", "addresses", "error"), [
    ("eve", line(KEY), 60.0, "", NotFound),
    (ADA, "ssh-ed25519 AAAA", 60.0, "", BadCall),
    (ADA, line(KEY), TTL_LIMIT + 1, "", BadCall),
    (ADA, line(KEY), 0.0, "", BadCall),
    (ADA, line(KEY), 60.0, "home", BadCall),
], ids=["unknown", "no key", "too long", "no time", "no address"])  # fmt: skip
def test_what_is_not_signed(admin: Admin, subject: str, public: str, ttl: float, addresses: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        admin.ssh_sign(subject, public, ttl, addresses)


def test_a_session_gets_two_minutes_as_its_accounts_user(desk: Desk, clock: Clock, admin: Admin) -> None:
    made = desk.ssh_certificate("web", "root", ADA, SESSION, KEY)
    certificate = of_user(made["certificate"], ALGORITHM, "root", "10.0.0.7", clock.seconds())
    assert certificate.key_id == f"{ADA}@{SESSION}" and certificate.critical == {"source-address": "10.0.0.7"}
    assert certificate.before - clock.seconds() == SESSION_SECONDS == 120
    assert certificate.authority == admin.ssh_ca(TARGETS) != admin.ssh_ca(PEOPLE)


@pytest.mark.parametrize(("target", "account", "subject", "session", "key", "error"), [
    ("web", "app", ADA, SESSION, KEY, NotAllowed),
    ("web", "nobody", ADA, SESSION, KEY, NotAllowed),
    ("db", "root", ADA, SESSION, KEY, NotFound),
    ("web", "root", "eve", SESSION, KEY, NotFound),
    ("web", "root", ADA, "root\n", KEY, BadCall),
    ("web", "root", ADA, SESSION, b"key", BadCall),
], ids=["a stored key's account", "no account", "no target", "nobody", "no session", "no key"])  # fmt: skip
def test_a_worker_cannot_have_anything_signed(
    desk: Desk, target: str, account: str, subject: str, session: str, key: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        desk.ssh_certificate(target, account, subject, session, key)


def test_a_revoked_identity_gets_no_session(desk: Desk, admin: Admin) -> None:
    admin.identity_revoke(ADA)
    with pytest.raises(NotFound):
        desk.ssh_certificate("web", "root", ADA, SESSION, KEY)


def test_only_trusted_authorities_let_in(office: Office, desk: Desk, admin: Admin) -> None:
    """Our own for people once there is one; the one for targets never does."""
    own, targets = admin.ssh_ca(PEOPLE), admin.ssh_ca(TARGETS)
    assert desk.ssh_authority(ADA, badge(own), PEER) and not desk.ssh_authority(ADA, badge(targets), PEER)
    assert not desk.ssh_authority("eve", badge(own), PEER)
    told = desk.ssh_certificate_result(ADA, badge(own), True, PEER)
    assert (told["subject"], told["proof"]) == (ADA, "certificate") and told["token"].startswith(f"CA:{fingerprint(own)} 7 ")
    for subject, authority, good in ((ADA, own, False), (ADA, targets, True), ("eve", own, True)):
        with pytest.raises(LoginRefused):
            desk.ssh_certificate_result(subject, badge(authority), good, PEER)
    assert office.may_go_on({"subject": GRACE, "token": told["token"]})
    assert not office.may_go_on({"subject": GRACE, "token": told["token"].replace(fingerprint(own), fingerprint(targets))})


# -- revoked and replaced --------------------------------------------------------------------------


def shown(admin: Admin, subject: str = ADA) -> dict[str, Any]:
    """What a worker says of a certificate that our own authority signed now."""
    certificate, _ = Certificate.read(admin.ssh_sign(subject, line(KEY), 3600.0)["certificate"])
    return badge(certificate.authority, certificate.serial, certificate.after, certificate.key_id)


def test_a_revoked_certificate_lets_nobody_in_and_its_sessions_end(office: Office, desk: Desk, admin: Admin, notary: Any) -> None:
    """That one alone; the same identity's others go on."""
    one, other = shown(admin), shown(admin)
    sessions = [desk.ssh_certificate_result(ADA, each, True, PEER)["token"] for each in (one, other)]
    for n, token in enumerate(sessions):
        office.sessions.opened(Desk(office, {}, lambda *_: None, Commits((), Clock(), 1)), {"id": f"s{n}", "subject": ADA, "token": token})
    assert admin.ssh_revoke("serial", str(one["serial"]), "lost")["ended"] == ["s0"]
    assert not desk.ssh_authority(ADA, one, PEER) and desk.ssh_authority(ADA, other, PEER)
    with pytest.raises(LoginRefused):
        desk.ssh_certificate_result(ADA, one, True, PEER)
    assert [office.may_go_on({"subject": ADA, "token": token}) for token in sessions] == [False, True]
    assert {"serial": str(one["serial"]), "why": "lost"}.items() <= dict(notary.notes)["certificate.revoked"].items()
    assert [each["which"] for each in admin.ssh_revoked()] == [str(one["serial"])]


def test_a_revocation_outlives_a_restart(office: Office, admin: Admin, clock: Clock) -> None:
    one = shown(admin)
    admin.ssh_revoke("serial", str(one["serial"]))
    again = Badges(office.store, clock, SLACK)
    assert again.refuses(Badge("", one["serial"], one["after"], ""), ADA, own=True)


def test_a_serial_that_nobody_has_is_told_apart_from_one_that_lets_in(admin: Admin, clock: Clock) -> None:
    """Mistyped, or its time is over: no certificate is taken back by it. Those of one host's session are no person's."""
    serial = str(shown(admin)["serial"])
    assert not admin.ssh_revoke("serial", "12345")["known"] and [each["which"] for each in admin.ssh_revoked()] == ["12345"]
    assert admin.ssh_revoke("serial", serial)["known"] and admin.ssh_revoke("identity", ADA)["known"]
    clock.advance(3601)
    assert not admin.ssh_revoke("serial", serial)["known"]


def test_serials_are_forgotten_when_their_certificates_are_over(office: Office, admin: Admin, clock: Clock) -> None:
    for _ in range(3):
        shown(admin)
        clock.advance(2000)
    with office.store.read() as txn:
        kept = [key for key, _ in office.store["signed"].items(txn)]
    assert len([key for key in kept if key.startswith("serial ")]) == 2 and len(kept) == 4


def test_all_certificates_of_an_identity_until_now(desk: Desk, admin: Admin, clock: Clock) -> None:
    """Those that others signed too; one that is signed in the same second is good, and so is everybody else's."""
    before, graces = shown(admin), shown(admin, GRACE)
    admin.ssh_revoke("identity", ADA)
    after = shown(admin)
    assert not desk.ssh_authority(ADA, before, PEER) and desk.ssh_authority(ADA, after, PEER)
    assert desk.ssh_authority(GRACE, graces, PEER)
    clock.advance(5)
    assert desk.ssh_authority(ADA, shown(admin), PEER) and not desk.ssh_authority(ADA, before, PEER)


def test_serials_of_other_authorities_are_theirs_and_key_ids_are_not_ours(office: Office, desk: Desk, admin: Admin) -> None:
    """A serial of ours revokes none of theirs, which may count from 1; a key id revokes theirs, and none of ours."""
    theirs = string(b"ssh-ed25519") + string(bytes(32))
    office._user_ca = frozenset({theirs})
    ours = shown(admin)
    admin.ssh_revoke("serial", str(ours["serial"]))
    assert desk.ssh_authority(ADA, badge(theirs, ours["serial"], 500, "badge 7"), PEER)
    admin.ssh_revoke("key_id", "badge 7")
    assert not desk.ssh_authority(ADA, badge(theirs, 1, 500, "badge 7"), PEER)
    assert desk.ssh_authority(ADA, badge(theirs, 1, 500, "badge 8"), PEER)
    admin.ssh_revoke("key_id", ADA)
    assert desk.ssh_authority(ADA, shown(admin), PEER)
    admin.ssh_revoke("identity", ADA)
    assert not desk.ssh_authority(ADA, badge(theirs, 1, 500, "badge 8"), PEER)


@pytest.mark.parametrize(("kind", "which", "error"), [
    ("serial", "0", BadCall), ("serial", "-1", BadCall), ("serial", str(1 << 64), BadCall), ("serial", "7; 8", BadCall),
    ("key_id", "", BadCall), ("authority", "x", BadCall), ("identity", "eve", NotFound),
])  # fmt: skip
def test_what_cannot_be_revoked(admin: Admin, kind: str, which: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        admin.ssh_revoke(kind, which)


def test_two_authorities_let_in_for_a_while_after_a_rotation(office: Office, desk: Desk, admin: Admin, clock: Clock, notary: Any) -> None:
    former = shown(admin)
    told = admin.ssh_rotate(60.0)
    assert told["former"] == fingerprint(former["authority"]) != told["key"] == fingerprint(admin.ssh_ca(PEOPLE))
    present = shown(admin)
    assert desk.ssh_authority(ADA, former, PEER) and desk.ssh_authority(ADA, present, PEER)
    admin.ssh_revoke("serial", str(former["serial"]))
    assert not desk.ssh_authority(ADA, former, PEER)  # a former one's can be revoked too
    clock.advance(61)
    assert not desk.ssh_authority(GRACE, {**former, "serial": 9}, PEER) and desk.ssh_authority(ADA, present, PEER)
    assert dict(notary.notes)["authority.rotated"]["former"] == told["former"]


def test_a_rotation_at_once_ends_what_the_former_one_opened(office: Office, desk: Desk, admin: Admin) -> None:
    token = desk.ssh_certificate_result(ADA, shown(admin), True, PEER)["token"]
    office.sessions.opened(Desk(office, {}, lambda *_: None, Commits((), Clock(), 1)), {"id": "s", "subject": ADA, "token": token})
    office.sessions.opened(Desk(office, {}, lambda *_: None, Commits((), Clock(), 1)), {"id": "t", "subject": ADA, "token": ""})
    assert admin.ssh_rotate(0.0)["ended"] == ["s"]


def test_there_is_nothing_to_replace_before_anything_was_signed(admin: Admin) -> None:
    with pytest.raises(Conflict):
        admin.ssh_rotate(60.0)
    with pytest.raises(BadCall):
        admin.ssh_rotate(TTL_LIMIT + 1)


def test_an_authoritys_key_is_sealed_and_stays_the_same(office: Office, admin: Admin, tmp_path: Path) -> None:
    first = admin.ssh_ca(TARGETS)
    assert admin.ssh_ca(TARGETS) == first
    with office.store.read() as txn:
        seed = office.store["authorities"].get(txn, TARGETS)["seed"]
    stores = [file for file in tmp_path.rglob("data.mdb")]
    assert len(seed) == 32 and stores and all(seed not in file.read_bytes() for file in stores)
    assert seed not in repr(admin.ssh_sign(ADA, line(KEY), 60.0)).encode()


def test_the_gateway_answers_for_registered_targets_only(desk: Desk, admin: Admin, clock: Clock, notary: Any) -> None:
    """By name and by address; by no other target's, and with a host's key."""
    made = desk.ssh_host_certificate("web", KEY)
    certificate = of_host(made["certificate"], ALGORITHM, "web", clock.seconds())
    assert certificate.authority == admin.ssh_ca(HOSTS) and certificate.principals == ("web",)
    assert dict(notary.notes)["certificate.signed"]["authority"] == HOSTS
    assert desk.ssh_host_certificate("10.0.0.5", KEY)["expires"] > clock.seconds()
    for name in ("gateway", "WEB", "web.", "*", "10.0.0.7", ""):
        with pytest.raises(NotFound):
            desk.ssh_host_certificate(name, KEY)
    with pytest.raises(BadCall):
        desk.ssh_host_certificate("web", string(b"ssh-dss") + string(b"x"))


def test_no_authorities_word_is_taken_for_anothers(admin: Admin) -> None:
    assert len({admin.ssh_ca(name) for name in NAMES}) == len(NAMES) == 3


@pytest.mark.parametrize(("user", "jumps"), [
    (ADA, True), (f"nobody@{ADA.partition('@')[2]}", True), ("ada@web", False), (f"x{ADA.partition('@')[2]}", False),
])  # fmt: skip
def test_a_name_of_an_identitys_domain_is_a_whole_name(desk: Desk, user: str, jumps: bool) -> None:
    """Also one that nobody has: which identities there are is not said."""
    assert desk.ssh_jumps(user, PEER) is jumps
