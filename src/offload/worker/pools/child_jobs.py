"""The jobs that a child process holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from offload.exceptions import Interruption, JobCancelled
from offload.lifecycle import Outcome, released
from offload.store.losses import lost_outcome
from offload.store.records import ClaimedJob, ClaimKey, FinishedJob
from offload.worker.pools.base import (
    find_unresponsive,
    interrupted_outcome,
    unresponsive_outcome,
)
from offload.worker.pools.capacity import Capacity, Row
from offload.worker.pools.child_health import Stopwatch
from offload.worker.pools.waiting_jobs import WaitingJobs
from offload.worker.runners.slot_table import SlotTable


class ChildJobs:
    """The jobs that a child process holds: which wait, run or do not stop, and how each ends.

    Args:
        capacity: holds them.
        slots: where the child writes which jobs it starts.
        kill_grace_period: seconds that a job has to stop after an interruption.
        process: what to call the process in log messages.

    Attributes:
        finished: how many have run.
        seconds_stalled: for how long the child has had a free slot and has not reached the jobs
            that were taken back.
    """

    def __init__(
        self, capacity: Capacity, slots: SlotTable, kill_grace_period: float, process: str
    ) -> None:
        self.capacity = capacity
        self.finished = 0
        self.seconds_stalled = 0.0
        self._slots = slots
        self._kill_grace_period = kill_grace_period
        self._cancelled_at: dict[ClaimKey, float] = {}
        self._unresponsive: dict[ClaimKey, type[Interruption]] = {}
        """The jobs for which the process must be killed."""
        self._kill_at = 0.0
        self._taken_back: list[FinishedJob] = []
        """Jobs that were taken back, for the next `settle`."""
        self._waiting = {
            is_async: WaitingJobs(slots, capacity, is_async=is_async, process=process)
            for is_async in (False, True)
        }
        self._stalled = Stopwatch()

    @property
    def held(self) -> list[ClaimedJob]:
        """The jobs that have not finished."""
        return list(self.capacity.held.values())

    @property
    def keys(self) -> set[ClaimKey]:
        """The claim keys of the jobs that have not finished."""
        return {job.key for job in self.capacity.held.values()}

    @property
    def running(self) -> list[ClaimedJob]:
        """The jobs that have started and not finished."""
        return self.capacity.jobs(self._slots.running())

    @property
    def ignore_interruptions(self) -> bool:
        """Whether some do not stop, so that the process must be killed."""
        return bool(self._unresponsive)

    def is_suspended(self, *, is_async: bool) -> bool:
        """Return whether the child has not reached the jobs of a kind that were taken back."""
        return self._waiting[is_async].is_suspended

    def settle(self, rows: Sequence[Row]) -> list[FinishedJob]:
        """Return the jobs that finished or were released, and those taken back before, once."""
        settled, self._taken_back = self._taken_back, []
        if rows:
            self.finished += sum(seconds is not None for _, _, seconds in rows)
            settled += self.capacity.settle(rows)
        if self._cancelled_at or self._unresponsive:
            for job, _ in settled:
                self._cancelled_at.pop(job.key, None)
                self._unresponsive.pop(job.key, None)
        return settled

    def note_cancelled(self, keys: Sequence[ClaimKey]) -> AbstractSet[ClaimKey]:
        """Note when jobs were cancelled; return those held here whose cancellation is new."""
        new = self.keys.intersection(keys) - self._cancelled_at.keys()
        self._cancelled_at.update(dict.fromkeys(new, time.monotonic()))
        return new

    def release_waiting(self) -> None:
        """Take back the jobs that have not started; `settle` returns them a moment later."""
        now = time.monotonic()
        for waiting in self._waiting.values():
            waiting.take_back(now)

    def take_back_waiting(self, now: float) -> None:
        """Take back jobs that wait behind long ones, or that the child does not start."""
        stuck = self.capacity.detect_stuck(self._slots.running())
        for is_async, waiting in self._waiting.items():
            numbers = waiting.step(now, is_stuck=is_async in stuck)
            self._taken_back += self.capacity.settle((n, released(), None) for n in numbers)
        is_stalled = any(waiting.is_stalled for waiting in self._waiting.values())
        self.seconds_stalled = self._stalled.seconds(now, is_true=is_stalled)

    def must_be_killed(self, now: float) -> bool:
        """Return whether jobs do not stop, and the others had the grace period to finish."""
        self._find_unresponsive(now)
        if not self._unresponsive:
            return False
        return now > self._kill_at or len(self.capacity) <= len(self._unresponsive)

    def end(self, reason: str, *, by_worker: bool) -> list[FinishedJob]:
        """Return the jobs that the process held at its exit, with their outcomes.

        Args:
            reason: why it exited, for the errors of lost jobs.
            by_worker: whether the worker stopped it.
        """
        return self.settle(
            [
                (number, self._outcome_of_exit(number, job, reason, by_worker=by_worker), None)
                for number, job in self.capacity.held.items()
            ]
        )

    def _find_unresponsive(self, now: float) -> None:
        unresponsive = find_unresponsive(
            self.capacity,
            self._slots.running(),
            self._cancelled_at,
            kill_grace_period=self._kill_grace_period,
            now=now,
        )
        for _, job, kind in unresponsive:
            if not self._unresponsive:
                self._kill_at = now + self._kill_grace_period
                self.release_waiting()
            self._unresponsive.setdefault(job.key, kind)

    def _outcome_of_exit(
        self, number: int, job: ClaimedJob, reason: str, *, by_worker: bool
    ) -> Outcome:
        if job.key in self._unresponsive:
            return unresponsive_outcome(job, self._unresponsive[job.key])
        if not self._slots.has_started(number, is_async=bool(job.is_async)):
            return released()
        if job.key in self._cancelled_at:
            return unresponsive_outcome(job, JobCancelled)
        if by_worker:
            return interrupted_outcome(job, reason)
        return lost_outcome(job, reason)
