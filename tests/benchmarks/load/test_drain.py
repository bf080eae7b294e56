"""How fast a queue was drained, by what its rows say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from django.utils import timezone

from load.drain import rates
from offload.lifecycle import JobState
from offload.models import Job
from offload.timestamps import to_datetime, to_microseconds
from tests.tasks import add

pytestmark = pytest.mark.django_db


def ended(after: Iterable[int]) -> int:
    """Finish jobs so many milliseconds after the first claim; return when that was."""
    begun = to_datetime(to_microseconds(timezone.now()))
    for milliseconds in after:
        Job.objects.filter(pk=add.enqueue(1).id).update(
            state=JobState.SUCCESSFUL,
            last_attempted_at=begun,
            finished_at=begun + timedelta(milliseconds=milliseconds),
        )
    return to_microseconds(begun)


def test_a_steady_drain_has_one_rate():
    found = rates(ended(range(10, 1010, 10)))

    assert (found.jobs, found.rate) == (100, 100)
    assert (found.first, found.slowest, found.last) == (100, 100, 100)


def test_the_slowest_tenth_is_found_wherever_it_is():
    quick, slow = range(10, 510, 10), range(600, 1600, 100)
    found = rates(ended([*quick, *slow, *range(1510, 1910, 10)]))

    assert (found.first, found.slowest, found.last) == (100, 10, 100)
    assert found.rate == pytest.approx(100 / 1.9)


def test_jobs_that_ended_before_are_not_counted():
    ended([-5])

    with pytest.raises(RuntimeError, match="No job was successful"):
        rates(to_microseconds(timezone.now()))
