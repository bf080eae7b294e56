"""The time until an idle worker claims a job."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from load.worker import PAUSE, running_worker

SPACING_SECONDS = 0.05
"""Pause between two jobs, so that each finds the worker idle."""
WARM_UP_JOBS = 10


@dataclass(frozen=True)
class PickupLatency:
    """Milliseconds from `enqueue()` to the claim, and to the stored result."""

    p50: float
    p99: float
    result_p50: float


def measure_pickup(jobs: int, **variables: str) -> PickupLatency:
    """Enqueue jobs one by one while an idle worker serves only the queue "default"."""
    from load.tasks import noop  # noqa: PLC0415  # needs the app registry

    with running_worker("--queues=default", **variables):
        ids = []
        for _ in range(WARM_UP_JOBS + jobs):
            ids.append(noop.enqueue().id)
            PAUSE.wait(SPACING_SECONDS)
        PAUSE.wait(1)
        return pickup_latency(ids[WARM_UP_JOBS:])


def pickup_latency(ids: list[str]) -> PickupLatency:
    """Return how long finished jobs waited."""
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    rows = Job.objects.filter(pk__in=ids, finished_at__isnull=False)
    times: list[Any] = list(rows.values_list("enqueued_at", "last_attempted_at", "finished_at"))
    if len(times) < 0.9 * len(ids):  # the worker may have stopped before the last ones
        raise RuntimeError(f"Only {len(times)} of {len(ids)} jobs were finished.")
    claims = _percentiles([(claimed - sent).total_seconds() for sent, claimed, _ in times])
    results = _percentiles([(finished - sent).total_seconds() for sent, _, finished in times])
    return PickupLatency(claims[49], claims[98], results[49])


def _percentiles(seconds: list[float]) -> list[float]:
    return quantiles([1000 * second for second in seconds], n=100, method="inclusive")
