"""When the watcher polls the database."""

from __future__ import annotations

import pytest

from offload.notifier.polling import PollingListener
from offload.watching.poll_timer import (
    COOLDOWN_FACTOR,
    MAX_COOLDOWN_SECONDS,
    MAX_POLL_INTERVAL,
    MAX_RELIABLE_POLL_INTERVAL,
    SLOW_QUERY_SECONDS,
    PollTimer,
)
from tests.worker.clock import Clock


class ReliableListener(PollingListener):
    """A listener that reports every change."""

    check_interval = poll_interval = 15.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


def polls(timer: PollTimer, clock: Clock, seconds: float) -> int:
    """Let time pass in steps of 1 ms; return how often the timer was due."""
    count = 0
    for _ in range(round(seconds * 1000)):
        clock.now += 0.001
        if timer.is_due:
            timer.polled(took=0.0)
            count += 1
    return count


def test_without_hints_polls_follow_at_growing_intervals(clock):
    timer = PollTimer(PollingListener(), clock)

    assert timer.is_due
    assert polls(timer, clock, 0.3) >= 6
    assert 3 <= polls(timer, clock, 4 * MAX_POLL_INTERVAL) <= 4


def test_a_reliable_listener_needs_fewer_polls(clock):
    timer = PollTimer(ReliableListener(), clock)
    polls(timer, clock, 5)

    assert 3 <= polls(timer, clock, 4 * MAX_RELIABLE_POLL_INTERVAL) <= 4


def test_a_hint_is_followed_by_a_second_poll_for_hints_that_were_left_out(clock):
    timer = PollTimer(ReliableListener(), clock)
    polls(timer, clock, 5)
    timer.expect_change()

    assert timer.timeout() == 0
    assert polls(timer, clock, 0.002) == 1
    assert polls(timer, clock, 2 * ReliableListener.repoll_delay) == 1


def test_a_poll_follows_a_new_subscription_at_once(clock):
    timer = PollTimer(PollingListener(), clock)
    polls(timer, clock, 5)
    timer.restart()

    assert timer.is_due
    assert polls(timer, clock, 0.02) >= 3


@pytest.mark.parametrize("took", [0.01, 10.0])
def test_a_slow_query_is_followed_by_a_cooldown(clock, took):
    timer = PollTimer(PollingListener(), clock)
    timer.polled(took=took)
    timer.expect_change()
    cooldown = min(COOLDOWN_FACTOR * (took - SLOW_QUERY_SECONDS), MAX_COOLDOWN_SECONDS)

    assert not timer.is_due
    assert timer.timeout() == pytest.approx(cooldown)
    clock.now += cooldown
    assert timer.is_due
