"""The rate at which workers drain a queue, from the timestamps in the jobs' rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from load import job_rows
from load.background_load import BackgroundLoad
from load.database import delete_jobs, query, run_maintenance
from load.sizes import Sizes
from load.worker import DRAIN_TIMEOUT_SECONDS, PAUSE, Worker
from offload.lifecycle import JobState

FINISHED = f"SELECT {{}} FROM offload_job WHERE state = {int(JobState.SUCCESSFUL)} "
FINISHED += "AND finished_at > {} ORDER BY finished_at"


@dataclass(frozen=True)
class DrainRate:
    """Rates of one drain, in jobs per second.

    Attributes:
        jobs: number of jobs.
        rate: of all jobs.
        first: of the first tenth.
        last: of the last tenth.
        slowest: of the slowest tenth.
        background_cores: cores that unrelated processes used meanwhile.
    """

    jobs: int
    rate: float
    first: float
    last: float
    slowest: float
    background_cores: float = 0.0


def drain(
    *,
    workers: int = 1,
    processes: int = 2,
    meanwhile: Callable[[], None] | None = None,
    **variables: str,
) -> DrainRate:
    """Start workers, wait until they have drained the queue, and return the rate.

    Args:
        workers: number of workers.
        processes: executors of each worker.
        meanwhile: called every half second.
        variables: environment variables of the workers.
    """
    started = time.time_ns() // 1000
    running = [Worker("--drain", processes=processes, variables=variables) for _ in range(workers)]
    deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
    background = BackgroundLoad()
    try:
        while any(worker.process.poll() is None for worker in running):
            PAUSE.wait(0.5)
            background.sample()
            if meanwhile is not None:
                meanwhile()
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"The queue was not drained after {DRAIN_TIMEOUT_SECONDS:.0f} s."
                )
        for worker in running:
            worker.join()
        background_cores = background.cores()
    finally:
        for worker in running:
            worker.kill()
    return replace(drain_rate_since(started), background_cores=background_cores)


def best_drain_rate(sizes: Sizes, *, fresh: bool = False) -> DrainRate:
    """Drain the same number of jobs several times and return the highest rate.

    Args:
        sizes: number of jobs and of drains.
        fresh: empty the table before each drain.
    """
    rates = []
    for _ in range(sizes.repeat):
        if fresh:
            delete_jobs()
        job_rows.insert_ready(sizes.jobs)
        run_maintenance()
        rates.append(drain())
    return max(rates, key=lambda drain_rate: drain_rate.rate)


def drain_rate_since(started: int) -> DrainRate:
    """Return the rate of the jobs that finished after a time in microseconds."""
    finish_times = [time for (time,) in query(FINISHED.format("finished_at", started))]
    if not finish_times:
        raise RuntimeError("No job was successful.")
    (first_claim,) = query(
        f"SELECT MIN(last_attempted_at) FROM ({FINISHED.format('last_attempted_at', started)} "
        "LIMIT 1000) AS earliest"
    )[0]
    jobs = len(finish_times)
    tenth = max(1, jobs // 10)
    boundaries = [first_claim, *finish_times[tenth - 1 :: tenth][:10]]
    tenths = [tenth * 1e6 / max(1, end - start) for start, end in pairwise(boundaries)]
    total = jobs * 1e6 / max(1, finish_times[-1] - first_claim)
    return DrainRate(jobs, total, tenths[0], tenths[-1], min(tenths))
