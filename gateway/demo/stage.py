"""
What the tour's chapters act with: people with tokens, their psql and `ostiary`, and checks that are counted.

Every command runs for real, as its own process, the way a person at a terminal would run it;
what is shown is what was typed and what came back.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from gateway.demo.configuration import HOST_TARGET
from gateway.demo.database import environment
from gateway.demo.running import Gateway
from gateway.demo.screen import Screen
from gateway.demo.site import HOST, Site, has_psql

PATIENCE = 60  #: seconds that any one command may take before the tour calls it wrong


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    text: str
    code: int


class Waiting:
    """
    A psql that has been asked something and has not answered yet.

    It writes to a terminal of its own where there are any, since into a pipe psql keeps rows
    back and errors overtake them.
    """

    def __init__(self, words: Sequence[str], env: dict[str, str]) -> None:
        try:
            self._read, write = os.openpty()
        except OSError:
            self._read, write = os.pipe()
        self._process = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=write, stderr=write)
        os.close(write)
        self._heard = ""

    def notice(self) -> str:
        """What it says up to the HINT that ends the gateway's notice, or up to its end."""
        while not re.search(r"^HINT:.*\n", self._heard, re.M) and self._more(monotonic() + PATIENCE):
            pass
        shown, self._heard = self._heard, ""
        return shown

    @property
    def answered(self) -> bool:
        return self._process.poll() is not None

    def end(self, held: bool = True) -> Said:
        """
        Wait for the rest of its answer.

        :param held: whether it may wait for people meanwhile; else that ends it, as a check that it was not.
        """
        end = monotonic() + PATIENCE
        while (held or "[OST-300]" not in self._heard) and self._more(end):
            pass
        if self._process.poll() is None and (monotonic() >= end or not held and "[OST-300]" in self._heard):
            self._process.kill()
            self._heard += "no answer came\n"
        os.close(self._read)
        return Said(self._heard, self._process.wait())

    def kill(self) -> None:
        """As when somebody's laptop dies: no goodbye."""
        self._process.kill()
        self._process.wait()
        os.close(self._read)

    def _more(self, end: float) -> bool:
        """Read what comes next; False at its end, or at `end`."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, end - monotonic()))
        try:
            data = os.read(self._read, 1 << 16) if ready else b""
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        self._heard += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


class Stage:
    """
    The site with its gateway, seen by its people.

    :ivar has_psql: else the demo's own client stands in for it.
    :ivar wrong: the checks that were not right.
    :ivar right: how many were.
    """

    def __init__(self, site: Site, gateway: Gateway, tokens: dict[str, str], screen: Screen) -> None:
        self.site, self.gateway, self.screen = site, gateway, screen
        self._tokens = tokens
        self.has_psql = has_psql()
        self._psql = ["psql", "-X", "-P", "pager=off"] if self.has_psql else [sys.executable, "-m", "gateway.demo.client"]
        self.wrong: list[str] = []
        self.right = 0

    # -- what people type -------------------------------------------------------------------

    def psql(self, who: str, *queries: str, show: int = 14) -> Said:
        """One session, its queries one after the other."""
        waiting = self.psql_later(who, *queries)
        said = waiting.end(held=False)
        self.screen.output(said.text, show)
        return said

    def psql_later(self, who: str, *queries: str) -> Waiting:
        """The same, without waiting for its end."""
        words = [word for query in queries for word in ("-c", query)]
        self.screen.command("psql " + " ".join(f'-c "{query}"' for query in queries), _first(who))
        return Waiting([*self._psql, *words], self.site.client(who, self._tokens[who]))

    def ssh(self, who: str, command: str) -> Said:
        """Run a command on the host; ssh asks for the person's token, and gets it from a program that reads it from the environment."""
        asked = self.site.directory / "askpass"
        asked.write_text("#!/bin/sh\necho \"$DEMO_TOKEN\"\n")
        asked.chmod(0o700)
        env = {**os.environ, "SSH_ASKPASS": str(asked), "SSH_ASKPASS_REQUIRE": "force", "DEMO_TOKEN": self._tokens[who]}
        self.screen.command(f"ssh {who}@{HOST_TARGET}@{HOST} {shlex.quote(command)}", _first(who))
        words = [*shlex.split(self.site.ssh(who)), command]
        said = self._run([words[0], "-F", "none", "-o", "PubkeyAuthentication=no", *words[1:]], env, Path.cwd())
        self.screen.output(said.text)
        return said

    def ostiary(self, who: str, *words: str, show: int = 14) -> Said:
        """The command line, with the person's own token where it wants one."""
        self.screen.command("ostiary " + shlex.join(words), _first(who))
        said = self._command(who, words)
        self.screen.output(said.text, show)
        return said

    def shell(self, who: str, *words: str) -> Said:
        """Any other program, in the site's directory."""
        self.screen.command(words[2] if words[:2] == ("sh", "-c") else shlex.join(words), _first(who))
        said = self._run(words, dict(os.environ), self.site.directory)
        self.screen.output(said.text)
        return said

    def python(self, who: str, *words: str, cwd: Path, show: int = 14) -> Said:
        """Plain Python, without anything of ours or anybody's on its path."""
        self.screen.command("python3 " + shlex.join(words), _first(who))
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        said = self._run([sys.executable, "-I", "-S", *words], env, cwd)
        self.screen.output(said.text, show)
        return said

    # -- what the tour looks at ----------------------------------------------------------------

    def truth(self, sql: str) -> str:
        """What the server itself says, past the gateway."""
        return self.site.database.run([f"{sql};\n"]).strip()

    def statements(self) -> str:
        """Everything that the server was ever sent."""
        return self.site.database.log()

    def session_of(self, subject: str) -> str:
        """The live session of somebody; "" when there is none after a while."""
        found: list[str] = []

        def there() -> bool:
            found.extend(str(one["id"]) for one in self.listed("session", "list") if one["subject"] == subject)
            return bool(found)

        return found[0] if self.wait_for(there) else ""

    def request_state(self, request: str) -> str:
        """What became of a request; "" when there is none of that id."""
        found = {one["id"]: one["state"] for one in self.listed("request", "list", "--all")}
        return str(found.get(request, ""))

    def wait_for(self, true: Callable[[], bool]) -> bool:
        """Look again until it is so; False when it does not become so."""
        end = monotonic() + PATIENCE
        while not (so := true()) and monotonic() < end:
            sleep(0.05)
        return so

    def records(self, *filters: str) -> list[dict[str, Any]]:
        """Evidence, for checks; nothing is shown."""
        said = self._command("", ("audit", "search", "--json", *filters), subprocess.DEVNULL)
        return [json.loads(line) for line in said.text.splitlines()]

    def listed(self, *words: str) -> Any:
        """What a listing of `ostiary` says, for checks; nothing is shown."""
        return json.loads(self._command("", (*words, "--json"), subprocess.DEVNULL).text or "[]")

    def copy_store(self, name: str) -> None:
        """The evidence store, without its spare segment, as a directory of the site."""
        copy = self.site.directory / name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.site.directory / "state" / "audit", copy, ignore=shutil.ignore_patterns("spare", "notary.*"))

    def check(self, what: str, right: bool) -> None:
        """Count it and show it."""
        self.screen.checked(what, right)
        if right:
            self.right += 1
        else:
            self.wrong.append(what)

    def say(self, text: str) -> None:
        """Prose, with an empty line after it."""
        self.screen.say(f"{text}\n")

    def _command(self, who: str, words: Sequence[str], errors: int = subprocess.STDOUT) -> Said:
        env = {**environment(), "OSTIARY_CONFIG": str(self.site.file), "OSTIARY_TOKEN": self._tokens.get(who, "")}
        return self._run([sys.executable, "-m", "gateway.cli.main", *words], env, self.site.directory, errors)

    def _run(self, words: Sequence[str], env: dict[str, str], cwd: Path, errors: int = subprocess.STDOUT) -> Said:
        try:
            done = subprocess.run(
                words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True,
                check=False, timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Said("no answer came", -1)
        return Said(done.stdout, done.returncode)


def request_in(text: str) -> str:
    """The id of the request that a notice or a refusal names; "" when there is none."""
    found = re.search(r"\br-[0-9a-f]{6,}\b", text)
    return found.group() if found else ""


def _first(who: str) -> str:
    return who.partition("@")[0]
