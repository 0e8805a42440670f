"""Lines behind programs that start others: read by the shell's grammar for rules that refuse, and usual ones judged by what they do."""

from __future__ import annotations

import shlex

import pytest

from addons.ssh import Ssh, lines
from protocols.command import Exec
from protocols.hooks import CommandHook
from protocols.verdict import Deny
from tests.addons.test_ssh_attacks import ADA, passes


def denying(**about: object) -> Ssh:
    return Ssh(default={"exec": "allow"}, rules=[{"name": "no", "commands": ["exec"], "verdict": "deny", **about}])


NO_RM, NO_SECRETS = denying(programs=["rm"]), denying(paths=["/t/X/secret/**"])
NO_COPIES, NO_SCRIPTS, NO_FILES = denying(transfers=["scp-out"]), denying(scripts=True), denying(redirections=True)
ALL = (NO_RM, NO_SECRETS, NO_COPIES, NO_SCRIPTS, NO_FILES)

BEFORE = [
    "nice {}", "env {}", "env -i /usr/bin/env {}", "timeout 5 {}", "nohup {}", "setsid {}", "stdbuf -o0 {}", "ionice -c3 {}", "flock lk {}", "xargs -n1 {}", "sudo {}", "sudo -u app -- {}", "exec {}", "exec -a x {}",
    "command {}", "builtin command {}", "busybox {}", "unshare {}", "chrt -b 0 {}", "taskset 1 {}", "prlimit --nofile=100 {}", "setarch x86_64 {}", "strace -o /dev/null {}", "ssh-agent {}", "find . -maxdepth 0 -exec {} ';'",
    "choom -n 0 -- {}", "runuser -u root -- {}", "setpriv --reuid=0 {}", "dbus-run-session -- {}", "perl -e 'exec @ARGV' {}", "python3 -c 'import os' {}", "/lib64/ld-linux-x86-64.so.2 /bin/{}", "nsenter -- {}",
    "gdb -q -batch -ex run --args {}", "nice env -u X {}", "env " + "A=1 " * 70 + "{}", "systemd-run --pipe {}", "parallel -j1 {}", "watch -x {}", "tmux new -d {}",
]  # fmt: skip
SHELLS = ["sh -c", "bash -ec", "dash -xc", "bash -eo pipefail -c", "bash -co pipefail", "/bin/bash --norc -c", "zsh --emulate sh -c", "bash -c --", "bash -c -", "bash --rcfile /dev/null -c", "bash-5.2 -c", "rbash -c", "ksh93 -c"]
SPELLINGS = [
    (NO_SECRETS, [
        "cat /t/X/sec\"\"ret/a", "cat /t/X/se\\cret/a", "cat /t/X/secre?/a", "cat /t/X/*/a", "x=/t/X; cat $x/secret/a", "cat $(echo /t/X/sec)ret/a", "cd /t; cd X; cat secret/a", "cd /t/X/se\"\"cret; cat a",
        "for f in /t/X/*/a; do cat $f; done", "cat </t/X/sec\"\"ret/a", "eval cat /t/X/sec\\\"\\\"ret/a", "cat {/t/X,x}/secret/a", "tar c \"/\"t", "cd /t; command cd X; cat secret/a",
    ]),
    (NO_RM, ["r\"\"m M", "\\rm M", "$(echo rm) M", "x=rm; $x M", "`echo rm` M", "r{m,} M", "c=m; r$c M", "$\"rm\" M", "/bin/r? M", "/bin/[r]m M", "eval r\\\"\\\"m M", "if true; then r\"\"m M; fi", "sh -c \"r\\\"\\\"m M\"", "nice sh -c \"r\\\"\\\"m M\""]),
    (NO_COPIES, ["sc\"\"p -f /x", "$(echo scp) -f /x", "nice sc\"\"p -f /x"]), (NO_SCRIPTS, ["ba\"\"sh", "exec s\"\"h", "cat x | b\\ash -s"]), (NO_FILES, ["echo x >M", "cat <\"M\""]),
]  # fmt: skip


@pytest.mark.parametrize("before", BEFORE)
def test_a_line_for_a_shell_behind_a_program_that_starts_others_is_read_as_the_shell_reads_it(before: str) -> None:
    """Word by word, quotes and patterns hide what it is about."""
    for addon, inner in SPELLINGS:
        for shell in SHELLS[:2] if before != "nice {}" else SHELLS:
            for line in inner:
                assert not passes(addon, Exec(before.replace("{}", f"{shell} '{line}'").encode(), 0)), (shell, line)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_line_for_a_shell_is_found_behind_all_of_its_options(shell: str) -> None:
    """`bash -eo pipefail -c` is the commonest of all, and `pipefail` no script."""
    assert not passes(NO_RM, Exec(f"{shell} 'id; rm M'".encode(), 0)) and passes(NO_RM, Exec(f"{shell} 'id; ls'".encode(), 0))
    name = shell.partition(" ")[0]
    allowed = Ssh(default={}, rules=[{"name": "r", "programs": [name, "id"], "scripts": True, "verdict": "allow"}])
    assert not passes(allowed, Exec(f"{shell} 'id; rm M'".encode(), 0)) and passes(allowed, Exec(f"{shell} id".encode(), 0))


@pytest.mark.parametrize("line", [
    "su -lc 'r\"\"m M'", "su -lc'r\"\"m M'", "su --command 'r\"\"m M'", "su --com='r\"\"m M' root", "su root --session-command='r\"\"m M'", "su - root -- -c 'r\"\"m M'", "runuser -l root -c 'r\"\"m M'", "script -qec 'r\"\"m M' /dev/null",
    "script -q /dev/null -- r'\"\"'m M", "flock lk -c 'r\"\"m M'", "flock -xc lk 'r\"\"m M'", "sg root 'r\"\"m M'", "sg root -c 'r\"\"m M'", "watch -g 'r\"\"m M'", "watch r'\"\"'m M", "watch -n 1 r\\\"\\\"m M", "parallel r'\"\"'m ::: M",
    "parallel 'r\"\"m' ::: M", "ssh localhost 'r\"\"m M'", "ssh localhost r'\"\"'m M", "ssh -o 'ProxyCommand r\"\"m M' h", "tmux run-shell 'r\"\"m M'", "screen -dm sh -c 'r\"\"m M'", "emulate sh -c 'r\"\"m M'", "entr -rs 'r\"\"m M'",
    "env -S 'rm\\_M'", "env -S '/bin/r\\_m M'", "env -iS 'r\"\"m M'", "env -S 'sh -c' 'r\"\"m M'", "env -S 'r${x}m M'", "env --split='r\"\"m M'", "env --split-string 'r\"\"m M'", "env -vS'r\"\"m M'", "env A=1 -u X -S 'r\"\"m M'",
    "env 'BASH_FUNC_ls%%=() { r\"\"m M; }' bash -c ls", "env 'BASH_ENV=$(r\"\"m M)' bash -c true", "sudo 'PS4=`r\"\"m M`' bash -xc true", "sudo A=r B=m -s '$A$B' M", "sudo -u app -i '$x' M", "sudo -nis '$x'",
    "command eval 'r\"\"m M'", "command -p eval 'r\"\"m M'", "builtin eval 'r\"\"m M'", "command builtin eval 'r\"\"m M'", "noglob eval 'r\"\"m M'", "- eval 'r\"\"m M'", "repeat 1 eval 'r\"\"m M'", "builtin trap 'r\"\"m M' EXIT",
    "nice command eval 'r\"\"m M'", "command printf -v PATH x", "tcsh -c 'r\"\"m M'", "fish -c 'rm M'", "nice csh -fc 'r\"\"m M'",
    "xargs sh -c", "xargs -I@ sh -c @", "xargs -I@ sh -c '@ M'", "xargs -I @ bash -c 'x@ M'", "xargs -iX sh -c X", "xargs --replace=X sh -c X", "xargs -n1 -0I@ @ M", "xargs -I@ /bin/@ M", "sudo xargs -I@ sh -c @",
    "nice " + "sh " * 70 + "-c 'r\"\"m M'", "bash -oc pipefail 'rm M'", "zsh -opipefail -c 'rm M'", "bash -c -- '+;rm M' x", "bash -rcfile /dev/null -c 'rm M'", "bash -c - '-;rm M' x",
])  # fmt: skip
def test_what_a_program_is_told_as_a_line_is_read_as_the_shell_reads_it(line: str) -> None:
    """By options, glued and abbreviated; by words that it joins; by splitting one; by variables that bash runs."""
    assert not passes(NO_RM, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", [
    "sudo -u app systemctl restart x", "nice -n 10 tar czf - dir", "find . -name '*.log' -exec gzip '{}' \\;", "env FOO=1 make test", "sudo awk '{print $1}' /var/log/x", "sudo awk -F: '$3 > 1000 {print $1}' /etc/passwd",
    "sudo sed -i 's/a b/c* d/g' /etc/x.conf", "sudo sed -e 's|/a (b)|/c|' f", "sudo grep -E '(a b|c d)+' f", "sudo grep 'name=$' f", "sudo -u postgres psql -c 'select count(*) from t where a > 1; select 2'", "sudo -uapps awk '{print $2}' f",
    "sudo bash -c 'cd /srv && make install'", "sudo useradd -s /bin/bash -c 'Ada Lovelace' ada", "timeout 10 ssh web2 'df -h | tail -1'", "watch -n1 'ps aux'", "find . -print0 | xargs -0 grep -l foo", "xargs -I% cp % /dst",
    "flock -n /tmp/lock -c '/srv/app/job.sh --x'", "su - app -c 'systemctl --user restart x'", "su app -c 'cd /srv/app && git pull'", "sudo perl -pi -e 's/a (b)/$1/g' f", "sudo jq '.a[] | select(.b > 1)' f",
    "sudo -H -S -n -u root /bin/sh -c 'echo BECOME-SUCCESS-abc ; /usr/bin/python3 /home/x/.ansible/tmp/a/AnsiballZ_ping.py'", "/bin/sh -c 'command -v '\"'\"'python3.11'\"'\"'; command -v /usr/bin/python3; echo ENDFOUND && sleep 0'",
    "bash -euo pipefail -c 'ls /srv'", "bash -lc 'ls /srv'", "command -v rm", "env LANG=C sort f", "env -u FOO ls", "sudo -i -u app ls", "python3 -c 'import sys; print(sys.version)'", "sudo tcpdump -i eth0 'port 80 and host 10.0.0.1'",
    "sudo iptables -A INPUT -m comment --comment 'allow web (80)' -j ACCEPT", "sudo logger -t x 'message; with * and $'", "sudo journalctl -u ssh --since '1 hour ago'", "sudo docker exec app sh -c 'ls /srv'", "xargs -n1 echo",
])  # fmt: skip
def test_a_usual_line_behind_a_program_that_starts_others_passes_rules_that_are_not_about_it(line: str) -> None:
    """Patterns of awk, sed and grep are no lines of a shell, whatever program they stand behind."""
    assert [passes(each, Exec(line.encode(), 0)) for each in ALL] == [True] * len(ALL)


def test_a_rule_that_allows_what_starts_others_allows_whatever_that_is_told() -> None:
    allowed = Ssh(default={}, rules=[{"name": "r", "programs": ["sudo"], "verdict": "allow"}])
    assert passes(allowed, Exec(b"sudo sh -c 'cat $x'", 0)) and not passes(allowed, Exec(b"sudo id; cat x", 0))


def test_who_is_refused_for_what_stands_in_an_inner_line_is_told_to_write_it_out() -> None:
    verdict = NO_RM.on_command(CommandHook(ADA, Exec(b"sudo sh -c 'cat $x'", 0)))
    assert isinstance(verdict, Deny) and "write it out" in verdict.hint


def test_lines_in_lines_do_not_grow_beyond_what_can_be_judged() -> None:
    line = "x y"
    for _ in range(6):
        line = f"watch {shlex.quote(line)}"
    assert not lines.read(line.encode()).sure and lines.read(b"watch \"sudo su -c 'nice sh -c id'\"").sure
    read = lines.read(b"nice " + b"'x y' " * (lines.AMONG_LIMIT + 1))
    assert not read.sure and len(read.every) == 1


@pytest.mark.parametrize("line", ["nice " + "sh " * 20000, "nice " + "env -a " * 9000, "watch " + "'a b' " * 9000, "nice " + "sudo A=1 -x " * 5000, "find . " + "-name 'a b' " * 5000, "xargs " + "-I@ " * 9000, "su " + "-c 'su -c x' " * 3000], ids=lambda line: line[:12])
def test_a_long_line_of_programs_that_start_others_is_judged(line: str) -> None:
    """Its words are gone through once, and not once for each that could start another."""
    assert not passes(NO_RM, Exec(f"{line} ; rm M".encode(), 0))
