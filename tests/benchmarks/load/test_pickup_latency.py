"""Pick-up latencies, computed from the timestamps of jobs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from load.pickup_latency import pickup_latency
from offload.lifecycle import JobState
from offload.models import Job
from tests.tasks import add

pytestmark = pytest.mark.django_db


def finish_jobs(after: list[float]) -> list[str]:
    """Return jobs that were claimed after these milliseconds, and finished 3 ms later."""
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


def test_the_claim_and_the_result_have_separate_latencies():
    latency = pickup_latency(finish_jobs([2, 30, 1]))

    assert latency.p50 == pytest.approx(2)
    assert latency.result_p50 == pytest.approx(5)


def test_no_percentile_exceeds_the_slowest_job():
    assert pickup_latency(finish_jobs([1, 1, 1, 100])).p99 <= 100


def test_missing_jobs_are_an_error():
    ids = finish_jobs([1, 1, 1])

    with pytest.raises(RuntimeError, match="Only 3 of 4 jobs were finished"):
        pickup_latency([*ids, add.enqueue(1).id])
