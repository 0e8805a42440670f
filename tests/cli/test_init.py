"""`ostiary init` and `ostiary check`."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1

from gateway.cli.main import main
from gateway.notary import keys
from gateway.revision import first
from gateway.toml import WrongConfig, load


def init(*words: str) -> object:
    return CliRunner().invoke(main, ["init", *words], catch_exceptions=False)


def test_what_init_makes_is_right_and_says_what_to_do_next(tmp_path: Path) -> None:
    result = init(str(tmp_path / "gw"), "--host", "gw.example", "--admin", "ada@clinic.example")
    assert result.exit_code == 0
    for said in ("ost_", "ostiary check", "ostiary account secret", "twistd -n --pidfile= ostiary", "psql", "host=gw.example", "ostiary token issue"):
        assert said in result.stdout
    config = load(tmp_path / "gw" / "ostiary.toml")
    assert config.identities["ada@clinic.example"].groups == {"admins", "approvers"}
    assert CliRunner().invoke(main, ["check", str(config.file)]).exit_code == 0


def test_the_certificate_is_for_the_names_that_clients_use(tmp_path: Path) -> None:
    """And psql's sslmode=verify-full can verify it with ca.pem."""
    init(str(tmp_path / "gw"), "--host", "gw.example", "--host", "10.0.0.7")
    tls = tmp_path / "gw" / "state" / "tls"
    server, ca = x509.load_pem_x509_certificates((tls / "server.pem").read_bytes())
    assert isinstance(server.public_key().curve, SECP256R1)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "gw.example"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    server.verify_directly_issued_by(ca)
    context = ssl.create_default_context(cafile=str(tls / "ca.pem"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    listening = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    listening.load_cert_chain(tls / "server.pem", tls / "server.key")
    _shake_hands(context, listening, "gw.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        _shake_hands(context, listening, "other.example")


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname=name)
    theirs = server.wrap_bio(up, down, server_side=True)
    done: set[str] = set()
    for _ in range(8):
        for which, side in (("ours", ours), ("theirs", theirs)):
            try:
                side.do_handshake()
                done.add(which)
            except ssl.SSLWantReadError:
                pass
    assert done == {"ours", "theirs"}


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    init(str(tmp_path / "gw"))
    private = [path for path in (tmp_path / "gw").rglob("*") if path.suffix == ".key" or path.name in ("identity.pem", "data.mdb")]
    assert len(private) >= 6
    assert {path: path.stat().st_mode & 0o077 for path in private} == dict.fromkeys(private, 0)
    assert (tmp_path / "gw").stat().st_mode & 0o777 == 0o700
    keys.load(tmp_path / "gw" / "state", "ostiary")  # what the notary starts with


def test_the_token_is_shown_once_and_works(tmp_path: Path) -> None:
    made = json.loads(init(str(tmp_path / "gw"), "--json").stdout)
    held = b"".join(path.read_bytes() for path in (tmp_path / "gw").rglob("*") if path.is_file())
    assert made["token"].encode() not in held and made["token"].split("_", 2)[2].encode() not in held
    checked = CliRunner().invoke(main, ["identity", "check", made["admin"], "--json", "--config", made["config"]], input=made["token"])
    assert checked.exit_code == 0 and json.loads(checked.stdout)["subject"] == made["admin"]


@pytest.mark.parametrize("words", [["--name", "a b"], ["--admin", "a/b"], ["--ttl", "soon"]])
def test_init_refuses_what_could_not_work(tmp_path: Path, words: list[str]) -> None:
    assert init(str(tmp_path / "gw"), *words).exit_code != 0
    assert not (tmp_path / "gw").exists()


def test_init_touches_nothing_that_is_there(tmp_path: Path) -> None:
    init(str(tmp_path / "gw"))
    before = {path: path.read_bytes() for path in (tmp_path / "gw").rglob("*") if path.is_file()}
    again = init(str(tmp_path / "gw"))
    assert again.exit_code == 1 and "not empty" in again.stderr
    assert before == {path: path.read_bytes() for path in (tmp_path / "gw").rglob("*") if path.is_file()}


def test_check_prints_file_key_path_and_mend(tmp_path: Path) -> None:
    init(str(tmp_path / "gw"))
    file = tmp_path / "gw" / "ostiary.toml"
    file.write_text(file.read_text().replace("drain = 30", "drian = 30").replace("tcp:6432", "tcp:x"))
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    drian, endpoint = (1 + file.read_text()[: file.read_text().index(word)].count("\n") for word in ("drian", "tcp:x"))
    assert first == f"{file}:{drian}: gateway.drian: unknown key; did you mean 'drain'?"
    assert second.startswith(f"{file}:{endpoint}: listen[0].endpoint: 'tcp:x")
    told = CliRunner().invoke(main, ["check", str(file), "--json"])
    assert told.exit_code == 1
    assert {p["key"] for p in json.loads(told.stdout)["problems"]} == {"gateway.drian", "listen[0].endpoint"}
    assert all(p["mend"] for p in json.loads(told.stdout)["problems"])


def test_check_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["check", str(tmp_path / "none.toml")])
    assert result.exit_code == 1 and "ostiary init" in result.stderr


def test_check_takes_its_file_as_the_other_commands_do(tmp_path: Path) -> None:
    right, none = Path(__file__).parents[2] / "docs" / "examples" / "clinic.toml", str(tmp_path / "none.toml")
    for words, environment in (
        (["--config", str(right)], {}), ([], {"OSTIARY_CONFIG": str(right)}), (["--config", str(right)], {"OSTIARY_CONFIG": none}),
        ([str(right)], {"OSTIARY_CONFIG": none}),
    ):
        told = CliRunner().invoke(main, ["check", "--json", *words], env=environment)
        assert json.loads(told.stdout)["file"] == str(right)
    assert json.loads(CliRunner().invoke(main, ["check", "--json"], env={"OSTIARY_CONFIG": none}).stdout)["file"] == none


def test_the_group_says_its_version_and_where_the_file_is_looked_for() -> None:
    told = CliRunner().invoke(main, ["--version"])
    assert told.exit_code == 0 and told.output.startswith("ostiary")
    assert "OSTIARY_CONFIG" in CliRunner().invoke(main, ["--help"]).output


def test_a_name_that_the_log_was_not_begun_under_is_said_before_anybody_logs_in(tmp_path: Path) -> None:
    """By check and by the start alike, with the name to put back; a state without a log yet takes any name."""
    init(str(tmp_path / "gw"))
    file = tmp_path / "gw" / "ostiary.toml"
    file.write_text(file.read_text().replace('name = "ostiary"', 'name = "my-gw"', 1))
    said = CliRunner().invoke(main, ["check", str(file)])
    assert said.exit_code == 1
    assert "gateway.name" in said.stderr and 'put back name = "ostiary"' in said.stderr and "audit.pub" in said.stderr
    with pytest.raises(WrongConfig, match="gateway.name"):
        first(file)
    (tmp_path / "gw" / "state" / keys.FOLDER / keys.PUBLIC).unlink()
    assert load(file).name == "my-gw"


def test_what_check_counts_is_said_in_words_that_fit(tmp_path: Path) -> None:
    init(str(tmp_path / "gw"))
    said = CliRunner().invoke(main, ["check", str(tmp_path / "gw" / "ostiary.toml")]).stdout
    assert "0 targets, 1 identity, " in said and "1 listener, " in said


def test_check_warns_of_approvers_who_are_too_few(tmp_path: Path) -> None:
    """A fresh configuration has one approver, who is also who asks. It is right all the same: others may be in control's store."""
    init(str(tmp_path / "gw"), "--admin", "ada@clinic.example")
    file = tmp_path / "gw" / "ostiary.toml"
    said = CliRunner().invoke(main, ["check", str(file)])
    assert said.exit_code == 0 and "warning: addons.policy.Policy, privileged-writes: addon[1].rules[0].approvers: only ada@clinic.example is in approvers" in said.stderr
    file.write_text(file.read_text().replace('approvers = ["approvers"]', 'approvers = ["leads"]'))
    said = CliRunner().invoke(main, ["check", str(file), "--json"])
    assert said.exit_code == 0 and "nobody in this file is in leads" in json.loads(said.stdout)["warnings"][0]["wrong"]
    two = "".join(f'[[identity]]\nsubject = "{name}"\nkind = "human"\ngroups = ["leads"]\n' for name in ("grace", "mary"))
    file.write_text(file.read_text() + two)
    assert "warning" not in CliRunner().invoke(main, ["check", str(file)]).stderr


def test_check_warns_of_misspelt_groups_and_identities_wherever_a_rule_names_them(tmp_path: Path) -> None:
    """A rule that refuses a misspelt group refuses nobody. While the gateway is down only the file is looked at, and the words say so."""
    init(str(tmp_path / "gw"), "--admin", "ada@clinic.example")
    file = tmp_path / "gw" / "ostiary.toml"
    step = '[ssh.second_step]\ngroups = ["admin"]\n'
    limits = '[[addon]]\nuse = "addons.limits.Limits"\nrules = [{ name = "few", identities = ["ada@clinic"], per_minute = 9 }]\n'
    file.write_text(file.read_text() + limits + step)
    said = CliRunner().invoke(main, ["check", str(file)])
    assert said.exit_code == 0, said.output
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if '"few"' in text)
    assert (
        f"{file}:{line}: warning: addons.limits.Limits, few: addon[2].rules[0].identities: there is no identity 'ada@clinic' in this file "
        "(did you mean 'ada@clinic.example'?)"
    ) in said.stderr, said.stderr
    assert "ssh.second_step.groups: nobody in this file has the group 'admin' (did you mean 'admins'?)" in said.stderr


def test_what_init_makes_is_kept_out_of_the_repository_around_it(tmp_path: Path) -> None:
    """`git add .` of a checkout with a gateway in it would commit the keys to everything."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    init(str(tmp_path / "gw"))
    (tmp_path / "other").write_text("seen")
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    assert subprocess.run(["git", "-C", str(tmp_path), "ls-files"], check=True, capture_output=True, text=True).stdout == "other\n"


def test_the_template_rules_hosts_and_masks_once_its_marks_are_taken_away(tmp_path: Path) -> None:
    """The commented blocks are ones that the gateway takes."""
    init(str(tmp_path / "gw"))
    file = tmp_path / "gw" / "ostiary.toml"
    above, *blocks = file.read_text().split("# [[addon]]")
    bare = ["".join(line.removeprefix("# ") for line in f"# [[addon]]{block}".partition("\n\n")[0].splitlines(keepends=True)) for block in blocks]
    file.write_text(above + "\n\n".join(bare))
    assert [addon.use for addon in load(file).addons][-2:] == ["addons.ssh.Ssh", "addons.masking.Masking"]


def test_the_line_to_connect_with_is_one_that_connects(tmp_path: Path) -> None:
    """The listener is on this machine alone until its interface is taken out, and the other host's line says so."""
    said = init(str(tmp_path / "gw"), "--host", "gw.example").stdout
    assert 'psql "host=localhost port=6432' in said and "take `:interface=127.0.0.1` out" in said and "host=gw.example." in said
    assert ":interface=127.0.0.1" in (tmp_path / "gw" / "ostiary.toml").read_text()
    assert "From elsewhere" not in init(str(tmp_path / "other")).stdout
