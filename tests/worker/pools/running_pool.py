"""A pool without a worker around it."""

from __future__ import annotations

import select
from uuid import UUID

from offload.lifecycle import Outcome
from offload.store.records import ClaimedJob
from offload.worker.pools.base import Pool
from tests.worker import event_log
from tests.worker.conftest import until


class RunningPool:
    """A pool, driven as a worker does."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.outcomes: dict[str, Outcome] = {}
        pool.start()
        until(lambda: self.step() or pool.capacity(is_async=True))

    def step(self) -> None:
        """Wait a moment for finished jobs, enforce limits and collect."""
        readers, _ = self.pool.descriptors()
        select.select(readers, [], [], 0.01)
        self.pool.enforce_limits()
        self.collect()

    def collect(self) -> None:
        for job, outcome in self.pool.collect():
            assert job.id not in self.outcomes
            self.outcomes[job.id] = outcome

    def run(self, *jobs: ClaimedJob) -> list[Outcome]:
        """Submit jobs and return their outcomes."""
        self.pool.submit(jobs)
        return self.wait(*jobs)

    def wait(self, *jobs: ClaimedJob) -> list[Outcome]:
        until(lambda: self.step() or self.outcomes.keys() >= {job.id for job in jobs})
        return [self.outcomes[job.id] for job in jobs]

    def start_jobs(self, *jobs: ClaimedJob) -> None:
        """Submit jobs and wait until the code of all of them runs."""
        self.pool.submit(jobs)
        until(lambda: self.step() or all(has_started(job) for job in jobs))


def has_started(job: ClaimedJob) -> bool:
    return bool(event_log.entries("running", str(UUID(job.id))))
