"""`ostiary ssh`: the gateway's own certificate authorities."""

from __future__ import annotations

from socket import gethostname
from typing import Any

import click

from gateway.cli.door import Door, configured
from gateway.cli.left import leave
from gateway.cli.show import as_text, rows, say
from gateway.cli.span import SPAN
from gateway.config import Listen, TargetEntry
from gateway.control.authorities import HOSTS, PEOPLE, TARGETS
from gateway.control.badges import IDENTITY, KEY_ID, SERIAL
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


@ssh.command()
@click.argument("serial", required=False)
@click.option("--identity", help="Every certificate of this identity that was made until now.")
@click.option("--key-id", help="Those with this key id, of authorities in [ssh] user_ca.")
@click.option("--why", default="", help="What the evidence is told.")
@configured
def revoke(door: Door, as_json: bool, serial: str | None, identity: str | None, key_id: str | None, why: str) -> None:
    """
    A certificate, by the SERIAL that the gateway gave it. It lets nobody in any more, and sessions that it opened end.

    Exit 1 where the gateway knows no certificate of that serial, so that another one may have been meant.
    """
    given = [(kind, which) for kind, which in ((SERIAL, serial), (IDENTITY, identity), (KEY_ID, key_id)) if which]
    if len(given) != 1:
        leave("say which one: SERIAL, --identity or --key-id")
    [(kind, which)] = given
    done = door.call("ssh_revoke", kind=kind, which=which, why=why)
    if as_json:
        say(done)
    else:
        click.echo(f"{'Revoked' if done['known'] else 'Noted'}. Sessions ended: {len(done['ended'])}.")
    if not done["known"]:
        leave(
            f"NO CERTIFICATE THAT IS STILL GOOD HAS THE SERIAL {which}. If you meant one, it still lets in: compare the number with what "
            "`ostiary ssh sign` said and the evidence has (certificate.signed), or use --identity"
        )


@ssh.command()
@configured
def revoked(door: Door, as_json: bool) -> None:
    """Which certificates were revoked."""
    rows(door.call("ssh_revoked"), ("kind", "which", "at", "why"), as_json, "None was.")


@ssh.command()
@click.option("--keep", type=SPAN, default="31d", show_default=True, help="How long certificates of the present one go on letting in.")
@click.option("--at-once", is_flag=True, help="Not at all: sessions that they opened end.")
@configured
def rotate(door: Door, as_json: bool, keep: float, at_once: bool) -> None:
    """Replace the authority that signs for people. Its former key is forgotten; what it signed is good for a while."""
    done = door.call("ssh_rotate", keep=0.0 if at_once else keep)
    if as_json:
        say(done)
        return
    click.echo(f"{done['key']} signs for people now; {done['former']} lets in until {as_text('expires', done['until'])}.")
    click.echo(f"Sessions ended: {len(done['ended'])}.")


@ssh.command("known-hosts")
@click.option("--host", "hosts", multiple=True, metavar="NAME[:PORT]", help="How people reach the gateway; by this machine's name if not given.")
@configured
def known_hosts(door: Door, as_json: bool, hosts: tuple[str, ...]) -> None:
    """
    Lines for people's known_hosts: the gateway's own host keys, and who vouches for the targets behind it.

    The second kind, @cert-authority, is for `ssh -J GATEWAY ACCOUNT@TARGET`.
    """
    config = door.config("target", "listen", "gateway.state")
    found = [each for listen in config.listens if listen.protocol == PROTOCOL for each in _own(listen, hosts or (gethostname(),))]
    if not found:
        leave('there is no [[listen]] with protocol = "ssh"')
    patterns = sorted({each for entry in config.targets.values() if entry.protocol == PROTOCOL for each in _patterns(entry)})
    if patterns:
        blob = door.call("ssh_ca", name=HOSTS)
        said = f"@cert-authority {','.join(patterns)} {line(blob, f'ostiary-{HOSTS}')}"
        found.append({"what": "authority", "hosts": patterns, "key": fingerprint(blob), "line": said})
    if as_json:
        say(found)
        return
    if not hosts:
        click.echo(f"# the gateway as {gethostname()}: give --host if people reach it by another name or port", err=True)
    click.echo("\n".join(each["line"] for each in found))


def _own(listen: Listen, hosts: tuple[str, ...]) -> list[dict[str, Any]]:
    """A line for each key that a listener shows; of the private keys, since a .pub file beside one may be of another."""
    from gateway.ssh.keys import NoKey, private  # Conch takes long to load

    found = []
    for file in listen.host_keys:
        try:
            blob = private(file.read_bytes()).public().blob()
        except (OSError, NoKey) as error:
            leave(f"{file}: {getattr(error, 'strerror', None) or error}; run this as the user that the gateway runs as")
        names = [_known_as(host, _port(listen.endpoint)) for host in hosts]
        found.append({"what": "gateway", "hosts": names, "key": fingerprint(blob), "line": f"{','.join(names)} {line(blob)}"})
    return found


def _known_as(host: str, port: int) -> str:
    """As ssh looks for it: with its port where that is not SSH's own."""
    name, _, given = host.rpartition(":")
    if given.isdigit() and (name.endswith("]") or name and ":" not in name):
        host, port = name.strip("[]"), int(given)
    return f"[{host}]:{port}" if port != PORT else host


def _port(endpoint: str) -> int:
    """Of an endpoint string; SSH's own where systemd has it."""
    port = endpoint.split(":")[1].removeprefix("port=")
    return int(port) if port.isdigit() else PORT


def _patterns(entry: TargetEntry) -> set[str]:
    """As ssh looks for a host: with its port where that is not SSH's own."""
    beside = {f"[{name}]:{entry.port}" for name in names(entry)} if entry.port != PORT else set()
    return {*names(entry), *beside}


def _shown(what: dict[str, Any], only: str, as_json: bool) -> None:
    """stdout holds the line and nothing else, so that it can be written to a file."""
    if as_json:
        say(what)
    else:
        click.echo(what[only])
