"""
`ostiary`: one command per noun, each in its own file, imported when it is called.

A noun whose module is not there is no command; anything else that goes wrong while
importing is shown as what it is.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import click

from gateway.cli.left import Left

NOUNS = {
    "init": "gateway.cli.init:init",
    "check": "gateway.cli.check:check",
    "reload": "gateway.cli.reload:reload",
    "identity": "gateway.cli.identity:identity",
    "target": "gateway.cli.target:target",
    "account": "gateway.cli.account:account",
    "token": "gateway.cli.token:token",
    "otp": "gateway.cli.otp:otp",
    "ssh": "gateway.cli.ssh:ssh",
    "request": "gateway.cli.request:request",
    "session": "gateway.cli.session:session",
    "audit": "gateway.cli.audit:audit",
    "policy": "gateway.cli.policy:policy",
    "demo": "gateway.demo.tour:demo",
}
"""What `ostiary WORD` runs, as module:command."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is named, so that `--help` and the others stay fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [noun for noun, path in NOUNS.items() if _exists(path)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        path = NOUNS.get(cmd_name)
        if path is None or not _exists(path):
            return None
        module, _, name = path.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """As click's, with its complaints in the one form that all of ours have."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **extra)
        given = args[0] if args else extra.get("args")
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except Left as left:
            _tell(given, left.why, left.refusal, left.more)
            raise
        except click.ClickException as error:
            _complain(error)
            _tell(given, error.format_message())
            sys.exit(error.exit_code)
        except click.Abort:
            click.echo("ostiary: aborted", err=True)
            _tell(given, "aborted")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _complain(error: click.ClickException) -> None:
    """Of a call that is wrong also how it is made."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    click.echo(f"ostiary: {error.format_message()}", err=True)


def _tell(given: Sequence[str] | None, why: str, refusal: str | None = None, more: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Programs read on stdout what is wrong, as the API has it, also where a call is too wrong to be taken apart."""
    if "--json" in (sys.argv[1:] if given is None else given):
        from gateway.cli.show import say

        say({"error": {"code": refusal, "text": why}, **more}, None)


def _exists(path: str) -> bool:
    try:
        return importlib.util.find_spec(path.partition(":")[0]) is not None
    except ModuleNotFoundError:  # its package is not there
        return False


def _version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        import importlib.metadata  # brings e-mail and zip files, and no other command needs it

        try:
            click.echo(f"ostiary {importlib.metadata.version('ostiary')}")
        except importlib.metadata.PackageNotFoundError:
            click.echo("ostiary, from a checkout that is not installed")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version and exit."
)
def main() -> None:
    """
    The doorkeeper between identities and infrastructure, and its evidence.

    Commands read the configuration that --config names, else the environment's OSTIARY_CONFIG, else ./ostiary.toml.
    """


if __name__ == "__main__":
    main()
