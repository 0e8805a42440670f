"""
COPY data that a client feeds: counted and digested, shown to who looks through it, and ended where that refuses it.

Source: PostgreSQL 18 manual, 54.2.6 "COPY Operations".
"""

from __future__ import annotations

from protocols.effects import Effect, ToTarget
from protocols.postgres import messages
from protocols.postgres.codec import Frame
from protocols.postgres.conversation import Awaited, Conversation, Opinions
from protocols.postgres.intake import Piece
from protocols.postgres.running import Running
from protocols.result import Inspection, Uninspected

_NOTHING = Uninspected()


class Feed:
    """
    Of one session.

    :ivar asker: the last command, which may want COPY data.
    """

    __slots__ = ("_opinions", "_talk", "asker")

    def __init__(self, conversation: Conversation, opinions: Opinions) -> None:
        self._talk, self._opinions = conversation, opinions
        self.asker: Awaited | None = None

    def data(self, data: bytes, content: bytes | memoryview, piece: Piece | None = None) -> list[Effect]:
        """
        Whole CopyData messages, or a piece of one.

        :param content: what they carry.
        """
        running = self._talk.copying or self._next()
        if running is None:
            return []  # outside COPY a server drops it
        running.copy(content)
        if self._opinions.hears_data and running.halting is None:
            running.halting = self._inspection(running).take(content)
        if running.halting is None:
            return [ToTarget(data)]
        begun = [ToTarget(data)] if piece else []  # the target waits for all of a message whose head it has
        return begun if piece and piece.left else [*begun, self._halt(running)]

    def end(self, frame: Frame) -> list[Effect] | None:
        """CopyDone or CopyFail; None when it goes on as it came."""
        running = self._talk.copying or self._next()
        if running is None:
            return []
        if self._opinions.hears_data and frame.tag == b"c":
            running.halting = running.halting or self._inspection(running).end()
        if running.halting is not None:
            return [self._halt(running)]
        self._fed()
        return None

    def _inspection(self, running: Running) -> Inspection:
        if not running.inspected:
            running.inspected, running.inspection = True, self._opinions.inspection(running.decision)
        return running.inspection or _NOTHING

    def _halt(self, running: Running) -> Effect:
        """Have the target fail a COPY, and whatever stands in one string or transaction with it, in our words."""
        running.halted = True
        running.alarm = running.alarm or f"the client's data was refused ({running.halting.code})"
        self._fed()
        return ToTarget(messages.CopyFail("refused").encode())

    def _fed(self) -> None:
        """The data of a COPY has come to its end."""
        if self._talk.copying is None:
            self._talk.awaited[-1].fed += 1
        self._talk.copying = None

    def _next(self) -> Running | None:
        """The command whose COPY a client may already be feeding before the target asked for data."""
        if self.asker is None or not self._talk.awaited or self._talk.skipping:
            return None
        running = self.asker.running
        return None if running is None or running.ended or running.halted else running
