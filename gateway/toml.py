"""
`ostiary.toml` to a `Config`, or to every problem that it has: key path, what is wrong, how to mend it.

Beyond types it looks at what would only be noticed later: files that are missing or open
to others, names used twice, addons that do not build, settings that contradict each other.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import stat
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from os.path import isdir, isfile  # false where a path cannot even be one
from pathlib import Path
from typing import Any

from gateway import whereabouts
from gateway.config import MASKING, Audit, Config, TargetEntry
from gateway.entries import UNPINNED, addons, identities, listens, spot, ssh, targets
from gateway.notary import keys
from gateway.notary.note import NoteError
from gateway.section import UNKNOWN, Problem, Problems, Section
from gateway.tls import ServerTls, TlsProblem

MOST_WORKERS = 64


class WrongConfig(Exception):
    """
    A configuration that cannot be used. Its text is for people, one line per problem.

    :ivar problems: each by key path.
    """

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems)


def load(path: Path, *, vetted: bool = False, unpinned: bool = False) -> Config:
    """
    Read a configuration file; as `parse`.

    :raises WrongConfig: with all of its problems.
    """
    return parse(_bytes(path), path.resolve(), vetted=vetted, unpinned=unpinned)


def parse(text: bytes, file: Path, *, vetted: bool = False, unpinned: bool = False) -> Config:
    """
    What was read from `file`, an absolute path.

    :param vetted: another process of ours has built these addons already and found them right. Who needs them
        builds its own and refuses what does not build; who does not, loads none of their code.
    :param unpinned: targets of SSH may be without host keys. Nobody can be let in to one; its key can be looked at.
    :raises WrongConfig: with all of its problems.
    """
    config, problems = _read(text, file, vetted)
    if unpinned:
        problems = [problem for problem in problems if problem.wrong != UNPINNED]
    if problems:
        raise _wrong(file, problems)
    return config


def glance(path: Path, needed: Collection[str]) -> tuple[Config, list[Problem]]:
    """
    A file of which only some is needed, and what is wrong elsewhere in it: there the configuration has stand-ins. No addon is loaded,
    and targets of SSH may be without host keys.

    :param needed: key paths, such as "gateway.state"; what is below them too.
    :raises WrongConfig: with what is wrong with those, and with the file itself.
    """
    config, problems = _read(_bytes(path), path.resolve(), vetted=True)
    problems = [problem for problem in problems if problem.wrong != UNPINNED]
    wrong = [problem for problem in problems if _concerns(problem, needed)]
    if wrong:
        raise _wrong(path.resolve(), wrong)
    return config, problems


def _concerns(problem: Problem, needed: Collection[str]) -> bool:
    """A key that means nothing may be one of these, misspelt: what stands there would be missed."""
    key = re.sub(r"\[\d+\]", "", problem.key)
    if not key or any(f"{key}.".startswith(f"{one}.") or f"{one}.".startswith(f"{key}.") for one in needed):
        return True
    table, _, last = key.rpartition(".")
    words = {one.removeprefix(f"{table}." if table else "").partition(".")[0] for one in needed if not table or one.startswith(f"{table}.")}
    return problem.wrong == UNKNOWN and bool(difflib.get_close_matches(last, words, 1))


def _bytes(path: Path) -> bytes:
    """
    :raises WrongConfig: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        problem = Problem("", (error.strerror or "cannot be read").lower(), "give --config, set OSTIARY_CONFIG, or make one with `ostiary init`")
        raise _wrong(path, [problem]) from None


def _read(text: bytes, file: Path, vetted: bool) -> tuple[Config, list[Problem]]:
    """A file's values, and all that is wrong with it, where it is: what is wrong has stand-ins."""
    problems: Problems = []
    try:
        values = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(file, [_no_toml(error, text)]) from None
    whole = Section(values, "", file.parent, problems)
    config = _config(whole, file, text, vetted)
    whole.end()
    _file_mode(file, problems)
    return config, placed(problems, values, text)


_AT = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
"""Where `tomllib` says that it stopped."""


def _no_toml(error: tomllib.TOMLDecodeError | UnicodeDecodeError, text: bytes) -> Problem:
    """Where a text ceases to be TOML, by its line."""
    if isinstance(error, UnicodeDecodeError):
        before = text[: error.start].split(b"\n")
        return Problem("", f"not TOML: byte {len(before[-1]) + 1} of this line is no UTF-8", "save it as UTF-8", len(before))
    at = _AT.search(str(error))
    said = _AT.sub(f" (column {at['column']})" if at and at["column"] else "", str(error))
    line = int(at["line"]) if at and at["line"] else len(text.splitlines()) or 1
    return Problem("", f"not TOML: {said}", "correct it there, or above it", line)


def _config(whole: Section, file: Path, text: bytes, vetted: bool) -> Config:
    gateway, tls, control = whole.section("gateway"), whole.section("tls"), whole.section("control")
    name = gateway.text("name", name=True)
    state = gateway.directory("state", "state")
    _check_state(gateway, state)
    _check_log(gateway, name, state)
    workers, drain = _workers(gateway), gateway.number("drain", 30.0, 0.0, 3600.0)
    made = "make one with `ostiary init`, or correct the path"
    spool, spool_bytes = _spool(gateway, state)
    certificate, key = tls.file("certificate", mend=made), tls.file("key", private=True, mend=made)
    _check_pair(tls, certificate, key)
    audit = _audit(whole.section("audit"), state)
    control_listen = control.text("listen", "tcp:8443:interface=127.0.0.1")
    spots: dict[str, str] = {}
    spot(control, "listen", control_listen, spots)
    who, places, doors, opinions = identities(whole), targets(whole), listens(whole, spots, state), addons(whole)
    if not vetted:
        from gateway import vetting  # with all that addons load

        vetting.vet(opinions, {door.protocol for door in doors}, _named(places, whole))
    authorities, second, device = ssh(whole)
    config = Config(
        file=file, name=name, state=state, workers=workers, drain=drain, certificate=certificate, key=key, audit=audit,
        control_listen=control_listen, listens=doors, targets=places, identities=who,
        addons=tuple(entry for _, entry in opinions), spool=spool, spool_bytes=spool_bytes,
        user_ca=authorities, second_step=second, device=device, digest=hashlib.sha256(text).digest(), text=text,
    )
    _check_floors(whole, config)
    for section in (gateway, tls, control):
        section.end()
    return config


def _check_floors(whole: Section, config: Config) -> None:
    """A floor holds what is masked; where nothing is, it would look configured and be nowhere."""
    floored = [entry.name for entry in config.targets.values() if any(account.floor for account in entry.accounts)]
    if floored and not any(entry.use == MASKING for entry in config.addons):
        mend = f'add [[addon]] with use = "{MASKING}", or take `floor` out'
        whole.wrong("target", f"an account of {floored[0]!r} has a floor, and no addon masks anything", mend)


_NAMING = re.compile(r"target(\[\d+\])?|target\[\d+\](\.account(\[\d+\])?)?\.(name|account|database|databases(\[\d+\])?)")
"""Keys that say what a target, its databases or its accounts are called."""


def _named(places: Mapping[str, TargetEntry], whole: Section) -> dict[str, set[str]]:
    """What addons' rules may be about; anything, while there is no target that a rule could miss, or one whose names are wrong."""
    if not places or whole.misnamed(_NAMING):
        return {}
    return {
        "targets": set(places),
        "databases": {database for entry in places.values() for database in entry.databases},
        "accounts": {account.name for entry in places.values() for account in entry.accounts},
    }


def _audit(section: Section, state: Path) -> Audit:
    directory = section.directory("directory", str(state / "audit"))
    anchor = section.directory("anchor_file", "") if section.has("anchor_file") else None
    if anchor is not None and anchor.is_relative_to(directory):
        mend = "put it elsewhere, best on another machine's disk: whoever changes the store could change it too"
        section.wrong("anchor_file", "the anchor lies in the store that it is to prove", mend)
    audit = Audit(
        directory, section.number("timeout", 2.0, 0.05, 60.0), section.integer("segment_records", 65536, 16, 1 << 24),
        section.integer("segment_bytes", 64 << 20, 1 << 20, 1 << 34),
        section.number("segment_seconds", 3600.0, 1.0, 31 * 86400.0), anchor,
    )
    section.end()
    return audit


def _workers(gateway: Section) -> int | str:
    if gateway.rest().get("workers") == "inline":
        return gateway.text("workers")
    if isinstance(gateway.rest().get("workers"), str):
        gateway.text("workers")
        gateway.wrong("workers", "is neither a number nor \"inline\"", 'write for example 2, or "inline" for one process')
        return 1
    return gateway.integer("workers", 2, 1, MOST_WORKERS)


def _spool(gateway: Section, state: Path) -> tuple[Path, int]:
    directory = gateway.directory("spool", str(state / "spool"))
    if isdir(state) and not isdir(directory.parent):
        gateway.wrong("spool", f"there is no directory {directory.parent}", "make it, or leave `spool` out: then it is in `state`")
    return directory, gateway.integer("spool_bytes", 1 << 30, 1 << 20, 1 << 44)


def _check_state(gateway: Section, state: Path) -> None:
    if not isdir(state):
        gateway.wrong("state", f"there is no directory {state}", "make it with `ostiary init`, or correct the path")
    elif stat.S_IMODE(state.stat().st_mode) & 0o022:
        gateway.wrong("state", f"others can write {state}, which holds keys", f"run: chmod 700 {state}")


def _check_log(gateway: Section, name: str, state: Path) -> None:
    """The log was begun under a name that its key signs with: under another one nothing could be recorded."""
    try:
        begun = keys.load_public(state).name
    except (keys.KeyFileError, NoteError, UnicodeDecodeError):  # there is no log yet, or the notary says what is wrong with it
        return
    if begun != name:
        mend = f'put back name = "{begun}"; another name takes another log: `ostiary init DIR --name {name}` makes one'
        gateway.wrong("name", f"{name!r} is not {begun!r}, the name that {state / keys.FOLDER / keys.PUBLIC} signs the log under", mend)


def _check_pair(tls: Section, certificate: Path, key: Path) -> None:
    if not (isfile(certificate) and isfile(key)):
        return
    try:
        ServerTls(certificate, key)
    except (TlsProblem, OSError, ValueError):
        mend = "give the certificate (PEM, its chain below it) and the key that it was made with"
        tls.wrong("key", f"{certificate} and {key} are not a certificate and its key", mend)


def _file_mode(file: Path, problems: Problems) -> None:
    try:
        mode = file.stat().st_mode
    except OSError:  # read a moment ago, and what was read is what counts
        return
    if stat.S_IMODE(mode) & 0o022:
        problems.append(Problem("", "others can write this file, and it decides who may do what", f"run: chmod go-w {file}"))


def within(config: Config, problems: Iterable[Problem]) -> list[Problem]:
    """Of a file that is right: as `placed`."""
    return placed(list(problems), tomllib.loads(config.text.decode()), config.text)


def placed(problems: Problems, values: Mapping[str, Any], text: bytes) -> list[Problem]:
    """With lines and names, in the order of the file; what is about all of it comes first."""
    known = whereabouts.lines(text.decode())
    found = [
        replace(one, line=whereabouts.line(known, one.key), names=whereabouts.names(values, one.key)) if one.key else one for one in problems
    ]
    return sorted(found, key=lambda one: one.line or 0)


def _wrong(file: Path, problems: Sequence[Problem]) -> WrongConfig:
    return WrongConfig("\n".join(told(file, problem) for problem in problems), problems)


def told(file: Path, problem: Problem) -> str:
    """A line for people."""
    return f"{file}{f':{problem.line}' if problem.line else ''}: {problem}"
