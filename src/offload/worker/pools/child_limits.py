"""What one child process may run and use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildLimits:
    """The limits of one child process.

    Attributes:
        threads: sync jobs that run at once.
        async_slots: async jobs that run at once.
        async_threads: threads for their sync code.
        kill_grace_period: seconds that a job has to stop after an interruption, and the exit
            handlers of the process at its end.
        using: alias in DATABASES where the jobs are stored.
        lease: seconds for which a signal may stop the process, before it is killed.
        max_jobs: jobs after which the child is replaced; None for no limit.
        max_memory: bytes of memory above which it is replaced; None for no limit.
        is_first: whether it is the first child of its worker.
    """

    threads: int
    async_slots: int
    async_threads: int
    kill_grace_period: float
    using: str
    lease: float
    max_jobs: int | None = None
    max_memory: int | None = None
    is_first: bool = False
