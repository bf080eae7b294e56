"""When an engine looks at the whole queue, although hints may come all the time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from offload.conf import BackendOptions
from offload.notifier import Hint, Listener
from offload.worker.claiming import poller as module
from offload.worker.claiming.poller import LONGEST_ECHO, Poller
from tests.worker.clock import Clock


class Listening(Listener):
    """Hears what a test lets it hear."""

    check_interval = poll_interval = 15.0
    repoll_delay = 0.015

    def __init__(self) -> None:
        self.heard: set[Hint] = set()

    def fileno(self) -> None:
        return None

    def receive(self) -> set[Hint]:
        return self.heard

    def close(self) -> None: ...


class Engine:
    """What of one waits and looks."""

    def __init__(self, clock: Clock, listener: Listening) -> None:
        self._clock = clock
        self._listener = listener
        self.looks = 0
        floors: Any = SimpleNamespace(serves=bool, owes_sweep=False)
        promotion: Any = SimpleNamespace(hasten=self._look)
        self.lookout = Poller(floors, BackendOptions())
        self.lookout.open(promotion)
        self.lookout.look_if_due()
        self.looks = 0

    def _look(self) -> None:
        self.looks += 1

    def pass_time(self, seconds: float, *hints: Hint) -> int:
        """Let time pass in steps of 10 ms, with these hints in each; return the looks."""
        before = self.looks
        self._listener.heard = set(hints)
        for _ in range(round(seconds / 0.01)):
            self._clock.now += 0.01
            self.lookout.hints()
            self.lookout.look_if_due()
        return self.looks - before


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    clock, listener = Clock(), Listening()
    notifier = SimpleNamespace(listen=lambda *_: listener)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(module, "get_notifier", lambda _: notifier)
    return Engine(clock, listener)


def test_a_hint_is_followed_by_one_look(engine: Engine) -> None:
    assert engine.pass_time(0.01, Hint.WORK) == 0
    assert engine.pass_time(0.02) == 1
    assert engine.pass_time(LONGEST_ECHO + 0.1) == 0
    assert engine.pass_time(10) == 0


def test_hints_that_come_all_the_time_do_not_put_looks_off_for_ever(engine: Engine) -> None:
    """One of them may be about a job that is due soon, and only a look tells when."""
    looks = engine.pass_time(10 * LONGEST_ECHO, Hint.WORK)
    assert 8 <= looks <= 12
    assert engine.pass_time(0.02) == 1  # for those that were left out after the last


def test_other_hints_are_followed_by_no_look(engine: Engine) -> None:
    assert engine.pass_time(5, Hint.CONTROL, Hint.WATCH) == 0
