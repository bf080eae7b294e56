"""Finished jobs and progress on their way to the database.

No outcome is lost: it stays here until it has been written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from offload import lifecycle
from offload.lifecycle import JobFailure
from offload.results import canonical_id
from offload.store.base import Store
from offload.store.errors import is_about_data, is_contention
from offload.store.limit_records import LimitedRequest
from offload.store.records import ClaimKey, ClaimRequest, ExchangeResult, FinishedJob
from offload.text import to_terminal_text

logger = logging.getLogger("offload.worker")

MAX_BATCH_JOBS = 1000
"""Outcomes written in one transaction, at most; half as many do not wait for more."""
MAX_BATCH_CHARS = 4 * 1024**2
"""Characters of return values in one transaction: MariaDB's packets are limited to 16 MiB."""
MAX_BATCH_FAILURES = 3
"""Failed batches in a row, after which outcomes are written one by one to find the bad one."""
MAX_SINGLE_FAILURES = 5
"""Failed tries of one outcome while others were written, after which the job fails instead."""
PROGRESS_DELAY = 0.05
"""Seconds that progress waits for other writes to share their transaction, at most."""
RETRY_DELAY = 1.0
"""Seconds until a quarantined outcome, or progress of a locked row, is tried again."""
MAX_RETRY_DELAY = 30.0
"""The delay of a quarantined outcome doubles up to this many seconds."""


@dataclass(slots=True, eq=False)
class QuarantinedJob:
    """A finished job that could not be written, although it was written alone.

    Attributes:
        finished: the job and its outcome.
        retry_at: when to try again.
        delay: seconds between the last two tries.
        failures: failed tries, except those before which no other outcome was written.
        writes: the completer's count of successful writes at the last try.
    """

    finished: FinishedJob
    retry_at: float
    delay: float
    failures: int
    writes: int


class BatchCompleter:
    """Writes finished jobs in batches, in the transaction that claims the next jobs.

    An outcome that cannot be written is found and put into quarantine: it is tried alone from
    then on, in turn with batches of the others.

    Args:
        store: where the outcomes are written.
        clock: returns seconds.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._waiting: list[FinishedJob] = []
        self._waiting_since = 0.0
        self._progress: dict[ClaimKey, str] = {}
        self._progress_at = 0.0
        """When progress is written at the latest."""
        self._quarantine: list[QuarantinedJob] = []
        self._retried: QuarantinedJob | None = None
        """The only job of the last batch, if it came from quarantine."""
        self._max_batch_size = MAX_BATCH_JOBS
        self._failures = 0
        self._writes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._quarantine)

    @property
    def is_full(self) -> bool:
        """Whether to claim no more jobs, as the database does not keep up."""
        return len(self._waiting) >= 4 * MAX_BATCH_JOBS

    @property
    def is_gathering(self) -> bool:
        """Whether untried outcomes wait, so that others may join them."""
        return bool(self._waiting)

    @property
    def has_batch(self) -> bool:
        """Whether outcomes can be written now."""
        return bool(self._waiting or self._due_for_retry())

    @property
    def has_progress(self) -> bool:
        """Whether jobs reported progress that was not written yet."""
        return bool(self._progress)

    @property
    def has_writes(self) -> bool:
        """Whether an exchange has anything to write now."""
        return self.has_batch or self.has_progress

    @property
    def keys(self) -> set[ClaimKey]:
        """The jobs whose outcomes were not written yet."""
        waiting = {job.key for job, _ in self._waiting}
        return waiting | {entry.finished[0].key for entry in self._quarantine}

    def due_in(self, *, linger: float = 0.0) -> float:
        """Return the seconds until the next write; infinity if there is nothing to write.

        Args:
            linger: seconds that an outcome may wait for others to share its transaction.
        """
        if len(self._waiting) >= MAX_BATCH_JOBS // 2:
            return 0.0
        if self._waiting:
            due_at = self._waiting_since + linger
        else:
            due_at = min((entry.retry_at for entry in self._quarantine), default=float("inf"))
        if self._progress:
            due_at = min(due_at, self._progress_at)
        return max(0.0, due_at - self._clock())

    def add(self, finished: Iterable[FinishedJob]) -> None:
        """Add jobs whose outcomes are to be written."""
        if not self._waiting:
            self._waiting_since = self._clock()
        for job, outcome in finished:
            if outcome.written:
                self._progress.pop(job.key, None)  # written in the same transaction
            else:
                self._waiting.append((job, outcome))

    def add_progress(self, progress: Mapping[ClaimKey, str]) -> None:
        """Add progress of jobs, before their outcomes; it replaces earlier progress."""
        if not progress:
            return
        due_at = self._clock() + PROGRESS_DELAY
        self._progress_at = min(self._progress_at, due_at) if self._progress else due_at
        self._progress |= progress

    def retain_progress(self, held: Collection[ClaimKey]) -> None:
        """Discard progress of jobs that the worker does not hold any more."""
        self._progress = {key: text for key, text in self._progress.items() if key in held}

    def exchange(
        self, worker: str, request: ClaimRequest, limited: LimitedRequest | None = None
    ) -> tuple[list[FinishedJob], ExchangeResult]:
        """Write a batch and all progress, and claim jobs, in one transaction.

        Returns:
            The jobs of the batch, and what the store returned.

        Raises:
            DatabaseError, InterfaceError: nothing was removed; the next call tries again.
        """
        batch = self._next_batch()
        try:
            progress = sorted(self._progress.items())
            result = self._store.exchange(worker, batch, request, progress, limited)
        except (DatabaseError, InterfaceError) as error:
            if self._progress and is_about_data(error):
                self._discard_progress(error)
            elif batch:
                self._isolate_failure(batch, error)
            raise
        if self._progress:
            self._remove_progress(result.progress_written | {job.key for job, _ in batch})
        self._remove(batch)
        return batch, result

    def _due_for_retry(self) -> QuarantinedJob | None:
        if not self._quarantine:
            return None
        now = self._clock()
        return next((entry for entry in self._quarantine if entry.retry_at <= now), None)

    def _next_batch(self) -> list[FinishedJob]:
        """Return the outcomes to write: one from quarantine, or a batch of the others, in turn."""
        due = self._due_for_retry()
        is_its_turn = self._retried is None or not self._waiting
        if due is not None and is_its_turn:
            self._retried = due
            return [due.finished]
        self._retried = None
        return self._waiting[: self._batch_size()]

    def _batch_size(self) -> int:
        """Return the largest number of waiting outcomes that one transaction may write."""
        chars = 0
        for count, (_, outcome) in enumerate(self._waiting[: self._max_batch_size]):
            chars += len(outcome.return_value or "")
            if chars > MAX_BATCH_CHARS:
                return max(count, 1)
        return self._max_batch_size

    def _remove(self, batch: Sequence[FinishedJob]) -> None:
        """Forget outcomes that have been written."""
        self._failures = 0
        self._writes += 1
        self._max_batch_size = min(MAX_BATCH_JOBS, self._max_batch_size * 2)
        if self._retried is not None:
            self._quarantine.remove(self._retried)
        else:
            del self._waiting[: len(batch)]

    def _remove_progress(self, keys: Collection[ClaimKey]) -> None:
        self._progress = {key: text for key, text in self._progress.items() if key not in keys}
        self._progress_at = self._clock() + RETRY_DELAY  # of the rest, whose rows were locked

    def _discard_progress(self, error: DatabaseError | InterfaceError) -> None:
        """Drop progress, which the database may have refused.

        If it refused an outcome, the next try fails too, and isolates it.
        """
        logger.error("Discarded progress that the database refused: %s", to_terminal_text(error))
        self._remove_progress(self._progress.keys())

    def _isolate_failure(
        self, batch: Sequence[FinishedJob], error: DatabaseError | InterfaceError
    ) -> None:
        """Find the outcome that keeps its batch from being written, and quarantine it."""
        self._failures += 1
        if self._retried is not None:
            self._postpone(self._retried, error)
            return
        is_about_batch = is_about_data(error) or is_contention(error)
        if not is_about_batch and self._failures < MAX_BATCH_FAILURES:
            return
        self._max_batch_size = 1
        if len(batch) == 1:
            finished = self._waiting.pop(0)
            retry_at = self._clock() + RETRY_DELAY
            self._quarantine.append(
                QuarantinedJob(finished, retry_at, RETRY_DELAY, 1, self._writes)
            )

    def _postpone(self, entry: QuarantinedJob, error: DatabaseError | InterfaceError) -> None:
        """Schedule the next try of an outcome; after too many, replace it by a failure."""
        # A try says something about this outcome only if others were written since the last one.
        if self._writes > entry.writes:
            entry.delay = min(2 * entry.delay, MAX_RETRY_DELAY)
            if not is_contention(error):
                entry.failures += 1
        entry.retry_at = self._clock() + entry.delay
        entry.writes = self._writes
        if is_about_data(error) or entry.failures >= MAX_SINGLE_FAILURES:
            entry.finished = _as_failed(entry.finished, error)


def _as_failed(finished: FinishedJob, error: DatabaseError | InterfaceError) -> FinishedJob:
    """Replace an outcome that the database refuses by a failure that every database accepts."""
    job, outcome = finished
    reason = to_terminal_text(error)
    message = "Task id=%s path=%s has an outcome that cannot be stored; storing a failure: %s"
    logger.error(message, canonical_id(job.id), job.task_path, reason)
    path, message, traceback = outcome.failure or (
        "offload.exceptions.InvalidResult",
        f"The return value cannot be stored: {error}"[:2000],
        "",
    )
    failure = JobFailure(_ascii(path), _ascii(message), _ascii(traceback or message))
    return job, lifecycle.failed(failure)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
