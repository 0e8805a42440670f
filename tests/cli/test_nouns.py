"""Every noun while the gateway is down: the commands open control's store themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click
import pytest
import segno

from gateway.cli.main import NOUNS, main
from gateway.cli.otp import _picture
from gateway.control.opener import shown as told
from gateway.cli.show import clean, clean_lines, record, say
from gateway.control.device.answers import opened_by
from gateway.control.office import Office
from gateway.rundir import Rundir
from gateway.toml import load

ADA, GRACE = "ada@clinic.example", "grace@clinic.example"
ASK = ("--target", "clinic", "--approver", "approvers", "--why", "migration 12")


def test_tokens(tool: Any) -> None:
    token = tool.token(ADA)
    shown = [one for one in tool.json("token", "list") if one["subject"] == ADA]
    assert len(shown) == 1 and shown[0]["state"] == "good" and shown[0]["id"] in token
    assert token not in tool("token", "list").output and token not in tool("token", "list", "--json").output
    assert tool.json("identity", "check", ADA, stdin=token)["groups"] == ["engineers"]
    assert tool.json("token", "revoke", shown[0]["id"])["state"] == "revoked"
    assert "OST-601" in tool("identity", "check", ADA, stdin=token, code=1).stderr


def test_a_token_can_be_piped(tool: Any) -> None:
    """stdout is the token, what is said about it goes to stderr."""
    result = tool("token", "issue", ADA, "--ttl", "30m")
    assert result.stdout.strip().startswith("ost_") and len(result.stdout.split()) == 1
    assert "Shown once" in result.stderr


@pytest.mark.parametrize("ttl", ["", "8", "0h", "8w", "-1h", "99999d"])
def test_a_token_needs_a_time_to_live(tool: Any, ttl: str) -> None:
    result = tool("token", "issue", ADA, "--ttl", ttl, code=1 if ttl == "99999d" else 2)
    assert "30m" in result.stderr or "366 days" in result.stderr


def test_a_token_for_nobody(tool: Any) -> None:
    assert "[[identity]]" in tool("token", "issue", "eve", code=1).stderr


def test_an_authenticator_app(tool: Any) -> None:
    """stdout is the URI alone; what is listed afterwards would make no code."""
    result = tool("otp", "enroll", ADA)
    uri = result.stdout.strip()
    assert uri.startswith("otpauth://totp/Ostiary%20") and len(result.stdout.split()) == 1
    secret = parse_qs(urlsplit(uri).query)["secret"][0]
    assert secret in result.stderr and "Shown once" in result.stderr
    assert secret not in tool("otp", "list").output and secret not in tool("otp", "list", "--json").output
    assert [(one["subject"], one["enrolled"], one["required"]) for one in tool.json("otp", "list")] == [(ADA, True, False)]
    assert f"ostiary otp remove {ADA}" in tool("otp", "enroll", ADA, code=1).stderr
    assert "asked for no code any more" in tool("otp", "remove", ADA).stdout
    assert tool.json("otp", "list") == [] and "ostiary otp list" in tool("otp", "remove", ADA, code=1).stderr
    assert tool.json("otp", "enroll", ADA)["secret"] != secret


def test_who_must_have_an_app_is_listed_without_one(tool: Any) -> None:
    """And losing it says that nobody comes in without."""
    tool.config.write_text(f"{tool.config.read_text()}\n[ssh.second_step]\ngroups = [\"engineers\"]\n")
    assert [(one["subject"], one["enrolled"], one["required"]) for one in tool.json("otp", "list")] == [(ADA, False, True)]
    tool("otp", "enroll", ADA)
    assert f"ostiary otp enroll {ADA}" in tool("otp", "remove", ADA).stdout


def test_a_qr_code_says_what_the_uri_says(tool: Any) -> None:
    """Drawn for a terminal: three margins wide, two rows of it to a line."""
    uri = tool("otp", "enroll", ADA).stdout.strip()
    drawn = _picture(uri).splitlines()
    assert len({len(line) for line in drawn}) == 1 and len(drawn) == (segno.make_qr(uri, error="m").symbol_size()[1] + 1) // 2


def test_identities_of_file_and_store(tool: Any) -> None:
    tool("identity", "add", "night", "--kind", "workload", "--group", "reports")
    tool("identity", "add", "helper", "--kind", "agent", "--on-behalf-of", ADA)
    found = {one["subject"]: one for one in tool.json("identity", "list")}
    assert found["night"]["from"] == "store" and found[ADA]["from"] == "file"
    assert found["helper"]["on_behalf_of"] == ADA
    assert "exists already, in the file" in tool("identity", "add", ADA, code=1).stderr
    assert "exists already, in the store" in tool("identity", "add", "night", code=1).stderr
    assert "no identity eve" in tool("identity", "add", "x", "--kind", "agent", "--on-behalf-of", "eve", code=1).stderr
    assert "cannot be an identity" in tool("identity", "add", "a/b", code=1).stderr
    assert tool.json("identity", "show", "night")["tokens"] == []
    assert "ostiary identity list" in tool("identity", "show", "eve", code=1).stderr


def test_the_file_wins_over_the_store(tool: Any) -> None:
    """An identity that the file names later is the file's, groups and all."""
    tool("identity", "add", "night", "--kind", "workload", "--group", "approvers")
    tool.config.write_text(tool.config.read_text() + '\n[[identity]]\nsubject = "night"\nkind = "workload"\n')
    shown = tool.json("identity", "show", "night")
    assert shown["from"] == "file" and shown["groups"] == []


def test_revoke_and_restore(tool: Any) -> None:
    token = tool.token(ADA)
    assert tool.json("identity", "revoke", ADA, "--why", "left")["revoked"] is True
    tool("identity", "check", ADA, stdin=token, code=1)
    assert tool.json("identity", "restore", ADA)["revoked"] is False
    tool("identity", "check", ADA, stdin=token)
    assert "not revoked" in tool("identity", "restore", ADA, code=1).stderr


def test_secrets_go_in_and_are_never_shown(tool: Any) -> None:
    assert {one["account"]: one["secret"] for one in tool.json("account", "list")} == {"rw": "MISSING", "open": "not needed"}
    result = tool("account", "secret", "clinic", "rw", stdin="pa55 word\n")
    assert "pa55" not in result.output
    listed = tool("account", "list")
    assert "entered" in listed.output and "pa55" not in listed.output
    held = b"".join(path.read_bytes() for path in tool.config.parent.rglob("*") if path.is_file())
    assert b"pa55" not in held
    office = Office.of(load(tool.config), _Stopped())
    try:
        assert office.vault.secret("clinic", "rw") == {"password": "pa55 word"}
    finally:
        office.close()
    tool("account", "forget", "clinic", "rw")
    assert "no secret" in tool("account", "forget", "clinic", "rw", code=1).stderr


class _Stopped:
    """Time that does not pass."""

    def seconds(self) -> float:
        return 0.0


@pytest.mark.parametrize(("target", "account"), [("clinic", "ro"), ("other", "rw"), ("clinic", "open")])
def test_a_secret_nobody_would_use_is_refused(tool: Any, target: str, account: str) -> None:
    assert "ostiary" in tool("account", "secret", target, account, stdin="x\n", code=1).stderr


def test_no_secret_comes_from_the_command_line() -> None:
    """No command has an option for one: argv is for everybody to read."""
    import click

    from gateway.cli.main import main

    def options(command: click.Command) -> set[str]:
        own = {parameter.name or "" for parameter in command.params}
        if isinstance(command, click.Group):
            for name in command.commands:
                own |= options(command.commands[name])
        return own

    for noun in set(NOUNS) - {"audit", "policy", "demo"}:
        command = main.get_command(click.Context(main), noun)
        assert command is not None and not options(command) & {"password", "secret", "token"}, noun


def test_targets(tool: Any) -> None:
    [found] = tool.json("target", "list")
    assert (found["name"], found["address"], found["accounts"]) == ("clinic", "127.0.0.1:1", ["rw", "open"])
    assert "clinic_app" not in tool("target", "show", "clinic").output
    assert "ostiary target list" in tool("target", "show", "other", code=1).stderr


HOST = """
[[target]]
name = "web1"
protocol = "ssh"
address = "web1:22"
host_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf2Aq9MxgUs5qAp8j8cAu1Ey9xTzTqGgkQw3pHLOq9E"]

  [[target.account]]
  name = "deploy"
  user = "deploy"
"""


def test_a_host_is_not_said_to_be_without_encryption(tool: Any) -> None:
    """It has no TLS, and proves itself by its host key."""
    tool.config.write_text(tool.config.read_text() + HOST)
    clinic, web = tool.json("target", "list")
    assert (clinic["tls"], clinic["host_key"], web["tls"], web["host_key"]) == ("off", None, None, "registered")
    heading, _clinic, line = tool("target", "list").output.splitlines()
    assert "HOST KEY" in heading and line.split() == ["web1", "ssh", "web1:22", "-", "-", "registered", "deploy", "-"]


def test_the_account_that_reads_the_catalog_is_named_marked_or_not(tool: Any) -> None:
    text = tool.config.read_text()
    for more, reader in (("", "rw"), ("\n  catalog = true", "open")):
        tool.config.write_text(text.replace('name = "open"', f'name = "open"{more}') + HOST)
        told = {one["account"]: one["catalog"] for one in tool.json("account", "list")}
        assert told == {"rw": reader == "rw", "open": reader == "open", "deploy": None}
        shown = tool("account", "list").output
        assert shown.count("read by this") == 1 and shown.count(f"read by {reader}") == 1


def test_a_target_is_checked_by_logging_in(tool: Any) -> None:
    """Nothing listens on port 1; and before its password is entered nothing is dialled."""
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gateway.cli.main", "target", "check", *words, "--config", str(tool.config)]
        return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)

    missing, refused, unknown = run("clinic"), run("clinic", "--account", "open"), run("other")
    assert missing.returncode == 1 and "ostiary account secret clinic rw" in missing.stderr
    assert refused.returncode == 1 and "cannot be used" in refused.stderr and "Traceback" not in refused.stderr
    assert unknown.returncode == 1 and "ostiary target list" in unknown.stderr


def test_asking_ahead_and_answering(tool: Any, tmp_path: Path) -> None:
    """Offline too: the answer is kept, and the requester cannot give it."""
    ada, grace = tool.token(ADA), tool.token(GRACE)
    script = tmp_path / "migration.sql"
    script.write_text("-- twelve\nALTER TABLE visits ADD note text;\nUPDATE visits SET note = 'a;b';\n")
    asked = tool.json("request", "submit", "--as", ADA, *ASK, str(script), token=ada)
    assert asked["statements"] == ["ALTER TABLE visits ADD note text", "UPDATE visits SET note = 'a;b'"]
    assert asked["state"] == "pending" and asked["why"] == "migration 12"
    assert "somebody else" in tool("request", "approve", asked["id"], "--as", ADA, token=ada, code=1).stderr
    assert "OST-601" in tool("request", "approve", asked["id"], "--as", GRACE, token=ada, code=1).stderr
    shown = tool("request", "show", asked["id"]).output
    assert "ALTER TABLE visits" in shown and ADA in shown and "migration 12" in shown
    assert tool.json("request", "approve", asked["id"], "--as", GRACE, "--why", "ok", stdin=grace)["state"] == "granted"
    assert "approved already, by grace" in tool("request", "deny", asked["id"], "--as", GRACE, token=grace, code=1).stderr
    assert [one["id"] for one in tool.json("request", "list", "--all")] == [asked["id"]]


@pytest.mark.parametrize("texts", [("EXECUTE q",), ("PREPARE q AS SELECT 1", "PREPARE q AS SELECT 2", "EXECUTE q"), ("FETCH q",)], ids=["unsaid", "said twice", "a cursor"])
def test_a_list_is_refused_in_which_nobody_could_read_what_it_runs(tool: Any, texts: tuple[str, ...]) -> None:
    commands = [word for text in texts for word in ("-c", text)]
    refused = tool("request", "submit", "--as", ADA, *ASK, *commands, token=tool.token(ADA), code=1)
    assert "what q stands for" in refused.stderr and "write the statement itself" in refused.stderr
    assert tool.json("request", "list") == []


def test_denying(tool: Any) -> None:
    ada, grace = tool.token(ADA), tool.token(GRACE)
    asked = tool.json("request", "submit", "--as", ADA, *ASK, "-c", "DROP TABLE visits", token=ada)
    assert "denied" in tool("request", "deny", asked["id"], "--as", GRACE, "--why", "never", token=grace).output
    assert tool.json("request", "list") == []
    assert "never" in tool("request", "show", asked["id"]).output


@pytest.mark.parametrize("text", ["SELEC 1", ""])
def test_what_cannot_be_asked_for(tool: Any, tmp_path: Path, text: str) -> None:
    script = tmp_path / "x.sql"
    script.write_text(text)
    result = tool("request", "submit", "--as", ADA, *ASK, str(script), token=tool.token(ADA), code=1)
    assert "syntax error" in result.stderr or "no statement" in result.stderr


def test_a_statement_cannot_drive_an_approvers_terminal(tool: Any) -> None:
    """Escape sequences and carriage returns are shown, not obeyed."""
    ada = tool.token(ADA)
    asked = tool.json("request", "submit", "--as", ADA, *ASK, "-c", "SELECT 1\x1b[2J\r -- \u202eevil", token=ada)
    for output in (tool("request", "show", asked["id"]).output, tool("request", "list").output):
        assert not {"\x1b", "\r", "\u202e"} & set(output)
    assert clean("a\x1bb\nc") == "a\\x1bb\\nc" and clean_lines("a\tb\nc\x07") == "a\tb\nc\\x07"


def test_sessions_without_a_gateway(tool: Any) -> None:
    assert tool.json("session", "list") == []
    assert "does not run" in tool("session", "kill", "x", code=1).stderr


def test_a_serial_that_was_never_signed_is_said_loudly(tool: Any, tmp_path: Path) -> None:
    """Whoever mistyped it would leave the stolen certificate good, and believe that it is not."""
    said = tool("ssh", "revoke", "12345", code=1)
    assert "NO CERTIFICATE" in said.stderr and "12345" in said.stderr and "Revoked" not in said.stdout
    public = tmp_path / "id.pub"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(public.with_suffix(""))], check=True)
    signed = tool.json("ssh", "sign", str(public), "--identity", ADA)
    assert tool("ssh", "revoke", str(signed["serial"])).stdout == "Revoked. Sessions ended: 0.\n"


def test_while_the_gateway_starts_or_stops_every_command_says_so(tool: Any) -> None:
    """Its lock is held and nothing answers: to open the store beside it would keep its control from starting."""
    state = tool.config.parent / "state"
    house = Rundir(state)
    house.take(0.0)
    try:
        for words in (("request", "list"), ("session", "list"), ("session", "kill", "x"), ("reload",)):
            assert "the gateway is starting or stopping" in tool(*words, code=1).stderr
    finally:
        house.release()
    assert "There are none." in tool("request", "list").output


def test_a_mistake_in_the_file_is_said_and_nothing_is_opened(tool: Any) -> None:
    tool.config.write_text(tool.config.read_text().replace("drain = 30", "drian = 30"))
    assert "did you mean 'drain'" in tool("token", "list", code=1).stderr


def test_what_control_refuses_is_said_with_its_code_and_to_programs_as_json(tool: Any) -> None:
    """As the HTTPS API answers; what no code stands for says so."""
    refused = tool("identity", "restore", ADA, "--json", code=1)
    told = json.loads(refused.stdout)["error"]
    assert told["code"] == "OST-606" and refused.stderr == f"ostiary: {told['text']} [OST-606]\n"
    idle = tool("session", "kill", "x", "--json", code=1)
    assert json.loads(idle.stdout) == {"error": {"code": None, "text": idle.stderr.removeprefix("ostiary: ").rstrip()}}


def test_no_file_or_a_broken_one(tool: Any) -> None:
    tool.config.write_text("# mine\n[gateway\n")
    assert tool("token", "list", code=1).stderr.startswith(f"ostiary: {tool.config}:2: not TOML: ")
    tool.config.unlink()
    assert "--config" in tool("token", "list", code=1).stderr


def test_two_at_once_are_told_apart(tool: Any) -> None:
    """The store has one owner; whoever comes second is told which lock to look at."""
    office = Office.of(load(tool.config), _Stopped())
    try:
        assert "another process has control's store open" in tool("token", "list", code=1).stderr
    finally:
        office.close()


def test_a_key_that_is_missing_or_open_to_others(tool: Any) -> None:
    key = tool.config.parent / "state" / "keys" / "control.key"
    key.chmod(0o644)
    assert f"chmod 600 {key}" in tool("token", "list", code=1).stderr
    key.unlink()
    assert "restore it from backup" in tool("token", "list", code=1).stderr


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


WORDED = {
    "json": r"Print JSON(, one object a line( for each \w+(, then one with the counts)?)?)?\.",
    "why": r"What (the requester and |approvers and |its client and )?the evidence (is|are) told(: what it is for)?\.",
    "config": r"The gateway's configuration(, with its evidence and the policy in force)?\.|The same, as the other commands take it\.",
}
"""By option: the words that every command has for it."""


def test_the_same_option_has_the_same_words_everywhere() -> None:
    """Whoever has read one command's help knows the others'; each option says what it is."""
    found = [(path, option) for path, command in _commands(main) for option in command.params if isinstance(option, click.Option)]
    assert len(found) > 60
    for path, option in found:
        name = option.opts[0].lstrip("-")
        assert option.help or name in ("target", "kind", "subject"), (path, name)
        assert re.fullmatch(WORDED.get(name, ".*"), option.help or "", re.DOTALL), (path, name, option.help)


def test_asking_control_and_looking_at_evidence_load_no_twisted() -> None:
    """A person waits for it; importing it takes longer than the answer."""
    nouns = ("token", "identity", "request", "session", "account", "reload", "target", "audit")
    imports = "; ".join(f"import gateway.cli.{noun}" for noun in nouns)
    loaded = f"import sys; {imports}; print(*sorted(name for name in sys.modules if name.partition('.')[0] == 'twisted'))"
    ran = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, cwd=Path(__file__).parent.parent.parent)
    assert (ran.stdout, ran.stderr) == ("\n", "")


@pytest.mark.parametrize(("token", "name", "value"), [
    ("t-1", "client_token", "t-1"), ("SHA256:abc", "client_key", "SHA256:abc"), (opened_by("https://login.example"), "client_issuer", "https://login.example"),
], ids=["token", "key", "identity provider"])  # fmt: skip
def test_what_opened_a_session_has_the_name_that_evidence_gives_it(token: str, name: str, value: str) -> None:
    assert told({"id": "s-1", "token": token}) == {"id": "s-1", name: value}


STRANGE = "\x1b[31m \x07\r\n\x7f \x9b2J \u202e \u2066 \u200b \ufeff \u2028 \U000e0041 \ud800"


@pytest.mark.parametrize("writer", [say, record], ids=["say", "record"])
def test_what_strangers_wrote_does_nothing_to_a_terminal_as_json_either(writer: Any, capsys: Any) -> None:
    """Controls, C1 ones too, what turns the direction of text, and what nobody would see. It reads the same; letters stay as they are."""
    writer({"text": f"grüße {STRANGE} 患者", STRANGE: [STRANGE]})
    printed = capsys.readouterr().out
    assert all(c.isprintable() for line in printed.split("\n") for c in line) and "grüße" in printed and "患者" in printed
    assert json.loads(printed) == {"text": f"grüße {STRANGE} 患者", STRANGE: [STRANGE]}


def test_every_command_has_its_json_printed_by_the_same_two() -> None:
    """So what is said of them is said of every `--json`."""
    for file in sorted((Path(__file__).parents[2] / "gateway" / "cli").glob("*.py")):
        if file.name != "show.py":
            assert not re.search(r"(?:echo|print)\((?:json\.dumps|canonical)", file.read_text()), file
