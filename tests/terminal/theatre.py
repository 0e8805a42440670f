"""A real program in a real pseudo-terminal, its output through a tape into a real store, and what a person saw of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "notary"))

from programs import Program  # noqa: E402
from recorded import Told, journal, session  # noqa: E402
from twisted.internet.task import Clock  # noqa: E402

from gateway.notary.store import Store  # noqa: E402
from protocols.command import Pty  # noqa: E402
from protocols.recording import Chunk, Recorded, Recorder, Settings  # noqa: E402
from protocols.screen import Screen  # noqa: E402
from protocols.session import Session  # noqa: E402
from protocols.ssh.filter import Filtered  # noqa: E402
from protocols.ssh.tape import Tape, Typing  # noqa: E402


class Stage:
    """One session on a store that answers at once. Time passes by hand: a second between two keys."""

    def __init__(self, store: Store, said: Session | None = None) -> None:
        self.clock, self.book, self.session = Clock(), journal(store), said or session()
        self.tapes: list[Tape] = []
        self.shown: list[bytes] = []
        self.screen = Screen(80, 24)  # the person's
        self.moments: list[tuple[int, list[str]]] = []  # how much was shown, and what the screen was then
        self.book.opened(self.session, {}, Told())

    def now(self) -> int:
        return int(self.clock.seconds() * 1e6)

    def chunk(self, chunk: Chunk, waiter: Tape) -> int:
        return self.book.chunk(self.session, chunk, waiter)

    def recorded(self, recorded: Recorded, waiter: Tape) -> int:
        return self.book.recorded(self.session, recorded, waiter)

    def later(self, seconds: float, call: Callable[[], None]) -> Any:
        return self.clock.callLater(seconds, call)

    def resume(self, channel: int) -> None:
        self.saw(self.tapes[-1].resume())

    def saw(self, did: Filtered) -> None:
        for data in [*(data for _, data in did.passed), did.ahead]:
            self.shown.append(data)
            self.screen.feed(data)

    def tape(self, settings: Settings = Settings(), pty: Pty | None = Pty("xterm-256color", 80, 24)) -> Tape:
        """The next recording begins."""
        self.tapes.append(Tape(self, settings, Recorder(len(self.tapes) + 1, 0, 1), 0, pty))
        return self.tapes[-1]

    def outputs(self, data: bytes) -> None:
        """The target sends, and the store answers."""
        self.saw(self.tapes[-1].feed(0, data))
        self.turn()

    def turn(self) -> None:
        self.clock.advance(0)
        self.book.flush()

    def ends(self) -> None:
        """The channel, and the session."""
        self.saw(self.tapes[-1].end())
        self.book.flush()
        self.saw(self.tapes[-1].resume())
        self.tapes[-1].closed()
        self.book.closed(self.session, "bye")
        self.book.flush()

    def plays(self, words: Sequence[str], where: Path, keys: Iterable[bytes | tuple[int, int]], settings: Settings = Settings()) -> bytes:
        """A program, the keys that somebody presses, or the sizes that he gives the window; what he saw."""
        tape = self.tape(settings)
        typing = Typing(tape)
        with Program(words, where) as program:
            self._pass(program.quiet(0.4))
            for key in keys:
                if isinstance(key, tuple):
                    program.resize(*key)
                    tape.resized(*key)
                    self.screen.resize(*key)
                else:
                    for _, data in typing.feed(0, key).passed:
                        program.send(data)
                self._pass(program.quiet())
                self.moments.append((sum(map(len, self.shown)), self.screen.display()))
                self.clock.advance(1)
        self.ends()
        return b"".join(self.shown)

    def _pass(self, output: bytes) -> None:
        for at in range(0, len(output), 700):
            self.outputs(output[at:at + 700])
