"""What a child is handed, who may connect, and how soon the dead are replaced."""

from __future__ import annotations

from pathlib import Path

import msgpack

from gateway import seats
from gateway.boot import Boot, Peers, environment, new_token
from gateway.listeners import Inherited
from gateway.seats import LONGEST_WAIT, SETTLED, wait_before_retry

BOOT = Boot(
    name="worker-1", part="gateway.worker.worker", token="s3cret", file="/etc/ostiary.toml", text=b"[gateway]",
    revision=3, sockets={"notary": "/run/n"}, peers={"t0ken": "worker-2"}, listens=(Inherited(4, 2),), floor=5,
)


def test_survives_the_journey() -> None:
    """As msgpack, as a Link sends it."""
    assert Boot.from_frame(msgpack.unpackb(msgpack.packb(BOOT.frame()))) == BOOT


def test_tokens_are_in_no_repr() -> None:
    """A log line or a traceback that shows a boot shows no secret."""
    assert "s3cret" not in repr(BOOT) and "t0ken" not in repr(BOOT) and "[gateway]" not in repr(BOOT)


def test_only_known_tokens_have_names() -> None:
    """Text or bytes; never a prefix, never nothing, never one that was replaced."""
    peers = Peers({"a" * 64: "worker-1", "b" * 64: "control"})
    assert (peers("a" * 64), peers(b"b" * 64)) == ("worker-1", "control")
    assert [peers(token) for token in ("", "a" * 63, "c" * 64, b"\xff")] == [None] * 4
    peers.replace({"c" * 64: "worker-1"})
    assert (peers("a" * 64), peers("c" * 64)) == (None, "worker-1")


def test_tokens_differ() -> None:
    """256 bits each."""
    assert len({new_token() for _ in range(100)}) == 100 and len(bytes.fromhex(new_token())) == 32


def test_the_dead_are_replaced_at_once_unless_they_die_at_once() -> None:
    """The first death costs nothing; a row of quick ones costs more each time, up to a bound."""
    quick, waits = 0, []
    for _ in range(12):
        wait, quick = wait_before_retry(0.2, quick)
        waits.append(wait)
    assert waits[0] == 0.0 and waits == sorted(waits) and waits[-1] == LONGEST_WAIT
    assert wait_before_retry(SETTLED, quick) == (0.0, 0)


def test_memory_of_one_read_is_kept_for_the_next_unless_the_operator_says_otherwise() -> None:
    """glibc's settings are the child's; those of the environment win over ours."""
    trim = "MALLOC_TRIM_THRESHOLD_"
    assert int(environment({})[trim]) > int(environment({})["MALLOC_MMAP_THRESHOLD_"]) > 256 << 10
    assert environment({trim: "131072", "LANG": "C"}).items() >= {trim: "131072", "LANG": "C"}.items()


def test_children_run_the_code_that_started_them() -> None:
    """Whatever else is on the path."""
    first, *others = environment({"PYTHONPATH": "/one:/two"})["PYTHONPATH"].split(":")
    assert (Path(first) / "gateway" / "seats.py").samefile(seats.__file__) and others == ["/one", "/two"]
