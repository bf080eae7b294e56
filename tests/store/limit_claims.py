"""What a worker claims of jobs with limits."""

from __future__ import annotations

from collections import Counter

from offload.store.base import Store
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimedJob, FinishedJob
from tests.jobs import NO_CLAIM


def claim(
    store: Store,
    worker: str,
    *queues: str,
    slots: int | tuple[int, int] = 100,
    finished: tuple[FinishedJob, ...] = (),
) -> list[ClaimedJob]:
    """Claim jobs with a limit, for as many slots of each kind, or for a pair of both."""
    sync, asynchronous = slots if isinstance(slots, tuple) else (slots, slots)
    request = LimitedRequest("default", queues, (), sync, asynchronous)
    return store.exchange(worker, finished, NO_CLAIM, limited=request).claimed


def by_key(jobs: list[ClaimedJob]) -> Counter[str]:
    """Count jobs by their keys."""
    return Counter(str(job.limit_key).partition(":")[2] for job in jobs)
