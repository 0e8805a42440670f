"""What a target says beside its answers, as the addons let the client see it: notices, notifications, and the fields of any text."""

from __future__ import annotations

from dataclasses import replace

from protocols.effects import Effect, ToClient
from protocols.postgres import replies
from protocols.postgres.codec import Frame
from protocols.postgres.conversation import Conversation, Opinions
from protocols.postgres.running import Running


class Texts:
    """Of one session. None is: it may pass as it came."""

    __slots__ = ("_opinions", "_talk")

    def __init__(self, conversation: Conversation, opinions: Opinions) -> None:
        self._talk, self._opinions = conversation, opinions

    def shown(self, kind: str, fields: dict[str, str], running: Running | None) -> dict[str, str] | None:
        """What the addons make of some fields, which come of this command."""
        if not self._opinions.hears_text:
            return None
        shown = self._opinions.text(kind, fields, running.decision if running else None)
        return None if shown == fields else shown

    def notice(self, frame: Frame) -> list[Effect] | None:
        """NoticeResponse."""
        head = self._talk.head
        shown = self.shown("notice", dict(replies.NoticeResponse.parse(frame.body).fields), head and head.running)
        return None if shown is None else [ToClient(replies.NoticeResponse(shown).encode())]

    def notification(self, frame: Frame) -> list[Effect] | None:
        """NotificationResponse."""
        message = replies.NotificationResponse.parse(frame.body, self._talk.codec)
        shown = self.shown("notification", {"channel": message.channel, "payload": message.payload}, None)
        if shown is None:
            return None
        return [ToClient(replace(message, channel=shown["channel"], payload=shown["payload"]).encode(self._talk.codec))]
