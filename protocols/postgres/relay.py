"""
The relay of one PostgreSQL session after both logins: bytes and verdicts in, effects out.

Joins the client's half (`frontend`) and the target's half (`backend`) over one
`Conversation`. Knows no transport, clock, log or randomness.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from protocols.effects import Effect, ToClient
from protocols.postgres.backend import Backend
from protocols.postgres.codec import LARGE, STREAM_OVER, goes_on
from protocols.postgres.conversation import Conversation, Opinions
from protocols.postgres.frontend import Frontend
from protocols.postgres.refusal import denial, ending, ungranted, unrecorded, waiting
from protocols.postgres.repeat import Repeat
from protocols.postgres.replies import ErrorResponse, NoticeResponse
from protocols.spool import Spools
from protocols.verdict import Decision, Hold

_COPY_DATA = b"d"[0]


class PostgresRelay:
    """Between one client and one target, both logged in."""

    def __init__(self, opinions: Opinions, settings: Mapping[str, str], spools: Spools | None = None) -> None:
        """
        :param settings: what the target reported at login (ParameterStatus).
        :param spools: for values that are too long to be held; None refuses them.
        """
        lower = MappingProxyType({name.lower(): value for name, value in settings.items()})
        self._talk, self._opinions = Conversation(lower), opinions
        self._frontend = Frontend(self._talk, opinions, spools)
        self._backend = Backend(self._talk, opinions)
        self.repeat = Repeat(self._talk, opinions, self._frontend, self._backend)  #: as Relay's

    def from_client(self, data: bytes) -> list[Effect]:
        """What the client said; Malformed comes last when it broke the protocol."""
        if self.repeat.calm:
            self.repeat.settle()
        if len(data) < LARGE:
            return self._frontend.feed(data)
        return [effect for portion in self._frontend.portions(data) for effect in self._frontend.feed(portion)]

    def hand_back(self) -> bytes | None:
        """As a Relay; in a COPY whose data nobody looks at."""
        return self._frontend.intake.hand_back() if self._streams else None

    def stream(self, data: memoryview) -> tuple[int, bool]:
        """As a Relay, behind a `hand_back`: whole CopyData messages are counted and digested."""
        if not self._streams or self._frontend.behind:
            return 0, False
        size = self._talk.copying.copy_run(data, STREAM_OVER)
        self._talk.asking.ahead.data(asked=True)
        self._frontend.intake.passed(size)
        return size, goes_on(data[size:], _COPY_DATA)

    @property
    def _streams(self) -> bool:
        running = self._talk.copying
        if running is None or self._frontend.intake is None:
            return False
        return not self._opinions.hears_data or (running.inspected and running.inspection is None)

    def from_target(self, data: bytes) -> list[Effect]:
        """What the target said; Malformed comes last when it broke the protocol or answered out of order."""
        if self.repeat.calm:
            self.repeat.settle()
        if len(data) < LARGE:
            effects = self._backend.feed(data)
        else:
            effects = [effect for portion in self._backend.portions(data) for effect in self._backend.feed(portion)]
        if self._talk.asking is not None:
            effects += self._frontend.due()
        return effects + self._frontend.pull() if self._frontend.full else effects

    def cut(self, data: bytes) -> bool:
        """Whether the target's next read is of rows and ends inside one; see `protocols.relay`."""
        return self._backend.cut(data)

    def answer(self, decision: Decision) -> list[Effect]:
        """The verdict on the last Ask."""
        return self._frontend.answer(decision)

    def reconsider(self) -> None:
        """The configuration has changed: what portals go on with is decided again."""
        for portal in self._talk.portals.values():
            portal.stale = True

    def held(self, request: str, hold: Hold) -> list[Effect]:
        """People are asked: tell the client whom and how."""
        return self._backend.aside(ToClient(NoticeResponse(waiting(request, hold)).encode()))

    def refused(self, number: int, why: str) -> list[Effect]:
        """Its record was refused, so the target gets its poison: its error becomes ours."""
        running = self._talk.intended.get(number)
        if running is not None:
            running.refusal = denial(unrecorded(why), number)
        return []

    def ungranted(self, number: int, why: str) -> list[Effect]:
        """Its grant was not good any more: as `refused`, in other words."""
        running = self._talk.intended.get(number)
        if running is not None:
            running.refusal = denial(ungranted(why), number)
        return []

    def withdrawn(self) -> bool:
        """Whether Terminate came behind a held command."""
        return self._frontend.terminates()

    def close(self, why: str, unsent: Collection[int] = ()) -> list[Effect]:
        """As Relay's."""
        self._frontend.discard()
        return self._talk.abandon(unsent)

    def farewell(self, why: str) -> bytes:
        """
        Last words: a FATAL error, as a server gives. None where the target has already said its own,
        or where they would land inside a row.
        """
        if self._talk.dying or self._backend.midway:
            return b""
        return ErrorResponse(ending(why)).encode()

    @property
    def behind(self) -> int:
        """Bytes from the client not looked at yet."""
        return self._frontend.behind

    @property
    def idle(self) -> bool:
        """Whether nothing is awaited and no transaction is open."""
        return not self._talk.awaited and self._talk.transaction.value == "I" and self._frontend.intake is not None
