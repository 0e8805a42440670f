"""
The corpora through the whole gateway, by their own runner: a byte tap before the client, side effects read from the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house import ADA, TARGET, House, mask
from tests.servers import POSTGRES, PostgresServer

CORPUS = Path(os.environ.get("OSTIARY_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))
STRICT = {"read": "allow", "write": "allow", "transaction": "allow", "session": "allow"}
LISTED = {"functions": ["public.active_patients"]}  # as an operator lists a function that returns nothing masked
SOUGHT = ("patients", "mrn")
"""What people may look up, as where they have a record's number in hand. tests/masking/test_corpus.py has what is refused without."""
PER_MINUTE = 120


def test_nothing_leaks_and_nothing_dangerous_runs(tmp_path: Path) -> None:
    """0 leaked, 0 oracles answered, 0 dangerous executed, 0 lookalikes refused, no clear cell wrong, no benign statement refused."""
    runner = CORPUS / "run_corpus.py"
    if not runner.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"the corpora are not at {CORPUS}")
        pytest.skip(f"the corpora are not at {CORPUS}")
    policy = json.loads((CORPUS / "postgres" / "policy.json").read_text())
    columns = [
        mask(f"public.{relation}", column, lookup=(relation, column) == SOUGHT)
        for relation, names in policy["canary_columns"].items() for column in names
    ]  # fmt: skip
    masking = {"use": "addons.masking.Masking", "columns": columns, "lookups_per_minute": PER_MINUTE, **LISTED}
    server = PostgresServer(POSTGRES, {"wal_level": "logical", "shared_preload_libraries": "'pg_stat_statements'"}).start()
    try:
        server.sql("CREATE ROLE app SUPERUSER LOGIN")
        server.sql("CREATE DATABASE clinic OWNER app")
        with House(tmp_path / "house", server, database="clinic", user="app", default=STRICT, options=LISTED, addons=[masking]) as house:
            report = tmp_path / "report.json"
            run = subprocess.run(
                [sys.executable, str(runner), "postgres", "--port", str(house.port), "--user", f"{ADA}@{TARGET}",
                 "--password", house.token(ADA), "--dbname", "clinic", "--admin-port", str(server.port),
                 "--admin-user", "app", "--json", str(report)],
                capture_output=True, text=True, timeout=600, check=False,
            )  # fmt: skip
            assert report.exists(), run.stdout + run.stderr
            told = json.loads(report.read_text())["summary"]
    finally:
        server.stop()
    print(told)
    bad = ("leaked", "oracle_answered", "benign_wrong_cells", "benign_unmasked_cells", "benign_refused", "dangerous_executed", "lookalikes_refused")
    assert {name: told[name] for name in bad} == dict.fromkeys(bad, 0)
    assert told["bypass"] > 100 and told["dangerous"] > 50
