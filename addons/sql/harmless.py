"""
Whether a text changes nothing, as far as it can be told from the text alone: what may be called failed though it ran.
"""

from __future__ import annotations

from functools import lru_cache

from addons.sql.assess import Assessor
from addons.sql.parse import Unparsable
from addons.sql.settings import Gate

_LONGEST = 4 << 10  #: characters; nobody waits for the parsing of a longer one
_READS = frozenset({"read", "transaction"})

_assessor = Assessor((), Gate())


@lru_cache(maxsize=256)
def harmless(text: str) -> bool:
    """Queries of the server's own functions. A user's may write, and so may what EXECUTE runs."""
    if len(text) > _LONGEST:
        return False
    try:
        parts = _assessor.assess(text)
    except (Unparsable, RecursionError):
        return False
    return all(part.finding.kind == "VariableShow" or _READS.issuperset(part.classes) and not part.finding.executes for part in parts)
