"""The path of a job through the store: inserted, claimed, finished, promoted."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import WAITING, JobState, Outcome, cancelled_instead
from offload.models import Attempt
from offload.notifier import Hint
from offload.store.added_parts import AddedParts
from offload.store.freed_keys import freed_keys, limit_keys
from offload.store.hints import publish_after_commit
from offload.store.limit_records import KeysToOpen, LimitedRequest, LimitedResult, LimitNews
from offload.store.limited_queues import (
    LimitedQueues,
    limits_of,
    rate_in,
    requests_within_limits,
    within_limits,
)
from offload.store.part_ends import Told
from offload.store.pause_rounds import Claims, PauseRounds
from offload.store.poll_results import poll_result
from offload.store.records import (
    CallRow,
    ClaimedJob,
    ClaimKey,
    ClaimRequest,
    ExchangeResult,
    ExtraColumns,
    FinishedJob,
    LimitedCallRow,
    NewJob,
    PollResult,
    ProgressUpdates,
    Written,
)
from offload.store.releases import EndedPart
from offload.store.statements import statement
from offload.store.unique_jobs import UniqueJobs
from offload.store.workflow_records import NewParts, NewWorkflow
from offload.timestamps import now_microseconds


class Exchange(LimitedQueues, UniqueJobs, AddedParts, PauseRounds):
    """Inserts, claims and finishes jobs."""

    # --- enqueueing ---------------------------------------------------------------------

    def insert(self, job: NewJob) -> None:
        """Add one job, in the caller's transaction, and notify workers after the commit."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "insert"), job)
        failpoint("enqueue.inserted")
        publish_after_commit(self.using, Hint.WORK)

    def insert_many(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        """Add jobs, in the caller's transaction, and notify workers after the commit.

        Args:
            job: a row with the columns that the jobs have in common.
            calls: the id and the arguments of each job.
        """
        self._insert_rows(job, calls)
        failpoint("enqueue.inserted")
        publish_after_commit(self.using, Hint.WORK)

    def insert_limited(
        self, job: NewJob, calls: Sequence[LimitedCallRow], keys: KeysToOpen
    ) -> None:
        """Add jobs of a task with a limit, in the caller's transaction.

        Args:
            job: a row with the columns that the jobs have in common.
            calls: the id, the arguments and the limit's key of each job.
            keys: the keys.
        """
        with transaction.atomic(self.using, savepoint=False):
            self._insert_limited_rows(job, calls)
            failpoint("enqueue.inserted")
            self.add_notices(keys)  # of scheduled jobs too: only now are the details known
        publish_after_commit(self.using, Hint.WORK)

    def _insert_rows(self, job: NewJob, calls: Sequence[CallRow]) -> None:
        # MySQL's driver makes one statement of many, as long as all values are parameters.
        with transaction.atomic(self.using, savepoint=False), self.connection.cursor() as cursor:
            cursor.executemany(statement(self.dialect, "insert"), job.rows_for(calls))

    def _insert_limited_rows(self, job: NewJob, calls: Sequence[LimitedCallRow]) -> None:
        with self.connection.cursor() as cursor:
            rows = [call + job[2:] for call in calls]
            cursor.executemany(statement(self.dialect, "insert_limited"), rows)

    # --- the worker's exchange ----------------------------------------------------------

    def exchange(
        self,
        worker: str,
        finished: Sequence[FinishedJob],
        request: ClaimRequest,
        progress: ProgressUpdates = (),
        limited: LimitedRequest | None = None,
    ) -> ExchangeResult:
        """Write outcomes and progress, and claim jobs, in one transaction.

        Finishing comes first and waits for locks. Progress and claims skip locked rows. (A claim
        may hold locks on rows that it does not return, so finishing must never skip.)

        Args:
            worker: id of the worker, as `key` returns it.
            finished: jobs with their outcomes.
            request: how many jobs to claim, and from where.
            progress: the progress of running jobs, sorted by id.
            limited: how many jobs with a limit to claim, and from where.
        """
        news = self.make_keys() if limited else None
        with transaction.atomic(self.using), self._pipeline():
            self._prepare_transaction(waits=bool(finished or limited or request.limits))
            failpoint("exchange.started")
            states = self._finish(finished)
            failpoint("exchange.finished")
            written: set[ClaimKey] = set()
            if progress:
                written = self.keep_progress(progress, states)
            told = self._tell_ends(finished, states)
            claim = partial(self._claim_all, worker, news, freed_keys(finished, states))
            claims = self.claim_unpaused(claim, request, limited)
            failpoint("exchange.claimed")
        failpoint("exchange.committed")
        if claims.limited and claims.limited.idle:  # a job may have come before the commit
            self.add_notices(dict.fromkeys(self._with_waiting_jobs(claims.limited.idle)))
        claimed = self._with_failed_attempts(list(claims.jobs))
        cancelled = cancelled_by_request(finished, states)
        return ExchangeResult(
            _refused(finished, states),
            claimed,
            written,
            claims.seconds,
            cancelled,
            claims.limited,
            claims.queues_in,
            told.is_work,
            list(told.ended),
            claims.has_parked,
            claims.is_partial,
        )

    def _claim_all(
        self,
        worker: str,
        news: LimitNews | None,
        freed: Mapping[str, bool],
        request: ClaimRequest,
        limited: LimitedRequest | None,
    ) -> Claims:
        """Claim jobs with a limit and others, within the limits of their queues.

        Args:
            worker: id of the worker.
            news: what was read about limits before the transaction.
            freed: keys of limits of which this transaction has finished jobs, and whether some wait
                again.
            request: how many jobs to claim, and from where.
            limited: how many jobs with a limit.
        """
        limits = limits_of(request, limited)
        queues = self.lock_queues(request.backend, limits) if limits else {}
        ready = self.find_kinds(request, queues) if queues else {}
        claimed: list[ClaimedJob] = []
        limited_result: LimitedResult | None = None
        if limited and news:
            requests = requests_within_limits(limited, queues, ready) if limits else [limited]
            claimed, limited_result = self.claim_limited(worker, requests, news, freed)
        elif freed:
            self.add_notices(dict.fromkeys(freed))
        started_at = time.monotonic()
        if request:
            if request.limits:
                request = within_limits(request, queues, ready, claimed)
            claim = self._claim if request.ids is None else self._claim_ids
            claimed += claim(worker, request)
        seconds = time.monotonic() - started_at
        if not queues:
            return Claims(claimed, limited_result, seconds)
        started = Counter(job.queue_name for job in claimed)
        self.use_rates(request.backend, queues, started)
        return Claims(claimed, limited_result, seconds, rate_in(queues, started))

    def finish(
        self, finished: Sequence[FinishedJob], new: NewParts | NewWorkflow | None = None
    ) -> Written:
        """Write outcomes, in the caller's transaction.

        Args:
            finished: the jobs and their outcomes.
            new: parts that the only job adds to its workflow if its success is written, or a
                workflow that is then inserted.
        """
        states = self._finish(finished)
        if states:
            self._add_jobs(finished[0][0], new)
        told = self._tell_ends(finished, states)
        if told.is_work:
            publish_after_commit(self.using, Hint.WORK)
        self.add_notices(dict.fromkeys(limit_keys(finished)))
        return Written(_refused(finished, states), list(told.ended))

    def _add_jobs(self, adder: ClaimedJob, new: NewParts | NewWorkflow | None) -> None:
        """Add the jobs that the success of another one inserts."""
        if isinstance(new, NewWorkflow):
            self.insert_workflow(*new)
        elif new is not None:
            self.add_parts(adder, new)

    def _finish(self, finished: Sequence[FinishedJob]) -> dict[ClaimKey, int]:
        """Write outcomes; return the states of the jobs that were not refused."""
        if not finished:
            return {}
        finished = sorted(finished, key=lambda pair: pair[0].id)
        groups: defaultdict[tuple[bool, bool], list[FinishedJob]] = defaultdict(list)
        failed = []
        for pair in finished:
            job, outcome = pair
            groups[job.limit_key is not None, job.unique_until is not None].append(pair)
            if outcome.failure is not None:
                failed.append(pair)
        states: dict[ClaimKey, int] = {}
        for columns, group in groups.items():
            extra = ExtraColumns(*columns)
            if extra.limit_slot:
                group = [_as_limited(*pair) for pair in group]  # noqa: PLW2901
            states |= self._write_outcomes(group, extra)
        self._record_failures([pair for pair in failed if pair[0].key in states])
        return states

    def _tell_ends(self, finished: Sequence[FinishedJob], states: Mapping[ClaimKey, int]) -> Told:
        """Release the jobs that wait for parts of workflows.

        Args:
            finished: jobs and their outcomes.
            states: the states that were written.
        """
        parts = [job for job, _ in finished if job.workflow is not None]
        if not parts:
            return Told()
        ended = [
            EndedPart(job.id, job.workflow or "", states[job.key])
            for job in parts
            if job.key in states and JobState(states[job.key]).is_finished
        ]
        self.notice_deleted([job for job in parts if job.key not in states])
        return self.tell(ended, parts[0].worker)

    @abstractmethod
    def keep_progress(
        self, progress: ProgressUpdates, finished: Collection[ClaimKey] = ()
    ) -> set[ClaimKey]:
        """Write the progress of jobs, sorted by id, in the caller's transaction.

        Jobs that another worker holds by now are left out, and so are locked rows: waiting for
        a lock would hold up all other jobs.

        Args:
            progress: the claims and their progress.
            finished: claims that this transaction has finished, so that it holds their rows.

        Returns:
            The claims whose progress was written.
        """

    @abstractmethod
    def _write_outcomes(
        self, finished: Sequence[FinishedJob], extra: ExtraColumns
    ) -> dict[ClaimKey, int]:
        """Write outcomes, sorted by job id; return the states of the claims that were current.

        A job that would run again is cancelled instead if its cancellation was requested.

        Args:
            finished: the jobs and their outcomes.
            extra: the columns that all of them need besides.
        """

    @abstractmethod
    def _claim(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        """Mark the most urgent ready jobs as running here; return them, most urgent first.

        A worker without a row claims nothing: others would take its jobs for lost and run them too.
        """

    @abstractmethod
    def _claim_ids(self, worker: str, request: ClaimRequest) -> list[ClaimedJob]:
        """Mark those of the jobs in `request.ids` as running here that are ready; return them.

        Jobs whose rows another transaction has locked are left out, as in `_claim`.
        """

    def _record_failures(self, failed: Sequence[FinishedJob]) -> None:
        failures = [
            Attempt(
                job_id=UUID(job.id),
                fence=job.fence,
                number=job.attempt,
                worker=UUID(job.worker),
                started_at=job.last_attempted_at,
                finished_at=self.now(),
                exception_class_path=outcome.failure[0],
                message=outcome.failure[1],
                traceback=outcome.failure[2],
            )
            for job, outcome in failed
            if outcome.failure
        ]
        if failures:
            Attempt.objects.using(self.using).bulk_create(failures)

    def _with_failed_attempts(self, claimed: list[ClaimedJob]) -> list[ClaimedJob]:
        """Add to each job the attempts that failed before, if there may be any.

        A job that was retried by hand has them, too, although its counts start again.
        """
        retried = [UUID(job.id) for job in claimed if job.fence > 1]  # claimed before
        if not retried:
            return claimed
        rows = (
            Attempt.objects.using(self.using)
            .filter(job_id__in=retried)
            .order_by("job_id", "fence")
            .values_list("job_id", "worker", "exception_class_path", "traceback")
        )
        attempts: defaultdict[UUID, list[tuple[str, str, str]]] = defaultdict(list)
        for job_id, worker, path, traceback in rows:
            attempts[job_id].append((str(worker), path, traceback))
        return [job._replace(previous=tuple(attempts[UUID(job.id)])) for job in claimed]

    # --- ready and scheduled jobs -------------------------------------------------------

    def ready_queues(self, backend: str) -> list[str]:
        """Return the names of the queues that have ready jobs."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "ready_queues"), {"backend": backend})
            return [name for (name,) in cursor.fetchall()]

    def poll(self, backend: str) -> PollResult:
        """Query the whole queue in one statement, as an idle worker does."""
        parameters: dict[str, Any] = {"backend": backend, "now": now_microseconds()}
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "poll"), parameters)
            rows = cursor.fetchall()
        queues: list[str] = []
        for name, *row in rows:
            if name is None:
                found = row
            else:
                queues.append(name)
        return poll_result(queues, *found)

    @abstractmethod
    def promote(self) -> int:
        """Make scheduled jobs ready that are due, at most 1,000; return how many."""


def cancelled_by_request(
    finished: Sequence[FinishedJob], states: Mapping[ClaimKey, int]
) -> list[FinishedJob]:
    """Return the jobs that were cancelled instead of running again.

    Args:
        finished: jobs and their outcomes.
        states: the states that were written.
    """
    return [
        (job, cancelled_instead(outcome))
        for job, outcome in finished
        if outcome.state in WAITING and states.get(job.key) == JobState.CANCELLED
    ]


def _refused(finished: Sequence[FinishedJob], states: Mapping[ClaimKey, int]) -> list[ClaimedJob]:
    """Return the jobs whose outcomes came too late."""
    if len(states) == len(finished):
        return []
    return [job for job, _ in finished if job.key not in states]


def _as_limited(job: ClaimedJob, outcome: Outcome) -> FinishedJob:
    """Let a job with a limit wait in the line of its key, instead of the ready jobs."""
    if outcome.state == JobState.READY:
        outcome = outcome._replace(state=int(JobState.LIMITED))
    return job, outcome
