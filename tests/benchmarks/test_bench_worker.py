"""What a worker spends is measured where nothing fails, or not at all."""

from __future__ import annotations

import pytest

from addons.masking import Masking
from benchmarks import worker


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ROUND", 2)


@pytest.mark.parametrize("mode", worker.MODES)
def test_every_mode_is_asked_and_answered(mode: str) -> None:
    found = worker.measured(mode, 2, 1)
    assert len(found) == len(worker.STAGES) and all(each > 0 for each in found)


@pytest.mark.parametrize("method", ["on_decided", "on_rewrite", "standing", "on_outcome"])
def test_an_addon_that_fails_makes_no_figure(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the pipeline goes on without it."""

    def broken(*_: object) -> None:
        raise AttributeError("changes")

    monkeypatch.setattr(Masking, method, broken)
    with pytest.raises(RuntimeError, match="something else"):
        worker.measured("prepared", 1, 1)
