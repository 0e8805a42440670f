"""
`ostiary audit`: look at evidence, prove it, hand it out. Looking at text is itself recorded.

Works on a live store (through the notary) and on a stopped one (from its files). Exit codes: 0 sound and
anchored, 1 tampered or something left out (export: nothing matched), 2 incomplete or not independently anchored,
3 usage, 4 unreadable.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click

from gateway.cli.export import export
from gateway.cli.filters import filtered
from gateway.cli.following import Following, Patience, behind
from gateway.cli.health import status
from gateway.cli.looking import Looking, viewed, viewing
from gateway.cli.place import CONFIG, DAMAGED, PATH, STATE, STORE, UNREADABLE, USAGE, Place, find, leave, located, trusted
from gateway.cli.show import record, terminal
from gateway.evidence import bundle, hosts, standalone, values
from gateway.evidence.query import BadQuery, Found, Query, Search
from gateway.evidence.readable import CONFIGURATION, HEADING, clean, counted, printed, table_row
from gateway.evidence.verifier.fault import CODES, ending
from gateway.evidence.view import Damaged, Unreadable, View, open_view
from gateway.notary import anchor, keys
from gateway.notary.note import Checkpoint, NoteError, Verifier
from gateway.notary.record import BadRecord, Kind
from gateway.notary.verify import Report, verify

READ_ENOUGH = 141
"""As shells show SIGPIPE; not 0, which would say sound."""


@contextmanager
def failing() -> Iterator[None]:
    """Turns what can go wrong where evidence is read into the documented exit codes."""
    try:
        yield
    except BadQuery as e:
        leave(USAGE, str(e))
    except click.UsageError as e:
        e.exit_code = USAGE
        raise
    except Damaged as e:
        leave(DAMAGED, str(e))
    except (Unreadable, keys.KeyFileError, bundle.ExportError) as e:
        leave(UNREADABLE, str(e))
    except BadRecord as e:
        leave(DAMAGED, f"a record cannot be read ({e}): run `ostiary audit verify`")
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READ_ENOUGH)
    except OSError as e:
        leave(UNREADABLE, f"{e.filename or ''}: {e.strerror}")


class _Audit(click.Group):
    """All of its commands read evidence."""

    def invoke(self, ctx: click.Context) -> Any:
        with failing():
            return super().invoke(ctx)


@click.group(cls=_Audit)
def audit() -> None:
    """Look at the evidence, prove it, hand it out."""


audit.add_command(status)
audit.add_command(export)


def _print(found: Found, as_json: bool) -> None:
    shown = found.shown()
    record(printed(shown)) if as_json else click.echo(table_row(shown, found.identity, found.protocol, terminal()))


@audit.command()
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="How many records.")
@click.option("-f", "--follow", is_flag=True, help="Go on with new ones as they are recorded, over restarts of the notary too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@filtered
@located
def tail(place: Place, query: Query, lines: int, follow: bool, as_json: bool) -> None:
    """The newest records. Who looked at evidence is shown by --kind admin or viewed alone."""
    patience = Patience(_aside)
    while True:
        try:
            _tail(place, query, lines, follow, as_json, patience)
            return
        except Unreadable as e:
            if not follow or isinstance(e, Damaged):
                raise
            patience.wait(e)


def _tail(place: Place, query: Query, lines: int, follow: bool, as_json: bool, patience: Patience) -> None:
    with viewing(place, "tail", query.described()) as looking:
        patience.over()
        query = looking.meant(query)
        finder = Search(query, looking.bodies)
        newest = deque(_asked(looking.find(finder), query), maxlen=lines)
        _listing(newest, as_json)
        if follow:
            _follow(place, looking, finder, as_json)
        elif not newest:
            _nothing(looking, query)
        looking.finish(finder, as_json)


def _follow(place: Place, looking: Looking, finder: Search, as_json: bool) -> None:
    """New records as a notary tells of them, until interrupted."""

    def show(found: Found) -> None:
        for asked in _asked([found], finder.query):
            _print(asked, as_json)
        sys.stdout.flush()

    def began(view: View) -> None:
        if looking.bodies is not None:
            view.record_viewing("viewed", viewed("tail", finder.query.described()))

    start = looking.upto or behind(looking.view)
    looking.view.close()  # an open one keeps a notary from starting
    Following(place.store, finder, start, show, _aside, began, told=looking.upto is not None).run()


def _aside(what: str) -> None:
    click.echo(f"ostiary: {what}", err=True)


@audit.command("search")
@click.option("--limit", type=click.IntRange(0), default=0, help="At most so many; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@filtered
@located
def search_(place: Place, query: Query, limit: int, as_json: bool) -> None:
    """Records that match every filter, oldest first. Who looked at evidence is shown by --kind admin or viewed alone."""
    with viewing(place, "search", query.described()) as looking:
        query = looking.meant(query)
        finder = Search(query, looking.bodies)
        if not _listing(islice(_asked(looking.find(finder), query), limit or None), as_json):
            _nothing(looking, query)
        if finder.unsearched:
            held = counted(finder.unsearched, "configuration holds it too and is", "configurations hold it too and are")
            click.echo(f"{held} left out here: --kind admin", err=True)
        if finder.unopened:
            click.echo(f"{counted(finder.unopened, 'body is', 'bodies are')} not opened by this key", err=True)
        looking.finish(finder, as_json)


def _asked(found: Iterable[Found], query: Query) -> Iterator[Found]:
    """What matches, without the records of looking, which repeat what was looked for: they are shown to who asks for them."""
    asks = query.kind in ("admin", "viewed")
    return (one for one in found if asks or one.record.kind != Kind.ADMIN or one.record.get("what") != "viewed")


def _listing(found: Iterable[Found], as_json: bool) -> int:
    """Print them under their heading; how many there were."""
    count = 0
    if not as_json:
        click.echo(HEADING)
    for each in found:
        _print(each, as_json)
        count += 1
    return count


def _nothing(looking: Looking, query: Query) -> None:
    """An empty answer is said to be one; what no record names is probably mistyped."""
    click.echo("no records match", err=True)
    looking.unnamed(query)


@audit.command()
@click.argument("what")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
@located
def show(place: Place, what: str, as_json: bool) -> None:
    """All there is of one record (SEGMENT/INDEX) and its outcome, of a session (its id, or its beginning), or of a request (r-…)."""
    number, separator, index = what.partition("/")
    wanted: tuple[int, int] | None = None
    if separator:
        if not (number.isdigit() and index.isdigit()):
            leave(USAGE, "a record is SEGMENT/INDEX, e.g. 3/17; a session is its id, a request r-…")
        wanted = int(number), int(index)
    with viewing(place, "show", {"what": what}) as looking:
        asked = Query() if wanted else Query(request=what) if what.startswith("r-") else Query(session=what)
        finder = Search(looking.meant(asked), looking.bodies)
        count = 0
        for found in looking.find(finder) if wanted is None else _record_and_outcome(looking, finder, wanted):
            _show(found, as_json, whole=wanted is not None)
            count += 1
        if not count:
            leave(DAMAGED if looking.unsearched else UNREADABLE, f"there is no {what} in this store", looking.told())
        looking.finish(finder, as_json)


def _record_and_outcome(looking: Looking, finder: Search, wanted: tuple[int, int]) -> Iterator[Found]:
    """The record at a place, and the outcomes that refer to it."""
    key: list[int] | None = None
    for found in looking.find(finder):
        stamp = found.record.stamp
        if (stamp.segment, stamp.index) == wanted:
            key = list(found.record.key)
            yield found
        elif key is not None and found.record.kind == Kind.OUTCOME and found.record.fields[5] == key:
            yield found


def _show(found: Found, as_json: bool, whole: bool) -> None:
    """:param whole: also a configuration's text; a session's records only name the one that it was judged by."""
    shown = printed(found.shown())
    if as_json:
        record(shown)
        return
    fields, body = shown.pop("fields"), shown.pop("body", {})
    configured = _configuration(fields, body)
    if configured and not whole:
        click.echo(f"{'configuration':>18}  ostiary audit show {shown['segment']}/{shown['index']}")
    path = fields.get("path", "") if found.protocol == hosts.PROTOCOL else ""
    if found.protocol == hosts.PROTOCOL:
        fields, body = hosts.parts(fields, body)
    for part, above in ((shown, ()), (fields, shown), (body, {*shown, *fields})):
        for name, text in values.fields(part, path, above):
            click.echo(f"{name:>18}  {clean(text)}")
    click.echo()
    if configured and whole:
        click.echo("\n".join(map(clean, configured.splitlines())) + "\n")


def _configuration(fields: dict[str, Any], body: dict[str, Any]) -> str:
    """The text of a configuration's note, taken out of its facts."""
    if not str(fields.get("what", "")).startswith(CONFIGURATION):
        return ""
    facts = dict(body.get("facts") or {})
    configured = facts.pop("text", "")
    body["facts"] = facts
    return configured


@audit.command()
@click.option("--sha256", "digest", is_flag=True, help="Its SHA-256 only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verifier(digest: bool, as_json: bool) -> None:
    """
    Print verify.py, which checks bundles.

    An auditor takes it from an installation of his own, never from the bundle that he checks.
    """
    if as_json:
        record({"sha256": standalone.digest(), **({} if digest else {"text": standalone.joined().decode()})})
        return
    click.echo(standalone.digest() if digest else standalone.joined(), nl=digest)


_EXITS = "\b\n" + "\n".join(["Exit code:", *(f"  {code}  {what}" for code, what in CODES.items())])


@audit.command("verify", epilog=_EXITS)
@click.argument("where", required=False, type=PATH)
@click.option("--key", default="", help="The log's public key, or a file that holds it.")
@click.option("--anchor", "kept", multiple=True, type=PATH, help="Checkpoints that somebody else kept.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@CONFIG
@STORE
@STATE
def verify_(
    where: Path | None, key: str, kept: tuple[Path, ...], as_json: bool,
    config: Path | None, store: Path | None, state: Path | None,
) -> None:
    """Prove that nothing in a store (or bundle) WHERE was changed, removed or added."""
    if where is not None and (where / "MANIFEST.json").exists():
        sys.exit(_verify_bundle(where, key, kept, as_json))
    place = find(config, where or store, state)
    public = trusted(key, place)
    strays: list[str] = []
    for file in kept:
        _anchor_text(file)
    view = open_view(place.store)
    try:
        own = [file for file in kept if place.keeps(file)]
        for file in own:
            click.echo(f"{file} is where this gateway's own administration keeps its files, so it is no independent anchor", err=True)
        configured = [place.anchor_file] if place.anchor_file and place.anchor_file.exists() else []
        others = [file for file in kept if file not in own]
        report = verify(view, public, _anchors([*configured, *own], public, strays), _anchors(others, public, strays))
        report.strays = strays
    finally:
        view.close()
    _tell(report, public, as_json)
    if not as_json:
        click.echo(ending(report.code))
    sys.exit(report.code)


def _verify_bundle(where: Path, key: str, kept: tuple[Path, ...], as_json: bool) -> int:
    """As the bundle's own verifier, but an anchor is asked for, as it is of a store."""
    options = [str(where), *(("--key", key) if key else ()), *(word for file in kept for word in ("--anchor", str(file)))]
    return standalone.main([*options, *(["--json"] if as_json else [])], wants_anchor=True)


def _anchor_text(file: Path) -> str:
    """What a file that somebody kept holds; whatever holds no checkpoint was not meant."""
    text = file.read_text(errors="replace")
    if not anchor.notes(text):
        leave(USAGE, f"--anchor: {file} holds no checkpoint: one is three lines (the log's name, a number, a hash), an empty line, "
                     "and a signature")
    return text


def _anchors(files: Iterable[Path], verifier: Verifier, strays: list[str]) -> list[Checkpoint]:
    """The checkpoints in these files. What the log's key did not sign is no finding about the log, and goes to `strays`."""
    found, unsigned = [], 0
    for file in files:
        for note in anchor.notes(file.read_text(errors="replace")):
            try:
                found += anchor.parse(note, verifier)
            except NoteError:
                unsigned += 1
    if unsigned:
        what = "checkpoint is" if unsigned == 1 else f"checkpoints are ({unsigned} of them)"
        strays.append(f"the anchor file's {what} not signed by this log's key")
    return found


_TOLD = ("problems", "strays", "gaps", "remarks", "anchor", "anchored", "entries", "segments", "records", "unanchored_records", "code")


def _tell(report: Report, verifier: Verifier, as_json: bool) -> None:
    if as_json:
        record({name: getattr(report, name) for name in _TOLD} | {"log": verifier.name})
        return
    counts = (counted(report.segments, "segment"), counted(report.records, "record"), counted(report.entries, "ledger entry", "ledger entries"))
    click.echo(f"log {verifier.name}: {', '.join(counts)}")
    for problem in report.problems:
        click.echo(f"TAMPERED: {problem}")
    for stray in report.strays:
        click.echo(f"ANCHOR: {stray}")
    for gap in report.gaps:
        click.echo(f"INCOMPLETE: {gap}")
    for remark in report.remarks:
        click.echo(f"NOTE: {remark}")
    if report.problems or report.strays:
        return
    click.echo("SOUND" if not report.gaps else "SOUND, but incomplete")
    if report.anchor == "none":
        click.echo("NOT ANCHORED: an older copy of the whole directory would look the same (--anchor FILE)")
    else:
        later = counted(report.unanchored_records, "record")
        click.echo(f"anchored by: {report.anchor}; {later} came after the newest checkpoint")
    if report.anchor == "same administration":
        click.echo("NOT INDEPENDENTLY ANCHORED: give a checkpoint that somebody else kept (--anchor FILE)")
