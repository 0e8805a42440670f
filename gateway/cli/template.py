"""The texts that `ostiary init` writes: a configuration to edit, and what to do next."""

from __future__ import annotations

from string import Template

CONFIG = Template('''\
# ostiary.toml: everything about this gateway but its secrets. Look at it with `ostiary check`.
# Secrets are never in it: see `ostiary account secret` and `ostiary token issue`.

[gateway]
name = "$name"                   # the evidence's origin
state = "state"                  # keys, evidence and control's store; relative to this file; back it up
workers = 2                      # a number, or "inline" for one process
drain = 30                       # seconds that live sessions get at shutdown

[tls]
certificate = "state/tls/server.pem"      # clients check it against state/tls/ca.pem; or put your own here
key = "state/tls/server.key"

[audit]
directory = "state/audit"
timeout = 2.0                    # seconds the store may stay silent before waiting commands are refused
anchor_file = "state/anchor/checkpoints"  # put it on another machine's disk: evidence needs a witness

[control]
listen = "tcp:8443:interface=127.0.0.1"   # API for approvers, HTTPS

[[listen]]
protocol = "postgres"
endpoint = "tcp:6432:interface=127.0.0.1" # clients connect here; take the interface out for all of them
tls = "require"                  # or "optional", which every session's record then says
auth = ["password", "scram"]     # a password is only ever asked for within TLS

# A database. Take the # away, correct it, then: ostiary account secret clinic rw
#
# [[target]]
# name = "clinic"                # clients say it in their user name: IDENTITY@clinic
# protocol = "postgres"
# address = "db.example:5432"
# database = "clinicdb"          # the default one; list others in databases = [...]
# tls = "verify"                 # or "encrypt", "off": recorded with every session
# tls_ca = "state/tls/db-ca.pem" # who signed the database's certificate; without it the system's authorities
#
#   [[target.account]]
#   name = "rw"                  # IDENTITY@clinic+rw; the first account is the default one
#   user = "clinic_app"          # the role at the database
#   auth = "password"            # or "certificate", "trust"

# A host. Take the # away, here and of addons.ssh.Ssh below, correct it, then: ostiary account secret web1 deploy < id_ed25519
#
# [[listen]]
# protocol = "ssh"
# endpoint = "tcp:2222:interface=127.0.0.1" # its host keys are in state/ssh
#
# [[target]]
# name = "web1"                  # clients say it in their user name: ssh IDENTITY@web1@gateway
# protocol = "ssh"
# address = "web1.example:22"
# host_keys = ["ssh-ed25519 AAAA..."]  # `ostiary target trust web1` prints the line; compare it at the host
#
#   [[target.account]]
#   name = "deploy"              # IDENTITY@web1+deploy
#   user = "deploy"              # the login at the host
#   auth = "key"                 # or "password"; "certificate" after `ostiary ssh ca`, and then no secret is stored

[[identity]]
subject = "$admin"
kind = "human"                   # or "workload", "agent"
groups = ["admins", "approvers"]

# [[identity]]
# subject = "claude"
# kind = "agent"
# groups = ["agents"]
# on_behalf_of = "$admin"

# Addons decide. Their order here is the order they are asked within a phase.

[[addon]]
use = "addons.access.Access"     # who may use which target; nothing is allowed that no rule allows
rules = [
  { name = "admins", groups = ["admins"] },  # every target; narrow it: targets = ["clinic"]
]

[[addon]]
use = "addons.policy.Policy"     # which statements; classes that are not named are refused
default = { read = "allow", write = "allow", transaction = "allow", session = "allow" }
rules = [
  { name = "privileged-writes", classes = ["write-unfiltered", "ddl"], verdict = "approve", approvers = ["approvers"] },
]

# What may be asked of a host: without it, whoever Access lets in may run anything there. docs/ssh-policy.md has the rules.
#
# [[addon]]
# use = "addons.ssh.Ssh"
# default = { exec = "allow", shell = "allow", subsystem = "allow", file = "allow" }  # forwards, agent, x11 are not named: refused
# rules = [
#   { name = "reboots", programs = ["reboot", "shutdown", "systemctl"], verdict = "approve", approvers = ["approvers"] },
# ]

# What is shown masked, and to whom in clear. `ostiary target discover clinic` proposes columns. Take the # away and correct it;
# then `ostiary check --targets` says whether they are there.
#
# [[addon]]
# use = "addons.masking.Masking"
# columns = [
#   { relation = "public.patients", column = "ssn", strategy = "redact", clear = ["privacy"] },
# ]
''')

NEXT = Template('''\
Made $config

  The first token of $admin, shown once (it is a password for psql):
    $token

Next:
  1. Add your database to the file: the [[target]] that is commented out.
  2. Look at it, and enter the database's password:
       ostiary check $config
       ostiary account secret clinic rw --config $config
  3. Run the gateway:
       twistd -n --pidfile= ostiary --config $config
  4. Connect, with the token as the password:
       psql "host=localhost port=6432 user=$admin@clinic dbname=clinicdb sslmode=verify-full sslrootcert=$ca"
$elsewhere  5. Issue tokens to others, and see what was recorded:
       ostiary token issue NAME --ttl 8h --config $config
       ostiary audit tail --config $config

Keep $state_keys apart from backups of the rest: it opens control's store.''')


ELSEWHERE = Template('''\
     From elsewhere: take `:interface=127.0.0.1` out of that [[listen]] in the file, give clients $ca, and write host=$host.
''')
