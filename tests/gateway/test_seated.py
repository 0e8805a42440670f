"""Who has a session, or nearly has one, when the configuration changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from gateway.opening import Opening, Refused
from gateway.seated import NOT_ANY_MORE, Seated
from protocols.session import Identity, Session, Target
from protocols.verdict import Allow, Deny

SESSION = Session("s", Identity("ada"), Target("db", "postgres", "h", 5432), "app", "db", "p", "", 1)


class Sat(Seated):
    """Told how it was judged and ended."""

    def __init__(self, answer: Any) -> None:
        self.session, self.asked, self.killed, self.judged = SESSION, [], "", 0
        config = SimpleNamespace(identities={})
        self._worker: Any = SimpleNamespace(config=config, pipeline=SimpleNamespace(admit=self._admit), sessions={"s": self})
        self._answer = answer

    def _admit(self, session: Session, again: bool) -> Any:
        self.asked.append((session, again))
        return self._answer

    def kill(self, why: str) -> None:
        self.killed = why
        self._worker.sessions.pop("s", None)

    def _judge_again(self) -> None:
        self.judged += 1


@pytest.mark.parametrize("answer", [Deny("no"), succeed(Deny("no")), fail(RuntimeError())], ids=["deny", "later-deny", "failed"])
def test_who_could_not_begin_any_more_ends_before_what_is_held_is_judged(answer: Any) -> None:
    """Also where it cannot be known."""
    sat = Sat(answer)
    sat.reconsider()
    assert (sat.killed, sat.judged, sat.asked) == (NOT_ANY_MORE, 0, [(SESSION, True)])


def test_who_may_stay_is_judged_again_and_a_later_no_still_ends_it() -> None:
    stays, waits = Sat(Allow()), Sat(Deferred())
    stays.reconsider()
    waits.reconsider()
    assert (stays.killed, stays.judged, waits.killed, waits.judged) == ("", 1, "", 1)
    waits._answer.callback(Deny("no"))
    assert waits.killed == NOT_ANY_MORE


def test_a_login_that_a_reload_overtakes_gets_no_session() -> None:
    """It was admitted by what is not in force any more, and no reload asks about it again."""
    closed: list[Any] = []
    settings = SimpleNamespace(start=lambda session, path: None, closed=closed.append)
    dropped: list[bool] = []
    transport = SimpleNamespace(abortConnection=lambda: dropped.append(True))
    worker: Any = SimpleNamespace(settings=settings, revision=2)
    done: Any = SimpleNamespace()
    opening = Opening(worker, None, "p", "postgres", done)
    opening._session, opening._search_path = SESSION, ""
    upstream: Any = SimpleNamespace(transport=transport, parameters={})
    with pytest.raises(Refused) as refused:
        opening._connected(upstream)
    assert refused.value.code == "OST-632" and closed == [SESSION] and dropped == [True]
