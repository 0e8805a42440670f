"""
A floor as SQL for a person to review and run: masked views, a role without masked columns, and what differs on the server now.

The role gets what the account has, but for masked columns; nothing is granted on what will be made later, since nobody has
said yet what of it is masked. Running it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from addons.masking.cover import Cover
from addons.masking.declared import declarations
from addons.masking.floor import OWNER, View, grounded, views
from addons.masking.strategies import VIEWS, quoted
from addons.sql.calls import Calls
from gateway.control.standing import Held, Standing
from gateway.floor import literal

_WRITES = ("INSERT", "UPDATE", "DELETE")
_FLAGS = ("SUPERUSER", "CREATEROLE", "CREATEDB", "REPLICATION", "BYPASSRLS")
_LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries", "shared_preload_libraries"}
)
"""Settings whose stored values are lists with their own quotes (GUC_LIST_QUOTE)."""


@dataclass(frozen=True)
class Plan:
    """
    One floor.

    :ivar account: the role whose rights it mirrors; `floor` the role itself; `others` the roles that keep what PUBLIC loses.
    :ivar functions: "schema.function" names that masking vouches for. :ivar named: the floor's target and account in ostiary.toml.
    """

    standing: Standing
    cover: Cover
    account: str
    floor: str
    others: tuple[str, ...]
    functions: frozenset[str]
    named: tuple[str, str]

    # what differs

    def differences(self) -> list[str]:
        """What the script would change on the server, one line each; none when the floor stands as it should."""
        parts = (self._role_differs(), self._views_differ(), self._schemas_differ(), self._rights_differ(), self._routines_differ(),
                 self._settings_differ())  # fmt: skip
        found = [line for part in parts for line in part]
        found += [f"PUBLIC has {', '.join(sorted(h.public))} on {_label(h)}" for h in self._public()]
        return found + [f"{role} gives new tables to {to or 'PUBLIC'} by default" for role, _schema, to in self.standing.future]

    def _role_differs(self) -> Iterator[str]:
        for role in (self.floor, OWNER):
            if role not in self.standing.roles:
                yield f"there is no role {role}"
            yield from (f"{role} is {flag}" for flag in self._flags(role))
            yield from (f"{role} is a member of {group}" for group in self._groups(role))

    def _views_differ(self) -> Iterator[str]:
        there, expected = {row[0]: row for row in self.standing.views}, {view.name for view in views(self.cover)}
        for view in views(self.cover):
            _name, owner, reads = there.get(view.name, ("", "", ""))
            if owner != OWNER:
                yield f"there is no view of {view.relation.label} as it is to be masked" if not owner else f'the view "{view.name}" belongs to {owner}'
            elif self._shown(view) != (reads == "t"):
                yield f'{self.floor} {"cannot" if reads != "t" else "can"} read the view "{view.name}"'
        yield from (f'the view "{name}" is of an older configuration' for name in there if name not in expected)

    def _schemas_differ(self) -> Iterator[str]:
        for name, account, floor, creates, _public in self.standing.schemas:
            if account == "t" and floor != "t" and name != VIEWS:
                yield f"{self.floor} lacks USAGE on schema {name}"
            if creates == "t":
                yield f"{self.floor} may create in schema {name}"

    def _rights_differ(self) -> Iterator[str]:
        for held in self._mine():
            wanted = self._wanted(held)
            lacks, more = sorted(wanted - held.floor), sorted(held.floor - wanted)
            if lacks:
                yield f"{self.floor} lacks {', '.join(lacks)} on {_label(held)}"
            if more:
                yield f"{self.floor} has {', '.join(more)} on {_label(held)}"

    def _routines_differ(self) -> Iterator[str]:
        for signature, name, definer, account, floor, _public in self.standing.routines:
            if floor == "t" and definer == "t" and name not in self.functions:
                yield f"{self.floor} runs {signature}, which is SECURITY DEFINER and not among masking's `functions`"
            elif floor != "t" and account == "t" and (definer != "t" or name in self.functions):
                yield f"{self.floor} cannot run {signature}"

    def _settings_differ(self) -> Iterator[str]:
        yield from (f"{self.floor} has not the setting {line.partition('=')[0]} of {self.account}" for _here, line in self._unset())

    # the script

    def script(self) -> str:
        """All of it, in one transaction."""
        parts = (self._head(), self._roles(), self._views(), self._grants(), self._public_loses(), self._routines(), self._tail())
        return "\n".join(line for part in parts for line in part) + "\n"

    def _head(self) -> Iterator[str]:
        yield f"-- Ostiary's floor in database {_comment(self.standing.database)}: role {_comment(self.floor)} may do what {_comment(self.account)} may,"
        yield "-- but cannot read or write a masked column. Review it, and run it there as a superuser; running it again changes nothing."
        yield "BEGIN;"
        yield "SET LOCAL search_path TO '';"

    def _roles(self) -> Iterator[str]:
        yield f"\n-- Roles. {OWNER} owns the masked views and alone reads what is below them; nobody logs in as it."
        for role, login in ((OWNER, "NOLOGIN"), (self.floor, "LOGIN")):
            made = f"CREATE ROLE {quoted(role)} {login} NOINHERIT;"
            asked = f"IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {literal(role)}) THEN"
            yield f"DO LANGUAGE plpgsql {literal(f'BEGIN {asked} {made} END IF; END')};"
            yield from (f"ALTER ROLE {quoted(role)} NO{flag};" for flag in self._flags(role) if flag != "LOGIN")
            if role == OWNER and "LOGIN" in self._flags(role):
                yield f"ALTER ROLE {quoted(role)} NOLOGIN;"
            yield from (f"REVOKE {quoted(group)} FROM {quoted(role)};" for group in self._groups(role))
        yield f"GRANT CONNECT ON DATABASE {quoted(self.standing.database)} TO {quoted(self.floor)};"
        for here, line in self._unset():
            name, _, value = line.partition("=")
            where = f" IN DATABASE {quoted(self.standing.database)}" if here else ""
            yield f"ALTER ROLE {quoted(self.floor)}{where} SET {quoted(name)} TO {value if name in _LISTS else literal(value)};"

    def _views(self) -> Iterator[str]:
        yield "\n-- Masked views. A name ends in a digest of what the view shows: masked otherwise, it has another name."
        yield f"CREATE SCHEMA IF NOT EXISTS {quoted(VIEWS)} AUTHORIZATION {quoted(OWNER)};"
        yield f"GRANT USAGE ON SCHEMA {quoted(VIEWS)} TO {quoted(self.floor)};"
        expected = set()
        for view in views(self.cover):
            expected.add(view.name)
            yield from self._view(view)
        for name, _owner, _reads in self.standing.views:
            if name not in expected:
                yield f"DROP VIEW {_view(name or '')};  -- of an older configuration: its sessions' statements fail until the gateway is reloaded"

    def _view(self, view: View) -> Iterator[str]:
        relation, name = view.relation, _view(view.name)
        masked = self.cover.relations[relation.oid].values()
        told = ", ".join(f"{m.column.name} ({m.strategy.kind})" for m in masked)
        yield f"\n-- {_comment(relation.label)}{' without its children' if view.only else ''}: {_comment(told)}"
        if any(held.oid == relation.oid and held.secured for held in self.standing.relations):
            yield f"-- It has row security: a policy must name {OWNER}, or the view shows no row."
        yield f"GRANT SELECT ON TABLE {_qualified(relation.schema, relation.name)} TO {quoted(OWNER)};"
        yield f"CREATE OR REPLACE VIEW {name} AS {view.text};"
        yield f"ALTER VIEW {name} OWNER TO {quoted(OWNER)};"
        yield f"{'GRANT SELECT' if self._shown(view) else 'REVOKE ALL'} ON TABLE {name} {'TO' if self._shown(view) else 'FROM'} {quoted(self.floor)};"

    def _grants(self) -> Iterator[str]:
        yield f"\n-- What {_comment(self.account)} may do, but for masked columns. Tables that are made later: run this again."
        for name, account, _floor, creates, _public in self.standing.schemas:
            if account == "t" and name != VIEWS:
                yield f"GRANT USAGE ON SCHEMA {quoted(name)} TO {quoted(self.floor)};"
            if creates == "t":
                yield f"REVOKE CREATE ON SCHEMA {quoted(name)} FROM {quoted(self.floor)};"
        for held in self._mine():
            wanted = self._wanted(held)
            if held.floor - wanted:
                yield f"REVOKE ALL ON {_object(held)} FROM {quoted(self.floor)};"
            if held.foreign and held.rights & set(_WRITES):
                yield f"-- {_comment(_label(held))}: not to be written, since its rules or triggers run with others' rights."
            if wanted:
                yield f"GRANT {_privileges(wanted)} ON {_object(held)} TO {quoted(self.floor)};"

    def _public_loses(self) -> Iterator[str]:
        public, future = self._public(), self.standing.future
        open_to_all = [row[0] or "" for row in self.standing.schemas if row[4] == "t"]
        if public or future or open_to_all:
            yield "\n-- What everybody has, the floor has too. These change the rights of others: the accounts of this target keep theirs."
        for schema in open_to_all:
            yield "-- Who may create in a schema on somebody's search_path can have them run what it made there."
            yield f"REVOKE CREATE ON SCHEMA {quoted(schema)} FROM PUBLIC;"
            yield from (f"GRANT CREATE ON SCHEMA {quoted(schema)} TO {quoted(role)};" for role in self.others)
        for held in public:
            yield f"REVOKE ALL ON {_object(held)} FROM PUBLIC;"
            yield from (f"GRANT {_privileges(held.public)} ON {_object(held)} TO {quoted(role)};" for role in self.others)
        for role, schema, to in future:
            place = f" IN SCHEMA {quoted(schema)}" if schema else ""
            yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(role or '')}{place} REVOKE ALL ON TABLES FROM {quoted(to) if to else 'PUBLIC'};"

    def _routines(self) -> Iterator[str]:
        lines = list(self._routine_lines())
        if lines:
            yield "\n-- Functions. SECURITY DEFINER ones run with their owners' rights, so only those among masking's `functions` are left to it."
        yield from lines

    def _routine_lines(self) -> Iterator[str]:
        for signature, name, definer, account, floor, public in self.standing.routines:
            trusted = definer != "t" or name in self.functions
            if trusted and account == "t" and floor != "t":
                yield f"GRANT EXECUTE ON ROUTINE {signature} TO {quoted(self.floor)};"
            if not trusted and floor == "t":
                yield f"REVOKE EXECUTE ON ROUTINE {signature} FROM {quoted(self.floor)};"
            if not trusted and public == "t":
                yield f"REVOKE EXECUTE ON ROUTINE {signature} FROM PUBLIC;"
                yield from (f"GRANT EXECUTE ON ROUTINE {signature} TO {quoted(role)};" for role in self.others)

    def _tail(self) -> Iterator[str]:
        yield "\nCOMMIT;"
        target, name = map(_comment, self.named)
        yield f"-- Then give {_comment(self.floor)} a password (\\password in psql), and the gateway too: ostiary account secret {target} {name}"

    # what is wanted

    def _mine(self) -> Iterator[Held]:
        return (held for held in self.standing.relations if held.schema != VIEWS)

    def _wanted(self, held: Held) -> frozenset[str]:
        """What the floor is to have on a relation: words of GRANT, with a column where it is not all of them."""
        if held.kind == "S":
            return held.rights & {"USAGE", "SELECT", "UPDATE"}
        if held.oid in self.cover.answering:
            return frozenset()
        rights = held.rights & ({"SELECT"} if held.foreign or held.kind == "m" else {"SELECT", *_WRITES})
        masked = self.cover.relations.get(held.oid)
        if masked is None:
            return rights
        clean = [c.name for c in self.cover.snapshot.relations[held.oid].columns if c.name not in masked]
        return (rights & {"DELETE"}) | {f"{right} {column}" for right in rights - {"DELETE"} for column in clean}

    def _shown(self, view: View) -> bool:
        """Whether the account reads what the view stands for."""
        return any(held.oid == view.relation.oid and "SELECT" in held.rights for held in self.standing.relations)

    def _public(self) -> list[Held]:
        masked = {relation.oid for relation in grounded(self.cover)} | self.cover.answering
        written = {"INSERT", "UPDATE", "DELETE", "TRUNCATE"}
        return [h for h in self._mine() if h.public and (h.oid in masked or h.foreign and {w.split()[0] for w in h.public} & written)]

    def _flags(self, role: str) -> list[str]:
        """What the role is and must not be; LOGIN for the owner of the views."""
        row = self.standing.roles.get(role)
        found = [flag for flag, has in zip(_FLAGS, row[1:6], strict=True) if has == "t"] if row else []
        return found + (["LOGIN"] if row and role == OWNER and row[6] == "t" else [])

    def _groups(self, role: str) -> list[str]:
        row = self.standing.roles.get(role)
        return [name for name in (row[7] or "").split("\n") if name] if row else []

    def _unset(self) -> list[tuple[bool, str]]:
        """Settings of the account's role that the floor's has not."""
        lines = {role: {(here == "t", line or "") for name, here, line in self.standing.settings if name == role} for role in (self.account, self.floor)}
        return sorted(lines[self.account] - lines[self.floor])


def plan(
    standing: Standing, columns: Sequence[Mapping[str, Any]], functions: Collection[str], target: str, account: str, floor: str,
    others: Iterable[str], name: str,
) -> Plan:
    """
    :param name: the floor's in ostiary.toml, whose role is `floor`.
    :param columns: masking's declarations, those for other targets and databases too.
    :raises Misdeclared, ValueError: they do not fit the target.
    """
    here = [one for one in declarations(columns) if one.holds(target, standing.database)]
    listed = frozenset(functions)
    cover = Cover(standing.snapshot, here, Calls(standing.snapshot, listed).opaque, floor=True)
    return Plan(standing, cover, account, floor, tuple(dict.fromkeys(others)), listed, (target, name))


def _privileges(wanted: Iterable[str]) -> str:
    """SELECT (a, b), DELETE from "SELECT a", "SELECT b", "DELETE"."""
    columns: dict[str, list[str]] = {}
    for word in sorted(wanted):
        right, _, column = word.partition(" ")
        columns.setdefault(right, []).extend([column] if column else [])
    return ", ".join(f"{right} ({', '.join(map(quoted, names))})" if names else right for right, names in columns.items())


def _object(held: Held) -> str:
    return f"{'SEQUENCE' if held.kind == 'S' else 'TABLE'} {_qualified(held.schema, held.name)}"


def _view(name: str) -> str:
    return _qualified(VIEWS, name)


def _qualified(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


def _label(held: Held) -> str:
    return f"{held.schema}.{held.name}"


def _comment(text: str) -> str:
    """A name in a comment of one line."""
    return "".join(c if c.isprintable() else "?" for c in text)
