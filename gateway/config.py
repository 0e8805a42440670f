"""
`ostiary.toml` as typed values. Loading refuses what it does not know and says how to mend it.

The shapes are frozen, so that a revision of the configuration is one value that
workers can switch to together. Paths are absolute once loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocols.recording import Settings


MASKING = "addons.masking.Masking"
SSH = "addons.ssh.Ssh"


@dataclass(frozen=True, slots=True)
class Account:
    """A service login at a target."""

    name: str
    user: str
    auth: str = "password"  #: "password", "certificate", "trust"; for SSH "password", "key", "certificate"
    catalog: bool = False
    certificate: Path | None = None
    key: Path | None = None
    floor: str = ""  #: the account that takes its place for identities that see every declared column masked


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """A `[[target]]`."""

    name: str
    protocol: str
    host: str
    port: int
    database: str
    databases: tuple[str, ...]
    accounts: tuple[Account, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    tls: str = "verify"  #: "verify", "encrypt", "off"
    tls_name: str = ""
    tls_ca: Path | None = None
    revocation: str = "lease"
    host_keys: tuple[bytes, ...] = ()  #: SSH: blobs of the host keys that the target may show
    host_ca: frozenset[bytes] = frozenset()  #: SSH: blobs of the keys whose certificates the target may show, for `tls_name`
    floor: str = "require"  #: "require", "report": what a floor that does not hold does to a session
    recording: Settings = Settings()
    source_address: str = ""  #: SSH: where certificates of its sessions are good, as OpenSSH writes it

    def account(self, name: str) -> Account | None:
        """The account of that name; the first one for ""."""
        if not name:
            return self.accounts[0]
        return next((a for a in self.accounts if a.name == name), None)

    def is_floor(self, name: str) -> bool:
        """Whether an account only takes another's place; nobody may choose it."""
        return any(account.floor == name for account in self.accounts)

    @property
    def catalog_account(self) -> Account:
        return next((a for a in self.accounts if a.catalog), self.accounts[0])


@dataclass(frozen=True, slots=True)
class IdentityEntry:
    """An `[[identity]]`."""

    subject: str
    kind: str = "human"
    groups: frozenset[str] = frozenset()
    on_behalf_of: str | None = None
    ssh_keys: frozenset[bytes] = frozenset()  #: blobs of public keys that prove it
    second_step: bool = False  #: SSH: whether a one-time code has to follow


@dataclass(frozen=True, slots=True)
class Listen:
    """A `[[listen]]`: a protocol on a Twisted endpoint string."""

    protocol: str
    endpoint: str
    tls: str = "require"  #: "require", "optional"
    auth: tuple[str, ...] = ("password", "scram")
    host_keys: tuple[Path, ...] = ()  #: SSH: private keys, the favourite first
    second_step: bool = False  #: SSH: whether everybody has to give a one-time code there


@dataclass(frozen=True, slots=True)
class SecondStep:
    """`[ssh.second_step]`: who has to give a one-time code at every listener of SSH."""

    kinds: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Device:
    """`[ssh.device]`: the identity provider at which people may log in by their browsers. Endpoints: "" where it publishes them."""

    issuer: str
    client_id: str
    client_secret_file: Path | None = None
    scopes: tuple[str, ...] = ("openid", "email")
    claim: str = "email"  #: what of its ID token is the identity's name
    ca_file: Path | None = None  #: who may vouch for it; None for the system's authorities
    device_endpoint: str = ""
    token_endpoint: str = ""
    jwks_uri: str = ""
    loopback_http: bool = False  #: whether addresses of this machine's own may be http


@dataclass(frozen=True, slots=True)
class AddonEntry:
    """An `[[addon]]`: a dotted path to a class, and its keyword arguments."""

    use: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audit:
    """`[audit]`."""

    directory: Path
    timeout: float = 2.0  #: seconds
    segment_records: int = 65536
    segment_bytes: int = 64 << 20
    segment_seconds: float = 3600.0
    anchor_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """One revision of `ostiary.toml`."""

    file: Path
    name: str
    state: Path
    workers: int | str
    drain: float
    certificate: Path
    key: Path
    audit: Audit
    control_listen: str
    listens: tuple[Listen, ...]
    targets: Mapping[str, TargetEntry]
    identities: Mapping[str, IdentityEntry]
    addons: tuple[AddonEntry, ...]
    spool: Path  #: a directory for values too long for memory
    spool_bytes: int  #: of one worker's sessions together
    user_ca: frozenset[bytes] = frozenset()  #: SSH: blobs of the keys whose certificates let people in
    second_step: SecondStep = SecondStep()
    device: Device | None = None
    digest: bytes = b""  #: SHA-256 of the file's bytes
    text: bytes = field(default=b"", repr=False, compare=False)  #: those bytes
