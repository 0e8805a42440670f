"""
What is right and yet may not be what was meant, of `ostiary check` and of every reload: each at its key, as a problem is.

People and secrets are also in control's store. Where that is not known, only the file is spoken of.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from addons.sql.conditions import near
from gateway.config import MASKING, SSH, Config
from gateway.edited import edited
from gateway.lasting import lasting
from gateway.nowhere import OWN, Holdings, nowhere
from gateway.section import Problem
from gateway.toml import within

_NAMING = ("groups", "identities", "approvers", "clear")
"""Keys under which rules of any addon name people."""

_GROUPS = ("groups", "clear")
"""Those of them that name groups, whose members something is allowed or refused."""

_SPELT = (("programs",), ("relations", "relation"))
"""Keys under which rules of any addon name the same things, which nothing else in the file names."""

SHORTEST = 4  # letters of a name that may be another one, misspelt; below that most are like another

_SECRETS = {"password": "password", "key": "key"}
"""What an account with this `auth` logs in with, in words."""


@dataclass(frozen=True, slots=True)
class Known:
    """
    :ivar people: of each identity its kind and its groups. :ivar store: whether control's are among them.
    :ivar secrets: (target, account) of those entered; None where control was not asked.
    """

    people: Mapping[str, tuple[str, frozenset[str]]]
    store: bool
    secrets: frozenset[tuple[str, str]] | None

    @classmethod
    def of(cls, config: Config, added: Sequence[Mapping[str, Any]] | None, secrets: Sequence[Mapping[str, Any]] | None) -> Known:
        """By what control lists of its identities and secrets; None where it was not asked."""
        people = {one["subject"]: (one["kind"], frozenset(one["groups"])) for one in added or () if one["from"] == "store"}
        people |= {subject: (entry.kind, entry.groups) for subject, entry in config.identities.items()}
        entered = None if secrets is None else frozenset((one["target"], one["account"]) for one in secrets)
        return cls(people, added is not None, entered)

    @property
    def here(self) -> str:
        return "" if self.store else " in this file"

    @property
    def groups(self) -> frozenset[str]:
        return frozenset(group for _, groups in self.people.values() for group in groups)


def warnings(
    config: Config, known: Known, seen: Mapping[str, Holdings] = MappingProxyType({}), began: float = math.inf, runs: Config | None = None,
) -> list[Problem]:
    """
    All of them, in the file's order.

    :param seen: by target, of those whose catalog was read. :param began: when the gateway did, in seconds of the epoch.
    :param runs: what the gateway runs with, where that may be another configuration.
    """
    named = list(_named(config))
    found = [
        *_strangers(named, known), *_shared(config), *_lonely(named, known), *_unanswered(config), *_unruled(config), *_closed(config, known),
        *_misspelt(config), *nowhere(config, seen), *edited(config, began),
        *(lasting(runs, config) if runs is not None else ()),
    ]
    return within(config, found)


def for_programs(found: Sequence[Problem]) -> list[dict[str, Any]]:
    """Problems or warnings for programs."""
    return [{"line": p.line, "in": list(p.names), "key": p.key, "wrong": p.wrong, "mend": p.mend} for p in found]


def for_people(file: Path, told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Of what `for_programs` gave, a line each: warnings of that file."""
    for one in told:
        shown = Problem(one["key"], one["wrong"], one["mend"], one["line"], tuple(one["in"]))
        yield f"{file}{f':{shown.line}' if shown.line else ''}: warning: {shown}"


def in_words(file: Path, found: Mapping[str, Any], now: bool = True) -> Iterator[str]:
    """A line each of what `gateway.control.looks` found of that file, in force now or not; the worst first."""
    refuses = "NOW REFUSES" if now else "WOULD REFUSE"
    for name, wrong in found["refusing"].items():
        yield from (f"{name} {refuses} EVERYBODY who sees a column masked (OST-520): {why}" for why in wrong)
    for name in found["not_looked_at"]:
        why = f"ostiary target check {name} says why" + ("" if now else ", unless the file changes that target: a reload looks at it then")
        yield f"{name}: whether it has the columns that masking names was not seen; {why}"
    yield from for_people(file, found["warnings"])


def _named(config: Config) -> Iterator[tuple[str, str, str]]:
    """Where people are named: key path, key, name."""
    for index, addon in enumerate(config.addons):
        yield from _inside(addon.options, f"addon[{index}]", _NAMING)
    yield from (("ssh.second_step.groups", "groups", group) for group in sorted(config.second_step.groups))


def _inside(value: Any, at: str, keys: Collection[str]) -> Iterator[tuple[str, str, str]]:
    """The same of what is under one of these keys."""
    if isinstance(value, Mapping):
        for key, inside in value.items():
            if key in keys:
                names = inside if isinstance(inside, list | tuple) else [inside]
                yield from ((f"{at}.{key}", key, name) for name in names if isinstance(name, str))
            yield from _inside(inside, f"{at}.{key}", keys)
    elif isinstance(value, list | tuple):
        for index, inside in enumerate(value):
            yield from _inside(inside, f"{at}[{index}]", keys)


def _strangers(named: Collection[tuple[str, str, str]], known: Known) -> Iterator[Problem]:
    """A rule for whom nobody is: what it refuses is let through, and whom it lets in stays out."""
    for at, key, name in named:
        if key in _GROUPS and name not in known.groups:
            mend = "correct it, or give somebody that group here or with `ostiary identity add`"
            yield Problem(at, f"nobody{known.here} has the group {name!r}{near(name, known.groups)}", mend)
        elif key == "identities" and name not in known.people:
            mend = "correct it, or add it here or with `ostiary identity add`"
            yield Problem(at, f"there is no identity {name!r}{known.here}{near(name, known.people)}", mend)


def _shared(config: Config) -> Iterator[Problem]:
    """Who holds a key may be any of those that it is of, and two people of one key are one."""
    first: dict[bytes, str] = {}
    for index, (subject, entry) in enumerate(config.identities.items()):
        for key in entry.ssh_keys:
            if first.setdefault(key, subject) != subject:
                yield Problem(
                    f"identity[{index}].ssh_keys", f"{first[key]} has the same key, so whoever holds it is both, and approves what the other one asks for",
                    "give each their own",
                )  # fmt: skip


def _lonely(named: Collection[tuple[str, str, str]], known: Known) -> Iterator[Problem]:
    """Groups that are asked for approval and have too few people; each is said once."""
    first = {name: at for at, key, name in reversed(named) if key == "approvers"}
    mend = "add people to it here or with `ostiary identity add`"
    for group, at in first.items():
        able = [subject for subject, (kind, groups) in known.people.items() if kind == "human" and group in groups]
        if not able:
            yield Problem(at, f"nobody{known.here} is in {group}, which approves{near(group, known.groups - {group})}", mend)
        elif len(able) == 1:
            yield Problem(at, f"only {able[0]} is in {group}, which approves, and nobody approves their own", mend)


def _unanswered(config: Config) -> Iterator[Problem]:
    """Look-ups that masking permits where a floor refuses them."""
    columns = [one for addon in config.addons if addon.use == MASKING for one in addon.options.get("columns", ())]
    for index, entry in enumerate(config.targets.values()):
        floored = [account.name for account in entry.accounts if account.floor]
        sought = [
            f"{one['relation']}.{one['column']}" for one in columns
            if one.get("lookup") and entry.name in (one.get("targets") or [entry.name])
            and (not one.get("databases") or set(one["databases"]) & set(entry.databases))
        ]
        if floored and sought:
            yield Problem(
                f"target[{index}]",
                f"target {entry.name} has a floor for {', '.join(floored)}, where nothing is looked up by a masked column: `lookup` of "
                f"{', '.join(sought)} serves only sessions without a floor", "whoever looks up needs an account without one",
            )


def _unruled(config: Config) -> Iterator[Problem]:
    """Hosts of which nothing decides what may be asked; said once. A site's own addon may, which only it knows."""
    hosts = [(index, entry.name) for index, entry in enumerate(config.targets.values()) if entry.protocol == "ssh"]
    if hosts and not any(addon.use == SSH or not addon.use.startswith(OWN) for addon in config.addons):
        names = ", ".join(name for _, name in hosts)
        yield Problem(
            f"target[{hosts[0][0]}]", f"no addon decides what may be asked of {names}: whoever may log in may run anything, copy files and forward ports",
            f'add an [[addon]] with use = "{SSH}" and a `default`, as docs/ssh-policy.md shows',
        )


def _misspelt(config: Config) -> Iterator[Problem]:
    """
    Programs and relations that the file itself names otherwise elsewhere; the rarer of the two, or the later. Nobody knows which
    there are, so one that is named only once is believed.
    """
    for keys in _SPELT:
        found = [one for index, addon in enumerate(config.addons) for one in _inside(addon.options, f"addon[{index}]", keys)]
        times = Counter(name for _, _, name in found)
        first = {name: at for at, _, name in reversed(found)}
        ranked = sorted(times, key=lambda name: -times[name])  # stable: of the same rank, the earlier
        for place, name in enumerate(ranked):
            for other in (one for one in ranked[:place] if slipped(name, one)):
                said = f"{name!r} is written {other!r} elsewhere in this file, at {first[other]}"
                yield Problem(first[name], said, "correct whichever is wrong, if the same is meant")


def slipped(one: str, other: str) -> bool:
    """
    Whether the one may be the other, typed by slipping fingers: two letters changed places, or one within is left out or too many.
    One that begins or ends otherwise, or differs in a letter or number, is mostly another name: mount and umount, order and orders.
    """
    (where, _, one), (there, _, other) = one.rpartition("."), other.rpartition(".")
    longer, shorter = sorted((one, other), key=len, reverse=True)
    if where != there or len(shorter) < SHORTEST or one == other:
        return False
    if len(longer) == len(shorter):
        at = next(n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        return one[:at] + one[at : at + 2][::-1] + one[at + 2 :] == other
    return any(longer[:n] + longer[n + 1 :] == shorter for n in range(1, len(longer) - 1) if longer[n].isalpha())


def _closed(config: Config, known: Known) -> Iterator[Problem]:
    """Accounts whose every login fails, since nobody has entered what they log in with."""
    for index, entry in enumerate(config.targets.values()):
        for at, account in enumerate(entry.accounts):
            key = f"target[{index}].account[{at}]"
            yield from (Problem(key, why, mend) for why, mend in unentered(known.secrets, entry.name, account.name, account.auth))


def unentered(secrets: Collection[tuple[str, str]] | None, target: str, account: str, auth: str) -> Iterator[tuple[str, str]]:
    """
    What is wrong and its mend, where an account's secret is not among those entered; nothing where it is, or has none.

    :param secrets: (target, account) of each; None if they are not known.
    """
    if auth in _SECRETS and secrets is not None and (target, account) not in secrets:
        why = f"the gateway was not given the {_SECRETS[auth]} of {target}+{account}, so every login to it is refused (OST-604)"
        yield why, f"run: ostiary account secret {target} {account}"
