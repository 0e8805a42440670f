"""
What a question names: a session by the beginning of its id; and what no record names, so that an empty answer is probably one to a slip of
the hand.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator

from gateway.evidence.query import ANY_COLUMN, BadQuery, Found, Query, Search, configuration
from gateway.evidence.readable import moment
from gateway.evidence.view import View, rows
from gateway.ids import LEAST, WHOLE, born, meant, several
from gateway.notary.body import Bodies
from gateway.notary.record import COMMON, parse_leaf

_TARGET = COMMON.index("target")

Finder = Callable[[Search], Iterable[Found]]


def session_meant(given: str, view: View) -> str:
    """
    A session's id, of which the beginning may be given; as it was given where no recorded one begins so.

    :raises BadQuery: several do.
    """
    if len(given) >= WHOLE:
        return given.lower()
    targets = {str(uuid.UUID(bytes=session)): target for session, target in _sessions(view)}
    found = meant(given, targets)
    if len(found) > 1:  # whose they are is in their bodies, which nobody opens before it is recorded
        raise BadQuery(several(given, found, {one: f"{moment(born(one) * 1_000_000)[:19]}Z on {targets[one]}" for one in found}))
    return found[0] if found else given


def _sessions(view: View) -> Iterator[tuple[bytes, str]]:
    """Of each segment that is here, those with a record in it, and their targets."""
    for number in sorted(number for number in view.present() if view.files(number) is not None and not view.unfit(number)):
        records = (parse_leaf(leaf) for _, leaf, _ in rows(view, number))
        yield from {record.session: record.fields[_TARGET] for record in records if record.session}.items()


def unnamed(query: Query, find: Finder, bodies: Bodies | None) -> Iterator[str]:
    """
    Of each name in a question that nothing recorded has, a sentence. Without the body key only of those that are in clear.

    :param find: goes through all records once.
    """
    if query.target and not _any(find(Search(Query(target=query.target), None))):
        yield f"a target {query.target}"
    if bodies is None:
        return
    if query.session and not _any(find(Search(Query(session=query.session), bodies))):
        yield f"a session {query.session}" + ("" if len(query.session) >= LEAST else f" (at least {LEAST} characters of an id are needed)")
    if query.request and not _any(find(Search(Query(request=query.request), bodies))):
        yield f"a request {query.request}"
    if query.identity and not _any(find(Search(Query(identity=query.identity), bodies))) and not _configured([query.identity], find, bodies):
        yield f"an identity {query.identity}"
    principal = query.on_behalf_of
    if principal and not _any(find(Search(Query(on_behalf_of=principal), bodies))) and not _configured([principal], find, bodies):
        yield f"{principal} as somebody on whose behalf anything was done"
    if query.disclosed not in ("", ANY_COLUMN) and not _any(find(Search(Query(disclosed=query.disclosed), bodies))):
        relation, _, column = query.disclosed.rpartition(".")
        if not relation or not _configured([relation, column], find, bodies):
            yield f"a column {query.disclosed}"


def _any(found: Iterable[Found]) -> bool:
    return any(True for _ in found)


def _configured(names: Iterable[str], find: Finder, bodies: Bodies) -> bool:
    """Whether one recorded configuration has all of these, each as a text of its own: who never came, what nobody read."""
    wanted = [(f'"{name}"', f"'{name}'") for name in names]
    texts = (configuration(found) for found in find(Search(Query(kind="admin"), bodies)))
    return any(all(any(form in text for form in forms) for forms in wanted) for text in texts)
