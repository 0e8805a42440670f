"""OpenSSH's client through a gateway to OpenSSH's server: what comes out is what came in, and it is recorded."""

from __future__ import annotations

import hashlib
import os
import subprocess

import pytest

from tests.ssh_house import ADA, WEB, SshHouse

pytestmark = pytest.mark.live


def test_output_and_errors_stay_apart_and_the_exit_code_is_the_commands(ssh_house: SshHouse) -> None:
    done = ssh_house.ssh("echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_every_exit_code_comes_through(ssh_house: SshHouse) -> None:
    """Over one connection each of a sample, the ends included."""
    for code in (0, 1, 2, 126, 127, 128, 200, 254, 255):
        assert ssh_house.ssh(f"exit {code}").returncode == code


def test_a_signal_comes_through(ssh_house: SshHouse) -> None:
    """exit-signal: the client says 255, and the record says which."""
    assert ssh_house.ssh("kill -TERM $$").returncode == 255
    session = ssh_house.records("--kind", "intent", "--text", "kill -TERM $$")[-1]["session"]
    [outcome] = ssh_house.recorded("--session", session, "--kind", "outcome")
    assert outcome["body"]["facts"]["signal"] == "TERM"


def test_a_half_closed_channel_goes_on(ssh_house: SshHouse) -> None:
    """The client's end of input is not the end of the command."""
    done = ssh_house.ssh("cat; sleep 0; echo after; exit 7", stdin=b"abc")
    assert (done.stdout, done.returncode) == (b"abcafter\n", 7)


def test_input_and_output_of_some_size_are_unchanged(ssh_house: SshHouse) -> None:
    """30 MB up and down at once, with everything counted in the outcome."""
    data = os.urandom(1 << 20) * 30
    done = ssh_house.ssh("tee /dev/stderr | sha256sum >/dev/null; exit 3", stdin=data)
    assert done.returncode == 3 and hashlib.sha256(done.stderr).digest() == hashlib.sha256(data).digest()


@pytest.mark.parametrize("cipher", [
    "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
])  # fmt: skip
def test_every_cipher_with_keys_changed_on_the_way(ssh_house: SshHouse, cipher: str) -> None:
    """RekeyLimit of 1 MB in both directions while 8 MB go each way; bytes are equal."""
    data = os.urandom(8 << 20)
    client = ("-c", cipher, "-o", "RekeyLimit=1M")
    done = ssh_house.ssh("cat", stdin=data, client=client)
    assert done.returncode == 0 and done.stdout == data


@pytest.mark.parametrize("mac", ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"])
def test_every_mac(ssh_house: SshHouse, mac: str) -> None:
    assert ssh_house.ssh("echo ok", client=("-c", "aes256-ctr", "-m", mac)).stdout == b"ok\n"


def test_no_common_mac_is_needed_with_gcm(ssh_house: SshHouse) -> None:
    client = ("-c", "aes128-gcm@openssh.com", "-m", "hmac-sha1")
    assert ssh_house.ssh("echo ok", client=client).stdout == b"ok\n"


@pytest.mark.parametrize("exchange", [
    "curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha256",
])  # fmt: skip
def test_every_key_exchange(ssh_house: SshHouse, exchange: str) -> None:
    assert ssh_house.ssh("echo ok", client=("-o", f"KexAlgorithms={exchange}")).stdout == b"ok\n"


@pytest.mark.parametrize("weak", [
    ("-c", "aes128-cbc"), ("-c", "3des-cbc"), ("-o", "KexAlgorithms=diffie-hellman-group14-sha1"),
    ("-o", "KexAlgorithms=diffie-hellman-group-exchange-sha1"), ("-o", "HostKeyAlgorithms=ssh-rsa"),
    ("-c", "aes128-ctr", "-m", "hmac-sha1"), ("-c", "aes128-ctr", "-m", "hmac-md5-96"),
], ids=" ".join)  # fmt: skip
def test_nothing_weak_is_spoken(ssh_house: SshHouse, weak: tuple[str, ...]) -> None:
    done = ssh_house.ssh("echo no", client=weak)
    assert done.returncode == 255 and b"no" not in done.stdout


def test_strict_key_exchange_is_used(ssh_house: SshHouse) -> None:
    assert b"will use strict KEX ordering" in ssh_house.ssh("true", client=("-vvv", "-o", "LogLevel=DEBUG3")).stderr


def test_compression_begins_behind_the_login(ssh_house: SshHouse) -> None:
    """zlib@openssh.com, with keys changed on the way; and only that kind."""
    data = b"again and again " * (1 << 17)
    done = ssh_house.ssh("cat", stdin=data, client=("-C", "-o", "RekeyLimit=512K", "-v", "-o", "LogLevel=DEBUG1"))
    assert done.stdout == data
    assert b"zlib@openssh.com" in done.stderr


def test_a_terminal_is_the_targets(ssh_house: SshHouse) -> None:
    """-tt: the size and the modes of a terminal arrive, and what it prints comes back."""
    done = ssh_house.ssh("stty -a; tty >/dev/null && echo terminal", client=("-tt",))
    assert b"terminal" in done.stdout and b"isig" in done.stdout


def test_variables_of_a_short_list_pass(ssh_house: SshHouse) -> None:
    client = ("-o", "SetEnv=LC_ALL=C.UTF-8 SECRET_PATH=/evil")
    assert ssh_house.ssh("echo [$LC_ALL] [$SECRET_PATH]", client=client).stdout == b"[C.UTF-8] []\n"


def test_a_command_is_recorded_before_it_runs_and_what_came_of_it_after(ssh_house: SshHouse) -> None:
    ssh_house.ssh("echo remember-me; exit 5")
    found = [r for r in ssh_house.records("--text", "remember-me") if r["kind"] == "intent"]
    assert found[-1]["body"]["text"] == "echo remember-me; exit 5" and found[-1]["fields"]["path"] == "exec"
    of_it = ssh_house.recorded("--session", found[-1]["session"], "--kind", "outcome")
    assert of_it[0]["body"]["facts"]["exit"] == "5" and of_it[0]["fields"]["bytes"] == 12


def test_everything_verifies(ssh_house: SshHouse) -> None:
    ssh_house.ssh("true")
    assert "tampered" not in ssh_house.verify().stdout.lower()
    assert ssh_house.verify().returncode in (0, 2)


def test_one_connection_carries_many_commands(ssh_house: SshHouse) -> None:
    """ssh -M: ten more over the first one's connection, some at once."""
    control = ssh_house.client / "mux"
    line = ssh_house.line("-o", f"ControlPath={control}")
    with subprocess.Popen([*line, "-M", "-N", "127.0.0.1"], stdin=subprocess.PIPE) as master:
        try:
            from tests.house import until

            until(control.exists, "the master's socket")
            every = [
                subprocess.Popen([*line, "127.0.0.1", f"echo {n}"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
                for n in range(10)
            ]
            assert [one.communicate(timeout=60)[0] for one in every] == [f"{n}\n".encode() for n in range(10)]
        finally:
            subprocess.run([*line, "-O", "exit", "127.0.0.1"], capture_output=True, check=False)
            master.wait(30)
    found = ssh_house.records("--kind", "intent")
    sessions = {r["session"] for r in found if r["body"]["text"] in {f"echo {n}" for n in range(10)}}
    assert len(sessions) == 1


def test_who_and_where_is_in_the_user_name(ssh_house: SshHouse) -> None:
    assert ssh_house.ssh("echo in", user=f"{ADA}@{WEB}+app").stdout == b"in\n"
    for user in (f"{ADA}@nowhere", f"{ADA}@{WEB}+nobody"):
        done = ssh_house.ssh("echo no", user=user, client=("-o", "LogLevel=INFO"))
        assert done.returncode == 255 and b"no such target" in done.stderr and b"OST-101" in done.stderr
    done = ssh_house.ssh("echo no", user=ADA, client=("-o", "LogLevel=INFO"))
    assert b"ssh IDENTITY@TARGET@GATEWAY" in done.stderr and b"OST-625" in done.stderr
