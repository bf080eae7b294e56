"""The ends of workflows: their state, their error or their return value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Count, F

from offload.exceptions import OffloadError
from offload.failpoints import failpoint
from offload.lifecycle import JobState, RunWhen
from offload.models import Attempt, Dependency, Job
from offload.serialization import encode_result
from offload.store.limit_notices import LimitNotices
from offload.store.part_results import PartResults
from offload.store.records import EndedJob
from offload.store.releases import FAILURES
from offload.store.session import NEXT_VERSION
from offload.store.workflow_notices import WorkflowNotices
from offload.store.workflow_records import read_workflow

MAX_NAMED_PARTS = 10
"""Parts that the error of a workflow names."""
MAX_RETURN_SIZE = 2 * 1024**2
"""Bytes of JSON of what a workflow returns."""
PARTS_FAILED = "offload.exceptions.PartsFailed"
UNSUCCESSFUL = (JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED)
"""States of a part with which a workflow does not succeed, unless it is tolerant."""


class WorkflowEnds(WorkflowNotices, LimitNotices, PartResults):
    """Ends workflows whose parts have ended."""

    def end_workflows(self, workflows: Collection[str], worker: str) -> list[EndedJob]:
        """End workflows, whose rows this transaction has locked; return them.

        Args:
            workflows: their ids; all their parts have ended.
            worker: the worker that does so, as `key` returns it.
        """
        if not workflows:
            return []
        ids = [UUID(workflow) for workflow in workflows]
        counts = self._count_parts_of(ids)
        rows = Job.objects.using(self.using).filter(pk__in=ids, state=JobState.BLOCKED)
        ended = [
            EndedJob(self.key(job.pk), self._end_workflow(job, counts[job.pk], worker))
            for job in rows
        ]
        failpoint("workflows.ended")
        return ended

    def count_parts(self, workflow: UUID) -> dict[JobState, int]:
        """Return how many parts of a workflow are in each state that some are in."""
        return dict(self._count_parts_of([workflow])[workflow])

    def _count_parts_of(self, ids: Collection[UUID]) -> defaultdict[UUID, Counter[JobState]]:
        parts = Job.objects.using(self.using).filter(workflow__in=ids)
        rows = parts.values_list("workflow", "state").annotate(Count("pk")).order_by()
        counts: defaultdict[UUID, Counter[JobState]] = defaultdict(Counter)
        for workflow, state, count in rows:
            counts[workflow][JobState(state)] = count
        return counts

    def _end_workflow(self, job: Job, counts: Mapping[JobState, int], worker: str) -> int:
        state, error, return_value = JobState.SUCCESSFUL, "", None
        if job.cancel_requested_at is not None and counts[JobState.CANCELLED]:
            state = JobState.CANCELLED
        elif any(counts[state] for state in UNSUCCESSFUL) and not self._tolerates(job, counts):
            state, error = JobState.FAILED, self._describe_failures(job, counts)
        elif deleted := (job.awaited or 0) - sum(counts.values()):
            state, error = JobState.FAILED, f"{deleted} of {job.awaited} parts were deleted."
        else:
            try:
                return_value = self._return_value_of(job)
            except (OffloadError, ValueError, TypeError, LookupError, RecursionError) as problem:
                state, error = JobState.FAILED, f"Its return value could not be made: {problem}"
        if error:
            self._record_error(job, error, worker)
        Job.objects.using(self.using).filter(pk=job.pk).update(
            state=state,
            finished_at=self.now(),
            return_value=return_value,
            fence=F("fence") + 1,
            version=NEXT_VERSION,
        )
        return int(state)

    def _tolerates(self, job: Job, counts: Mapping[JobState, int]) -> bool:
        """Return whether the failed parts are followed by others that deal with the failure."""
        if not _definition_of(job).get("tolerant"):
            return False
        if not any(counts[state] for state in FAILURES):
            return False
        parts = Job.objects.using(self.using).filter(workflow=job.pk)
        failed = parts.filter(state__in=FAILURES)
        handlers = parts.exclude(run_when=RunWhen.SUCCEEDED)
        handled = Dependency.objects.using(self.using).filter(
            parent__in=failed.values("pk"), child__in=handlers.values("pk"), slot__gte=0
        )
        count = sum(counts[state] for state in FAILURES)
        return count == handled.values("parent").distinct().count()

    def _describe_failures(self, job: Job, counts: Mapping[JobState, int]) -> str:
        """Return a sentence that names the parts that failed, or else those that were cancelled."""
        states = [state for state in FAILURES if counts[state]] or [JobState.CANCELLED]
        count = sum(counts[state] for state in states)
        rows = Job.objects.using(self.using).filter(workflow=job.pk, state__in=states)
        parts = list(rows.order_by("pk").values_list("pk", "task_path", "state")[:MAX_NAMED_PARTS])
        failures = self.failures([pk for pk, _, _ in parts])
        names = {pk: name for name, pk in _definition_of(job).get("names", {}).items()}
        texts = [
            describe_part(names.get(str(pk), path.rpartition(".")[2]), state, failures.get(pk))
            for pk, path, state in parts
        ]
        return describe_parts(texts, states, count, sum(counts.values()))

    def _return_value_of(self, job: Job) -> str:
        returns = read_workflow(job.arguments).get("returns")
        if returns is not None:
            key = self.key(job.pk)
            returns = self.fill_in(key, returns, max_size=MAX_RETURN_SIZE, of_arguments=False)
        return encode_result(returns, max_bytes=MAX_RETURN_SIZE)

    def _record_error(self, job: Job, text: str, worker: str) -> None:
        now: Any = self.now()
        Attempt.objects.using(self.using).create(
            job_id=job.pk,
            fence=job.fence + 1,
            number=1,
            worker=UUID(worker),
            started_at=job.enqueued_at,
            finished_at=now,
            exception_class_path=PARTS_FAILED,
            message=text,
            traceback=f"{PARTS_FAILED}: {text}\n",
        )


def _definition_of(job: Job) -> dict[str, Any]:
    """Return the definition of a workflow; an empty one if the row is damaged: it must end, too."""
    try:
        return read_workflow(job.arguments)
    except (ValueError, TypeError, RecursionError):
        return {}


def describe_part(name: str, state: int, failure: Attempt | None) -> str:
    """Return what the error of a workflow says about a part that did not succeed.

    Args:
        name: the name of the part, or of its task.
        state: its state.
        failure: its last attempt that failed.
    """
    reason = str(JobState(state))
    if failure is not None:
        reason = f"{failure.exception_class_path.rpartition('.')[2]}: {failure.message}"
    return f"{name} ({reason:.200})"


def describe_parts(
    texts: Collection[str], states: Collection[JobState], count: int, total: int
) -> str:
    """Return the error of a workflow.

    Args:
        texts: about its first parts that did not succeed.
        states: the states of these.
        count: how many there are.
        total: how many parts the workflow has.
    """
    more = f", and {count - len(texts)} more" if count > len(texts) else ""
    verb = "were cancelled" if list(states) == [JobState.CANCELLED] else "failed"
    return f"{count} of {total} parts {verb}: {', '.join(texts)}{more}."
