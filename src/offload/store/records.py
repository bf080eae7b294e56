"""Jobs and outcomes as plain tuples, which cross a pipe between processes cheaply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from offload.lifecycle import JobState, Outcome

if TYPE_CHECKING:
    from offload.models import Attempt, Job

type ClaimKey = tuple[str, int]
"""A job's id and fence, which identify one claim of the job."""

type CallRow = tuple[str, str]
"""The id and the arguments, as JSON text, of one of several jobs that are enqueued together."""


class NewJob(NamedTuple):
    """A row to insert: the columns of `Job` that a new job sets."""

    id: str
    arguments: str
    state: int
    backend: str
    queue_name: str
    priority: int
    is_async: bool
    task_path: str
    run_after: int
    expires_at: int | None
    enqueued_at: int
    timeout: float | None
    max_attempts: int
    max_worker_losses: int
    owner: str
    tenant: str
    request_id: str
    parent: str | None
    failure_depth: int

    def rows_for(self, calls: Iterable[CallRow]) -> list[tuple[Any, ...]]:
        """Return the rows of several calls that have all other columns in common."""
        common = self[2:]
        return [call + common for call in calls]


class ClaimedJob(NamedTuple):
    """A job that a worker holds, with all that an executor needs."""

    id: str
    fence: int
    attempt: int
    task_path: str
    arguments: str
    is_async: bool
    backend: str
    queue_name: str
    priority: int
    run_after: int
    expires_at: int | None
    enqueued_at: int
    started_at: int
    last_attempted_at: int
    timeout: float | None
    max_attempts: int
    worker_losses: int
    max_worker_losses: int
    owner: str
    tenant: str
    request_id: str
    failure_depth: int
    worker: str
    previous: tuple[tuple[str, str, str], ...] = ()
    """Earlier attempts that did not succeed: worker, exception class path, traceback."""

    @property
    def key(self) -> ClaimKey:
        """The claim, which every write about the job names."""
        return (self.id, self.fence)

    def urgency(self) -> tuple[int, int, str]:
        """Return a key that sorts the most urgent job first."""
        return (-self.priority, self.run_after, self.id)


MIN_JOBS_PER_QUEUE = 16
"""Jobs that a claim takes strictly in order, however many queues the worker serves."""

type FinishedJob = tuple[ClaimedJob, Outcome]
"""A job and the outcome of its attempt."""

type ProgressUpdates = Sequence[tuple[ClaimKey, str]]
"""Claims and the progress of their jobs, as JSON text."""


class Watermark(NamedTuple):
    """The last job that a claim took of one queue, kind and priority."""

    queue_name: str
    is_async: bool
    priority: int
    run_after: int
    id: str

    def urgency(self) -> tuple[int, int, str]:
        """Return a key that sorts the watermark of the most urgent jobs first."""
        return (-self.priority, self.run_after, self.id)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """How many jobs a worker can take, and from where.

    Attributes:
        backend: alias in TASKS whose jobs it runs.
        queues: names of the queues it serves.
        sync_slots: how many jobs of synchronous tasks it can take.
        async_slots: how many jobs of asynchronous tasks it can take.
        watermarks: where the claim starts, most urgent first; none to start at the head of each
            queue. With watermarks it finds only jobs of their queues, kinds and priorities.
    """

    backend: str
    queues: Sequence[str]
    sync_slots: int = 0
    async_slots: int = 0
    watermarks: Sequence[Watermark] = ()

    def __bool__(self) -> bool:
        return bool(self.queues) and (self.sync_slots > 0 or self.async_slots > 0)

    def per_queue(self, count: int) -> int:
        """Return how many jobs of each queue a claim of `count` jobs reads.

        With one or two queues it reads `count` of each, and so takes the most urgent of all. With
        more it reads only twice their share, because it locks every row that it reads: with a
        hundred queues that would be a hundred times the rows it takes. A claim of few jobs always
        takes the most urgent of all.
        """
        return min(count, max(MIN_JOBS_PER_QUEUE, 2 * count // max(len(self.queues), 1)))

    def count_by_kind(self, claimed: Sequence[ClaimedJob]) -> Iterator[tuple[bool, int, int]]:
        """Yield (is_async, jobs claimed, jobs read per queue) for each kind that was requested.

        More jobs may be ready only if at least as many were claimed as were read per queue.
        """
        for is_async, count in self.by_kind():
            if count > 0:
                claimed_count = sum(bool(job.is_async) is is_async for job in claimed)
                yield is_async, claimed_count, self.per_queue(count)

    def by_kind(self) -> tuple[tuple[bool, int], ...]:
        """Return (is_async, number of jobs requested) for each kind of job."""
        return ((False, self.sync_slots), (True, self.async_slots))


@dataclass(frozen=True, slots=True)
class ExchangeResult:
    """The result of one exchange with the database.

    Attributes:
        refused: jobs whose outcome came too late, because another worker holds them now.
        claimed: jobs that the worker holds from now on, most urgent first.
        progress_written: claims whose progress was written. The others were no longer current,
            or their rows were locked by another transaction.
        claim_seconds: duration of the claim.
        cancelled: jobs that were cancelled instead of running again, as had been requested.
    """

    refused: list[ClaimedJob] = field(default_factory=list)
    claimed: list[ClaimedJob] = field(default_factory=list)
    progress_written: AbstractSet[ClaimKey] = frozenset()
    claim_seconds: float = 0.0
    cancelled: list[FinishedJob] = field(default_factory=list)


UNKNOWN_VERSION = -1
"""Stands for the version of a job that the client has not read."""


class JobSnapshot(NamedTuple):
    """A job as it was when it was read."""

    id: UUID
    job: Job | None
    """Its row, without the arguments; None if it was deleted."""
    failure: Attempt | None = None
    """The attempt that failed last, if the job has failed."""

    @property
    def is_finished(self) -> bool:
        """Whether the job has finished or was deleted."""
        return self.job is None or JobState(self.job.state).is_finished
