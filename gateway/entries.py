"""
`[[listen]]`, `[[target]]` and `[[identity]]` to their values, with what contradicts itself refused.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from types import MappingProxyType

from twisted.internet.endpoints import serverFromString

from gateway.config import Account, AddonEntry, Device, IdentityEntry, Listen, SecondStep, TargetEntry
from gateway.device import device
from gateway.listeners import STREAMS
from gateway.section import Section
from gateway.ssh.lines import HOST_KEY_KINDS, HOST_KEYS, NoLine, read
from protocols.recording import Input, Settings
from protocols.selection import WrongForm, select
from protocols.session import KINDS
from protocols.ssh.auth import METHODS

PROTOCOLS = ("postgres", "ssh")
AUTHS = {"postgres": ("password", "certificate", "trust"), "ssh": ("password", "key", "certificate")}
TLS_RULES = ("verify", "encrypt", "off")
SSH_PORT = 22
SUBJECT_LIMIT = 255  # bytes of UTF-8
UNPINNED = "is missing, so any host could say that it is this one"
"""What is wrong with a target of SSH until somebody has looked at it; who looks reads the file all the same."""
LOGINS = {"postgres": ("password", "scram"), "ssh": METHODS}


def spot(section: Section, key: str, endpoint: str, spots: dict[str, str]) -> None:
    """Check an endpoint string, and that nothing else listens there."""
    kind, _, rest = endpoint.partition(":")
    example = "write for example \"tcp:6432:interface=127.0.0.1\""
    if kind not in STREAMS:
        section.wrong(key, f"{endpoint!r} is no plain stream endpoint", f"{example}; TLS is set beside it, not in it")
        return
    if kind == "systemd":  # what it names exists only when systemd starts us
        return
    try:
        serverFromString(None, endpoint)  # parsing needs no reactor, listening would
    except (ValueError, TypeError, KeyError, IndexError) as error:
        section.wrong(key, f"{endpoint!r} is no endpoint: {error}", example)
        return
    port = rest.partition(":")[0].removeprefix("port=")
    if kind in ("tcp", "tcp6") and not (port.isdigit() and int(port) < 65536):
        section.wrong(key, f"there is no port {port}", "use 1 to 65535")
        return
    if port != "0" and endpoint in spots:
        section.wrong(key, f"{spots[endpoint]} listens there already", "use another port")
    spots.setdefault(endpoint, f"{section.path}.{key}")


def addons(whole: Section) -> list[tuple[Section, AddonEntry]]:
    """All `[[addon]]`, in order, each with its section: whether its options are right, its own constructor knows."""
    return [(section, AddonEntry(section.text("use"), section.rest())) for section in whole.sections("addon")]


def listens(whole: Section, spots: dict[str, str], state: Path) -> tuple[Listen, ...]:
    """All `[[listen]]`."""
    found = []
    for section in whole.sections("listen"):
        protocol, endpoint = section.text("protocol", known=PROTOCOLS), section.text("endpoint")
        logins = LOGINS[protocol]
        auth = section.texts("auth", logins, known=logins)
        if protocol == "ssh":
            listen = Listen(protocol, endpoint, "off", auth, _host_key_files(section, state), section.flag("second_step", False))
        else:
            listen = Listen(protocol, endpoint, section.text("tls", "require", known=("require", "optional")), auth)
        if listen.endpoint:
            spot(section, "endpoint", listen.endpoint, spots)
        if not listen.auth:
            section.wrong("auth", "nobody could log in", f"write {json.dumps(logins)}")
        if listen.tls == "optional" and listen.auth == ("password",):
            mend = 'add "scram", or write tls = "require"'
            section.wrong("auth", "without TLS a password is never asked for, so nobody could log in there", mend)
        section.end()
        found.append(listen)
    return tuple(found)


def _host_key_files(section: Section, state: Path) -> tuple[Path, ...]:
    """Those that are named, or those that `ostiary init` made."""
    mend = "make one with: ssh-keygen -t ed25519 -N '' -f FILE"
    if section.has("host_keys"):
        return tuple(section.files("host_keys", private=True, mend=mend))
    files = tuple(state / "ssh" / name for name in HOST_KEYS)
    if not all(file.is_file() for file in files):
        section.wrong("host_keys", f"is missing, and {state / 'ssh'} holds none", f"{mend}, and name it here")
    return files


def targets(whole: Section) -> MappingProxyType[str, TargetEntry]:
    """All `[[target]]` by name."""
    found: dict[str, TargetEntry] = {}
    for section in whole.sections("target"):
        entry = _target(section)
        if entry.name in found:
            section.wrong("name", f"there is another target {entry.name!r}", "give this one another name")
        found.setdefault(entry.name, entry)
        section.end()
    return MappingProxyType(found)


def _target(section: Section) -> TargetEntry:
    name, protocol = section.text("name", name=True), section.text("protocol", known=PROTOCOLS)
    host, port = _address(section)
    if protocol == "ssh":
        return _ssh_target(section, name, host, port)
    database = section.text("database")
    databases = section.texts("databases") or (database,)
    if database and database not in databases:
        section.wrong("database", f"{database!r} is not in databases", "add it there")
    tls = section.text("tls", "verify", known=TLS_RULES)
    tls_name, tls_ca = section.text("tls_name", ""), section.optional_file("tls_ca")
    for key, given in (("tls_name", tls_name), ("tls_ca", tls_ca)):
        if given and tls != "verify":
            section.wrong(key, f'has no effect with tls = "{tls}"', 'write tls = "verify", or take it out')
    return TargetEntry(
        name, protocol, host, port, database, databases, _accounts(section, protocol, tls), section.labels("labels"), tls,
        tls_name or host, tls_ca, section.text("revocation", "lease", known=("lease", "strict")),
        floor=section.text("floor", "require", known=("require", "report")),
    )


def _ssh_target(section: Section, name: str, host: str, port: int) -> TargetEntry:
    keys: list[bytes] = []
    for index, line in enumerate(section.texts("host_keys")):
        try:
            keys.append(read(line, HOST_KEY_KINDS))
        except NoLine as error:
            section.wrong(f"host_keys[{index}]", str(error), "write a line of `ssh-keyscan`, without the host's name")
    authorities = _host_ca(section)
    if not keys and not section.has("host_ca") and not section.troubled("host_keys"):
        scan = f"ssh-keyscan {f'-p {port} ' if port not in (0, SSH_PORT) else ''}-t ed25519 {host or 'HOST'}"
        mend = f"look at its key with `ostiary target trust {name or 'NAME'}` (or `{scan}`), compare it at the host, and write the line here"
        section.wrong("host_keys", UNPINNED, mend)
    return TargetEntry(
        name, "ssh", host, port, "", (), _accounts(section, "ssh", "off"), section.labels("labels"), "off", _host_name(section, host), None,
        section.text("revocation", "lease", known=("lease", "strict")), tuple(keys), recording=_recording(section.section("recording")),
        source_address=_source_address(section), host_ca=authorities,
    )


def _host_ca(section: Section) -> frozenset[bytes]:
    """Whose word is taken for the target's host key."""
    found: set[bytes] = set()
    for index, line in enumerate(section.texts("host_ca")):
        try:
            found.add(read(line.removeprefix("@cert-authority * "), HOST_KEY_KINDS))
        except NoLine as error:
            section.wrong(f"host_ca[{index}]", str(error), "write the .pub line of the key that signs your hosts' keys")
    if section.has("host_ca") and not found and not section.troubled("host_ca"):
        section.wrong("host_ca", "is empty", "name an authority, or take it out")
    return frozenset(found)


def _host_name(section: Section, host: str) -> str:
    """For whom a host's certificate must be."""
    name = section.text("host_name", "")
    if name and not section.has("host_ca"):
        section.wrong("host_name", "has no effect without `host_ca`", "add `host_ca`, or take it out")
    return name or host


def _source_address(section: Section) -> str:
    """Where the gateway comes from, for certificates that are good from nowhere else."""
    written = section.texts("source_address")
    for index, each in enumerate(written):
        try:
            ipaddress.ip_network(each)
        except ValueError:
            section.wrong(f"source_address[{index}]", f"{each!r} is no address or network", 'write for example "10.0.0.7" or "10.0.0.0/24"')
    return ",".join(written)


def ssh(whole: Section) -> tuple[frozenset[bytes], SecondStep, Device | None]:
    """`[ssh]`: whose certificates let people in, besides our own; who has to give a one-time code; where browsers log in."""
    section = whole.section("ssh")
    authorities = _public_keys(section, "user_ca", "write the line of the .pub file of a key that signs certificates")
    step = section.section("second_step")
    second = SecondStep(frozenset(step.texts("kinds", known=KINDS)), frozenset(step.texts("groups")))
    if section.has("second_step") and second == SecondStep() and not section.troubled("second_step"):
        section.wrong("second_step", "names nobody", 'write kinds = ["human"] or groups = ["admins"], or take it out')
    step.end()
    provider = device(section)
    section.end()
    return authorities, second, provider


def _recording(section: Section) -> Settings:
    strict = section.text("terminal", "strict", known=("strict", "buffered")) == "strict"
    full = section.text("channels", "totals", known=("totals", "full")) == "full"
    typed = Input(section.text("input", Input.OFF.value, known=[each.value for each in Input]))
    observers = frozenset(section.texts("observers"))
    section.end()
    return Settings(strict, full, typed, observers)


def _accounts(target: Section, protocol: str, tls: str) -> tuple[Account, ...]:
    found: list[Account] = []
    written = target.sections("account")
    for section in written:
        name, user = section.text("name", name=True), section.text("user")
        auth = section.text("auth", "password", known=AUTHS[protocol])
        if protocol == "ssh":
            account = Account(name, user, auth)
        else:
            account = Account(
                name, user, auth, section.flag("catalog", False), section.optional_file("certificate"),
                section.optional_file("key", private=True), section.text("floor", ""),
            )
        _check_account(section, account, tls if protocol != "ssh" else None, found)
        section.end()
        found.append(account)
    if not found:
        target.wrong("account", "there is none, so nobody could be let in", "add [[target.account]] with name and user")
    for section, account in zip(written, found, strict=True):
        _check_floor(section, account, found)
    return tuple(found)


def _check_account(section: Section, account: Account, tls: str | None, before: list[Account]) -> None:
    if any(other.name == account.name for other in before):
        section.wrong("name", f"there is another account {account.name!r}", "give this one another name")
    if account.catalog and any(other.catalog for other in before):
        section.wrong("catalog", "another account reads the catalog already", "let one of them")
    if tls is None:
        return
    pair = (("certificate", account.certificate), ("key", account.key))
    for key, given in pair:
        if account.auth == "certificate" and given is None:
            section.wrong(key, 'is missing, and auth is "certificate"', "name the file")
        if account.auth != "certificate" and given is not None:
            section.wrong(key, f'has no effect with auth = "{account.auth}"', 'write auth = "certificate", or take it out')
    if account.auth == "certificate" and tls == "off":
        section.wrong("auth", 'a certificate is shown within TLS, and the target has tls = "off"', 'write tls = "verify"')


def _check_floor(section: Section, account: Account, every: list[Account]) -> None:
    """A floor is another account's of the same target, stands for one, and for nothing else."""
    if not account.floor:
        return
    other = next((one for one in every if one.name == account.floor), None)
    if other is None:
        section.wrong("floor", f"there is no account {account.floor!r} here", "add it below [[target.account]], or correct the name")
    elif other is account or other.floor:
        section.wrong("floor", f"{account.floor!r} has a floor itself", "name an account of its own, without `floor`")
    elif other.user in {one.user for one in every if one is not other}:
        section.wrong("floor", f"{account.floor!r} logs in as another account's role", "give it a role of its own as `user`")
    elif other.catalog or other is every[0]:
        section.wrong("floor", f"{account.floor!r} reads the catalog or is the first account", "name an account that does nothing else")
    elif sum(one.floor == account.floor for one in every) > 1:
        section.wrong("floor", "two accounts have the same floor, which can mirror the rights of one", "give each its own")


def _address(section: Section) -> tuple[str, int]:
    address = section.text("address")
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    bracketed = host.startswith("[") and host.endswith("]")
    right = bool(bare) and port.isdigit() and 0 < int(port) < 65536 and bracketed == _is_ipv6(bare)
    if address and not right:
        section.wrong("address", f"{address!r} is no host and port", 'write "host:5432" or "[::1]:5432"')
    return (bare, int(port)) if right else ("", 0)


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return ":" in host


def identities(whole: Section) -> MappingProxyType[str, IdentityEntry]:
    """All `[[identity]]` by subject."""
    found: dict[str, tuple[IdentityEntry, Section]] = {}
    for section in whole.sections("identity"):
        entry = IdentityEntry(
            section.text("subject"), section.text("kind", "human", known=KINDS), frozenset(section.texts("groups")),
            section.text("on_behalf_of", "") or None, _public_keys(section, "ssh_keys", "write the line of a .pub file that ssh-keygen made"),
            section.flag("second_step", False),
        )
        _check_subject(section, entry.subject)
        if entry.subject in found:
            section.wrong("subject", f"{entry.subject!r} is there twice", "take one out")
        section.end()
        found.setdefault(entry.subject, (entry, section))
    for entry, section in found.values():
        _check_person(section, entry, found.get(entry.on_behalf_of or ""))
    return MappingProxyType({subject: entry for subject, (entry, _) in found.items()})


def _public_keys(section: Section, key: str, mend: str) -> frozenset[bytes]:
    found: set[bytes] = set()
    for index, line in enumerate(section.texts(key)):
        try:
            found.add(read(line))
        except NoLine as error:
            section.wrong(f"{key}[{index}]", str(error), mend)
    return frozenset(found)


def _check_subject(section: Section, subject: str) -> None:
    if not subject:
        return
    try:
        right = select(f"{subject}@target").identity == subject
    except WrongForm:
        right = False
    if not right or len(subject.encode()) > SUBJECT_LIMIT:
        section.wrong("subject", f"{subject!r} could not be written in a user name", "use letters, digits and . @ + = ~ - _ only, at most 255 bytes")


def _check_person(section: Section, entry: IdentityEntry, person: tuple[IdentityEntry, Section] | None) -> None:
    if entry.on_behalf_of is None:
        return
    if entry.kind == "human":
        section.wrong("on_behalf_of", "a person acts for nobody else", "take it out, or correct `kind`")
    elif person is None:
        section.wrong("on_behalf_of", f"there is no [[identity]] {entry.on_behalf_of!r}", "add it, or correct the name")
    elif person[0].kind != "human":
        section.wrong("on_behalf_of", f"{entry.on_behalf_of!r} is no person", "name the person behind it")
