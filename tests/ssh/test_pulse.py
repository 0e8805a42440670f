"""Who keeps a connection and answers nothing is given up; who is only quiet is not."""

from __future__ import annotations

from twisted.internet.task import Clock

from protocols.ssh.pulse import ASKINGS, INTERVAL, Pulse


class Table:
    def __init__(self) -> None:
        self.clock, self.asked, self.gone = Clock(), [], []
        self.deaf: set[str] = set()
        self.pulse = Pulse(self.clock.callLater, self.asked.append, self._ended, self.deaf.__contains__)
        self.pulse.start()

    def _ended(self, side: str) -> None:
        self.gone.append(side)
        self.pulse.stop()

    def minutes(self, count: int, *answering: str) -> None:
        for _ in range(count):
            self.clock.advance(INTERVAL)
            for side in answering:
                self.pulse.heard(side)


def test_a_side_that_talks_is_not_asked() -> None:
    table = Table()
    table.minutes(10, "client", "target")
    assert table.asked == [] and table.gone == []


def test_a_quiet_side_that_answers_stays() -> None:
    """Asked every other time: its answer is the one thing that it says."""
    table = Table()
    table.pulse._ask = lambda side: (table.asked.append(side), table.pulse.heard(side))  # type: ignore[func-returns-value]
    table.minutes(10)
    assert set(table.asked) == {"client", "target"} and table.gone == []


def test_a_side_that_hangs_is_given_up_and_nothing_more_is_asked() -> None:
    table = Table()
    table.minutes(ASKINGS + 1, "client")
    assert table.asked == ["target"] * ASKINGS and table.gone == []
    table.minutes(1, "client")
    assert table.gone == ["target"]
    table.minutes(5)
    assert table.gone == ["target"] and not table.clock.getDelayedCalls()


def test_a_side_that_is_not_read_is_not_counted_silent() -> None:
    table = Table()
    table.deaf.add("target")
    table.minutes(20, "client")
    assert table.gone == [] and table.asked == []
