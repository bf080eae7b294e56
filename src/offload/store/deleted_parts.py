"""Tells the ends of parts that the project has deleted before they had finished."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from itertools import batched
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count

from offload.lifecycle import JobState
from offload.models import Dependency, Job, WorkflowNotice
from offload.store.part_ends import PartEnds, Told
from offload.store.releases import EndedPart
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.statements import statement
from offload.store.workflow_records import IMPLIED
from offload.uuid7 import FIRST_ID

MAX_LOOKED_AT = 500
"""Workflows that one look reads."""


class _Parents(NamedTuple):
    """The parts for which a part waits.

    Attributes:
        existing: those that were not deleted, finished or not.
        deleted: the others, each with whether the part waits for it only as another has added it.
    """

    existing: set[UUID]
    deleted: dict[UUID, bool]


class DeletedParts(PartEnds):
    """Tells workflows, and the jobs that wait for deleted parts, that these are cancelled.

    No row says whether the end of a deleted part was told before it was deleted. So the numbers of
    parts that a job waits for are counted again: those whose end was not told yet.
    """

    def notice_incomplete(self, after: UUID) -> UUID:
        """Look at 500 workflows, and leave notices for those from which raw SQL has deleted parts.

        Deletions through Django leave such notices themselves. A workflow without any part left is
        not found.

        Args:
            after: the last workflow of the batch before.

        Returns:
            The last workflow that was looked at; the nil UUID after the last batch.
        """
        parameters: dict[str, Any] = {"after": self.key(after), "limit": MAX_LOOKED_AT}
        with self.connection.cursor() as cursor:
            cursor.execute(statement(self.dialect, "workflows_after"), parameters)
            batch = [UUID(str(pk)) for (pk,) in cursor.fetchall()]
        if batch:
            jobs = Job.objects.using(self.using)
            # Read first: parts that are added meanwhile are counted.
            blocked = jobs.filter(pk__in=batch, state=JobState.BLOCKED)
            awaited = dict(blocked.values_list("pk", "awaited"))
            parts = jobs.filter(workflow__in=awaited).order_by().values_list("workflow")
            counts = dict(parts.annotate(count=Count("pk")))
            lacking = [pk for pk in awaited if counts.get(pk, 0) < awaited[pk]]
            self.add_workflow_notices([self.key(pk) for pk in lacking])
        return batch[-1] if len(batch) == MAX_LOOKED_AT else FIRST_ID

    def tell_deleted(self, workflow: str, worker: str) -> Told:
        """Tell the ends of those parts of a workflow that were deleted before they had finished.

        Args:
            workflow: the id of the workflow, whose row this transaction has locked.
            worker: the worker that does so, as `key` returns it.
        """
        whole = UUID(workflow)
        jobs = Job.objects.using(self.using)
        parts = dict(jobs.filter(workflow=whole).values_list("pk", "state"))
        awaited = jobs.filter(pk=whole).values_list("awaited", flat=True).first()
        if len(parts) >= (awaited or 0):
            return Told()
        untold = self._untold(whole, parts)
        dependents = self._count_again(self._parents_of_blocked(whole, parts), untold)
        deleted = [EndedPart(part, workflow, int(JobState.CANCELLED)) for part in dependents]
        jobs.filter(pk=whole).update(waiting_on=len(untold) + len(deleted))
        if deleted:
            return self.tell_dependents(deleted, dependents, worker)
        return Told(ended=[] if untold else self.end_workflows([workflow], worker))

    def _untold(self, workflow: UUID, parts: Mapping[UUID, int]) -> dict[UUID, UUID | None]:
        """Return the parts that exist, and whose ends were not told to all that wait for them.

        Each has the last of these jobs to which its end was told.
        """
        rows = Job.objects.using(self.using).filter(workflow=workflow).values("pk")
        notices = WorkflowNotice.objects.using(self.using).filter(job__in=rows)
        noticed = dict(notices.values_list("job", "told_up_to"))
        return {
            pk: noticed.get(pk)
            for pk, state in parts.items()
            if not JobState(state).is_finished or pk in noticed
        }

    def _parents_of_blocked(self, workflow: UUID, parts: Collection[UUID]) -> dict[UUID, _Parents]:
        """Return the parts for which each blocked part waits that waits for a deleted one."""
        blocked = Job.objects.using(self.using).filter(workflow=workflow, state=JobState.BLOCKED)
        rows = Dependency.objects.using(self.using).filter(
            child__in=blocked.values("pk"), slot__gte=0
        )
        parents: defaultdict[UUID, _Parents] = defaultdict(lambda: _Parents(set(), {}))
        for child, parent, position in rows.values_list("child", "parent", "position"):
            if parent in parts:
                parents[child].existing.add(parent)
            else:
                parents[child].deleted[parent] = position == IMPLIED
        return {child: found for child, found in parents.items() if found.deleted}

    def _count_again(
        self, parents: Mapping[UUID, _Parents], untold: Mapping[UUID, UUID | None]
    ) -> dict[str, dict[str, bool]]:
        """Correct the numbers of parts that blocked parts wait for.

        Returns:
            By each deleted part whose end was not told: the parts that wait for it, and whether
            they do only as another part has added it.
        """
        if not parents:
            return {}
        locked = self._lock_blocked(sorted(map(self.key, parents)))
        dependents: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        numbers: defaultdict[int, list[UUID]] = defaultdict(list)
        for child, (existing, deleted) in parents.items():
            job = locked.get(self.key(child))
            living = sum(_waits_for(child, untold[part]) for part in existing & untold.keys())
            if job is None or job.waiting_on <= living:
                continue  # it was told the ends of the deleted parts
            numbers[living + len(deleted)].append(child)
            for parent, is_implied in deleted.items():
                dependents[self.key(parent)][self.key(child)] = is_implied
        for number, children in numbers.items():
            for batch in batched(children, MAX_ROWS_PER_STATEMENT):
                rows = Job.objects.using(self.using).filter(pk__in=batch)
                rows.update(waiting_on=number)
        return dict(dependents)


def _waits_for(child: UUID, told_up_to: UUID | None) -> bool:
    """Return whether a job still waits for a part whose end `PartEnds` has told up to some job."""
    return told_up_to is None or child > told_up_to
