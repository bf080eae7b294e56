"""The contract of pools: a pool runs the jobs of one worker. Only the worker's thread calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

from offload import lifecycle
from offload.exceptions import Interruption, JobCancelled, JobTimeout
from offload.lifecycle import JobFailure, Outcome
from offload.policies import DEFAULT_BACKOFF
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, EndedJob, FinishedJob
from offload.worker.limits_in_code import LimitsInCode
from offload.worker.pools.capacity import Capacity
from offload.worker.schedules_in_code import SchedulesInCode


class Pool(ABC):
    """Runs jobs, in this process or in child processes.

    Attributes:
        processes: the number of child processes; 0 to run jobs in this process.
        threads: the number of sync jobs that run at once in each process.
    """

    processes: int
    threads: int

    @abstractmethod
    def start(self) -> None:
        """Start the threads or processes that run jobs.

        Raises:
            ProjectError: if child processes cannot load the project.
        """

    @abstractmethod
    def limits_in_code(self) -> LimitsInCode:
        """Return the limits of the tasks that are loaded where the jobs run."""

    @abstractmethod
    def schedules_in_code(self) -> SchedulesInCode | None:
        """Return the schedules that are loaded where the jobs run; None before they are."""

    @abstractmethod
    def descriptors(self) -> tuple[list[int], list[int]]:
        """Return the file descriptors to poll: for reading and for writing.

        The first become readable when jobs finish, the second writable when unsent data fits.
        """

    @abstractmethod
    def capacity(self, *, is_async: bool) -> int:
        """Return how many more jobs of a kind can be submitted."""

    @abstractmethod
    def slots(self, *, is_async: bool) -> int:
        """Return how many jobs of a kind run at once."""

    @abstractmethod
    def free_slots(self, *, is_async: bool) -> int:
        """Return how many more jobs of a kind would start at once."""

    @abstractmethod
    def should_refill(self, *, is_async: bool) -> bool:
        """Return True if it is time to claim more jobs of a kind."""

    @property
    @abstractmethod
    def is_backed_up(self) -> bool:
        """Whether jobs wait here for a slot."""

    @property
    @abstractmethod
    def linger(self) -> float:
        """Seconds that outcomes may wait for others, while enough jobs wait here; else 0."""

    @abstractmethod
    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Run jobs, the first ones first."""

    @abstractmethod
    def collect(self) -> list[FinishedJob]:
        """Return the jobs that finished since the last call, each once, with its outcome."""

    @abstractmethod
    def progress(self) -> dict[ClaimKey, str]:
        """Return the progress that changed since the last call, as JSON text by claim key.

        Called after `collect`, it includes the last progress of each job that finished.
        """

    @abstractmethod
    def enforce_limits(self) -> None:
        """Stop jobs that exceed their time limit or ignore a cancellation; replace dead children.

        Must be called regularly while jobs run.
        """

    @abstractmethod
    def cancel(self, keys: Sequence[ClaimKey]) -> None:
        """Interrupt running jobs."""

    @abstractmethod
    def release_waiting(self) -> None:
        """Stop waiting jobs from starting; `collect` returns them as released."""

    @abstractmethod
    def announce_finished(self, finished: Sequence[FinishedJob]) -> None:
        """Send Django's `task_finished` for jobs that no runner finished, such as lost ones."""

    @abstractmethod
    def announce_ended(self, ended: Sequence[EndedJob]) -> None:
        """Send Django's `task_finished` for jobs of workflows that ended because others did."""

    @property
    @abstractmethod
    def is_announcing(self) -> bool:
        """Whether such signals wait for a process that can send them."""

    @abstractmethod
    def held_jobs(self) -> list[ClaimedJob]:
        """Return the submitted jobs that `collect` has not returned."""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether it holds no job. Unlike `held_jobs`, it may be asked for in each step."""

    @abstractmethod
    def running_jobs(self) -> list[ClaimedJob]:
        """Return the submitted jobs that have started and not finished."""

    @abstractmethod
    def held_up_jobs(self) -> list[ClaimedJob]:
        """Return the running jobs of processes that do not respond, as one of them may hold it."""

    @abstractmethod
    def stop(self) -> None:
        """Stop immediately; `collect` returns the jobs that had not finished."""


def find_unresponsive(
    capacity: Capacity,
    running: Iterable[tuple[int, float]],
    cancelled_at: Mapping[ClaimKey, float],
    *,
    kill_grace_period: float,
    now: float,
) -> Iterator[tuple[int, ClaimedJob, type[Interruption]]]:
    """Yield number, job and interruption of the jobs that did not stop when interrupted.

    Args:
        capacity: the held jobs.
        running: number and start of each running job.
        cancelled_at: when jobs were cancelled.
        kill_grace_period: seconds that a job has to stop after an interruption.
        now: monotonic clock, as all times here.
    """
    for number, started_at in running:
        job = capacity.held.get(number)
        if job is None:
            continue
        if job.timeout is not None and now > started_at + job.timeout + kill_grace_period:
            yield number, job, JobTimeout
        elif job.key in cancelled_at and now > cancelled_at[job.key] + kill_grace_period:
            yield number, job, JobCancelled


def unresponsive_outcome(job: ClaimedJob, kind: type[Interruption]) -> Outcome:
    """Return the outcome of a job that did not stop when interrupted.

    It uses the default backoff, as the worker's process runs no user code.
    """
    if kind is JobCancelled:
        message = "The job was cancelled, but its task did not stop when interrupted."
        return lifecycle.cancelled(_failure(kind, message))
    message = (
        f"The task ran longer than its timeout of {job.timeout:.12g} s, and did not stop when "
        "interrupted."
    )
    if job.attempt < job.max_attempts:
        return lifecycle.retried(_failure(kind, message), DEFAULT_BACKOFF.delay(job.attempt))
    return lifecycle.failed(_failure(kind, message))


def interrupted_outcome(job: ClaimedJob, reason: str) -> Outcome:
    """Return the outcome of a running job that the worker stopped for no fault of the job.

    The job is released to run again, unless it must run at most once: then it is lost.
    """
    if job.max_worker_losses == 0:
        return lost_outcome(job, reason)
    return lifecycle.released()


def _failure(kind: type[Interruption], message: str) -> JobFailure:
    path = f"{kind.__module__}.{kind.__qualname__}"
    return JobFailure(path, message, f"{path}: {message}\n")
