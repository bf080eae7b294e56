"""Jobs and outcomes as plain tuples, which cross a pipe between processes cheaply."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from offload.lifecycle import JobState, Outcome
from offload.policies.queue_limits import QueueLimits
from offload.store.limit_records import LimitedResult
from offload.store.queue_records import QueueCaps
from offload.timestamps import to_microseconds

if TYPE_CHECKING:
    from offload.models import Attempt, Job

type ClaimKey = tuple[str, int]
"""A job's id and fence, which identify one claim of the job."""

type CallRow = tuple[str, str]
"""The id and the arguments, as JSON text, of one of several jobs that are enqueued together."""

type LimitedCallRow = tuple[str, str, str, str | None]
"""A CallRow with the job's `limit_key` and `limit_slot`."""


class UniqueCall(NamedTuple):
    """One call of a task whose jobs are unique, with the id of the job that it may make."""

    id: str
    arguments: str
    limit_key: str | None
    unique_key: str


class UniqueTerms(NamedTuple):
    """What is unique about the jobs of a task, for those of one call of `enqueue_many`.

    Attributes:
        until: the first state in which a job no longer holds its key.
        within: the time until which it holds the key in any state, in microseconds; None for none.
        replaces: whether a call replaces the arguments of the waiting job that holds its key.
        maximum: microseconds from the first call to the start, at most; None without a bound.
    """

    until: int
    within: int | None
    replaces: bool
    maximum: int | None


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
    started_at: int | None
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
    limit_key: str | None = None
    scheduled_for: int | None = None
    workflow: str | None = None
    """The workflow of which it is a part."""
    unique_until: int | None = None
    """The state in which it gives its key back, if it was made with one; None without."""
    previous: tuple[tuple[str, str, str], ...] = ()
    """Earlier attempts that did not succeed: worker, exception class path, traceback."""

    @property
    def key(self) -> ClaimKey:
        """The claim, which every write about the job names."""
        return (self.id, self.fence)

    def urgency(self) -> tuple[int, int, str]:
        """Return a key that sorts the most urgent job first."""
        return (-self.priority, self.run_after, self.id)


def as_claimed(job: Job, previous: tuple[tuple[str, str, str], ...] = ()) -> ClaimedJob:
    """Return a row of the model as a worker would hold it.

    Args:
        job: the row.
        previous: earlier attempts that did not succeed.
    """
    names = [name for name in ClaimedJob._fields if name != "previous"]
    columns = {name: _column_value(getattr(job, name)) for name in names}
    columns["worker"] = columns["worker"] or ""
    return ClaimedJob(**columns, previous=previous)


def _column_value(value: Any) -> Any:
    """Return a value of the model as the store reads it."""
    match value:
        case datetime():
            return to_microseconds(value)
        case UUID():
            return str(value)
    return value


MIN_JOBS_PER_QUEUE = 16
"""Jobs that a claim takes strictly in order, however many queues the worker serves."""


class ExtraColumns(NamedTuple):
    """Which columns the end of an attempt writes besides those of every job.

    Attributes:
        limit_slot: whether the job has a limit.
        unique_key: whether the job may hold a key.
    """

    limit_slot: bool
    unique_key: bool


class ReadyJob(NamedTuple):
    """A ready job, with what a message about it says.

    Attributes:
        version: of its row.
        waited: seconds for which it could have run.
        is_untouched: whether nothing has changed the row since the call that enqueued the job.
        may_wait: whether a process may claim it before it has a free slot.
    """

    id: str
    queue_name: str
    is_async: bool
    priority: int
    version: int
    waited: float
    is_untouched: bool
    may_wait: bool


type FinishedJob = tuple[ClaimedJob, Outcome]
"""A job and the outcome of its attempt."""


class EndedJob(NamedTuple):
    """A job of a workflow that has ended without an attempt: a part, or the workflow itself."""

    id: str
    state: int


class Written(NamedTuple):
    """What `finish` has done.

    Attributes:
        refused: jobs whose outcome came too late, because another worker holds them now.
        ended: jobs of workflows that ended because of those that were finished.
    """

    refused: list[ClaimedJob]
    ended: list[EndedJob]


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
        limits: the limits of the settings of those queues that have limits, by name.
        free: how many jobs of each kind start at once, sync and async ones: no more are taken of
            queues with limits, as a job that waits in a child process would hold a slot of them.
        caps: how many jobs are taken of queues with limits; None if no queue has some.
        watermarks: where the claim starts, most urgent first; none to start at the head of each
            queue. With watermarks it finds only jobs of their queues, kinds and priorities.
        ids: the jobs to claim, as far as they are ready, wherever they are; None for the most
            urgent ones of the queues.
        paused_tasks: the ids of the pauses of tasks, by path; no jobs of these tasks are taken.
    """

    backend: str
    queues: Sequence[str]
    sync_slots: int = 0
    async_slots: int = 0
    watermarks: Sequence[Watermark] = ()
    limits: Mapping[str, QueueLimits] = field(default_factory=dict)
    free: tuple[int, int] = (0, 0)
    caps: QueueCaps | None = None
    ids: Sequence[str] | None = None
    paused_tasks: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        if self.ids is not None:
            return bool(self.ids)
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


class PollResult(NamedTuple):
    """What a poll found.

    Attributes:
        queues: names of the queues that have ready jobs of the backend.
        scheduled_in: seconds until the next scheduled job of any backend is due; None without one.
        limited_in: seconds until jobs with a limit may start; None if none may.
        schedule_in: seconds until the next schedule is due; None without one.
        has_workflow_notices: whether there are notices about workflows.
        has_parked: whether jobs are parked.
    """

    queues: list[str]
    scheduled_in: float | None
    limited_in: float | None
    schedule_in: float | None
    has_workflow_notices: bool = False
    has_parked: bool = False


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
        limited: when more jobs with a limit may start; None if none were requested.
        queues_in: seconds until a rate lets jobs of a queue start; None if none holds them up.
        has_released: whether parts of workflows can run now, or at a later time, as those that they
            waited for have ended.
        ended: jobs of workflows that ended because of those that were finished.
        has_parked: whether jobs of paused tasks were parked.
        is_partial: whether so many were parked that the claim did not reach the jobs behind them.
    """

    refused: list[ClaimedJob] = field(default_factory=list)
    claimed: list[ClaimedJob] = field(default_factory=list)
    progress_written: AbstractSet[ClaimKey] = frozenset()
    claim_seconds: float = 0.0
    cancelled: list[FinishedJob] = field(default_factory=list)
    limited: LimitedResult | None = None
    queues_in: float | None = None
    has_released: bool = False
    ended: list[EndedJob] = field(default_factory=list)
    has_parked: bool = False
    is_partial: bool = False


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
