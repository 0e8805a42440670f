"""
Every statement of PostgreSQL's own regression suite through the classifier (`make suites SRC=DIR`, DIR/postgresql:
the source tree, as in Debian's source package): no crash, no hang, and nothing that writes passes for a read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from addons.sql.assess import Assessor, with_prepared
from addons.sql.parse import Unparsable
from addons.sql.settings import Gate
from tests.suites.script import statements

SOURCES = os.environ.get("OSTIARY_SUITES", "")
ROOT = Path(__file__).parents[2]
LIMIT = 120.0  # seconds for a file; the largest takes about three
HARMLESS = {"read", "session", "transaction"}
CHANGES = frozenset(
    "alter call cluster comment create delete do drop grant import insert merge reassign refresh reindex revoke security"
    " truncate update vacuum".split()
)
"""First words that no statement of only HARMLESS classes has; read from the text, not from the tree."""


def scripts() -> list[Path]:
    return sorted(Path(SOURCES).glob("postgresql*/src/test/**/*.sql")) if SOURCES else []


def classified(script: str) -> list[dict[str, object]]:
    """What came of each statement."""
    assessor, told = Assessor((), Gate()), []
    for text in statements(script):
        try:
            found = assessor.assess(text)
        except Unparsable as error:
            told.append({"text": text[:200], "unparsable": error.why})
            continue
        told += [{"text": text[:200], "classes": sorted(with_prepared(part, lambda _: []).classes)} for part in found]
    return told


def told(script: Path) -> list[dict[str, object]]:
    """The same from a process of its own, which may crash or hang."""
    command = [sys.executable, "-m", "tests.suites.test_regress", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=ROOT)
    assert done.returncode == 0, f"{script}: {done.stderr[-2000:]}"
    return json.loads(done.stdout)


def test_a_script_is_told_statement_by_statement(tmp_path: Path) -> None:
    """So that the suite works when its sources are there."""
    script = tmp_path / "x.sql"
    script.write_text("\\set x 1\nSELECT 1;\nDROP TABLE t; SELEC;\nEXECUTE nobody;\n")
    assert [one.get("classes") for one in told(script)] == [["read"], ["ddl-destructive"], None, ["dynamic"]]


@pytest.mark.skipif(not scripts(), reason="needs PostgreSQL's sources: make suites SRC=DIR, with DIR/postgresql-15.*")
def test_every_statement_of_the_regression_suite_has_its_class() -> None:
    parsed = refused = 0
    for script in scripts():
        for one in told(script):
            if "unparsable" in one:
                refused += 1
                continue
            parsed += 1
            classes, first = set(one["classes"]), one["text"].split(None, 1)[0].lower()
            assert classes and "unknown" not in classes, f"{script}: {one}"
            assert first not in CHANGES or classes - HARMLESS, f"{script}: {one}"
    print(f"regression suite: {len(scripts())} scripts, {parsed} statements classified, {refused} refused by the grammar")
    assert parsed > 30_000 and refused < parsed * 0.03


if __name__ == "__main__":
    print(json.dumps(classified(Path(sys.argv[1]).read_text("utf-8", "replace"))))
