"""What workers do for workflows besides their exchanges: take notices, and cancel workflows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import transaction

from offload.failpoints import failpoint
from offload.lifecycle import JobState
from offload.models import Job
from offload.notifier import Hint
from offload.store.deleted_parts import DeletedParts
from offload.store.hints import publish_after_commit
from offload.store.records import EndedJob
from offload.store.releases import Change, EndedPart
from offload.store.session import MAX_ROWS_PER_STATEMENT, NEXT_VERSION
from offload.store.statements import statement
from offload.store.workflow_notices import TakenNotice

if TYPE_CHECKING:
    from django.db.models import QuerySet

MAX_NOTICES = 500
"""Notices that one step takes."""
LOCKED_DELAY = 0.25
"""Seconds until the next step if other transactions have locked the parts to cancel."""


class WorkflowStep(NamedTuple):
    """What one step has done.

    Attributes:
        has_released: whether parts can run now, or at a later time.
        has_changes: whether jobs have changed.
        next_in: seconds until the next step; None if no notice was left.
        ended: jobs that ended because of others, or because their workflow was cancelled.
    """

    has_released: bool = False
    has_changes: bool = False
    next_in: float | None = None
    ended: Sequence[EndedJob] = ()


class WorkflowSteps(DeletedParts):
    """Takes notices about workflows."""

    def step_workflows(self, worker: str) -> WorkflowStep:
        """Take notices in one transaction: tell the parts that have ended, or cancel a workflow.

        Args:
            worker: the worker that does so, as `key` returns it.
        """
        with transaction.atomic(self.using):
            self._prepare_transaction(waits=True)
            taken = self.take_workflow_notices(MAX_NOTICES)
            if not taken:
                return WorkflowStep()
            failpoint("workflows.taken")
            ended, workflows = self._sort_out(taken)
            if ended:
                self.add_workflow_notices(workflows)
                told = self.tell(ended, worker)
                step = WorkflowStep(told.is_work, True, 0.0, told.ended)  # noqa: FBT003
            elif workflows:
                self.add_workflow_notices(workflows[1:])
                step = self._advance(workflows[0], worker)
            else:
                step = WorkflowStep(next_in=0.0)
        return step

    def _sort_out(self, taken: Sequence[TakenNotice]) -> tuple[list[EndedPart], list[str]]:
        """Return the parts that have ended, and the workflows, that notices name."""
        told_up_to = dict(taken)
        jobs = [UUID(job) for job in told_up_to]
        ended: list[EndedPart] = []
        workflows: list[str] = []
        rows = Job.objects.using(self.using).filter(pk__in=jobs).order_by("pk")
        for pk, workflow, state in rows.values_list("pk", "workflow", "state"):
            if workflow is None:
                workflows.append(self.key(pk))
            elif JobState(state).is_finished:
                part = self.key(pk)
                ended.append(EndedPart(part, self.key(workflow), state, told_up_to[part]))
        return ended, workflows

    def _advance(self, workflow: str, worker: str) -> WorkflowStep:
        """Tell the ends of deleted parts, cancel parts if asked, end the workflow if none lives.

        The row of the workflow is locked again after each step, which may have ended it.
        """
        if not self._lock_blocked([workflow]):
            return WorkflowStep(next_in=0.0)
        told = self.tell_deleted(workflow, worker)
        ended = list(told.ended)
        own = self._lock_blocked([workflow]).get(workflow)
        if own is not None and own.is_cancelled:
            return self._cancel_parts(workflow, worker, ended)
        if own is not None and not own.waiting_on:
            ended += self.end_workflows([workflow], worker)
        return WorkflowStep(told.is_work, has_changes=bool(ended), next_in=0.0, ended=ended)

    def _cancel_parts(self, workflow: str, worker: str, ended: list[EndedJob]) -> WorkflowStep:
        """Cancel a batch of parts of a workflow, and end it if none lives.

        Args:
            workflow: the id of the workflow.
            worker: the worker that does so.
            ended: the jobs that this step has ended already.
        """
        cancelled = self._cancel_waiting_parts(UUID(workflow))
        has_requests = self._request_cancel_of_running(UUID(workflow))
        is_done = not self._living_parts(UUID(workflow)).exists()
        failpoint("workflows.cancelled")
        self._settle(Change(int(JobState.BLOCKED), len(cancelled), None), [workflow])
        ended += cancelled
        if not self._lock_blocked([workflow])[workflow].waiting_on:
            ended += self.end_workflows([workflow], worker)
        elif not is_done:
            self.add_workflow_notices([workflow])
        if has_requests:
            publish_after_commit(self.using, Hint.CONTROL)
        has_changes = bool(ended) or has_requests
        next_in = 0.0 if is_done or has_changes else LOCKED_DELAY
        return WorkflowStep(has_changes=has_changes, next_in=next_in, ended=ended)

    def _cancel_waiting_parts(self, workflow: UUID) -> list[EndedJob]:
        """Cancel a batch of parts that no worker holds; they tell nobody, as all are cancelled."""
        waiting = self._parts(workflow).filter(state__lte=JobState.READY).order_by("pk")
        unlocked = waiting.select_for_update(skip_locked=True).values_list("pk", flat=True)
        batch = list(unlocked[:MAX_ROWS_PER_STATEMENT])
        self._parts(workflow).filter(pk__in=batch).update(
            state=JobState.CANCELLED,
            limit_slot=None,
            finished_at=self.now(),
            version=NEXT_VERSION,
        )
        return [EndedJob(self.key(part), int(JobState.CANCELLED)) for part in batch]

    def _request_cancel_of_running(self, workflow: UUID) -> bool:
        running = self._living_parts(workflow).filter(state=JobState.RUNNING).order_by("pk")
        unlocked = running.select_for_update(skip_locked=True).values_list("pk", flat=True)
        batch = list(unlocked[:MAX_ROWS_PER_STATEMENT])
        requested = self._parts(workflow).filter(pk__in=batch, state=JobState.RUNNING)
        now = datetime.now(UTC)
        return bool(requested.update(cancel_requested_at=now, version=NEXT_VERSION))

    def _living_parts(self, workflow: UUID) -> QuerySet[Job]:
        """Return the parts that have not ended and are not asked to."""
        living = self._parts(workflow).filter(state__lte=JobState.RUNNING)
        return living.filter(cancel_requested_at=None)

    def _parts(self, workflow: UUID) -> QuerySet[Job]:
        return Job.objects.using(self.using).filter(workflow=workflow)

    def take_workflow_notices(self, limit: int) -> list[TakenNotice]:
        """Delete the oldest notices that no other worker is taking; return them."""
        with self._cursor() as cursor:
            cursor.execute(statement(self.dialect, "take_workflow_notices"), {"limit": limit})
            return [self.taken_notice(*row) for row in cursor.fetchall()]

    def taken_notice(self, job: Any, told_up_to: Any) -> TakenNotice:
        """Return a notice as the database's driver has read it."""
        return TakenNotice(self.key(job), "" if told_up_to is None else self.key(told_up_to))
