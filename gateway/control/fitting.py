"""Whether masking's declarations fit a target: what its databases do not have is named before it refuses anybody's session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.threads import deferToThread

from gateway.config import AddonEntry, TargetEntry
from gateway.query import Querying
from gateway.toml import MASKING


@inlineCallbacks
def fitted(addons: Sequence[AddonEntry], entry: TargetEntry, dial: Callable[[str], Deferred[Any]]) -> Any:
    """
    A Deferred of how many declared columns there are, when all of them fit. Fails with Misdeclared, DialError, QueryError or ValueError.

    :param dial: a connection to the named database, as a role that reads the catalog.
    """
    from addons.masking.cover import Cover  # with the parser, which control loads where it is asked for
    from addons.masking.declared import declarations
    from addons.sql.calls import Calls
    from gateway.catalog import read

    declared = [one for addon in addons if addon.use == MASKING for one in declarations(addon.options.get("columns", ()))]
    looked = 0
    for database in entry.databases:
        here = [one for one in declared if one.holds(entry.name, database)]
        if not here:
            continue
        asks = Querying((yield dial(database)))
        try:
            snapshot, _digest = yield read(asks)
        finally:
            asks.close()
        yield deferToThread(lambda: Cover(snapshot, here, Calls(snapshot, frozenset()).opaque))
        looked += len(here)
    return looked
