"""The keys of limits of which a transaction has finished jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offload.lifecycle import WAITING
from offload.store.records import ClaimKey, FinishedJob


def freed_keys(finished: Sequence[FinishedJob], states: Mapping[ClaimKey, int]) -> dict[str, bool]:
    """Return the keys of limits of which jobs have finished, and whether some of these wait again.

    Args:
        finished: jobs and their outcomes.
        states: the states that were written.
    """
    freed = dict.fromkeys(limit_keys(finished), False)
    for job, _ in finished:
        if job.limit_key is not None and states.get(job.key) in WAITING:
            freed[job.limit_key] = True
    return freed


def limit_keys(finished: Sequence[FinishedJob]) -> set[str]:
    """Return the keys of limits of which jobs have finished, also those whose rows were deleted."""
    return {job.limit_key for job, _ in finished if job.limit_key is not None}
