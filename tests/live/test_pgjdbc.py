"""pgjdbc: one program, written for this and compiled here, says the same of a direct connection and of one through the gateway."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.house import ADA, CLEAR, House

pytestmark = pytest.mark.live

JAR = Path("/usr/share/java/postgresql.jar")
SOURCE = Path(__file__).parent / "java" / "Compare.java"
TIME = 180  # seconds for a run on a busy machine

WAYS = {
    "as it comes": [], "simple": ["preferQueryMode=simple"], "prepared at once": ["prepareThreshold=1", "binaryTransfer=true"],
    "rewritten batches": ["reWriteBatchedInserts=true", "defaultRowFetchSize=11"], "a schema of its own": ["currentSchema=public"],
    "autosave": ["autosave=always", "ApplicationName=ours"],
}  # fmt: skip


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    subprocess.run(["javac", "-cp", str(JAR), "-d", str(folder), str(SOURCE)], check=True, timeout=TIME)
    return folder


def run(classes: Path, facts: Mapping[str, str], words: list[str]) -> list[str]:
    url = f"jdbc:postgresql://{facts['host']}:{facts['port']}/{facts['dbname']}"
    done = subprocess.run(
        ["java", "-cp", f"{JAR}{os.pathsep}{classes}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "Compare", url, facts["user"],
         f"sslmode={facts['sslmode']}", *words],
        env={**os.environ, "PGPASSWORD": facts["password"]}, capture_output=True, text=True, timeout=TIME, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.sub(r"temp_\d+", "temp_N", done.stdout).splitlines()  # which temporary schema a session gets is chance


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_pgjdbc_says_the_same(house15: House, classes: Path, words: list[str]) -> None:
    """Queries, thresholds, batches, cursors, COPY, generated keys, metadata, errors, savepoints, notices, large objects."""
    direct = run(classes, house15.direct_facts(), words)
    assert run(classes, house15.facts(CLEAR), words) == direct and len(direct) > 400


def test_pgjdbc_over_tls_on_18(house18: House, classes: Path) -> None:
    """With the gateway's certificate checked by name."""
    facts = house18.facts(CLEAR, sslmode="verify-full") | {"host": "localhost"}
    through = run(classes, facts, [f"sslrootcert={house18.authority}"])
    assert through == run(classes, house18.direct_facts(), [])


def test_pgjdbcs_metadata_is_the_same_with_columns_masked(house15: House, tmp_path: Path) -> None:
    """Ada's DatabaseMetaData: no catalog that pgjdbc reads is refused to her."""
    source = tmp_path / "Compare.java"
    kept = SOURCE.read_text()
    for step in ("threshold", "batches", "cursor", "copies", "keys", "errors", "transactions", "notices", "largeObjects"):
        kept = kept.replace(f"            compare.{step}();\n", "")
    source.write_text(kept)
    subprocess.run(["javac", "-cp", str(JAR), "-d", str(tmp_path), str(source)], check=True, timeout=TIME)
    assert run(tmp_path, house15.facts(ADA), []) == run(tmp_path, house15.direct_facts(), [])
