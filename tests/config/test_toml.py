"""Every kind of wrong configuration, by key path and mend; and the example, which is right."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.toml import WrongConfig, load, parse
from tests.config.conftest import EXAMPLE, Write


def changed(old: str, new: str) -> str:
    """The example with one thing different."""
    text = EXAMPLE.read_text()
    assert text.count(old) >= 1, f"the example no longer says {old}"
    return text.replace(old, new, 1)


def problems(path: Path) -> dict[str, tuple[str, str]]:
    with pytest.raises(WrongConfig) as caught:
        load(path)
    assert all(str(path) in line for line in str(caught.value).splitlines())
    return {problem.key: (problem.wrong, problem.mend) for problem in caught.value.problems}


def test_the_example_is_right(write: Write, tmp_path: Path) -> None:
    config = load(write(EXAMPLE.read_text()))
    assert isinstance(config, Config) and config.name == "clinic-gw" and len(config.digest) == 32
    assert config.certificate == tmp_path / "state/tls/server.pem" and config.state == tmp_path / "state"
    clinic = config.targets["clinic"]
    assert (clinic.host, clinic.port, clinic.tls_name) == ("127.0.0.1", 5432, "db.clinic.example")
    assert clinic.account("").name == "rw" and clinic.catalog_account.name == "catalog"
    assert config.identities["claude"].on_behalf_of == "ada@clinic.example"
    assert [entry.use for entry in config.addons][0] == "addons.access.Access"
    assert config.audit.anchor_file == tmp_path / "state/anchor/checkpoints"


def test_what_is_not_said_has_a_default(write: Write) -> None:
    config = load(write('[gateway]\nname = "g"\n[tls]\ncertificate = "state/tls/server.pem"\nkey = "state/tls/server.key"\n'))
    assert (config.workers, config.drain, config.audit.timeout) == (2, 30.0, 2.0)
    assert (config.spool, config.spool_bytes) == (config.state / "spool", 1 << 30)
    assert config.control_listen == "tcp:8443:interface=127.0.0.1" and not config.targets
    assert config.audit.directory == config.state / "audit" and config.audit.anchor_file is None


WRONG = {
    # types, ranges, required
    "missing key": ('name = "clinic-gw"', "", "gateway.name", "missing"),
    "wrong type": ("drain = 30", 'drain = "30"', "gateway.drain", "must be a number"),
    "bool is no number": ("drain = 30", "drain = true", "gateway.drain", "must be a number"),
    "out of range": ("timeout = 2.0", "timeout = 3600", "audit.timeout", "out of range"),
    "not whole": ("segment_records = 65536", "segment_records = 1.5", "audit.segment_records", "whole number"),
    "workers: none": ("workers = 2", "workers = 0", "gateway.workers", "out of range"),
    "workers: a word": ("workers = 2", 'workers = "many"', "gateway.workers", "inline"),
    "not a list": ('auth = ["password", "scram"]', 'auth = "scram"', "listen[0].auth", "must be a list"),
    "not a table": ('labels = { phi = "yes" }', "labels = 3", "target[0].labels", "must be a table"),
    "label is no text": ('labels = { phi = "yes" }', "labels = { phi = true }", "target[0].labels.phi", "must be a string"),
    "section is no table": ("[control]\nlisten", "control = 3\n[unused]\nlisten", "audit.control", "unknown key"),
    "a date": ("drain = 30", "drain = 2024-01-01", "gateway.drain", "a date or time"),
    "empty": ('user = "clinic_app"', 'user = ""', "target[0].account[0].user", "is empty"),
    # unknown
    "unknown key": ("drain = 30", "drian = 30", "gateway.drian", "did you mean 'drain'"),
    "unknown table": ("[control]", "[kontrol]", "kontrol", "did you mean 'control'"),
    "unknown target key": ('tls_name = "db', 'tls_nam = "db', "target[0].tls_nam", "did you mean 'tls_name'"),
    "unknown account key": ("catalog = true", "catalogue = true", "target[0].account[1].catalogue", "did you mean 'catalog'"),
    "unknown identity key": ('groups = ["reports"]', 'group = ["reports"]', "identity[2].group", "did you mean 'groups'"),
    "unknown value": ('auth = "password"', 'auth = "pasword"', "target[0].account[0].auth", "did you mean 'password'"),
    "unknown protocol": ('protocol = "postgres"', 'protocol = "oracle"', "listen[0].protocol", '"postgres"'),
    "unknown login": ('auth = ["password", "scram"]', 'auth = ["scarm"]', "listen[0].auth[0]", "did you mean 'scram'"),
    "unknown kind": ('kind = "workload"', 'kind = "robot"', "identity[2].kind", '"human", "workload" or "agent"'),
    # endpoints and addresses
    "no endpoint": ('endpoint = "tcp:6432:interface=127.0.0.1"', 'endpoint = "tcp:x"', "listen[0].endpoint", "no endpoint"),
    "endpoint type": ('endpoint = "tcp:6432', 'endpoint = "tpc:6432', "listen[0].endpoint", "no plain stream"),
    "endpoint TLS": ('endpoint = "tcp:6432', 'endpoint = "ssl:6432', "listen[0].endpoint", "TLS is set beside it"),
    "endpoint argument": ("6432:interface", "6432:interfase", "listen[0].endpoint", "no endpoint"),
    "port": ("tcp:6432", "tcp:66432", "listen[0].endpoint", "no port"),
    "port taken": ("tcp:6432", "tcp:8443", "listen[0].endpoint", "control.listen listens there already"),
    "control endpoint": ('listen = "tcp:8443', 'listen = "8443', "control.listen", "no plain stream"),
    "address without port": ('"127.0.0.1:5432"', '"127.0.0.1"', "target[0].address", "no host and port"),
    "address, bare IPv6": ('"127.0.0.1:5432"', '"::1:5432"', "target[0].address", "[::1]:5432"),
    # names
    "target name": ('name = "clinic"\n', 'name = "cli@nic"\n', "target[0].name", "cannot be a name"),
    "account twice": ('name = "catalog"', 'name = "rw"', "target[0].account[1].name", "another account 'rw'"),
    "identity twice": ('subject = "grace@', 'subject = "ada@', "identity[1].subject", "there twice"),
    "subject": ('subject = "nightly-report"', 'subject = "night/ly"', "identity[2].subject", "could not be written"),
    "group twice": ('["engineers", "approvers"]', '["approvers", "approvers"]', "identity[1].groups[1]", "there twice"),
    "database": ('database = "clinicdb"', 'database = "other"', "target[0].database", "not in databases"),
    # people
    "acts for nobody known": ('on_behalf_of = "ada@', 'on_behalf_of = "eve@', "identity[3].on_behalf_of", "no [[identity]]"),
    "acts for a machine": (
        'on_behalf_of = "ada@clinic.example"', 'on_behalf_of = "nightly-report"', "identity[3].on_behalf_of", "no person",
    ),
    "a person acts for another": (
        'kind = "agent"', 'kind = "human"', "identity[3].on_behalf_of", "a person acts for nobody else",
    ),
    # files
    "no certificate": ("state/tls/server.pem", "state/tls/none.pem", "tls.certificate", "no such file"),
    "no key": ("state/tls/server.key", "state/tls/none.key", "tls.key", "no such file"),
    "another's key": ("state/tls/server.key", "state/tls/other.key", "tls.key", "not a certificate and its key"),
    "a directory": ("state/tls/db-ca.pem", "state/tls", "target[0].tls_ca", "is"),
    "no CA": ("state/tls/db-ca.pem", "state/tls/none.pem", "target[0].tls_ca", "no such file"),
    "no place to spool": ('spool = "state/spool"', 'spool = "scratch/spool"', "gateway.spool", "no directory"),
    "spool too small": ("spool_bytes = 1073741824", "spool_bytes = 1000", "gateway.spool_bytes", "out of range"),
    "no state": ('state = "state"', 'state = "estate"', "gateway.state", "no directory"),
    # what contradicts itself or gives a false sense of safety
    "anchor inside the store": (
        '"state/anchor/checkpoints"', '"state/audit/checkpoints"', "audit.anchor_file", "in the store that it is to prove",
    ),
    "password without TLS": (
        'tls = "require"                  # "require" (default) or "optional", which is recorded at session start\nauth = ["password", "scram"]',
        'tls = "optional"\nauth = ["password"]', "listen[0].auth", "nobody could log in",
    ),
    "nobody can log in": ('auth = ["password", "scram"]', "auth = []", "listen[0].auth", "nobody could log in"),
    "CA without verification": ('tls = "verify"', 'tls = "encrypt"', "target[0].tls_ca", "has no effect"),
    "certificate without TLS": (
        'auth = "password"              #', 'auth = "certificate" #', "target[0].account[0].certificate", "is missing",
    ),
    "certificate unused": (
        'name = "rw" ', 'certificate = "state/tls/server.pem"\nname = "rw" ', "target[0].account[0].certificate", "has no effect",
    ),
    "floor of nobody": ("catalog = true", 'floor = "below"', "target[0].account[1].floor", "no account 'below'"),
    "floor with another's role": ("catalog = true", 'floor = "rw"', "target[0].account[1].floor", "logs in as another account's role"),
    "two catalog accounts": ('name = "rw" ', 'catalog = true\nname = "rw" ', "target[0].account[1].catalog", "another account"),
    # addons
    "addon without use": ('use = "addons.limits.Limits"', "", "addon[4].use", "missing"),
    "addon not importable": ("addons.limits.Limits", "addons.limit.Limits", "addon[4].use", "cannot be imported"),
    "addon without class": ("addons.limits.Limits", "addons.limits.Limit", "addon[4].use", "cannot be imported"),
    "addon is no class": ("addons.limits.Limits", "addons.sql.parse.parse", "addon[4].use", "no class"),
    "addon option unknown": ("rows = 1000000", "rowz = 1000000", "addon[4].rowz", "did you mean 'rows'"),
    "addon option refused": ("rows = 1000000", 'rows = "many"', "addon[4]", ""),
    "addon rule refused": ('groups = ["engineers"], targets', 'grups = ["engineers"], targets', "addon[0].rules[0].grups", "unknown key"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong(write: Write, kind: str) -> None:
    """The key path and a mend, and no other complaint than this thing's."""
    old, new, key, says = WRONG[kind]
    found = problems(write(changed(old, new)))
    at = [name for name in found if name == key or (not says and name.startswith(key))]
    assert at, f"no complaint at {key}: {found}"
    wrong, mend = found[at[0]]
    assert says in f"{wrong}; {mend}" and mend, (wrong, mend)
    assert len(found) <= 2, found


def test_a_complaint_says_once_how_to_mend_it(write: Write) -> None:
    found = problems(write(changed('groups = ["engineers"], targets', 'grups = ["engineers"], targets')))
    assert found["addon[0].rules[0].grups"] == ("unknown key (did you mean 'groups'?)", "take it out or correct its name")


def test_all_problems_are_found_at_once(write: Write) -> None:
    """Somebody who mends them in one go should be done."""
    text = changed("drain = 30", "drian = 30").replace("tcp:6432", "tcp:x").replace('kind = "agent"', 'kind = "bot"')
    text = text.replace("addons.limits.Limits", "addons.nothing.Limits")
    assert {"gateway.drian", "listen[0].endpoint", "identity[3].kind", "addon[4].use"} <= problems(write(text)).keys()


def test_no_file(tmp_path: Path) -> None:
    [(key, (wrong, mend))] = problems(tmp_path / "none.toml").items()
    assert key == "" and "no such file" in wrong and "ostiary init" in mend


def test_two_targets_of_one_name(write: Write) -> None:
    text = EXAMPLE.read_text()
    target = text[text.index("[[target]]") : text.index("[[identity]]")]
    assert problems(write(text + target)).keys() == {"target[1].name"}


def test_a_target_without_accounts(write: Write) -> None:
    text = EXAMPLE.read_text()
    start, end = text.index("  [[target.account]]"), text.index("[[identity]]")
    assert problems(write(text[:start] + text[end:])).keys() == {"target[0].account"}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read(write: Write, tmp_path: Path, mode: int) -> None:
    path = write(EXAMPLE.read_text())
    key = tmp_path / "state/tls/server.key"
    key.chmod(mode)
    assert problems(path) == {"tls.key": (f"{key} holds a key and others can read it", f"run: chmod 600 {key}")}


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_configuration_that_others_can_write(write: Write, mode: int) -> None:
    path = write(EXAMPLE.read_text())
    path.chmod(mode)
    assert "chmod go-w" in problems(path)[""][1]


def test_a_state_directory_that_others_can_write(write: Write, tmp_path: Path) -> None:
    path = write(EXAMPLE.read_text())
    (tmp_path / "state").chmod(0o777)
    assert problems(path).keys() == {"gateway.state"}


SITE = {
    "unknown hook": ("class A:\n    def on_statment(self, hook): ...\n    def on_jugde(self, hook): ...\n", "did you mean on_judge"),
    "breaks when imported": ("1 / 0\n", "ZeroDivisionError"),
    "is no Python": ("class A(:\n", "SyntaxError"),
    "breaks when built": ("class A:\n    def __init__(self): raise RuntimeError('x')\n", "RuntimeError"),
    "imports what is not there": ("import nothing_of_that_name\nclass A: ...\n", "nothing_of_that_name"),
}


@pytest.mark.parametrize("kind", SITE)
def test_a_sites_own_addon(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A dotted path on the Python path; what is wrong with it is said at `use`."""
    source, says = SITE[kind]
    module = f"site_{kind.replace(' ', '_').replace(',', '')}_addon"
    (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WrongConfig) as caught:
        load(write(EXAMPLE.read_text() + f'\n[[addon]]\nuse = "{module}.A"\n'))
    assert {problem.key for problem in caught.value.problems} == {"addon[5].use"}
    assert says in str(caught.value)


def test_a_sites_own_addon_that_is_right(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site_right.py").write_text("class A:\n    def __init__(self, clock, *, n=1): ...\n    def on_judge(self, hook): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load(write(EXAMPLE.read_text() + '\n[[addon]]\nuse = "site_right.A"\nn = 2\n')).addons[-1].options == {"n": 2}


def test_a_rule_about_a_target_that_nobody_has_is_named(write: Write) -> None:
    """For masking it would leave the column in clear, and nobody would know."""
    text = EXAMPLE.read_text().replace(
        '{ relation = "public.patients", column = "phone"', '{ targets = ["clinik"], relation = "public.patients", column = "phone"'
    )
    with pytest.raises(WrongConfig) as caught:
        load(write(text))
    [problem] = caught.value.problems
    assert problem.key == "addon[1].columns[2].targets" and "clinik" in problem.wrong and "'clinic'" in problem.mend


NO_TOML = {
    "a table that does not end": (b"# one\n\n[gateway\n", 3, "not TOML: Expected ']' at the end of a table declaration (column 9)"),
    "a string that does not end": (b'[gateway]\nname = """x\n\ny\n', 4, "not TOML: Unterminated string"),
    "no UTF-8": (b"[gateway]\n# caf\xe9\n", 2, "not TOML: byte 6 of this line is no UTF-8"),
    "a string on the only line": (b'name = """', 1, "not TOML: Unterminated string"),
}


@pytest.mark.parametrize("kind", NO_TOML)
def test_what_is_no_toml_is_said_as_file_and_line(tmp_path: Path, kind: str) -> None:
    """As every other problem is, so that an editor goes there."""
    text, line, says = NO_TOML[kind]
    file = tmp_path / "ostiary.toml"
    file.write_bytes(text)
    with pytest.raises(WrongConfig) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}:{line}: {says}; "), str(caught.value)


def test_everything_that_is_wrong_with_one_addon_is_said_at_once(write: Write) -> None:
    """Each at its own key, with what was probably meant; an option that nobody takes beside values that are refused."""
    text = EXAMPLE.read_text() + """
[[addon]]
use = "addons.rows.Rows"
tuched = []
touched = [{ name = "few", row = 5 }, { rows = 10, kinds = ["humam"], relation = ["x"] }]
estimated = [{ name = "big", rows = 1, verdict = "aprove", statements = ["selct"] }]
[[addon]]
use = "addons.limits.Limits"
rules = [{ groups = ["x"], row = 5 }, { per_minut = 3, idle = -1 }]
bytes = 0
[[addon]]
use = "addons.approval.Approval"
rules = [{ nam = "x", approvers = ["a"] }, { name = "y", aprovers = ["b"], quorum = 0 }]
"""
    with pytest.raises(WrongConfig) as caught:
        load(write(text))
    said = {problem.key.partition(".")[2]: problem.wrong + problem.mend for problem in caught.value.problems}
    assert set(said) == {
        "tuched", "touched[0].row", "touched[1].kinds", "touched[1].relation", "touched[1].name", "estimated[0].verdict", "estimated[0].statements",
        "rules[0].row", "rules[1].per_minut", "rules[1].idle", "bytes", "rules[0].nam", "rules[1].aprovers", "rules[1].quorum",
    }
    for key, meant in (("tuched", "touched"), ("touched[0].row", "rows"), ("estimated[0].verdict", "approve"), ("rules[1].per_minut", "per_minute"), ("rules[1].aprovers", "approvers")):
        assert repr(meant) in said[key], said[key]


def test_an_addon_that_would_not_be_asked_everywhere_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The enforcement matrix decides."""
    monkeypatch.setattr("gateway.vetting.holes", lambda protocol, addon: [f"back door of {protocol}"])
    with pytest.raises(WrongConfig) as caught:
        load(write(EXAMPLE.read_text()))
    assert {problem.key for problem in caught.value.problems} == {f"addon[{i}].use" for i in range(5)}


def test_what_was_vetted_is_read_without_loading_an_addon(write: Write) -> None:
    """The same configuration, down to the options; all else that is wrong is still found."""
    file = write(EXAMPLE.read_text())
    text = file.read_bytes()
    assert parse(text, file, vetted=True) == load(file)
    unknown = text.replace(b'use = "addons.access.Access"', b'use = "nowhere.Access"')
    assert parse(unknown, file, vetted=True).addons[0].use == "nowhere.Access"
    with pytest.raises(WrongConfig):
        parse(unknown, file)
    with pytest.raises(WrongConfig):
        parse(text + b"[strange]\n", file, vetted=True)


def test_a_floor_where_nothing_is_masked_is_wrong(write: Write) -> None:
    """It would look configured and be nowhere."""
    base = '[gateway]\nname = "g"\n[tls]\ncertificate = "state/tls/server.pem"\nkey = "state/tls/server.key"\n'
    target = '[[target]]\nname = "t"\nprotocol = "postgres"\naddress = "h:1"\ndatabase = "d"\ntls = "off"\n'
    accounts = 'account = [{ name = "a", user = "a", auth = "trust", floor = "b" }, { name = "b", user = "b", auth = "trust" }]\n'
    assert "no addon masks anything" in problems(write(base + target + accounts))["target"][0]
    masks = '[[addon]]\nuse = "addons.masking.Masking"\ncolumns = []\n'
    found = load(write(base + target + accounts + masks)).targets["t"]
    assert found.is_floor("b") and not found.is_floor("a") and found.floor == "require"
