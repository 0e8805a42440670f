"""
What one statement is and touches, as `classify` found it: the words between the tree and the rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from addons.sql.changes import Change

Name = tuple[str, str]
"""(schema or "", name)."""


def dotted(name: Name) -> str:
    """As people write it."""
    return ".".join(filter(None, name))


@dataclass(slots=True)
class Finding:
    """
    What one statement is and touches.

    :ivar classes: class to one clause that says why; no value is in it.
    :ivar kinds: of the statements inside it other than queries.
    :ivar relations: every relation named, CTE names left out; `written` is the part that it writes, `touched` that whose rows it changes.
    :ivar bearers: names without a schema to the schemas whose relations they may be (`addons.sql.bearers`); None where the text alone counts.
    :ivar inside: relations whose rows are changed by functions that it calls.
    :ivar reached: relations whose rows it reaches under another name, as the catalog has it; None when that is not known.
    :ivar samples: what it reads or calls that may show values of any relation (`addons.sql.samples`).
    :ivar renamed: it writes a view that may call columns otherwise.
    :ivar unsettled: what it calls is not what the catalog shows.
    :ivar strays: what runs along with it, and is not in its text, may set the search path; `renames`: may take prepared statements away.
    :ivar columns: last parts of column names, "*" for stars.
    :ivar types: what it casts to.
    :ivar fields: names after a parenthesis, `(x).name`: a composite's field, or a function's call.
    :ivar constructs: grammar of newer servers that an older one reads as a function's call: JSON_VALUE, MERGE_ACTION.
    """

    kind: str
    kinds: set[str] = field(default_factory=set)
    classes: dict[str, str] = field(default_factory=dict)
    relations: set[Name] = field(default_factory=set)
    written: set[Name] = field(default_factory=set)
    touched: set[Name] = field(default_factory=set)
    bearers: dict[str, frozenset[str]] | None = None
    inside: set[Name] = field(default_factory=set)
    reached: frozenset[Name] | None = frozenset()
    samples: set[Name] = field(default_factory=set)
    renamed: bool = False
    unsettled: bool = False
    strays: bool = False
    renames: bool = False
    columns: set[str] = field(default_factory=set)
    functions: set[Name] = field(default_factory=set)
    called: set[Name] = field(default_factory=set)
    types: set[Name] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    operators: set[Name] = field(default_factory=set)
    constructs: set[str] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    prepares: str = ""
    executes: set[str] = field(default_factory=set)

    def add(self, kind: str, why: str) -> None:
        self.classes.setdefault(kind, why)

    def copy(self) -> Finding:
        """One that may be added to."""
        kept = {f.name: getattr(self, f.name) for f in fields(self)}
        return Finding(**{name: type(value)(value) if isinstance(value, (set, dict, list)) else value for name, value in kept.items()})

    def take(self, other: Finding) -> None:
        """What another statement touches, which this one runs, for the rules; not its classes."""
        self.kinds |= other.kinds | ({other.kind} - {"Select", "Return"})
        for name in ("relations", "written", "touched", "columns", "functions", "samples"):
            getattr(self, name).update(getattr(other, name))
        self.inside |= other.inside | other.touched
        if other.bearers is not None:
            before = self.bearers or {}
            self.bearers = {**before, **{last: schemas | before.get(last, frozenset()) for last, schemas in other.bearers.items()}}
        self.reached = None if self.reached is None or other.reached is None else self.reached | other.reached
        self.renamed = self.renamed or other.renamed
        self.unsettled = self.unsettled or other.unsettled
