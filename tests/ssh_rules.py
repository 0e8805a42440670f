"""Addons for tests of SSH: what a site's own rules could be."""

from __future__ import annotations

from protocols.command import Exec
from protocols.hooks import CommandHook, SessionHook
from protocols.verdict import Allow, Deny, Hold, Verdict


class Forwards:
    """Everything passes, forwards by a rule's name; but for lines that say otherwise."""

    def on_command(self, hook: CommandHook) -> Verdict:
        command = hook.command
        if isinstance(command, Exec) and b"forbidden" in command.line:
            return Deny("that is forbidden here", "SITE-001", "no-forbidden")
        if isinstance(command, Exec) and b"precious" in command.line:
            return Hold("precious", "It is precious.", frozenset({"approvers"}))
        return Allow("forwards", remember=False)


class NotHope:
    """Hope reaches nothing."""

    def on_session(self, hook: SessionHook) -> Verdict:
        if hook.session.identity.subject.startswith("hope@"):
            return Deny("not for hope", "SITE-002", "not-hope")
        return Allow("others", remember=False)
