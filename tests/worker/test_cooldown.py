"""What takes long rests ten times as long, by a clock of the test's own."""

from __future__ import annotations

import pytest

from offload.worker.cooldown import LEAST, SLOW, Cooldown
from tests.worker.clock import Clock


@pytest.mark.parametrize(("took", "left"), [(SLOW, 0.0), (SLOW * 1.1, LEAST), (2.0, 20.0)])
def test_what_took_long_rests_in_proportion(took: float, left: float) -> None:
    clock = Clock()
    rest = Cooldown(clock.monotonic)
    with rest.after():
        clock.now += took
    assert rest.left == pytest.approx(left)
    assert rest.is_over == (not left)

    clock.now += left
    assert rest.is_over


def test_what_is_quick_again_rests_no_more() -> None:
    rest = Cooldown(Clock().monotonic)
    rest.begin(3600)
    rest.begin(0)
    assert rest.is_over
    assert rest.left == 0
