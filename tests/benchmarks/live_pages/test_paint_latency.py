"""The time from the finish of a job until the page shows it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from live_pages.paint_latency import STREAM, TRANSPORTS, paint_latency
from offload.lifecycle import JobState
from offload.models import Job
from tests.tasks import add

pytestmark = pytest.mark.django_db


def paint_jobs(latencies: list[float]) -> dict[str, float]:
    """Finish one job a second; return when each was painted, these milliseconds later."""
    painted = {}
    for number, milliseconds in enumerate(latencies):
        finished_at = timezone.now() + timedelta(seconds=number)
        result = add.enqueue(number)
        Job.objects.filter(pk=result.id).update(state=JobState.SUCCESSFUL, finished_at=finished_at)
        painted[result.id] = 1000 * finished_at.timestamp() + milliseconds
    return painted


def test_the_latency_is_from_the_finish_of_the_same_job():
    text = paint_latency("sqlite", {STREAM: paint_jobs([10, 100, 20])})

    assert f"| sqlite | {STREAM} | 3 | 20.0 ms | 98.4 ms |" in text
    assert "| p50 of the stream, sqlite | 20.0 ms | 50.0 ms | 0.40 |" in text


def test_only_the_stream_has_a_goal():
    others = [name for name in TRANSPORTS if name != STREAM]
    text = paint_latency("sqlite", {name: paint_jobs([500, 500]) for name in others})

    assert text.count("| 500 ms | 500 ms |") == len(others)
    assert "p50 of the stream" not in text
