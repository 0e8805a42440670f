"""
One measurement each: clients are run against a peer, numbers come back. What they mean is `benchmarks.report`'s.
"""

from __future__ import annotations

import asyncio
import base64
import math
import os
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import psutil
import psycopg

from benchmarks.measure import Meter, cpu_seconds, percentile
from benchmarks.peers import BenchHouse, Peer
from protocols.effects import ToTarget
from protocols.postgres.auth import Failed, Ready, TargetLogin
from protocols.postgres.messages import Query, SslRequest
from tests.house import BENCH, PATIENCE, environment
from tests.notary import recorded

Numbers = dict[str, float]

_READY = b"Z\0\0\0\5I"

_TPS = re.compile(r"tps = ([\d.]+)")
_COUNT = re.compile(r"transactions actually processed: (\d+)")


def point(peer: Peer, mode: str, clients: int, seconds: int, script: str = "") -> Numbers:
    """pgbench's select by primary key (or a script), each client waiting for its answer; latencies in microseconds."""
    span = seconds + math.ceil(2 * clients * _login(peer))  # pgbench's clock runs while its clients connect
    with tempfile.TemporaryDirectory() as folder:
        work = ["-S"]
        if script:
            (Path(folder) / "script").write_text(script)
            work = ["-f", f"{folder}/script"]
        with Meter(peer.processes()) as meter:
            said = _pgbench(peer.facts, *work, "-M", mode, "-c", clients, "-T", span, "-l", f"--log-prefix={folder}/log")
        logs = [line.split() for file in Path(folder).glob("log*") for line in file.read_text().splitlines()]
    latencies = [float(line[2]) for line in logs]
    begun = min(int(line[4]) + int(line[5]) / 1e6 - float(line[2]) / 1e6 for line in logs)  # the logins are over
    return {
        "tps": float(_TPS.search(said).group(1)), "p50": statistics.median(latencies), "p99": percentile(latencies, 0.99),
        "cpu_us": meter.since(begun) / len(logs) * 1e6,
    }  # fmt: skip


def _login(peer: Peer) -> float:
    """Seconds until a client has its first answer."""
    begin = time.perf_counter()
    with psycopg.connect(**peer.facts) as connection:
        connection.execute("select 1")
    return time.perf_counter() - begin


def connects(peer: Peer, seconds: int, sslmode: str) -> Numbers:
    """A connection, a login and one query, again and again, by four clients."""
    before = cpu_seconds(peer.processes())
    said = _pgbench({**peer.facts, "sslmode": sslmode}, "-S", "-C", "-c", 4, "-T", seconds)
    done = int(_COUNT.search(said).group(1))
    return {"per_s": done / seconds, "cpu_ms": (cpu_seconds(peer.processes()) - before) / done * 1e3}


def _pgbench(facts: Mapping[str, str], *words: object) -> str:
    command = [shutil.which("pgbench"), "-n", "-j", "1", *map(str, words)]
    done = subprocess.run(command, env={**os.environ, **environment(facts)}, text=True, capture_output=True, check=False)
    if done.returncode or not _TPS.search(done.stdout):
        raise RuntimeError(f"pgbench: {done.stderr[-500:] or 'not one transaction in time'}")
    return done.stdout


def bulk(peer: Peer, text: str, sslmode: str = "disable") -> Numbers:
    """Everything that a statement gives, through psql, thrown away."""
    done, numbers = _measured(peer, ["sh", "-c", 'psql -XAtq -v FETCH_COUNT=0 -c "$0" | wc -lc', text], Path(os.devnull), sslmode)
    lines, size = map(int, done.stdout.split())
    if not lines:
        raise RuntimeError(f"{peer.name}: {done.stderr[-300:]}")
    return {**numbers, "rows": lines, "gb": size / 1e9}


def copy_in(peer: Peer, text: str, rows: Path, sslmode: str = "disable") -> Numbers:
    """A file to a COPY, through psql."""
    done, numbers = _measured(peer, ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text], rows, sslmode)
    if done.returncode:
        raise RuntimeError(f"{peer.name}: {done.stderr[-300:]}")
    return {**numbers, "gb": rows.stat().st_size / 1e9}


def _measured(peer: Peer, words: list[str], stdin: Path, sslmode: str) -> tuple[subprocess.CompletedProcess[str], Numbers]:
    """Run a client: what it said; seconds that it took, and those of processors that stood between."""
    facts = environment({**peer.facts, "sslmode": sslmode})
    before, begin = cpu_seconds(peer.processes()), time.perf_counter()
    with stdin.open("rb") as source:
        done = subprocess.run(words, env={**os.environ, **facts}, stdin=source, text=True, capture_output=True, check=False)
    return done, {"wall": time.perf_counter() - begin, "cpu": cpu_seconds(peer.processes()) - before}


def idle(made: BenchHouse, sessions: int, sslmode: str) -> Numbers:
    """KiB of its own that the one worker needs more for each session that is open and quiet."""
    worker = psutil.Process(made.pid("worker-1"))
    with ExitStack() as stack:
        for _ in range(20):  # what is loaded or grown once is not a session's
            stack.enter_context(made.connect(BENCH, sslmode=sslmode)).execute("select 1")
        before = worker.memory_full_info().uss
        for _ in range(sessions):
            stack.enter_context(made.connect(BENCH, sslmode=sslmode)).execute("select 1")
        return {"kib": (worker.memory_full_info().uss - before) / 1024 / sessions}


def start(made: BenchHouse) -> Numbers:
    """
    Seconds from the command until a worker answers the first connection's first bytes, until the house says that it
    serves, and until a client that logged in has its first answer. Again from a stopped house.
    """
    made.stop()
    begin = time.perf_counter()
    made.launch()
    _greeted(made.port)
    accepted = time.perf_counter() - begin
    made.serves()
    served = time.perf_counter() - begin
    with made.connect(BENCH) as connection:
        connection.execute("select 1")
    answered = time.perf_counter() - begin
    return {"accepted_s": accepted, "first_answer_s": answered, "serving_s": served, "cpu": cpu_seconds([one.pid for one in made.family()])}


def _greeted(port: int) -> None:
    """Returns when whoever asks there whether TLS is spoken is told so: a worker has taken the connection."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
                client.sendall(SslRequest().encode())
                if client.recv(1):
                    return
        except OSError:
            time.sleep(0.002)  # the supervisor has not bound yet
    raise RuntimeError("nobody answers")


def commit(folder: Path, count: int = 200) -> float:
    """
    Microseconds in which the notary's store takes one intent and makes it durable, median. An acknowledgement
    costs this and the way to the notary and back, so a bar that is built on it is a little too strict.
    """
    store = recorded.new_store(folder, segment_bytes=16 << 20)
    book, said, told, spent = recorded.journal(store), recorded.session(), recorded.Told(), []
    book.opened(said, {}, told)
    for number in range(count):
        begin = time.perf_counter()
        book.intend(said, number, recorded.allowed(f"SELECT abalance FROM pgbench_accounts WHERE aid = {number}"), told)
        book.flush()
        spent.append((time.perf_counter() - begin) * 1e6)
    store.close()
    return statistics.median(spent)


def crowd(made: BenchHouse, peer: Peer, idlers: int, busy: int, seconds: int) -> Numbers:
    """Busy real sessions alone, and then again beside idle ones whose target is a stub."""
    alone = point(peer, "prepared", busy, seconds)
    workers = [psutil.Process(made.pid(name)) for name in made.workers()]
    before = sum(one.memory_full_info().uss for one in workers)
    errors, opening, beside = asyncio.run(_beside(made, peer, idlers, busy, seconds))
    return {
        "errors": errors, "idle": idlers, "p99_alone": alone["p99"], "p99_beside": beside["p99"], "tps_alone": alone["tps"],
        "tps_beside": beside["tps"], "opened_per_s": idlers / opening,
        "kib": (beside["uss"] - before) / 1024 / max(idlers, 1),
    }  # fmt: skip


async def _beside(made: BenchHouse, peer: Peer, idlers: int, busy: int, seconds: int) -> tuple[int, float, Numbers]:
    gate, begin = asyncio.Semaphore(32), time.perf_counter()
    opened = await asyncio.gather(*(idler(made, gate) for _ in range(idlers)), return_exceptions=True)
    opening = time.perf_counter() - begin
    lines = [one for one in opened if not isinstance(one, BaseException)]
    beside = await asyncio.to_thread(point, peer, "prepared", busy, seconds)
    beside["uss"] = sum(psutil.Process(made.pid(name)).memory_full_info().uss for name in made.workers())
    heard = await asyncio.gather(*(answers(*line) for line in lines), return_exceptions=True)
    for _, writer in lines:
        writer.close()
    return idlers - sum(answer is True for answer in heard), opening, beside


async def idler(made: BenchHouse, gate: asyncio.Semaphore, target: str = "stub") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Log in with the gateway's own idea of how a client does."""
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        login = TargetLogin(
            f"{BENCH}@{target}", "postgres", {}, made.token(BENCH), tls=False, binding=None, nonce=base64.b64encode(os.urandom(18)).decode()
        )
        writer.write(login.start())
        while True:
            data = await asyncio.wait_for(reader.read(4096), 60)
            if not data:
                raise ConnectionError("closed during the login")
            for step in login.from_target(data):
                match step:
                    case ToTarget(out):
                        writer.write(out)
                    case Ready():
                        return reader, writer
                    case Failed():
                        raise ConnectionError(str(step.fields))


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the session, having been idle, still answers."""
    writer.write(Query("select 1").encode())
    said = b""
    while not said.endswith(_READY):
        data = await asyncio.wait_for(reader.read(4096), 60)
        if not data:
            return False
        said += data
    return b"SELECT 1" in said
