"""
The corpora through policy alone, offline: what is dangerous is refused, what only looks so is not.

Masking's corpus (bypass) is masking's to refuse; policy alone must refuse what launders or hides code.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from addons.policy import Policy
from protocols.command import FunctionCall, Statement
from protocols.hooks import ClosedHook, DecidedHook, JudgeHook
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Decision, Deny

CORPUS = Path(os.environ.get("OSTIARY_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus")) / "postgres"
STRICT = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}
SESSION = Session("s", Identity("ada"), Target("clinic", "postgres", "h", 5432), "rw", "clinic", "p")

BENIGN_REFUSED = {"pg-ben-113"}
"""active_patients() is the database's own function: without its catalog nobody knows what it does."""


def items(kind: str) -> list[dict[str, object]]:
    file = CORPUS / f"{kind}.jsonl"
    if not file.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the corpora are not at {CORPUS}")
        pytest.skip(f"the corpora are not at {CORPUS}")
    found = [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]
    assert found
    return found


def refused(policy: Policy, item: dict[str, object]) -> list[Deny]:
    """The refusals that one item meets, its statements sent one by one."""
    found = []
    for text in item["sql"]:
        command = FunctionCall(99999) if item["mode"] == "fastpath" else Statement(text)
        verdict = policy.on_judge(JudgeHook(SESSION, command, text))
        assert isinstance(verdict, (Allow, Deny))
        policy.on_decided(DecidedHook(SESSION, Decision(command, verdict, text)))
        found += [verdict] if isinstance(verdict, Deny) else []
    policy.on_closed(ClosedHook(SESSION))
    return found


def test_no_dangerous_item_runs_whole() -> None:
    """At least one statement of each is refused."""
    policy = Policy(default=STRICT)
    ran = [i["id"] for i in items("dangerous") if i["expect"] == "block" and not refused(policy, i)]
    assert ran == []


def test_no_lookalike_is_refused() -> None:
    policy = Policy(default=STRICT)
    wrong = [(i["id"], r[0].reason) for i in items("dangerous") if i["expect"] == "allow" and (r := refused(policy, i))]
    assert wrong == []


def test_benign_queries_pass() -> None:
    """All but the listed ones."""
    policy = Policy(default=STRICT)
    assert {i["id"] for i in items("benign") if refused(policy, i)} <= BENIGN_REFUSED


def test_what_hides_code_from_masking_is_refused_here_already() -> None:
    """DO, foreign functions, server files, DDL that launders: masking never needs to understand them."""
    policy = Policy(default=STRICT)
    hidden = ("do_notice", "function")
    passed = [i["id"] for i in items("bypass") if i["class"] in hidden and not refused(policy, i)]
    assert passed == []
