"""The outcome of a job whose process died."""

from __future__ import annotations

import random

from offload.lifecycle import JobFailure, Outcome, lost
from offload.store.records import ClaimedJob

MAX_RERUN_DELAY_SECONDS = 60.0
"""Longest time until a lost job runs again."""
WORKER_LOST = "offload.exceptions.WorkerLost"


def lost_outcome(job: ClaimedJob, reason: str) -> Outcome:
    """Return the outcome of a job whose process died: run again, or failed after too many.

    One of the jobs in a process may have killed it, and which one is unknown. They run again
    after random delays, so that the same jobs rarely share a process again.

    Args:
        job: the job as it was claimed.
        reason: why the process is lost, in a few words.
    """
    losses = job.worker_losses + 1
    gives_up = losses > job.max_worker_losses
    verdict = "running again"
    if gives_up and job.max_worker_losses:
        verdict = f"giving up after max_worker_losses={job.max_worker_losses}"
    elif gives_up:
        verdict = "not running again, because of at_most_once or max_worker_losses=0"
    message = f"Worker process lost for the {_ordinal(losses)} time ({reason}): {verdict}."
    delay = random.uniform(0, min(MAX_RERUN_DELAY_SECONDS, 2.0**job.worker_losses))  # noqa: S311  # no secret
    return lost(JobFailure(WORKER_LOST, message, message), for_good=gives_up, delay=delay)


def may_wait(timeout: float | None, max_worker_losses: int, worker_losses: int = 0) -> bool:
    """Return whether a process may claim a job before it has a free slot for it.

    If the process dies, the job counts as lost although it has not started, so it must be allowed
    to be lost once more, and waits only once. The time of a timeout begins with the claim.

    Args:
        timeout: seconds that an attempt may run; None if there is no limit.
        max_worker_losses: how often the job may lose its process.
        worker_losses: how often it has.
    """
    return timeout is None and max_worker_losses > 1 and worker_losses == 0


def _ordinal(number: int) -> str:
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
