"""How soon an idle engine takes up one job."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from load.engine import PAUSE, running

SPACING = 0.05
"""Seconds between two jobs, so that each finds the engine idle."""
WARM_UP = 10


@dataclass(frozen=True)
class PickUp:
    """Milliseconds from `enqueue()` to the claim, and to the stored result."""

    p50: float
    p99: float
    result_p50: float


def pick_up(jobs: int, **variables: str) -> PickUp:
    """Enqueue jobs one by one beside an idle engine that serves the queue "default" only."""
    from load.tasks import noop  # noqa: PLC0415  # needs the app registry

    with running("--queues=default", **variables):
        made = []
        for _ in range(WARM_UP + jobs):
            made.append(noop.enqueue().id)
            PAUSE.wait(SPACING)
        PAUSE.wait(1)
        return times_of(made[WARM_UP:])


def times_of(jobs: list[str]) -> PickUp:
    """Return how long finished jobs waited."""
    from offload.models import Job  # noqa: PLC0415  # needs the app registry

    rows = Job.objects.filter(pk__in=jobs, finished_at__isnull=False)
    times: list[Any] = list(rows.values_list("enqueued_at", "last_attempted_at", "finished_at"))
    if len(times) < 0.9 * len(jobs):  # the last may have met no engine any more
        raise RuntimeError(f"Only {len(times)} of {len(jobs)} jobs were finished.")
    claims = _percentiles([(claimed - since).total_seconds() for since, claimed, _ in times])
    results = _percentiles([(ended - since).total_seconds() for since, _, ended in times])
    return PickUp(claims[49], claims[98], results[49])


def _percentiles(seconds: list[float]) -> list[float]:
    return quantiles([1000 * second for second in seconds], n=100, method="inclusive")
