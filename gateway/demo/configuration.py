"""The demo's ostiary.toml: three people, a workload and an agent, one database, and rules that the tour shows."""

from __future__ import annotations

from dataclasses import dataclass
from string import Template

from gateway.demo.database import APPLICATION, CATALOG, NAME

ADA, GRACE = "ada@clinic.example", "grace@clinic.example"
REPORT, CLAUDE = "nightly-report", "claude"
IDENTITIES = (ADA, GRACE, REPORT, CLAUDE)
"""Whom one meets in the demo."""

BARBARA = "barbara@clinic.example"
TARGET, HOST_TARGET = "clinic", "host"


@dataclass(frozen=True, slots=True)
class Ports:
    """On 127.0.0.1."""

    gateway: int
    control: int
    database: int
    ssh: int = 0
    host: int = 0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the file says of the demo's host."""

    user: str
    host_key: str


def text(ports: Ports, workers: int | str, host: HostFacts | None = None) -> str:
    """The file; with a listener for SSH where there is a host."""
    count = workers if isinstance(workers, int) else f'"{workers}"'
    ssh = rule = policy = ""
    if host is not None:
        ssh = _SSH.substitute(ssh=ports.ssh, host=ports.host, user=host.user, key=host.host_key, name=HOST_TARGET)
        rule, policy = _RULE.substitute(name=HOST_TARGET), _POLICY
    return _FILE.substitute(
        ssh=ssh, rule=rule, policy=policy,
        gateway=ports.gateway, control=ports.control, database=ports.database, workers=count, name=NAME,
        application=APPLICATION, catalog=CATALOG, ada=ADA, grace=GRACE, barbara=BARBARA, report=REPORT, claude=CLAUDE, target=TARGET,
    )  # fmt: skip


_SSH = Template('''\

[[listen]]
protocol = "ssh"
endpoint = "tcp:$ssh:interface=127.0.0.1"

# OpenSSH's server, for this demo alone. Its account's key is in control's store. The account logs in as whoever runs the demo; that sshd
# starts everything as `visitor`, without rights and with no way to more, and as nobody where root runs it.
[[target]]
name = "$name"
protocol = "ssh"
address = "127.0.0.1:$host"
host_keys = ["$key"]

  [[target.account]]
  name = "visitor"
  user = "$user"
  auth = "key"
''')

_RULE = Template('''  { groups = ["engineers", "agents"], targets = ["$name"] },
''')

_POLICY = '''\

# What may be asked of the host. The first rule that fits a command decides, else the default of its kind; forwards have none, and are refused.
[[addon]]
use = "addons.ssh.Ssh"
default = { exec = "allow", shell = "allow", subsystem = "allow", file = "allow" }
rules = [
  { name = "no-deleting", programs = ["rm", "shred", "dd"], verdict = "deny", reason = "Nothing is deleted here by hand." },
  { name = "no-deleting-files", actions = ["remove", "rmdir"], verdict = "deny", reason = "Nothing is deleted here by hand, nor by sftp." },
  { name = "no-secrets", commands = ["exec", "file"], paths = ["/etc/shadow", "~/.ssh/**"], verdict = "deny", reason = "Keys and passwords are not read here." },
  { name = "services-ask", programs = ["systemctl", "service", "reboot"], verdict = "approve", approvers = ["approvers"], reason = "It stops what others use." },
  { name = "agents-one-by-one", kinds = ["agent"], commands = ["shell"], verdict = "deny", reason = "An agent runs commands one by one, so that each is decided." },
]
typed = [
  { name = "no-deleting-typed", programs = ["rm", "shred", "dd"], reason = "Nothing is deleted here by hand." },
  { name = "services-from-outside", programs = ["systemctl", "service", "reboot"], reason = "What is typed in a shell waits for nobody's yes.", hint = "Send it as a command: ssh … systemctl …, which waits." },
]
'''

_FILE = Template('''\
# The demo's ostiary.toml. Change it and send the gateway SIGHUP: sessions take it at their next command.

[gateway]
name = "clinic-gw"
state = "state"                  # keys, evidence, control's store
workers = $workers
drain = 5

[tls]
certificate = "state/tls/server.pem"
key = "state/tls/server.key"

[audit]
directory = "state/audit"
segment_bytes = 16777216         # small, so that the first start is quick
anchor_file = "state/anchor/checkpoints"   # belongs on another machine's disk

[control]
listen = "tcp:$control:interface=127.0.0.1"

[[listen]]
protocol = "postgres"
endpoint = "tcp:$gateway:interface=127.0.0.1"

# The embedded PostgreSQL. Its passwords are in control's store, not here.
[[target]]
name = "$target"
protocol = "postgres"
address = "127.0.0.1:$database"
database = "$name"
labels = { phi = "yes" }
tls = "verify"
tls_ca = "postgres/tls/ca.pem"

  [[target.account]]
  name = "rw"
  user = "$application"

  [[target.account]]
  name = "catalog"
  user = "$catalog"
  catalog = true
$ssh
[[identity]]
subject = "$ada"
groups = ["engineers"]

[[identity]]
subject = "$grace"
groups = ["engineers", "approvers", "privacy"]

[[identity]]
subject = "$barbara"   # who answers what Grace herself asks: nobody approves their own
groups = ["approvers"]

[[identity]]
subject = "$report"
kind = "workload"
groups = ["reports"]

[[identity]]
subject = "$claude"
kind = "agent"
groups = ["agents"]
on_behalf_of = "$ada"

[[addon]]
use = "addons.access.Access"
rules = [
  { groups = ["engineers", "reports", "agents"], targets = ["$target"], accounts = ["rw"] },
$rule]

[[addon]]
use = "addons.masking.Masking"
columns = [
  { relation = "public.patients", column = "dob", strategy = "date", keep = "year", clear = ["privacy"] },
  { relation = "public.patients", column = "ssn", strategy = "partial", keep = 4, clear = ["privacy"] },
  { relation = "public.patients", column = "phone", strategy = "redact", clear = ["privacy"] },
  { relation = "public.patients", column = "email", strategy = "redact", clear = ["privacy"] },
  { relation = "public.patients", column = "street", strategy = "redact", clear = ["privacy"] },
  { relation = "public.encounters", column = "notes", strategy = "redact", clear = ["privacy"] },
]

[[addon]]
use = "addons.policy.Policy"
default = { read = "allow", write = "allow", transaction = "allow", session = "allow" }
rules = [
  { name = "no-drop", classes = ["ddl-destructive"], verdict = "deny", reason = "Tables are dropped by migrations, not by hand." },
  { name = "privileged-writes", classes = ["write-unfiltered", "ddl"], verdict = "approve", approvers = ["approvers"] },
  { name = "agents-ask", kinds = ["agent"], classes = ["write"], verdict = "approve", approvers = ["approvers"] },
]

[[addon]]
use = "addons.limits.Limits"
rows = 1000000
$policy''')
