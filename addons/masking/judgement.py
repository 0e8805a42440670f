"""
What comes of judging one text for somebody who sees masked columns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from addons.masking.refusals import RULE
from protocols.verdict import Allow, Deny, Replace


class UnknownNames(Exception):
    """The catalog does not have these relations; it may be old."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names

    def __reduce__(self) -> tuple[type[UnknownNames], tuple[frozenset[str]]]:
        return UnknownNames, (self.names,)


@dataclass(frozen=True)
class Judgement:
    """
    :ivar lookups: how many masked values running it once looks up, besides what it executes by name.
    :ivar keyed: whether the text that is sent holds a key.
    :ivar prepares: the names that it gives to statements, in SQL.
    :ivar executes: names of prepared statements that it runs, each as often as it does.
    :ivar explains: those whose plans it shows.
    :ivar crowded: whether names of the server's are an owner's too (`Calls.crowded`).
    """

    verdict: Allow | Replace | Deny
    lookups: int = 0
    keyed: bool = False
    prepares: tuple[str, ...] = ()
    executes: tuple[str, ...] = ()
    explains: tuple[str, ...] = ()
    crowded: bool = False

    @property
    def clean(self) -> bool:
        """Whether it passes as it came, and nothing of it is to be counted or remembered."""
        return isinstance(self.verdict, Allow) and self._plain

    @property
    def rewritten(self) -> bool:
        """Whether another text is sent, which holds no key, and nothing else is to be counted or remembered."""
        return isinstance(self.verdict, Replace) and self._plain

    def sent(self, text: str) -> Judgement:
        """Of a text that stands for the client's: it is sent where that would have been."""
        allowed = isinstance(self.verdict, Allow)
        return replace(self, verdict=Replace(text, RULE, seen=self.verdict.seen)) if allowed else self

    @property
    def _plain(self) -> bool:
        return not (self.lookups or self.keyed or self.prepares or self.executes or self.explains)
