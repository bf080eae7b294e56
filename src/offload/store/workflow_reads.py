"""Reading workflows and their parts."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import batched
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Max

from offload.exceptions import InvalidArguments
from offload.lifecycle import JobState, RunWhen
from offload.models import Attempt, Dependency, Job
from offload.serialization import decode, encode_result
from offload.store.part_results import PartResults
from offload.store.session import MAX_ROWS_PER_STATEMENT
from offload.store.workflow_ends import UNSUCCESSFUL
from offload.store.workflow_records import JOINT_PATH, REFERENCE

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet


class WorkflowReads(PartResults):
    """Reads the parts of workflows."""

    def parts(self, workflow: UUID) -> list[tuple[Job, list[Attempt]]]:
        """Return the parts of a workflow in the order in which they were added.

        With each come its failed attempts, in order.
        """
        parts = self._parts(workflow)
        retried = parts.filter(fence__gt=0).exclude(fence=1, state=JobState.SUCCESSFUL)
        attempts: defaultdict[UUID, list[Attempt]] = defaultdict(list)
        failures = Attempt.objects.using(self.using).filter(job_id__in=retried.values("pk"))
        for attempt in failures.order_by("job_id", "fence"):
            attempts[attempt.job_id].append(attempt)
        return [(job, attempts[job.pk]) for job in parts.order_by("pk")]

    def results_before(self, job: UUID) -> Iterator[Any]:
        """Yield the results of the parts that a part waited for, in the order of their ids.

        That of a part that did not succeed is None. A thousand rows are read at a time.
        """
        parents = Dependency.objects.using(self.using).filter(child=job, slot__gte=0)
        ids = parents.order_by("parent").values_list("parent", flat=True).distinct()
        for batch in batched(list(ids), MAX_ROWS_PER_STATEMENT):
            jobs = Job.objects.using(self.using).filter(pk__in=batch)
            columns = jobs.values_list("pk", "task_path", "state", "return_value")
            rows = {pk: row for pk, *row in columns}
            for pk in batch:
                yield from self._results_of(pk, *rows.get(pk, ("", JobState.FAILED, None)))

    def _results_of(self, pk: UUID, path: str, state: int, text: str | None) -> Iterator[Any]:
        """Yield the result of a part, or those that a joint hands over."""
        if path == JOINT_PATH:
            yield from self.results_before(pk)
        elif state != JobState.SUCCESSFUL or text is None:
            yield None
        elif REFERENCE in text:
            key, value = self.key(pk), decode(text)
            yield self.fill_in(key, value, max_size=sys.maxsize, of_arguments=False)
        else:
            yield decode(text)

    def return_value_of(self, job: Job) -> str | None:
        """Return what a job has returned, as JSON text, with the results that others make for it.

        Those of parts that have not succeeded are None.
        """
        text: str | None = job.return_value
        if text is None or job.workflow is None or REFERENCE not in text:
            return text
        key, value = self.key(job.pk), decode(text)
        try:
            value = self.fill_in(key, value, max_size=sys.maxsize, of_arguments=False)
            return encode_result(value, max_bytes=sys.maxsize)
        except (InvalidArguments, ValueError):  # handed over too often, or nested too deeply
            return None

    def waits_for(self, job: UUID, limit: int) -> list[Job]:
        """Return jobs that a part of a workflow waits for, which have not finished.

        Args:
            job: the part.
            limit: how many at most.
        """
        parents = Dependency.objects.using(self.using).filter(child=job, slot__gte=0)
        jobs = Job.objects.using(self.using).filter(pk__in=parents.values("parent"))
        return list(jobs.filter(finished_at=None).defer("arguments").order_by("pk")[:limit])

    def unsuccessful_before(self, jobs: Collection[UUID]) -> list[tuple[UUID, JobState]]:
        """Return what parts directly waited for and did not succeed, in the order of their ends."""
        parents = Dependency.objects.using(self.using).filter(child__in=jobs, slot__gte=0)
        rows = Job.objects.using(self.using).filter(
            pk__in=parents.values("parent"), state__in=UNSUCCESSFUL
        )
        found = rows.order_by("finished_at", "pk").values_list("pk", "state")
        return [(pk, JobState(state)) for pk, state in found]

    def parts_after(self, part: UUID) -> list[Job]:
        """Return the parts that directly wait for the success of a part, in the order of ids."""
        waiting = Dependency.objects.using(self.using).filter(
            parent=part, slot__gte=0, position__gte=0
        )
        rows = Job.objects.using(self.using).filter(
            pk__in=waiting.values("child"), run_when=RunWhen.SUCCEEDED
        )
        return list(rows.exclude(task_path=JOINT_PATH).order_by("pk"))

    def released_at(self, part: UUID) -> datetime | None:
        """Return when the last job ended for which a part waited; None if it waited for none."""
        parents = Dependency.objects.using(self.using).filter(child=part, slot__gte=0)
        ends = Job.objects.using(self.using).filter(pk__in=parents.values("parent"))
        found: datetime | None = ends.aggregate(last=Max("finished_at"))["last"]
        return found

    def _parts(self, workflow: UUID) -> QuerySet[Job]:
        return Job.objects.using(self.using).filter(workflow=workflow)
