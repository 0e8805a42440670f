"""
Clients that never stop: pgbench, a pipeline, single statements. Whatever happens to the gateway, they come back.

Each statement of the drivers has a text of its own, and is acknowledged once its client has heard so.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from tests.house import BENCH, PATIENCE, House, environment
from tests.servers import SUPERUSER

DEPTH = 12  # statements between two Syncs
_PAUSE = 0.05  # seconds before a client that was turned away comes again


class Clamour:
    """
    :param modes: of pgbench, in turn, one each time it has to be started again.
    """

    def __init__(self, house: House, modes: tuple[str, ...] = ("simple", "extended", "prepared")) -> None:
        self._house, self._modes = house, itertools.cycle(modes)
        self.acknowledged: set[str] = set()
        self.failures: set[str] = set()
        self._heard = threading.Condition()
        self._over = threading.Event()
        self._bench: subprocess.Popen[bytes] | None = None
        drivers: list[Callable[[], None]] = [self._pipeline, self._single, self._pgbench]
        self._threads = [threading.Thread(target=driver, daemon=True) for driver in drivers]
        self._names = itertools.count()

    def __enter__(self) -> Clamour:
        facts = environment(self._house.direct_facts(user=SUPERUSER))
        subprocess.run(["pgbench", "-i", "-q", "-s", "1"], env={**os.environ, **facts}, check=True, capture_output=True)
        with psycopg.connect(self._house.direct(user=SUPERUSER), autocommit=True) as connection:
            connection.execute("CREATE TABLE tally (name text)")
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC")
        self._house.token(BENCH)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._bench is not None:
            self._bench.kill()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def await_more(self, count: int) -> None:
        """Until so many more statements have been acknowledged."""
        with self._heard:
            goal = len(self.acknowledged) + count
            assert self._heard.wait_for(lambda: len(self.acknowledged) >= goal, PATIENCE), "nobody is served any more"

    def stored(self) -> set[str]:
        """The names that are in the table, asked of the server itself."""
        with psycopg.connect(self._house.direct(user=SUPERUSER)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM tally")}

    # -- clients ----------------------------------------------------------------------------

    def _ack(self, names: list[str]) -> None:
        with self._heard:
            self.acknowledged.update(names)
            self._heard.notify_all()

    def _again(self, life: Callable[[psycopg.Connection[Any]], None], **facts: Any) -> None:
        """One connection after the other, each used until it breaks."""
        while not self._over.is_set():
            try:
                with psycopg.connect(self._house.dsn(BENCH), autocommit=True, **facts) as connection:
                    while not self._over.is_set():
                        life(connection)
            except psycopg.Error as error:
                self.failures.add(f"{error.sqlstate}: {str(error)[:100]}")
                self._over.wait(_PAUSE)

    def _pipeline(self) -> None:
        """Extended query, many messages before each Sync."""

        def life(connection: psycopg.Connection[Any]) -> None:
            names = [f"p{next(self._names)}" for _ in range(DEPTH)]
            with connection.pipeline() as pipeline:
                for name in names:
                    connection.execute(text_of(name, "%s"), (name,))
                pipeline.sync()
            self._ack(names)

        self._again(life)

    def _single(self) -> None:
        """Simple query, one statement at a time."""

        def life(connection: psycopg.Connection[Any]) -> None:
            name = f"s{next(self._names)}"
            connection.execute(text_of(name, f"'{name}'"))
            self._ack([name])

        self._again(life, cursor_factory=psycopg.ClientCursor)

    def _pgbench(self) -> None:
        while not self._over.is_set():
            command = ["pgbench", "-n", "-c", "3", "-T", "3600", "-M", next(self._modes)]
            facts = environment(self._house.facts(BENCH))
            self._bench = subprocess.Popen(
                command, env={**os.environ, **facts}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._over.is_set():
                self._bench.kill()
            self._bench.wait()
            self._over.wait(_PAUSE)


def text_of(name: str, value: str) -> str:
    """A statement that only this name has."""
    return f"INSERT INTO tally VALUES ({value}) /* {name} */"


def run_texts(names: set[str]) -> set[str]:
    """The same as the server and the evidence have them: a bound value is a number there."""
    return {text_of(name, "$1" if name.startswith("p") else f"'{name}'") for name in names}
