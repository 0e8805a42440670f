"""
Ssh: which command lines, shells, files and forwards an identity may ask a target for.

The first rule that covers a command decides, else the default of its kind; a kind without a default is refused. What
a rule would have to know and cannot is refused too.
"""

from __future__ import annotations

import datetime
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import replace

from twisted.internet.defer import Deferred

from protocols.command import Exec, FileOperation, Forward, SshCommand
from protocols.hooks import CommandHook
from protocols.session import Session, Target
from protocols.verdict import Allow, Deny, Hold, Verdict

from addons.needs import Names
from addons.sql.answers import ALLOW, APPROVE, DENY, clock_for, defaults, hold_mode, texts
from addons.sql.complaints import Gathering
from addons.sql.conditions import Now, all_of
from addons.ssh.around import Around
from addons.ssh.rules import KINDS, Rule, rule
from addons.ssh.typed import typed as typed_rule

VARIABLES = ("LANG", "LANGUAGE", "LC_*", "COLORTERM", "NO_COLOR", "TZ", "GIT_PROTOCOL")
REGISTERED = (DENY, ALLOW)

_NAMES = {
    "exec": "command line", "shell": "shell", "subsystem": "subsystem", "file": "file operation", "forward": "forward",
    "agent": "agent forwarding", "x11": "X11 forwarding",
}


class Ssh:
    """
    :param default: kind of command ("exec", "shell", "subsystem", "file", "forward", "agent", "x11") to "allow", "approve" or
        "deny"; a kind that is not named is denied.
    :param rules: asked in order before the default; see docs/ssh-policy.md.
    :param typed: rules about lines typed in a shell on a terminal. They stop mistakes, not adversaries.
    :param approvers: groups that answer what `default` says to approve.
    :param environment: variables that a client may set, by glob.
    :param registered: "deny" refuses connections to the address of a registered target, which has a listener of its own.
    :param registry: the registered targets, for `registered`.
    :param names: looks up what names of hosts lead to, for `registered`.
    :param now: needed by rules with hours.
    """

    def __init__(
        self,
        *,
        default: Mapping[str, str],
        rules: Iterable[Mapping[str, object]] = (),
        typed: Iterable[Mapping[str, object]] = (),
        approvers: Iterable[str] = (),
        environment: Iterable[str] = VARIABLES,
        registered: str = DENY,
        registry: Iterable[Target] = (),
        names: Names | None = None,
        now: Now | None = None,
    ) -> None:
        faults = Gathering()
        self._approvers = frozenset(faults.of(lambda: texts(approvers, "approvers"), ()))
        example, may = 'kind to verdict, such as { exec = "allow" }', bool(self._approvers)
        self._default = faults.of(lambda: defaults(default, _NAMES, "kind of command", example=example, approvers=may), {})
        self._rules = tuple(faults.of(lambda: all_of(rule, rules, "rules"), []))
        self._typed = tuple(faults.of(lambda: all_of(typed_rule, typed, "typed"), []))
        self._environment = tuple(faults.of(lambda: texts(environment, "environment"), ()))
        if registered not in REGISTERED:
            faults.wrong(f"registered: unknown value {registered!r}; known: {', '.join(REGISTERED)}")
        faults.end()
        clock_for((one.conditions for one in (*self._rules, *self._typed)), now)
        self._registered, self._around, self._now = registered, Around(registry, names), now

    def accepts_variable(self, name: str, value: str) -> bool:
        """Whether a client may set it at its target."""
        return any(fnmatch.fnmatchcase(name, glob) for glob in self._environment)

    @property
    def reads_lines(self) -> bool:
        """Whether lines typed in a shell are to be read from its screen, which holds Enter for a moment."""
        return bool(self._typed)

    def refuses_line(self, session: Session, line: str) -> Deny | None:
        """Why a line is not to be sent to the shell; None when nothing is against it."""
        for each in self._typed:
            if each.conditions.fits(session) and (not each.conditions.timed or each.conditions.holds(self._now())):
                deny = each.refuses(line)
                if deny is not None:
                    return deny
        return None

    def on_command(self, hook: CommandHook) -> Verdict | Deferred[Verdict]:
        session, command = hook.session, hook.command
        if self._registered != DENY or not isinstance(command, Forward):
            return self._judged(session, command)
        around = self._around.refuses(session, command, named=self._named(session, command))
        if isinstance(around, Deferred):
            return around.addCallback(lambda deny: deny or self._judged(session, command))
        return around or self._judged(session, command)

    def _named(self, session: Session, command: Forward) -> bool:
        """Whether the rule that decides allows this very host by its name."""
        found = self._rule(session, command)
        return found is not None and found.verdict == ALLOW and any(each.is_just(command) for each in found.destinations)

    def _judged(self, session: Session, command: SshCommand) -> Verdict:
        found = self._rule(session, command)
        if found is None and isinstance(command, Forward) and command.arrives:
            return Allow("listener", remember=False)
        verdict = found.verdict if found is not None else self._default.get(KINDS[type(command)], DENY)
        if verdict == ALLOW:
            return Allow(found.name if found is not None else f"default.{KINDS[type(command)]}", remember=False)
        return self._hold(found, session, command) if verdict == APPROVE else _deny(found, command, self._hint(session, command))

    def _hint(self, session: Session, command: SshCommand) -> str:
        """What somebody may do whose command no rule covers."""
        if isinstance(command, Exec) and command.pty is not None:
            found = self._rule(session, replace(command, pty=None))
            if found is not None and found.verdict == ALLOW:
                return "A rule allows it without a terminal: ssh -T."
        return "Ask the gateway's operator for a rule."

    def _rule(self, session: Session, command: SshCommand) -> Rule | None:
        now: datetime.datetime | None = None
        for each in self._rules:
            if not each.conditions.fits(session) or not each.covers(command):
                continue
            if each.conditions.timed:
                now = now or self._now()
                if not each.conditions.holds(now):
                    continue
            return each
        return None

    def _hold(self, found: Rule | None, session: Session, command: SshCommand) -> Hold:
        kind = KINDS[type(command)]
        reason = f"This {_NAMES[kind]} needs another person's word."
        mode = hold_mode(found.mode if found is not None else "", session, command)
        return found.hold(reason, mode) if found is not None else Hold(f"default.{kind}", reason, self._approvers, mode=mode)


_WRITE_OUT = "what only the shell knows of it (variables, patterns, substitutions, loops) may be what the rule is about: write it out"


def _deny(found: Rule | None, command: SshCommand, hint: str) -> Deny:
    kind = KINDS[type(command)]
    facts = (("kind", kind),) + ((("action", command.action.value),) if isinstance(command, FileOperation) else ())
    if found is None:
        return Deny(f"No rule allows this {_NAMES[kind]} here.", "OST-211", hint=hint, facts=facts)
    reason = found.reason or f"Rule {found.name} refuses this {_NAMES[kind]}."
    perhaps = isinstance(command, Exec) and found.perhaps(command.line)
    return Deny(reason, "OST-203", rule=found.name, hint=_WRITE_OUT if perhaps else found.hint, facts=facts)
