"""Changes that users make to workflows and to their parts: cancel them, run them again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import batched
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import RETRYABLE, JobState
from offload.models import Dependency, Job
from offload.notifier import Hint
from offload.store.hints import publish_after_commit
from offload.store.limit_notices import LimitNotices
from offload.store.retry_plan import EndedState, Rerun, plan_retry
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION
from offload.store.waiting_values import RETRY_VALUES, WAITING_VALUES
from offload.store.workflow_notices import WorkflowNotices
from offload.store.workflow_records import IMPLIED


class WorkflowControl(WorkflowNotices, LimitNotices):
    """Changes workflows on a user's behalf, in the caller's transaction."""

    def request_cancel_of_workflow(self, job: UUID) -> bool:
        """Let workers cancel all parts of a workflow that have not ended; return whether it is one.

        From the commit on no part is released.
        """
        workflows = Job.objects.using(self.using).filter(pk=job, run_when=None, awaited__gte=0)
        with transaction.atomic(self.using, savepoint=False):
            is_changed = workflows.filter(state=JobState.BLOCKED).update(
                cancel_requested_at=datetime.now(UTC), version=NEXT_VERSION
            )
            if is_changed:
                self.add_workflow_notices([self.key(job)])
        return bool(is_changed)

    def retry_parts(self, job: UUID, siblings: Collection[UUID] = ()) -> bool:
        """Run the parts of an ended workflow again that did not succeed, or some of its parts.

        Args:
            job: the workflow, or a part.
            siblings: further parts of its workflow.

        Returns:
            False if the job is no part of a workflow, or did not fail, or its workflow has not
            ended, or parts of it were deleted.
        """
        jobs = Job.objects.using(self.using)
        found = jobs.filter(pk=job, awaited__isnull=False, state__in=RETRYABLE)
        workflow = found.values_list("workflow", flat=True).first()
        if workflow is None and not found.exists():
            return False
        only = None if workflow is None else [job, *siblings]
        with transaction.atomic(self.using, savepoint=False):
            locked = jobs.select_for_update().filter(pk=workflow or job, state__in=RETRYABLE)
            own = locked.first()
            if own is None or jobs.filter(workflow=own.pk).count() != own.awaited:
                return False  # it lives, or its parts are being pruned
            reruns = self._plan_retry(own.pk, only)
            count = sum(rerun.state is None for rerun in reruns.values())
            self._write_reruns(reruns)
            failpoint("workflows.retried")
            values = RETRY_VALUES | {"waiting_on": count, "attempt": own.attempt}
            jobs.filter(pk=own.pk).update(state=JobState.BLOCKED, version=NEXT_VERSION, **values)
            if not count:
                self.add_workflow_notices([self.key(own.pk)])
        publish_after_commit(self.using, Hint.WORK, Hint.CHANGED)
        return True

    def failed_parts(self, jobs: Collection[UUID]) -> dict[UUID, UUID]:
        """Return the workflows of those jobs that are parts, and can run again."""
        rows = Job.objects.using(self.using).filter(
            pk__in=jobs, workflow__isnull=False, state__in=RETRYABLE
        )
        pairs = rows.values_list("pk", "workflow")
        return {pk: workflow for pk, workflow in pairs if workflow is not None}

    def _plan_retry(self, workflow: UUID, only: Sequence[UUID] | None) -> dict[str, Rerun]:
        parts = Job.objects.using(self.using).filter(workflow=workflow)
        rows = parts.values_list("pk", "state", "run_when")
        states = {self.key(pk): EndedState(state, run_when or 0) for pk, state, run_when in rows}
        dependencies = Dependency.objects.using(self.using).filter(
            child__in=parts.values("pk"), slot__gte=0
        )
        edges = (
            (self.key(parent), self.key(child), position == IMPLIED)
            for parent, child, position in dependencies.values_list("parent", "child", "position")
        )
        return plan_retry(states, edges, None if only is None else set(map(self.key, only)))

    def _write_reruns(self, reruns: Mapping[str, Rerun]) -> None:
        groups: defaultdict[Rerun, list[UUID]] = defaultdict(list)
        for part, rerun in reruns.items():
            groups[rerun].append(UUID(part))
        for rerun, parts in groups.items():
            for batch in batched(sorted(parts), MAX_ROWS_PER_STATEMENT):
                self._write_rerun(rerun, batch)

    def _write_rerun(self, rerun: Rerun, parts: Collection[UUID]) -> None:
        now = datetime.now(UTC)
        rows = Job.objects.using(self.using).filter(pk__in=parts)
        values = {"waiting_on": rerun.waiting_on, "run_when": rerun.run_when}
        if rerun.state is not None:
            rows.update(state=rerun.state, finished_at=now, version=NEXT_VERSION, **values)
            return
        if rerun.waiting_on:
            values |= {"state": JobState.BLOCKED}
        else:
            values |= WAITING_VALUES
            keys = rows.exclude(limit_key=None).values_list("limit_key", flat=True).distinct()
            self.add_notices({key: None for key in keys if key is not None})
        rows.update(run_after=now, version=NEXT_VERSION, **values, **RETRY_VALUES)
