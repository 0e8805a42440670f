"""
Who may answer a request: distinct people of the named groups, never the one it is for.

Somebody who acts for the requester, or for whom the requester acts, has an interest in
the answer and does not count. Neither does a job or an agent: approval is a person's word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.config import IdentityEntry
from gateway.control.errors import NotAllowed
from gateway.control.identity.local import Identities
from gateway.control.store import Value


def check_approver(record: Value, approver: IdentityEntry, find: Callable[[str], IdentityEntry | None]) -> None:
    """
    :raises NotAllowed: this identity's answer does not count; says why.
    """
    requester, person = record["subject"], record["on_behalf_of"]
    if approver.subject == requester:
        raise NotAllowed("you asked for this yourself; somebody else must answer")
    if approver.subject == person:
        raise NotAllowed(f"{requester} asked for this on your behalf; somebody else must answer")
    now = find(requester)
    if now is not None and now.on_behalf_of == approver.subject:
        raise NotAllowed(f"{requester} acts on your behalf; somebody else must answer")
    if approver.kind != "human":
        raise NotAllowed(f"{approver.subject} is no person; requests are answered by people")
    if not approver.groups & set(record["approvers"]):
        raise NotAllowed(f"this is answered by members of {', '.join(record['approvers'])}; you are in none of them")


def check_answerable(identities: Identities, requester: IdentityEntry, groups: frozenset[str], quorum: int) -> None:
    """
    :raises NotAllowed: there are not enough people who may answer, so waiting would be for nothing.
    """
    interested = {requester.subject, requester.on_behalf_of}
    able = [person for person in identities.people(groups) if person.subject not in interested]
    if len(able) < quorum:
        raise NotAllowed(
            f"this needs {quorum} of {', '.join(sorted(groups))}, and only {len(able)} could answer; "
            "add people to the group in ostiary.toml or with `ostiary identity add`"
        )


def counting(record: Value, approvers: Collection[str], live: Callable[[str], IdentityEntry | None]) -> list[str]:
    """
    Those who said yes and could say it now. Whom somebody revoked, or took out of the groups, said it for nothing.

    :param approvers: the groups that are to answer: the request's own, or a rule's where its asker chose whom to ask.
    :param live: who may come in.
    """
    return [answer["who"] for answer in record["answers"] if answer["yes"] and _counts(record, approvers, answer["who"], live)]


def _counts(record: Value, approvers: Collection[str], who: str, live: Callable[[str], IdentityEntry | None]) -> bool:
    entry = live(who)
    try:
        if entry is not None:
            check_approver(record | {"approvers": approvers}, entry, live)
    except NotAllowed:
        return False
    return entry is not None


def satisfies(record: Value, asked: Value, live: Callable[[str], IdentityEntry | None]) -> bool:
    """Whether those who said yes are, today still, as many as a rule wants, of those whom it wants: `asked` has its quorum and approvers."""
    return len(counting(record, asked["approvers"], live)) >= asked["quorum"]


def too_late(record: Value) -> str:
    """Why there is nothing left to answer."""
    name, state = record["id"], record["state"]
    who = ", ".join(said["who"] for said in record["answers"])
    if state in ("granting", "granted", "released", "spent"):
        return f"{name} was approved already, by {who}"
    if state == "denied":
        return f"{name} was denied already, by {who}"
    if state == "withdrawn":
        return f"{name} was withdrawn: {record['reason'] or 'nobody waits for it any more'}; nothing will run"
    return f"{name} has expired; nothing will run. The requester may send the command again."
