"""How soon jobs were taken up, by what their rows say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from load.pickup import times_of
from offload.lifecycle import JobState
from offload.models import Job
from tests.tasks import add

pytestmark = pytest.mark.django_db


def taken_up(after: list[float]) -> list[str]:
    """Return jobs that were claimed after so many milliseconds, and ended 3 ms later."""
    ids = []
    for milliseconds in after:
        ids.append(add.enqueue(1).id)
        claimed = timezone.now() + timedelta(milliseconds=milliseconds)
        Job.objects.filter(pk=ids[-1]).update(
            state=JobState.SUCCESSFUL,
            enqueued_at=claimed - timedelta(milliseconds=milliseconds),
            last_attempted_at=claimed,
            finished_at=claimed + timedelta(milliseconds=3),
        )
    return ids


def test_the_claim_and_the_result_are_told_apart():
    found = times_of(taken_up([2, 30, 1]))

    assert found.p50 == pytest.approx(2)
    assert found.result_p50 == pytest.approx(5)


def test_no_job_is_slower_than_the_slowest():
    assert times_of(taken_up([1, 1, 1, 100])).p99 <= 100


def test_lost_jobs_are_no_quick_ones():
    jobs = taken_up([1, 1, 1])

    with pytest.raises(RuntimeError, match="Only 3 of 4 jobs were finished"):
        times_of([*jobs, add.enqueue(1).id])
