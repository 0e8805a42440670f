"""
Which relations code of the owner's may write into on its own: there a client's text may come to stand in a column that
the client may not write, and comparing such a column for equality would answer guesses.

Functions' bodies are read as words. A body that no one can read, or that makes its statements as it runs, may write anywhere
when something runs it unasked: a trigger, an operator, a cast, a check, a policy or a rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from addons.sql.catalog import Snapshot
from addons.sql.parse import walk

_WORD = re.compile(r"\w+")
_WRITES = frozenset({"insert", "update", "merge", "copy"})
_LANGUAGES = frozenset({"sql", "plpgsql"})


class Placed:
    """:param foreign: whether a function's OID stands for code that nobody vouches for."""

    def __init__(self, snapshot: Snapshot, foreign: Callable[[int], bool]) -> None:
        self._functions = {f.oid: f for f in snapshot.functions.values() if f.kind in "fp" and foreign(f.oid)}
        self._words = {oid: _words(f.body) for oid, f in self._functions.items()}
        self._rules = [_words(rule.partition(" DO ")[2]) for r in snapshot.relations.values() for rule in r.rules]
        self._blind = any(self._unseen(oid) for oid in self._run(self._unasked(snapshot)))

    def into(self, names: Iterable[str]) -> bool:
        """Whether something may write into a relation with one of these names."""
        wanted = {name.lower() for name in names}
        odd = [name for name in wanted if not _WORD.fullmatch(name)]
        if self._blind:
            return True
        return any(words & _WRITES and (words & wanted or odd) for words in (*self._words.values(), *self._rules))

    def _unasked(self, snapshot: Snapshot) -> set[int]:
        """OIDs of the functions that run without being called by name."""
        found = {function for _relation, function in snapshot.triggers}
        found |= {oid for oids in (*snapshot.operators.values(), *snapshot.casts.values()) for oid in oids}
        trees = [c.tree for c in snapshot.checks] + [t.tree for ties in snapshot.ties.values() for t in ties]
        called = {
            name.sval.lower() for one in trees if one is not None for message in walk(one)
            if type(message).__name__ == "FuncCall" for name in (node.string for node in message.funcname)
        }  # fmt: skip
        texts = [text for policies in snapshot.policies.values() for text in policies]
        called = called.union(*map(_words, texts), *self._rules)
        return found | {oid for oid, f in self._functions.items() if f.name.lower() in called}

    def _run(self, oids: set[int]) -> set[int]:
        """Those of them that are foreign, and what they name in turn."""
        found, waiting = set(), {oid for oid in oids if oid in self._functions}
        while waiting:
            found |= waiting
            words = frozenset().union(*(self._words[oid] for oid in waiting))
            waiting = {oid for oid, f in self._functions.items() if oid not in found and f.name.lower() in words}
        return found

    def _unseen(self, oid: int) -> bool:
        function = self._functions[oid]
        body, words = function.body, self._words[oid]
        return not body or function.language not in _LANGUAGES or "execute" in words or 'u&"' in body.lower()


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower()))
