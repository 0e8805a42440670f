"""Rules about commands of SSH: tables of what fits and what does not, and that what cannot be known is refused."""

from __future__ import annotations

import datetime

import pytest

from addons.ssh import Ssh
from addons.ssh.rules import OPEN_MODES
from addons.ssh.typed import Typed
from protocols.command import (
    AgentForward, Exec, FileAction, FileOperation, Forward, ForwardKind, Shell, SshCommand, Subsystem, X11Forward,
)
from protocols.hooks import CommandHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny, Hold

ADA = Session("s", Identity("ada", groups=frozenset({"ops"})), Target("web1", "ssh", "web1", 22), "root", "", "p")
BOT = Session("s", Identity("bot", kind="workload"), Target("web1", "ssh", "web1", 22), "root", "", "p")


def judged(addon: Ssh, command: SshCommand, session: Session = ADA) -> str:
    """ "allow RULE", "deny CODE" or "hold RULE"."""
    match addon.on_command(CommandHook(session, command)):
        case Allow(rule):
            return f"allow {rule}"
        case Deny() as deny:
            return f"deny {deny.code}"
        case Hold(rule):
            return f"hold {rule}"
    raise AssertionError("no verdict")


def ruled(**rule: object) -> Ssh:
    """One rule called r; everything else is refused where it allows, and allowed where it denies."""
    kinds = ("exec", "shell", "subsystem", "file", "forward", "agent", "x11")
    other = "deny" if rule["verdict"] != "deny" else "allow"
    approvers = {"approvers": ["leads"]} if rule["verdict"] == "approve" else {}
    return Ssh(default=dict.fromkeys(kinds, other), rules=[{"name": "r", **approvers, **rule}], registered="allow")


def fits(addon: Ssh, command: SshCommand) -> bool:
    return judged(addon, command) in ("allow r", "deny OST-203", "hold r")


def ex(line: str) -> Exec:
    return Exec(line.encode(), 0)


def test_what_no_rule_and_no_default_names_is_refused() -> None:
    commands = [ex("id"), Shell(0), Subsystem("sftp", 0), FileOperation(FileAction.LIST, b"/", 0), Forward(ForwardKind.DIRECT, "h", 1),
                AgentForward(0), X11Forward(0, 0)]  # fmt: skip
    assert {judged(Ssh(default={}), command) for command in commands} == {"deny OST-211"}
    assert judged(Ssh(default={"exec": "allow"}), ex("id")) == "allow default.exec"


@pytest.mark.parametrize(("line", "fitting"), [
    ("id", True), ("uptime; id", True), ("id | uptime && id", True), ("(id)", True), ("'id' --help", True), (r"i\d", True),
    ("id >/dev/null 2>&1", True), ("sh -c 'id; uptime'", False), ("rm x", False), ("id; rm x", False), ("id & rm x", False),
    ("id $(rm x)", False), ("id $HOME", False), ("$x", False), ("X=1 id", False), ("id > /etc/passwd", False), ("id `rm`", False),
    ("/tmp/id", False), ("for x in 1; do id; done", False), ("id <<E", False), ("", False), ("id *", False), ("id \xff", True),
])
def test_a_rule_that_allows_programs_covers_every_program_of_a_line(line: str, fitting: bool) -> None:
    """And nothing that only the shell knows, and no file that a redirection would write."""
    assert fits(ruled(verdict="allow", programs=["id", "uptime"]), ex(line)) is fitting


@pytest.mark.parametrize(("line", "fitting"), [
    ("rm x", True), ("id; rm x", True), ("/bin/rm x", True), ("r''m x", True), ("sudo rm x", True), ("env -i rm x", True),
    ("find . -exec rm {} +", True), ("bash -c 'rm x'", True), ("bash -xc 'rm x'", True), ("sh -o pipefail -c 'id; rm x'", True),
    ("$x", True), ("x=rm; $x y", True), ("eval rm x", True), ("echo $(rm x)", True), ("echo `id`", True), ("if id; then rm x; fi", True),
    ("echo rm", False), ("id", False), ("cat rm.txt", False), ("sh -c 'echo rm'", False),
])
def test_a_rule_that_denies_a_program_needs_one_of_them_or_one_that_cannot_be_known(line: str, fitting: bool) -> None:
    assert fits(ruled(verdict="deny", programs=["rm"]), ex(line)) is fitting


def test_bytes_that_are_no_text_cannot_be_known() -> None:
    assert fits(ruled(verdict="deny", programs=["rm"]), Exec(b"id \xff", 0))
    assert not fits(ruled(verdict="allow", programs=["id"]), Exec(b"id \xff", 0))


def test_an_interpreter_that_reads_its_script_from_standard_input_is_no_known_program() -> None:
    allowed = ruled(verdict="allow", programs=["bash", "python3"])
    assert fits(allowed, ex("bash deploy.sh")) and not fits(allowed, ex("bash")) and not fits(allowed, ex("python3 -"))
    assert fits(ruled(verdict="allow", programs=["bash"], scripts=True), ex("bash -s"))
    denied = ruled(verdict="deny", scripts=True)
    assert fits(denied, ex("sh")) and not fits(denied, ex("sh x.sh"))


def test_whole_lines_are_allowed_as_they_are() -> None:
    addon = ruled(verdict="allow", lines=["systemctl restart $APP"])
    assert fits(addon, ex("systemctl restart $APP")) and not fits(addon, ex("systemctl restart $APP ")) and not fits(addon, ex("id"))


@pytest.mark.parametrize(("line", "fitting"), [
    ("scp -t /srv/app/x", True), ("scp -t -- /srv/app", True), ("rsync --server -vlogDtpre.iLsfxCIvu . /srv/app/a /srv/app/b", True),
    ("scp -t /srv/app/../../etc", False), ("scp -f /srv/app/x", False), ("scp -t x", False), ("scp -t ~bob/x", False),
    ("rsync --server -vlogDtpre.iLsfxCIvu . /srv/app/a /etc", False), ("scp -t /srv/app; id", False), ("id", False),
])
def test_transfers_are_allowed_by_direction_and_path(line: str, fitting: bool) -> None:
    addon = ruled(verdict="allow", transfers=["scp-in", "rsync-in"], paths=["/srv/app/**"], commands=["exec"])
    assert fits(addon, ex(line)) is fitting


def test_a_denied_path_is_looked_for_among_all_words() -> None:
    addon = ruled(verdict="deny", paths=["/etc/**"], commands=["exec", "file"])
    assert fits(addon, ex("cat /etc/shadow")) and fits(addon, ex("cat /srv/../etc/shadow")) and not fits(addon, ex("cat /srv/x"))
    assert fits(addon, FileOperation(FileAction.OPEN, b"/etc/shadow", 0, flags=1))
    assert fits(addon, FileOperation(FileAction.OPEN, b"//etc/./shadow", 0, flags=1))
    assert fits(addon, FileOperation(FileAction.HARDLINK, b"/etc/shadow", 0, b"/tmp/x"))
    assert fits(addon, FileOperation(FileAction.SYMLINK, b"../etc/shadow", 0, b"/tmp/x"))
    assert fits(addon, FileOperation(FileAction.OPEN, b"../../etc/shadow", 0, flags=1))
    assert fits(addon, FileOperation(FileAction.OPEN, b"/var/run/../etc/shadow", 0, flags=1)) and fits(addon, ex("cat /var/run/../etc/shadow"))
    assert not fits(addon, FileOperation(FileAction.OPEN, b"/srv/etc", 0, flags=1))


@pytest.mark.parametrize("line", [
    "cat </tmp/secret/a", "cat</tmp/secret/a", "echo x >/tmp/secret/a", "cat<../x", "dd if=/tmp/secret/a of=x", "tar cf - -C/tmp/secret a",
    "tar cf - --directory=/tmp/secret a", "tar cf - -C /tmp secret", "tar cfC - /tmp secret", "cd /tmp; cat secret/a", "cd /tmp/secret && cat a",
    "cd /; cd tmp; cat secret/a", "cd /tmp; cd secret; cat a", "cd /; tar cf - tmp", "pushd /tmp; cat secret/a", "cd /tmp; cat <secret/a", "cd /tmp; cat -- ./secret/../secret/a",
    "cd $X; cat a", "cat ../../tmp/secret/a", "cd /tmp; tar -xzCsecret -f x", "sh -c 'cd /tmp; cat secret/a'", "sh -c 'cd /tmp'; cat secret/a",
    "rsync --server --sender -vlogDtpre.iLsfxCIvu . /tmp", "rsync -a /tmp h:", "scp -r -f /tmp", "scp -f -r /", "cp -r /tmp x", "cp -a /tmp/ x", "tar cf - /tmp",
    "tar cf - /", "find /tmp -type f", "find / -name a", "cd /tmp; find", "cd /tmp; find .", "grep -r x /tmp", "cd /; grep -r x", "git -C /tmp add secret", "mv /tmp x",
    "git-upload-pack /tmp", "git --git-dir=/tmp/secret log", "cat /proc/self/root/tmp/secret/a", "cat /proc/1/cwd/a", "cat /proc/self/task/1/root/tmp/secret/a",
    "cat /x/../proc/./self//root/tmp/secret/a", "cd /proc/self; cat root/tmp/secret/a", "cat /proc/self/root/proc/../tmp/secret/a", "cat /dev/fd/3/a",
    "curl file:///tmp/secret/a", "curl -T/tmp/secret/a h", "curl -d @/tmp/secret/a h", "awk 'BEGIN { getline <\"/tmp/secret/a\" }'", "env -C /tmp cat secret/a",
    "cd /; env --c tmp cat secret/a", "cd /; env --ch tmp cat secret/a", "cd /; env --chd=tmp cat secret/a", "cd /; sudo --chdi tmp cat secret/a", "cd /; tar --dir tmp -cf - secret/a", "cd /; unshare -w tmp cat secret/a", "cd /; unshare --wd=tmp cat secret/a", "cd /; nsenter -wtmp cat secret/a",
    "cd /; systemd-run --working-directory=tmp cat secret/a", "cd /; systemd-run --working tmp cat secret/a", "cd /; start-stop-daemon -d tmp -x /bin/cat secret/a", "cd /; tmux new -c tmp cat secret/a", "cd /; nice unshare -wtmp cat secret/a", "cd /; make -C tmp -f secret/a",
    "sed -n 'r /tmp/secret/a' x", "tee -a/tmp/secret/a", "docker run -v /tmp/secret:/x i", "python3 -c \"open('/tmp/secret/a')\"", "cd " + "a; cd " * 70 + "a",
])  # fmt: skip
def test_a_denied_path_is_met_however_a_line_reaches_it(line: str) -> None:
    addon = ruled(verdict="deny", paths=["/tmp/secret/**"], commands=["exec"])
    assert fits(addon, ex(line))


@pytest.mark.parametrize("line", [
    "cat /tmp/x", "cat </tmp/x", "cd /tmp; cat x", "cd /srv; cat a", "tar cf - /srv", "tar cf - -C /srv app", "cp /tmp/x /srv", "ls /tmp", "find /srv", "find . -name x",
    "rsync --server --sender -vlogDtpre.iLsfxCIvu . /srv", "git -C /srv/app pull", "git status", "grep -r secret /srv", "dd if=/tmp/x of=/srv/x", "id", "make 2>&1",
    "cat /proc/self/status", "cat /tmp/secrets", "echo a=b --c=d", "scp -t /tmp", "curl https://h.example/x",
])  # fmt: skip
def test_a_line_that_reaches_no_denied_path_is_not_refused(line: str) -> None:
    assert not fits(ruled(verdict="deny", paths=["/tmp/secret/**"], commands=["exec"]), ex(line))


@pytest.mark.parametrize("line", ["cat " + "-x" * 9000, "cd /a; cd b; cd c; " + "tar a; " * 9000, "cat " + "/a/b " * 20000, "cat " + "-abcdef " * 5000])
def test_a_line_of_more_paths_than_are_tried_meets_a_rule_that_denies_one(line: str) -> None:
    assert fits(ruled(verdict="deny", paths=["/tmp/secret/**"], commands=["exec"]), ex(line))
    assert not fits(ruled(verdict="deny", paths=["/tmp/secret/**"], commands=["exec"]), ex("cat " + "a/b " * 5000))


@pytest.mark.parametrize(("glob", "line", "fitting"), [
    ("/home/*/.ssh/**", "tar cf - /home/bob", True), ("/home/*/.ssh/**", "tar cf - /home/bob/src", False), ("/srv/*.key", "tar cf - /srv/app", False),
    ("~/.ssh/**", "tar cf - .", True), ("~/.ssh/**", "find", True), ("~/.ssh/**", "tar cf - /home", True), ("~/.ssh/**", "tar cf - src", False), ("/**/.git/**", "tar cf - /srv", True),
])  # fmt: skip
def test_what_goes_through_a_parent_meets_a_rule_about_what_is_under_it(glob: str, line: str, fitting: bool) -> None:
    assert fits(ruled(verdict="deny", paths=[glob], commands=["exec"]), ex(line)) is fitting


@pytest.mark.parametrize("line", [
    "mv /srv /srv.x", "mv x /srv", "mv -T /srv/home x", "ln -s /srv x", "ln -s /srv/home x", "link /srv/home x", "cd /; mv srv x", "sudo mv /srv x", "sudo -n tar cf - /srv", "env cp -r /srv x", "su -c 'cp -r /srv x'",
    "xargs mv -t /srv", "find . -exec cp -a /srv x ';'", "busybox mv /srv x", "sudo rsync --server --sender -re.i . /srv", "sudo git-upload-pack /srv", "sudo scp -rf /srv", "rmdir /srv/home", "mount --bind /srv x", "cd /srv; sudo find",
    "grep --directories=recurse x /srv", "grep --dir=rec x /srv", "grep --directories recurse x /srv", "grep --der x /srv", "cp --ar /srv x", "rm --r /srv", "gzip --r -c /srv", "zcat -rf /srv", "gtar cf - /srv", "zstdgrep -r x /srv",
    "tar cf - -C / srv", "scp -r -t /srv", "rsync -a x/ /srv/", "cat /srv/x/../home/secret/a", "cp -R /srv/. x", "sh -c 'mv /srv x'", "nohup sh -c 'cp -r /srv x'",
])  # fmt: skip
def test_a_line_that_moves_copies_or_links_a_parent_meets_a_rule_about_what_is_under_it(line: str) -> None:
    for verdict in ("deny", "approve"):
        assert fits(ruled(verdict=verdict, paths=["/srv/home/secret/**"], commands=["exec"]), ex(line))


@pytest.mark.parametrize("line", ["mv /srv/a /srv/b", "sudo mv /srv/home/x y", "sudo ls /srv", "su -c 'ls /srv'", "ln -s /srv/app x", "sudo cp /srv/x y", "sudo tar cf - /srv/app", "grep --color=auto x /srv/app", "ls --directory /srv", "ls --color /srv", "cp --attributes-only /srv/x y", "zcat /srv/x.gz"])
def test_a_line_that_moves_what_is_beside_it_does_not(line: str) -> None:
    assert not fits(ruled(verdict="deny", paths=["/srv/home/secret/**"], commands=["exec"]), ex(line))


MOVES = [FileAction.RENAME, FileAction.HARDLINK, FileAction.SYMLINK]


@pytest.mark.parametrize("action", MOVES, ids=str)
@pytest.mark.parametrize(("glob", "parent"), [
    ("/srv/home/secret/**", b"/srv/home"), ("/srv/home/secret", b"/srv/home/"), ("/srv/home/secret/a", b"/srv"), ("/srv/home/secret/**", b"//srv/./home"), ("/srv/*/secret/**", b"/srv/bob"), ("/srv/**/secret", b"/srv/x/y"),
    ("/**/.git/**", b"/srv/x"), ("/srv/home/secret/**", b"/"), ("~/.ssh/**", b"."), ("~/a/b/**", b"a"), ("~/.ssh/**", b"/home/ada"), ("/srv/home/secret/**", b"/srv/x/../home"), ("/srv/home/secret/**", b"/srv/home/secret"),
])  # fmt: skip
def test_a_folder_is_not_moved_or_linked_with_what_a_rule_is_about_under_it(action: FileAction, glob: str, parent: bytes) -> None:
    """Else it is read by its new name. Both ends count, and it is a read of what is under it too."""
    for options in ({"verdict": "deny"}, {"verdict": "approve"}, {"verdict": "deny", "modes": ["read"]}):
        addon = ruled(**{"commands": ["file"], "paths": [glob], **options})
        assert fits(addon, FileOperation(action, parent, 0, b"/tmp/x"))
        assert fits(addon, FileOperation(action, b"/tmp/x", 0, parent))


@pytest.mark.parametrize("action", MOVES, ids=str)
def test_a_folder_beside_what_a_rule_is_about_is_moved_and_linked(action: FileAction) -> None:
    addon = ruled(verdict="deny", commands=["file"], paths=["/srv/home/secret/**"])
    assert not fits(addon, FileOperation(action, b"/srv/home/x", 0, b"/srv/y")) and not fits(addon, FileOperation(action, b"/srv/homes", 0, b"/tmp/x"))


def test_a_folder_is_not_removed_where_what_a_rule_is_about_may_be_under_it() -> None:
    addon = ruled(verdict="deny", commands=["file"], paths=["/srv/home/secret/**"])
    assert fits(addon, FileOperation(FileAction.RMDIR, b"/srv/home", 0)) and not fits(addon, FileOperation(FileAction.RMDIR, b"/srv/x", 0))
    assert not fits(addon, FileOperation(LIST, b"/srv/home", 0)) and not fits(addon, FileOperation(FileAction.MKDIR, b"/srv/home", 0))


@pytest.mark.parametrize("line", [
    "grep -r /x", "grep -rn -e /x", "grep -r -A 3 /x", "grep -r --include=/x y", "find -newer /x", "find -path /x", "rg /x", "rg -r y /x", "fd -t f /x", "ls -R --ignore=/x", "tree -o /x", "git grep --no-index /x",
    "7z a /x.7z", "sudo grep -r /x", "su -c 'grep -r /x'", "find -H -name /x", "rgrep /x", "grep /x -r",
    "find '(' -name x ')'", "find '!' -newer /x", "zip -r /x '*'", "zip /x '.[s]*' -r", "7z a /x.7z '*'", "7z a /x.7z y -r", "zip -r /x", "find", "du", "grep -r x .",
])  # fmt: skip
def test_what_goes_through_the_present_directory_meets_a_rule_about_what_is_under_it(line: str) -> None:
    """Though another path is among its words, as a pattern or as the value of an option."""
    assert fits(ruled(verdict="deny", paths=["~/.ssh/**"], commands=["exec"]), ex(line))
    assert fits(ruled(verdict="deny", paths=["/srv/home/secret/**"], commands=["exec"]), ex(f"cd /srv/home; {line}"))


@pytest.mark.parametrize("line", [
    "find /srv -name x", "find -L /srv", "grep -rn x /srv", "sudo grep -r x /srv", "sudo find /srv", "sudo du -sh /srv", "rg x /srv", "ls -lR /srv", "tree /srv", "git -C /srv pull", "7z a /x.7z /srv", "zip -qr /x.zip /srv", "du -sh src", "fd x /srv",
])  # fmt: skip
def test_what_is_told_another_directory_does_not(line: str) -> None:
    assert not fits(ruled(verdict="deny", paths=["~/.ssh/**"], commands=["exec"]), ex(line))


def test_a_path_through_a_process_is_allowed_by_no_rule() -> None:
    allowed = ruled(verdict="allow", modes=["read"], paths=["/**"])
    assert not fits(allowed, FileOperation(FileAction.OPEN, b"/proc/self/root/etc/shadow", 0, flags=1))
    assert fits(allowed, FileOperation(FileAction.OPEN, b"/proc/self/status", 0, flags=1))


OPEN, REMOVE, LIST, COPY = FileAction.OPEN, FileAction.REMOVE, FileAction.LIST, FileAction.COPY


@pytest.mark.parametrize(("operation", "fitting"), [
    (FileOperation(OPEN, b"/srv/x", 0, flags=1), True), (FileOperation(OPEN, b"/srv/x", 0), True), (FileOperation(LIST, b"/srv", 0), True),
    (FileOperation(OPEN, b"/srv/x", 0, flags=3), False), (FileOperation(OPEN, b"/srv/x", 0, flags=8), False),
    (FileOperation(REMOVE, b"/srv/x", 0), False), (FileOperation(COPY, b"/srv/x", 0, b"/srv/y"), False),
    (FileOperation(OPEN, b"/srv/../x", 0, flags=1), False), (FileOperation(OPEN, b"x", 0, flags=1), False),
    (FileOperation(OPEN, b"/srvx", 0, flags=1), False),
])
def test_files_may_be_read_only(operation: FileOperation, fitting: bool) -> None:
    """What creates, truncates, removes or copies is a write."""
    assert fits(ruled(verdict="allow", modes=["read"], paths=["/srv/**"]), operation) is fitting


@pytest.mark.parametrize("flags", range(64))
def test_an_open_that_does_not_write_reads_whatever_its_flags(flags: int) -> None:
    """An SFTP server opens it for reading: flags with neither bit keep nobody from what is in the file."""
    reads = bool(flags & 1) or not flags & 2
    opened = FileOperation(OPEN, b"/srv/x", 0, flags=flags)
    for verdict in ("deny", "approve"):
        assert fits(ruled(verdict=verdict, commands=["file"], paths=["/srv/**"], modes=["read"]), opened) is reads
    assert fits(ruled(verdict="allow", modes=["write", "append", "create", "truncate", "exclusive"]), opened) is not reads
    assert fits(ruled(verdict="allow", modes=["read"]), opened) is (flags in (0, 1))


@pytest.mark.parametrize("flags", [4, 8, 16, 5, 9, 17])
def test_an_open_that_changes_a_file_without_the_write_bit_meets_a_rule_that_refuses_writing(flags: int) -> None:
    """`read, truncate` empties the file."""
    assert fits(ruled(verdict="deny", modes=["write"]), FileOperation(OPEN, b"/srv/x", 0, flags=flags))


@pytest.mark.parametrize("flags", [64, 65, 66, 1 << 31 | 1])
def test_flags_that_nobody_knows_are_covered_by_no_rule_that_allows_modes_and_by_every_rule_that_refuses_one(flags: int) -> None:
    assert not fits(ruled(verdict="allow", modes=list(OPEN_MODES)), FileOperation(OPEN, b"/srv/x", 0, flags=flags))
    assert all(fits(ruled(verdict="deny", modes=[mode]), FileOperation(OPEN, b"/srv/x", 0, flags=flags)) for mode in OPEN_MODES)


def test_who_sets_a_size_truncates() -> None:
    """By SETSTAT, and by FSETSTAT on what was opened."""
    cut = FileOperation(FileAction.SETSTAT, b"/srv/x", 0, attributes=(("size", 0),))
    assert fits(ruled(verdict="deny", modes=["truncate"]), cut) and fits(ruled(verdict="deny", modes=["write"]), cut)
    assert not fits(ruled(verdict="allow", modes=["write"]), cut) and fits(ruled(verdict="allow", modes=["write", "truncate"]), cut)
    named = FileOperation(FileAction.SETSTAT, b"/srv/x", 0, attributes=(("mode", 0o600),))
    assert fits(ruled(verdict="allow", modes=["write"]), named) and not fits(ruled(verdict="deny", modes=["truncate"]), named)


def test_both_paths_of_an_operation_count() -> None:
    addon = ruled(verdict="allow", commands=["file"], paths=["/srv/**", "~/**"])
    assert fits(addon, FileOperation(FileAction.RENAME, b"/srv/a", 0, b"b")) and not fits(addon, FileOperation(FileAction.RENAME, b"/srv/a", 0, b"/etc/b"))


def test_operations_by_name() -> None:
    addon = ruled(verdict="deny", actions=["remove", "rmdir"])
    assert fits(addon, FileOperation(REMOVE, b"/x", 0)) and not fits(addon, FileOperation(OPEN, b"/x", 0, flags=1))


@pytest.mark.parametrize(("host", "port", "allowed", "denied"), [
    ("10.1.2.3", 443, True, True), ("10.1.2.3", 444, False, False), ("11.1.2.3", 443, False, False), ("::ffff:10.1.2.3", 443, False, True),
    ("db.internal", 5432, True, True), ("DB.Internal.", 5432, True, True), ("db.internal", 443, False, True), ("10.1", 443, False, True),
    ("web.internal", 8080, True, True), ("web.internal", 9000, False, False),
])
def test_destinations(host: str, port: int, allowed: bool, denied: bool) -> None:
    """A name may be in any network: it is in none for a rule that allows, and may be in each for one that denies."""
    where = ["10.0.0.0/8:443", "db.internal:5432", "*.internal:8000-8999"]
    forward = Forward(ForwardKind.DIRECT, host, port, 0)
    assert fits(ruled(verdict="allow", destinations=where), forward) is allowed
    assert fits(ruled(verdict="deny", destinations=where), forward) is denied


@pytest.mark.parametrize("host", ["::ffff:127.0.0.1", "[::ffff:127.0.0.1]", "::ffff:7f00:1", "[127.0.0.1]", "127.1", "0:0:0:0:0:0:0:1", "[::1]"])
def test_a_rule_that_allows_takes_an_address_only_as_it_is_normally_written(host: str) -> None:
    addon = ruled(verdict="allow", destinations=["127.0.0.1:443", "[::1]:443", "::/0:443"])
    assert not fits(addon, Forward(ForwardKind.DIRECT, host, 443, 0))
    assert all(fits(addon, Forward(ForwardKind.DIRECT, each, 443, 0)) for each in ("127.0.0.1", "::1", "2001:DB8::1"))


@pytest.mark.parametrize("host", ["10.0.0.1", "::ffff:10.0.0.1"])
def test_a_denied_destination_that_is_written_as_a_mapped_address_is_denied(host: str) -> None:
    assert fits(ruled(verdict="deny", destinations=["[::ffff:10.0.0.0/120]:443"]), Forward(ForwardKind.DIRECT, host, 443, 0))


def test_kinds_of_forwards() -> None:
    addon = ruled(verdict="allow", forwards=["direct", "direct-unix"], destinations=["*:80", "/run/app/*"])
    assert fits(addon, Forward(ForwardKind.DIRECT, "h", 80, 0)) and fits(addon, Forward(ForwardKind.DIRECT_UNIX, "/run/app/x", 0, 0))
    assert not fits(addon, Forward(ForwardKind.REMOTE, "h", 80)) and not fits(addon, Forward(ForwardKind.DIRECT_UNIX, "/run/docker.sock", 0, 0))


def test_a_connection_to_a_registered_target_is_sent_to_its_listener() -> None:
    """What passes there would be neither asked nor recorded."""
    clinic = Target("clinic", "postgres", "DB.clinic.example", 5432)
    addon = Ssh(default={"forward": "allow"}, registry=[clinic])
    assert judged(addon, Forward(ForwardKind.DIRECT, "db.clinic.example.", 5432, 0)) == "deny OST-212"
    assert judged(addon, Forward(ForwardKind.DIRECT, "db.clinic.example", 80, 0)) == "allow default.forward"
    open_ = Ssh(default={"forward": "allow"}, registry=[clinic], registered="allow")
    assert judged(open_, Forward(ForwardKind.DIRECT, "db.clinic.example", 5432, 0)) == "allow default.forward"


SPELLINGS = [
    "127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "2130706433", "0x7f.1", "0X7F000001", "0177.0.0.1", "0", "0.0.0.0",
    "::ffff:127.0.0.1", "[::ffff:7f00:1]", "::1", "[::1]", "::", "127.9.9.9", "::1%lo", "a.localhost", "ip6-localhost", "017700000001",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_every_spelling_of_a_registered_target_is_sent_to_its_listener(host: str) -> None:
    """Whichever of them the target was registered with."""
    for registered in ("127.0.0.1", "localhost", "::1"):
        addon = Ssh(default={"forward": "allow"}, registry=[Target("clinic", "postgres", registered, 55432)])
        assert judged(addon, Forward(ForwardKind.DIRECT, host, 55432, 0)) == "deny OST-212"
        assert judged(addon, Forward(ForwardKind.DIRECT, host, 80, 0)) == "allow default.forward"


@pytest.mark.parametrize("host", ["10.1.2.3", "10.66051", "0xa010203", "012.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "10.1.2.3."])
def test_every_spelling_of_a_registered_address_is_that_address(host: str) -> None:
    addon = Ssh(default={"forward": "allow"}, registry=[Target("clinic", "postgres", "10.1.2.3", 5432)])
    assert judged(addon, Forward(ForwardKind.DIRECT, host, 5432, 0)) == "deny OST-212"


@pytest.mark.parametrize("host", ["127.0.0.0.1", "08", "0x", "1.256.1", "4294967296", "a.1", "::g", "", "127.0.0.1 x", "127.0.0.1\0", "１27.0.0.1"])
def test_a_host_that_looks_like_a_number_and_cannot_be_read_is_refused(host: str) -> None:
    assert judged(Ssh(default={"forward": "allow"}), Forward(ForwardKind.DIRECT, host, 5432, 0)) == "deny OST-212"


def test_the_loopback_of_a_host_with_a_registered_database_is_that_database() -> None:
    addon = Ssh(default={"forward": "allow"}, registry=[Target("clinic", "postgres", "WEB1", 5432)])
    assert judged(addon, Forward(ForwardKind.DIRECT, "127.1", 5432, 0)) == "deny OST-212"
    assert judged(addon, Forward(ForwardKind.DIRECT, "web2", 5432, 0)) == "allow default.forward"


@pytest.mark.parametrize("host", SPELLINGS)
@pytest.mark.parametrize("denied", ["127.0.0.1:*", "localhost:*", "127.0.0.0/8:*", "::1:*", "127.1:*"])
def test_every_spelling_of_a_denied_destination_is_denied(host: str, denied: str) -> None:
    forward = Forward(ForwardKind.DIRECT, host, 55432, 0)
    assert fits(ruled(verdict="deny", destinations=[denied]), forward)
    assert not fits(ruled(verdict="deny", destinations=["10.0.0.1:*", "db.internal:*"]), Forward(ForwardKind.DIRECT, "10.0.0.2", 1, 0))


def test_the_first_rule_that_covers_a_command_decides() -> None:
    addon = Ssh(default={}, rules=[
        {"name": "bots", "kinds": ["workload"], "commands": ["exec"], "verdict": "deny"},
        {"name": "restart", "programs": ["systemctl"], "verdict": "approve", "approvers": ["leads"], "quorum": 2},
        {"name": "all", "commands": ["exec"], "verdict": "allow"},
    ])  # fmt: skip
    assert [judged(addon, ex(line)) for line in ("systemctl stop x", "id")] == ["hold restart", "allow all"]
    assert judged(addon, ex("id"), BOT) == "deny OST-203"


def test_a_person_waits_and_a_workload_comes_back() -> None:
    addon = ruled(verdict="approve", commands=["exec"])
    assert [addon.on_command(CommandHook(who, ex("id"))).mode for who in (ADA, BOT)] == ["hold", "retry"]


def test_a_rule_that_asks_needs_one_part_as_one_that_denies_does() -> None:
    """Else what it is about would pass by a later rule that allows more."""
    addon = ruled(verdict="approve", modes=["write"])
    assert fits(addon, FileOperation(FileAction.OPEN, b"/x", 0, flags=26)) and not fits(addon, FileOperation(FileAction.OPEN, b"/x", 0, flags=1))
    assert fits(ruled(verdict="approve", programs=["rm"]), ex("id; rm x")) and fits(ruled(verdict="approve", programs=["rm"]), ex("$x"))


BEHIND = [
    "env -S 'touch x'", "env -S'touch x'", "env '--split-string=FOO=1 touch x'", "env -S \"t'ou'ch x\"", "su -c 'touch x'", "su - app -c'touch x'", "script -c 'id; touch x' /dev/null",
    "script -qc'touch x' f", "taskset 1 touch x", "ssh-agent touch x", "ssh-agent /usr/bin/touch x", "/lib64/ld-linux-x86-64.so.2 /bin/touch x", "/lib/ld-musl-x86_64.so.1 /bin/touch x",
    "/lib/ld.so touch x", "sudo -u app touch x", "sudo sh -c 'touch x'", "doas touch x", "id | xargs touch", "xargs sh -c 'touch $1'", "watch -n 1 'touch x'", "watch touch x",
    "busybox touch x", "busybox sh -c 'touch x'", "chroot / touch x", "nsenter -t 1 touch x", "parallel touch", "find . -exec sh -c 'touch x' ';'", "tmux new -d 'touch x'",
]  # fmt: skip


@pytest.mark.parametrize("line", BEHIND)
def test_a_denied_program_is_found_behind_what_starts_it(line: str) -> None:
    assert fits(ruled(verdict="deny", programs=["touch"]), ex(line))
    assert Typed("r", programs=frozenset({"touch"})).refuses(line) is not None


@pytest.mark.parametrize("line", ["sudo id", "env -S 'id x'", "xargs echo", "watch -n 1 uptime", "ssh-agent id", "/lib/ld.so id", "echo touch", "sudo touchy", "lduck.so touch"])
def test_what_starts_others_is_not_refused_for_itself(line: str) -> None:
    assert not fits(ruled(verdict="deny", programs=["touch"]), ex(line))


NO_TOUCH = Typed("no-touch", programs=frozenset({"touch"}))


@pytest.mark.parametrize("line", [
    "echo $((1+1)); touch x", "echo $(( (1+2)*3 )) && touch x", "for i in 1; do touch x; done", "for i in 1 2\ndo touch x\ndone", "for i do touch x; done", "while true; do touch x; done",
    "until touch x; do id; done", "if touch x; then id; fi", "if id; then id; else touch x; fi", "case a in b) id;; a|c) touch x;; esac", "case a in (a) touch x; esac",
    "{ touch x; }", "! touch x", "time touch x", "(for i in 1; do touch x; done)", "echo $(if id; then touch x; fi)", "sh -c 'for i in 1; do touch x; done'",
    "f() { touch x; }; f", "function f { touch x; }", "for ((i=0;i<3;i++)); do touch x; done", "[[ -e x ]] || touch x", "echo `touch x`", "cat <<E; touch x", "cat <(touch x)",
    "echo ${x:-1}; /bin/touch x", "echo ${x}; t''ouch x", "echo ${x}; t\\ouch x", "echo $(( $(touch x) ))", "echo $((1+1); touch x", "echo 'x; touch x", "case a in a) (touch x);; esac",
])  # fmt: skip
def test_a_denied_program_is_found_in_typed_lines_that_are_compound_or_cannot_be_read(line: str) -> None:
    assert NO_TOUCH.refuses(line) is not None


@pytest.mark.parametrize("line", [
    "echo $((1+1)); echo touch", "for i in touch; do echo touch; done", "if id; then echo touch; fi", "case touch in b) id;; esac", "{ echo touch; }", "echo ${x}; id",
    "echo 'touch x'", "id",
])  # fmt: skip
def test_a_typed_line_that_only_says_a_denied_name_passes(line: str) -> None:
    assert NO_TOUCH.refuses(line) is None


def test_hours() -> None:
    noon = datetime.datetime(2026, 3, 2, 12, tzinfo=datetime.UTC)
    rules = [{"name": "day", "commands": ["exec"], "verdict": "allow", "hours": "08:00-18:00"}]
    assert judged(Ssh(default={}, rules=rules, now=lambda: noon), ex("id")) == "allow day"
    assert judged(Ssh(default={}, rules=rules, now=lambda: noon.replace(hour=20)), ex("id")) == "deny OST-211"
    with pytest.raises(ValueError, match="no clock"):
        Ssh(default={}, rules=rules)


def test_variables_by_glob() -> None:
    addon = Ssh(default={}, environment=["LC_*", "FOO"])
    assert addon.accepts_variable("LC_ALL", "C") and addon.accepts_variable("FOO", "") and not addon.accepts_variable("LANG", "C")


@pytest.mark.parametrize(("options", "why"), [
    ({"default": {"exe": "allow"}}, "default.exe: unknown kind of command"),
    ({"default": {"exec": "yes"}}, "default.exec: unknown verdict"),
    ({"default": {"exec": "approve"}}, "default.exec: to approve, name the groups"),
    ({"rules": [{"verdict": "allow", "commands": ["exec"]}]}, r"rules\[0\].name: every rule has a name"),
    ({"rules": [{"name": "r", "verdict": "allow"}]}, r"rules\[0\].commands: say which commands"),
    ({"rules": [{"name": "r", "verdict": "allow", "commands": ["exec"], "modes": ["read"]}]}, r"rules\[0\].modes: says nothing about exec"),
    ({"rules": [{"name": "r", "verdict": "approve", "commands": ["exec"]}]}, r"rules\[0\].approvers: name the groups"),
    ({"rules": [{"name": "r", "verdict": "allow", "commands": ["file"], "paths": ["srv/*"]}]}, r"rules\[0\].paths: 'srv/\*' must begin with /"),
    ({"rules": [{"name": "r", "verdict": "deny", "commands": ["file"], "paths": ["/a/../b"]}]}, r"rules\[0\].paths: '/a/../b' holds"),
    ({"rules": [{"name": "r", "verdict": "allow", "destinations": ["host"]}]}, r"rules\[0\].destinations: 'host' is no destination"),
    ({"rules": [{"name": "r", "verdict": "allow", "destinations": ["10.0.0.0/33:1"]}]}, r"rules\[0\].destinations: .* is no network"),
    ({"rules": [{"name": "r", "verdict": "allow", "program": ["x"], "commands": ["exec"]}]}, r"rules\[0\].program: unknown key"),
    ({"rules": [{"name": "r", "verdict": "allow", "progams": ["x"]}]}, r"rules\[0\].progams: unknown key \(did you mean 'programs'\?\)"),
    ({"rules": [{"name": "r", "verdict": "allow", "scripts": "yes"}]}, r"rules\[0\].scripts: must be true or false"),
    ({"environment": "LANG"}, "environment: must be a list"),
    ({"registered": "maybe"}, "registered: unknown value"),
])
def test_what_is_wrong_is_said_with_its_key_path(options: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ssh(**{"default": {}, **options})


def test_what_comes_to_a_listener_stands_on_it_unless_a_rule_names_it() -> None:
    """A rule about other forwards, or about all of one place, has judged the listener already."""
    came = Forward(ForwardKind.INCOMING, "localhost", 8080, originator=("1.2.3.4", 9))
    assert judged(Ssh(default={}), came) == "allow listener"
    assert judged(Ssh(default={}, rules=[{"name": "r", "verdict": "deny", "forwards": ["remote"]}]), came) == "allow listener"
    assert judged(Ssh(default={}, rules=[{"name": "r", "verdict": "deny", "destinations": ["*:8080"]}]), came) == "allow listener"
    assert judged(Ssh(default={}, rules=[{"name": "r", "verdict": "deny", "forwards": ["incoming"]}]), came) == "deny OST-203"
    near = {"name": "r", "verdict": "deny", "forwards": ["incoming"], "destinations": ["*:9000-9999"]}
    assert judged(Ssh(default={}, rules=[near]), came) == "allow listener"
    assert judged(Ssh(default={"forward": "allow"}, rules=[{"name": "r", "verdict": "deny", "forwards": ["incoming-unix"]}]), came) == "allow listener"
