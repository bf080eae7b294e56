"""The jobs that pauses of tasks park.

A worker that claims a job of a paused task gives the claim back and *parks* the job: it is LIMITED,
and its `limit_slot` names the pause, so no claim reads it again. When the pause is over, a worker
puts it back where it waited.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Job, TaskPause
from offload.store.limit_notices import LimitNotices
from offload.store.limit_records import PARKED, PARKED_END, WAITS
from offload.store.queue_records import TaskPauseRow
from offload.store.queue_rules import QueueRules
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION
from offload.store.statements import statement
from offload.store.waiting_values import WAITING_VALUES

if TYPE_CHECKING:
    from offload.store.records import ClaimedJob


class ParkedJobs(QueueRules, LimitNotices):
    """Parks the jobs of paused tasks, and puts them back."""

    def count_parked(self, row: TaskPauseRow) -> int:
        """Return how many jobs a pause has parked."""
        return Job.objects.using(self.using).filter(limit_slot=parked_slot(row.id)).count()

    def park(self, found: Sequence[ClaimedJob], paused: Mapping[str, int]) -> None:
        """Park jobs of paused tasks, in the caller's transaction, which has not claimed them.

        The next 1,000 jobs behind them are parked at once, if their tasks are paused, too.

        Args:
            found: jobs that a claim would have returned, all of paused tasks.
            paused: the ids of the pauses that are in force, by the path of the task.
        """
        paths = {UUID(job.id): job.task_path for job in found}
        for job in _foremost(found):
            paths |= {pk: path for pk, path in self._behind(job) if path in paused}
        ids: defaultdict[str, list[UUID]] = defaultdict(list)
        for pk in sorted(paths):
            ids[parked_slot(paused[paths[pk]])].append(pk)
        for limit_slot, pks in ids.items():
            for some in batched(pks, MAX_ROWS_PER_STATEMENT):
                self._park(list(some), limit_slot)
        failpoint("pauses.parked")

    def _park(self, ids: Sequence[UUID], limit_slot: str) -> None:
        # Not those that other workers have claimed, or parked, since.
        claimable = Q(state=JobState.READY) | Q(limit_slot__startswith=WAITS)
        jobs = Job.objects.using(self.using).filter(claimable)
        locked = jobs.filter(pk__in=ids).order_by("pk").select_for_update(skip_locked=True)
        unlocked = list(locked.values_list("pk", flat=True))
        Job.objects.using(self.using).filter(pk__in=unlocked).update(
            state=JobState.LIMITED, limit_slot=limit_slot, version=NEXT_VERSION
        )

    def _behind(self, job: ClaimedJob) -> list[tuple[UUID, str]]:
        """Return the id and the task's path of a job, and of those behind it with its priority."""
        name = "ready_from" if job.limit_key is None else "line_from"
        parameters = {
            "backend": job.backend,
            "queue": job.queue_name,
            "is_async": job.is_async,
            "line": None if job.limit_key is None else WAITS + job.limit_key,
            "priority": job.priority,
            "run_after": job.run_after,
            "id": job.id,
            "limit": MAX_ROWS_PER_STATEMENT,
        }
        return self.find_from(name, parameters)

    def find_from(self, name: str, parameters: Mapping[str, Any]) -> list[tuple[UUID, str]]:
        """Return the ids and the tasks' paths of ready jobs, or of a line, from one of them on."""
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, name), parameters)
            return [(UUID(str(pk)), path) for pk, path in cursor.fetchall()]

    def release_parked(self) -> int:
        """Put back at most 1,000 parked jobs whose pause is over; return how many.

        They wait again where they would without the pause. Each names its pause, so it does no harm
        if a worker that has not read the end of the pause parks more of them later.
        """
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            in_force = {parked_slot(pk) for pk in self._pauses_in_force()}
            for limit_slot in self._parked_slots():
                if limit_slot not in in_force and (count := self._release(limit_slot)):
                    return count
        return 0

    def _release(self, limit_slot: str) -> int:
        jobs = Job.objects.using(self.using)
        parked = jobs.filter(limit_slot=limit_slot).order_by("-priority", "run_after", "id")
        unlocked = parked.select_for_update(skip_locked=True).values_list("pk", "limit_key")
        keys = dict(unlocked[:MAX_ROWS_PER_STATEMENT])
        jobs.filter(pk__in=list(keys)).update(version=NEXT_VERSION, **WAITING_VALUES)
        self.add_notices(dict.fromkeys(key for key in keys.values() if key is not None))
        failpoint("pauses.released")
        return len(keys)

    def _pauses_in_force(self) -> list[int]:
        rows = TaskPause.objects.using(self.using).filter(paused_at__isnull=False)
        in_force = rows.filter(Q(paused_until=None) | Q(paused_until__gt=self.now()))
        return list(in_force.values_list("pk", flat=True))

    def _parked_slots(self) -> Iterator[str]:
        """Yield the `limit_slot` of each pause with parked jobs, by one query for each."""
        jobs = Job.objects.using(self.using).filter(limit_slot__lt=PARKED_END)
        slots: Any = jobs.order_by("limit_slot").values_list("limit_slot", flat=True)
        limit_slot = slots.filter(limit_slot__gte=PARKED).first()
        while limit_slot is not None:
            yield limit_slot
            limit_slot = slots.filter(limit_slot__gt=limit_slot).first()


def parked_slot(pause_id: int) -> str:
    """Return the `limit_slot` of the jobs that a pause parks."""
    return f"{PARKED}{pause_id}"


def _foremost(jobs: Sequence[ClaimedJob]) -> list[ClaimedJob]:
    """Return the first job of each line, or of each queue and kind, and of each priority."""
    first: dict[tuple[object, ...], ClaimedJob] = {}
    for job in jobs:
        place = (job.limit_key or (job.backend, job.queue_name, job.is_async), job.priority)
        if place not in first or job.urgency() < first[place].urgency():
            first[place] = job
    return list(first.values())
