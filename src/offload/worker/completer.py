"""Outcomes on their way to the database, and how far jobs are that still run.

No outcome is lost: it leaves when it has been written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from offload import lifecycle
from offload.lifecycle import JobFailure
from offload.store.base import Store
from offload.store.errors import is_about_data, is_contention
from offload.store.records import ClaimKey, ClaimRequest, ExchangeResult, FinishedJob

logger = logging.getLogger("offload.worker")

BATCH = 1000
"""Outcomes written in one transaction."""
FULL = 4 * BATCH
"""Waiting outcomes with which the engine claims no more jobs: the database does not keep up."""
SHARE = 500
"""Outcomes that are worth a transaction of their own, so that none of them lingers."""
BATCH_SIZE = 4 * 1024**2
"""Characters of return values written in one transaction: MariaDB's packets end at 16 MiB."""
SUSPICIOUS = 3
"""Failures in a row after which outcomes are written one by one, to find one that cannot be."""
ASIDE = 1.0
LONGEST_ASIDE = 30.0
"""Seconds until an outcome that could not be written alone is tried again, doubling."""
PROGRESS_LINGER = 0.05
"""Seconds that progress waits for others to share its transaction, at most."""
PROGRESS_AGAIN = 1.0
"""Seconds until progress is written again whose row somebody else held."""
HOPELESS = 5
"""Tries alone, while others were written, after which an outcome is given up as it is."""


@dataclass(slots=True)
class QuarantinedJob:
    """An outcome that could not be written, although it was written alone."""

    pair: FinishedJob
    retry_at: float
    pause: float
    tries: int
    answers: int


class BatchCompleter:
    """Args:
    store: where the outcomes are written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[FinishedJob] = []
        self._since = 0.0
        """When the first of them came."""
        self._progress: dict[ClaimKey, str] = {}
        self._progress_at = 0.0
        """When it is to be written, if no outcome was before."""
        self._aside: list[QuarantinedJob] = []
        self._was_aside = False
        """Whether the last batch was one set aside: the others have their turn after each."""
        self._most = BATCH
        self._failures = 0
        self._answers = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self._aside)

    @property
    def is_full(self) -> bool:
        """Whether so much waits that no more jobs should be claimed."""
        return len(self._waiting) >= FULL

    @property
    def is_gathering(self) -> bool:
        """Whether outcomes wait that were not tried yet, so that others may join them."""
        return bool(self._waiting)

    @property
    def has_progress(self) -> bool:
        """Whether jobs moved since that was written."""
        return bool(self._progress)

    @property
    def keys(self) -> set[ClaimKey]:
        """The jobs whose outcomes wait here."""
        aside = (entry.pair for entry in self._aside)
        return {job.key for pairs in (self._waiting, aside) for job, _ in pairs}

    def due_in(self, *, linger: float = 0.0) -> float:
        """Return the seconds until something is to be written; infinity if there is nothing.

        Args:
            linger: seconds that an outcome may wait for others to share its transaction.
        """
        if len(self._waiting) >= SHARE:
            return 0.0
        if self._waiting:
            soonest = self._since + linger
        else:
            soonest = min((entry.retry_at for entry in self._aside), default=float("inf"))
        if self._progress:
            soonest = min(soonest, self._progress_at)
        return max(0.0, soonest - time.monotonic())

    def add(self, ended: Iterable[FinishedJob]) -> None:
        """Take in outcomes that are to be written."""
        if not self._waiting:
            self._since = time.monotonic()
        for pair in ended:
            if pair[1].written:
                self._progress.pop(pair[0].key, None)  # its last word was written with it
            else:
                self._waiting.append(pair)

    def note(self, progress: Mapping[ClaimKey, str]) -> None:
        """Take in how far jobs are, before their outcomes; what was not written yet is replaced."""
        if progress:
            soon = time.monotonic() + PROGRESS_LINGER
            self._progress_at = min(self._progress_at, soon) if self._progress else soon
            self._progress |= progress

    def forget_progress(self, held: Collection[ClaimKey]) -> None:
        """Forget how far jobs are that are not held here any more: it cannot be written."""
        self._progress = {key: text for key, text in self._progress.items() if key in held}

    def next_batch(self) -> list[FinishedJob]:
        """Return the outcomes to be written next; they stay here until they are."""
        due = [entry.pair for entry in self._aside if entry.retry_at <= time.monotonic()]
        if due and (not self._was_aside or not self._waiting):
            self._was_aside = True
            return due[:1]
        self._was_aside = False
        size = 0
        for count, (_, outcome) in enumerate(self._waiting[: self._most]):
            size += len(outcome.return_value or "")
            if size > BATCH_SIZE:
                return self._waiting[: max(count, 1)]
        return self._waiting[: self._most]

    def exchange(
        self, worker: str, batch: Sequence[FinishedJob], room: ClaimRequest
    ) -> ExchangeResult:
        """Write a batch and all progress, and claim jobs; forget what was written, if committed."""
        try:
            exchange = self._store.exchange(worker, batch, room, sorted(self._progress.items()))
        except (DatabaseError, InterfaceError) as error:
            if self._progress and is_about_data(error):
                self._doubt_progress(error)
            elif batch:
                self._suspect(batch, error)
            raise
        if self._progress:
            self._forget_progress(exchange.progress_written | {job.key for job, _ in batch})
        self._forget(batch)
        return exchange

    def _forget_progress(self, done: Collection[ClaimKey]) -> None:
        self._progress = {key: text for key, text in self._progress.items() if key not in done}
        self._progress_at = time.monotonic() + PROGRESS_AGAIN  # for what is left

    def _doubt_progress(self, error: DatabaseError | InterfaceError) -> None:
        """Drop what the database may have refused; if it was an outcome, that is found next."""
        logger.error("Progress could not be stored, and is left out: %s", error)
        self._forget_progress(self._progress.keys())

    def _forget(self, batch: Sequence[FinishedJob]) -> None:
        self._failures = 0
        self._answers += 1
        self._most = min(BATCH, self._most * 2)
        if batch and self._waiting[: len(batch)] == batch:
            del self._waiting[: len(batch)]
        else:
            self._aside = [entry for entry in self._aside if entry.pair not in batch]

    def _suspect(self, batch: Sequence[FinishedJob], error: DatabaseError | InterfaceError) -> None:
        """Look for the outcome that keeps its batch from being written, and set it aside."""
        self._failures += 1
        if self._was_aside:
            self._put_off(batch[0], error)
            return
        if not (is_about_data(error) or is_contention(error) or self._failures >= SUSPICIOUS):
            return
        self._most = 1
        if len(batch) == 1:
            self._waiting.remove(batch[0])
            retry_at = time.monotonic() + ASIDE
            self._aside.append(QuarantinedJob(batch[0], retry_at, ASIDE, 1, self._answers))

    def _put_off(self, pair: FinishedJob, error: DatabaseError | InterfaceError) -> None:
        """Try one that was set aside later again, unless there is no hope that it will do."""
        (entry,) = (entry for entry in self._aside if entry.pair == pair)
        # Only tries between which others were written say something about this one.
        if self._answers > entry.answers:
            entry.pause = min(2 * entry.pause, LONGEST_ASIDE)
            entry.tries += not is_contention(error)
        entry.retry_at = time.monotonic() + entry.pause
        entry.answers = self._answers
        if is_about_data(error) or entry.tries >= HOPELESS:
            entry.pair = _given_up(pair, error)


def _given_up(pair: FinishedJob, error: DatabaseError | InterfaceError) -> FinishedJob:
    """Return an outcome that any database takes, in place of one that this one refuses."""
    job, outcome = pair
    logger.error("The outcome of job %s cannot be stored as it is: %s", job.id, error)
    path, message, traceback = outcome.failure or (
        "offload.exceptions.InvalidResult",
        f"The return value cannot be stored: {error}"[:2000],
        "",
    )
    failure = JobFailure(_ascii(path), _ascii(message), _ascii(traceback or message))
    return job, lifecycle.failed(failure)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
