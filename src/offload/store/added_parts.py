"""Parts that a running part adds to its own workflow, written by the transaction that ends it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import F

from offload.exceptions import JobCancelled
from offload.failpoints import failpoint
from offload.models import Job
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.new_workflows import NewWorkflows
from offload.store.part_ends import PartEnds
from offload.store.records import ClaimedJob
from offload.store.session import NEXT_VERSION
from offload.store.workflow_records import (
    IMPLIED,
    ORDER_ONLY,
    NewDependency,
    NewParts,
    require_few_dependents,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet


class AddedParts(PartEnds, NewWorkflows):
    """Adds parts to workflows that run."""

    def add_parts(self, adder: ClaimedJob, new: NewParts) -> None:
        """Add parts, in the transaction that writes the success of the part that adds them.

        Whatever waits for that part waits for all new ones too, before it is told. What was
        cancelled meanwhile waits for them if it is retried.

        Raises:
            JobCancelled: if the workflow is to be cancelled, or was deleted. Without the parts, the
                success would be one that a retry keeps.
            InvalidWorkflow: if there would be too many dependencies.
        """
        workflow = adder.workflow or ""
        dependents = self._read_dependents([adder.id])[adder.id]
        blocked = self._lock_blocked(sorted({*dependents, workflow}))
        own = blocked.get(workflow)
        if own is None or own.is_cancelled:
            raise JobCancelled("The workflow was cancelled before the job could add parts to it.")
        ids = [part.job.id for part in new.parts]
        require_few_dependents(len(dependents), len(ids))
        waiting = sorted(blocked.keys() & dependents.keys())
        implied = [
            NewDependency(child, part, ORDER_ONLY, IMPLIED)
            for child in sorted(dependents)
            for part in ids
        ]
        self.insert_parts(workflow, new.parts, new.dependencies)
        failpoint("workflows.added")
        self.connect_parts(implied)
        self._wait_for_more([*waiting, workflow], len(ids))
        ended = self._jobs(dependents.keys() - blocked.keys())
        ended.update(awaited=F("awaited") + len(ids))
        self.add_notices(new.keys)
        publish_after_commit(self.using, Hint.WORK)

    def _wait_for_more(self, jobs: Collection[str], count: int) -> None:
        self._jobs(jobs).update(
            waiting_on=F("waiting_on") + count, awaited=F("awaited") + count, version=NEXT_VERSION
        )

    def _jobs(self, jobs: Collection[str]) -> QuerySet[Job]:
        return Job.objects.using(self.using).filter(pk__in=[UUID(job) for job in jobs])
