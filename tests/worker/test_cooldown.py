"""Slow operations pause in proportion to their time."""

from __future__ import annotations

import pytest

from offload.worker.cooldown import MIN_COOLDOWN_SECONDS, SLOW_SECONDS, Cooldown
from tests.worker.clock import Clock


@pytest.mark.parametrize(
    ("took", "remaining"),
    [(SLOW_SECONDS, 0.0), (SLOW_SECONDS * 1.1, MIN_COOLDOWN_SECONDS), (2.0, 20.0)],
)
def test_a_slow_operation_pauses_ten_times_as_long_as_it_took(
    took: float, remaining: float
) -> None:
    clock = Clock()
    cooldown = Cooldown(clock)
    with cooldown.measure():
        clock.now += took
    assert cooldown.remaining == pytest.approx(remaining)
    assert cooldown.is_over == (not remaining)

    clock.now += remaining
    assert cooldown.is_over


def test_an_operation_that_is_quick_again_has_no_pause() -> None:
    cooldown = Cooldown(Clock())
    cooldown.start(3600)
    cooldown.start(0)
    assert cooldown.is_over
    assert cooldown.remaining == 0
