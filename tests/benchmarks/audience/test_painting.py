"""From a job's end to the screen."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from audience.painting import STREAM, TRANSPORTS, painting
from offload.lifecycle import JobState
from offload.models import Job
from tests.tasks import add

pytestmark = pytest.mark.django_db


def ended(late: list[float]) -> dict[str, float]:
    """Return when jobs were painted that had ended so many ms before, one a second."""
    painted = {}
    for number, milliseconds in enumerate(late):
        end = timezone.now() + timedelta(seconds=number)
        result = add.enqueue(number)
        Job.objects.filter(pk=result.id).update(state=JobState.SUCCESSFUL, finished_at=end)
        painted[result.id] = 1000 * end.timestamp() + milliseconds
    return painted


def test_each_job_is_late_by_its_own_end():
    text = painting("sqlite", {STREAM: ended([10, 100, 20])})

    assert f"| sqlite | {STREAM} | 3 | 20.0 ms | 98.4 ms |" in text
    assert "| p50 of the stream, sqlite | 20.0 ms | 50.0 ms | 0.40 |" in text


def test_only_the_stream_has_a_goal():
    others = [name for name in TRANSPORTS if name != STREAM]
    text = painting("sqlite", {name: ended([500, 500]) for name in others})

    assert text.count("| 500 ms | 500 ms |") == len(others)
    assert "p50 of the stream" not in text
