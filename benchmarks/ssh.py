"""
What the gateway costs on SSH, beside a direct connection and OpenSSH's ProxyJump in the same minutes.

    python -m benchmarks.ssh [--rounds N] [--megabytes N] [--echoes N] [--idle N] [--cipher NAME] [--json FILE]
                             [--only download,upload,sftp-get,sftp-put,echo,crowd,connect,idle]

Starts everything itself: one sshd as the target, another as the jump host, and two gateways with one worker each, whose
evidence is on this disk: one records terminals buffered, the other ("strict", the default) shows nothing
that is not durable yet. What has no terminal is the same in both. "nested" is the first one as a jump host: it encrypts twice too. Every measurement goes round all peers in shuffled order. ProxyJump's client encrypts twice and
the jump host forwards bytes that it cannot read; the gateway decrypts, records and encrypts again.

Processor seconds are those of what stands between: the worker, or the jump host's sshd with the children it has
waited for. Wall-clock figures say little on a busy machine; ratios of one run, and processor time, say more.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import interleaved, percentile, summary
from tests.house import until
from tests.ssh_house import ADA, WEB, SshHouse
from tests.sshd import USER, Sshd

FIGURES = ("download", "upload", "sftp-get", "sftp-put", "echo", "crowd", "connect", "idle")
PEERS = ("direct", "ProxyJump", "gateway", "nested", "strict")
STRICT = ("echo", "crowd", "idle")  # figures that terminals are in
NESTED = ("download", "upload", "echo", "connect")  # figures that are taken by `ssh -J gateway` too
CONNECTS = 5  # a round


class Bench:
    """Everything started, and the samples so far: (figure, number) to peer to values."""

    def __init__(self, options: argparse.Namespace, folder: Path, target: Sshd, jump: Sshd, houses: dict[str, SshHouse]) -> None:
        self._options, self._folder, self._target, self._jump, self._houses = options, folder, target, jump, houses
        self.samples: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for server in (target, jump):
            line = f"[127.0.0.1]:{server.port} {server.host_key}\n"
            with (folder / "known_hosts").open("a") as out:
                out.write(line)
        with (folder / "known_hosts").open("a") as out:
            out.writelines((house.client / "known_hosts").read_text() for house in houses.values())
            out.write(houses["gateway"].ostiary_ok("ssh", "known-hosts"))
        self._write_config()
        (folder / "data").write_bytes(os.urandom(1 << 20) * options.megabytes)

    def _write_config(self) -> None:
        """One Host for each peer: an ssh line differs in one word."""
        common = (
            f"UserKnownHostsFile {self._folder}/known_hosts\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\nLogLevel ERROR\n"
            f"HostName 127.0.0.1\nGlobalKnownHostsFile /dev/null\nCiphers {self._options.cipher}\n"
        )
        hosts = {
            "jump": f"Port {self._jump.port}\nUser {USER}\nIdentityFile {self._target.key}\n",
            "direct": f"Port {self._target.port}\nUser {USER}\nIdentityFile {self._target.key}\n",
            "ProxyJump": f"Port {self._target.port}\nUser {USER}\nIdentityFile {self._target.key}\nProxyJump jump\n",
        }
        gateway = self._houses["gateway"]
        hosts["hall"] = f"Port {gateway.ssh_port}\nUser {ADA}\nIdentityFile {gateway.key}\n"
        hosts["nested"] = f"HostName {WEB}\nPort 22\nUser app\nIdentityFile {gateway.key}\nProxyJump hall\n"
        for name, house in self._houses.items():
            hosts[name] = f"Port {house.ssh_port}\nUser {ADA}@{WEB}\nIdentityFile {house.key}\n"
        self._config = self._folder / "ssh_config"
        self._config.write_text("".join(f"Host {name}\n{own}{common}\n" for name, own in hosts.items()))

    def run(self, figure: str) -> None:
        """One figure, all its rounds."""
        do: Callable[[str], None] = getattr(self, "_" + figure.replace("-", "_"))
        peers = [peer for peer in PEERS if figure in {"strict": STRICT, "nested": NESTED}.get(peer, FIGURES)]
        interleaved(peers, 1 if figure == "idle" else self._options.rounds, do, random.Random(self._options.seed))

    # -- figures -----------------------------------------------------------------------

    def _download(self, peer: str) -> None:
        self._bulk("download", peer, ["ssh", "-F", str(self._config), peer, f"cat {self._folder}/data"])

    def _upload(self, peer: str) -> None:
        self._bulk("upload", peer, ["ssh", "-F", str(self._config), peer, "cat >/dev/null"], self._folder / "data")

    def _sftp_get(self, peer: str) -> None:
        self._bulk("sftp-get", peer, ["scp", "-q", "-F", str(self._config), f"{peer}:{self._folder}/data", f"{self._folder}/got"])

    def _sftp_put(self, peer: str) -> None:
        self._bulk("sftp-put", peer, ["scp", "-q", "-F", str(self._config), f"{self._folder}/data", f"{peer}:{self._folder}/put"])

    def _bulk(self, figure: str, peer: str, words: list[str], stdin: Path = Path(os.devnull)) -> None:
        spent, begin = self._between(peer), time.perf_counter()
        with stdin.open("rb") as source:
            subprocess.run(words, stdin=source, stdout=subprocess.DEVNULL, check=True)
        took = time.perf_counter() - begin
        self._note(figure, "MB/s", peer, self._options.megabytes / took)
        self._note(figure, "CPU s/GB", peer, (self._between(peer) - spent) / self._options.megabytes * 1000)

    def _crowd(self, peer: str) -> None:
        """The same, while two others of this peer read nothing of what they asked for and two read all they get."""
        words = ["ssh", "-F", str(self._config), peer, "cat /dev/zero"]
        with contextlib.ExitStack() as others:
            for out in (subprocess.PIPE, subprocess.PIPE, subprocess.DEVNULL, subprocess.DEVNULL):
                other = others.enter_context(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, bufsize=0))
                others.callback(other.kill)
                if other.stdout is not None:
                    other.stdout.read(1)
            self._echo(peer, "crowd")

    def _echo(self, peer: str, figure: str = "echo") -> None:
        """A character to a terminal and back, as a person types."""
        line = ["ssh", "-F", str(self._config), "-tt", peer, "stty raw echo; echo begun; cat >/dev/null"]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as client:
            assert client.stdin is not None and client.stdout is not None
            heard = b""
            while not heard.endswith(b"begun\r\n") and not heard.endswith(b"begun\n"):
                heard += client.stdout.read(1)
            times = []
            for _ in range(self._options.echoes):
                begin = time.perf_counter()
                client.stdin.write(b"x")
                client.stdout.read(1)
                times.append((time.perf_counter() - begin) * 1000)
            client.kill()
        for share in (0.5, 0.9, 0.99):
            self._note(figure, f"p{share * 100:.0f} ms", peer, percentile(times, share))

    def _connect(self, peer: str) -> None:
        for _ in range(CONNECTS):
            spent, begin = self._between(peer), time.perf_counter()
            subprocess.run(["ssh", "-F", str(self._config), peer, "true"], stdin=subprocess.DEVNULL, check=True)
            self._note("connect", "ms", peer, (time.perf_counter() - begin) * 1000)
            self._note("connect", "CPU ms", peer, (self._between(peer) - spent) * 1000)

    def _idle(self, peer: str) -> None:
        """Memory of sessions in which nothing happens; only the gateway keeps them in one process."""
        if peer not in self._houses:
            return
        house = self._houses[peer]
        [worker] = house.workers()
        sessions: list[subprocess.Popen[bytes]] = []
        try:
            for count in (3, self._options.idle):
                before = house.resident(worker)
                for _ in range(count):
                    words = ["ssh", "-F", str(self._config), "-tt", peer, "echo; exec sleep 600"]
                    sessions.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE))
                    assert sessions[-1].stdout is not None and sessions[-1].stdout.readline()
            self._note("idle", "KiB", peer, (house.resident(worker) - before) / count / 1024)
        finally:
            for one in sessions:
                one.kill()
                one.communicate()

    # -- inside ------------------------------------------------------------------------

    def _between(self, peer: str) -> float:
        """Processor seconds so far of what stands between client and target."""
        if peer == "direct":
            return 0.0
        if peer == "ProxyJump":
            until(lambda: not self._jump.connections(), "the jump host's children")  # they count once they are waited for
            times = psutil.Process(self._jump.pid).cpu_times()
            return times.children_user + times.children_system
        house = self._houses["gateway" if peer == "nested" else peer]
        return sum(sum(psutil.Process(house.pid(part)).cpu_times()[:2]) for part in house.workers())

    def _note(self, figure: str, number: str, peer: str, value: float) -> None:
        self.samples[figure, number][peer].append(value)


def table(samples: dict[tuple[str, str], dict[str, list[float]]]) -> list[str]:
    """Markdown: medians, and the gateway's as a ratio to ProxyJump's."""
    out = [f"| figure | number | {' | '.join(PEERS)} | gateway / ProxyJump |", "|---|---|---|---|---|---|---|---|"]
    for (figure, number), by_peer in samples.items():
        middle = {peer: summary(values).median for peer, values in by_peer.items()}
        shown = [f"{middle[peer]:.3g}" if middle.get(peer) else "–" for peer in PEERS]
        ratio = middle["gateway"] / middle["ProxyJump"] if middle.get("ProxyJump") else None
        out.append(f"| {figure} | {number} | {' | '.join(shown)} | {f'{ratio:.2f}' if ratio else '–'} |")
    return out


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("megabytes", 160), ("echoes", 500), ("idle", 60), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--cipher", default="aes128-gcm@openssh.com")
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Sshd(folder / "target") as target, Sshd(folder / "jump") as jump:
            (jump.folder / "authorized").write_text((target.folder / "user.pub").read_text())
            with (
                SshHouse(folder / "house", target, workers=1, recording={"terminal": "buffered"}) as house,
                SshHouse(folder / "strict", target, workers=1) as strict,
            ):
                bench = Bench(options, folder, target, jump, {"gateway": house, "strict": strict})
                for figure in options.only.split(","):
                    bench.run(figure)
    load = os.getloadavg()[0]
    print(f"{options.cipher}, {options.megabytes} MB, {options.rounds} rounds, load {load:.1f} on {os.cpu_count()} processors\n")
    print("\n".join(table(bench.samples)))
    if options.json is not None:
        told: list[dict[str, Any]] = [
            {"figure": figure, "number": number, "peer": peer, "values": values, "median": statistics.median(values)}
            for (figure, number), by_peer in bench.samples.items() for peer, values in by_peer.items()
        ]
        options.json.write_text(json.dumps({"cipher": options.cipher, "load": load, "samples": told}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
