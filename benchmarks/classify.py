"""
What a decision costs: cold (parse, classify, assess, rules), known (the same text again), and of a query that differs from
known ones in its literals, in microseconds of CPU; and what policy and masking cost together (parse, classify, rewrite), cold and known, for
somebody who sees columns masked that most of the statements read; cold also by kind of statement, and libpg_query's share of each: parsing
what the client sent, writing the text that is sent, and parsing that for its proof.

    python -m benchmarks.classify [FILE.jsonl ...]

Each FILE holds one object with "sql": [texts] a line; without one, the statements below are used. The ratio to the
bare parse of the same texts is printed too, since absolute times depend on the machine.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import postgast  # noqa: E402

from addons.masking import Masking  # noqa: E402
from addons.policy import Policy  # noqa: E402
from addons.sql import native, parse as parsing  # noqa: E402
from protocols.command import Statement  # noqa: E402
from protocols.hooks import JudgeHook, RewriteHook  # noqa: E402
from protocols.session import Identity, Session, Target  # noqa: E402
from protocols.verdict import Allow, Deny, Replace  # noqa: E402
from tests.masking.gate import OneWorker  # noqa: E402
from tests.sql.little import snapshot  # noqa: E402

SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")
DEFAULT = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}
RULES = [
    {"name": "privileged", "classes": ["write-unfiltered", "ddl"], "verdict": "approve", "approvers": ["approvers"]},
    {"name": "agents", "kinds": ["agent"], "relations": ["patients"], "verdict": "deny"},
    {"name": "no-drop", "classes": ["ddl-destructive"], "verdict": "deny"},
]
TEXTS = [
    "SELECT 1", "BEGIN", "SET statement_timeout = '5s'", "SELECT * FROM patients WHERE id = $1",
    "SELECT d.name, count(*), max(p.height_cm) FROM departments d JOIN patients p ON p.dept_id = d.id WHERE p.active GROUP BY d.name ORDER BY 2",
    "UPDATE app_events SET detail = $1, at = now() WHERE id = $2 AND kind = 'login'", "INSERT INTO scratch (k, v) VALUES ($1, $2) RETURNING k",
    "WITH a AS (SELECT id, email FROM patients), b AS (SELECT * FROM a WHERE id IN (1, 2, 3)) SELECT b.*, row_number() OVER (ORDER BY id) FROM b",
    "DELETE FROM app_events e USING departments d WHERE e.id = d.id AND d.code = 'ER'",
]

MASKED = [{"relation": "public.patients", "column": column} for column in ("ssn", "mrn", "dob")]
READING = [
    "SELECT id, ssn, state FROM patients WHERE id = 7", "SELECT * FROM patients WHERE state = 'VT' ORDER BY id LIMIT 50",
    "SELECT d.name, count(*) FROM departments d JOIN patients p ON p.id = d.id WHERE p.state IN ('VT', 'CA') GROUP BY d.name ORDER BY 2 DESC",
    "WITH a AS (SELECT id, ssn, state FROM patients), b AS (SELECT * FROM a WHERE id IN (1, 2, 3)) SELECT b.*, row_number() OVER (ORDER BY id) FROM b",
    "SELECT p.id, p.mrn, x.n FROM patients p, LATERAL (SELECT count(*) AS n FROM archive a WHERE a.id = p.id) x WHERE p.id < 100",
    "SELECT chart, place FROM directory WHERE id = 3", "SELECT json_agg(t) FROM (SELECT id, ssn FROM patients WHERE id < 9) t",
    "UPDATE patients SET state = 'NY' WHERE id = 4 RETURNING id, ssn, state", "SELECT id, code FROM departments WHERE name = 'Cardiology'",
]
KINDS = {
    "point select": READING[0], "page": READING[1], "join, aggregate": READING[2], "CTE, window": READING[3], "lateral": READING[4],
    "update": READING[7], "insert of a select": "INSERT INTO departments (id, code) SELECT p.id, p.state FROM patients p WHERE p.id < 9 RETURNING code",
    "insert, nothing masked": "INSERT INTO departments (id, code, name) VALUES ($1, $2, $3) RETURNING id", "select, nothing masked": READING[8],
}


class Fixed(OneWorker):
    """A catalog that was read once and does not change."""

    def __init__(self) -> None:
        self._known = snapshot()

    def snapshot(self, _session: Session) -> object:
        return self._known


def texts(files: list[str]) -> list[str]:
    found = [t for f in files for line in Path(f).read_text("utf-8").splitlines() for t in json.loads(line)["sql"]]
    return found or TEXTS


def each(do: Callable[[str], object], some: list[str], rounds: int, before: Callable[[], object] = lambda: None) -> list[float]:
    """Microseconds of CPU that every call took."""
    spent = []
    for _ in range(rounds):
        before()
        for text in some:
            start = time.thread_time()
            do(text)
            spent.append((time.thread_time() - start) * 1e6)
    return sorted(spent)


def bare(text: str) -> None:
    try:
        postgast.parse(text)
    except postgast.PgQueryError:
        pass


def library(text: str, sent: str) -> None:
    """All that libpg_query is asked for one rewritten statement."""
    native.parse(text)
    if sent != text:
        native.deparse(native.parse(sent))  # the tree that is written is the one that comes back


def by_kind(anew: Callable[[str], object]) -> None:
    """Kinds in turns, so that what else the machine does is in all of them."""
    answers = {name: anew(text) for name, text in KINDS.items()}
    for name, answer in answers.items():
        assert isinstance(answer, Allow if name.endswith("nothing masked") else Replace), (name, answer)
    sent = {name: answer.text if isinstance(answer, Replace) else KINDS[name] for name, answer in answers.items()}
    spent: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in KINDS}
    for _ in range(300):
        for name, text in KINDS.items():
            spent[name][0].extend(each(anew, [text], 1))
            spent[name][1].extend(each(lambda text: library(text, sent[name]), [text], 1))
    for name, (all_of_it, of_library) in spent.items():
        p50, inside = statistics.median(all_of_it), statistics.median(of_library)
        print(f"{name:24} cold, masked p50={p50:7.1f} us  of that libpg_query {inside:7.1f} us")


def main() -> None:
    some = texts(sys.argv[1:])
    policy = Policy(default=DEFAULT, rules=RULES)

    def judge(text: str) -> object:
        return policy.on_judge(JudgeHook(SESSION, Statement(text), text))

    def forget() -> None:
        parsing._parsed.clear()
        policy._analysed.clear()
        policy._ruled.clear()

    masking = Masking(columns=MASKED, catalogs=Fixed())

    def both(text: str) -> object:
        judge(text)
        return masking.on_rewrite(RewriteHook(SESSION, Statement(text)))

    def anew(text: str) -> object:
        """As a text that nobody sent before, of relations that others have read."""
        seen.append(text)
        return both(f"{text} -- {len(seen)}")

    seen: list[str] = []
    for text in READING:
        answer = both(text)
        assert isinstance(answer, Replace) or ("departments WHERE" in text and not isinstance(answer, Deny)), (text, answer)
    rounds = max(3, 3000 // len(some))
    parsed, cold, known = each(bare, some, rounds), each(judge, some, rounds, forget), each(judge, some, rounds)
    alike = each(judge, [f"SELECT abalance FROM pgbench_accounts WHERE aid = {n}" for n in range(100_000, 103_000)], 1)
    rewritten, again = each(anew, READING, 300), each(both, READING, 300)
    for name, spent in (
        ("bare parse", parsed), ("cold decision", cold), ("known decision", known), ("another value", alike),
        ("cold, masked", rewritten), ("known, masked", again),
    ):  # fmt: skip
        p50, p99 = statistics.median(spent), spent[int(len(spent) * 0.99)]
        print(f"{name:15} n={len(spent):6} p50={p50:7.1f} us  p99={p99:8.1f} us  {p50 / statistics.median(parsed):6.2f} x bare parse")
    by_kind(anew)


if __name__ == "__main__":
    main()
