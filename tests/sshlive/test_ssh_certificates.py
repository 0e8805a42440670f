"""Certificates, both ways: who comes in with one, what it allows, and with what the gateway logs in at targets."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house import until
from tests.ssh_house import ADA, GRACE, WEB, SshHouse
from tests.sshd import USER, Sshd, keygen
from tests.sshlive.test_ssh_sessions import noted

pytestmark = pytest.mark.live


@dataclass
class Certified:
    """A gateway that trusts an authority of the house besides its own, before a sshd that trusts the gateway's only."""

    house: SshHouse
    sshd: Sshd
    authority: Path

    def signed(self, folder: Path, *options: str, authority: Path | None = None, name: str = ADA) -> Path:
        """A new key with a certificate beside it, as an operator of the house's authority makes one."""
        key = keygen(folder / "key")
        command = ["ssh-keygen", "-q", "-s", str(authority or self.authority), "-I", "badge 7", "-n", name, "-V", "-5m:+1h", *options]
        subprocess.run([*command, f"{key}.pub"], check=True)
        return key

    def ssh(self, key: Path, *words: str, user: str = f"{ADA}@{WEB}", client: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
        """With that key and its certificate only."""
        line = [word.replace(str(self.house.key), str(key)) for word in self.house.line("-o", "LogLevel=INFO", *client, user=user)]
        return subprocess.run([*line, "127.0.0.1", *words], capture_output=True, check=False, timeout=120, stdin=subprocess.DEVNULL)

    def failed(self, why: str, last: int = 1) -> None:
        """The evidence says of one of the last logins that it failed by this."""
        noted(self.house, "login.failed", lambda facts: why in facts["why"], last)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    folder = tmp_path_factory.mktemp("certified")
    authority = keygen(folder / "authority")
    ca = folder / "trusted"
    ca.write_text("")
    with Sshd(folder / "sshd", {"TrustedUserCAKeys": str(ca), "AuthorizedKeysFile": "none"}) as sshd:
        line = authority.with_suffix(".pub").read_text().strip()
        house = SshHouse(folder / "h", sshd, workers=1, account={"auth": "certificate"}, user_ca=[line])
        ca.write_text(house.ostiary_ok("ssh", "ca"))
        with house:
            yield Certified(house, sshd, authority)


# -- toward targets --------------------------------------------------------------------------------


def test_a_session_logs_in_with_a_certificate_and_the_targets_own_log_names_who_it_is(certified: Certified) -> None:
    """No secret was entered for the account; serial and session are in both records."""
    assert certified.house.ssh("echo in").stdout == b"in\n"
    opened = certified.house.records("--kind", "opened")[-1]
    serial = opened["body"]["facts"]["target_certificate"]
    until(lambda: f"ID {ADA}@{opened['session']} (serial {serial})" in certified.sshd.log.read_text(), "the target's log")
    signed = [r["body"]["facts"] for r in certified.house.records("--kind", "admin") if r["fields"]["what"] == "certificate.signed"][-1]
    assert (signed["serial"], signed["principals"], signed["authority"]) == (serial, USER, "targets")


def test_an_operator_can_try_an_account_without_a_secret(certified: Certified) -> None:
    assert "works" in certified.house.ostiary_ok("target", "check", WEB)


def test_a_certificate_for_people_lets_nobody_in_at_a_target(certified: Certified, tmp_path: Path) -> None:
    """The two authorities are apart: whoever holds a badge for the gateway cannot pass it by."""
    key = keygen(tmp_path / "key")
    line = certified.house.ostiary_ok("ssh", "sign", "--identity", ADA, f"{key}.pub")
    Path(f"{key}-cert.pub").write_text(line)
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", str(key)]
    direct = subprocess.run(["ssh", *options, "-p", str(certified.sshd.port), "-l", USER, "127.0.0.1", "true"], capture_output=True, check=False)
    assert direct.returncode == 255
    people, targets = (certified.house.ostiary_ok("ssh", "ca", *words) for words in (["--people"], []))
    assert people.split()[1] != targets.split()[1]


# -- people's ----------------------------------------------------------------------------------------


def test_a_certificate_of_the_gateways_own_lets_in(certified: Certified, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key")
    Path(f"{key}-cert.pub").write_text(certified.house.ostiary_ok("ssh", "sign", "--identity", ADA, "--ttl", "1h", f"{key}.pub"))
    done = certified.ssh(key, "echo in")
    assert done.stdout == b"in\n", done.stderr
    opened = certified.house.records("--kind", "opened")[-1]["body"]
    assert opened["proof"] == "certificate" and opened["facts"]["client_certificate"] == ADA
    assert certified.ssh(key, "echo in", user=f"{GRACE}@{WEB}").returncode == 255


def test_a_revoked_certificate_ends_the_connection_that_others_share(certified: Certified, tmp_path: Path) -> None:
    """By its serial; what runs over a shared connection ends with it, and no further session begins on it."""
    key = keygen(tmp_path / "key")
    made = json.loads(certified.house.ostiary_ok("ssh", "sign", "--json", "--identity", ADA, f"{key}.pub"))
    Path(f"{key}-cert.pub").write_text(made["certificate"])
    with tempfile.TemporaryDirectory() as short:
        shared = ("-o", f"ControlPath={short}/m")
        line = [w.replace(str(certified.house.key), str(key)) for w in certified.house.line("-M", *shared, "127.0.0.1", "echo begun; exec sleep 600")]
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as client:
            assert client.stdout is not None and client.stdout.readline() == b"begun\n"
            assert certified.ssh(key, "echo shared", client=shared).stdout == b"shared\n"
            assert "Sessions ended: 1." in certified.house.ostiary_ok("ssh", "revoke", str(made["serial"]), "--why", "lost")
            assert client.wait(30) == 255 and client.stderr is not None and b"was revoked" in client.stderr.read()
        assert certified.ssh(key, "echo in", client=shared).returncode == 255
    certified.failed("was revoked")
    [record] = [r["body"]["facts"] for r in certified.house.records("--kind", "admin") if r["fields"]["what"] == "certificate.revoked"]
    assert (record["serial"], record["why"]) == (str(made["serial"]), "lost")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa", "ed25519"])
def test_a_certificate_of_an_authority_of_the_file_lets_in(certified: Certified, tmp_path: Path, kind: str) -> None:
    """Keys of every kind, and an authority that signs with RSA and SHA-2 too."""
    authority = keygen(tmp_path / "rsa", "rsa") if kind == "rsa" else certified.authority
    before = list(certified.house.user_ca)
    if kind == "rsa":
        certified.house.user_ca.append((tmp_path / "rsa.pub").read_text().strip())
        certified.house.reload()
    try:
        (tmp_path / "of").mkdir()
        key = keygen(tmp_path / "of" / "key", kind)
        subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "badge 7", "-n", ADA, "-z", "42", f"{key}.pub"], check=True)
        done = certified.ssh(key, "echo in")
        assert done.stdout == b"in\n", done.stderr
    finally:
        if kind == "rsa":
            certified.house.user_ca[:] = before
            certified.house.reload()
    facts = certified.house.records("--kind", "opened")[-1]["body"]["facts"]
    assert (facts["client_certificate"], facts["client_certificate_serial"]) == ("badge 7", "42")


@pytest.mark.parametrize(("options", "why"), [
    (("-V", "-2h:-1h"), "expired"),
    (("-n", GRACE), "name"),
    (("-O", "source-address=192.0.2.0/24"), "address"),
    (("-O", "critical:no-such-option@example=1"), "no-such-option"),
], ids=["expired", "another's", "elsewhere", "unknown critical option"])  # fmt: skip
def test_a_certificate_that_is_not_good_is_refused_and_the_record_says_why(
    certified: Certified, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    key = certified.signed(tmp_path, *options)
    done = certified.ssh(key, "echo in")
    assert done.returncode == 255 and done.stdout == b""
    certified.failed(why, last=4)


def test_a_session_outlives_its_certificate_and_nobody_comes_in_with_it_any_more(certified: Certified, tmp_path: Path) -> None:
    """Also while its keys change."""
    for seconds in (6, 20, 50):  # on a busy machine it may end before somebody has come in with it
        (tmp_path / str(seconds)).mkdir()
        key = certified.signed(tmp_path / str(seconds), "-V", f"-5m:+{seconds}s")
        line = [word.replace(str(certified.house.key), str(key)) for word in certified.house.line("-o", "RekeyLimit=64K", "127.0.0.1", "echo begun; cat")]
        client = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert client.stdout is not None
        if client.stdout.readline() == b"begun\n":
            break
        client.communicate(timeout=60)
    with client:
        until(lambda: certified.ssh(key, "true").returncode == 255, "the certificate's end")
        certified.failed("expired")
        out, err = client.communicate(b"x" * 300_000, timeout=60)
        assert (out, client.returncode) == (b"x" * 300_000, 0), err


def test_a_certificate_of_a_stranger_is_refused(certified: Certified, tmp_path: Path) -> None:
    key = certified.signed(tmp_path, authority=keygen(tmp_path / "stranger"))
    assert certified.ssh(key, "echo in").returncode == 255
    certified.failed("authority", last=3)


def test_a_forced_command_runs_whatever_is_asked_and_is_what_is_recorded(certified: Certified, tmp_path: Path) -> None:
    key = certified.signed(tmp_path, "-O", "force-command=echo forced")
    for words in (("echo asked",), ()):
        done = certified.ssh(key, *words)
        assert done.stdout == b"forced\n", done.stderr
    assert certified.ssh(key, "sftp", client=("-s",)).stdout == b"forced\n"
    assert certified.house.records("--kind", "intent")[-1]["body"]["text"] == "echo forced"


def test_what_a_certificate_does_not_permit_is_refused(certified: Certified, tmp_path: Path) -> None:
    """Neither a terminal nor a forward; commands run."""
    key = certified.signed(tmp_path, "-O", "clear")
    assert b"PTY allocation request failed" in certified.ssh(key, "tty", client=("-tt",)).stderr
    assert certified.ssh(key, "echo in").stdout == b"in\n"
    forward = certified.ssh(key, client=("-W", f"127.0.0.1:{certified.sshd.port}"))
    assert forward.returncode != 0 and b"SSH-2.0" not in forward.stdout
    assert certified.house.records("--kind", "refusal")[-1]["fields"]["code"] == "OST-633"


def test_a_session_ends_when_its_authority_is_taken_out(certified: Certified, tmp_path: Path) -> None:
    key = certified.signed(tmp_path)
    line = [word.replace(str(certified.house.key), str(key)) for word in certified.house.line("127.0.0.1", "echo begun; exec sleep 600")]
    before = list(certified.house.user_ca)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        assert client.stdout is not None and client.stdout.readline() == b"begun\n"
        certified.house.user_ca.clear()
        try:
            certified.house.reload()
            assert client.wait(30) == 255
            assert certified.ssh(key, "echo in").returncode == 255
        finally:
            certified.house.user_ca[:] = before
            certified.house.reload()


def test_a_revoked_identity_does_not_come_in_with_a_certificate(certified: Certified, tmp_path: Path) -> None:
    key = certified.signed(tmp_path, name=GRACE)
    certified.house.ostiary_ok("identity", "revoke", GRACE)
    try:
        assert certified.ssh(key, "echo in", user=f"{GRACE}@{WEB}").returncode == 255
    finally:
        certified.house.ostiary_ok("identity", "restore", GRACE)
    assert certified.ssh(key, "echo in", user=f"{GRACE}@{WEB}").stdout == b"in\n"


# -- of hosts ----------------------------------------------------------------------------------------


def test_a_host_is_known_by_its_authority_until_another_certifies_it(tmp_path: Path) -> None:
    """A real sshd's HostCertificate. Another authority's is refused before a login, and recorded."""
    authority, stranger = keygen(tmp_path / "hosts"), keygen(tmp_path / "stranger")
    sshd = Sshd(tmp_path / "sshd", {"HostCertificate": str(tmp_path / "sshd" / "host-cert.pub")})

    def certify(by: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-s", str(by), "-I", "web", "-h", "-n", "127.0.0.1", str(sshd.folder / "host.pub")], check=True)

    certify(authority)
    with sshd, SshHouse(tmp_path / "h", sshd, workers=1, host_ca=[authority.with_suffix(".pub").read_text().strip()]) as house:
        done = house.ssh("echo in")
        assert done.stdout == b"in\n", done.stderr
        assert house.records("--kind", "opened")[-1]["body"]["facts"]["target_host_authority"].startswith("SHA256:")
        looked = house.ostiary_ok("target", "trust", WEB)
        assert looked == f'host_keys = ["{sshd.host_key}"]\n'
        sshd.stop()
        certify(stranger)
        sshd.start()
        before = sshd.log.read_text().count("Accepted")
        done = house.ssh("echo in", client=("-o", "LogLevel=INFO"))
        assert done.returncode == 255 and b"OST-646" in done.stderr and sshd.log.read_text().count("Accepted") == before
        noted(house, "session.refused", lambda facts: "authority" in facts["why"])


def test_a_host_is_looked_at_before_the_file_knows_its_key(tmp_path: Path) -> None:
    """While the gateway runs, of which the file has gone on, and when it does not; it is trusted by neither."""
    with Sshd(tmp_path / "sshd") as sshd:
        with SshHouse(tmp_path / "h", sshd, workers=1) as house:
            known = house.file.read_text()
            house.file.write_text(known.replace("127.0.0.1:" + str(sshd.port), "localhost:" + str(sshd.port)).replace("host_keys", "# host_keys"))
            looked, reload = house.ostiary("target", "trust", WEB), house.ostiary("reload")
            assert (looked.stdout, looked.returncode) == (f'host_keys = ["{sshd.host_key}"]\n', 0) and "NOT registered" in looked.stderr
            assert reload.returncode != 0 and f"ostiary target trust {WEB}" in reload.stderr
            house.file.write_text(known)
            assert "registered already" in house.ostiary("target", "trust", WEB).stderr
        house.file.write_text(known.replace("host_keys", "# host_keys"))
        looked = house.ostiary("target", "trust", WEB)
        assert looked.stdout == f'host_keys = ["{sshd.host_key}"]\n' and "NOT registered" in looked.stderr, looked.stderr
        assert house.ostiary_ok("ssh", "ca").startswith("ssh-ed25519 ")
        refused = house.ostiary("target", "check", WEB)
        assert refused.returncode != 0 and "is not the one that is registered" in refused.stderr


def test_the_lines_for_known_hosts_are_all_that_a_stock_client_needs(tmp_path: Path) -> None:
    """The gateway's own keys under the name and port that people use, and who vouches for targets behind it."""
    with Sshd(tmp_path / "sshd") as sshd, SshHouse(tmp_path / "h", sshd, workers=1) as house:
        lines = house.ostiary_ok("ssh", "known-hosts", "--host", "127.0.0.1").splitlines()
        assert [line.split()[0] for line in lines[:2]] == [f"[127.0.0.1]:{house.ssh_port}"] * 2
        assert lines[2].startswith("@cert-authority ")
        (house.client / "known_hosts").write_text(lines[1] + "\n")
        done = house.ssh("echo in", client=("-o", "HostKeyAlgorithms=ecdsa-sha2-nistp256"))
        assert done.stdout == b"in\n", done.stderr
        told = json.loads(house.ostiary_ok("ssh", "known-hosts", "--host", "gw.example:22", "--host", "[::1]:2222", "--json"))
        assert [each["what"] for each in told] == ["gateway", "gateway", "authority"] and told[0]["hosts"] == ["gw.example", "[::1]:2222"]
