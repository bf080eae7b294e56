"""A pool: what the engine asks of whatever runs its jobs. Only the engine's thread calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

from offload import lifecycle
from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import JobFailure, Outcome
from offload.policies import DEFAULT_BACKOFF
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.pools.capacity import Capacity


class Pool(ABC):
    """Runs jobs.

    Attributes:
        processes: how many child processes; 0 for none.
        threads: how many tasks written with def run at once in each process.
    """

    processes: int
    threads: int

    @abstractmethod
    def start(self) -> None:
        """Make ready to run jobs."""

    @abstractmethod
    def descriptors(self) -> tuple[list[int], list[int]]:
        """Return what becomes readable when jobs end, and what should become writable."""

    @abstractmethod
    def capacity(self, *, is_async: bool) -> int:
        """Return how many more jobs can be taken."""

    @abstractmethod
    def should_refill(self, *, is_async: bool) -> bool:
        """Tell whether it is time to bring more jobs."""

    @property
    @abstractmethod
    def is_backed_up(self) -> bool:
        """Whether jobs wait here behind those that run."""

    @abstractmethod
    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Run jobs, the first ones first."""

    @abstractmethod
    def collect(self) -> list[FinishedJob]:
        """Return the jobs that have ended since the last call."""

    @abstractmethod
    def progress(self) -> dict[ClaimKey, str]:
        """Return how far jobs are that moved since the last call: JSON text by key.

        Called after `collect`, it has the last word of each job that ended.
        """

    @abstractmethod
    def enforce_limits(self) -> None:
        """Deal with what is overdue: time limits, cancels that are not obeyed, dead children."""

    @abstractmethod
    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        """Stop running jobs."""

    @abstractmethod
    def release_waiting(self) -> None:
        """Give back the jobs that have not begun; `collect` returns them."""

    @abstractmethod
    def announce_finished(self, ended: Sequence[FinishedJob]) -> None:
        """Have Django's signal sent for jobs that ended without an executor."""

    @abstractmethod
    def held_jobs(self) -> list[ClaimedJob]:
        """Return the jobs that have not ended."""

    @abstractmethod
    def stop(self) -> None:
        """End at once; jobs that still run are given up."""


def overdue(
    capacity: Capacity,
    running: Iterable[tuple[int, float]],
    cancels: dict[ClaimKey, float],
    *,
    kill_grace_period: float,
    now: float,
) -> Iterator[tuple[int, type[Interruption]]]:
    """Yield the numbers of jobs that should have stopped by now, and why.

    Args:
        running: number and start of the jobs that run.
        cancels: when the cancel of a job was asked for.
        kill_grace_period: seconds that a job has to stop after it was told.
        now: monotonic clock, as all times here.
    """
    for number, since in running:
        job = capacity.held.get(number)
        if job is None:
            continue
        if job.timeout is not None and now > since + job.timeout + kill_grace_period:
            yield number, JobTimeout
        elif now > cancels.get(job.key, now) + kill_grace_period:
            yield number, JobCancelled


def unresponsive_outcome(job: ClaimedJob, kind: type[Interruption]) -> Outcome:
    """Return the outcome of a job that had to be ended by force.

    The task's own backoff cannot be asked: the engine runs no user code.
    """
    if kind is JobCancelled:
        message = "The job was cancelled and did not stop by itself."
        return lifecycle.cancelled(_failure(kind, message))
    message = f"The task ran longer than {job.timeout} s and did not stop by itself."
    if job.attempt < job.max_attempts:
        return lifecycle.retried(_failure(kind, message), DEFAULT_BACKOFF.delay(job.attempt))
    return lifecycle.failed(_failure(kind, message))


def interrupted_outcome(job: ClaimedJob, reason: str) -> Outcome:
    """Return the outcome of a job that had begun when its process was ended by us.

    It was not its fault: it is handed back, unless it must never run twice.
    """
    return lost_outcome(job, reason) if job.max_worker_losses == 0 else lifecycle.released()


def _failure(kind: type[Interruption], message: str) -> JobFailure:
    path = f"{kind.__module__}.{kind.__qualname__}"
    return JobFailure(path, message, f"{path}: {message}\n")
