"""
`make run`: the demo site in ./run and its gateway in the foreground, with the lines to try.

    python -m gateway.demo.run [DIRECTORY]

The first start makes everything; later ones use it again. Ctrl-C drains the gateway and stops
the database; a second Ctrl-C does not wait.
"""

from __future__ import annotations

import re
import shlex
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

from gateway.demo.configuration import ADA, CLAUDE, GRACE
from gateway.demo.place import CannotServe
from gateway.demo.running import REMARKS, SERVING, Gateway
from gateway.demo.screen import Screen
from gateway.demo.site import Site, command, has_psql, shown

PATIENCE = 60.0  # seconds until a gateway that does not serve is given up


def main(words: list[str]) -> int:
    """The gateway's exit code, or 1 when it does not come up."""
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print("usage: python -m gateway.demo.run [DIRECTORY]   (default: run)", file=sys.stderr)
        return 2
    directory = Path(words[0] if words else "run")
    signal.signal(signal.SIGTERM, _interrupt)
    screen = Screen(sys.stdout)
    screen.say(f"Starting the demo in {shown(directory.absolute())} (the first time takes a few seconds) …")
    try:
        with Site(directory.absolute(), ssh=True) as site:
            return _serve(site, screen)
    except CannotServe as problem:
        print(f"ostiary: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _serve(site: Site, screen: Screen) -> int:
    tokens = {subject: site.token(subject) for subject in (ADA, GRACE, CLAUDE)}
    log = Log()
    gateway = Gateway(site.file, log)
    try:
        if gateway.heard(SERVING, PATIENCE) is None:
            print("".join(gateway.lines), end="", file=sys.stderr)
            return gateway.stop() or 1
        why = gateway.unrecorded(PATIENCE, lambda why: print(f"Nothing can be recorded: {why}. Waiting whether that passes …", flush=True))
        if why:
            print(f"ostiary: {refusing(why, site.file)}", file=sys.stderr)
            return gateway.stop() or 1
        _tell(site, tokens, screen)
        log.show()
        return gateway.wait()
    except KeyboardInterrupt:
        screen.say("\nStopping: live sessions get a few seconds. Ctrl-C again does not wait.")
        gateway.drain()
    try:
        return gateway.wait()
    except KeyboardInterrupt:
        return gateway.stop()


class Log:
    """The gateway's lines: kept back until the screen has said what to try, then shown. Of those before, what a person should look after."""

    def __init__(self) -> None:
        self._shown, self._kept = threading.Event(), list[str]()

    def __call__(self, line: str) -> None:
        if self._shown.is_set():
            print(line, end="", flush=True)
        elif re.search(REMARKS, line):
            self._kept.append(line)

    def show(self) -> None:
        """From the next one on."""
        self._shown.set()
        print("".join(self._kept), end="", flush=True)


def refusing(why: str, file: Path) -> str:
    """That the demo is of no use so, and what to do."""
    return (
        f"nothing can be recorded, so the gateway would refuse everything: {why}\n"
        f"A full disk: make room. A store that is damaged: {command()} audit verify --config {shown(file)}. "
        f"To begin anew, with everything that was recorded gone: make clean, or another directory."
    )


def _tell(site: Site, tokens: dict[str, str], screen: Screen) -> None:
    ostiary, file = command(), shown(site.file)
    screen.title("Ostiary is running")
    screen.say(
        f"PostgreSQL 18 with 10,000 invented patients stands behind it. Configuration: {file}."
        " Tokens below are good for 12 hours."
    )
    screen.head("Look, as Ada, an engineer: birthdays, numbers and addresses come masked")
    screen.command(f'PGPASSWORD={tokens[ADA]} psql "{site.connection(ADA)}"')
    if not has_psql():
        screen.say("  (There is no psql here. Debian's is in the package postgresql-client.)")
    screen.head("Try there")
    screen.code("SELECT * FROM patients LIMIT 5;                -- masked")
    screen.code("SELECT * FROM recent_encounters LIMIT 5;       -- through two views, still masked")
    screen.code("SELECT id FROM patients WHERE ssn LIKE '900%'; -- refused: would tell by asking")
    screen.code("DROP TABLE patients;                           -- refused before the server sees it")
    screen.code("UPDATE providers SET accepting = false;        -- waits until somebody says yes")
    if site.host is not None:
        screen.head("A host, as Ada: ssh asks for her token as the password; every command is decided and recorded")
        screen.command(f"{site.ssh(ADA)} uname -a")
        screen.say(f"  Her token: {tokens[ADA]}")
        screen.code("… rm -rf reports              # refused before the host hears of it; sftp's rm too")
        screen.code("… cat /etc/shadow             # refused, by sftp and scp too")
        screen.code("… systemctl restart app       # waits until somebody says yes")
        screen.say("  That holds for `ssh … COMMAND`. Without a command you get a shell, which is recorded: lines that start rm or systemctl are refused there,")
        screen.say("  which stops mistakes, and nothing waits; every other line, cat /etc/shadow too, reaches the host.")
        screen.say("  The account is `visitor`: it has no rights there, and its key is the gateway's.")
        screen.say("  The same through `ssh -J`, with the token twice:")
        screen.command(f"{site.ssh_jump()} uname -a")
    screen.head("Approve what waits, as Grace (use the id that the notice shows)")
    screen.command(f"export OSTIARY_CONFIG={shlex.quote(str(site.file))}")  # whole, since it stays when the directory changes
    screen.command(f"{ostiary} request list")
    screen.command(f"OSTIARY_TOKEN={tokens[GRACE]} {ostiary} request approve ID --as {GRACE}")
    screen.head("Audit: what happened, a bundle of it, and its proof")
    screen.command(f"{ostiary} audit tail --config {file}")
    screen.command(f"{ostiary} audit export --config {file} --out {shown(site.directory / 'evidence')}")
    screen.command(f"python3 {shown(site.directory / 'evidence' / 'verify.py')} --key {shown(site.public_key)}")
    screen.head("An agent, which asks and comes back instead of waiting")
    screen.command(f'PGPASSWORD={tokens[CLAUDE]} psql "{site.connection(CLAUDE)}"')
    screen.say("\nCtrl-C stops everything. The gateway's log follows.\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
