"""The rows that travel through the engine: plain tuples, which cross a pipe cheaply."""

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
"""What tells jobs apart that are enqueued together: the id, and the arguments as JSON text."""


class NewJob(NamedTuple):
    """A row to insert; the columns of `Job` that a new job sets."""

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

    def rows_for(self, calls: Iterable[CallRow]) -> list[tuple[Any, ...]]:
        """Return the rows of several calls that have all other columns in common."""
        common = self[2:]
        return [call + common for call in calls]


class ClaimedJob(NamedTuple):
    """A job that this engine holds: all that an executor needs."""

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
    worker: str
    previous: tuple[tuple[str, str, str], ...] = ()
    """Earlier attempts that did not succeed: worker, exception class path, traceback."""

    @property
    def key(self) -> ClaimKey:
        """What fences every write about the job."""
        return (self.id, self.fence)

    def urgency(self) -> tuple[int, int, str]:
        """Return a key that sorts the most urgent job first."""
        return (-self.priority, self.run_after, self.id)


MIN_JOBS_PER_QUEUE = 16
"""Jobs that a claim takes strictly in order, however many queues there are."""

type FinishedJob = tuple[ClaimedJob, Outcome]
"""A job and how its attempt ended."""

type ProgressUpdates = Sequence[tuple[ClaimKey, str]]
"""Jobs and how far they are, as JSON text."""


class Watermark(NamedTuple):
    """Where a claim ended: the last job that it took of one queue, kind and priority."""

    queue_name: str
    is_async: bool
    priority: int
    run_after: int
    id: str

    def urgency(self) -> tuple[int, int, str]:
        """Return a key that sorts the floor of the most urgent jobs first."""
        return (-self.priority, self.run_after, self.id)


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """How many jobs an engine can take now, and from where.

    Attributes:
        backend: alias of the backend whose jobs it runs.
        queues: names of the queues it serves.
        threads: jobs written with def that it can take.
        slots: jobs written with async def that it can take.
        floors: where the claim begins, most urgent first; none for the head of each queue. It
            finds no other jobs then than those of the queues, kinds and priorities of floors.
    """

    backend: str
    queues: Sequence[str]
    sync_slots: int = 0
    async_slots: int = 0
    watermarks: Sequence[Watermark] = ()

    def __bool__(self) -> bool:
        return bool(self.queues) and (self.sync_slots > 0 or self.async_slots > 0)

    def per_queue(self, count: int) -> int:
        """Return how many jobs of each queue a claim of `count` jobs looks at.

        Of one or two queues all that it may take, so that it takes the most urgent ones. Of many
        only twice their share: it locks what it looks at, and with a hundred queues that would be
        a hundred times what it takes. Few jobs are always the most urgent ones of all.
        """
        return min(count, max(MIN_JOBS_PER_QUEUE, 2 * count // max(len(self.queues), 1)))

    def found(self, claimed: Sequence[ClaimedJob]) -> Iterator[tuple[bool, int, int]]:
        """Yield for each kind of job that was asked for how many were found, and asked for.

        More may be ready only if all was found that was asked for, of one queue alone.
        """
        for lane, count in self.by_kind():
            if count > 0:
                yield (
                    lane,
                    sum(bool(job.is_async) is lane for job in claimed),
                    self.per_queue(count),
                )

    def by_kind(self) -> tuple[tuple[bool, int], ...]:
        """Return (is_async, number of jobs asked for) for each kind of job."""
        return ((False, self.sync_slots), (True, self.async_slots))


@dataclass(frozen=True, slots=True)
class ExchangeResult:
    """What one exchange with the database did.

    Attributes:
        refused: jobs whose outcome came too late, because somebody else holds them now.
        claimed: jobs that the engine holds from now on, most urgent first.
        moved: jobs whose progress was written; the others were not held any more, or their rows
            were locked by somebody else.
        seconds: that the claim took.
    """

    refused: list[ClaimedJob] = field(default_factory=list)
    claimed: list[ClaimedJob] = field(default_factory=list)
    progress_written: AbstractSet[ClaimKey] = frozenset()
    claim_seconds: float = 0.0


UNKNOWN_VERSION = -1
"""The version of a job of which nothing is known."""


class JobSnapshot(NamedTuple):
    """A job as it was when it was looked at."""

    id: UUID
    job: Job | None
    """Its row, without its arguments; None if it is gone."""
    failure: Attempt | None = None
    """Why it failed, if it did."""

    @property
    def is_finished(self) -> bool:
        """Whether it will not change any more by itself, or is gone."""
        return self.job is None or JobState(self.job.state).is_finished
