"""
A whole gateway in a directory, in front of a real PostgreSQL: `twistd -n ostiary --config FILE` on free loopback ports.

People: ada (human, engineers), grace and hope (human, approvers), clear (human, sees every column as it is),
bench (a workload), claude (an agent on behalf of ada). Everybody may reach the target `db`; what policy
asks and what is masked are parameters.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg

from addons.sql.kinds import CLASSES
from gateway.cli.door import Door
from gateway.cli.init import HOSTS, make
from gateway.notary.keys import FOLDER, PUBLIC
from tests import warm
from tests.servers import SUPERUSER, PostgresServer, free_port

ROOT = Path(__file__).parent.parent

PATIENCE = 60.0  # seconds until an event that does not come fails its test

TARGET = "db"

ADA, GRACE, HOPE, CLEAR = (f"{name}@clinic.example" for name in ("ada", "grace", "hope", "clear"))
BENCH, CLAUDE = "bench", "claude"
PEOPLE = {
    ADA: {"groups": ["engineers"]},
    GRACE: {"groups": ["approvers"]},
    HOPE: {"groups": ["approvers"]},
    CLEAR: {"groups": ["privacy"]},
    BENCH: {"kind": "workload", "groups": ["bench"]},
    CLAUDE: {"kind": "agent", "groups": ["agents"], "on_behalf_of": ADA},
}
EVERYTHING = {name: "allow" for name in CLASSES}

Table = Mapping[str, Any]


def until(true: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for something that only the operating system can tell."""
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end, f"waited in vain: {what}"
        select.select([], [], [], 0.01)


class House:
    """
    One gateway. `start` returns when it serves; `stop` when nothing of it runs any more.

    :param directory: new or empty.
    :param user: the role the gateway logs in as; it must exist and be trusted by the server.
    :param masked: relation ("public.patients") of `database` to its masked columns; the group `privacy` sees them.
    :param rules: policy's; :param default: policy's classes, everything allowed unless given.
    :param options: more options of policy, such as `functions`.
    :param masking: more options of masking, likewise.
    :param addons: tables of more addons, each with `use`.
    :param target: over `[[target]]`, such as its accounts.
    :param gateway: over `[gateway]`; :param audit: over `[audit]`; :param people: everybody, if others than the usual.
    """

    def __init__(
        self, directory: Path, server: PostgresServer, *, database: str = "postgres", databases: Sequence[str] = (),
        user: str = SUPERUSER, workers: int | str = 2, masked: Mapping[str, Sequence[str]] | None = None,
        rules: Sequence[Table] = (), default: Mapping[str, str] = EVERYTHING, options: Table | None = None,
        masking: Table | None = None, addons: Sequence[Table] = (), tls: str = "optional", gateway: Table | None = None, audit: Table | None = None, target: Table | None = None,
        people: Mapping[str, Table] = PEOPLE,
    ) -> None:  # fmt: skip
        self.directory, self.server, self.database = directory, server, database
        self.port, self.control_port = free_port(), free_port()
        made = make(directory, "house", HOSTS, ADA, ttl=3600.0)
        self.file, self.authority = made.config, made.authority
        self.log_file = directory / "log"
        self._databases, self._user, self._workers, self._tls = [database, *databases], user, workers, tls
        self._gateway, self._audit, self.target = dict(gateway or {}), dict(audit or {}), dict(target or {})
        self._people = people
        masks = [mask(relation, column, databases=[database]) for relation, columns in (masked or {}).items() for column in columns]
        self.addons: list[Table] = [
            {"use": "addons.access.Access", "rules": [{"kinds": ["human", "workload", "agent"], "targets": [TARGET]}]},
            *([{"use": "addons.masking.Masking", "columns": masks, **(masking or {})}] if masks else []),
            {"use": "addons.policy.Policy", "default": dict(default), "rules": list(rules), **(options or {})},
            *addons,
        ]
        self.write()
        self._tokens: dict[str, str] = {ADA: made.token}
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0

    # -- the file ---------------------------------------------------------------------------

    def write(self) -> None:
        """ostiary.toml, from what this object says now."""
        tables: list[str] = [
            table("[gateway]", {"name": "house", "state": "state", "workers": self._workers, "drain": 5, **self._gateway}),
            table("[tls]", {"certificate": "state/tls/server.pem", "key": "state/tls/server.key"}),
            table("[audit]", {"directory": "state/audit", "segment_bytes": 16 << 20,
                              "anchor_file": "state/anchor/checkpoints", **self._audit}),
            table("[control]", {"listen": f"tcp:{self.control_port}:interface=127.0.0.1"}),
            table("[[listen]]", {"protocol": "postgres", "endpoint": f"tcp:{self.port}:interface=127.0.0.1", "tls": self._tls}),
            table("[[target]]", {"name": TARGET, "protocol": "postgres", "address": f"127.0.0.1:{self.server.port}",
                                 "database": self.database, "databases": self._databases, "tls": "off",
                                 "account": [{"name": "app", "user": self._user, "auth": "trust"}], **self.target}),
            *(table("[[identity]]", {"subject": subject, **facts}) for subject, facts in self._people.items()),
            *(table("[[addon]]", addon) for addon in self.addons),
        ]  # fmt: skip
        self.file.write_text("\n".join(tables))

    # -- life -------------------------------------------------------------------------------

    def __enter__(self) -> House:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> House:
        """Run it, until it says that it serves."""
        self.launch()
        return self.serves()

    def launch(self) -> None:
        """Run it; wait for nothing."""
        self._from = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile="]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "ostiary", "--config", str(self.file)], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                cwd=self.directory, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def serves(self) -> House:
        """Wait until it says so."""
        try:
            self.heard(r"serving revision \d+")
        except AssertionError:
            self.stop()
            raise
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to leave; whatever is still there afterwards is killed."""
        if self._process is None:
            return
        family = self.family()
        self._process.send_signal(number)
        if self._process.poll() is None:
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)
        self._process = None

    def restart(self) -> None:
        """A new life on the same state."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Write the file again and take it into force."""
        begun = self.log_file.stat().st_size
        self.write()
        self.kill("supervisor", signal.SIGHUP)
        self.heard(r"reload refused|revision \d+, (is in force|has not changed)", begun)

    # -- its processes ----------------------------------------------------------------------

    def pid(self, part: str) -> int:
        """Of the supervisor, notary, control, worker-1, …; by the newest word of the log."""
        if part == "supervisor":
            assert self._process is not None
            return self._process.pid
        told = re.findall(rf"\b{re.escape(part)} is process (\d+)", self.text(self._from))
        assert told, f"the log does not know {part}"
        return int(told[-1])

    def kill(self, part: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a part; its process id."""
        pid = self.pid(part)
        os.kill(pid, number)
        return pid

    @property
    def parts(self) -> list[str]:
        """Names of the processes below the supervisor."""
        return sorted(set(re.findall(r"\b(notary|control|worker-\d+) is process \d+", self.text(self._from))))

    def family(self) -> list[psutil.Process]:
        """Its processes, those that lost the supervisor too."""
        found: dict[int, psutil.Process] = {}
        try:
            root = psutil.Process(self.pid("supervisor"))
            found = {one.pid: one for one in (root, *root.children(recursive=True))}
        except psutil.NoSuchProcess:
            pass
        for part in self.parts:
            try:
                child = psutil.Process(self.pid(part))
                if "gateway.child" in child.cmdline():
                    found[child.pid] = child
            except psutil.NoSuchProcess:
                pass
        return list(found.values())

    def resident(self, part: str) -> int:
        """Bytes of memory that a part holds, as the kernel counts them."""
        status = Path(f"/proc/{self.pid(part)}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) << 10

    def workers(self) -> list[str]:
        """Names of the processes that hold sessions."""
        return [part for part in self.parts if part.startswith("worker")]

    # -- what it says -----------------------------------------------------------------------

    def text(self, begin: int = 0) -> str:
        """Its log from a byte on."""
        with self.log_file.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")

    def heard(self, pattern: str, begin: int | None = None) -> re.Match[str]:
        """The first words since it was started (or since a byte of the log) that match."""
        begin = self._from if begin is None else begin
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = re.search(pattern, self.text(begin))
            if found:
                return found
            if self._process is not None and self._process.poll() is not None:
                break
            select.select([], [], [], 0.02)
        raise AssertionError(f"never said {pattern!r}:\n{self.text(begin)[-4000:]}")

    # -- clients ----------------------------------------------------------------------------

    def token(self, subject: str) -> str:
        """A password for this identity."""
        if subject not in self._tokens:
            made = Door(self.file).call("token_issue", subject=subject, ttl=7200.0, note="a test")
            self._tokens[subject] = made["token"]
        return self._tokens[subject]

    def facts(self, subject: str, **more: object) -> dict[str, str]:
        """How an identity connects, in libpq's words, the password too."""
        known = {
            "host": "127.0.0.1", "port": self.port, "user": f"{subject}@{TARGET}", "dbname": self.database,
            "password": self.token(subject), "sslmode": "disable", **more,
        }  # fmt: skip
        return {name: str(value) for name, value in known.items()}

    def direct_facts(self, **more: object) -> dict[str, str]:
        """The same login without a gateway."""
        known = {
            "host": "127.0.0.1", "port": self.server.port, "user": self._user, "dbname": self.database,
            "password": "unused", "sslmode": "disable", **more,
        }  # fmt: skip
        return {name: str(value) for name, value in known.items()}

    def dsn(self, subject: str, **more: object) -> str:
        """A conninfo string."""
        return psycopg.conninfo.make_conninfo(**self.facts(subject, **more))

    def direct(self, **more: object) -> str:
        """A conninfo string that goes around the gateway."""
        return psycopg.conninfo.make_conninfo(**self.direct_facts(**more))

    def connect(self, subject: str, autocommit: bool = True, **more: object) -> psycopg.Connection[Any]:
        """A psycopg connection."""
        return psycopg.connect(self.dsn(subject, **more), autocommit=autocommit)

    def psql(self, subject: str, text: str, *words: str, **more: object) -> subprocess.CompletedProcess[str]:
        """A script for psql 15, and what it said; `more` over the connection's facts."""
        return psql(self.facts(subject, **more), text, *words)

    # -- operators --------------------------------------------------------------------------

    def ostiary(self, *words: str, token: str = "", stdin: str = "") -> subprocess.CompletedProcess[str]:
        """The command line on this house, such as ("request", "approve", ID, "--as", GRACE)."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OSTIARY_CONFIG": str(self.file), "OSTIARY_TOKEN": token}
        return warm.run(words, environment=environment, directory=self.directory, stdin=stdin, timeout=PATIENCE * 2)

    def audit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`ostiary audit …`."""
        return self.ostiary("audit", *words)

    def records(self, *filters: str) -> list[dict[str, Any]]:
        """`ostiary audit search`, as objects."""
        found = self.audit("search", "--json", *filters)
        assert found.returncode == 0, found.stderr
        return [json.loads(line) for line in found.stdout.splitlines()]

    def recorded(self, *filters: str, count: int = 1) -> list[dict[str, Any]]:
        """The same, once there are so many: outcomes, ends and notes may become durable after a client has been told."""
        found: list[dict[str, Any]] = []

        def enough() -> bool:
            found[:] = self.records(*filters)
            return len(found) >= count

        until(enough, f"{count} records of {filters}")
        return found

    def verify(self) -> subprocess.CompletedProcess[str]:
        """`ostiary audit verify` with the public key that an auditor holds."""
        return self.audit("verify", "--key", str(self.public_key))

    @property
    def public_key(self) -> Path:
        return self.directory / "state" / FOLDER / PUBLIC

    def call(self, method: str, **arguments: Any) -> Any:
        """One of control's methods, over its socket."""
        return Door(self.file).call(method, **arguments)

    def requests(self) -> list[dict[str, Any]]:
        """What waits for people."""
        return self.call("request_list")

    def asked(self, count: int = 1) -> list[dict[str, Any]]:
        """Waits until so many requests wait; they."""
        until(lambda: len(self.requests()) >= count, f"{count} requests")
        return self.requests()

    def approve(self, request: str, subject: str = GRACE, why: str = "") -> dict[str, Any]:
        return self.call("request_approve", request=request, subject=subject, token=self.token(subject), why=why)

    def deny(self, request: str, subject: str = GRACE, why: str = "") -> dict[str, Any]:
        return self.call("request_deny", request=request, subject=subject, token=self.token(subject), why=why)


def psql(
    facts: Mapping[str, str], text: str, *words: str, program: str | Path = "psql", timeout: float = PATIENCE * 2
) -> subprocess.CompletedProcess[str]:
    """A script, and what came of it; stdout and stderr are apart. No psqlrc. Bytes that are no UTF-8 are escaped."""
    return subprocess.run(
        [str(program), "-X", *words], input=text, text=True, encoding="utf-8", errors="backslashreplace", capture_output=True, timeout=timeout, check=False,
        env={**os.environ, **environment(facts)},
    )


def environment(facts: Mapping[str, str]) -> dict[str, str]:
    """libpq's variables, so that no password is in a command line."""
    names = {"dbname": "DATABASE", "application_name": "APPNAME"}
    return {f"PG{names.get(name, name.upper())}": value for name, value in facts.items()}


def as_recorded(data: str | Mapping[str, str]) -> bytes:
    """Of an event of a recorded terminal, what `ostiary audit` prints: text, or base64 where it is none."""
    return data.encode() if isinstance(data, str) else base64.b64decode(data["base64"])


def mask(relation: str, column: str, strategy: str = "redact", **more: object) -> dict[str, object]:
    """One declaration for the masking addon."""
    return {"relation": relation, "column": column, "strategy": strategy, "clear": ["privacy"], **more}


def table(head: str, values: Mapping[str, Any]) -> str:
    """A TOML table."""
    return "\n".join([head, *(f"{name} = {toml(value)}" for name, value in values.items()), ""])


def toml(value: object) -> str:
    """A TOML value on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(str(name))} = {toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value)
