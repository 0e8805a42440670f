"""
The corpora through the addon, against real servers: nothing leaks, no oracle answers, and benign
queries are right or refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import psycopg

from addons.masking import Masking
from tests.masking.conftest import CORPUS
from tests.masking.gate import Catalogs, Gate, Result, session
from tests.servers import PostgresServer

ELSEWHERE = {"replication"}  #: modes the relay refuses before an addon is asked; tested there
REFUSED = {
    "pg-ben-028": "OST-510",  # looks a record up by its number, which `lookup` has to permit; tests/live/test_corpus_live.py does
    "pg-ben-030": "OST-510",  # likewise, with a parameter
}
"""All that is refused of what is benign, as this configuration has it, and why."""


def items(corpus: ModuleType, kind: str) -> list[dict[str, Any]]:
    found = corpus.load(str(CORPUS / "postgres" / f"{kind}.jsonl"))
    assert found, f"{kind}.jsonl holds nothing"
    return found


def run(
    addon: Masking, server: PostgresServer, item: dict[str, Any], statements: list[str] | None = None
) -> tuple[list[Result], bytes]:
    """One item in a connection of its own, which is rolled back."""
    gate = Gate(addon, server.port, session(name=item["id"]))
    mode = item.get("mode", "simple")
    results: list[Result] = []
    try:
        if mode == "fastpath":
            verdict = gate.call(item["sql"][0])
            return [Result(error="refused" if verdict is not None and hasattr(verdict, "code") else None)], b""
        for sql in statements or item["sql"]:
            results += gate.run(sql, mode, item.get("params", ()))
        return results, b"\n".join(gate.misc)
    finally:
        gate.close()


def reset(server: PostgresServer) -> None:
    with psycopg.connect(
        host="127.0.0.1", port=server.port, user="app", dbname="clinic", autocommit=True
    ) as connection:
        left = connection.execute(
            "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert ("patients", "r") in left


def test_no_bypass_leaks(corpus: ModuleType, server: PostgresServer, addon: Masking) -> None:
    """Every statement of bypass.jsonl, in every encoding its runner knows; no layer but the first was needed."""
    leaked = []
    for item in items(corpus, "bypass"):
        if item.get("kind") == "oracle" or item.get("mode") in ELSEWHERE:
            continue
        results, misc = run(addon, server, item)
        found = corpus.leaks(item, [r.as_corpus() for r in results], misc, b"")
        if item.get("mode") == "fastpath" and not results[0].error:
            found = ["the fast path was allowed"]
        found += [r.alarm for r in results if r.alarm]
        if found:
            leaked.append((item["id"], item["sql"], found, [r.sent for r in results]))
    reset(server)
    assert not leaked, "\n".join(map(str, leaked))


def test_the_harness_sees_leaks(corpus: ModuleType, server: PostgresServer) -> None:
    """With nothing declared, the same statements through the same harness do leak: the test above can fail."""
    bare = Masking(columns=[], catalogs=Catalogs(server.port))
    plain = [
        i
        for i in items(corpus, "bypass")
        if i["class"] in ("expr", "star", "whole_row", "subquery", "view", "error") and i.get("via") == "rows"
    ]
    leaked = [i for i in plain if corpus.leaks(i, [r.as_corpus() for r in run(bare, server, i)[0]], b"", b"")]
    assert len(leaked) > 0.8 * len(plain) > 20


def test_no_oracle_answers(corpus: ModuleType, server: PostgresServer, addon: Masking) -> None:
    """A question about a masked value gets the same answer whatever the value is."""
    answered = []
    for item in items(corpus, "bypass"):
        if item.get("kind") != "oracle":
            continue
        answers = [corpus.simplify([r.as_corpus() for r in run(addon, server, item, [sql])[0]]) for sql in item["sql"]]
        if answers[0] != answers[1]:
            answered.append((item["id"], item["sql"], answers))
    assert not answered, "\n".join(map(str, answered))


def judged(corpus: ModuleType, item: dict[str, Any], results: list[Result]) -> str:
    """Why a benign item's answer is not good, "" when it is, "refused ..." when it was refused by name."""
    refused = next((r.refused for r in results if r.refused is not None), None)
    if refused is not None:
        return f"refused {refused.code} {refused.reason}"
    shown = next((r for r in reversed(results) if r.cols), None)
    if shown is None or any(r.error for r in results):
        return f"error {[r.error for r in results]} {[r.sent for r in results]}"
    if shown.alarm:
        return f"alarm {shown.alarm} {shown.sent}"
    expect, got = item["expect"], [[corpus.norm(c) for c in row] for row in shown.rows]
    if len(got) != len(expect["rows"]):
        return f"{len(got)} rows, not {len(expect['rows'])}"
    for mine, theirs in zip(got, expect["rows"], strict=True):
        for index, column in enumerate(expect["cols"]):
            if column in item["clear"] and mine[index] != theirs[index]:
                return f"{column}: {mine[index]!r}, not {theirs[index]!r}"
            if column in item["masked"] and theirs[index] is not None and mine[index] == theirs[index]:
                return f"{column} is not masked"
    return ""


def test_benign_queries_are_right_or_refused_by_name(
    corpus: ModuleType, server: PostgresServer, addon: Masking, record_property: Callable[[str, object], None]
) -> None:
    """Clear cells are untouched, masked ones masked, and every refusal is known, with its reason."""
    wrong, refused, right = [], [], 0
    for item in items(corpus, "benign"):
        results, _misc = run(addon, server, item)
        why = judged(corpus, item, results)
        if not why:
            right += 1
        elif why.startswith("refused") and why.split()[1] == REFUSED.get(item["id"]):
            refused.append((item["id"], item["sql"], why))
        else:
            wrong.append((item["id"], item["sql"], why))
    record_property("benign", f"{right} right, {len(refused)} refused, {len(wrong)} wrong")
    print(f"benign: {right} right, {len(refused)} refused, {len(wrong)} wrong")
    assert not wrong, "\n".join(map(str, wrong))
    assert right >= 0.97 * (right + len(refused))


def test_lookalikes_are_not_refused(corpus: ModuleType, server: PostgresServer, addon: Masking) -> None:
    """What only looks dangerous passes the masking addon as it came."""
    refused = []
    for item in items(corpus, "dangerous"):
        if item["expect"] == "allow":
            results, _misc = run(addon, server, item)
            refused += [
                (item["id"], item["sql"], r.refused or r.error) for r in results if r.refused is not None or r.error
            ]
    assert not refused, "\n".join(map(str, refused))
