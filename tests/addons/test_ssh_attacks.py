"""
Ways past rules that somebody tried who had read the documentation, each kept.

A site whose rules must hold, as docs/ssh-policy.md advises: no shell; `echo` and `uptime`; copies in and out of /srv/app; its files by
SFTP; one forward. Whatever else comes of a command line is a way past it.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from addons.ssh import Ssh
from protocols.command import Exec, FileAction, FileOperation, Forward, ForwardKind, Pty, Shell, SshCommand, Subsystem
from protocols.hooks import CommandHook
from protocols.session import Identity, Session, Target
from protocols.ssh.variables import legible
from protocols.verdict import Allow, Deny

ADA = Session("s", Identity("ada"), Target("web1", "ssh", "web1", 22), "deploy", "", "p")
STRICT = Ssh(default={"subsystem": "allow"}, rules=[
    {"name": "harmless", "programs": ["echo", "uptime"], "verdict": "allow"},
    {"name": "status", "lines": ["systemctl status app"], "verdict": "allow"},
    {"name": "copies", "commands": ["exec"], "transfers": ["scp-in", "scp-out", "rsync-in", "rsync-out", "git-in", "git-out"], "paths": ["/srv/app/**"], "verdict": "allow"},
    {"name": "files", "commands": ["file"], "paths": ["/srv/app/**"], "verdict": "allow"},
    {"name": "metrics", "destinations": ["metrics.internal:443", "10.0.0.0/8:9090"], "verdict": "allow"},
])  # fmt: skip
LAX = Ssh(default={"exec": "allow", "file": "allow"}, rules=[
    {"name": "no-copies-out", "transfers": ["scp-out", "rsync-out"], "verdict": "deny"},
    {"name": "no-secrets", "commands": ["exec", "file"], "paths": ["/etc/secret/**"], "verdict": "deny"},
    {"name": "no-scripts", "scripts": True, "verdict": "deny"},
])  # fmt: skip


def passes(addon: Ssh, command: SshCommand) -> bool:
    verdict = addon.on_command(CommandHook(ADA, command))
    assert isinstance(verdict, (Allow, Deny))
    return isinstance(verdict, Allow)


LINES = [
    b"echo a; touch M", b"echo a && touch M", b"echo a || touch M", b"echo a | touch M", b"echo a |& touch M", b"echo a & touch M", b"echo a\ntouch M", b"echo a #\ntouch M",
    b"echo \\\n;touch M", b"echo a\0;touch M", b"echo $(touch M)", b"echo `touch M`", b'echo "$(touch M)"', b'echo "`touch M`"', b"echo ${x:=$(touch M)}", b"echo $((a[$(touch M)]))",
    b"echo $[$(touch M)]", b"echo <(touch M)", b"echo >(touch M)", b"echo >\\\n(touch M)", b'echo "$\\\n(touch M)"', b"echo > M", b"echo >> M", b"echo >| M", b"echo <> M", b"echo >& M",
    b"echo &> M", b"> M echo a", b"echo a 1>M", b"echo a {fd}>M", b"echo >/dev/null/../../M", b"echo <<E\n$(touch M)\nE", b"echo <<< $(touch M)", b"PATH=/srv/app echo a",
    b"LD_PRELOAD=/srv/app/x.so echo a", b"a[0]=x touch M", b"./echo a", b"/srv/app/echo a", b"/usr/bin/../../srv/app/echo", b"echo() { touch M; }; echo", b"function echo { touch M; }",
    b"alias echo=touch\necho M", b"{ touch M; }", b"( touch M )", b"! touch M", b"time touch M", b"coproc touch M", b"exec touch M", b"command touch M", b"eval touch M", b". /srv/app/x",
    b"if uptime; then touch M; fi", b"for i in 1; do touch M; done", b"case a in a) touch M;; esac", b"[[ -e x ]] || touch M", b"$'\\x74ouch' M", b"t\\\nouch M", b"echo {a,$(touch M)}",
    b"trap 'touch M' EXIT", b"hash -p /srv/app/x echo; echo", b"enable -f /srv/app/x.so x", b"uptime\r\ntouch M", b"sh", b"bash -c 'touch M'", b"sh -c 'echo a; touch M'", b"busybox touch M",
    b"", b" ", b"\t\n", b"echo '\xff'", b"systemctl status app; touch M", b"systemctl status app ", b"systemctl status  app", b"echo\xc2\xa0a; touch M", b"\xef\xbb\xbfecho a; touch M",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=[f"{number}" for number in range(len(LINES))])
def test_no_spelling_of_a_line_starts_what_no_rule_allows(line: bytes) -> None:
    assert not passes(STRICT, Exec(line, 0))


BUILTINS = Ssh(default={"exec": "allow"}, rules=[
    {"name": "no-rm", "programs": ["rm"], "verdict": "deny"},
    {"name": "harmless", "programs": ["printf", "test", "[", "echo", "read", "true", "hash", "mapfile", "kill", "exit"], "verdict": "allow"},
    {"name": "nothing-else", "commands": ["exec"], "verdict": "deny"},
])  # fmt: skip


@pytest.mark.parametrize("line", [
    "printf -v 'a[$(rm x)]' x", "test -v 'a[$(rm x)]'", "[ -v 'a[$(rm x)]' ]", "read 'a[$(rm x)]' < /dev/null", "declare 'a[$(rm x)]=1'", "unset 'a[$(rm x)]'", "mapfile -C 'rm x' -c1 < /dev/null",
    "readarray -C rm -c 1 x < /dev/null", "compgen -C 'rm x'", "hash -p /bin/rm foo; foo x", "let 'a[$(rm x)]'", "test -v \"a[\\`rm x\\`]\"", "exit 'a[$(rm x)]'", "kill -0 'a[$(rm x)]'", "export 'a[$(rm x)]=1'",
    "choom -n 0 -- rm x", "printf -v PATH %s /tmp; true", "printf '-vPATH' /tmp; true", "read PATH < /dev/null; true", "mapfile PATH < /dev/null; true", "export PATH=/tmp; true", "readonly PATH=/tmp; true",
    "getopts a PATH -a; true", "wait -p PATH; true", "noglob rm x", "nocorrect rm x", "repeat 2 rm x", "=rm x", "emulate sh -c 'rm x'", "- rm x", "xvfb-run rm x", "uclampset -m 1 rm x", "printf %d 'a[$(rm x)]'", "test 1 -eq 'a[`rm x`]'",
])  # fmt: skip
@pytest.mark.parametrize("at", [0, 1], ids=["allowed by its name", "not denied"])
def test_what_a_builtin_reads_once_more_is_known_to_the_shell_alone(line: str, at: int) -> None:
    """Quotes do not keep a shell from what stands in brackets behind a variable's name."""
    addon = Ssh(default={"exec": "allow"}, rules=[{"name": "no-rm", "programs": ["rm"], "verdict": "deny"}]) if at else BUILTINS
    assert not passes(addon, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", ["printf '%s\n' a", "test -f /etc/hostname", "echo 'a[1]'", "test 1 -eq 2", "read < /dev/null", "test a = b", "printf %s -x", "printf '\\033[31mx\\033[m\\n'", "printf %s 'a[1]'"])
def test_builtins_that_read_nothing_twice_are_themselves(line: str) -> None:
    assert passes(Ssh(default={}, rules=[{"name": "a", "programs": ["printf", "test", "[", "echo", "read"], "redirections": True, "verdict": "allow"}]), Exec(line.encode(), 0))


COPIES = [
    "/srv/app/scp -f /srv/app/x", "/srv/app/rsync --server -e.iLsfxC . /srv/app/", "/srv/app/git-upload-pack /srv/app/r", "./scp -t /srv/app/x", "../srv/app/scp -t /srv/app/x",
    "rsync --server --daemon --config=/srv/app/evil.conf . /srv/app", "rsync --server --log-file=/home/deploy/.ssh/authorized_keys -e.iLsfxC . /srv/app/",
    "rsync --server -e.iLsfxC --log-file-format=x --log-file=/tmp/x . /srv/app/", "rsync --server --sender -slogDtpre.iLsfxC . /srv/app/x", "rsync --server --sender --secluded-args . /srv/app/x",
    "rsync --server --sender --protect-args -re.i . /srv/app/x", "rsync --server --sender -re.i --files-from=/etc/shadow . /srv/app", "rsync --server --sender -re.i --files-from=- . /srv/app",
    "rsync --server --sender -re.i '--filter=merge /etc/shadow' . /srv/app", "rsync --server --sender -re.i --exclude-from=/etc/shadow . /srv/app", "rsync --server --sender -rf/etc/shadow . /srv/app",
    "rsync --server -re.i --write-batch=/tmp/b . /srv/app", "rsync --server -re.i --only-write-batch=/tmp/b . /srv/app", "rsync --server -re.i --read-batch=/tmp/b . /srv/app",
    "rsync --server -re.i --backup-dir=/etc/cron.d . /srv/app", "rsync --server -re.i --temp-dir=/etc/cron.d . /srv/app", "rsync --server -rT/etc/cron.d . /srv/app", "rsync --server -re.i --link-dest=/etc . /srv/app",
    "rsync --server -re.i --partial-dir=/etc/cron.d . /srv/app", "rsync --server -re.i --copy-dest=/etc . /srv/app", "rsync --server --sender -re.i --remove-source-files . /srv/app/x",
    "rsync --server -re.i . /srv/app --log-file=/tmp/x", "rsync --server -re.i . /srv/app/ /etc", "rsync --server -re.i /etc . /srv/app", "rsync --server -re.i . /srv/app/../../etc", "rsync -re 'touch M' h: /srv/app",
    "rsync --server -re.i --rsh=/srv/app/x . /srv/app", "rsync --server -re/srv/app/x . /srv/app", "rsync --server -rM--log-file=/tmp/x . /srv/app", "rsync --server -re.i --password-file=/etc/shadow . /srv/app",
    "scp -f /srv/app/../../etc/shadow", "scp -f /srv/app/x /etc/shadow", "scp -t -f /srv/app/x", "scp -S /srv/app/x -f /srv/app/y", "scp -f /srv/app/*", "scp -f ~/x", "scp -f x", "scp -f -- -x /srv/app",
    "scp -F /etc/shadow -f /srv/app/x", "scp -f '/srv/app/x;touch M' /etc/x", "scp /srv/app/x h:", "scp -f /proc/self/root/etc/shadow", "scp -f /srv/app/$(touch M)", "scp -t /srv/app/x >/etc/x",
    "git upload-pack /srv/app/r", "git-upload-pack /srv/app/../r", "git-upload-pack --timeout=1 /etc", "git-shell -c 'touch M'", "git-receive-pack /srv/app/r; touch M", "git-upload-archive /etc",
    "/usr/lib/openssh/../../../srv/app/sftp-server", "sftp-server", "internal-sftp",
]  # fmt: skip


@pytest.mark.parametrize("line", COPIES)
def test_a_rule_about_copies_starts_nothing_else_and_reaches_nothing_else(line: str) -> None:
    assert not passes(STRICT, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", [
    "scp -t /srv/app/x", "scp -v -r -p -d -t -- /srv/app", "/usr/bin/scp -f /srv/app/x", "rsync --server -vlogDtpre.iLsfxCIvu --delete . /srv/app/", "rsync --server --sender -logDtprze.iLsfxCIvu --bwlimit=99 . /srv/app/a /srv/app/b",
    "rsync --server -vlogDtprRe.LsfxCIvu --partial --info=progress2 --usermap=a:b . /srv/app", "rsync --server -e.LsfxCIvu . /srv/app/x", "git-upload-pack '/srv/app/r.git'", "git-receive-pack /srv/app/r",
    "echo a", "echo 'a;b' \"c|d\"", "uptime; echo 'x'", "systemctl status app", "echo a 2>&1 >/dev/null",
])  # fmt: skip
def test_what_its_rules_are_for_passes(line: str) -> None:
    assert passes(STRICT, Exec(line.encode(), 0))


@pytest.mark.parametrize("line", ["systemctl status app", "echo a", "scp -t /srv/app/x"])
def test_a_listed_command_has_no_terminal_on_which_a_pager_starts_a_shell(line: str) -> None:
    """`systemctl status` on a terminal is a `less`, and `!touch M` typed there a shell. The refusal says what to do."""
    verdict = STRICT.on_command(CommandHook(ADA, Exec(line.encode(), 0, Pty("xterm", 80, 24))))
    assert isinstance(verdict, Deny) and "ssh -T" in verdict.hint
    allowed = Ssh(default={}, rules=[{"name": "top", "programs": ["top"], "terminals": True, "verdict": "allow"}])
    assert passes(allowed, Exec(b"top", 0, Pty("xterm", 80, 24))) and passes(allowed, Exec(b"top", 0))
    denied = Ssh(default={"exec": "allow"}, rules=[{"name": "no", "terminals": True, "verdict": "deny"}])
    assert not passes(denied, Exec(b"top", 0, Pty("xterm", 80, 24))) and passes(denied, Exec(b"top", 0))


@pytest.mark.parametrize("line", [
    "scp -l 9999 -f /srv/x", "scp -P 22 -f /srv/x", "scp -f -S x /srv/x", "sudo scp -f /srv/x", "env A=1 rsync --server --sender -re.i . /srv", "sudo rsync --server --sender -re.i . /srv",
    "rsync --server --sender --log-file=/tmp/x -re.i . /srv", "rsync --server --sender --temp-dir /tmp . /srv", "rsync --server --sender -s", "rsync --sender --server . /srv", "su -c 'scp -f /srv/x'",
    "nice -n 5 rsync --sender --server -s", "rsync --server --daemon .", "/opt/x/scp -f /srv/x", "rsync --server -se.iLsfxC", "sudo rsync --server -re.i --files-from=- . /srv", "cat /etc/secret/a", "cat /etc/../etc/secret/a",
    "scp -f /etc/secret", "scp -rf /etc", "bash", "bash -", "bash /dev/stdin", "sh /proc/self/fd/0", "sudo bash", "env bash -s", "python3 /dev/fd/0", "su -c bash", "nohup sh", "cat x | sh", "echo $(bash)",
    "sed 1r/etc/secret/a x", "sed '$r/etc/secret/a' x", "sed -e '1w/etc/secret/a' x", "sed -n '/x/r/etc/secret/a' y", "cd /etc; sed 1rsecret/a x", "psql -c '\\i/etc/secret/a'", "cd /etc/secret; sed '1ra' x",
    "ln -s /proc x", "ln -sf /dev x", "ln -s /dev/fd x", "ln -s /proc/self/ x", "ln -s /dev/./fd x", "sudo ln -s //proc/thread-self x", "mount --bind /proc /srv/x",
    "timeout 9 python3", "sudo -u app bash -s x", "sg app 'scp -f /srv/x'", "chpst -u app scp -f /srv/x", "firejail scp -f /srv/x", "gdb --args sh",
])  # fmt: skip
def test_a_rule_that_refuses_is_met_however_the_line_is_written(line: str) -> None:
    assert not passes(LAX, Exec(line.encode(), 0))


def test_who_is_refused_for_what_only_the_shell_knows_is_told_so() -> None:
    """Else nobody understands why a rule about one file refuses every variable."""
    for line, told in (("cat $X", True), ("cat /etc/secret/a", False)):
        verdict = LAX.on_command(CommandHook(ADA, Exec(line.encode(), 0)))
        assert isinstance(verdict, Deny) and ("write it out" in verdict.hint) is told


@pytest.mark.parametrize("hint", ["", "Use trash."])
def test_a_line_that_names_what_is_refused_is_not_told_to_be_written_out(hint: str) -> None:
    """It is, and would be refused all the same: what it is told is the rule's own hint. What may be meant by a variable is another matter."""
    no_rm = Ssh(default={"exec": "allow"}, rules=[{"name": "r", "programs": ["rm"], "verdict": "deny", "hint": hint}])
    for line in ("rm x", "rm -rf reports", 'rm "$X"', "rm *.log", "sudo rm $(cat x)"):
        verdict = no_rm.on_command(CommandHook(ADA, Exec(line.encode(), 0)))
        assert isinstance(verdict, Deny) and verdict.hint == hint, line
    for line in ("$X x", "eval $X", "sudo $X y"):
        verdict = no_rm.on_command(CommandHook(ADA, Exec(line.encode(), 0)))
        assert isinstance(verdict, Deny) and "write it out" in verdict.hint, line
    everything = Ssh(default={}, rules=[{"name": "r", "commands": ["exec"], "verdict": "deny", "hint": hint}])
    assert everything.on_command(CommandHook(ADA, Exec(b"$X x", 0))).hint == hint


@pytest.mark.parametrize("line", ["scp -t /srv/x", "rsync --server -re.i . /srv", "bash x.sh", "sudo id", "python3 x.py", "scp a b:", "rsync -a x h:", "env bash x.sh", "sudo rsync --server -re.i . /srv", "sed 1r/etc/hostname x", "cat backup/secret/a", "ln -s /srv/a /srv/b", "ls /dev/shm", "cat /proc/cpuinfo"])
def test_a_rule_that_refuses_leaves_the_rest_alone(line: str) -> None:
    assert passes(LAX, Exec(line.encode(), 0))


PLACES = [
    b"/etc/shadow", b"/srv/app/../../etc/shadow", b"/srv/app/..", b"/srv/application/x", b"/srv/appx", b"srv/app/x", b"/./srv/../etc/x", b"~deploy/x", b"~", b"", b"/", b"/srv", b"/proc/self/root/srv/app/x",
    b"/proc/self/cwd/x", b"/srv/app/../app/../../etc/x", b"/etc/shadow\0/../../srv/app/x", b"/srv/app\0/../../etc/x", b"//srv/app/../../etc/x", b"/srv/app/x/../../../etc/shadow",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=repr)
@pytest.mark.parametrize("action", list(FileAction), ids=str)
def test_no_file_operation_leaves_its_folder(action: FileAction, place: bytes) -> None:
    """With the place as its only path, as its first and as its second."""
    inside = b"/srv/app/x"
    assert not passes(STRICT, FileOperation(action, place, 0, flags=1))
    if action in (FileAction.RENAME, FileAction.HARDLINK, FileAction.SYMLINK, FileAction.COPY):
        assert not passes(STRICT, FileOperation(action, inside, 0, place)) or not place
        assert action is FileAction.SYMLINK or not passes(STRICT, FileOperation(action, place, 0, inside)) or not place


@pytest.mark.parametrize("link", [b"../../etc/shadow", b"../x/../../../etc", b"/etc", b"~/x"])
def test_no_link_is_made_that_leads_out(link: bytes) -> None:
    assert not passes(STRICT, FileOperation(FileAction.SYMLINK, link, 0, b"/srv/app/x"))


def test_no_link_is_made_that_leads_out_once_it_is_moved() -> None:
    """`../..` in /srv/app/a/b is /srv/app, and in /srv/app it is /."""
    assert not passes(STRICT, FileOperation(FileAction.SYMLINK, b"../..", 0, b"/srv/app/a/b/l"))
    assert passes(STRICT, FileOperation(FileAction.SYMLINK, b"b", 0, b"/srv/app/a/l"))
    assert not passes(LAX, FileOperation(FileAction.SYMLINK, b"b", 0, b"/srv/app/a/l"))


@pytest.mark.parametrize("link", [b"/proc", b"/proc/self", b"/proc/thread-self/", b"/dev", b"/dev/fd", b"/dev//fd", b"/dev/./fd/", b"//proc", b"/proc/1/task", b"/dev/fd/3", b"/./dev"], ids=repr)
def test_no_link_is_made_to_where_links_lead_everywhere(link: bytes) -> None:
    """/proc/self/root is a link to everything, and /dev/fd/3 to what an SFTP server has opened."""
    assert not passes(LAX, FileOperation(FileAction.SYMLINK, link, 0, b"/srv/x"))
    assert not passes(STRICT, FileOperation(FileAction.SYMLINK, link, 0, b"/srv/app/x"))
    assert passes(LAX, FileOperation(FileAction.SYMLINK, b"/dev/shm/x", 0, b"/srv/x")) and passes(LAX, FileOperation(FileAction.OPEN, b"/proc/cpuinfo", 0, flags=1))


@pytest.mark.parametrize("path", [b"/srv/app/run/../shadow", b"/srv/app/./run/./../shadow", b"/srv/app/run/x/../../../app/y"], ids=repr)
def test_a_path_that_goes_up_from_a_name_is_allowed_nowhere_and_meets_what_is_denied(path: bytes) -> None:
    """The name may be a link: /var/run/.. is / and not /var."""
    assert not passes(STRICT, FileOperation(FileAction.OPEN, path, 0, flags=1)) and not passes(STRICT, Exec(b"scp -f " + path, 0))
    assert not passes(LAX, FileOperation(FileAction.OPEN, path, 0, flags=1)) and not passes(LAX, Exec(b"cat " + path, 0))


HOSTS = [
    "metrics.internal.", "METRICS.internal", "metrics.internal.evil.example", "xmetrics.internal", "metrics.internal\0.evil", " metrics.internal", "10.0.0.1.evil.example", "0xa000001", "167772161", "012.0.0.1", "::ffff:10.0.0.1",
    "10.0.0.1 ", "[10.0.0.1]", "127.0.0.1", "localhost", "169.254.169.254", "0xa9fea9fe", "[fd00:ec2::254]", "0", "::", "metadata.google.internal", "64:ff9b::a9fe:a9fe", "10.1", "*", "10.0.0.0/8", "user@metrics.internal",
]  # fmt: skip
SAME = {"metrics.internal.", "METRICS.internal"}
"""Other spellings of a name that is allowed. Of an address there are none."""


@pytest.mark.parametrize("host", HOSTS)
def test_a_forward_leads_where_its_rule_says(host: str) -> None:
    for port in (443, 9090):
        named = "internal" in host.lower()
        assert passes(STRICT, Forward(ForwardKind.DIRECT, host, port, 0)) is (host in SAME and (port == 443) is named), port
    for other in (Forward(ForwardKind.DIRECT, host, 80, 0), Forward(ForwardKind.DIRECT_UNIX, host, 0, 0), Forward(ForwardKind.DIRECT_UNIX, "/run/docker.sock", 0, 0)):
        assert not passes(STRICT, other)


@pytest.mark.parametrize("command", [Shell(0), Shell(0, Pty("xterm", 80, 24)), Exec(b"echo a", 0, Pty("xterm", 80, 24)), Forward(ForwardKind.REMOTE, "", 0), Forward(ForwardKind.REMOTE_UNIX, "/srv/app/s")], ids=repr)
def test_nothing_else_passes(command: SshCommand) -> None:
    assert not passes(STRICT, command) and passes(STRICT, Subsystem("sftp", 0))


# -- variables -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [
    ("LC_ALL", "ja_JP.SJIS"), ("LC_CTYPE", "zh_CN.GBK"), ("LANG", "zh_TW"), ("LANG", "zh_TW.Big5"), ("LANG", "japanese.sjis"), ("LANG", "../../srv/app/l"), ("LC_ALL", "/srv/app/l"), ("LANG", "zh_HK.BIG5-HKSCS"),
    ("LC_X=1\nLD_PRELOAD", "/srv/app/x"), ("LC_X\0", "a"), ("LC_X", "a\0LD_PRELOAD=/srv/app/x"), ("LC_A=B", "x"), ("", "x"), ("BASH_FUNC_echo%%", "() { touch M; }"), ("LC_ALL", "C\n"), ("LC_X", "a[$(touch M)]"), ("LC_X", "a[`touch M`]"),
])  # fmt: skip
def test_no_variable_changes_how_a_line_is_read(name: str, value: str) -> None:
    assert not legible(name, value)


@pytest.mark.parametrize(("name", "value"), [
    ("LC_ALL", "C.UTF-8"), ("LANG", "en_US.UTF-8"), ("LANG", "ja_JP.utf8"), ("LC_CTYPE", "UTF-8"), ("LANG", "de_DE@euro"), ("LANG", "C"), ("LANG", ""), ("LANG", "de_DE.ISO-8859-1"), ("LC_TERMINAL", "iTerm2"),
    ("LC_TIME", "zh_TW"), ("TZ", "Europe/Rome"), ("LANGUAGE", "ja:en"), ("LANG", "ca_ES.UTF-8@valencia"), ("LANG", "POSIX"),
])  # fmt: skip
def test_usual_languages_pass(name: str, value: str) -> None:
    """`UTF-8` alone is what macOS sends."""
    assert legible(name, value)


@pytest.mark.live
def test_a_shell_in_another_charset_sees_a_quote_end_where_nobody_else_does(tmp_path: Path) -> None:
    """Why: the second byte of a letter of Shift-JIS is a backslash. Were it let in, the first line below would pass as one `echo`."""
    line = 'echo "\u00c1\\"; touch M #"'
    assert passes(STRICT, Exec(line.encode(), 0))
    charset = Path("/usr/share/i18n/charmaps/SHIFT_JIS.gz")
    if not charset.exists():
        pytest.skip("no SHIFT_JIS on this machine")
    subprocess.run(["localedef", "-f", "SHIFT_JIS", "-i", "ja_JP", str(tmp_path / "ja_JP.SJIS")], capture_output=True, check=False)
    ran = [subprocess.run(["bash", "-c", line.replace("M", name).encode()], cwd=tmp_path, env={"LOCPATH": str(tmp_path), "LC_ALL": locale, "PATH": "/usr/bin:/bin"}, capture_output=True, check=False)
           for name, locale in (("M", "ja_JP.SJIS"), ("N", "C.UTF-8"))]  # fmt: skip
    assert (tmp_path / "M").exists() and not (tmp_path / "N").exists(), ran
