"""Drain rates, computed from the timestamps of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.utils import timezone

from load.drain_rate import drain_rate_since
from offload.lifecycle import JobState
from offload.models import Job
from offload.timestamps import to_datetime, to_microseconds
from tests.tasks import add

pytestmark = pytest.mark.django_db


def finish_jobs(after: Iterable[int]) -> int:
    """Finish jobs these milliseconds after the first claim; return the time of the claim."""
    claimed = to_datetime(to_microseconds(timezone.now()))
    for milliseconds in after:
        Job.objects.filter(pk=add.enqueue(1).id).update(
            state=JobState.SUCCESSFUL,
            last_attempted_at=claimed,
            finished_at=claimed + timedelta(milliseconds=milliseconds),
        )
    return to_microseconds(claimed)


def test_a_steady_drain_has_one_rate():
    rate = drain_rate_since(finish_jobs(range(10, 1010, 10)))

    assert (rate.jobs, rate.rate) == (100, 100)
    assert (rate.first, rate.slowest, rate.last) == (100, 100, 100)


def test_the_slowest_tenth_may_be_anywhere():
    fast, slow = range(10, 510, 10), range(600, 1600, 100)
    rate = drain_rate_since(finish_jobs([*fast, *slow, *range(1510, 1910, 10)]))

    assert (rate.first, rate.slowest, rate.last) == (100, 10, 100)
    assert rate.rate == pytest.approx(100 / 1.9)


def test_jobs_that_finished_before_are_not_counted():
    finish_jobs([-5])

    with pytest.raises(RuntimeError, match="No job was successful"):
        drain_rate_since(to_microseconds(timezone.now()))
