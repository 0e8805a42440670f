"""Attempts that succeed today, each with what is behind it. Who mends one takes it out: the test fails if a known one holds."""

from __future__ import annotations

FILTERED = "a view's rows or their order depend on masked columns; docs/masking.md says that what a view filters by is not masked"
TIED = "a tie by a column that is no key; docs/policy.md says that ties count"
WIDTHS = "estimates come from statistics of raw values, as docs/masking.md says"

FILTER = "a filter that holds in every row: "

KNOWN: dict[str, str] = {
    "a view tells its order": FILTERED,
    "a view tells its order to row_number": FILTERED,
    "a view tells the first of each": FILTERED,
    "a view tells how often a row is repeated": FILTERED,
    "a view tells its first rows with ties": FILTERED,
    "EXPLAIN's estimate of widths": WIDTHS,
    FILTER + "DELETE FROM scratch s USING scratch t WHERE s.v = t.v AND t.k = 'k1'": TIED,
}
