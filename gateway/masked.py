"""
How much of a command's result was masked, and by what: on the wire, where each cell is counted, and at the target, by
a rewritten text, where it is the rows that came times the columns that show masks.
"""

from __future__ import annotations

from dataclasses import replace

from protocols.result import Outcome
from protocols.verdict import Decision


def told(decision: Decision, outcome: Outcome) -> Outcome:
    """
    An outcome with what rewriting masked. Its fact `masked_by` says how it was done, `cells_rewritten` how many cells of
    `cells_masked` that was, or "unknown": of a cursor, EXECUTE, COPY or EXPLAIN, or where lineage could not be followed.
    """
    rewritten = bool(decision.columns)  # by its own text, or those that its names stand for
    if not rewritten and not outcome.cells_masked:
        return outcome
    outputs = decision.seen.outputs if decision.seen is not None and rewritten else None
    ways = [way for way, so in (("rewrite", rewritten and outputs != ()), ("wire", outcome.cells_masked > 0)) if so]
    if not ways:  # it only compares or counts them
        return outcome
    cells = outcome.rows * len(outputs) if outputs is not None else 0
    facts = {**outcome.facts, "masked_by": ", ".join(ways)}
    if "rewrite" in ways:
        facts["cells_rewritten"] = "unknown" if outputs is None else str(cells)
    shown = {*outcome.columns, *(decision.columns if outputs is None and rewritten else outputs or ())}
    return replace(outcome, cells_masked=outcome.cells_masked + cells, columns=tuple(sorted(shown)), facts=facts)
