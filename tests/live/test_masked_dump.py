"""How far pg_dump gets for somebody who sees masks: definitions and clear tables, and never a masked table."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.house import BENCH, PATIENCE, House, environment
from tests.servers import POSTGRES_15, postgres_18

pytestmark = pytest.mark.live

TOOLS = {"15": POSTGRES_15, "18": postgres_18()}


@pytest.mark.parametrize("version", TOOLS)
@pytest.mark.parametrize(("words", "refused"), [
    (["-s"], b""), (["-T", "patients", "-T", "encounters", "-T", "beds"], b""), (["-T", "patients"], b"COPY reaches public.encounters"),
], ids=["schema", "clear tables", "a masked table"])
def test_a_dump_by_somebody_who_sees_masks(request: pytest.FixtureRequest, version: str, words: list[str], refused: bytes) -> None:
    house: House = request.getfixturevalue(f"house{version}")
    done = subprocess.run(
        [TOOLS[version] / "pg_dump", "--no-subscriptions", *words], env={**os.environ, **environment(house.facts(BENCH))},
        capture_output=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(refused) and refused in done.stderr, done.stderr
    assert b"CREATE TABLE public.wards" in done.stdout and b"CANARY" not in done.stdout + done.stderr
    assert words == ["-s"] or b"COPY public.wards" in done.stdout or refused
