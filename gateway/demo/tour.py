"""
`ostiary demo`: the guided tour. Everything it shows it does for real, and checks; one wrong result is exit code 1.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.demo.chapters import CHAPTERS
from gateway.demo.configuration import IDENTITIES, Ports
from gateway.demo.place import CannotServe
from gateway.demo.running import SERVING, Gateway
from gateway.demo.screen import Screen
from gateway.demo.site import Site
from gateway.demo.stage import PATIENCE, Stage

_ANY = Ports(0, 0, 0)


@click.command()
@click.option("--yes", is_flag=True, help="Do not wait for Enter between chapters; needed without a terminal.")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Keep everything here.")
def demo(yes: bool, directory: Path | None) -> None:
    """The guided tour, on an embedded PostgreSQL with invented patients."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to press Enter at; give --yes")
    screen = Screen(sys.stdout)
    try:
        with _kept(directory) as place:
            sys.exit(tour(place, screen, yes))
    except CannotServe as problem:
        click.echo(f"ostiary: {problem}", err=True)
        sys.exit(1)


def tour(directory: Path, screen: Screen, yes: bool) -> int:
    """All chapters; 0 when every check was right, 1 when one was not, 130 when somebody left."""
    screen.say(
        "Ostiary stands between people and their databases and hosts. This tour starts a PostgreSQL with 10,000 invented"
        f" patients and a gateway in front of it, in {directory}. What you see is typed and answered for real."
    )
    try:
        with Site(directory, _ANY, ssh=True) as site:
            tokens = {subject: site.token(subject) for subject in IDENTITIES}
            gateway = Gateway(site.file)
            try:
                if gateway.heard(SERVING, PATIENCE) is None:
                    screen.output("".join(gateway.lines), most=40)
                    return 1
                if why := gateway.unrecorded(PATIENCE, lambda why: None):
                    screen.say(f"The tour ends here: nothing can be recorded: {why}")
                    return 1
                return _chapters(Stage(site, gateway, tokens, screen), yes)
            finally:
                gateway.stop()
    except (KeyboardInterrupt, EOFError):
        screen.say("\nThe tour was left.")
        return 130


def _chapters(stage: Stage, yes: bool) -> int:
    for number, chapter in enumerate(CHAPTERS, 1):
        if not yes:
            input("\n  Enter goes on, Ctrl-C leaves … ")
        stage.screen.title(f"{number} of {len(CHAPTERS)}  {chapter.__doc__}")
        chapter(stage)
    stage.screen.title("The end")
    for what in stage.wrong:
        stage.screen.checked(what, False)
    total = stage.right + len(stage.wrong)
    stage.screen.checked(f"{stage.right} of {total} checks were right", not stage.wrong)
    return 1 if stage.wrong else 0


@contextmanager
def _kept(directory: Path | None) -> Iterator[Path]:
    """The directory that somebody named, or one that is gone afterwards."""
    if directory is not None:
        yield directory.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="ostiary-demo-", dir="/tmp") as made:
        Path(made).chmod(0o755)  # the database runs as another user than root; what is secret inside is 0700
        yield Path(made)
