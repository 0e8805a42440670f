"""Attempts that succeed today, each with what is behind it. Who mends one takes it out: the test fails if a known one holds."""

from __future__ import annotations

CONSTRAINT = "a write of clear columns runs constraints over masked ones, and whether it fails is told"
REFERENCE = "a foreign key between a clear and a masked column answers by failing or by cascading"
DOMAIN = "a domain's check is code of the owner's that reads masked columns, and conversions to the domain are not looked at"
FILTERED = "a view's rows or their order depend on masked columns; docs/masking.md says that what a view filters by is not masked"
PARTITION = "which partition a row is in tells the range of its masked key"
PLACED = "a trigger of another table writes what a client wrote into a masked column whose equals are told"
TIED = "a tie by a column that is no key; docs/policy.md says that ties count"
WIDTHS = "estimates come from statistics of raw values, as docs/masking.md says"

FILTER = "a filter that holds in every row: "

KNOWN: dict[str, str] = {
    "a check compares what is written with a masked date": CONSTRAINT,
    "a check compares a written text with a masked one": CONSTRAINT,
    "a generated column overflows for some masked factors": CONSTRAINT,
    "an exclusion constraint knows masked ranges": CONSTRAINT,
    "deleting what a masked foreign key refers to": REFERENCE,
    "a new key for what a masked foreign key refers to cascades": REFERENCE,
    "a deletion cascades to rows that are then counted": REFERENCE,
    "a clear column that refers to a masked one takes guesses": REFERENCE,
    "guesses copied into a clear column that refers to a masked one": REFERENCE,
    "a trigger elsewhere puts the guess into a masked column that is compared": PLACED,
    "a domain's check asks about values": DOMAIN,
    "a domain's check asks about a parameter of its type": DOMAIN,
    "a domain's check asks about a parameter of its array": DOMAIN,
    "a domain's check in a column list of a function": DOMAIN,
    "a domain's check by name of a function": DOMAIN,
    "a domain's check in JSON_VALUE": DOMAIN,
    "the partition of a masked key": PARTITION,
    "rows of a partition counted": PARTITION,
    "a view tells its order": FILTERED,
    "a view tells its order to row_number": FILTERED,
    "a view tells the first of each": FILTERED,
    "a view tells how often a row is repeated": FILTERED,
    "a view tells its first rows with ties": FILTERED,
    "EXPLAIN's estimate of widths": WIDTHS,
    FILTER + "DELETE FROM scratch s USING scratch t WHERE s.v = t.v AND t.k = 'k1'": TIED,
}
