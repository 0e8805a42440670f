"""What must stay as it is while strangers attack: sessions of others, processes, memory, the log."""

from __future__ import annotations

import psutil
import psycopg

from tests.house import ADA, House, until

ROOM = 192 << 20
"""Bytes that a worker may have grown by after an attack: two sessions' windows and what the allocator keeps of them."""


def _peers(pid: int) -> set[int]:
    """The far ends of a process's connections."""
    return {one.raddr.port for one in psutil.Process(pid).net_connections("tcp") if one.raddr}


class Others:
    """People at work in every worker. They notice nothing."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.pids = {part: house.pid(part) for part in house.parts}
        self.memory = {worker: house.resident(worker) for worker in house.workers()}
        self._begun = house.log_file.stat().st_size
        self._people: list[psycopg.Connection] = []
        until(self._everywhere, "somebody is in every worker")

    def _everywhere(self) -> bool:
        self._people.append(self._house.connect(ADA))
        mine = self._ports()
        return all(mine & _peers(self._house.pid(worker)) for worker in self._house.workers())

    def _ports(self) -> set[int]:
        """Our ends of their connections."""
        mine = psutil.Process().net_connections("tcp")
        sockets = {person.pgconn.socket for person in self._people}
        return {one.laddr.port for one in mine if one.fd in sockets}

    def work(self) -> None:
        """In the same sessions as before."""
        for number, person in enumerate(self._people):
            assert person.execute("SELECT %s::int", (number,)).fetchone() == (number,)

    def check(self, room: int = ROOM) -> None:
        """Nobody noticed, nothing was restarted, nothing grew without bounds, no traceback was written."""
        self.work()
        assert {part: self._house.pid(part) for part in self._house.parts} == self.pids
        for worker, before in self.memory.items():
            grown = self._house.resident(worker) - before
            assert grown < room, f"{worker} grew by {grown >> 20} MiB"
        said = self._house.text(self._begun)
        assert "Traceback" not in said and "bug" not in said, said[-2000:]

    def leave(self) -> None:
        for person in self._people:
            person.close()
