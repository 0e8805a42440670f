"""SSH's part of the file: what is wrong with it, by key path and mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Device, SecondStep
from gateway.ssh.keys import make_host_keys
from gateway.toml import WrongConfig, load
from gateway.warnings import Known, warnings
from tests.config.conftest import Write

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPwJEnFvp6FMPL9sVPiX3uQfJz5pYB7b6jFJmBv1cAwq"
SK = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIPwJEnFvp6FMPL9sVPiX3uQfJz5pYB7b6jFJmBv1cAwqAAAABHNzaDo="

BEGIN = """
[gateway]
name = "g"
[tls]
certificate = "state/tls/server.pem"
key = "state/tls/server.key"
"""
RIGHT = f"""{BEGIN}
[[listen]]
protocol = "ssh"
endpoint = "tcp:2222"

[[target]]
name = "web1"
protocol = "ssh"
address = "[::1]:22"
host_keys = ["{KEY}"]
labels = {{ tier = "web" }}

  [[target.account]]
  name = "deploy"
  user = "deploy"
  auth = "key"

  [[target.account]]
  name = "root"
  user = "root"

[[identity]]
subject = "ada"
ssh_keys = ["{KEY} ada@laptop", "{SK}"]
"""


@pytest.fixture()
def keyed(tmp_path: Path) -> Path:
    """Host keys where `ostiary init` puts them."""
    (tmp_path / "state").mkdir(mode=0o700, exist_ok=True)
    make_host_keys(tmp_path / "state" / "ssh")
    return tmp_path


def problems(file: Path) -> dict[str, str]:
    with pytest.raises(WrongConfig) as caught:
        load(file)
    return {problem.key: f"{problem.wrong}; {problem.mend}" for problem in caught.value.problems}


def test_what_is_right_is_read(write: Write, keyed: Path) -> None:
    config = load(write(RIGHT))
    [listen] = config.listens
    assert listen.auth == ("publickey", "password", "keyboard-interactive") and listen.tls == "off"
    assert [file.name for file in listen.host_keys] == ["host_ed25519", "host_ecdsa"]
    web = config.targets["web1"]
    assert (web.host, web.port, web.databases, len(web.host_keys)) == ("::1", 22, (), 1)
    assert [account.auth for account in web.accounts] == ["key", "password"]
    assert len(config.identities["ada"].ssh_keys) == 2


def test_a_second_step_is_asked_of_nobody_unless_the_file_says_so(write: Write, keyed: Path) -> None:
    config = load(write(RIGHT))
    assert config.second_step == SecondStep() and not config.listens[0].second_step and not config.identities["ada"].second_step
    text = RIGHT.replace(BEGIN, f'{BEGIN}[ssh.second_step]\nkinds = ["human"]\ngroups = ["admins"]\n')
    text = text.replace('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nsecond_step = true').replace('subject = "ada"', 'subject = "ada"\nsecond_step = true')
    config = load(write(text))
    assert config.second_step == SecondStep(frozenset({"human"}), frozenset({"admins"}))
    assert config.listens[0].second_step and config.identities["ada"].second_step


def test_an_identity_provider_as_written(write: Write, keyed: Path) -> None:
    """Nobody is offered a browser unless the file names where it leads."""
    assert load(write(RIGHT)).device is None
    given = '[ssh.device]\nissuer = "https://login.example/realm"\nclient_id = "ostiary"\n'
    assert load(write(RIGHT.replace(BEGIN, f"{BEGIN}{given}"))).device == Device("https://login.example/realm", "ostiary")
    (keyed / "secret").write_text("s3cret")
    (keyed / "secret").chmod(0o600)
    given += (
        'client_secret_file = "secret"\nscopes = ["openid", "profile"]\nclaim = "preferred_username"\nca_file = "state/tls/db-ca.pem"\n'
        'device_authorization_endpoint = "http://127.0.0.1:1/d"\ntoken_endpoint = "http://[::1]:1/t"\njwks_uri = "https://login.example/k"\n'
        "loopback_http = true\n"
    )
    assert load(write(RIGHT.replace(BEGIN, f"{BEGIN}{given}"))).device == Device(
        "https://login.example/realm", "ostiary", keyed / "secret", ("openid", "profile"), "preferred_username", keyed / "state/tls/db-ca.pem",
        "http://127.0.0.1:1/d", "http://[::1]:1/t", "https://login.example/k", True,
    )


DEVICE = f'{BEGIN}[ssh.device]\nissuer = "https://login.example"\nclient_id = "ostiary"\n'


@pytest.mark.parametrize(("old", "new", "key", "says"), [
    (BEGIN, f"{BEGIN}[ssh.device]\n", "ssh.device.issuer", "is missing"),
    (BEGIN, f"{BEGIN}[ssh.device]\n", "ssh.device.client_id", "is missing"),
    (BEGIN, DEVICE.replace("https:", "http:"), "ssh.device.issuer", "no https address"),
    (BEGIN, DEVICE.replace("https:", "http:") + "loopback_http = true\n", "ssh.device.issuer", "no https address"),
    (BEGIN, DEVICE.replace("login.example", "a:b@login.example"), "ssh.device.issuer", "no https address"),
    (BEGIN, DEVICE.replace("login.example", "login.example:x"), "ssh.device.issuer", "no https address"),
    (BEGIN, DEVICE + 'jwks_uri = "http://127.0.0.1/k"\n', "ssh.device.jwks_uri", "no https address"),
    (BEGIN, DEVICE + 'token_endpoint = "file:///etc/passwd"\n', "ssh.device.token_endpoint", "no https address"),
    (BEGIN, DEVICE + 'scopes = ["email"]\n', "ssh.device.scopes", 'add "openid"'),
    (BEGIN, DEVICE + 'client_secret = "x"\n', "ssh.device.client_secret", "did you mean 'client_secret_file'"),
    (BEGIN, DEVICE + 'client_secret_file = "nowhere"\n', "ssh.device.client_secret_file", "no such file"),
    (BEGIN, DEVICE + 'ca_file = "ostiary.toml"\n', "ssh.device.ca_file", "holds no certificate"),
    (f'host_keys = ["{KEY}"]', "", "target[0].host_keys", "any host could say"),
    (f'host_keys = ["{KEY}"]', 'host_keys = ["ssh-ed25519 AAAA"]', "target[0].host_keys[0]", "no public key"),
    (f'host_keys = ["{KEY}"]', f'host_keys = ["{SK}"]', "target[0].host_keys[0]", "no public key of a kind"),
    (f'host_keys = ["{KEY}"]', 'host_keys = ["ssh-dss AAAAB3NzaC1kc3M="]', "target[0].host_keys[0]", "of a kind"),
    ('auth = "key"', 'auth = "trust"', "target[0].account[0].auth", '"key" or "certificate"'),
    ('auth = "key"', "catalog = true", "target[0].account[0].catalog", "unknown key"),
    ('labels = { tier = "web" }', 'database = "x"', "target[0].database", "unknown key"),
    ('labels = { tier = "web" }', 'tls = "off"', "target[0].tls", "unknown key"),
    ('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\ntls = "require"', "listen[0].tls", "unknown key"),
    ('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nauth = ["scram"]', "listen[0].auth[0]", "is not known"),
    ('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nauth = []', "listen[0].auth", "nobody could log in"),
    ('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nhost_keys = ["nowhere"]', "listen[0].host_keys[0]", "ssh-keygen"),
    ('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nsecond_step = "yes"', "listen[0].second_step", "true or false"),
    ('subject = "ada"', 'subject = "ada"\nsecond_step = 1', "identity[0].second_step", "true or false"),
    (BEGIN, f'{BEGIN}[ssh.second_step]\n', "ssh.second_step", 'kinds = ["human"]'),
    (BEGIN, f'{BEGIN}[ssh.second_step]\nkinds = ["people"]\n', "ssh.second_step.kinds[0]", '"human"'),
    (BEGIN, f'{BEGIN}[ssh.second_step]\ngroup = ["admins"]\n', "ssh.second_step.group", "did you mean 'groups'"),
    (f'host_keys = ["{KEY}"]', 'host_ca = []', "target[0].host_ca", "is empty"),
    (f'host_keys = ["{KEY}"]', 'host_ca = ["ssh-ed25519 AAAA"]', "target[0].host_ca[0]", "no public key"),
    ('labels = { tier = "web" }', 'host_name = "web1"', "target[0].host_name", "no effect"),
    ('labels = { tier = "web" }', 'source_address = ["here"]', "target[0].source_address[0]", "no address or network"),
    ("[[identity]]", '[ssh]\nuser_ca = ["ssh-ed25519 AAAA"]\n[[identity]]', "ssh.user_ca[0]", "no public key"),
    ("[[identity]]", '[ssh]\nuser_cas = []\n[[identity]]', "ssh.user_cas", "did you mean 'user_ca'?"),
    (f'"{KEY} ada@laptop"', '"AAAA"', "identity[0].ssh_keys[0]", "no public key"),
])  # fmt: skip
def test_what_is_wrong_is_named(write: Write, keyed: Path, old: str, new: str, key: str, says: str) -> None:
    assert RIGHT.count(old) >= 1
    found = problems(write(RIGHT.replace(old, new, 1)))
    assert key in found and says in found[key], found


def test_who_looks_at_a_host_reads_a_file_that_does_not_know_it_yet(write: Write, keyed: Path) -> None:
    """What is missing names what fetches it, with the host's own port; nothing else is overlooked."""
    text = RIGHT.replace(f'host_keys = ["{KEY}"]', "").replace("[::1]:22", "[::1]:2022")
    said = problems(write(text))["target[0].host_keys"]
    assert "ostiary target trust web1" in said and "ssh-keyscan -p 2022 -t ed25519 ::1" in said
    assert load(write(text), unpinned=True).targets["web1"].host_keys == ()
    with pytest.raises(WrongConfig) as caught:
        load(write(text.replace('auth = "key"', 'auth = "kye"')), unpinned=True)
    assert [problem.key for problem in caught.value.problems] == ["target[0].account[0].auth"]


def test_host_keys_that_others_can_read_are_refused(write: Write, keyed: Path) -> None:
    (keyed / "mine").write_text("x")
    (keyed / "mine").chmod(0o644)
    found = problems(write(RIGHT.replace('endpoint = "tcp:2222"', 'endpoint = "tcp:2222"\nhost_keys = ["mine"]')))
    assert "others can read it" in found["listen[0].host_keys[0]"]


def test_a_state_without_host_keys_says_how_to_make_them(write: Write, tmp_path: Path) -> None:
    assert "ssh-keygen" in problems(write(RIGHT))["listen[0].host_keys"]


def test_a_host_of_which_nothing_decides_what_may_be_asked_is_warned_of(write: Write, keyed: Path) -> None:
    """Each gets in whole there; a rule of that addon, or a site's own which only it knows, is believed."""
    def said(more: str = "") -> list[str]:
        config = load(write(RIGHT + more))
        return [str(one) for one in warnings(config, Known.of(config, None, None))]

    access, ours = '\n[[addon]]\nuse = "addons.access.Access"\nrules = []\n', '\n[[addon]]\nuse = "addons.ssh.Ssh"\ndefault = { exec = "allow" }\n'
    [warned] = said(access)
    assert warned.startswith("web1: target[0]: no addon decides what may be asked of web1") and 'use = "addons.ssh.Ssh"' in warned
    assert said(access + ours) == []


def test_two_identities_of_one_key_are_warned_of(write: Write, keyed: Path) -> None:
    """Whoever holds it is both, and would answer their own requests."""
    file = write(f'{RIGHT}\n[[identity]]\nsubject = "grace"\nssh_keys = ["{KEY} grace@desk"]\n')
    config = load(file)
    [found] = [one for one in warnings(config, Known.of(config, None, None)) if one.key == "identity[1].ssh_keys"]
    assert found.wrong.startswith("ada has the same key") and found.line is not None
