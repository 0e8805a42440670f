"""
Ordinary statements on a masked schema, through the whole gateway: what analysts type, what applications write, what ORMs and
BI tools make. Clear cells, tags and columns' names are those of a direct run, masked cells are masked; what is refused is listed, with its reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import pq

from tests.house import ADA, House
from tests.servers import PostgresServer

pytestmark = pytest.mark.live

FOLDER = Path(__file__).parent / "benign"
STRICT = {name: "allow" for name in ("read", "write", "transaction", "session")}
LISTED = {"functions": ["public.active_patients"]}
FILL = "TRUNCATE scratch; INSERT INTO scratch SELECT 'k' || n, 'v' FROM generate_series(1, 9) n"

REFUSED: dict[str, str] = {}
"""Statements, by their beginning, that are refused: why."""

WITHOUT_XML = "unsupported XML feature"  #: what the test's 18, built without it, says


@dataclasses.dataclass(frozen=True)
class Benign:
    """
    :param steps: said one after another, in a transaction that is rolled back.
    :param masked: columns of the results that hold masks; "*" where a result depends on how the statement was rewritten.
    """

    steps: tuple[str, ...]
    masked: frozenset[str]
    parameters: tuple[bytes, ...]

    @classmethod
    def read(cls, line: str) -> Benign:
        """`[masked, columns] statement ;; statement -- $ parameter | parameter`, all but a statement optional."""
        masked, text = line[1:].split("] ", 1) if line.startswith("[") else ("", line)
        text, _, parameters = text.partition(" -- $ ")
        steps = tuple(step.strip() for step in text.split(" ;; "))
        return cls(steps, frozenset(filter(None, masked.split(", "))), tuple(p.strip().encode() for p in parameters.split("|") if p.strip()))

    @property
    def text(self) -> str:
        return " ;; ".join(self.steps)


ALL = [
    Benign.read(line)
    for file in sorted(FOLDER.glob("*.sql"))
    for line in file.read_text().splitlines()
    if line and not line.startswith("--")
]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One result as a client has it; `refused` is the error's own words."""

    tag: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[bytes | None, ...], ...] = ()
    refused: str = ""


class Client:
    """One session that says a statement, and has forgotten it afterwards."""

    def __init__(self, dsn: str) -> None:
        self._pg = pq.PGconn.connect(dsn.encode())
        assert self._pg.status == pq.ConnStatus.OK, self._pg.error_message

    def close(self) -> None:
        self._pg.finish()

    def answers(self, one: Benign) -> list[Answer]:
        self._pg.exec_(b"BEGIN")
        try:
            found: list[Answer] = []
            for step in one.steps:
                if one.parameters:
                    self._pg.send_query_params(step.encode(), one.parameters)
                else:
                    self._pg.send_query(step.encode())
                found += self._results()
            return found
        finally:
            self._pg.exec_(b"ROLLBACK")
            self._pg.exec_(b"DEALLOCATE ALL")

    def _results(self) -> Iterator[Answer]:
        while (result := self._pg.get_result()) is not None:
            if result.status == pq.ExecStatus.COPY_OUT:
                yield Answer("COPY", ("copy",), tuple(self._copied()))
            elif result.status == pq.ExecStatus.FATAL_ERROR:
                yield Answer(refused=(result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode())
            else:
                yield _answer(result)

    def _copied(self) -> Iterator[tuple[bytes]]:
        while True:
            length, data = self._pg.get_copy_data(0)
            if length <= 0:
                return
            yield (bytes(data),)


def _answer(result: pq.PGresult) -> Answer:
    columns = tuple((result.fname(j) or b"").decode() for j in range(result.nfields))
    rows = tuple(tuple(result.get_value(i, j) for j in range(result.nfields)) for i in range(result.ntuples))
    return Answer((result.command_status or b"").decode(), columns, rows)


def difference(one: Benign, direct: list[Answer], through: list[Answer]) -> str:
    """What is not as it should be; "" when all is."""
    refused = next((a.refused for a in through if a.refused), "")
    if refused:
        return f"refused: {refused}"
    if "*" in one.masked:
        return ""
    if [(a.tag, a.columns, len(a.rows)) for a in direct] != [(a.tag, a.columns, len(a.rows)) for a in through]:
        return f"{[(a.tag, a.columns, len(a.rows)) for a in through]}"
    for theirs, ours in zip(direct, through, strict=True):
        for index, name in enumerate(theirs.columns):
            told = _column(name, one.masked, [row[index] for row in theirs.rows], [row[index] for row in ours.rows])
            if told:
                return told
    return ""


def _column(name: str, masked: frozenset[str], direct: list[Any], through: list[Any]) -> str:
    if name == "copy" and masked:
        return "" if all(a != b for a, b in zip(direct, through, strict=True)) else "COPY's rows are not masked"
    if name not in masked:
        return "" if direct == through else f"{name}: {through[:3]}, not {direct[:3]}"
    bare = [b for a, b in zip(direct, through, strict=True) if a is not None and a == b]
    return f"{name} is not masked: {bare[:3]}" if bare else ""


@pytest.fixture(scope="module")
def clients(server: PostgresServer, columns: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """In the open, and through the gateway, of one database."""
    server.sql("CREATE DATABASE benign OWNER app TEMPLATE clinic")
    server.sql(FILL, "benign")
    masking = {"use": "addons.masking.Masking", "columns": columns, **LISTED}
    with House(
        tmp_path_factory.mktemp("benign") / "house", server, database="benign", user="app", workers=1, default=STRICT,
        options=LISTED, addons=[masking],
    ) as house:  # fmt: skip
        direct, through = Client(house.direct()), Client(house.dsn(ADA))
        yield direct, through
        direct.close()
        through.close()


def test_benign_statements_are_answered_as_without_a_gateway(clients: tuple[Client, Client]) -> None:
    """Nearly all; none with a wrong cell; each that is refused is known, and why."""
    direct, through = clients
    bare = {one.text: direct.answers(one) for one in ALL}
    bare = {text: answers for text, answers in bare.items() if not any(WITHOUT_XML in a.refused for a in answers)}
    failing = [(text, a) for text, answers in bare.items() for a in answers if a.refused]
    assert not failing, "a statement that fails by itself would prove nothing"
    wrong = {one.text: told for one in ALL if one.text in bare and (told := difference(one, bare[one.text], through.answers(one)))}
    print(json.dumps(wrong, indent=1))
    unknown = {text: told for text, told in wrong.items() if not any(text.startswith(known) for known in REFUSED)}
    assert not unknown, "\n".join(f"{told}\n    {text}" for text, told in unknown.items())
    assert len(wrong) == len(REFUSED) <= 0.03 * len(ALL) and len(ALL) >= 200
