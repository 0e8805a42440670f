"""A rule about scripts: what does as standard input says, of itself or because it starts a shell when it is told no program."""

from __future__ import annotations

import pytest

from addons.ssh import Ssh
from protocols.command import Exec
from tests.addons.test_ssh_attacks import passes

NO_SCRIPTS = Ssh(default={"exec": "allow"}, rules=[{"name": "no", "scripts": True, "verdict": "deny"}])


@pytest.mark.parametrize("line", [
    "sudo -s", "sudo -i", "sudo -u app -s", "sudo -nu app -i", "sudo --shell", "sudo --login -u app", "sudo A=1 -s", "sudo -s A=1", "doas -s", "su", "su -", "su app", "su - app", "su -l",
    "su -s /bin/bash app", "su app -s /bin/bash", "su - app -- -x", "runuser", "runuser -l app", "unshare", "unshare -n", "unshare -R /x", "unshare --root /x -w /", "nsenter -t 1 -m",
    "nsenter --target 1", "chroot /", "chroot --userspec=a /", "chroot --userspec a /", "setarch x86_64", "setarch x86_64 -R", "linux64", "linux32 -R", "newgrp", "newgrp docker", "sg root",
    "sg - root", "script", "script -q /dev/null", "machinectl shell", "machinectl shell x", "systemd-run --shell", "systemd-run -S", "pkexec", "pkexec --user app", "firejail", "fakeroot",
    "fakeroot -l x", "at now", "at now + 1 hour", "at -f /dev/stdin now", "at -f- now", "batch", "crontab", "crontab -", "crontab -u app -", "crontab /dev/stdin", "parallel", "parallel -j4",
    "parallel --jobs 4", "parallel ::: a", "ssh web2", "ssh -p 22 web2", "ssh web2 -p 22", "gdb", "gdb -p 1", "gdb -batch -x /dev/stdin", "m4", "m4 -", "m4 -D x", "dc", "dc -", "ed", "ed f",
    "ex -s f", "awk -f - f", "awk -f- f", "awk -f /dev/stdin", "gawk --file=- x", "sed -f - f", "sed -nf - f", "sed --file=/dev/stdin", "make -f -", "make -f-", "make --file=- all",
    "make --makefile=/dev/stdin", "vim -s /dev/stdin", "nc -l -e sh", "ncat -l 1 -c sh", "socat - EXEC:sh", "socat STDIO exec:bash,pty", "rbash", "pwsh", "pwsh -", "python3.11", "python3 -W ignore",
    "python3 -X utf8 -", "python3 //dev/stdin", "ruby -r json", "node -r x", "perl -I lib", "bash -eo pipefail", "bash -xs a", "bash -O extglob", "bash --rcfile f -i", "zsh --emulate sh",
    "bash /dev/./stdin", "cd /dev; bash stdin", "cd /dev/fd; bash ./fd/0", "nice su - app", "sudo su -", "sudo su - app", "env sudo -i", "nice chroot /", "sudo unshare -m", "expect", "expect -",
    "R --no-save", "nodejs", "timeout 9 ssh web2", "command su", "su -s/bin/csh app", "ssh -oNumberOfPasswordPrompts=1 h", "crontab -ureader", "runuser -gu app", "script -Ocx", "sudo -us -s",
    "m4 f -", "su -gc app", "chroot / --", "sudo -s --", "su app -l", "at -t 202601010000", "timeout 5 su", "flock lk su - app", "nice -n 5 su", "sudo -u app su", "find . -exec su ';'",
    "find . -exec bash ';'", "sudo find . -exec m4 ';'", "choom -n 0 -- su", "strace -o f -e trace=x su", "env A=1 -C / su", "nice timeout 5 chrt -b 0 su", "machinectl shell x /bin/su",
    "sudo -u app -- ed", "nohup awk -f -", "setsid nsenter -t 1", "nice ssh web2", "exec -a x su -", "sh -c 'sudo -s'", "nice sh -c 'su -'",
])  # fmt: skip
def test_what_starts_a_shell_or_does_as_standard_input_says_meets_a_rule_that_refuses_scripts(line: str) -> None:
    """`sudo -s`, `su`, `unshare` and `chroot /` are shells with standard input open, and `sed -f -` does what stands there."""
    assert not passes(NO_SCRIPTS, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", [
    "sudo -u app systemctl restart x", "sudo -i -u app ls", "sudo -s ls", "sudo -l", "sudo -v", "sudo -n true", "sudo -u app bash x.sh", "su - app -c 'ls'", "su app -c ls", "su app x.sh", "su -c ls",
    "runuser -u app -- ls", "runuser -l app -c ls", "unshare -n ls", "unshare --root /x ls", "nsenter -t 1 -m ls", "nsenter --target 1 --mount ls", "chroot / ls", "chroot --userspec=a / ls",
    "setarch x86_64 ls", "setarch -R ls", "linux64 ls", "sg docker 'ls'", "sg docker -c ls", "script -qc ls /dev/null", "script -q /dev/null -c ls", "machinectl shell x /bin/ls", "machinectl list",
    "systemd-run ls", "systemd-run --pty ls", "systemd-run --scope --user ls", "pkexec ls", "firejail ls", "fakeroot ls", "fakeroot make install", "at -f job.sh now", "at -l", "crontab -l",
    "crontab -l -u app", "crontab f", "parallel gzip ::: a b", "parallel -j4 gzip ::: a", "parallel --jobs 4 gzip ::: a", "ssh web2 uptime", "ssh -p 22 web2 uptime", "ssh -N -L 1:h:2 web2",
    "gdb -batch -p 1 -ex bt", "m4 f", "dc -e 1", "awk '{print}' -", "awk -F- '{print $1}' f", "awk -f x.awk f", "sed -n p -", "sed -f x.sed f", "make -f Makefile", "make -j4", "make test", "nc -l 80",
    "nc -z h 80", "nc -zv h 22", "socat - TCP:h:80", "python3 x.py", "python3.11 x.py", "python3 -W ignore x.py", "python3 -m venv x", "python3 -c 'x'", "ruby -r json -e 'x'", "node -r x a.js",
    "perl -I lib x.pl", "perl -ne 'print' f", "bash -eo pipefail -c 'ls'", "bash -eo pipefail x.sh", "sh x.sh", "env", "nice", "xargs -0 rm", "tmux ls", "vim f", "less f", "psql -f x.sql", "psql db",
    "mysql db", "tar czf - dir", "tar xzf -", "grep -f - x", "Rscript x.R", "sudo tee /etc/x", "sudo crontab -l -u app", "git log", "sudo apt install make gawk", "ls -la", "bash -lc 'ls'",
    "find . -name make", "find . -name 'x' -exec sed -i s/a/b/ '{}' ';'", "sudo dpkg -i x.deb", "sudo make install", "docker exec -i x bash -c 'ls'", "curl -sf -o - http://x", "php artisan migrate",
    "php -d x=1 a.php", "php -r 'echo 1;'", "systemd-run -pSlice=x ls", "sudo -us ls", "ssh -O exit h", "ssh -qN -L1:h:2 h", "sudo systemctl restart ssh", "sudo -n systemctl restart ssh",
    "sudo journalctl -u ssh --since '1 hour ago'", "sudo apt install m4", "sudo apt-get install -y gawk ed", "find . -name ed", "find . -name m4 -o -name ed -print",
])  # fmt: skip
def test_what_is_told_a_program_or_a_file_does_not(line: str) -> None:
    """Nor does what only has such a name among its words."""
    assert passes(NO_SCRIPTS, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", ["bash -o pipefail", "bash -eo pipefail", "bash -xs a", "bash --rcfile f", "bash /dev/./stdin", "python3 -W ignore", "python3.11", "ruby -r json"])
def test_a_rule_that_allows_an_interpreter_allows_no_script_behind_options_with_values(line: str) -> None:
    """It needs `scripts` for that, as it does for `bash -s`."""
    rule = {"name": "r", "programs": ["bash", "python3", "python3.11", "ruby"], "verdict": "allow"}
    assert not passes(Ssh(default={}, rules=[rule]), Exec(line.encode(), 0)) and passes(Ssh(default={}, rules=[{**rule, "scripts": True}]), Exec(line.encode(), 0))
    assert passes(Ssh(default={}, rules=[rule]), Exec(f"{line.partition(' ')[0]} x.sh stdin -xs".encode(), 0))


@pytest.mark.parametrize("line", ["git upload-pack /r", "git -C /r upload-pack .", "git-shell -c \"git-upload-pack '/r'\"", "sudo git upload-pack /r", "/usr/bin/git upload-archive /r", "nice sh -c 'git up\"\"load-pack /r'"])
def test_what_git_serves_as_a_command_of_its_own_is_a_transfer(line: str) -> None:
    """`git fetch --upload-pack='git upload-pack'` asks for that."""
    denied = Ssh(default={"exec": "allow"}, rules=[{"name": "no", "transfers": ["git-out"], "verdict": "deny"}])
    assert not passes(denied, Exec(line.encode(), 0)) and passes(denied, Exec(b"git receive-pack /r", 0)) and passes(denied, Exec(b"git status", 0))


def test_a_rule_that_allows_one_of_these_is_as_it_was() -> None:
    """What it is told to start is allowed with it; an interpreter that reads its script needs `scripts`."""
    allowed = Ssh(default={}, rules=[{"name": "r", "programs": ["sudo", "sed", "bash"], "verdict": "allow"}])
    assert passes(allowed, Exec(b"sudo -s", 0)) and passes(allowed, Exec(b"sed -f - x", 0)) and not passes(allowed, Exec(b"bash", 0))
