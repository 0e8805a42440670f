"""What is reached where a view is written: rules about columns go by names that a view may change."""

from __future__ import annotations

import pytest

from addons.sql.reach import reach
from tests.sql import little

NAME = ("public", "written")
PLAIN = {
    "as they are": "id, state", "a count": "id, (SELECT count(*) AS count FROM public.visits) AS n", "all rows' count": "count(*) AS id, count(*) AS n",
    "a constant": "id, 1 AS n", "a text": "id, 'x'::text AS n", "whether there are rows": "id, (EXISTS (SELECT 1 FROM public.visits)) AS n",
}
RENAMING = {
    "another name": "id, ssn AS n", "an expression": "id, upper(ssn) AS n", "a count of a column": "id, (SELECT count(ssn) FROM public.patients) AS n",
    "a filtered count": "id, (SELECT count(*) FILTER (WHERE ssn = 'x') FROM public.patients) AS n",
    "a count where": "id, (SELECT count(*) FROM public.patients p WHERE p.ssn = 'x') AS n",
    "a count of what is joined": "id, (SELECT count(*) FROM public.patients JOIN public.archive USING (ssn)) AS n",
    "a function": "id, public.listed(1) AS n", "a sub-select": "id, (SELECT ssn FROM public.patients LIMIT 1) AS n", "a user's type": "id, 'x'::patients AS n",
    "a window": "id, count(*) OVER (ORDER BY ssn) AS n", "a count of a function's rows": "id, (SELECT count(*) FROM public.listed(1)) AS n",
}  # fmt: skip


def renamed(monkeypatch: pytest.MonkeyPatch, columns: str) -> bool:
    monkeypatch.setitem(little.VIEWS, "public.written", ("id int4, n int4", f"SELECT {columns} FROM public.patients"))
    found = reach([NAME], [NAME], little.snapshot())
    assert ("public", "patients") in found.names and not found.unknown
    return found.renamed


@pytest.mark.parametrize("columns", PLAIN.values(), ids=list(PLAIN))
def test_what_counts_rows_or_is_constant_renames_no_column(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    assert not renamed(monkeypatch, columns)


@pytest.mark.parametrize("columns", RENAMING.values(), ids=list(RENAMING))
def test_what_may_show_a_column_under_another_name_does(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    assert renamed(monkeypatch, columns)


def test_a_count_of_somebody_s_own_may_be_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(little.FUNCTIONS, "public.count", ("text", ""))
    assert renamed(monkeypatch, PLAIN["a count"]) and not renamed(monkeypatch, PLAIN["a constant"])
