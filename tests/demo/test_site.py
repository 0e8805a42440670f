"""The demo's site: its configuration is one the gateway takes, its ports are kept, its parts are where they are said to be."""

from __future__ import annotations

import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from addons.policy import Policy
from addons.sql.rules import strictest
from gateway.cli.main import main
from gateway.demo.configuration import ADA, BARBARA, CLAUDE, GRACE, IDENTITIES, REPORT, TARGET, Ports, text
from gateway.demo.database import APPLICATION
from gateway.demo.place import CannotServe
from gateway.demo.site import Site, _free, _written, shown
from gateway.toml import load
from protocols.command import Statement
from protocols.session import Identity, Session, Target

ANY = Ports(0, 0, 0)


@pytest.fixture(scope="module")
def site(module_directory: Path) -> Iterator[Site]:
    with Site(module_directory / "site", ANY, workers="inline", patients=5) as made:
        yield made


@pytest.mark.live
def test_its_configuration_has_no_problem(site: Site) -> None:
    """As `ostiary check` reads it, addons built and files looked at; nor anything that is hardly meant."""
    config = load(site.file)
    checked = CliRunner().invoke(main, ["check", str(site.file)], catch_exceptions=False)
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert set(config.identities) == {*IDENTITIES, BARBARA} and config.workers == "inline"
    assert config.targets[TARGET].tls == "verify" and config.targets[TARGET].catalog_account.user == "clinic_catalog"
    assert {i.kind for i in config.identities.values()} == {"human", "workload", "agent"}
    assert config.identities[CLAUDE].on_behalf_of == ADA


@pytest.mark.live
def test_secrets_are_not_in_it(site: Site) -> None:
    """They are in control's store, which is nobody else's to read."""
    assert site.database.place.password(APPLICATION) not in site.file.read_text()
    assert (site.directory / "state").stat().st_mode & 0o077 == 0
    token = site.token(ADA)
    written = b"".join(file.read_bytes() for file in (site.directory / "state").rglob("*") if file.is_file())
    assert token.encode() not in written and site.database.place.password(APPLICATION).encode() not in written


@pytest.mark.live
def test_its_lines_say_where_it_is(site: Site) -> None:
    """psql's words and psql's environment are the same place, and neither has the token."""
    line, env = site.connection(GRACE), site.client(GRACE, "the-token")
    assert f"port={site.ports.gateway}" in line and env["PGPORT"] == str(site.ports.gateway)
    assert f"user={GRACE}@{TARGET}" in line and env["PGUSER"] == f"{GRACE}@{TARGET}"
    assert "verify-full" in line and env["PGSSLMODE"] == "verify-full" and site.authority.exists()
    assert "the-token" not in line and site.public_key.exists()


@pytest.mark.live
def test_the_same_directory_has_the_same_ports(site: Site) -> None:
    """Read back from the file, which a person may have edited otherwise."""
    assert _written(site.file) == site.ports


def test_a_file_that_says_no_ports_is_named(tmp_path: Path) -> None:
    """With the way out."""
    file = tmp_path / "ostiary.toml"
    file.write_text("[gateway]\nname = 'x'\n")
    with pytest.raises(CannotServe, match="begin anew"):
        _written(file)


def test_a_taken_port_is_left_alone() -> None:
    """Another one is chosen, when the site is new."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _free(port) not in (0, port)
    assert _free(port) == port


def test_ports_in_use_are_all_said_before_anything_starts_with_the_keys_to_change(tmp_path: Path) -> None:
    """A later start has the file's ports and no other, so its reader is sent there once."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = one.getsockname()[1], other.getsockname()[1]
        (tmp_path / "ostiary.toml").write_text(text(Ports(first, _free(0), second), 2))
        with pytest.raises(CannotServe) as said:
            Site(tmp_path)
    assert f"{first}: `endpoint` of the [[listen]]" in str(said.value) and f'{second}: `address` of the [[target]] "clinic"' in str(said.value)
    assert "ostiary.toml" in str(said.value) and "[control]" not in str(said.value)
    assert not (tmp_path / "postgres").exists()


def test_a_changed_port_of_ssh_is_one_that_its_line_can_verify(tmp_path: Path) -> None:
    """known_hosts names the port that the file names now."""
    folder = tmp_path / "state" / "ssh"
    folder.mkdir(parents=True)
    (folder / "host_ed25519.pub").write_text("ssh-ed25519 AAAA\n")
    (folder / "known_hosts").write_text("[localhost]:2222 ssh-ed25519 AAAA\n")
    site = object.__new__(Site)
    site.directory, site.ports = tmp_path, Ports(1, 2, 3, ssh=2299)
    site._know_host_key()
    assert (folder / "known_hosts").read_text() == "[localhost]:2299 ssh-ed25519 AAAA\n"


def test_paths_are_shown_as_short_as_they_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Relative below here, absolute elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "run" / "x") == "run/x" and shown(Path("/etc/x")) == "/etc/x"


@pytest.mark.parametrize(
    ("who", "sql", "verdict", "rule"),
    [
        (ADA, "SELECT * FROM patients", "allow", ""),
        (ADA, "UPDATE providers SET accepting = false", "approve", "privileged-writes"),
        (ADA, "UPDATE providers SET accepting = false WHERE id = 1", "allow", ""),
        (ADA, "CREATE TABLE x (n int)", "approve", "privileged-writes"),
        (ADA, "DROP TABLE patients", "deny", "no-drop"),
        (ADA, "GRANT ALL ON patients TO public", "deny", ""),
        (REPORT, "SELECT * FROM department_load", "allow", ""),
        (CLAUDE, "SELECT 1", "allow", ""),
        (CLAUDE, "UPDATE providers SET accepting = false WHERE id = 1", "approve", "agents-ask"),
    ],
)
def test_its_rules_say_what_the_tour_shows(who: str, sql: str, verdict: str, rule: str) -> None:
    """One line of the table for each thing that the demo claims of its policy."""
    values = tomllib.loads(text(Ports(1, 2, 3), 2))
    (entry,) = [a for a in values["addon"] if a["use"] == "addons.policy.Policy"]
    person = next(i for i in values["identity"] if i["subject"] == who)
    identity = Identity(who, person.get("kind", "human"), frozenset(person["groups"]))
    session = Session("1", identity, Target(TARGET, "postgres", "h", 1), "rw", "clinicdb", "p")
    policy = Policy(default=entry["default"], rules=entry["rules"])
    ruling = strictest(policy.explain(session, Statement(sql)))
    assert (ruling.verdict, ruling.rule.name if ruling.rule else "") == (verdict, rule)
