"""`ostiary init DIR`: a directory that a gateway can start from, and what to do next."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from gateway.certificates import authority, issue, write_pair
from gateway.cli.door import Door
from gateway.cli.left import leave
from gateway.cli.show import say
from gateway.cli.span import SPAN
from gateway.cli.template import CONFIG, ELSEWHERE, NEXT
from gateway.control.admin import check_subject
from gateway.control.errors import NotAllowed
from gateway.control.office import key_file
from gateway.control.seal import write_key
from gateway.notary.process import init_store
from gateway.section import NAME
from gateway.toml import load

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Made:
    """What `init` leaves behind."""

    config: Path
    authority: Path
    admin: str
    token: str


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="ostiary", show_default=True, help="The gateway's name, in its evidence and certificate.")
@click.option("--host", "hosts", multiple=True, help="A name or address that clients reach it by; besides localhost.")
@click.option("--admin", default="admin@localhost", show_default=True, help="The first identity.")
@click.option("--ttl", type=SPAN, default="7d", show_default=True, help="How long the admin's first token is good.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def init(directory: Path, name: str, hosts: tuple[str, ...], admin: str, ttl: float, as_json: bool) -> None:
    """Make keys, a certificate, a configuration and a first admin in DIRECTORY."""
    if directory.exists() and any(directory.iterdir()):
        leave(f"{directory} is not empty; nothing was changed. Give a new directory, or empty this one.")
    if not NAME.fullmatch(name):
        leave(f"{name!r} cannot be a gateway's name: use letters, digits, '.', '_' and '-'")
    try:
        check_subject(admin)
    except NotAllowed as error:
        leave(error.why)
    made = make(directory.resolve(), name, (*HOSTS, *hosts), admin, ttl)
    if as_json:
        say({"config": str(made.config), "ca": str(made.authority), "admin": made.admin, "token": made.token})
        return
    click.echo(NEXT.substitute(
        config=made.config, ca=made.authority, admin=made.admin, token=made.token,
        elsewhere=ELSEWHERE.substitute(host=hosts[0], ca=made.authority) if hosts else "", state_keys=made.config.parent / "state" / "keys",
    ))


def make(directory: Path, name: str, hosts: tuple[str, ...], admin: str, ttl: float) -> Made:
    """Everything, in an empty or new directory that only its owner can enter."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    (directory / ".gitignore").write_text("# Keys and secrets are below: no repository takes anything of it.\n*\n")
    state = directory / "state"
    for folder in (state, state / "tls", state / "keys", state / "run", state / "anchor"):
        folder.mkdir(mode=0o700)
    ca = authority(name)
    write_pair(state / "tls" / "ca.pem", state / "tls" / "ca.key", ca)
    write_pair(state / "tls" / "server.pem", state / "tls" / "server.key", issue(ca, hosts), chain=[ca.certificate])
    write_key(key_file(state))
    from gateway.ssh.keys import make_host_keys  # Conch takes long to load, and nothing else of this command needs it

    make_host_keys(state / "ssh")
    file = directory / "ostiary.toml"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(CONFIG.substitute(name=name, admin=admin))
    config = load(file)
    init_store(config.audit, config.name, config.state)
    made = Door(file).call("token_issue", subject=admin, ttl=ttl, note="made by init")
    return Made(file, state / "tls" / "ca.pem", admin, made["token"])
