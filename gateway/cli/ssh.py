"""`ostiary ssh`: the gateway's own certificate authorities."""

from __future__ import annotations

import json
from typing import Any

import click

from gateway.cli.door import Door, configured, leave
from gateway.cli.show import as_text
from gateway.cli.span import SPAN
from gateway.config import TargetEntry
from gateway.control.authorities import HOSTS, PEOPLE, TARGETS
from gateway.ssh.doors import PORT, PROTOCOL, names
from gateway.ssh.lines import fingerprint, line


@click.group()
def ssh() -> None:
    """Certificates for SSH."""


@ssh.command()
@click.option("--people", is_flag=True, help="The authority that signs for people, which the gateway trusts by itself.")
@configured
def ca(door: Door, as_json: bool, people: bool) -> None:
    """The line for TrustedUserCAKeys of hosts whose accounts have auth = "certificate"."""
    name = PEOPLE if people else TARGETS
    blob = door.call("ssh_ca", name=name)
    _shown({"authority": name, "line": line(blob, f"ostiary-{name}"), "key": fingerprint(blob)}, "line", as_json)


@ssh.command()
@click.argument("public", metavar="PUBKEY", type=click.File())
@click.option("--identity", required=True, help="Whom it lets in at this gateway.")
@click.option("--ttl", type=SPAN, default="8h", show_default=True, help="How long it is good: 30m, 8h, 7d; at most 31d.")
@click.option("--source-address", default="", help="Where it is good: addresses or networks, with commas.")
@configured
def sign(door: Door, as_json: bool, public: Any, identity: str, ttl: float, source_address: str) -> None:
    """Sign somebody's public key, a .pub file; the certificate goes to stdout, for KEY-cert.pub."""
    made = door.call("ssh_sign", subject=identity, public=public.read(65536), ttl=ttl, addresses=source_address)
    made["certificate"] = line(made["certificate"], identity)
    if not as_json:
        click.echo(f"Certificate {made['serial']} of {identity}, good until {as_text('expires', made['expires'])}.", err=True)
    _shown(made, "certificate", as_json)


@ssh.command("known-hosts")
@configured
def known_hosts(door: Door, as_json: bool) -> None:
    """The line for known_hosts of people who reach targets by `ssh -J GATEWAY ACCOUNT@TARGET`."""
    blob = door.call("ssh_ca", name=HOSTS)
    patterns = sorted({each for entry in door.config().targets.values() if entry.protocol == PROTOCOL for each in _patterns(entry)})
    if not patterns:
        leave("there is no [[target]] with protocol = \"ssh\"")
    said = f"@cert-authority {','.join(patterns)} {line(blob, f'ostiary-{HOSTS}')}"
    _shown({"authority": HOSTS, "line": said, "key": fingerprint(blob)}, "line", as_json)


def _patterns(entry: TargetEntry) -> set[str]:
    """As ssh looks for a host: with its port where that is not SSH's own."""
    beside = {f"[{name}]:{entry.port}" for name in names(entry)} if entry.port != PORT else set()
    return {*names(entry), *beside}


def _shown(what: dict[str, Any], only: str, as_json: bool) -> None:
    """stdout holds the line and nothing else, so that it can be written to a file."""
    click.echo(json.dumps(what, indent=2) if as_json else what[only])
