"""Whether masking's declarations fit a target: what its databases do not have is named before it refuses anybody's session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults, inlineCallbacks
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from gateway.config import MASKING, AddonEntry, TargetEntry
from gateway.nowhere import Holdings
from gateway.query import Querying

LOOKING = 10.0  # seconds that whoever reloads waits for targets' catalogs
FEW = 4  # targets that are read at a time: each costs a good part of a second of this process


@dataclass(frozen=True, slots=True)
class Fit:
    """
    :ivar columns: how many columns are declared for databases of the target.
    :ivar wrong: what its databases do not have, all of it; while there is any, everybody who sees a column masked is refused there.
    :ivar holdings: of all of its databases; None where not all of them were read.
    """

    columns: int
    wrong: tuple[str, ...]
    holdings: Holdings | None = None


def names(addons: Sequence[AddonEntry], entry: TargetEntry) -> bool:
    """Whether any masking names columns for the target; from the options as written, without loading masking."""
    columns = [column for addon in addons if addon.use == MASKING for column in addon.options.get("columns", ())]
    return any(entry.name in (column.get("targets") or (entry.name,)) for column in columns)


@inlineCallbacks
def fitted(addons: Sequence[AddonEntry], entry: TargetEntry, dial: Callable[[str], Deferred[Any]]) -> Any:
    """
    A Deferred of the target's Fit. Fails with DialError, QueryError or ValueError.

    :param dial: a connection to the named database, as a role that reads the catalog.
    """
    from addons.masking.cover import Cover, Misdeclared  # with the parser, which control loads where it is asked for
    from addons.masking.declared import declarations
    from addons.sql.calls import Calls
    from gateway.catalog import read

    declared = [one for addon in addons if addon.use == MASKING for one in declarations(addon.options.get("columns", ()))]
    looked, wrong = 0, []
    holdings: list[Holdings] | None = []
    for database in entry.databases:
        here = [one for one in declared if one.holds(entry.name, database)]
        if not here:
            holdings = None
            continue
        asks = Querying((yield dial(database)))
        try:
            snapshot, _digest = yield read(asks)
        finally:
            asks.close()
        looked += len(here)
        if holdings is not None:
            holdings.append(Holdings.of(snapshot))
        try:
            yield deferToThread(lambda: Cover(snapshot, here, Calls(snapshot, frozenset()).opaque))
        except Misdeclared as error:
            wrong.append(f"database {database}: {error}" if len(entry.databases) > 1 else str(error))
    return Fit(looked, tuple(wrong), None if holdings is None else Holdings.together(holdings))


def misfits(targets: Iterable[TargetEntry], fit: Callable[[TargetEntry], Deferred[Fit]], clock: Any) -> Deferred[dict[str, Any]]:
    """
    A Deferred of {"refusing": {target: what is wrong}, "not_looked_at": [target]}; never fails, and waits LOOKING at most.

    :param fit: `fitted`, of one target.
    """
    found: dict[str, Any] = {"refusing": {}, "not_looked_at": []}
    few = DeferredSemaphore(FEW)

    def told(result: Fit | Failure, name: str) -> None:
        if isinstance(result, Failure):
            found["not_looked_at"].append(name)
        elif result.wrong:
            found["refusing"][name] = list(result.wrong)

    looks = [few.run(fit, entry).addTimeout(LOOKING, clock).addBoth(told, entry.name) for entry in targets]
    return gatherResults(looks).addCallback(lambda _: found)
