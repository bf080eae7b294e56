"""Timers of the worker's loop."""

from __future__ import annotations

import pytest

from offload.worker.timers import Timer


class Calls:
    """Counts calls, and returns the delays in `delays` one after the other."""

    def __init__(self, *delays: float | None) -> None:
        self.delays = list(delays)
        self.count = 0

    def __call__(self) -> float | None:
        self.count += 1
        return self.delays.pop(0) if self.delays else None


def test_a_timer_calls_at_once_and_then_at_intervals() -> None:
    calls = Calls()
    timer = Timer(calls, 10.0)
    for now in range(1000, 1100):
        timer.run_if_due(now)
    assert 9 <= calls.count <= 12


def test_the_function_may_shorten_the_interval_but_not_extend_it() -> None:
    timer = Timer(Calls(2.0, 3600.0), 10.0)
    timer.run_if_due(1000.0)
    assert timer.due_at == 1002.0
    timer.run_if_due(1002.0)
    assert timer.due_at == 1012.0


def test_a_timer_that_was_made_due_calls_at_once() -> None:
    calls = Calls()
    timer = Timer(calls, 10.0)
    timer.run_if_due(1000.0)
    timer.make_due()
    timer.run_if_due(1000.0)
    assert calls.count == 2


def test_a_call_that_raises_is_repeated_after_the_interval() -> None:
    calls = Calls()

    def fail() -> None:
        calls()
        raise RuntimeError

    timer = Timer(fail, 10.0)
    with pytest.raises(RuntimeError):
        timer.run_if_due(1000.0)
    timer.run_if_due(1000.0)
    assert calls.count == 1
    with pytest.raises(RuntimeError):
        timer.run_if_due(1011.0)
    assert calls.count == 2
