"""`ostiary audit`, run as people run it: on a stopped store and on one that a notary writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import pytest_twisted
from click.testing import CliRunner, Result
from recorded import ORIGIN, Told, allowed, audit, fill, journal, new_store, records, session
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from gateway.cli.place import USAGE, Place
from gateway.cli.main import main
from gateway.journal import Journal
from gateway.evidence.verifier.fault import CODES
from gateway.evidence.view import open_view
from gateway.notary import anchor, keys
from gateway.notary.client import NotaryClient, connect
from gateway.notary.process import Notary, init_store
from gateway.notary.record import Kind
from gateway.notary.seal import leaves_file
from tests import warm

ROOT = Path(__file__).parent.parent.parent


def ostiary(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["audit", *map(str, words)], catch_exceptions=False)


def lines(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopped")
    store = new_store(folder)
    fill(store, 4)
    store.close()
    anchor.append(folder / "anchor", store.ledger.checkpoint)
    return folder


def test_search_filters_and_prints_json(stopped: Path) -> None:
    result = ostiary("search", "--store", stopped / "audit", "--kind", "intent", "--json")
    assert result.exit_code == 0 and len(lines(result)) == 4
    assert lines(result)[0]["body"]["text"] == "SELECT 0 FROM patients"  # type: ignore[index]
    assert "not recorded" in result.stderr
    assert len(lines(ostiary("search", "--store", stopped / "audit", "--text", "select 2", "--json"))) == 1
    assert len(lines(ostiary("search", "--store", stopped / "audit", "--limit", "2", "--json"))) == 2


@pytest.mark.parametrize("option", ["--session", "--identity", "--identity-kind", "--on-behalf-of", "--since", "--text", "--disclosed"])
def test_an_empty_filter_is_no_wish_for_everything(stopped: Path, tmp_path: Path, option: str) -> None:
    """A script's variable that was never set would hand out the whole log."""
    for words in (("search",), ("tail",), ("export", "--out", tmp_path / "bundle")):
        asked = ostiary(*words, option, "", "--store", stopped / "audit")
        assert asked.exit_code == USAGE and f"{option} is empty" in asked.stderr
    assert not (tmp_path / "bundle").exists()


def test_tail_prints_the_newest_as_a_table(stopped: Path) -> None:
    shown = ostiary("tail", "--store", stopped / "audit", "-n", "3").stdout.splitlines()
    assert shown[0].startswith("TIME") and len(shown) == 4
    assert "outcome" in shown[1] and "ada@clinic.example" in shown[1] and "1 row, 1 cell masked" in shown[1]


def test_show_gives_a_record_and_its_outcome_or_a_session(stopped: Path) -> None:
    intent = lines(ostiary("search", "--store", stopped / "audit", "--kind", "intent", "--json"))[1]
    place = f"{intent['segment']}/{intent['index']}"
    both = lines(ostiary("show", place, "--store", stopped / "audit", "--json"))
    assert [one["kind"] for one in both] == ["intent", "outcome"]
    assert both[1]["ref"] == [intent["worker"], intent["sequence"]]
    assert "SELECT 1 FROM patients" in ostiary("show", place, "--store", stopped / "audit").stdout
    whole = lines(ostiary("show", str(intent["session"]), "--store", stopped / "audit", "--json"))
    assert [one["number_in_session"] for one in whole] == list(range(10))
    assert ostiary("show", "9/9", "--store", stopped / "audit").exit_code == 4
    assert ostiary("show", "x/y", "--store", stopped / "audit").exit_code == 3


def test_people_are_shown_nothing_as_it_is_stored(stopped: Path) -> None:
    """Neither in a list nor of any record; JSON is what `--json` is for."""
    found = lines(ostiary("search", "--store", stopped / "audit", "--json"))
    shown = [ostiary("tail", "--store", stopped / "audit", "-n", "1000").stdout]
    shown += [ostiary("show", f"{one['segment']}/{one['index']}", "--store", stopped / "audit").stdout for one in found]
    assert found and not [text for text in shown if "base64" in text or '{"' in text]


def test_an_export_that_nothing_matched_is_no_success(stopped: Path, tmp_path: Path) -> None:
    """The session's id is mistyped, perhaps: a script must not hand out an empty bundle as the evidence."""
    empty = ostiary("export", "--store", stopped / "audit", "--session", "zzz", "--out", tmp_path / "bundle")
    assert empty.exit_code == 1 and "nothing matched" in empty.stderr and not empty.stdout
    assert not (tmp_path / "bundle").exists()


def test_a_gateways_own_anchor_is_never_called_independent(stopped: Path, tmp_path: Path) -> None:
    """In its state, or its configured file under another name: whoever changes the store could change it too."""
    for where in (stopped / "anchor", tmp_path / ".." / tmp_path.name / "link"):
        if not where.exists():
            where.symlink_to(stopped / "anchor")
        told = ostiary("verify", stopped / "audit", "--anchor", where)
        assert told.exit_code == 2 and "anchored by: same administration" in told.stdout and "no independent anchor" in told.stderr
    hard = tmp_path / "hard"
    os.link(stopped / "anchor", hard)
    assert Place(stopped / "audit", None, stopped / "anchor").keeps(hard)
    assert not Place(stopped / "audit", None).keeps(hard)


def test_verify_grades_its_anchor(stopped: Path, tmp_path: Path) -> None:
    store, mailed = stopped / "audit", Path(shutil.copy(stopped / "anchor", tmp_path))
    bare = ostiary("verify", store)
    assert bare.exit_code == 2 and "NOT ANCHORED" in bare.stdout
    kept = ostiary("verify", store, "--anchor", mailed, "--key", stopped / keys.FOLDER / keys.PUBLIC)
    assert kept.exit_code == 0 and "anchored by: independent" in kept.stdout
    shown = json.loads(ostiary("verify", store, "--anchor", mailed, "--json").stdout)
    assert shown["code"] == 0 and shown["problems"] == [] and shown["log"] == ORIGIN


def test_verify_of_a_store_says_what_its_exit_code_means(stopped: Path, tmp_path: Path) -> None:
    """As its last line, and in its help."""
    told = ostiary("verify", stopped / "audit")
    assert told.exit_code == 2 and told.stdout.splitlines()[-1] == f"exit code 2: {CODES[2]}"
    assert all(f"{code}  {what}\n" in ostiary("verify", "--help").stdout for code, what in CODES.items())
    assert "exit code" not in ostiary("verify", stopped / "audit", "--json").stdout


def test_verify_names_what_was_done_and_exits_1(stopped: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(stopped, tmp_path / "copy"))
    shutil.rmtree(copy / "audit" / "open" / f"{1:012d}")
    result = ostiary("verify", copy / "audit", "--anchor", copy / "anchor")
    assert result.exit_code == 1 and "segment 1 (stream s0) was removed" in result.stdout


def test_verify_needs_a_key_that_it_can_read(stopped: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(stopped / "audit", tmp_path / "alone" / "audit"))
    assert ostiary("verify", copy).exit_code == 3
    assert ostiary("verify", copy, "--key", "nonsense").exit_code == 3
    assert ostiary("verify", copy, "--key", str(keys.load_public(stopped))).exit_code == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("search", "--kind", "nonsense"), 3), (("search", "--since", "yesterday"), 3), (("search", "--nonsense"), 3),
        (("search", "--store", "/nonexistent"), 4), (("verify", "/nonexistent", "--key", "x"), 3),
    ],
)
def test_errors_have_their_exit_codes(words: tuple[str, ...], code: int) -> None:
    assert ostiary(*words).exit_code == code


def test_which_store_is_asked_for_when_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OSTIARY_CONFIG", raising=False)
    result = ostiary("tail")
    assert result.exit_code == 3 and "OSTIARY_CONFIG" in result.stderr


def test_export_and_the_bundles_verifier_agree(stopped: Path, tmp_path: Path) -> None:
    out, mailed = tmp_path / "bundle", shutil.copy(stopped / "anchor", tmp_path)
    made = ostiary("export", "--store", stopped / "audit", "--out", out)
    assert " records in " in made.stdout and "only claim" in made.stderr
    public = stopped / keys.FOLDER / keys.PUBLIC
    ran = subprocess.run([sys.executable, out / "verify.py", "--key", public], capture_output=True, check=False)
    assert ran.returncode == 0 and b"SOUND" in ran.stdout
    assert ostiary("verify", out, "--key", public).exit_code == 2  # sound, but no anchor
    assert ostiary("verify", out, "--key", public, "--anchor", mailed).exit_code == 0
    assert ostiary("verify", out, "--key", public, "--anchor", stopped / "anchor").exit_code == 2  # kept beside the evidence
    shown = json.loads(ostiary("verify", out, "--key", public, "--anchor", mailed, "--json").stdout)
    assert shown["code"] == 0 and shown["anchor"] == "independent" and shown["log"] == ORIGIN and shown["sessions"]
    assert json.loads(ostiary("verify", out, "--key", public, "--json").stdout)["code"] == 2
    assert ostiary("export", "--store", stopped / "audit", "--out", out).exit_code == 4
    made = ostiary("export", "--store", stopped / "audit", "--out", tmp_path / "part", "--identity", "ada@clinic.example", "--json")
    assert json.loads(made.stdout)["records"] == 10 and json.loads(made.stdout)["recorded"] is None
    assert ostiary("verify", tmp_path / "part", "--key", public, "--anchor", mailed).exit_code == 2  # claimed only


def test_a_bundle_that_could_never_verify_is_not_made(stopped: Path, tmp_path: Path) -> None:
    """Of a whole log without the body key: nobody could tell it from one whose bodies were taken out."""
    out = tmp_path / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Place, "bodies", lambda _place: None)
        refused = ostiary("export", "--store", stopped / "audit", "--out", out)
    assert refused.exit_code == 4 and "without the body key" in refused.stderr and not out.exists()


def test_looking_is_no_answer_to_itself_and_an_empty_answer_says_so(stopped: Path) -> None:
    """On a live store the search's own record names what is sought; here there is none, and both must say that nothing matches."""
    for filters in (("--identity", "nobody"), ("--target", "no-such"), ("--text", "never said")):
        result = ostiary("search", "--store", stopped / "audit", *filters)
        assert result.exit_code == 0 and "no records match" in result.stderr
        assert ("no record names a target no-such" in result.stderr) is (filters[0] == "--target")
    for filters, said in (
        (("--session", "zzz"), "a session zzz (at least 6 characters of an id are needed)"), (("--session", "zzzzzz"), "a session zzzzzz"), (("--request", "r-none"), "a request r-none"), (("--identity", "nobody"), "an identity nobody"),
        (("--disclosed", "public.patients.snn"), "a column public.patients.snn"),
    ):
        result = ostiary("search", "--store", stopped / "audit", "--since", "2020-01-01", *filters)
        assert result.exit_code == 0 and f"no record names {said}\n" in result.stderr
    for filters in (("--identity", "ada@clinic.example"), ("--target", "clinic"), ("--disclosed",)):
        assert "no record names" not in ostiary("search", "--store", stopped / "audit", "--until", "2020-01-01", *filters).stderr
    for count in (("tail", "-n", "-3"), ("search", "--limit", "-1"), ("search", "--since", "1d", "--until", "2d")):
        assert ostiary(*count, "--store", stopped / "audit").exit_code == 3


def test_a_missing_noun_is_no_such_command() -> None:
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2 and "No such command" in result.output
    assert "audit" in CliRunner().invoke(main, ["--help"]).output


class Live:
    """A notary on a path, and a journal that writes to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.settings = folder, audit(folder, segment_records=60)
        init_store(self.settings, ORIGIN, folder)
        self.notary = Notary(self.settings, ORIGIN, folder, {"w": "worker"})
        self.notary.listen(folder / "n.sock")
        self.notary.startService()
        self.client: NotaryClient | None = None

    async def journal(self) -> Journal:
        self.client = await connect(reactor, self.folder / "n.sock", "w")
        await until(lambda: self.client is not None and self.client.worker is not None)
        return Journal(self.client, reactor, 10.0)

    async def ostiary(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """In a process of its own, while the notary's reactor turns."""
        command = ["audit", *map(str, words)]
        return await deferToThread(warm.run, command, environment=os.environ, directory=ROOT, timeout=60.0)

    async def stop(self) -> None:
        if self.client is not None:
            self.client.close()
        await self.notary.stopService()


async def until(holds: object) -> None:
    for _ in range(6000):
        if holds():  # type: ignore[operator]
            return
        await deferLater(reactor, 0.005)
    raise AssertionError("waited in vain")


@pytest_twisted.ensureDeferred
async def test_a_live_store_is_searched_verified_and_exported(short: Path, tmp_path: Path) -> None:
    """Across sealed, closed and open segments, while it is written; and that it was looked at is in it."""
    live = Live(short)
    book, told, who = await live.journal(), Told(), session()
    for number in range(200):
        book.intend(who, number, allowed(f"SELECT {number}"), told)
        if number % 20 == 0:
            book.flush()
            await until(lambda: book._acked == book._sequence)
    await until(lambda: book._acked == book._sequence)
    found = await live.ostiary("search", "--store", short / "audit", "--kind", "intent", "--json")
    assert len(found.stdout.splitlines()) == 200 and found.returncode == 0, found.stderr
    assert "not recorded" not in found.stderr
    for _ in range(2):  # the second would find the record of the first
        nobody = await live.ostiary("search", "--store", short / "audit", "--identity", "nobody", "--json")
        assert nobody.stdout == "" and "no records match" in nobody.stderr
    mailed = shutil.copy(short / "anchor", tmp_path)
    verified = await live.ostiary("verify", short / "audit", "--anchor", mailed)
    assert verified.returncode == 0 and "SOUND" in verified.stdout, verified.stdout + verified.stderr
    exported = await live.ostiary("export", "--store", short / "audit", "--out", short / "bundle")
    assert exported.returncode == 0 and " and that of this export in " in exported.stdout, exported.stdout + exported.stderr
    public = short / keys.FOLDER / keys.PUBLIC
    ran = subprocess.run([sys.executable, short / "bundle" / "verify.py", "--key", public], capture_output=True, check=False)
    assert ran.returncode == 0 and b", with that of this export, the newest of" in ran.stdout
    layout, aside = live.notary.writer.store.layout, short / "aside"
    sealed = leaves_file(layout.sealed(1))
    await until(lambda: sealed.exists() and not layout.open(1).exists())
    sealed.rename(aside)
    looked = await live.ostiary("search", "--store", short / "audit", "--kind", "closed")
    assert looked.returncode == 1 and "NOT SEARCHED: segment 1 was removed" in looked.stderr, looked.stderr
    aside.rename(sealed)
    shown = await live.ostiary("search", "--store", short / "audit", "--kind", "viewed", "--json")
    assert {json.loads(line)["fields"]["what"] for line in shown.stdout.splitlines()} == {"viewed"}, shown.stderr
    await live.stop()
    store = new_store(short, segment_records=60)
    noted = [r.get("what") for n in sorted(store.layout.present()) for r in records(store, n) if r.kind == Kind.ADMIN]
    store.close()
    assert noted == ["viewed", "viewed", "viewed", "exported", "viewed", "viewed"]


@pytest_twisted.ensureDeferred
async def test_what_became_of_segments_is_told_once_to_who_looks(short: Path) -> None:
    """A look asks several times, and hears of what is new."""
    live = Live(short)
    await live.journal()
    store = live.notary.writer.store
    told, seen = store.ledger.told, []
    store.ledger.told = lambda start, most: (seen.append(start), told(start, most))[1]

    def look() -> tuple[int, int]:
        with closing(open_view(short / "audit")) as view:
            return len(view.events()), len(view.events())

    count, again = await deferToThread(look)
    assert count == again == store.ledger.told(0, 1)[1] and seen[:2] == [0, count]
    await live.stop()


@pytest_twisted.ensureDeferred
async def test_tail_follows_a_live_store(short: Path) -> None:
    live = Live(short)
    book, told, who = await live.journal(), Told(), session()
    words = ["audit", "tail", "-f", "--json", "-n", "100", "--kind", "intent", "--store", short / "audit"]  # also those before it first looks
    command = [sys.executable, "-m", "gateway.cli.main", *words]
    follower = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    before = live.notary.writer.store.segment.size
    await until(lambda: live.notary.writer.store.segment.size > before)  # its viewing is recorded
    seen: list[int] = []

    def read() -> None:
        for line in follower.stdout or ():
            seen.append(json.loads(line)["fields"]["command"])
            if len(seen) == 100:
                return

    reading = deferToThread(read)
    for number in range(100):  # over a rotation
        book.intend(who, number, allowed(f"SELECT {number}"), told)
        book.flush()
        await deferLater(reactor, 0.002)
    await until(lambda: len(seen) == 100 or follower.poll() is not None)
    follower.kill()
    follower.wait()
    await reading
    await live.stop()
    assert seen == list(range(100))


@pytest_twisted.ensureDeferred
async def test_a_notary_that_does_not_answer_is_said_to(short: Path) -> None:
    live = Live(short)
    await live.journal()
    (short / "audit" / "notary.socket").write_text(str(short / "elsewhere"))
    result = await live.ostiary("tail", "--store", short / "audit")
    assert result.returncode == 4 and "does not answer" in result.stderr
    await live.stop()


def test_journals_of_two_sessions_are_told_apart(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    one, two = fill(store, 1), fill(store, 1, session("bob@clinic.example"))
    assert journal(store) is not None
    store.close()
    for who, name in ((one, "ada@clinic.example"), (two, "bob@clinic.example")):
        found = lines(ostiary("search", "--store", tmp_path / "audit", "--identity", name, "--json"))
        assert {line["session"] for line in found} == {who.id} and len(found) == 4
