"""
COPY data that a client feeds: counted and digested, shown to who looks through it, and ended where that refuses it.

A target that copies in reads past a Sync, and one whose COPY has failed answers it: only the target knows which of them it was when
the Sync came. So none leaves while that is open, and what comes behind one that is held waits with it.

Source: PostgreSQL 18 manual, 54.2.6 "COPY Operations"; what is read during one: CopyGetData (src/backend/commands/copyfromparse.c).
"""

from __future__ import annotations

from typing import Any

from protocols.effects import Effect, ToTarget
from protocols.errors import PeerError
from protocols.postgres import messages
from protocols.postgres.codec import Frame
from protocols.postgres.conversation import Awaited, Conversation, Kind, Opinions
from protocols.postgres.ahead import Ahead
from protocols.postgres.intake import Piece, Run
from protocols.postgres.names import feeds
from protocols.postgres.running import Running
from protocols.result import Inspection, Uninspected

_NOTHING = Uninspected()
_FLUSH, _SYNC = messages.Flush().encode(), messages.Sync().encode()
_AMID = b"dcfHSX"  # what may come before a COPY's end


class Feed:
    """Of one session."""

    __slots__ = ("_opinions", "_talk")

    def __init__(self, conversation: Conversation, opinions: Opinions) -> None:
        self._talk, self._opinions = conversation, opinions

    def asked(self, entry: Awaited) -> None:
        """A command is on its way that was not refused."""
        if feeds(entry.running.decision.sent):
            entry.ahead, self._talk.asking = Ahead(), entry

    def waits(self, message: Any) -> bool:
        """
        Whether it must wait for the end of a COPY, or for word that there is none: behind a Sync, and what may want data itself.

        :raises PeerError: the target is being fed, and would end the session for it.
        """
        asking, tag = self._talk.asking, message.tag if type(message) is Frame else b""
        if asking is None or isinstance(message, (Piece, Run)) or (tag and tag in _AMID):
            return False
        if self._talk.copying is not None:
            raise PeerError("a message that is no COPY data, before the end of the data")
        return asking.ahead.held > 0 or tag == b"E" or (tag == b"Q" and feeds(message.body.decode("latin-1")))

    def hold(self) -> list[Effect] | None:
        """
        A Sync came: what is sent in its place when it is held; None when it is not. Of an Execute the target would keep the word that it
        is complete until a Sync, or a Flush.
        """
        asking = self._talk.asking
        if asking is None or (asking.kind is Kind.EXECUTE and asking.ahead.whole):
            return None
        self._room(asking.ahead).sync()
        return [ToTarget(_FLUSH)] if asking.kind is Kind.EXECUTE and self._talk.copying is None else []

    def answered(self) -> list[Effect]:
        """What may have asked for data is answered: the Syncs that no COPY has read past leave."""
        talk = self._talk
        if talk.asking is None or any(entry is talk.asking for entry in talk.awaited):
            return []
        talk.asking, count = None, talk.asking.ahead.held
        if not count:
            return []
        talk.skipping = False
        for _ in range(count):
            talk.wait_for(Awaited(Kind.SYNC))
        return [ToTarget(_SYNC * count)]

    def parting(self) -> bytes:
        """What its client's goodbye must not overtake."""
        return b"" if self._talk.asking is None else _SYNC * self._talk.asking.ahead.held

    @staticmethod
    def _room(ahead: Ahead) -> Ahead:
        if ahead.full:
            raise PeerError("too many Syncs before the end of COPY data")
        return ahead

    def data(self, data: bytes, content: bytes | memoryview, piece: Piece | None = None) -> list[Effect]:
        """
        Whole CopyData messages, or a piece of one.

        :param content: what they carry.
        """
        running = self._talk.copying or self._next()
        if running is None:
            return []  # outside COPY a server drops it
        self._talk.asking.ahead.data(asked=self._talk.copying is not None)
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
        talk = self._talk
        self._room(talk.asking.ahead).end(asked=talk.copying is not None)
        if talk.copying is not None:
            talk.copying = None
            talk.asking = None if talk.asking.kind is Kind.EXECUTE else talk.asking  # a string may copy again

    def _next(self) -> Running | None:
        """The command whose COPY a client may already be feeding before the target asked for data."""
        asking = self._talk.asking
        if asking is None or (asking.kind is Kind.EXECUTE and asking.ahead.whole):
            return None
        return None if asking.running.ended or asking.running.halted else asking.running
